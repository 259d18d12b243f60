/* s3_multipart, s3_parts, s3_lost: no upload is left behind unrecorded (P11), no lost answer is guessed at (P6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/codec/timefmt.h"

#include "unit/object/s3_talk.h"

#define PART     ((size_t)OBJSTORE_PART_MIN)
#define FEATURES (FEATURES_GOOD | OBJSTORE_IF_NONE_MATCH_MPU)
#define CREATED(id)                                                                                \
    "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"            \
    "<Bucket>bkt</Bucket><Key>k</Key><UploadId>" id "</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
#define SIZE      (2 * PART + 7)

static unsigned char *body;

struct upload {
    int calls;
    bool fail;
    char id[100];
};

static enum err_code on_upload(void *user, const char *upload_id, uint64_t part_size, struct err *e)
{
    struct upload *u = user;

    u->calls++;
    str_copy(u->id, sizeof u->id, upload_id);
    assert_int_equal(part_size, PART);
    return u->fail ? err_set(e, ERR_DB, "cannot record it") : ERR_OK;
}

/* Three parts of a body that is all 'a', 'b', 'c'. */
static struct objstore_put large(struct upload *u)
{
    static char sha256[DIGEST_SHA256_HEX];
    struct objstore_put p = talk_hello();

    if (body == NULL) {
        body = malloc(SIZE);
        assert_non_null(body);
        memset(body, 'a', PART);
        memset(body + PART, 'b', PART);
        memset(body + 2 * PART, 'c', 7);
        digest_sha256_hex(body, SIZE, sha256);
    }
    *u = (struct upload){.calls = 0};
    p.data = body;
    p.size = SIZE;
    p.sha256 = p.meta.sha256 = sha256;
    p.part_size = PART;
    p.on_upload = on_upload;
    p.upload_user = u;
    p.part_concurrency = 1; /* so that the script's order is known */
    return p;
}

static void script_found_large(struct talk *t, const char *etag)
{
    char text[1024];
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nETag: \"%s\"\r\nContent-Length: %zu\r\n"
                   "x-amz-meta-blobferry-id: r-1\r\nx-amz-meta-blobferry-sha256: %s\r\n\r\n",
                   etag, SIZE, p.sha256);
    script(t, "HEAD", text);
}

static void script_part(struct talk *t, int number)
{
    char text[200];

    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nETag: \"part&%d\"\r\nContent-Length: 0\r\n\r\n", number);
    script(t, "PUT", text);
}

static void script_parts(struct talk *t)
{
    for (int i = 1; i <= 3; i++)
        script_part(t, i);
}

static const char *target_of(struct talk *t, size_t i)
{
    return scripted_request_at(t->s, i)->target;
}

static const char *body_of(struct talk *t, size_t i)
{
    return (const char *)scripted_request_at(t->s, i)->body;
}

static void test_s3_multipart_asks_in_order(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u/1+2=="));
    script_parts(&t);
    script_body(&t, "POST", COMPLETED); /* Ceph's: with an empty ETag */
    script_found_large(&t, "whole-3");
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    assert_string_equal(r.info.etag, "whole-3");
    assert_int_equal(r.info.size, SIZE);
    assert_int_equal(r.bytes, SIZE);
    assert_int_equal(u.calls, 1);
    assert_string_equal(u.id, "u/1+2==");
    expect_methods(&t, "HEAD POST PUT PUT PUT POST HEAD");
    assert_string_equal(target_of(&t, 1), "/bkt/k?uploads=");
    expect_header(&t, 1, "x-amz-meta-blobferry-id", "r-1");
    expect_header(&t, 1, "content-type", "text/plain");
    assert_string_equal(target_of(&t, 2), "/bkt/k?partNumber=1&uploadId=u%2F1%2B2%3D%3D");
    assert_int_equal(scripted_request_at(t.s, 2)->content_length, PART);
    assert_int_equal(scripted_request_at(t.s, 3)->content_length, PART);
    assert_int_equal(scripted_request_at(t.s, 4)->content_length, 7);
    assert_string_equal(body_of(&t, 4), "ccccccc");
    expect_header(&t, 2, "x-amz-meta-blobferry-id", NULL);
    assert_string_equal(target_of(&t, 5), "/bkt/k?uploadId=u%2F1%2B2%3D%3D");
    expect_header(&t, 5, "if-none-match", "*");
    assert_non_null(strstr(body_of(&t, 5), "<Part><PartNumber>2</PartNumber>"
                                           "<ETag>&quot;part&amp;2&quot;</ETag></Part>"));
    talk_close(&t);
}

