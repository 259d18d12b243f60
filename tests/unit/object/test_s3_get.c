/* s3_get, s3_list: what arrives is what was asked for, or nothing is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/object/s3_talk.h"

#define WHOLE "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 10\r\n\r\n0123456789"

/* D5: a broken answer begins again, and the reader is told. */
static void test_s3_get_begins_again(void **state)
{
    struct objstore_get in = {.offset = 0};
    char text[100];
    int restarts;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    scripted_add(t.s, &(struct scripted_reply){.text = WHOLE, .stop_after = strlen(WHOLE) - 4});
    script(&t, "GET", BUSY);
    script(&t, "GET", WHOLE);
    const struct objstore_result r = talk_get(&t, &in, text, sizeof text, &restarts);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(text, "0123456789");
    assert_int_equal(restarts, 1);
    assert_int_equal(r.info.size, 10);
    expect_methods(&t, "GET GET GET");
    talk_close(&t);
}

static void test_s3_get_gives_up(void **state)
{
    struct objstore_get in = {.offset = 0};
    char text[100];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = 1});
    for (int i = 0; i < 2; i++)
        scripted_add(t.s, &(struct scripted_reply){.text = WHOLE, .stop_after = strlen(WHOLE) - 4});
    const struct objstore_result r = talk_get(&t, &in, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    talk_close(&t);
}

/* D10: a range that is ignored, shifted, or longer than asked for. */
static void test_s3_get_checks_the_range(void **state)
{
    static const struct {
        const char *answer;
        enum objstore_outcome outcome;
    } known[] = {
        {"HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n234",
         OBJSTORE_DONE},
        {WHOLE, OBJSTORE_CORRUPT},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n234", OBJSTORE_CORRUPT},
        {"HTTP/1.1 206 Partial\r\nContent-Range: bytes 3-5/10\r\nContent-Length: 3\r\n\r\n345",
         OBJSTORE_CORRUPT},
        {"HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-3/10\r\nContent-Length: 2\r\n\r\n23",
         OBJSTORE_CORRUPT},
        {"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\n234", OBJSTORE_CORRUPT},
        {"HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-3/4\r\nContent-Length: 2\r\n\r\n23",
         OBJSTORE_DONE},
        {"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n", OBJSTORE_REJECTED},
    };
    char text[100];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct objstore_get in = {.offset = 2, .length = 3, .if_match = "x"};
        script(&t, "GET", known[i].answer);
        const struct objstore_result r = talk_get(&t, &in, text, sizeof text, NULL);
        if (r.outcome != known[i].outcome)
            fail_msg("%zu: %d %s", i, r.outcome, r.err.message);
        expect_header(&t, i, "range", "bytes=2-4");
        expect_header(&t, i, "if-match", "\"x\"");
    }
    struct objstore_get tail = {.offset = 2}; /* to the end, and from where it was asked */
    script(&t, "GET",
           "HTTP/1.1 206 Partial\r\nContent-Range: bytes 8-9/10\r\nContent-Length: 2\r\n\r\n89");
    const struct objstore_result r = talk_get(&t, &tail, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    talk_close(&t);
}

