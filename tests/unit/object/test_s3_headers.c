/* s3_headers, provenance: what headers say, and how ids travel in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/base/str.h"
#include "object/provenance.h"
#include "object/s3_headers.h"

#include <string.h>

static struct http_response answer_of(int status, const char *const *headers)
{
    struct http_response r = {.status = status};

    buf_init(&r.body, 100);
    buf_init(&r.header_block, 1 << 16);
    for (; *headers != NULL; headers++) {
        buf_str(&r.header_block, *headers);
        buf_char(&r.header_block, '\0');
    }
    return r;
}

static bool info_of(const char *const *headers, struct objinfo *info)
{
    struct http_response r = answer_of(200, headers);
    const bool sound = s3_headers_info(&r, info);

    buf_release(&r.header_block);
    return sound;
}

/* D8. */
static void test_s3_headers_etags(void **state)
{
    static const struct {
        const char *raw, *etag;
        bool good, weak;
    } known[] = {{"\"abc\"", "abc", true, false},  {"abc", "abc", true, false},
                 {"W/\"abc\"", "abc", true, true}, {"\"d41d-3\"", "d41d-3", true, false},
                 {"", "", false, false},           {"\"\"", "", false, false},
                 {"W/\"\"", "", false, true},      {"\"a\"b\"", "", false, false},
                 {"\"a b\"", "", false, false},    {"\"\xc3\xa9\"", "", false, false},
                 {NULL, "", false, false}};
    char etag[OBJINFO_ETAG_MAX], long_one[OBJINFO_ETAG_MAX + 10];
    bool weak;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(s3_headers_etag(known[i].raw, etag, &weak), known[i].good);
        assert_string_equal(etag, known[i].etag);
        assert_int_equal(weak, known[i].weak);
    }
    memset(long_one, 'e', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    assert_false(s3_headers_etag(long_one, etag, &weak));
}

static void test_s3_headers_info_takes_what_is_said(void **state)
{
    static const char *const headers[] = {
        "ETag: \"e\"",
        "Content-Length: 1234567890123",
        "content-type: text/plain",
        "X-Amz-Meta-Blobferry-Id: a%20b%",
        "x-amz-meta-blobferry-batch: b%C3%A9",
        "x-amz-meta-blobferry-sha256: "
        "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
        "x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
        NULL};
    static const char sha[] = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    struct objinfo info;

    (void)state;
    assert_true(info_of(headers, &info));
    assert_string_equal(info.etag, "e");
    assert_int_equal(info.size, INT64_C(1234567890123));
    assert_string_equal(info.record_id, "a%20b%"); /* no encoding of ours: as it stands */
    assert_string_equal(info.batch_id, "b\xc3\xa9");
    assert_string_equal(info.sha256, sha);
    assert_string_equal(info.stored_sha256, sha);
    assert_int_equal(info.last_modified_ms, INT64_C(1767225600000));
    assert_true(info_of((const char *const[]){NULL}, &info));
    assert_int_equal(info.size, -1);
    assert_string_equal(info.etag, "");
    assert_string_equal(info.record_id, "");
    assert_true(info_of((const char *const[]){"x-amz-meta-blobferry-sha256: xyz", NULL}, &info));
    assert_string_equal(info.sha256, "");
}

static void test_s3_headers_checksums_must_be_sound(void **state)
{
    static const struct {
        const char *header;
        bool sound;
    } known[] = {{"x-amz-checksum-crc32: NhCmhg==", true},
                 {"x-amz-checksum-crc32: NhCmhg==-3", true},
                 {"x-amz-checksum-crc64nvme: M3eFcAZSQlc=", true},
                 {"x-amz-checksum-crc32: FOOO==-123", false},
                 {"x-amz-checksum-crc32: NhCmhg==-", false},
                 {"x-amz-checksum-crc32: NhCmhg==-1x", false},
                 {"x-amz-checksum-crc32: NhCm", false},
                 {"x-amz-checksum-crc32: ", false},
                 {"x-amz-checksum-sha256: NhCmhg==", false},
                 {"x-amz-checksum-type: FULL_OBJECT", true},
                 {"x-amz-checksum-new: whatever", true}};
    struct objinfo info;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(info_of((const char *const[]){known[i].header, NULL}, &info),
                         known[i].sound);
    /* a checksum of checksums is none of the object */
    assert_true(info_of(
        (const char *const[]){
            "x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=-2", NULL},
        &info));
    assert_string_equal(info.stored_sha256, "");
    assert_true(info_of(
        (const char *const[]){"x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
                              "x-amz-checksum-type: COMPOSITE", NULL},
        &info));
    assert_string_equal(info.stored_sha256, "");
}

