/* s3_put, s3_settle, s3_echo: answers that were lost, objects that were there, stores that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/object/s3_talk.h"

#include <fcntl.h>
#include <unistd.h>

#define LAX 0u /* a store that promises nothing */

static int scratch_file(const char *text)
{
    const char *base = getenv("TMPDIR");
    const int fd = open(base == NULL ? "/tmp" : base, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    return fd;
}

static void test_s3_put_sends_what_is_promised(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD | OBJSTORE_STORES_SHA256});
    script(&t, "PUT", OK_PUT);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.attempts, 1);
    assert_int_equal(r.bytes, 5);
    assert_string_equal(r.info.etag, ETAG_HELLO);
    assert_string_equal(scripted_request_at(t.s, 0)->target, "/bkt/k");
    assert_string_equal((const char *)scripted_request_at(t.s, 0)->body, "hello");
    expect_header(&t, 0, "content-type", "text/plain");
    expect_header(&t, 0, "if-none-match", "*");
    expect_header(&t, 0, "x-amz-meta-blobferry-id", "r-1");
    expect_header(&t, 0, "x-amz-meta-blobferry-batch", "b%201");
    expect_header(&t, 0, "x-amz-meta-blobferry-name", "a%20b.txt");
    expect_header(&t, 0, "x-amz-meta-blobferry-sha256", talk_hello().sha256);
    expect_header(&t, 0, "x-amz-content-sha256", talk_hello().sha256);
    expect_header(&t, 0, "x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    expect_header(&t, 0, "content-md5", NULL);
    expect_header(&t, 0, "accept-encoding", "identity");
    talk_close(&t);
}

/* D5: the answer was lost, the object is there: done, without a second PUT. */
static void test_s3_put_lost_answer_is_looked_for(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    scripted_add(t.s, &(struct scripted_reply){.method = "PUT", .close = true});
    script_found(&t, "r-1", "\"" ETAG_HELLO "\"", 5);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    assert_true(r.verified);
    assert_string_equal(r.info.etag, ETAG_HELLO);
    assert_string_equal(r.info.batch_id, "b 1");
    expect_methods(&t, "PUT HEAD");
    talk_close(&t);
}

/* The same after a 500, and when nothing is there it is sent again. */
static void test_s3_put_is_sent_again_only_when_absent(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_error(&t, "PUT", 500, "InternalError");
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_false(r.resolved_by_look);
    assert_int_equal(r.attempts, 2);
    assert_int_equal(r.bytes, 10);
    expect_methods(&t, "PUT HEAD PUT");
    talk_close(&t);
}

static void test_s3_put_lost_and_taken_by_somebody(void **state)
{
    struct talk t;
    struct objstore_put p = talk_hello();
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    scripted_add(t.s, &(struct scripted_reply){.method = "PUT", .close = true});
    script_found(&t, "r-2", "\"other\"", 5);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.record_id, "r-2");
    expect_methods(&t, "PUT HEAD");
    /* told to overwrite: then it did not arrive, or somebody wrote after it */
    p.condition = OBJSTORE_OVERWRITE;
    scripted_add(t.s, &(struct scripted_reply){.method = "PUT", .close = true});
    script_found(&t, "r-2", "\"other\"", 5);
    script(&t, "PUT", OK_PUT);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_header(&t, 2, "if-none-match", NULL);
    expect_methods(&t, "PUT HEAD PUT HEAD PUT");
    talk_close(&t);
}

/* Retries are used up: whether it happened is unknown, and said so. */
static void test_s3_put_in_doubt(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = 1});
    for (int i = 0; i < 2; i++) {
        scripted_add(t.s, &(struct scripted_reply){.method = "PUT", .close = true});
        script(&t, "HEAD", NOT_FOUND);
    }
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_int_equal(r.err.code, ERR_STORE_UNAVAILABLE);
    assert_int_equal(r.attempts, 2);
    expect_methods(&t, "PUT HEAD PUT HEAD");
    talk_close(&t);
}