/* P5: without the store's condition HEAD looks once more, just before Complete. */
static void test_s3_multipart_looks_before_complete(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_parts(&t);
    script_found(&t, "r-5", "\"somebody\"", 5);
    script(&t, "DELETE", NO_BODY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.record_id, "r-5");
    expect_methods(&t, "HEAD POST PUT PUT PUT HEAD DELETE");
    script(&t, "HEAD", NOT_FOUND); /* a busy store: looked at again before the second Complete */
    script_body(&t, "POST", CREATED("u-2"));
    script_parts(&t);
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "POST", BUSY);
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", COMPLETED);
    script_found_large(&t, "whole-3");
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_methods(&t,
                   "HEAD POST PUT PUT PUT HEAD DELETE HEAD POST PUT PUT PUT HEAD POST HEAD POST "
                   "HEAD");
    talk_close(&t);
}

static void test_s3_multipart_part_is_retried(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_part(&t, 1);
    script(&t, "PUT", BUSY);
    scripted_add(t.s, &(struct scripted_reply){.method = "PUT", .close = true}); /* lost */
    script(&t, "PUT", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");           /* no ETag */
    script_part(&t, 2);
    script_part(&t, 3);
    script_body(&t, "POST", COMPLETED);
    script_found_large(&t, "w");
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_methods(&t, "HEAD POST PUT PUT PUT PUT PUT PUT POST HEAD");
    talk_close(&t);
}

static void test_s3_multipart_failed_part_aborts(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES, .max_retries = 1});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_part(&t, 1);
    script_error(&t, "PUT", 403, "AccessDenied");
    script(&t, "DELETE", NO_BODY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_string_equal(r.err.hint,
                        "the environment may not do this in bucket 'bkt': check the rights");
    expect_methods(&t, "HEAD POST PUT PUT DELETE");
    script(&t, "HEAD", NOT_FOUND); /* used up, and the abort fails too: said so */
    script_body(&t, "POST", CREATED("u-2"));
    script(&t, "PUT", BUSY);
    script(&t, "PUT", BUSY);
    script(&t, "DELETE", BUSY);
    script(&t, "DELETE", BUSY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_non_null(strstr(r.err.hint, "could not be aborted"));
    talk_close(&t);
}

/* P11: what its owner cannot record is aborted before the first part. */
static void test_s3_multipart_unrecorded_upload_is_aborted(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)state;
    u.fail = true;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script(&t, "DELETE", NO_BODY);
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_DB);
    expect_methods(&t, "HEAD POST DELETE");
    assert_string_equal(target_of(&t, 2), "/bkt/k?uploadId=u-1");
    talk_close(&t);
}

/* P1: a part that changed after its hash was taken is found as it leaves, where the store does not check. */
static void test_s3_multipart_hashes_what_leaves(void **state)
{
    static unsigned char sums[3][32];
    struct talk t;
    struct upload u;
    struct objstore_put p = large(&u);

    (void)state;
    digest_sha256(body, PART, sums[0]);
    digest_sha256("as it was", 9, sums[1]);
    digest_sha256(body + 2 * PART, 7, sums[2]);
    p.part_sha256 = (const unsigned char(*)[32])sums;
    talk_open(&t, &(struct talk_options){.features = OBJSTORE_IF_NONE_MATCH_MPU});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_part(&t, 1);
    script_part(&t, 2);
    script(&t, "DELETE", NO_BODY);
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_FILE_CHANGED);
    expect_methods(&t, "HEAD POST PUT PUT DELETE");
    talk_close(&t);
}

