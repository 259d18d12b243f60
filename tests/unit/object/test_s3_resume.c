/* s3_resume: a file of 20 bytes in parts of 8, and an upload that an earlier process began. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3_talk.h"

#include <unistd.h>

#define CONTENT       "aaaaaaaabbbbbbbbcccc"
#define PART_SIZE     8
#define MD5_A         "3dbe00a167653a1aaee01d93e77e730e"
#define MD5_B         "810247419084c82d03809fc886fedaad"
#define MD5_C         "41fcba09f2bdcdf315ba4119dc7978dd"
#define LISTED(parts) "<ListPartsResult><IsTruncated>false</IsTruncated>" parts "</ListPartsResult>"
#define LISTED_PART(n, size, etag)                                                                 \
    "<Part><PartNumber>" #n "</PartNumber><ETag>&quot;" etag "&quot;</ETag><Size>" #size           \
    "</Size></Part>"
#define CREATED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u-new</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"

struct file {
    struct talk t;
    char path[200], sha256[DIGEST_SHA256_HEX];
    unsigned char parts[3][32];
    struct objstore_put p;
    char recorded[64]; /* uploads that were begun */
};

static enum err_code record(void *user, const char *upload_id, uint64_t part_size, struct err *e)
{
    struct file *f = user;

    (void)e;
    assert_int_equal(part_size, PART_SIZE);
    str_copy(f->recorded, sizeof f->recorded, upload_id);
    return ERR_OK;
}

static void begin(struct file *f)
{
    const char *tmp = getenv("TMPDIR");
    int fd;

    memset(f, 0, sizeof *f);
    (void)snprintf(f->path, sizeof f->path, "%s/blobferry-resume-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, CONTENT, strlen(CONTENT)), strlen(CONTENT));
    digest_sha256_hex(CONTENT, strlen(CONTENT), f->sha256);
    for (size_t i = 0; i < 3; i++)
        digest_sha256(&CONTENT[i * PART_SIZE], i < 2 ? PART_SIZE : 4, f->parts[i]);
    f->p = talk_hello();
    f->p.data = NULL;
    f->p.fd = fd;
    f->p.size = strlen(CONTENT);
    f->p.sha256 = f->p.meta.sha256 = f->sha256;
    f->p.part_size = PART_SIZE;
    f->p.part_sha256 = (const unsigned char(*)[32])f->parts;
    f->p.part_concurrency = 1;
    f->p.on_upload = record;
    f->p.upload_user = f;
    f->p.resume_upload = "u-old";
    talk_open(&f->t,
              &(struct talk_options){.features = FEATURES_GOOD | OBJSTORE_IF_NONE_MATCH_MPU});
    script(&f->t, "HEAD", NOT_FOUND);
}

static void end(struct file *f)
{
    talk_close(&f->t);
    close(f->p.fd);
    unlink(f->path);
}

/* By the driver itself: objstore would want parts of 5 MiB. */
static struct objstore_result put(struct file *f)
{
    struct got g = {0};

    if (s3_put_start(f->t.store, &f->p, got_it, &g, &f->t.err) != ERR_OK)
        fail_msg("%s", f->t.err.message);
    talk_run(&f->t, &g.calls);
    return g.r;
}

static void script_done(struct file *f)
{
    char text[1024];

    script_body(&f->t, "POST", COMPLETED);
    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"x-3\"\r\nContent-Length: 20\r\n"
                   "x-amz-meta-blobferry-id: r-1\r\nx-amz-meta-blobferry-batch: b%%201\r\n"
                   "x-amz-meta-blobferry-sha256: %s\r\n\r\n",
                   f->sha256);
    scripted_add(f->t.s, &(struct scripted_reply){.method = "HEAD", .text = text});
}

/* The targets that were asked for, in order, a word each: what and of which part. */
static void expect_target(struct file *f, size_t i, const char *method, const char *target)
{
    const struct scripted_request *q = scripted_request_at(f->t.s, i);

    assert_non_null(q);
    assert_string_equal(q->method, method);
    assert_string_equal(q->target, target);
}

static void test_s3_resume_sends_only_what_is_not_there(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    script_body(&f.t, "GET", LISTED(LISTED_PART(1, 8, MD5_A) LISTED_PART(3, 4, MD5_C)));
    script(&f.t, "PUT", OK_PUT);
    script_done(&f);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.parts_kept, 2);
    assert_int_equal(r.bytes, 8);
    assert_string_equal(f.recorded, ""); /* no other upload was begun */
    expect_target(&f, 1, "GET", "/bkt/k?uploadId=u-old");
    expect_target(&f, 2, "PUT", "/bkt/k?partNumber=2&uploadId=u-old");
    expect_target(&f, 3, "POST", "/bkt/k?uploadId=u-old");
    const char *document = (const char *)scripted_request_at(f.t.s, 3)->body;
    assert_non_null(strstr(document, MD5_A));
    assert_non_null(strstr(document, MD5_C));
    end(&f);
}

