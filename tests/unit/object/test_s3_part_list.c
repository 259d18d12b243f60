#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/s3_part_list.h"

#include <stdio.h>
#include <string.h>

#define PAGE(inside)                                                                               \
    "<?xml version=\"1.0\"?><ListPartsResult xmlns=\"x\">" inside "</ListPartsResult>"
#define PART(n, size, etag)                                                                        \
    "<Part><PartNumber>" #n                                                                        \
    "</PartNumber><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>" etag                    \
    "</ETag><Size>" #size "</Size></Part>"

struct seen {
    int n;
    struct s3_part_listed last;
};

static enum err_code see(void *user, const struct s3_part_listed *part, struct err *e)
{
    struct seen *s = user;

    (void)e;
    s->n++;
    s->last = *part;
    return ERR_OK;
}

static enum err_code parse(const char *text, uint64_t marker, struct seen *s, uint64_t *next)
{
    *s = (struct seen){0};
    return s3_part_list_parse(text, strlen(text), marker, see, s, next, NULL);
}

static void test_s3_part_list_reads_a_page(void **state)
{
    struct seen s;
    uint64_t next;

    (void)state;
    assert_int_equal(parse(PAGE("<Bucket>b</Bucket><PartNumberMarker>0</PartNumberMarker>"
                                "<IsTruncated>false</IsTruncated>" PART(
                                    1, 5242880, "&quot;aa&quot;") PART(7, 12, "bb")),
                           0, &s, &next),
                     ERR_OK);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.last.number, 7);
    assert_int_equal(s.last.size, 12);
    assert_string_equal(s.last.etag, "bb");
    assert_int_equal(next, 0);
    assert_int_equal(parse(PAGE(""), 0, &s, &next), ERR_OK);
    assert_int_equal(s.n, 0);
}

static void test_s3_part_list_goes_on_page_by_page(void **state)
{
    struct seen s;
    uint64_t next;

    (void)state;
    assert_int_equal(parse(PAGE("<IsTruncated>true</IsTruncated><NextPartNumberMarker>1000"
                                "</NextPartNumberMarker>" PART(1000, 5, "x")),
                           0, &s, &next),
                     ERR_OK);
    assert_int_equal(next, 1000);
    /* no marker: the last part is one */
    assert_int_equal(parse(PAGE("<IsTruncated>true</IsTruncated>" PART(8, 5, "x")), 4, &s, &next),
                     ERR_OK);
    assert_int_equal(next, 8);
    /* for ever the same page */
    assert_int_equal(parse(PAGE("<IsTruncated>true</IsTruncated><NextPartNumberMarker>8"
                                "</NextPartNumberMarker>" PART(8, 5, "x")),
                           8, &s, &next),
                     ERR_STORE_UNAVAILABLE);
    assert_int_equal(next, 0);
}

static void test_s3_part_list_refuses_what_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "<html/>",
        "<Error><Code>NoSuchUpload</Code></Error>",
        "<ListPartsResult>" PART(1, 5, "x"),
        PAGE(PART(0, 5, "x")),
        PAGE(PART(-1, 5, "x")),
        PAGE(PART(1, -5, "x")),
        PAGE("<Part><PartNumber>1</PartNumber></Part>"),
        PAGE(PART(1, 99999999999999999999, "x")),
    };
    struct seen s;
    uint64_t next;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse(bad[i], 0, &s, &next) != ERR_STORE_UNAVAILABLE)
            fail_msg("'%s' was taken", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_part_list_reads_a_page),
        cmocka_unit_test(test_s3_part_list_goes_on_page_by_page),
        cmocka_unit_test(test_s3_part_list_refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
