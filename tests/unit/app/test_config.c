#include "blobferry/app/config.h"
#include "unit/app/fixture.h"

/* Loads into a fresh config; the caller releases it. */
static enum err_code load(struct config *c, struct err *e)
{
    config_init(c);
    err_init(e);
    return config_load(c, NULL, false, e);
}

static void assert_setting(const struct config *c, enum config_key k, const char *value,
                           const char *origin)
{
    assert_non_null(config_get(c, k));
    assert_string_equal(config_get(c, k), value);
    if (origin == NULL)
        assert_null(c->origin[k]);
    else
        assert_string_equal(c->origin[k], origin);
}

/* The environment or file as it is must be refused, in a message that holds `part`. */
static void assert_refused(const char *part)
{
    struct config c;
    struct err e;

    assert_int_equal(load(&c, &e), ERR_CONFIG);
    assert_int_equal(e.code, ERR_CONFIG);
    if (strstr(e.message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, e.message);
    config_release(&c);
}

static void test_config_defaults_hold_with_nothing_set(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_setting(&c, CONFIG_DB, "sqlite:blobferry.db", NULL);
    assert_null(config_get(&c, CONFIG_TARGET));
    assert_null(config_get(&c, CONFIG_SOURCE_ROOT));
    assert_setting(&c, CONFIG_LOG_DIR, "logs", NULL);
    assert_setting(&c, CONFIG_MAX_RETRIES, "3", NULL);
    assert_setting(&c, CONFIG_PATIENCE, "600", NULL);
    assert_setting(&c, CONFIG_DEAD_AFTER, "30", NULL);
    assert_false(config_is(&c, CONFIG_JSON));
    assert_null(c.path);
    config_release(&c);
}

static void test_config_flags_go_before_environment_before_file_before_default(void **state)
{
    struct fixture *f = *state;
    struct config c;
    struct err e;

    fixture_write(f, "blobferry.conf",
                  "[blobferry]\ndb = sqlite:file.db\nregion = file-1\nlog-dir = file-logs\n");
    fixture_set("BLOBFERRY_DB", "sqlite:environment.db");
    fixture_set("BLOBFERRY_REGION", "environment-1");
    config_init(&c);
    err_init(&e);
    assert_int_equal(config_set(&c, "db", "sqlite:flag.db", "--db", &e), ERR_OK);
    assert_int_equal(config_load(&c, NULL, false, &e), ERR_OK);
    assert_setting(&c, CONFIG_DB, "sqlite:flag.db", "--db");
    assert_setting(&c, CONFIG_REGION, "environment-1", "BLOBFERRY_REGION");
    assert_setting(&c, CONFIG_LOG_DIR, "file-logs", "blobferry.conf");
    assert_setting(&c, CONFIG_BACKUP_DIR, "backups", NULL);
    config_release(&c);
}

static void test_config_own_variables_go_before_the_guides(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    fixture_set("POSTGRES_HOST", "db.example");
    fixture_set("R2_BUCKET_NAME", "guide");
    fixture_set("LOG_LEVEL", "debug");
    fixture_set("AWS_REGION", "eu-1");
    fixture_set("BLOBFERRY_DB", "sqlite:own.db");
    fixture_set("BLOBFERRY_TARGET", "s3://own");
    fixture_set("BLOBFERRY_LOG_LEVEL", "warn");
    fixture_set("BLOBFERRY_REGION", "own-1");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_setting(&c, CONFIG_DB, "sqlite:own.db", "BLOBFERRY_DB");
    assert_setting(&c, CONFIG_TARGET, "s3://own", "BLOBFERRY_TARGET");
    assert_setting(&c, CONFIG_LOG_LEVEL, "warn", "BLOBFERRY_LOG_LEVEL");
    assert_setting(&c, CONFIG_REGION, "own-1", "BLOBFERRY_REGION");
    config_release(&c);
}

static void test_config_empty_variables_count_as_unset(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    fixture_set("BLOBFERRY_DB", "");
    fixture_set("BLOBFERRY_JSON", "");
    fixture_set("R2_BUCKET_NAME", "");
    fixture_set("POSTGRES_HOST", "");
    fixture_set("LOG_LEVEL", "");
    fixture_set("NO_COLOR", "");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_setting(&c, CONFIG_DB, "sqlite:blobferry.db", NULL);
    assert_null(config_get(&c, CONFIG_TARGET));
    assert_false(config_is(&c, CONFIG_NO_COLOR));
    config_release(&c);
}

static void test_config_every_setting_has_flag_variable_and_file_key(void **state)
{
    size_t n = 0;
    const struct config_setting *s = config_settings(&n);

    (void)state;
    assert_int_equal(n, CONFIG_KEYS);
    for (size_t i = 0; i < n; i++) {
        char variable[64] = "BLOBFERRY_";

        assert_int_equal(s[i].key, i);
        for (size_t k = 0; s[i].name[k] != '\0' && k < 50; k++) {
            char ch = s[i].name[k];
            variable[10 + k] = ch == '-' ? '_' : (char)(ch - 'a' + 'A');
            variable[11 + k] = '\0';
        }
        assert_string_equal(s[i].variable, variable);
        assert_ptr_equal(config_find(s[i].name), &s[i]);
        assert_non_null(s[i].help);
    }
    assert_ptr_equal(config_find("source_root"), config_find("source-root"));
    assert_null(config_find("source"));
    assert_null(config_find("source-rootx"));
    assert_null(config_find(""));
}

static void test_config_bad_values_of_flags_are_usage_errors(void **state)
{
    static const char *const bad[][2] = {{"db", ""},
                                         {"db", "app.db"},
                                         {"db", "sqlite:"},
                                         {"db", "mysql://x"},
                                         {"target", "bucket"},
                                         {"target", "s3://"},
                                         {"target", "file://relative"},
                                         {"target", "http://bucket"},
                                         {"endpoint-url", "localhost:9000"},
                                         {"endpoint-url", "https://"},
                                         {"addressing", "dns"},
                                         {"store-profile", "azure"},
                                         {"log-format", "xml"},
                                         {"log-level", "loud"},
                                         {"max-retries", "-1"},
                                         {"max-retries", "101"},
                                         {"max-retries", "three"},
                                         {"patience", "0"},
                                         {"dead-after", "never"},
                                         {"dead-after", "86401"},
                                         {"json", "maybe"},
                                         {"source-root", ""},
                                         {"colour", "red"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config c;
        struct err e;

        config_init(&c);
        err_init(&e);
        if (config_set(&c, bad[i][0], bad[i][1], "--x", &e) != ERR_USAGE)
            fail_msg("%s = '%s' is accepted", bad[i][0], bad[i][1]);
        assert_int_equal(err_exit_code(e.code), 2);
        assert_true(e.message[0] != '\0');
        config_release(&c);
    }
}

static void test_config_passwords_in_urls_are_refused_and_not_repeated(void **state)
{
    static const char *const bad[][2] = {{"db", "postgres://u:SENTINEL@h/db"},
                                         {"db", "postgresql://u:SENTI/NEL@h/db"},
                                         {"db", "postgres://u:12SENTINEL@h:5432/db"},
                                         {"db", "postgres://u:SENTINEL?@h/db"},
                                         {"db", "postgres://h/db?user=u&password=SENTINEL"},
                                         {"db", "mysql://u:SENTINEL@h/db"},
                                         {"target", "s3://key:SENTINEL@bucket/prefix"},
                                         {"endpoint-url", "https://u:SENTINEL@host"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config c;
        struct err e;

        config_init(&c);
        err_init(&e);
        assert_int_equal(config_set(&c, bad[i][0], bad[i][1], "--x", &e), ERR_USAGE);
        assert_null(strstr(e.message, "SENTI"));
        assert_null(strstr(e.hint, "SENTI"));
        config_release(&c);
    }
}

static void test_config_urls_without_password_are_accepted(void **state)
{
    static const char *const good[][2] = {
        {"db", "postgres://u@h:5432/db"},         {"db", "postgres://h:5432/db?user=a@b"},
        {"db", "sqlite:/srv/a@b:c.db"},           {"db", "d1:.wrangler/*.sqlite"},
        {"target", "s3://bucket/a@b:c/"},         {"target", "file:///srv/objects"},
        {"endpoint-url", "http://127.0.0.1:9000"}};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct config c;
        struct err e;

        config_init(&c);
        err_init(&e);
        if (config_set(&c, good[i][0], good[i][1], "--x", &e) != ERR_OK)
            fail_msg("%s: %s", good[i][1], e.message);
        config_release(&c);
    }
}

static void test_config_bad_variables_are_configuration_errors_that_name_them(void **state)
{
    static const char *const bad[][2] = {
        {"BLOBFERRY_TARGET", "bucket"}, {"BLOBFERRY_JSON", "perhaps"},
        {"LOG_LEVEL", "loud"},          {"AWS_ENDPOINT_URL_S3", "localhost"},
        {"USE_D1_DATABASE", "maybe"},   {"R2_BUCKET_NAME", "a/b"},
        {"R2_BUCKET_NAME", "a b"},      {"BLOBFERRY_DB", "postgres://u:pw@h/x"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_set(bad[i][0], bad[i][1]);
        assert_refused(bad[i][0]);
        unsetenv(bad[i][0]);
    }
}

/* ---- the file ---------------------------------------------------------------------------------- */

static void test_config_file_takes_comments_blanks_bom_crlf_and_either_dash(void **state)
{
    struct fixture *f = *state;
    struct config c;
    struct err e;

    fixture_write(f, "blobferry.conf",
                  "\xEF\xBB\xBF# comment\r\n; another\r\n[blobferry]\r\n\r\n"
                  "  source_root = /srv/files \r\n\tlog-dir=/var/log/b\r\nJSON = yes\r\n");
    assert_refused("unknown setting 'JSON'"); /* names are lower case, as flags are */
    fixture_write(f, "blobferry.conf",
                  "\xEF\xBB\xBF# comment\r\n; another\r\n[blobferry]\r\n\r\n"
                  "  source_root = /srv/files \r\n\tlog-dir=/var/log/b\r\njson = yes");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_setting(&c, CONFIG_SOURCE_ROOT, "/srv/files", "blobferry.conf");
    assert_setting(&c, CONFIG_LOG_DIR, "/var/log/b", "blobferry.conf");
    assert_true(config_is(&c, CONFIG_JSON));
    config_release(&c);
}

static void test_config_file_faults_name_the_line(void **state)
{
    static const char *const files[][2] = {
        {"db = sqlite:a\n\ncolour = red\ndb = sqlite:b\n",
         "'blobferry.conf' line 3: unknown setting"},
        {"# x\n[other]\ndb = sqlite:a\n", "line 3: unknown section '[other]'"},
        {"region = a\nregion = b\n", "line 2: 'region' is set twice"},
        {"region = a\n  region = b\n", "line 2: 'region' is set twice"},
        {"just words\n", "line 1: neither a setting nor a comment"},
        {"db = sqlite:a\n\ntarget = nothing\n", "line 3: "},
        {"region =\n", "line 1: "},
        {"[blobferry\n", "line 1: neither"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fixture_write(f, "blobferry.conf", files[i][0]);
        assert_refused(files[i][1]);
    }
}

/* inih's buffer would cut it in two and take the rest for a line of its own. */
static void test_config_file_lines_that_are_too_long_are_never_cut(void **state)
{
    struct fixture *f = *state;
    char text[1024];
    struct config c;
    struct err e;

    for (int n = 150; n < 450; n += 1) {
        int at = snprintf(text, sizeof text, "# first\ndb = sqlite:");
        memset(text + at, 'x', (size_t)n);
        snprintf(text + at + n, sizeof text - (size_t)(at + n), "\nregion = r\n");
        fixture_write(f, "blobferry.conf", text);
        if (n + 12 > 190) {
            assert_refused("line 2: longer than 190 bytes");
            continue;
        }
        assert_int_equal(load(&c, &e), ERR_OK);
        assert_int_equal(strlen(config_get(&c, CONFIG_DB)), n + 7);
        assert_setting(&c, CONFIG_REGION, "r", "blobferry.conf");
        config_release(&c);
    }
}

static void test_config_file_with_a_nul_byte_is_refused(void **state)
{
    struct fixture *f = *state;
    FILE *out = fopen(scratch_path(&f->scratch, "blobferry.conf"), "w");

    assert_non_null(out);
    assert_int_equal(fwrite("region = a\0b\n", 1, 13, out), 13);
    assert_int_equal(fclose(out), 0);
    assert_refused("line 1: a NUL byte");
}

static void test_config_file_that_is_named_must_be_there(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    config_init(&c);
    err_init(&e);
    assert_int_equal(config_load(&c, "absent.conf", false, &e), ERR_CONFIG);
    assert_non_null(strstr(e.message, "absent.conf"));
    config_release(&c);
    fixture_set("BLOBFERRY_CONFIG", "absent.conf");
    assert_refused("absent.conf");
    config_init(&c);
    assert_int_equal(config_load(&c, NULL, true, &e), ERR_OK); /* init writes it */
    assert_null(c.path);
    config_release(&c);
}

static void test_config_file_is_the_first_of_flag_variable_folder_and_home(void **state)
{
    struct fixture *f = *state;
    struct config c;
    struct err e;

    fixture_write(f, ".config/x", "");
    fixture_write(f, ".config/blobferry/blobferry.conf", "region = home\n");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_REGION), "home");
    config_release(&c);
    fixture_write(f, "blobferry.conf", "region = folder\n");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_REGION), "folder");
    config_release(&c);
    fixture_write(f, "variable.conf", "region = variable\n");
    fixture_set("BLOBFERRY_CONFIG", "variable.conf");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_REGION), "variable");
    config_release(&c);
    fixture_write(f, "flag.conf", "region = flag\n");
    config_init(&c);
    assert_int_equal(config_load(&c, "flag.conf", false, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_REGION), "flag");
    assert_string_equal(c.path, "flag.conf");
    config_release(&c);
}

