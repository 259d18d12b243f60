/* The published answers of real and hostile servers, byte for byte, met by real operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/codec/text.h"

#include "unit/object/s3_cases.h"
#include "unit/object/s3_talk.h"

#define CREATED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u-1</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED                                                                                  \
    "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>"

static void script_file(struct talk *t, const char *method, const char *file)
{
    char path[4096];

    cases_path(file, path, sizeof path);
    scripted_add(t->s, &(struct scripted_reply){.method = method,
                                                .file = path,
                                                .early = strstr(file, "before-body") != NULL,
                                                .reset = strstr(file, "before-body") != NULL});
}

static bool is(const struct json *c, const char *verdict)
{
    return strcmp(cases_text(c, "verdict"), verdict) == 0;
}

static void expect_code(const struct json *c, const struct objstore_result *r)
{
    if (cases_text(c, "code")[0] != '\0' && strstr(r->err.message, cases_text(c, "code")) == NULL)
        fail_msg("%s: '%s'", cases_text(c, "file"), r->err.message);
    assert_null(strstr(r->err.message, "SECRETTOKEN"));
    assert_null(strstr(r->err.hint, "SECRETTOKEN"));
}

/* ---- PUT ------------------------------------------------------------------------------------------------ */

/* A transient answer is followed by a good one; what may have happened is looked for first. */
static void put_again(struct talk *t, const struct json *c)
{
    script(t, "HEAD", NOT_FOUND);
    script(t, "PUT", OK_PUT);
    const struct objstore_result r = talk_put_hello(t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    assert_int_equal(scripted_count_of(t->s, "PUT"), 2);
    assert_int_equal(scripted_request_at(t->s, scripted_count(t->s) - 1)->body_length, 5);
    (void)c;
}

static void put_once(struct talk *t, const struct json *c, enum objstore_outcome wanted)
{
    const struct objstore_result r = talk_put_hello(t);

    expect_outcome(&r, wanted);
    expect_code(c, &r);
    expect_methods(t, "PUT");
}

static void put_case(void *user, const struct json *c)
{
    const char *file = cases_text(c, "file");
    struct talk t;
    struct objstore_result r;

    (void)user;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_file(&t, "PUT", file);
    if (is(c, "retryable")) {
        put_again(&t, c);
    } else if (is(c, "correct_clock_then_retry_once")) {
        script_file(&t, "PUT", file);
        r = talk_put_hello(&t);
        expect_outcome(&r, OBJSTORE_DENIED);
        expect_methods(&t, "PUT PUT");
    } else if (is(c, "stop_run") || is(c, "refresh_or_stop") || is(c, "fallback_or_stop")) {
        put_once(&t, c, OBJSTORE_DENIED);
    } else if (is(c, "fail_file")) {
        put_once(&t, c, OBJSTORE_REJECTED);
    } else if (is(c, "corrupt")) { /* removed again */
        script_found(&t, "r-1", "\"" ETAG_HELLO "\"", 5);
        script(&t, "DELETE", NO_BODY);
        r = talk_put_hello(&t);
        expect_outcome(&r, OBJSTORE_CORRUPT);
        expect_methods(&t, "PUT HEAD DELETE");
    } else if (is(c, "verify_by_head")) {
        script_found(&t, "r-1", "W/\"" ETAG_HELLO "\"", 5);
        r = talk_put_hello(&t);
        expect_outcome(&r, OBJSTORE_DONE);
        assert_true(r.info.weak_etag);
        expect_methods(&t, "PUT HEAD");
    } else {
        assert_true(is(c, "ok") || is(c, "ok_by_checksum"));
        r = talk_put_hello(&t);
        expect_outcome(&r, OBJSTORE_DONE);
        assert_true(r.verified);
        assert_string_equal(r.info.etag, is(c, "ok") ? cases_text(c, "etag") : "IAMRANDOMETAG");
        expect_methods(&t, "PUT");
    }
    if (scripted_unscripted(t.s) > 0)
        fail_msg("%s: asked more than expected", file);
    talk_close(&t);
}

static void test_s3_cases_put(void **state)
{
    (void)state;
    cases_each("PUT", 25, put_case, NULL);
}

/* ---- HEAD, GET, DELETE ------------------------------------------------------------------------------------ */

static void head_case(void *user, const struct json *c)
{
    struct talk t;

    (void)user;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_file(&t, "HEAD", cases_text(c, "file"));
    const struct objstore_result r = talk_stat(&t);
    expect_outcome(&r, is(c, "stop_run")       ? OBJSTORE_DENIED
                       : is(c, "absent")       ? OBJSTORE_ABSENT
                       : is(c, "precondition") ? OBJSTORE_PRECONDITION
                                               : OBJSTORE_CORRUPT);
    assert_true(r.outcome != OBJSTORE_CORRUPT || is(c, "corrupt"));
    expect_methods(&t, "HEAD");
    talk_close(&t);
}

static void test_s3_cases_head(void **state)
{
    (void)state;
    cases_each("HEAD", 4, head_case, NULL);
}

static void get_case(void *user, const struct json *c)
{
    const char *file = cases_text(c, "file");
    struct objstore_get in = {.key = NULL};
    char text[100];
    struct talk t;

    (void)user;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_file(&t, "GET", file);
    if (is(c, "retryable"))
        script(&t, "GET", "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\nright");
    const struct objstore_result r = talk_get(&t, &in, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(text, is(c, "retryable")                  ? "right"
                              : strstr(file, "error-xml") != NULL ? "<Error/>"
                                                                  : "hello");
    assert_int_equal(r.info.size, (int64_t)strlen(text));
    assert_string_equal(r.info.etag, "x");
    assert_int_equal(scripted_count(t.s), is(c, "retryable") ? 2 : 1);
    talk_close(&t);
}

static void test_s3_cases_get(void **state)
{
    (void)state;
    cases_each("GET", 5, get_case, NULL);
}

static void delete_case(void *user, const struct json *c)
{
    struct talk t;

    (void)user;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_file(&t, "DELETE", cases_text(c, "file"));
    if (is(c, "retry_or_unknown")) {
        for (int i = 0; i < 3; i++)
            script_file(&t, "DELETE", cases_text(c, "file"));
        const struct objstore_result r = talk_remove(&t, NULL);
        expect_outcome(&r, OBJSTORE_UNAVAILABLE);
        expect_methods(&t, "DELETE DELETE DELETE DELETE");
    } else {
        const struct objstore_result r = talk_remove(&t, NULL);
        expect_outcome(&r, OBJSTORE_DONE);
        expect_methods(&t, "DELETE");
    }
    talk_close(&t);
}

static void test_s3_cases_delete(void **state)
{
    (void)state;
    cases_each("DELETE", 3, delete_case, NULL);
}

/* ---- CompleteMultipartUpload --------------------------------------------------------------------------------- */

static void complete_case(void *user, const struct json *c)
{
    const char *file = cases_text(c, "file");
    struct objstore_put p = talk_hello();
    struct objstore_result r;
    struct talk t;

    (void)user;
    p.part_size = OBJSTORE_PART_MIN;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD | OBJSTORE_IF_NONE_MATCH_MPU});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED);
    script(&t, "PUT", OK_PUT);
    script_file(&t, "POST", file);
    if (is(c, "retryable")) { /* perhaps it was done all the same: look, then again */
        script(&t, "HEAD", NOT_FOUND);
        script_body(&t, "POST", COMPLETED);
        script_found(&t, "r-1", "\"x-1\"", 5);
        r = talk_put(&t, &p);
        expect_outcome(&r, OBJSTORE_DONE);
        assert_string_equal(r.info.etag, "x-1");
        expect_methods(&t, "HEAD POST PUT POST HEAD POST HEAD");
    } else if (is(c, "ok")) {
        script_found(&t, "r-1", "\"d41d8cd98f00b204e9800998ecf8427e-3\"", 5);
        r = talk_put(&t, &p);
        expect_outcome(&r, OBJSTORE_DONE);
        assert_string_equal(r.info.etag, cases_text(c, "etag"));
        expect_methods(&t, "HEAD POST PUT POST HEAD");
    } else { /* P11: aborted */
        script(&t, "DELETE", NO_BODY);
        r = talk_put(&t, &p);
        expect_outcome(&r, is(c, "stop_run") ? OBJSTORE_DENIED : OBJSTORE_REJECTED);
        expect_code(c, &r);
        expect_methods(&t, "HEAD POST PUT POST DELETE");
        assert_string_equal(scripted_request_at(t.s, 4)->target, "/bkt/k?uploadId=u-1");
    }
    talk_close(&t);
}