/* Somebody aborted the upload: nothing is known of the object by that. */
static void test_s3_multipart_vanished_upload(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_error(&t, "PUT", 404, "NoSuchUpload");
    script_error(&t, "DELETE", 404, "NoSuchUpload");
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_non_null(strstr(r.err.message, "NoSuchUpload"));
    expect_methods(&t, "HEAD POST PUT DELETE");
    talk_close(&t);
}

/* Complete's answer is lost. There: done. Not there: again. Gone with its upload: looked for. */
static void test_s3_multipart_lost_complete_is_looked_for(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_parts(&t);
    scripted_add(t.s, &(struct scripted_reply){.method = "POST", .close = true});
    script_found_large(&t, "w-3");
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    assert_string_equal(r.info.etag, "w-3");
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-2"));
    script_parts(&t);
    scripted_add(t.s, &(struct scripted_reply){.method = "POST", .close = true});
    script(&t, "HEAD", NOT_FOUND);
    script_error(&t, "POST", 404, "NoSuchUpload"); /* it was completed after all */
    script_found_large(&t, "w-3");
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    assert_int_equal(scripted_count_of(t.s, "DELETE"), 0);
    talk_close(&t);
}

/* In doubt to the end: the upload, which is recorded, is not aborted; it may just be becoming the object. */
static void test_s3_multipart_in_doubt_is_not_aborted(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES, .max_retries = -1});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_parts(&t);
    scripted_add(t.s, &(struct scripted_reply){.method = "POST", .close = true});
    script(&t, "HEAD", NOT_FOUND);
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    expect_methods(&t, "HEAD POST PUT PUT PUT POST HEAD");
    talk_close(&t);
}

static void test_s3_multipart_conflict_at_complete(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_parts(&t);
    script_error(&t, "POST", 412, "PreconditionFailed");
    script_found(&t, "r-8", "\"theirs\"", 3);
    script(&t, "DELETE", NO_BODY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.etag, "theirs");
    script(&t, "HEAD", NOT_FOUND); /* ours by another worker: done, and this upload goes */
    script_body(&t, "POST", CREATED("u-2"));
    script_parts(&t);
    script_error(&t, "POST", 412, "PreconditionFailed");
    script_found_large(&t, "w");
    script(&t, "DELETE", NO_BODY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look && r.verified);
    expect_methods(&t,
                   "HEAD POST PUT PUT PUT POST HEAD DELETE HEAD POST PUT PUT PUT POST HEAD DELETE");
    talk_close(&t);
}

