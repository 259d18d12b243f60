/* d1_http: what the API says, and what it does not say, as errors of ours; what passes by is asked for again. */
#include "harness/scripted_server.h"
#include "track/d1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOKEN  "SENTINELtoken0123456789"
#define RESULT "{\"results\":[],\"success\":true,\"meta\":{\"changes\":0}}"
#define GOOD   "{\"result\":[" RESULT "],\"success\":true,\"errors\":[],\"messages\":[]}"
#define BAD(text)                                                                                  \
    "{\"result\":[],\"success\":false,\"errors\":[{\"code\":7500,\"message\":\"" text              \
    "\"}],\"messages\":[]}"

struct world {
    struct scripted *http;
    struct secret token;
    struct tracker *t;
    struct err e;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->http = scripted_start(NULL);
    assert_int_equal(secret_set(&w->token, TOKEN, strlen(TOKEN), NULL), ERR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    tracker_close(w->t);
    scripted_stop(w->http);
    secret_release(&w->token);
    free(w);
    return 0;
}

static enum err_code open_url(struct world *w, const char *url)
{
    const struct tracker_options o = {
        .url = url, .password = &w->token, .d1_api = scripted_url(w->http)};

    err_init(&w->e);
    enum err_code code = tracker_open(&w->t, &o, &w->e);
    assert_int_equal(code, w->e.code);
    assert_null(strstr(w->e.message, "SENTINEL"));
    assert_null(strstr(w->e.hint, "SENTINEL"));
    return code;
}

/* Opening asks one question: what there is in the schema. */
static enum err_code open_d1(struct world *w)
{
    return open_url(w, "d1://acc-1/db_2");
}

static void assert_refused(struct world *w, enum err_code code, const char *part)
{
    assert_int_equal(open_d1(w), code);
    assert_null(w->t);
    if (strstr(w->e.message, part) == NULL && strstr(w->e.hint, part) == NULL)
        fail_msg("'%s' is neither in '%s' nor in '%s'", part, w->e.message, w->e.hint);
    assert_int_equal(scripted_unscripted(w->http), 0);
}

static void test_d1_http_asks_the_documented_endpoint(void **state)
{
    struct world *w = *state;

    scripted_add_status(w->http, 200, NULL, GOOD);
    assert_int_equal(open_d1(w), ERR_OK);
    const struct scripted_request *r = scripted_request_at(w->http, 0);
    assert_string_equal(r->method, "POST");
    assert_string_equal(r->target, "/client/v4/accounts/acc-1/d1/database/db_2/query");
    assert_non_null(strstr(r->header_block, "Authorization: Bearer " TOKEN));
    assert_non_null(strstr((const char *)r->body, "{\"batch\":[{\"sql\":\"SELECT "));
    assert_string_equal(tracker_name(w->t), "d1://acc-1/db_2");
}

static void test_d1_http_urls_that_name_nothing_are_refused_before_anything_is_sent(void **state)
{
    static const char *const urls[] = {"d1://",      "d1://a",     "d1://a/",     "d1:///b",
                                       "d1://a/b/c", "d1://a/b?x", "d1://a/../b", "d1://a/b@c"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        assert_int_equal(open_url(w, urls[i]), ERR_CONFIG);
    secret_release(&w->token);
    assert_int_equal(open_d1(w), ERR_CONFIG);
    assert_non_null(strstr(w->e.hint, "CLOUDFLARE_API_TOKEN"));
    assert_int_equal(scripted_count(w->http), 0);
}

static void test_d1_http_what_passes_by_is_asked_for_again(void **state)
{
    struct world *w = *state;

    scripted_add_status(w->http, 429, "Retry-After: 0\r\n", BAD("rate limited"));
    scripted_add_status(w->http, 502, NULL, "error code: 502");
    scripted_add(w->http, &(struct scripted_reply){.close = true}); /* done, and the answer lost */
    scripted_add_status(w->http, 400, NULL, BAD("database is locked: SQLITE_BUSY"));
    scripted_add_status(w->http, 200, NULL, GOOD);
    assert_int_equal(open_d1(w), ERR_OK);
    assert_int_equal(scripted_unscripted(w->http), 0);
    for (size_t i = 1; i < scripted_count(w->http); i++) /* the very same request */
        assert_string_equal((const char *)scripted_request_at(w->http, i)->body,
                            (const char *)scripted_request_at(w->http, 0)->body);
}

static void test_d1_http_refusals_are_not_repeated(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code code;
        const char *part;
    } cases[] = {
        {401, BAD("Authentication error"), ERR_DB, "CLOUDFLARE_API_TOKEN"},
        {403, BAD("Authentication error"), ERR_DB, "D1:Edit"},
        {404, BAD("The database x could not be found"), ERR_DB, "wrangler d1 list"},
        {400, BAD("no such table: files: SQLITE_ERROR"), ERR_DB_SCHEMA, "no such table: files"},
        {400, BAD("no such column: m.x: SQLITE_ERROR"), ERR_DB_SCHEMA, "m.x"},
        {400, BAD("UNIQUE constraint failed: files.id"), ERR_DB, "UNIQUE constraint"},
        {400, BAD("something new"), ERR_DB, "something new"},
        {200, "<html>sign in</html>", ERR_DB, "not Cloudflare's API"},
        {302, "", ERR_DB, "not Cloudflare's API"},
        {200, "{\"success\":true,\"result\":[]}", ERR_DB, "other statements"},
        {200, "{\"success\":true,\"result\":[" RESULT "," RESULT "]}", ERR_DB, "other statements"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scripted_add_status(w->http, cases[i].status, NULL, cases[i].body);
        assert_refused(w, cases[i].code, cases[i].part);
        assert_int_equal(scripted_count(w->http), i + 1);
    }
}

static void test_d1_http_texts_that_are_not_utf8_are_not_sent(void **state)
{
    struct world *w = *state;
    struct d1_answer a;

    scripted_add_status(w->http, 200, NULL, GOOD);
    assert_int_equal(open_d1(w), ERR_OK);
    assert_int_equal(d1_query(d1_of(w->t), &a, "SELECT ?1", D1_TEXTS("a\xff"), &w->e), ERR_DB);
    assert_non_null(strstr(w->e.message, "UTF-8"));
    assert_int_equal(scripted_count(w->http), 1);
    d1_answer_release(&a);
}

static void test_d1_http_keeps_to_the_limit_of_the_api(void **state)
{
    const int64_t five_minutes = 300000;
    int64_t next = 0, now = 1000000, sent = 0;

    (void)state;
    for (int i = 0; i < 150; i++) /* a short command does not wait at all */
        assert_int_equal(d1_http_pace(&next, now), 0);
    for (sent = 150; now < 1000000 + five_minutes; sent++) {
        const int64_t wait = d1_http_pace(&next, now);
        assert_true(wait >= 0 && wait <= 300);
        now += wait;
    }
    assert_true(sent > 1100 && sent <= 1200);
    now += 10 * five_minutes;
    assert_int_equal(d1_http_pace(&next, now), 0);
    assert_true(next == now + 300); /* what was not used is not saved up */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_d1_http_asks_the_documented_endpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_d1_http_urls_that_name_nothing_are_refused_before_anything_is_sent, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_d1_http_what_passes_by_is_asked_for_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_d1_http_refusals_are_not_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d1_http_texts_that_are_not_utf8_are_not_sent, setup,
                                        teardown),
        cmocka_unit_test(test_d1_http_keeps_to_the_limit_of_the_api),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
