#include "app/aws_profile.h"
#include "unit/app/fixture.h"

/* One value; "(none)" when it is not there. Owned by the test for one call. */
static const char *get(enum aws_profile_file file, const char *profile, const char *name)
{
    static char text[70000];
    struct buf out;
    struct err e;
    bool found = false, section = false;

    err_init(&e);
    buf_init(&out, sizeof text - 1);
    assert_int_equal(aws_profile_get(file, profile, name, &out, &found, &section, &e), ERR_OK);
    snprintf(text, sizeof text, "%s", found ? buf_cstr(&out) : "(none)");
    assert_true(section || !found);
    buf_release(&out);
    return text;
}

static const char *credential(const char *profile, const char *name)
{
    return get(AWS_PROFILE_CREDENTIALS, profile, name);
}

static const char *setting(const char *profile, const char *name)
{
    return get(AWS_PROFILE_CONFIG, profile, name);
}

static void test_aws_profile_reads_the_section_that_is_asked_for(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".aws/credentials",
                  "aws_access_key_id = none\n"
                  "[default]\naws_access_key_id = A1\n\n# comment\n; another\n"
                  "[work]\naws_access_key_id=W1\naws_secret_access_key =W2\n"
                  "[works]\naws_access_key_id = X1\n");
    assert_string_equal(credential("default", "aws_access_key_id"), "A1");
    assert_string_equal(credential("work", "aws_access_key_id"), "W1");
    assert_string_equal(credential("work", "aws_secret_access_key"), "W2");
    assert_string_equal(credential("default", "aws_secret_access_key"), "(none)");
    assert_string_equal(credential("wor", "aws_access_key_id"), "(none)");
    assert_string_equal(credential("work", "aws_access_key"), "(none)");
    assert_string_equal(credential("WORK", "aws_access_key_id"), "(none)");
}

static void test_aws_profile_sections_of_config_begin_with_profile(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".aws/config",
                  "[default]\nregion = d\n[work]\nregion = wrong\n[profile work]\nregion = w\n"
                  "[profile\tmy profile]\nregion = m\n[profile \"quoted name\"]\nregion = q\n"
                  "[sso-session work]\nregion = s\n[profile default]\nregion = never\n");
    assert_string_equal(setting("default", "region"), "d");
    assert_string_equal(setting("work", "region"), "w");
    assert_string_equal(setting("my profile", "region"), "m");
    assert_string_equal(setting("quoted name", "region"), "q");
    assert_string_equal(setting("profile work", "region"), "(none)");
}

static void test_aws_profile_nested_values_belong_to_their_option(void **state)
{
    struct fixture *f = *state;

    fixture_write(
        f, ".aws/config",
        "[default]\ns3 =\n  endpoint_url = https://nested\n  region = nested\n"
        "region = outer\n  continued\n\n[profile indented]\n  region = i\n  output = x\n");
    assert_string_equal(setting("default", "endpoint_url"), "(none)");
    assert_string_equal(setting("default", "region"), "outer");
    assert_string_equal(setting("indented", "region"), "i");
    assert_string_equal(setting("indented", "output"), "x");
}

static void test_aws_profile_takes_crlf_bom_tabs_and_comments_after_sections(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".aws/credentials",
                  "\xEF\xBB\xBF[default] # mine\r\nAWS_Access_Key_Id\t=\tA1\t\r\n"
                  "aws_secret_access_key = a/b+c=d==\r\n[last]\r\naws_access_key_id = L");
    assert_string_equal(credential("default", "aws_access_key_id"), "A1");
    assert_string_equal(credential("default", "aws_secret_access_key"), "a/b+c=d==");
    assert_string_equal(credential("last", "aws_access_key_id"), "L");
}

static void test_aws_profile_long_session_tokens_are_whole(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(60100);
    static const char head[] = "[default]\naws_session_token = ";

    assert_non_null(text);
    memcpy(text, head, sizeof head - 1);
    memset(text + sizeof head - 1, 'T', 60000);
    snprintf(text + sizeof head - 1 + 60000, 40, "\naws_access_key_id = A\n");
    fixture_write(f, ".aws/credentials", text);
    free(text);
    assert_int_equal(strlen(credential("default", "aws_session_token")), 60000);
    assert_string_equal(credential("default", "aws_access_key_id"), "A");
}

static void test_aws_profile_values_may_be_empty_and_lines_malformed(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".aws/credentials",
                  "[default\naws_access_key_id = no\n[]\n]\n=\n[default]\nnonsense\n= x\n"
                  "aws_session_token =\naws_access_key_id = A\n");
    assert_string_equal(credential("default", "aws_access_key_id"), "A");
    assert_string_equal(credential("default", "aws_session_token"), "");
    assert_string_equal(credential("", "aws_access_key_id"), "(none)");
}

static void test_aws_profile_missing_files_are_empty_ones(void **state)
{
    (void)state;
    assert_string_equal(credential("default", "aws_access_key_id"), "(none)");
    assert_string_equal(setting("default", "region"), "(none)");
    assert_int_equal(unsetenv("HOME"), 0);
    assert_string_equal(credential("default", "aws_access_key_id"), "(none)");
}

static void test_aws_profile_variables_name_other_files(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".aws/credentials", "[default]\naws_access_key_id = home\n");
    fixture_write(f, "keys", "[default]\naws_access_key_id = elsewhere\n");
    fixture_write(f, "settings", "[default]\nregion = elsewhere\n");
    fixture_set("AWS_SHARED_CREDENTIALS_FILE", "keys");
    fixture_set("AWS_CONFIG_FILE", "settings");
    assert_string_equal(credential("default", "aws_access_key_id"), "elsewhere");
    assert_string_equal(setting("default", "region"), "elsewhere");
    fixture_set("AWS_SHARED_CREDENTIALS_FILE", "absent");
    assert_string_equal(credential("default", "aws_access_key_id"), "(none)");
}

static void test_aws_profile_that_cannot_be_read_is_a_configuration_error(void **state)
{
    struct buf out;
    struct err e;
    bool found = true, section = true;

    (void)state;
    fixture_set("AWS_SHARED_CREDENTIALS_FILE", "."); /* a folder */
    err_init(&e);
    buf_init(&out, 100);
    assert_int_equal(
        aws_profile_get(AWS_PROFILE_CREDENTIALS, "default", "x", &out, &found, &section, &e),
        ERR_CONFIG);
    assert_int_equal(e.code, ERR_CONFIG);
    assert_false(found);
    assert_true(e.message[0] != '\0');
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_aws_profile_reads_the_section_that_is_asked_for),
        fixture_test(test_aws_profile_sections_of_config_begin_with_profile),
        fixture_test(test_aws_profile_nested_values_belong_to_their_option),
        fixture_test(test_aws_profile_takes_crlf_bom_tabs_and_comments_after_sections),
        fixture_test(test_aws_profile_long_session_tokens_are_whole),
        fixture_test(test_aws_profile_values_may_be_empty_and_lines_malformed),
        fixture_test(test_aws_profile_missing_files_are_empty_ones),
        fixture_test(test_aws_profile_variables_name_other_files),
        fixture_test(test_aws_profile_that_cannot_be_read_is_a_configuration_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