static void test_config_file_that_cannot_be_read_is_a_configuration_error(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir(scratch_path(&f->scratch, "blobferry.conf"), 0700), 0);
    assert_refused("blobferry.conf");
}

static void test_config_example_is_a_file_that_changes_nothing(void **state)
{
    struct fixture *f = *state;
    char *text = config_example();
    size_t n;
    const struct config_setting *s = config_settings(&n);
    struct config c;
    struct err e;

    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        assert_non_null(strstr(text, s[i].variable));
    fixture_write(f, "blobferry.conf", text);
    free(text);
    assert_int_equal(load(&c, &e), ERR_OK);
    for (size_t i = 0; i < n; i++)
        assert_null(c.value[i]);
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_config_defaults_hold_with_nothing_set),
        fixture_test(test_config_flags_go_before_environment_before_file_before_default),
        fixture_test(test_config_own_variables_go_before_the_guides),
        fixture_test(test_config_empty_variables_count_as_unset),
        fixture_test(test_config_every_setting_has_flag_variable_and_file_key),
        fixture_test(test_config_bad_values_of_flags_are_usage_errors),
        fixture_test(test_config_passwords_in_urls_are_refused_and_not_repeated),
        fixture_test(test_config_urls_without_password_are_accepted),
        fixture_test(test_config_bad_variables_are_configuration_errors_that_name_them),
        fixture_test(test_config_file_takes_comments_blanks_bom_crlf_and_either_dash),
        fixture_test(test_config_file_faults_name_the_line),
        fixture_test(test_config_file_lines_that_are_too_long_are_never_cut),
        fixture_test(test_config_file_with_a_nul_byte_is_refused),
        fixture_test(test_config_file_that_is_named_must_be_there),
        fixture_test(test_config_file_is_the_first_of_flag_variable_folder_and_home),
        fixture_test(test_config_file_that_cannot_be_read_is_a_configuration_error),
        fixture_test(test_config_example_is_a_file_that_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