/* Another size, another ETag, an ETag that is no MD5, a part beyond the end: all of these are sent. */
static void test_s3_resume_believes_no_part_unproven(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    script_body(&f.t, "GET",
                LISTED(LISTED_PART(1, 7, MD5_A) LISTED_PART(2, 8, MD5_A)
                           LISTED_PART(3, 4, "opaque-3") LISTED_PART(4, 8, MD5_A)));
    for (int i = 0; i < 3; i++)
        script(&f.t, "PUT", OK_PUT);
    script_done(&f);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.parts_kept, 0);
    assert_int_equal(r.bytes, 20);
    end(&f);
}

static void test_s3_resume_of_all_parts_only_completes(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    script_body(&f.t, "GET",
                "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2"
                "</NextPartNumberMarker>" LISTED_PART(1, 8, MD5_A)
                    LISTED_PART(2, 8, MD5_B) "</ListPartsResult>");
    script_body(&f.t, "GET", LISTED(LISTED_PART(3, 4, MD5_C)));
    script_done(&f);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.parts_kept, 3);
    assert_int_equal(r.bytes, 0);
    expect_target(&f, 2, "GET", "/bkt/k?part-number-marker=2&uploadId=u-old");
    end(&f);
}

static void test_s3_resume_begins_anew_when_it_is_gone(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    script_error(&f.t, "GET", 404, "NoSuchUpload");
    script_body(&f.t, "POST", CREATED);
    for (int i = 0; i < 3; i++)
        script(&f.t, "PUT", OK_PUT);
    script_done(&f);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(f.recorded, "u-new");
    expect_target(&f, 3, "PUT", "/bkt/k?partNumber=1&uploadId=u-new");
    end(&f);
}

/* No right to list parts: the old one goes before another is begun (P11). */
static void test_s3_resume_begins_anew_where_it_may_not_look(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    script_error(&f.t, "GET", 403, "AccessDenied");
    script(&f.t, "DELETE", NO_BODY);
    script_body(&f.t, "POST", CREATED);
    for (int i = 0; i < 3; i++)
        script(&f.t, "PUT", OK_PUT);
    script_done(&f);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_target(&f, 2, "DELETE", "/bkt/k?uploadId=u-old");
    assert_string_equal(f.recorded, "u-new");
    end(&f);
}

/* The file is not what was hashed: the upload is aborted, nothing is completed. */
static void test_s3_resume_sees_a_changed_source(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    assert_int_equal(pwrite(f.p.fd, "X", 1, 3), 1);
    script_body(&f.t, "GET", LISTED(LISTED_PART(1, 8, MD5_A)));
    script(&f.t, "DELETE", NO_BODY);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_FILE_CHANGED);
    expect_target(&f, 2, "DELETE", "/bkt/k?uploadId=u-old");
    end(&f);
}

/* Something is there by now: nothing is sent to it, and the upload goes. */
static void test_s3_resume_looks_before_it_sends(void **state)
{
    struct objstore_result r;
    struct file f;

    (void)state;
    begin(&f);
    scripted_stop(f.t.s); /* another script */
    f.t.s = scripted_start(NULL);
    objstore_close(f.t.store);
    f.t.store = NULL;
    struct objstore_options o = {
        .target = "s3://bkt", .credentials = &f.t.credentials, .endpoint_url = scripted_url(f.t.s)};
    assert_int_equal(objstore_open(&f.t.store, &o, &f.t.err), ERR_OK);
    script_found(&f.t, "r-other", "\"y\"", 5);
    script(&f.t, "DELETE", NO_BODY);
    r = put(&f);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    expect_target(&f, 1, "DELETE", "/bkt/k?uploadId=u-old");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_resume_sends_only_what_is_not_there),
        cmocka_unit_test(test_s3_resume_believes_no_part_unproven),
        cmocka_unit_test(test_s3_resume_of_all_parts_only_completes),
        cmocka_unit_test(test_s3_resume_begins_anew_when_it_is_gone),
        cmocka_unit_test(test_s3_resume_begins_anew_where_it_may_not_look),
        cmocka_unit_test(test_s3_resume_sees_a_changed_source),
        cmocka_unit_test(test_s3_resume_looks_before_it_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