/* After Complete the object is looked at: what is there is what counts. */
static void test_s3_multipart_wrong_object_after_complete(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    script_parts(&t);
    script_body(&t, "POST", COMPLETED);
    script_found(&t, "r-1", "\"short\"", 5); /* our id, another size */
    script_found(&t, "r-1", "\"short\"", 5);
    script(&t, "DELETE", NO_BODY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    expect_methods(&t, "HEAD POST PUT PUT PUT POST HEAD HEAD DELETE");
    talk_close(&t);
}

/* ---- lost answers to Create ------------------------------------------------------------------------------ */

#define UPLOAD(key, id, time)                                                                      \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>" time "</Initiated></"       \
    "Upload>"

static void script_uploads(struct talk *t, const char *more)
{
    char now[TIMEFMT_SIZE], document[2048];

    timefmt_iso(clock_wall_ms(), now);
    (void)snprintf(
        document, sizeof document,
        "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
        "<Upload><Key>k</Key><UploadId>stray</UploadId><Initiated>%s</Initiated></Upload>"
        "%s</ListMultipartUploadsResult>",
        now, more);
    script_body(t, "GET", document);
}

/* P11: the upload that it may have left is found by key and time, and aborted; nobody else's is. */
static void test_s3_multipart_lost_create_is_cleaned_up(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    scripted_add(t.s, &(struct scripted_reply){.method = "POST", .close = true});
    script_uploads(&t, UPLOAD("k", "old", "2020-01-01T00:00:00.000Z")
                           UPLOAD("k2", "longer", "2099-01-01T00:00:00.000Z"));
    script(&t, "DELETE", NO_BODY);
    script_body(&t, "POST", CREATED("u-1"));
    script_parts(&t);
    script_body(&t, "POST", COMPLETED);
    script_found_large(&t, "w");
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_methods(&t, "HEAD POST GET DELETE POST PUT PUT PUT POST HEAD");
    assert_string_equal(target_of(&t, 2), "/bkt?max-uploads=1000&prefix=k&uploads=");
    assert_string_equal(target_of(&t, 3), "/bkt/k?uploadId=stray");
    assert_int_equal(u.calls, 1);
    talk_close(&t);
}

static void test_s3_multipart_lost_create_in_doubt(void **state)
{
    struct talk t;
    struct upload u;
    const struct objstore_put p = large(&u);
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES, .max_retries = 1});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", "<html>hello</html>"); /* a 200 that names no upload */
    script_error(&t, "GET", 403, "AccessDenied");  /* and no right to list */
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_non_null(strstr(r.err.hint, "may be left"));
    assert_int_equal(u.calls, 0);
    script(&t, "HEAD", NOT_FOUND); /* nothing left, retries used up */
    for (int i = 0; i < 2; i++) {
        scripted_add(t.s, &(struct scripted_reply){.method = "POST", .close = true});
        script_body(&t, "GET", "<ListMultipartUploadsResult></ListMultipartUploadsResult>");
    }
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_null(strstr(r.err.hint, "may be left"));
    talk_close(&t);
}

/* Cancelled with parts under way: told once, nothing is sent any more. */
static void test_s3_multipart_cancelled(void **state)
{
    struct talk t;
    struct upload u;
    struct objstore_put p = large(&u);
    struct got g = {0};

    (void)state;
    p.part_concurrency = 3;
    talk_open(&t, &(struct talk_options){.features = FEATURES});
    script(&t, "HEAD", NOT_FOUND);
    script_body(&t, "POST", CREATED("u-1"));
    for (int i = 0; i < 3; i++)
        scripted_add(t.s, &(struct scripted_reply){.method = "PUT", .early = true, .hang = true});
    assert_int_equal(objstore_put(t.store, &p, got_it, &g, &t.err), ERR_OK);
    while (scripted_count_of(t.s, "PUT") < 3)
        assert_int_equal(objstore_run(t.store, 20, &t.err), ERR_OK);
    assert_int_equal(g.calls, 0);
    objstore_cancel_all(t.store);
    assert_int_equal(g.calls, 1);
    expect_outcome(&g.r, OBJSTORE_CANCELLED);
    assert_int_equal(objstore_active(t.store), 0);
    assert_int_equal(scripted_count_of(t.s, "DELETE"), 0);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_multipart_asks_in_order),
        cmocka_unit_test(test_s3_multipart_looks_before_complete),
        cmocka_unit_test(test_s3_multipart_part_is_retried),
        cmocka_unit_test(test_s3_multipart_failed_part_aborts),
        cmocka_unit_test(test_s3_multipart_unrecorded_upload_is_aborted),
        cmocka_unit_test(test_s3_multipart_hashes_what_leaves),
        cmocka_unit_test(test_s3_multipart_vanished_upload),
        cmocka_unit_test(test_s3_multipart_lost_complete_is_looked_for),
        cmocka_unit_test(test_s3_multipart_in_doubt_is_not_aborted),
        cmocka_unit_test(test_s3_multipart_conflict_at_complete),
        cmocka_unit_test(test_s3_multipart_wrong_object_after_complete),
        cmocka_unit_test(test_s3_multipart_lost_create_is_cleaned_up),
        cmocka_unit_test(test_s3_multipart_lost_create_in_doubt),
        cmocka_unit_test(test_s3_multipart_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
