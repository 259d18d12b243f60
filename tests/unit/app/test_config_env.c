#include "blobferry/app/config.h"
#include "unit/app/fixture.h"

static enum err_code load(struct config *c, struct err *e)
{
    config_init(c);
    err_init(e);
    return config_load(c, NULL, false, e);
}

/* What the environment makes of one setting; "" when it stays unset. */
static void assert_becomes(enum config_key k, const char *value)
{
    struct config c;
    struct err e;

    if (load(&c, &e) != ERR_OK)
        fail_msg("%s", e.message);
    assert_string_equal(c.value[k] != NULL ? c.value[k] : "", value);
    config_release(&c);
}

static void assert_refused(const char *part)
{
    struct config c;
    struct err e;

    assert_int_equal(load(&c, &e), ERR_CONFIG);
    if (strstr(e.message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, e.message);
    assert_true(e.hint[0] != '\0' || strstr(part, "ID") != NULL);
    config_release(&c);
}

/* ---- databases ---------------------------------------------------------------------------------- */

static void test_config_env_postgres_variables_make_a_url_without_the_password(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    fixture_set("POSTGRES_HOST", "db.example");
    assert_becomes(CONFIG_DB, "postgres://db.example/");
    fixture_set("POSTGRES_PORT", "5433");
    fixture_set("POSTGRES_DB", "app data");
    fixture_set("POSTGRES_USER", "a@b:c");
    fixture_set("POSTGRES_PASSWORD", "SENTINEL/@:");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_DB),
                        "postgres://a%40b%3Ac@db.example:5433/app%20data");
    assert_string_equal(c.origin[CONFIG_DB], "POSTGRES_HOST");
    assert_string_equal(secret_peek(&c.db_password), "SENTINEL/@:");
    config_release(&c);
}

static void test_config_env_postgres_host_may_be_a_socket_folder(void **state)
{
    (void)state;
    fixture_set("POSTGRES_HOST", "/var/run/postgresql");
    fixture_set("POSTGRES_DB", "app");
    assert_becomes(CONFIG_DB, "postgres://%2Fvar%2Frun%2Fpostgresql/app");
}

static void test_config_env_postgres_port_is_a_port(void **state)
{
    static const char *const bad[] = {"0", "65536", "5432x", "-1", " 5432", "five"};

    (void)state;
    fixture_set("POSTGRES_HOST", "h");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_set("POSTGRES_PORT", bad[i]);
        assert_refused("POSTGRES_PORT");
    }
    fixture_set("POSTGRES_PORT", "65535");
    assert_becomes(CONFIG_DB, "postgres://h:65535/");
}

static void test_config_env_postgres_without_a_host_says_nothing(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    fixture_set("POSTGRES_DB", "app");
    fixture_set("POSTGRES_PASSWORD", "SENTINEL");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_DB), "sqlite:blobferry.db");
    assert_true(secret_is_set(&c.db_password)); /* --db may name the server */
    config_release(&c);
}

static void test_config_env_d1_goes_before_postgres_only_when_it_is_switched_on(void **state)
{
    static const char *const on[] = {"true", "TRUE", "1", "yes", "on"};
    static const char *const off[] = {"false", "False", "0", "no", "off", ""};

    (void)state;
    fixture_set("POSTGRES_HOST", "h");
    fixture_set("D1_LOCAL_PATH", ".wrangler/state/*.sqlite");
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        fixture_set("USE_D1_DATABASE", on[i]);
        assert_becomes(CONFIG_DB, "d1:.wrangler/state/*.sqlite");
    }
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        fixture_set("USE_D1_DATABASE", off[i]);
        assert_becomes(CONFIG_DB, "postgres://h/");
    }
}

static void test_config_env_d1_needs_its_path_unless_a_database_is_named(void **state)
{
    (void)state;
    fixture_set("USE_D1_DATABASE", "true");
    assert_refused("D1_LOCAL_PATH");
    fixture_set("BLOBFERRY_DB", "sqlite:own.db");
    assert_becomes(CONFIG_DB, "sqlite:own.db");
}

/* ---- stores --------------------------------------------------------------------------------------- */

static void test_config_env_bucket_and_account_name_target_and_endpoint(void **state)
{
    (void)state;
    fixture_set("R2_BUCKET_NAME", "media");
    assert_becomes(CONFIG_TARGET, "s3://media");
    assert_becomes(CONFIG_ENDPOINT_URL, "");
    fixture_set("CLOUDFLARE_ACCOUNT_ID", "0123abcd");
    assert_becomes(CONFIG_ENDPOINT_URL, "https://0123abcd.r2.cloudflarestorage.com");
    fixture_set("CLOUDFLARE_ACCOUNT_ID", "0123abcd.eu"); /* a jurisdiction */
    assert_becomes(CONFIG_ENDPOINT_URL, "https://0123abcd.eu.r2.cloudflarestorage.com");
}