static void test_s3_cases_complete(void **state)
{
    (void)state;
    cases_each("COMPLETE", 4, complete_case, NULL);
}

/* ---- LIST ---------------------------------------------------------------------------------------------------- */

struct page {
    int calls;
    struct objstore_result r;
    struct buf keys; /* base64, ',' between */
    char next[200];
};

static void take_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct page *p = user;
    char coded[200];

    p->calls++;
    p->r = *r;
    for (size_t i = 0; i < page->n; i++) {
        assert_true(
            text_base64(page->entries[i].key, page->entries[i].key_len, coded, sizeof coded));
        buf_printf(&p->keys, "%s,", coded);
        assert_int_equal(page->entries[i].size, 5);
        assert_string_equal(page->entries[i].etag, ETAG_HELLO);
        assert_int_equal(page->entries[i].last_modified_ms, INT64_C(1767225600000));
    }
    str_copy(p->next, sizeof p->next, page->next == NULL ? "" : page->next);
}

static void ask_page(struct talk *t, struct page *p, const char *token)
{
    memset(p, 0, sizeof *p);
    buf_init(&p->keys, 4096);
    assert_int_equal(
        objstore_list(t->store, &(struct objstore_list){.token = token}, take_page, p, &t->err),
        ERR_OK);
    talk_run(t, &p->calls);
}