static void test_s3_get_whole_must_be_whole(void **state)
{
    struct objstore_get in = {.offset = 0};
    char text[100];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script(&t, "GET",
           "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/10\r\nContent-Length: 2\r\n\r\n01");
    const struct objstore_result r = talk_get(&t, &in, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    expect_header(&t, 0, "range", NULL);
    talk_close(&t);
}

static void test_s3_get_tells_what_the_store_says(void **state)
{
    struct objstore_get in = {.offset = 0};
    char text[100];
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script(
        &t, "GET",
        "HTTP/1.1 200 OK\r\nETag: W/\"x-2\"\r\nContent-Type: text/css\r\nContent-Encoding: gzip\r\n"
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-amz-version-id: v1\r\n"
        "Content-Length: 2\r\n\r\nab");
    r = talk_get(&t, &in, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(r.info.etag, "x-2");
    assert_true(r.info.weak_etag);
    assert_string_equal(r.info.content_type, "text/css");
    assert_string_equal(r.info.content_encoding, "gzip");
    assert_string_equal(r.info.version_id, "v1");
    assert_int_equal(r.info.last_modified_ms, INT64_C(1767225600000));
    script_error(&t, "GET", 404, "NoSuchKey");
    r = talk_get(&t, &in, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_ABSENT);
    script_error(&t, "GET", 412, "PreconditionFailed");
    r = talk_get(&t, &in, text, sizeof text, NULL);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    talk_close(&t);
}

static void test_s3_hash_begins_again(void **state)
{
    struct objstore_result r;
    struct talk t;
    char hex[DIGEST_SHA256_HEX];

    (void)state;
    digest_sha256_hex("0123456789", 10, hex);
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    scripted_add(t.s, &(struct scripted_reply){.text = WHOLE, .stop_after = strlen(WHOLE) - 4});
    script(&t, "GET", WHOLE);
    assert_int_equal(objstore_hash_wait(t.store, "k", &r, &t.err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(r.info.sha256, hex);
    assert_int_equal(r.info.size, 10);
    talk_close(&t);
}

/* ---- lists --------------------------------------------------------------------------------------------------- */

struct listed {
    int calls;
    struct objstore_result r;
    size_t n;
    char first[2000], upload_id[200], next[4000];
};

static void take_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct listed *l = user;

    l->calls++;
    l->r = *r;
    l->n = page->n;
    if (page->n > 0) {
        str_copy(l->first, sizeof l->first, page->entries[0].key);
        str_copy(l->upload_id, sizeof l->upload_id,
                 page->entries[0].upload_id == NULL ? "" : page->entries[0].upload_id);
    }
    str_copy(l->next, sizeof l->next, page->next == NULL ? "" : page->next);
}

static void test_s3_list_is_retried_and_bounded(void **state)
{
    struct listed l = {.calls = 0};
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script(&t, "GET", "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n");
    script_body(&t, "GET", "<html/>");
    script_body(&t, "GET",
                "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
                "<Contents><Key>a+b%2Bc</Key><Size>1</Size></Contents></ListBucketResult>");
    assert_int_equal(
        objstore_list(t.store,
                      &(struct objstore_list){.prefix = "p q", .start_after = "a&b", .max = 5000},
                      take_page, &l, &t.err),
        ERR_OK);
    talk_run(&t, &l.calls);
    expect_outcome(&l.r, OBJSTORE_DONE);
    assert_int_equal(l.r.attempts, 3);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.first, "a b+c");
    assert_string_equal(
        scripted_request_at(t.s, 2)->target,
        "/bkt?encoding-type=url&list-type=2&max-keys=1000&prefix=p%20q&start-after=a%26b");
    talk_close(&t);
}

/* The token of uploads holds both markers, whatever is in them. */
static void test_s3_list_uploads_goes_on(void **state)
{
    struct listed l = {.calls = 0};
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_body(
        &t, "GET",
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a &amp; "
        "b</NextKeyMarker><NextUploadIdMarker>u 1/2</NextUploadIdMarker><Upload><Key>a &amp; b"
        "</Key><UploadId>u 1/2</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated>"
        "</Upload></ListMultipartUploadsResult>");
    assert_int_equal(objstore_list_uploads(t.store, &(struct objstore_list){.prefix = "a"},
                                           take_page, &l, &t.err),
                     ERR_OK);
    talk_run(&t, &l.calls);
    expect_outcome(&l.r, OBJSTORE_DONE);
    assert_string_equal(l.first, "a & b");
    assert_string_equal(l.upload_id, "u 1/2");
    assert_string_not_equal(l.next, "");
    char *token = str_dup(l.next);
    l.calls = 0;
    script_body(&t, "GET", "<ListMultipartUploadsResult/>");
    assert_int_equal(objstore_list_uploads(t.store,
                                           &(struct objstore_list){.prefix = "a", .token = token},
                                           take_page, &l, &t.err),
                     ERR_OK);
    free(token);
    talk_run(&t, &l.calls);
    expect_outcome(&l.r, OBJSTORE_DONE);
    assert_string_equal(l.next, "");
    assert_string_equal(scripted_request_at(t.s, 1)->target,
                        "/bkt?key-marker=a%20%26%20b&max-uploads=1000&prefix=a&upload-id-marker=u%"
                        "201%2F2&uploads=");
    assert_int_not_equal(objstore_list_uploads(t.store,
                                               &(struct objstore_list){.token = "not-ours"},
                                               take_page, &l, &t.err),
                         ERR_OK);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_get_begins_again),
        cmocka_unit_test(test_s3_get_gives_up),
        cmocka_unit_test(test_s3_get_checks_the_range),
        cmocka_unit_test(test_s3_get_whole_must_be_whole),
        cmocka_unit_test(test_s3_get_tells_what_the_store_says),
        cmocka_unit_test(test_s3_hash_begins_again),
        cmocka_unit_test(test_s3_list_is_retried_and_bounded),
        cmocka_unit_test(test_s3_list_uploads_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