static void test_s3_put_precondition_is_looked_at(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_error(&t, "PUT", 412, "PreconditionFailed"); /* a retry of a lost answer */
    script_found(&t, "r-1", "\"" ETAG_HELLO "\"", 5);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    script_error(&t, "PUT", 412, "PreconditionFailed"); /* our id, another size */
    script_found(&t, "r-1", "\"x\"", 6);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_int_equal(r.info.size, 6);
    script_error(&t, "PUT", 412, "PreconditionFailed"); /* removed meanwhile */
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    script_error(&t, "PUT", 412, "PreconditionFailed"); /* not to be looked at: stop */
    script(&t, "HEAD", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_non_null(strstr(r.err.hint, "does not say that the object is absent"));
    talk_close(&t);
}

/* P5: without the store's condition HEAD comes first, before each PUT. */
static void test_s3_put_looks_before_each_put(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = OBJSTORE_CHECKS_PAYLOAD});
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", BUSY);
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_header(&t, 1, "if-none-match", NULL);
    expect_methods(&t, "HEAD PUT HEAD PUT");
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", BUSY);
    script_found(&t, "r-7", "\"x\"", 5); /* somebody came between */
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    expect_methods(&t, "HEAD PUT HEAD PUT HEAD PUT HEAD");
    talk_close(&t);
}

/* D8: no ETag, an absurd one: HEAD tells what there is. */
static void test_s3_put_without_etag_is_looked_at(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nETag: \"\"\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nETag: \"two words\"\r\nContent-Length: 0\r\n\r\n",
    };
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    for (size_t i = 0; i < 3; i++) {
        script(&t, "PUT", answers[i]);
        script_found(&t, "r-1", "\"e-1\"", 5);
        r = talk_put_hello(&t);
        expect_outcome(&r, OBJSTORE_DONE);
        assert_string_equal(r.info.etag, "e-1");
    }
    script(&t, "PUT", answers[0]); /* it says 200 and has nothing */
    script(&t, "HEAD", NOT_FOUND);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    script(&t, "PUT", answers[0]); /* … or somebody else's */
    script_found(&t, "r-9", "\"e-9\"", 5);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    talk_close(&t);
}

static void script_get(struct talk *t, const char *bytes)
{
    char text[200];

    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: %zu\r\n\r\n%s", strlen(bytes),
                   bytes);
    script(t, "GET", text);
}

/* D13b: a store that is not known to check is read back. */
static void test_s3_put_to_a_lax_store_is_read_back(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = LAX});
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    script_get(&t, "hello");
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    expect_methods(&t, "HEAD PUT GET");
    script(&t, "HEAD", NOT_FOUND); /* one bit flipped: taken back */
    script(&t, "PUT", OK_PUT);
    script_get(&t, "hellO");
    script_found(&t, "r-1", "\"" ETAG_HELLO "\"", 5);
    script(&t, "DELETE", NO_BODY);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    assert_int_equal(r.err.code, ERR_STORE_CORRUPT);
    assert_non_null(strstr(r.err.hint, "removed again"));
    expect_methods(&t, "HEAD PUT GET HEAD PUT GET HEAD DELETE");
    script_found(&t, "r-1", "\"x\"", 5); /* ours by its metadata, and wrong: kept, and said so */
    script_get(&t, "hellO");
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    script_found(&t, "r-1", "\"x\"", 5);
    script_get(&t, "hello");
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look && r.verified);
    assert_int_equal(scripted_count_of(t.s, "DELETE"), 1);
    talk_close(&t);
}

/* What was replaced meanwhile is not ours to take back. */
static void test_s3_put_takes_back_only_its_own(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = LAX});
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    script_get(&t, "other");
    script_found(&t, "r-1", "\"another-etag\"", 5);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    script_get(&t, "other");
    script_found(&t, "r-2", "\"" ETAG_HELLO "\"", 5);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_CORRUPT);
    assert_int_equal(scripted_count_of(t.s, "DELETE"), 0);
    talk_close(&t);
}

