/* s3_listing, s3_error, s3_deleted, s3_xml: documents, of servers that are not trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/base/str.h"
#include "object/s3_deleted.h"
#include "object/s3_error.h"
#include "object/s3_listing.h"
#include "object/s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err_code parse(const char *document, const char *token)
{
    struct s3_listing l;
    struct err e;
    const enum err_code code = s3_listing_parse(&l, document, strlen(document), token, &e);

    s3_listing_release(&l);
    return code;
}

#define LIST(inside)    "<ListBucketResult>" inside "</ListBucketResult>"
#define ITEM(key, size) "<Contents><Key>" key "</Key><Size>" size "</Size></Contents>"

static void test_s3_listing_judges_documents(void **state)
{
    static const struct {
        const char *document;
        enum err_code code;
    } known[] = {
        {LIST(""), ERR_OK},
        {"<ListBucketResult/>", ERR_OK},
        {LIST(ITEM("k", "0")), ERR_OK},
        {LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"),
         ERR_OK},
        {LIST("<IsTruncated>true</IsTruncated>"), ERR_STORE_CORRUPT},
        {LIST("<IsTruncated>true</IsTruncated><NextContinuationToken/>"), ERR_STORE_CORRUPT},
        {LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>old</NextContinuationToken>"),
         ERR_STORE_CORRUPT},
        {LIST(ITEM("", "0")), ERR_STORE_CORRUPT},
        {LIST(ITEM("k", "")), ERR_STORE_CORRUPT},
        {LIST(ITEM("k", "-1")), ERR_STORE_CORRUPT},
        {LIST(ITEM("k", "1.5")), ERR_STORE_CORRUPT},
        {LIST(ITEM("k", "9223372036854775808")), ERR_STORE_CORRUPT},
        {LIST(ITEM("k", "9223372036854775807")), ERR_OK},
        {LIST("<Contents><Size>1</Size></Contents>"), ERR_STORE_CORRUPT},
        {LIST("<Contents><Key>k</Key></Contents>"), ERR_STORE_CORRUPT},
        {LIST("<EncodingType>url</EncodingType>" ITEM("%4", "1")), ERR_STORE_CORRUPT},
        {"<ListBucketResult>" ITEM("k", "1"), ERR_STORE_UNAVAILABLE}, /* cut off */
        {"<html/>", ERR_STORE_UNAVAILABLE},
        {"", ERR_STORE_UNAVAILABLE},
        {"<Error><Code>SlowDown</Code></Error>", ERR_STORE_UNAVAILABLE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (parse(known[i].document, "old") != known[i].code)
            fail_msg("%s", known[i].document);
    }
}

static void test_s3_listing_keeps_many_entries(void **state)
{
    struct s3_listing l;
    struct buf b;
    char key[32];

    (void)state;
    buf_init(&b, (size_t)1 << 20);
    buf_str(&b, "<ListBucketResult><EncodingType>url</EncodingType>");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "<Contents><Key>k+%04d</Key><Size>%d</Size><ETag>\"e%d\"</ETag></Contents>",
                   i, i, i);
    buf_str(&b, "</ListBucketResult>");
    assert_int_equal(s3_listing_parse(&l, b.data, b.len, NULL, NULL), ERR_OK);
    assert_int_equal(l.count, 1000);
    assert_null(l.next);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "k %04d", i);
        assert_string_equal(l.entries[i].key, key);
        assert_int_equal(l.entries[i].size, i);
        (void)snprintf(key, sizeof key, "e%d", i);
        assert_string_equal(l.entries[i].etag, key);
    }
    s3_listing_release(&l);
    buf_release(&b);
}

static void test_s3_listing_is_bounded(void **state)
{
    struct s3_listing l;
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, (size_t)8 << 20);
    buf_str(&b, "<ListBucketResult>");
    for (int i = 0; i < 40000; i++)
        buf_str(&b, ITEM("k", "1"));
    buf_str(&b, "</ListBucketResult>");
    assert_true(buf_ok(&b));
    assert_int_equal(s3_listing_parse(&l, b.data, b.len, NULL, &e), ERR_LIMIT);
    s3_listing_release(&l);
    buf_release(&b);
}

