#include "app/cloudflare.h"
#include "blobferry/app/credentials.h"
#include "blobferry/base/process.h"
#include "blobferry/codec/digest.h"
#include "harness/scripted_server.h"
#include "unit/app/fixture.h"

#include <signal.h>
#include <time.h>

#define TOKEN "SENTINELtoken0123456789"

#define ACTIVE                                                                                     \
    "{\"result\":{\"id\":\"ed17574386854bf78a67040be0a770b0\",\"status\":\"active\"},"             \
    "\"success\":true,\"errors\":[],\"messages\":[]}"
#define INVALID                                                                                    \
    "{\"success\":false,\"errors\":[{\"code\":1000,\"message\":\"Invalid API Token\"}],"           \
    "\"messages\":[],\"result\":null}"

struct server {
    struct fixture *fixture;
    struct scripted *http;
};

static int setup(void **state)
{
    struct server *s = calloc(1, sizeof *s);
    void *fixture = NULL;

    assert_non_null(s);
    fixture_setup(&fixture);
    s->fixture = fixture;
    s->http = scripted_start(NULL);
    fixture_set("BLOBFERRY_CLOUDFLARE_API", scripted_url(s->http));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;
    void *fixture = s->fixture;

    process_stop_for_tests(0);
    scripted_stop(s->http);
    fixture_teardown(&fixture);
    free(s);
    return 0;
}

/* Asks; whatever happens, the token is in no message (P8). */
static enum err_code ask(struct objstore_credentials *out, const char *account, struct err *e)
{
    enum err_code code;

    memset(out, 0, sizeof *out);
    err_init(e);
    code = cloudflare_keys(out, TOKEN, account, NULL, e);
    assert_int_equal(code, e->code);
    assert_null(strstr(e->message, "SENTINEL"));
    assert_null(strstr(e->hint, "SENTINEL"));
    return code;
}

static void assert_fails(const char *account, enum err_code code, const char *part)
{
    struct objstore_credentials keys;
    struct err e;

    assert_int_equal(ask(&keys, account, &e), code);
    if (strstr(e.message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, e.message);
    assert_false(secret_is_set(&keys.secret));
    assert_string_equal(keys.access_key, "");
    credentials_release(&keys);
}

static void test_cloudflare_active_token_gives_its_id_and_its_hash(void **state)
{
    struct server *s = *state;
    struct objstore_credentials keys;
    const struct scripted_request *r;
    char hex[DIGEST_SHA256_HEX], header[200];
    struct err e;

    scripted_add_status(s->http, 200, "Content-Type: application/json\r\n", ACTIVE);
    assert_int_equal(ask(&keys, "acc", &e), ERR_OK);
    digest_sha256_hex(TOKEN, strlen(TOKEN), hex);
    assert_string_equal(keys.access_key, "ed17574386854bf78a67040be0a770b0");
    assert_string_equal(secret_peek(&keys.secret), hex);
    assert_false(secret_is_set(&keys.session_token));
    assert_string_equal(keys.source, "CLOUDFLARE_API_TOKEN");
    credentials_release(&keys);
    assert_int_equal(scripted_count(s->http), 1); /* asked once */
    r = scripted_request_at(s->http, 0);
    assert_string_equal(r->method, "GET");
    assert_string_equal(r->target, "/client/v4/user/tokens/verify");
    assert_true(scripted_header(r, "authorization", header, sizeof header));
    assert_string_equal(header, "Bearer " TOKEN);
}

static void test_cloudflare_token_that_is_not_active_is_denied(void **state)
{
    static const char *const states[] = {"disabled", "expired", "Active", ""};
    struct server *s = *state;
    char body[200];

    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        snprintf(body, sizeof body,
                 "{\"success\":true,\"result\":{\"id\":\"abc\",\"status\":\"%s\"}}", states[i]);
        scripted_add_status(s->http, 200, NULL, body);
        assert_fails(NULL, ERR_STORE_DENIED, "does not accept CLOUDFLARE_API_TOKEN");
    }
}

static void test_cloudflare_unknown_token_is_denied_and_not_asked_twice(void **state)
{
    struct server *s = *state;

    scripted_add_status(s->http, 401, NULL, INVALID);
    assert_fails(NULL, ERR_STORE_DENIED, "status 401");
    scripted_add_status(s->http, 403, NULL, "<html>no</html>");
    assert_fails(NULL, ERR_STORE_DENIED, "status 403");
    assert_int_equal(scripted_count(s->http), 2);
    assert_int_equal(scripted_unscripted(s->http), 0);
}