/* A store that checks SHA-256 checksums needs no reading back. */
static void test_s3_put_with_a_stored_checksum_is_verified(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t,
              &(struct talk_options){.features = OBJSTORE_IF_NONE_MATCH | OBJSTORE_STORES_SHA256});
    script(&t, "PUT", OK_PUT);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    expect_methods(&t, "PUT");
    talk_close(&t);
}

/* P1: to a lax store, bytes that changed between the hashing and the sending are found as they leave. */
static void test_s3_put_hashes_what_leaves(void **state)
{
    struct talk t;
    struct objstore_put p = talk_hello();
    struct objstore_result r;

    (void)state;
    p.data = NULL;
    p.fd = scratch_file("hellO");
    talk_open(&t, &(struct talk_options){.features = LAX});
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    script_found(&t, "r-1", "\"" ETAG_HELLO "\"", 5);
    script(&t, "DELETE", NO_BODY);
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_FILE_CHANGED);
    expect_methods(&t, "HEAD PUT HEAD DELETE"); /* not left behind under a wrong checksum */
    assert_int_equal(close(p.fd), 0);
    talk_close(&t);
}

/* D7: the store refuses the bytes. Right ones are sent again, wrong ones are the source's fault. */
static void test_s3_put_refused_digest(void **state)
{
    struct talk t;
    struct objstore_put p = talk_hello();
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_error(&t, "PUT", 400, "XAmzContentSHA256Mismatch");
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    script_error(&t, "PUT", 400, "BadDigest");
    p.data = NULL;
    p.fd = scratch_file("hellO");
    r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_FILE_CHANGED);
    assert_int_equal(ftruncate(p.fd, 3), 0);
    script(&t, "PUT", OK_PUT); /* that nobody waits for */
    r = talk_put(&t, &p);      /* too short: broken off, nothing to be looked for */
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(scripted_count_of(t.s, "HEAD"), 0);
    assert_int_equal(close(p.fd), 0);
    talk_close(&t);
}

/* Checksums that the store tells unasked. */
static void test_s3_put_compares_told_checksums(void **state)
{
    static const struct {
        const char *header;
        enum objstore_outcome outcome;
    } told[] = {
        {"x-amz-checksum-crc32: NhCmhg==", OBJSTORE_DONE},
        {"x-amz-checksum-crc32c: mnG7TA==", OBJSTORE_DONE},
        {"x-amz-checksum-crc64nvme: M3eFcAZSQlc=", OBJSTORE_DONE},
        {"x-amz-checksum-sha1: qvTGHdzF6KLavt4PO0gs2a6pQ00=", OBJSTORE_DONE},
        {"x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", OBJSTORE_DONE},
        {"x-amz-checksum-crc32: NhCmhw==", OBJSTORE_CORRUPT},
        {"x-amz-checksum-crc64nvme: AAAAAAAAAAA=", OBJSTORE_CORRUPT},
        {"x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCA=", OBJSTORE_CORRUPT},
        {"x-amz-checksum-crc32: NhCm", OBJSTORE_CORRUPT},
        {"x-amz-checksum-crc32: ?", OBJSTORE_CORRUPT}};
    struct talk t;
    char text[300];

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n%s\r\nContent-Length: 0\r\n\r\n",
                       told[i].header);
        script(&t, "PUT", text);
        if (told[i].outcome == OBJSTORE_CORRUPT)
            script(&t, "HEAD", NOT_FOUND);
        const struct objstore_result r = talk_put_hello(&t);
        if (r.outcome != told[i].outcome)
            fail_msg("%s: %d %s", told[i].header, r.outcome, r.err.message);
    }
    talk_close(&t);
}

