#include "blobferry/app/credentials.h"
#include "blobferry/codec/digest.h"
#include "harness/scripted_server.h"
#include "unit/app/fixture.h"

#define ACTIVE                                                                                     \
    "{\"result\":{\"id\":\"tokenid\",\"status\":\"active\"},\"success\":true,\"errors\":[]}"

/* Finds with what environment and files say, and --profile when flag is not NULL. No secret is in any message (P8). */
static enum err_code find(struct objstore_credentials *out, const char *flag, struct err *e)
{
    struct config c;
    enum err_code code;

    config_init(&c);
    err_init(e);
    if (flag != NULL)
        assert_int_equal(config_set(&c, "profile", flag, "--option", e), ERR_OK);
    assert_int_equal(config_load(&c, NULL, false, e), ERR_OK);
    code = credentials_find(out, &c, e);
    assert_int_equal(code, e->code);
    assert_null(strstr(e->message, "SENTINEL"));
    assert_null(strstr(e->hint, "SENTINEL"));
    if (code != ERR_OK) {
        assert_false(secret_is_set(&out->secret));
        assert_string_equal(out->access_key, "");
    }
    config_release(&c);
    return code;
}

static void assert_found(const char *flag, const char *key, const char *secret, const char *source)
{
    struct objstore_credentials keys;
    struct err e;

    if (find(&keys, flag, &e) != ERR_OK)
        fail_msg("%s", e.message);
    assert_string_equal(keys.access_key, key);
    assert_string_equal(secret_peek(&keys.secret), secret);
    assert_string_equal(keys.source, source);
    credentials_release(&keys);
}

