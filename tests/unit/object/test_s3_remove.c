/* s3_remove, s3_bulk, s3_abort: nothing is deleted that is not meant (P4, P5), nothing is guessed (P6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/object/s3_talk.h"

static void test_s3_remove_with_the_stores_condition(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD | OBJSTORE_DELETE_IF_MATCH});
    script(&t, "DELETE", NO_BODY);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.status, 204);
    expect_header(&t, 0, "if-match", "\"e-1\"");
    script_error(&t, "DELETE", 412, "PreconditionFailed");
    script_found(&t, "r-2", "\"e-2\"", 9);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.etag, "e-2");
    assert_string_equal(r.info.record_id, "r-2");
    script_error(&t, "DELETE", 412, "PreconditionFailed"); /* somebody was faster */
    script(&t, "HEAD", NOT_FOUND);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DONE);
    script_error(&t, "DELETE", 404, "NoSuchKey"); /* so says GCS */
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DONE);
    talk_close(&t);
}

static void test_s3_remove_compares_first_without_it(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_found(&t, "r-1", "\"e-1\"", 5);
    script(&t, "DELETE", NO_BODY);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DONE);
    expect_methods(&t, "HEAD DELETE");
    expect_header(&t, 1, "if-match", NULL);
    script_found(&t, "r-1", "\"e-2\"", 5);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    script(&t, "HEAD", NOT_FOUND);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DONE);
    assert_false(r.resolved_by_look);
    script(&t, "HEAD", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_int_equal(scripted_count_of(t.s, "DELETE"), 1);
    talk_close(&t);
}

/* P6: the answer was lost. What is there by now may be another's. */
static void test_s3_remove_lost_answer_is_looked_for(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = 1});
    scripted_add(t.s, &(struct scripted_reply){.method = "DELETE", .close = true});
    script(&t, "HEAD", NOT_FOUND);
    r = talk_remove(&t, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    expect_methods(&t, "DELETE HEAD");
    script_found(&t, "r-1", "\"e-1\"", 5); /* it had not arrived */
    scripted_add(t.s, &(struct scripted_reply){.method = "DELETE", .close = true});
    script_found(&t, "r-1", "\"e-1\"", 5);
    script(&t, "DELETE", NO_BODY);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_DONE);
    script_found(&t, "r-1", "\"e-1\"", 5); /* it had, and somebody wrote anew */
    scripted_add(t.s, &(struct scripted_reply){.method = "DELETE", .close = true});
    script_found(&t, "r-2", "\"e-2\"", 5);
    r = talk_remove(&t, "e-1");
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    expect_methods(&t, "DELETE HEAD HEAD DELETE HEAD DELETE HEAD DELETE HEAD");
    script_error(&t, "DELETE", 500, "InternalError"); /* in doubt to the end */
    script_found(&t, "r-1", "\"e-1\"", 5);
    script_error(&t, "DELETE", 500, "InternalError");
    script_found(&t, "r-1", "\"e-1\"", 5);
    r = talk_remove(&t, NULL);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    talk_close(&t);
}