/* A store without what we sent: do without it, or stop when it is nothing of ours. */
static void test_s3_put_falls_back(void **state)
{
    static const char checksum[] =
        "HTTP/1.1 501 Not Implemented\r\nContent-Length: 101\r\n\r\n<Error><Code>NotImplemented"
        "</Code><Message>no</Message><Header>x-amz-checksum-sha256</Header></Error>";
    static const char condition[] =
        "HTTP/1.1 501 Not Implemented\r\nContent-Length: 93\r\n\r\n<Error><Code>NotImplemented"
        "</Code><Message>no</Message><Header>If-None-Match</Header></Error>";
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD | OBJSTORE_STORES_SHA256});
    script(&t, "PUT", checksum);
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_header(&t, 1, "x-amz-checksum-sha256", NULL);
    expect_header(&t, 1, "if-none-match", "*");
    script(&t, "PUT", condition);
    script(&t, "HEAD", NOT_FOUND); /* P5: looked first, then */
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_header(&t, 4, "if-none-match", NULL);
    expect_methods(&t, "PUT PUT PUT HEAD PUT");
    assert_int_equal(objstore_features(t.store) & (OBJSTORE_IF_NONE_MATCH | OBJSTORE_STORES_SHA256),
                     0);
    talk_close(&t);
}

/* D2: as long as nothing has proved that the bucket is there, a bare 404 is asked for its reason. */
static void test_s3_put_needs_a_bucket(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = LAX, .unproven = true});
    script(&t, "HEAD", NOT_FOUND);
    script_error(&t, "GET", 404, "NoSuchBucket");
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_non_null(strstr(r.err.message, "NoSuchBucket"));
    expect_methods(&t, "HEAD GET");
    expect_header(&t, 1, "range", "bytes=0-0");
    script(&t, "HEAD", NOT_FOUND);
    script_error(&t, "GET", 404, "NoSuchKey");
    r = talk_stat(&t);
    expect_outcome(&r, OBJSTORE_ABSENT);
    script(&t, "HEAD", NOT_FOUND); /* proved once */
    r = talk_stat(&t);
    expect_outcome(&r, OBJSTORE_ABSENT);
    expect_methods(&t, "HEAD GET HEAD GET HEAD");
    talk_close(&t);
}

/* Names and types that may not stand in headers do not get there. */
static void test_s3_put_metadata_is_harmless(void **state)
{
    struct talk t;
    struct objstore_put p = talk_hello();
    char long_name[3000];

    (void)state;
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    p.meta.record_id = "a\r\nx-evil: 1";
    p.meta.filename = long_name;
    p.meta.content_type = "text/html\r\nx-evil: 1";
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script(&t, "PUT", OK_PUT);
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_header(&t, 0, "x-evil", NULL);
    expect_header(&t, 0, "x-amz-meta-blobferry-id", "a%0D%0Ax-evil:%201");
    expect_header(&t, 0, "x-amz-meta-blobferry-name", NULL); /* over 2 KB it would be refused */
    expect_header(&t, 0, "content-type", "application/octet-stream");
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_put_sends_what_is_promised),
        cmocka_unit_test(test_s3_put_lost_answer_is_looked_for),
        cmocka_unit_test(test_s3_put_is_sent_again_only_when_absent),
        cmocka_unit_test(test_s3_put_lost_and_taken_by_somebody),
        cmocka_unit_test(test_s3_put_in_doubt),
        cmocka_unit_test(test_s3_put_precondition_is_looked_at),
        cmocka_unit_test(test_s3_put_looks_before_each_put),
        cmocka_unit_test(test_s3_put_without_etag_is_looked_at),
        cmocka_unit_test(test_s3_put_to_a_lax_store_is_read_back),
        cmocka_unit_test(test_s3_put_takes_back_only_its_own),
        cmocka_unit_test(test_s3_put_with_a_stored_checksum_is_verified),
        cmocka_unit_test(test_s3_put_hashes_what_leaves),
        cmocka_unit_test(test_s3_put_refused_digest),
        cmocka_unit_test(test_s3_put_compares_told_checksums),
        cmocka_unit_test(test_s3_put_falls_back),
        cmocka_unit_test(test_s3_put_needs_a_bucket),
        cmocka_unit_test(test_s3_put_metadata_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