static void test_s3_listing_uploads_need_ids(void **state)
{
    static const char without[] =
        "<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>";
    static const char again[] =
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</"
        "NextKeyMarker>"
        "<NextUploadIdMarker>u</NextUploadIdMarker></ListMultipartUploadsResult>";
    struct s3_listing l;
    struct err e;
    char *token;

    (void)state;
    assert_int_equal(s3_listing_parse_uploads(&l, without, strlen(without), NULL, &e),
                     ERR_STORE_CORRUPT);
    s3_listing_release(&l);
    assert_int_equal(s3_listing_parse_uploads(&l, again, strlen(again), NULL, &e), ERR_OK);
    token = str_dup(l.next);
    s3_listing_release(&l);
    assert_int_equal(s3_listing_parse_uploads(&l, again, strlen(again), token, &e),
                     ERR_STORE_CORRUPT);
    s3_listing_release(&l);
    free(token);
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

static void test_s3_error_keeps_words_only(void **state)
{
    static const char document[] =
        "<Error><Code> SlowDown\n</Code><Message>a\x01 b&#x1b;[0m</Message><Region>eu-1</Region>"
        "<Header>x y</Header><Token-0>SECRET</Token-0><Nested><Code>Other</Code></Nested></Error>";
    struct s3_error error;

    (void)state;
    assert_true(s3_error_parse(document, strlen(document), &error));
    assert_string_equal(error.code, "SlowDown");
    assert_string_equal(error.message, "a\\x01 b\\x1b[0m");
    assert_string_equal(error.region, "eu-1");
    assert_string_equal(error.header, "");
    assert_false(s3_error_parse("<Other><Code>X</Code></Other>", 29, &error));
    assert_string_equal(error.code, "");
    assert_false(s3_error_parse(NULL, 0, &error));
    assert_true(s3_error_parse("<Error><Code>A b</Code>", 23, &error));
    assert_string_equal(error.code, "");
}

/* ---- bulk removal ---------------------------------------------------------------------------------------------- */

struct told {
    struct buf seen;
};

static void on_key(void *user, const char *key, const struct s3_error *error)
{
    struct told *t = user;
    buf_printf(&t->seen, "[%s=%s:%s]", key, error == NULL ? "gone" : error->code,
               error == NULL ? "" : error->message);
}

static bool parse_deleted(const char *document, const char *wanted)
{
    struct told t;
    bool whole;

    buf_init(&t.seen, 4096);
    whole = s3_deleted_parse(document, strlen(document), on_key, &t);
    assert_string_equal(buf_cstr(&t.seen), wanted);
    buf_release(&t.seen);
    return whole;
}

static void test_s3_deleted_tells_each_key(void **state)
{
    (void)state;
    assert_true(
        parse_deleted("<DeleteResult><Deleted><Key>a b</Key><VersionId>1</VersionId></Deleted>"
                      "<Error><Key>c</Key><Code>X</Code><Message>m</Message></Error>"
                      "<Deleted/></DeleteResult>",
                      "[a b=gone:][c=X:m]"));
    assert_true(parse_deleted("<DeleteResult/>", ""));
    assert_false(parse_deleted("<DeleteResult><Deleted><Key>a</Key></Deleted>", "[a=gone:]"));
    assert_false(parse_deleted("<Error><Key>a</Key></Error>", ""));
    assert_false(parse_deleted("", ""));
}

static void test_s3_xml_escapes_everything(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    assert_true(s3_xml_element(&b, "Key", "a<b>&\"'\r\n\t\x01\x7f\xc3\xa9"));
    assert_string_equal(buf_cstr(&b), "<Key>a&lt;b&gt;&amp;&quot;&apos;&#xD;&#xA;&#x9;&#x1;&#x7F;"
                                      "\xc3\xa9</Key>");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_listing_judges_documents),
        cmocka_unit_test(test_s3_listing_keeps_many_entries),
        cmocka_unit_test(test_s3_listing_is_bounded),
        cmocka_unit_test(test_s3_listing_uploads_need_ids),
        cmocka_unit_test(test_s3_error_keeps_words_only),
        cmocka_unit_test(test_s3_deleted_tells_each_key),
        cmocka_unit_test(test_s3_xml_escapes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