/* D15. */
static void test_s3_remove_tells_locks_and_markers(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_error(&t, "DELETE", 403, "ObjectLockedByBucketPolicy");
    r = talk_remove(&t, NULL);
    expect_outcome(&r, OBJSTORE_REJECTED);
    assert_true(r.locked);
    assert_non_null(strstr(r.err.hint, "lock"));
    script(&t, "DELETE",
           "HTTP/1.1 204 No Content\r\nx-amz-delete-marker: true\r\n"
           "x-amz-version-id: v-7\r\n\r\n");
    r = talk_remove(&t, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(r.info.version_id, "v-7");
    assert_int_not_equal(objstore_features(t.store) & OBJSTORE_VERSIONS, 0);
    talk_close(&t);
}

static void test_s3_abort_is_absent_when_there_is_none(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script(&t, "DELETE", NO_BODY);
    assert_int_equal(objstore_abort_wait(t.store, "k", "u&1", &r, &t.err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(scripted_request_at(t.s, 0)->target, "/bkt/k?uploadId=u%261");
    script_error(&t, "DELETE", 404, "NoSuchUpload");
    assert_int_equal(objstore_abort_wait(t.store, "k", "u", &r, &t.err), ERR_OK);
    expect_outcome(&r, OBJSTORE_ABSENT);
    script_error(&t, "DELETE", 404, "NoSuchBucket");
    assert_int_equal(objstore_abort_wait(t.store, "k", "u", &r, &t.err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DENIED);
    talk_close(&t);
}

/* ---- many -------------------------------------------------------------------------------------------------- */

struct bulk {
    int calls;
    struct objstore_result whole;
    size_t n;
    struct objstore_bulk_result each[4];
};

static void take_bulk(void *user, const struct objstore_result *whole,
                      const struct objstore_bulk_result *each, size_t n)
{
    struct bulk *b = user;

    b->calls++;
    b->whole = *whole;
    b->n = n;
    assert_true(n <= 4);
    memcpy(b->each, each, n * sizeof *each);
}

static void remove_many(struct talk *t, const struct objstore_bulk_item *items, size_t n,
                        struct bulk *b)
{
    *b = (struct bulk){.calls = 0};
    assert_int_equal(objstore_remove_many(t->store, items, n, take_bulk, b, &t->err), ERR_OK);
    talk_run(t, &b->calls);
    assert_int_equal(b->n, n);
}

static void test_s3_bulk_sends_one_document(void **state)
{
    static const struct objstore_bulk_item items[] = {{"a<&>\"'", "e-1"}, {"b", NULL}};
    struct talk t;
    struct bulk b;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD | OBJSTORE_BULK_DELETE_ETAG});
    script_body(
        &t, "POST",
        "<DeleteResult><Deleted><Key>b</Key></Deleted><Deleted><Key>stranger</Key></Deleted>"
        "<Error><Key>a&lt;&amp;&gt;\"'</Key><Code>PreconditionFailed</Code></Error>"
        "</DeleteResult>");
    remove_many(&t, items, 2, &b);
    expect_outcome(&b.whole, OBJSTORE_DONE);
    assert_int_equal(b.each[0].outcome, OBJSTORE_PRECONDITION);
    assert_int_equal(b.each[1].outcome, OBJSTORE_DONE);
    assert_string_equal(scripted_request_at(t.s, 0)->target, "/bkt?delete=");
    assert_string_equal((const char *)scripted_request_at(t.s, 0)->body,
                        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>"
                        "a&lt;&amp;&gt;&quot;&apos;</Key><ETag>&quot;e-1&quot;</ETag></Object>"
                        "<Object><Key>b</Key></Object><Quiet>false</Quiet></Delete>");
    expect_header(&t, 0, "content-md5", "btiR/IrvZWyBpjN58KcXeQ==");
    expect_header(&t, 0, "x-amz-checksum-sha256", NULL); /* one checksum, never two */
    objstore_set_features(t.store, FEATURES_GOOD);       /* no ETags without the feature */
    script_body(&t, "POST",
                "<DeleteResult><Deleted><Key>b</Key></Deleted><Error><Key>a&lt;&amp;&gt;\"'</Key>"
                "<Code>NoSuchKey</Code></Error></DeleteResult>");
    remove_many(&t, items, 2, &b);
    assert_null(strstr((const char *)scripted_request_at(t.s, 1)->body, "ETag"));
    assert_int_equal(b.each[0].outcome, OBJSTORE_DONE); /* absent is as good */
    talk_close(&t);
}

static void test_s3_bulk_refused_as_a_whole(void **state)
{
    static const struct objstore_bulk_item items[] = {{"a", NULL}, {"b/../c", NULL}};
    struct talk t;
    struct bulk b;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = 1});
    script_error(&t, "POST", 403, "AccessDenied");
    remove_many(&t, items, 2, &b);
    expect_outcome(&b.whole, OBJSTORE_DENIED);
    assert_int_equal(b.each[0].outcome, OBJSTORE_DENIED);
    assert_non_null(strstr(b.each[0].message, "AccessDenied"));
    assert_int_equal(b.each[1].outcome, OBJSTORE_REJECTED);
    script(&t, "POST", BUSY);
    script_body(&t, "POST", "<html/>");
    remove_many(&t, items, 2, &b);
    expect_outcome(&b.whole, OBJSTORE_UNAVAILABLE);
    assert_int_equal(b.each[0].outcome, OBJSTORE_UNAVAILABLE);
    talk_close(&t);
}

/* A key that failed for now goes again, alone. */
static void test_s3_bulk_asks_again_for_the_rest(void **state)
{
    static const struct objstore_bulk_item items[] = {{"a", NULL}, {"b", NULL}, {"a", NULL}};
    struct talk t;
    struct bulk b;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_body(&t, "POST",
                "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key>"
                "<Code>SlowDown</Code></Error></DeleteResult>");
    script_body(&t, "POST", "<DeleteResult><Deleted><Key>b</Key></Deleted></DeleteResult>");
    remove_many(&t, items, 3, &b);
    expect_outcome(&b.whole, OBJSTORE_DONE);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(b.each[i].outcome, OBJSTORE_DONE);
        assert_string_equal(b.each[i].message, "");
    }
    assert_null(strstr((const char *)scripted_request_at(t.s, 1)->body, "<Key>a</Key>"));
    talk_close(&t);
}

static void test_s3_bulk_one_by_one_stops_when_denied(void **state)
{
    static const struct objstore_bulk_item items[] = {{"a", NULL}, {"b", NULL}};
    struct talk t;
    struct bulk b;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = 0});
    scripted_add(t.s, &(struct scripted_reply){.target = "/bkt/a", .text = NO_BODY});
    scripted_add(t.s, &(struct scripted_reply){
                          .target = "/bkt/b",
                          .text = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"});
    remove_many(&t, items, 2, &b);
    expect_outcome(&b.whole, OBJSTORE_DENIED);
    assert_int_equal(b.each[0].outcome, OBJSTORE_DONE);
    assert_int_equal(b.each[1].outcome, OBJSTORE_DENIED);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_remove_with_the_stores_condition),
        cmocka_unit_test(test_s3_remove_compares_first_without_it),
        cmocka_unit_test(test_s3_remove_lost_answer_is_looked_for),
        cmocka_unit_test(test_s3_remove_tells_locks_and_markers),
        cmocka_unit_test(test_s3_abort_is_absent_when_there_is_none),
        cmocka_unit_test(test_s3_bulk_sends_one_document),
        cmocka_unit_test(test_s3_bulk_refused_as_a_whole),
        cmocka_unit_test(test_s3_bulk_asks_again_for_the_rest),
        cmocka_unit_test(test_s3_bulk_one_by_one_stops_when_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