static void assert_refused(const char *flag, enum err_code code, const char *part)
{
    struct objstore_credentials keys;
    struct err e;

    assert_int_equal(find(&keys, flag, &e), code);
    if (strstr(e.message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, e.message);
    credentials_release(&keys);
}

static void environment_keys(void)
{
    fixture_set("AWS_ACCESS_KEY_ID", "AKIAENV");
    fixture_set("AWS_SECRET_ACCESS_KEY", "SENTINELenv");
}

static void profiles(struct fixture *f)
{
    fixture_write(f, ".aws/credentials",
                  "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = SENTINELd\n"
                  "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = SENTINELw\n"
                  "aws_session_token = SENTINELt\n");
}

static void test_credentials_none_says_what_to_set(void **state)
{
    struct objstore_credentials keys;
    struct err e;

    (void)state;
    assert_int_equal(find(&keys, NULL, &e), ERR_CONFIG);
    assert_string_equal(e.message, "no credentials for the object store");
    assert_non_null(strstr(e.hint, "AWS_ACCESS_KEY_ID"));
    assert_int_equal(err_exit_code(e.code), 2);
    credentials_release(&keys);
}

static void test_credentials_environment_goes_before_profiles(void **state)
{
    struct fixture *f = *state;
    struct objstore_credentials keys;
    struct err e;

    profiles(f);
    environment_keys();
    fixture_set("AWS_SESSION_TOKEN", "SENTINELsession");
    assert_int_equal(find(&keys, NULL, &e), ERR_OK);
    assert_string_equal(keys.access_key, "AKIAENV");
    assert_string_equal(secret_peek(&keys.session_token), "SENTINELsession");
    credentials_release(&keys);
    /* as with the AWS tools, a profile that a variable names does not go before keys of the environment */
    fixture_set("AWS_PROFILE", "work");
    assert_found(NULL, "AKIAENV", "SENTINELenv", "environment");
}

static void test_credentials_profile_flag_goes_before_the_environment(void **state)
{
    struct fixture *f = *state;
    struct objstore_credentials keys;
    struct err e;

    profiles(f);
    environment_keys();
    fixture_set("AWS_SESSION_TOKEN", "SENTINELsession");
    assert_int_equal(find(&keys, "work", &e), ERR_OK);
    assert_string_equal(keys.access_key, "AKIAWORK");
    assert_string_equal(secret_peek(&keys.session_token), "SENTINELt"); /* not the environment's */
    assert_string_equal(keys.source, "profile 'work'");
    credentials_release(&keys);
    assert_refused("absent", ERR_CONFIG, "no profile 'absent'");
}

static void test_credentials_profiles_default_and_named(void **state)
{
    struct fixture *f = *state;

    profiles(f);
    assert_found(NULL, "AKIADEFAULT", "SENTINELd", "profile 'default'");
    fixture_set("AWS_PROFILE", "work");
    assert_found(NULL, "AKIAWORK", "SENTINELw", "profile 'work'");
    fixture_set("AWS_PROFILE", "absent");
    assert_refused(NULL, ERR_CONFIG, "no profile 'absent'");
}

static void test_credentials_config_file_comes_after_the_credentials_file(void **state)
{
    struct fixture *f = *state;

    fixture_write(f, ".aws/config",
                  "[profile work]\naws_access_key_id = AKIACONFIG\n"
                  "aws_secret_access_key = SENTINELc\n[profile sso]\nsso_start_url = https://x\n");
    assert_found("work", "AKIACONFIG", "SENTINELc", "profile 'work'");
    assert_refused("sso", ERR_CONFIG, "profile 'sso' holds no access key");
    profiles(f);
    assert_found("work", "AKIAWORK", "SENTINELw", "profile 'work'");
}

static void test_credentials_half_set_is_an_error_and_not_passed_over(void **state)
{
    struct fixture *f = *state;

    profiles(f);
    fixture_set("AWS_ACCESS_KEY_ID", "AKIA");
    assert_refused(NULL, ERR_CONFIG, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
    unsetenv("AWS_ACCESS_KEY_ID");
    fixture_set("AWS_SECRET_ACCESS_KEY", "SENTINEL");
    assert_refused(NULL, ERR_CONFIG, "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    fixture_write(f, ".aws/credentials", "[default]\naws_access_key_id = AKIA\n");
    assert_refused(NULL, ERR_CONFIG, "profile 'default': aws_access_key_id is set");
    fixture_write(f, ".aws/credentials", "[default]\naws_secret_access_key = SENTINEL\n");
    assert_refused(NULL, ERR_CONFIG, "profile 'default': aws_secret_access_key is set");
    /* a token alone is nothing */
    fixture_write(f, ".aws/credentials", "[default]\naws_session_token = SENTINEL\n");
    assert_refused(NULL, ERR_CONFIG, "no credentials");
}

static void test_credentials_with_line_ends_or_blanks_are_refused(void **state)
{
    static const char *const bad[][2] = {{"AWS_ACCESS_KEY_ID", "AKIA\n"},
                                         {"AWS_SECRET_ACCESS_KEY", "SENTINEL\r"},
                                         {"AWS_SECRET_ACCESS_KEY", " SENTINEL"},
                                         {"AWS_SECRET_ACCESS_KEY", "SENTINEL\xC3\xA9"},
                                         {"AWS_SESSION_TOKEN", "SENTINEL\r\nX: y"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        environment_keys();
        fixture_set("AWS_SESSION_TOKEN", "");
        fixture_set(bad[i][0], bad[i][1]);
        assert_refused(NULL, ERR_CONFIG, bad[i][0]);
    }
}

static void test_credentials_access_key_is_never_cut(void **state)
{
    char key[400];

    (void)state;
    environment_keys();
    memset(key, 'A', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    fixture_set("AWS_ACCESS_KEY_ID", key);
    assert_refused(NULL, ERR_CONFIG, "too long");
    key[255] = '\0';
    fixture_set("AWS_ACCESS_KEY_ID", key);
    assert_found(NULL, key, "SENTINELenv", "environment");
}

/* A token in the environment speaks of R2; whose endpoint it is decides whether a default profile may be meant instead. */
static void test_credentials_cloudflare_token_and_default_profile(void **state)
{
    struct fixture *f = *state;
    struct scripted *http = scripted_start(NULL);
    char hex[DIGEST_SHA256_HEX];

    digest_sha256_hex("SENTINELtoken", 13, hex);
    scripted_add(
        http, &(struct scripted_reply){
                  .text = "HTTP/1.1 200 OK\r\nContent-Length: 72\r\n\r\n" ACTIVE, .repeat = true});
    fixture_set("BLOBFERRY_CLOUDFLARE_API", scripted_url(http));
    fixture_set("CLOUDFLARE_API_TOKEN", "SENTINELtoken");
    assert_found(NULL, "tokenid", hex, "CLOUDFLARE_API_TOKEN");
    assert_int_equal(scripted_count(http), 1);
    profiles(f);
    assert_found(NULL, "AKIADEFAULT", "SENTINELd", "profile 'default'");
    assert_int_equal(scripted_count(http), 1);
    fixture_set("R2_BUCKET_NAME", "media");
    fixture_set("CLOUDFLARE_ACCOUNT_ID", "acc");
    assert_found(NULL, "tokenid", hex, "CLOUDFLARE_API_TOKEN");
    fixture_set("AWS_PROFILE", "work"); /* named: meant */
    assert_found(NULL, "AKIAWORK", "SENTINELw", "profile 'work'");
    environment_keys();
    assert_found(NULL, "AKIAENV", "SENTINELenv", "environment");
    assert_int_equal(scripted_count(http), 2);
    scripted_stop(http);
}

static void test_credentials_cloudflare_token_with_a_line_end_is_refused(void **state)
{
    (void)state;
    fixture_set("CLOUDFLARE_API_TOKEN", "SENTINEL\n");
    assert_refused(NULL, ERR_CONFIG, "CLOUDFLARE_API_TOKEN");
}

static void test_credentials_profile_values_of_region_and_endpoint(void **state)
{
    struct fixture *f = *state;
    struct config c;
    struct err e;
    char value[32];

    fixture_write(f, ".aws/config",
                  "[default]\nregion = eu-1\n[profile work]\nendpoint_url = http://127.0.0.1:9\n"
                  "region =\n");
    config_init(&c);
    err_init(&e);
    assert_int_equal(config_load(&c, NULL, false, &e), ERR_OK);
    assert_true(credentials_profile_value(&c, "region", value, sizeof value));
    assert_string_equal(value, "eu-1");
    assert_false(credentials_profile_value(&c, "endpoint_url", value, sizeof value));
    assert_false(credentials_profile_value(&c, "region", value, 3)); /* never cut */
    assert_int_equal(config_set(&c, "profile", "work", "--option", &e), ERR_OK);
    assert_true(credentials_profile_value(&c, "endpoint_url", value, sizeof value));
    assert_string_equal(value, "http://127.0.0.1:9");
    assert_false(credentials_profile_value(&c, "region", value, sizeof value));
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_credentials_none_says_what_to_set),
        fixture_test(test_credentials_environment_goes_before_profiles),
        fixture_test(test_credentials_profile_flag_goes_before_the_environment),
        fixture_test(test_credentials_profiles_default_and_named),
        fixture_test(test_credentials_config_file_comes_after_the_credentials_file),
        fixture_test(test_credentials_half_set_is_an_error_and_not_passed_over),
        fixture_test(test_credentials_with_line_ends_or_blanks_are_refused),
        fixture_test(test_credentials_access_key_is_never_cut),
        fixture_test(test_credentials_cloudflare_token_and_default_profile),
        fixture_test(test_credentials_cloudflare_token_with_a_line_end_is_refused),
        fixture_test(test_credentials_profile_values_of_region_and_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