static void test_cloudflare_token_of_an_account_is_asked_for_there(void **state)
{
    struct server *s = *state;
    struct objstore_credentials keys;
    struct err e;

    scripted_add_status(s->http, 401, NULL, INVALID);
    scripted_add_status(s->http, 200, NULL, ACTIVE);
    assert_int_equal(ask(&keys, "acc0123", &e), ERR_OK);
    assert_string_equal(keys.access_key, "ed17574386854bf78a67040be0a770b0");
    credentials_release(&keys);
    assert_string_equal(scripted_request_at(s->http, 1)->target,
                        "/client/v4/accounts/acc0123/tokens/verify");
    scripted_add_status(s->http, 401, NULL, INVALID);
    scripted_add_status(s->http, 401, NULL, INVALID);
    assert_fails("acc0123", ERR_STORE_DENIED, "status 401");
    scripted_add_status(s->http, 401, NULL, INVALID);
    assert_fails("../../zones", ERR_STORE_DENIED, "status 401"); /* is no account */
    assert_int_equal(scripted_count(s->http), 5);
}

static void test_cloudflare_trouble_is_not_a_verdict_on_the_token(void **state)
{
    static const int statuses[] = {429, 500, 502, 503};
    struct server *s = *state;
    char part[40];

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        scripted_add_status(s->http, statuses[i], NULL, "<html>" TOKEN "</html>");
        snprintf(part, sizeof part, "answered %d", statuses[i]);
        assert_fails("acc", ERR_STORE_UNAVAILABLE, part);
    }
    assert_int_equal(scripted_count(s->http), sizeof statuses / sizeof *statuses);
}

static void test_cloudflare_answers_of_others_are_recognised(void **state)
{
    static const char *const bodies[] = {
        "<html>sign in</html>", "", "[]", "{\"result\":1}", "{\"success\":\"yes\"}",
        "{\"success\":true"};
    struct server *s = *state;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        scripted_add_status(s->http, 200, NULL, bodies[i]);
        assert_fails("acc", ERR_STORE_UNAVAILABLE, "not Cloudflare's API");
    }
    /* a redirect is not followed: the token goes nowhere else (D16) */
    scripted_add_status(s->http, 302, "Location: http://127.0.0.1:9/\r\n", NULL);
    assert_fails("acc", ERR_STORE_UNAVAILABLE, "not Cloudflare's API");
    assert_int_equal(scripted_unscripted(s->http), 0);
}

/* The id becomes a part of every Authorization header. */
static void test_cloudflare_hostile_ids_are_refused(void **state)
{
    static const char *const ids[] = {"\"a/b\"", "\"a b\"", "\"a\\r\\nX: y\"", "\"\"", "7", "null"};
    struct server *s = *state;
    char body[700];

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        snprintf(body, sizeof body,
                 "{\"success\":true,\"result\":{\"id\":%s,\"status\":\"active\"}}", ids[i]);
        scripted_add_status(s->http, 200, NULL, body);
        assert_fails(NULL, ERR_STORE_DENIED, "does not accept");
    }
    snprintf(body, sizeof body,
             "{\"success\":true,\"result\":{\"id\":\"%0500d\",\"status\":\"active\"}}", 1);
    scripted_add_status(s->http, 200, NULL, body);
    assert_fails(NULL, ERR_STORE_DENIED, "does not accept");
}

static void test_cloudflare_broken_and_refused_connections(void **state)
{
    struct server *s = *state;

    scripted_add(s->http, &(struct scripted_reply){.reset = true});
    assert_fails("acc", ERR_STORE_UNAVAILABLE, "cannot ask Cloudflare");
    fixture_set("BLOBFERRY_CLOUDFLARE_API", "http://127.0.0.1:1");
    assert_fails("acc", ERR_STORE_UNAVAILABLE, "cannot ask Cloudflare");
}

/* Plain http would show the token to everybody on the way. */
static void test_cloudflare_base_must_be_https_or_loopback(void **state)
{
    static const char *const bad[] = {"http://api.cloudflare.com", "http://127.0.0.1.evil.example/",
                                      "ftp://127.0.0.1:1", "https://u:p@host",
                                      "api.cloudflare.com"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_set("BLOBFERRY_CLOUDFLARE_API", bad[i]);
        assert_fails("acc", ERR_CONFIG, "BLOBFERRY_CLOUDFLARE_API");
    }
}

static void test_cloudflare_a_signal_ends_the_wait(void **state)
{
    struct server *s = *state;
    struct timespec before, after;

    scripted_add(s->http, &(struct scripted_reply){.hang = true, .text = "HTTP/1.1 200 OK\r\n"});
    process_stop_for_tests(SIGTERM);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_fails("acc", ERR_CANCELLED, "signal");
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 10);
}

#define served(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        served(test_cloudflare_active_token_gives_its_id_and_its_hash),
        served(test_cloudflare_token_that_is_not_active_is_denied),
        served(test_cloudflare_unknown_token_is_denied_and_not_asked_twice),
        served(test_cloudflare_token_of_an_account_is_asked_for_there),
        served(test_cloudflare_trouble_is_not_a_verdict_on_the_token),
        served(test_cloudflare_answers_of_others_are_recognised),
        served(test_cloudflare_hostile_ids_are_refused),
        served(test_cloudflare_broken_and_refused_connections),
        served(test_cloudflare_base_must_be_https_or_loopback),
        served(test_cloudflare_a_signal_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