static void test_s3_headers_ranges(void **state)
{
    static const struct {
        const char *header;
        bool good;
    } known[] = {{"Content-Range: bytes 0-4/10", true},
                 {"Content-Range: bytes 9-9/10", true},
                 {"Content-Range: bytes 0-10/10", false},
                 {"Content-Range: bytes 5-4/10", false},
                 {"Content-Range: bytes 0-4/*", false},
                 {"Content-Range: bytes */10", false},
                 {"Content-Range: 0-4/10", false},
                 {"Content-Range: bytes 0-4/10x", false},
                 {"Content-Range: bytes -1-4/10", false},
                 {"X: y", false},
                 {"Content-Range: bytes 0-4/99999999999999999999999", false}};
    uint64_t first, last, total;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct http_response r = answer_of(206, (const char *const[]){known[i].header, NULL});
        assert_int_equal(s3_headers_range(&r, &first, &last, &total), known[i].good);
        if (known[i].good)
            assert_int_equal(total, 10);
        buf_release(&r.header_block);
    }
}

static void test_provenance_travels_in_ascii(void **state)
{
    static const char *const ids[] = {"",
                                      "plain-id_1.2~3",
                                      "a b",
                                      "100%",
                                      "%41",
                                      "\xc3\xa9\xf0\x9f\x98\x80",
                                      "line\r\nbreak\ttab",
                                      "\x01\x7f\xff",
                                      "a:b/c=d,e;f\"g'h"};
    char back[200];
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        buf_init(&b, 4096);
        assert_true(provenance_encode(&b, ids[i]));
        for (size_t k = 0; k < b.len; k++)
            assert_true(b.data[k] > ' ' && b.data[k] < 0x7f);
        assert_true(provenance_decode(back, sizeof back, buf_cstr(&b)));
        assert_string_equal(back, ids[i]);
        buf_release(&b);
    }
    buf_init(&b, 4096);
    assert_true(provenance_encode(&b, "a:b/c"));
    assert_string_equal(buf_cstr(&b), "a:b/c"); /* readable where it can be */
    buf_release(&b);
    assert_false(provenance_decode(back, 4, "12345"));
    assert_true(provenance_decode(back, sizeof back, "%00x")); /* a NUL would cut the id short */
    assert_string_equal(back, "%00x");
}

static void test_provenance_content_types(void **state)
{
    char long_type[200];

    (void)state;
    memset(long_type, 't', sizeof long_type - 1);
    long_type[sizeof long_type - 1] = '\0';
    assert_string_equal(provenance_content_type("image/png"), "image/png");
    assert_string_equal(provenance_content_type("text/html; charset=utf-8"),
                        "text/html; charset=utf-8");
    assert_string_equal(provenance_content_type(NULL), "application/octet-stream");
    assert_string_equal(provenance_content_type(""), "application/octet-stream");
    assert_string_equal(provenance_content_type("a\r\nb"), "application/octet-stream");
    assert_string_equal(provenance_content_type("t\xc3\xa9"), "application/octet-stream");
    assert_string_equal(provenance_content_type(" x"), "application/octet-stream");
    assert_string_equal(provenance_content_type(long_type), "application/octet-stream");
}

/* P4: all of it, or it is not ours. */
static void test_provenance_matches_all_or_nothing(void **state)
{
    static const char sha[] = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    struct objinfo info = {.size = 5, .record_id = "r"};
    struct objmeta meta = {.record_id = "r"};

    (void)state;
    str_copy(info.sha256, sizeof info.sha256, sha);
    assert_true(provenance_matches(&info, &meta, sha, 5));
    assert_false(provenance_matches(&info, &meta, sha, 6));
    info.size = -1;
    assert_false(provenance_matches(&info, &meta, sha, 5));
    info.size = 5;
    meta.record_id = "s";
    assert_false(provenance_matches(&info, &meta, sha, 5));
    meta.record_id = "r";
    info.sha256[0] = '3';
    assert_false(provenance_matches(&info, &meta, sha, 5));
    info.sha256[0] = '2';
    info.record_id[0] = '\0'; /* nobody's object is not ours because we have no id */
    meta.record_id = "";
    assert_false(provenance_matches(&info, &meta, sha, 5));
    meta.record_id = NULL;
    assert_false(provenance_matches(&info, &meta, sha, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_headers_etags),
        cmocka_unit_test(test_s3_headers_info_takes_what_is_said),
        cmocka_unit_test(test_s3_headers_checksums_must_be_sound),
        cmocka_unit_test(test_s3_headers_ranges),
        cmocka_unit_test(test_provenance_travels_in_ascii),
        cmocka_unit_test(test_provenance_content_types),
        cmocka_unit_test(test_provenance_matches_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