static void test_config_env_account_cannot_lead_requests_elsewhere(void **state)
{
    static const char *const bad[] = {"evil.example/", "a@evil.example#", "a?b", "a b", "a:1"};

    (void)state;
    fixture_set("R2_BUCKET_NAME", "media");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_set("CLOUDFLARE_ACCOUNT_ID", bad[i]);
        assert_refused("CLOUDFLARE_ACCOUNT_ID");
    }
}

static void test_config_env_explicit_endpoints_go_before_the_accounts(void **state)
{
    struct fixture *f = *state;

    fixture_set("R2_BUCKET_NAME", "media");
    fixture_set("CLOUDFLARE_ACCOUNT_ID", "acc");
    fixture_write(f, "blobferry.conf", "endpoint-url = https://acc.eu.r2.cloudflarestorage.com\n");
    assert_becomes(CONFIG_ENDPOINT_URL, "https://acc.eu.r2.cloudflarestorage.com");
    fixture_set("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    assert_becomes(CONFIG_ENDPOINT_URL, "http://127.0.0.1:1");
    fixture_set("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2");
    assert_becomes(CONFIG_ENDPOINT_URL, "http://127.0.0.1:2");
}

/* An account id that is set for other tools must not send requests that are meant for AWS to Cloudflare. */
static void test_config_env_account_says_nothing_of_other_buckets(void **state)
{
    (void)state;
    fixture_set("CLOUDFLARE_ACCOUNT_ID", "acc");
    fixture_set("BLOBFERRY_TARGET", "s3://media");
    assert_becomes(CONFIG_ENDPOINT_URL, "");
    fixture_set("CLOUDFLARE_API_TOKEN", "token");
    assert_becomes(CONFIG_ENDPOINT_URL, "https://acc.r2.cloudflarestorage.com");
    fixture_set("AWS_ACCESS_KEY_ID", "AKIA");
    assert_becomes(CONFIG_ENDPOINT_URL, "");
    unsetenv("AWS_ACCESS_KEY_ID");
    fixture_set("AWS_PROFILE", "work");
    assert_becomes(CONFIG_ENDPOINT_URL, "");
    unsetenv("AWS_PROFILE");
    fixture_set("BLOBFERRY_TARGET", "file:///srv/objects");
    assert_becomes(CONFIG_ENDPOINT_URL, "");
}

static void test_config_env_aws_variables(void **state)
{
    (void)state;
    fixture_set("AWS_DEFAULT_REGION", "eu-2");
    assert_becomes(CONFIG_REGION, "eu-2");
    fixture_set("AWS_REGION", "eu-1");
    assert_becomes(CONFIG_REGION, "eu-1");
    fixture_set("AWS_PROFILE", "work");
    assert_becomes(CONFIG_PROFILE, "work");
}

static void test_config_env_log_level_and_no_color(void **state)
{
    struct config c;
    struct err e;

    (void)state;
    fixture_set("LOG_LEVEL", "WARNING");
    fixture_set("NO_COLOR", "anything");
    assert_int_equal(load(&c, &e), ERR_OK);
    assert_string_equal(config_get(&c, CONFIG_LOG_LEVEL), "WARNING");
    assert_true(config_is(&c, CONFIG_NO_COLOR));
    config_release(&c);
}

/* With a target of its own, what the guide's variable holds does not matter. */
static void test_config_env_unused_variables_are_not_judged(void **state)
{
    (void)state;
    fixture_set("BLOBFERRY_TARGET", "s3://own");
    fixture_set("BLOBFERRY_DB", "sqlite:own.db");
    fixture_set("R2_BUCKET_NAME", "not a bucket");
    fixture_set("USE_D1_DATABASE", "maybe");
    fixture_set("POSTGRES_HOST", "h");
    fixture_set("POSTGRES_PORT", "none");
    assert_becomes(CONFIG_TARGET, "s3://own");
    assert_becomes(CONFIG_DB, "sqlite:own.db");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_config_env_postgres_variables_make_a_url_without_the_password),
        fixture_test(test_config_env_postgres_host_may_be_a_socket_folder),
        fixture_test(test_config_env_postgres_port_is_a_port),
        fixture_test(test_config_env_postgres_without_a_host_says_nothing),
        fixture_test(test_config_env_d1_goes_before_postgres_only_when_it_is_switched_on),
        fixture_test(test_config_env_d1_needs_its_path_unless_a_database_is_named),
        fixture_test(test_config_env_bucket_and_account_name_target_and_endpoint),
        fixture_test(test_config_env_account_cannot_lead_requests_elsewhere),
        fixture_test(test_config_env_explicit_endpoints_go_before_the_accounts),
        fixture_test(test_config_env_account_says_nothing_of_other_buckets),
        fixture_test(test_config_env_aws_variables),
        fixture_test(test_config_env_log_level_and_no_color),
        fixture_test(test_config_env_unused_variables_are_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