static void list_case(void *user, const struct json *c)
{
    const struct json *keys = json_get(c, "keys_b64");
    const bool repeats = is(c, "error_if_repeated");
    struct page p;
    struct buf wanted;
    struct talk t;

    (void)user;
    buf_init(&wanted, 4096);
    for (const struct json *key = json_first(keys); key != NULL; key = json_next(key))
        buf_printf(&wanted, "%s,", json_string(key));
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = -1});
    script_file(&t, "GET", cases_text(c, "file"));
    if (is(c, "ok") || repeats) {
        ask_page(&t, &p, NULL);
        expect_outcome(&p.r, OBJSTORE_DONE);
        assert_string_equal(buf_cstr(&p.keys), buf_cstr(&wanted));
        assert_string_equal(p.next, repeats ? "SAME" : cases_text(c, "token"));
    } else {
        ask_page(&t, &p, NULL);
        assert_true(p.r.outcome == OBJSTORE_CORRUPT || p.r.outcome == OBJSTORE_UNAVAILABLE);
        assert_string_equal(buf_cstr(&p.keys), "");
    }
    buf_release(&p.keys);
    if (repeats) {
        script_file(&t, "GET", cases_text(c, "file"));
        ask_page(&t, &p, "SAME");
        expect_outcome(&p.r, OBJSTORE_CORRUPT);
        buf_release(&p.keys);
    }
    assert_string_equal(scripted_request_at(t.s, 0)->target,
                        "/bkt?encoding-type=url&list-type=2&max-keys=1000");
    buf_release(&wanted);
    talk_close(&t);
}

static void test_s3_cases_list(void **state)
{
    (void)state;
    cases_each("LIST", 8, list_case, NULL);
}

/* ---- DeleteObjects ---------------------------------------------------------------------------------------------- */

struct bulk {
    int calls;
    struct objstore_result whole;
    struct objstore_bulk_result each[4];
};

static void take_bulk(void *user, const struct objstore_result *whole,
                      const struct objstore_bulk_result *each, size_t n)
{
    struct bulk *b = user;

    b->calls++;
    b->whole = *whole;
    assert_int_equal(n, 4);
    memcpy(b->each, each, sizeof b->each);
}

static void bulk_case(void *user, const struct json *c)
{
    static const struct objstore_bulk_item items[] = {
        {.key = "c&d"}, {.key = "a"}, {.key = "not answered"}, {.key = "b"}};
    struct bulk b = {0};
    struct talk t;

    (void)user;
    assert_true(is(c, "partial"));
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = 1});
    script_file(&t, "POST", cases_text(c, "file"));
    script_file(&t, "POST", cases_text(c, "file")); /* for those two that are still open */
    assert_int_equal(objstore_remove_many(t.store, items, 4, take_bulk, &b, &t.err), ERR_OK);
    talk_run(&t, &b.calls);
    expect_outcome(&b.whole, OBJSTORE_DONE);
    assert_int_equal(b.each[0].outcome, OBJSTORE_UNAVAILABLE);
    assert_string_equal(b.each[0].message, "InternalError");
    assert_int_equal(b.each[1].outcome, OBJSTORE_DONE);
    assert_string_equal(b.each[1].message, "");
    assert_int_equal(b.each[2].outcome, OBJSTORE_UNAVAILABLE);
    assert_string_equal(b.each[2].message, "the store did not answer for this key");
    assert_int_equal(b.each[3].outcome, OBJSTORE_DENIED);
    assert_string_equal(b.each[3].message, "AccessDenied: m");
    assert_non_null(strstr((const char *)scripted_request_at(t.s, 0)->body, "<Key>a</Key>"));
    const char *second = (const char *)scripted_request_at(t.s, 1)->body;
    assert_null(strstr(second, "<Key>a</Key>"));
    assert_null(strstr(second, "<Key>b</Key>"));
    assert_non_null(strstr(second, "<Key>c&amp;d</Key>"));
    assert_non_null(strstr(second, "<Key>not answered</Key>"));
    talk_close(&t);
}

static void test_s3_cases_delete_many(void **state)
{
    (void)state;
    cases_each("DELETEOBJECTS", 1, bulk_case, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_cases_put),         cmocka_unit_test(test_s3_cases_head),
        cmocka_unit_test(test_s3_cases_get),         cmocka_unit_test(test_s3_cases_delete),
        cmocka_unit_test(test_s3_cases_complete),    cmocka_unit_test(test_s3_cases_list),
        cmocka_unit_test(test_s3_cases_delete_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
