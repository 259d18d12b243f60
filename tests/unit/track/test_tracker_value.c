#include "blobferry/track/tracker_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tracker_value text(const char *s)
{
    return (struct tracker_value){.type = TRACKER_TEXT, .bytes = s, .len = strlen(s)};
}

static struct tracker_value integer(int64_t n)
{
    return (struct tracker_value){.type = TRACKER_INTEGER, .integer = n, .bytes = ""};
}

static void expect(struct tracker_value v, enum tracker_kind k, const char *common)
{
    struct buf b;

    buf_init(&b, 4096);
    tracker_value_common(&b, &v, k);
    assert_string_equal(buf_cstr(&b), common);
    buf_release(&b);
}

static void holds(struct tracker_value v, enum tracker_kind k, const char *common)
{
    assert_null(tracker_value_defect(&v, k));
    expect(v, k, common);
}

static void refuses(struct tracker_value v, enum tracker_kind k, const char *why)
{
    const char *defect = tracker_value_defect(&v, k);

    assert_non_null(defect);
    assert_string_equal(defect, why);
}

static void test_tracker_value_times_meet_in_utc(void **state)
{
    (void)state;
    holds(text("2024-05-01 10:11:12"), TRACKER_KIND_TIME, "2024-05-01 10:11:12");
    holds(text("2024-05-01T10:11:12Z"), TRACKER_KIND_TIME, "2024-05-01 10:11:12");
    holds(text("2024-05-01 10:11:12+05:45"), TRACKER_KIND_TIME, "2024-05-01 04:26:12");
    holds(text("2024-05-01 10:11:12.5"), TRACKER_KIND_TIME, "2024-05-01 10:11:12.5");
    holds(text("2024-05-01 10:11:12.500000"), TRACKER_KIND_TIME, "2024-05-01 10:11:12.5");
    holds(text("2024-05-01T23:59:59.123456-01"), TRACKER_KIND_TIME, "2024-05-02 00:59:59.123456");
    holds(text("2024-02-29 00:00:00.000001"), TRACKER_KIND_TIME, "2024-02-29 00:00:00.000001");
    holds(text("1969-12-31 23:59:59.25"), TRACKER_KIND_TIME, "1969-12-31 23:59:59.25");
    holds(text("2024-05-31"), TRACKER_KIND_TIME, "2024-05-31 00:00:00");
    holds(integer(1714557072), TRACKER_KIND_TIME, "2024-05-01 09:51:12");
    holds(integer(1714557072007), TRACKER_KIND_TIME, "2024-05-01 09:51:12.007");
}

static void test_tracker_value_what_is_no_time(void **state)
{
    static const char *const bad[] = {"",
                                      "soon",
                                      "2024",
                                      "31/01/2024",
                                      "2024-02-30 00:00:00",
                                      "2024-00-01 00:00:00",
                                      "0000-01-01 00:00:00",
                                      "2024-05-01 24:00:00",
                                      "2024-05-01 10:60:00",
                                      "2024-05-01 10:11:1x",
                                      "2024-05-01 10:11:12.",
                                      "infinity"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refuses(text(bad[i]), TRACKER_KIND_TIME, "is no time");
        expect(text(bad[i]), TRACKER_KIND_TIME, bad[i]); /* and is compared by its bytes */
    }
    refuses(integer(7), TRACKER_KIND_TIME, "is no time");
}

static void test_tracker_value_numbers(void **state)
{
    const struct tracker_value half = {.type = TRACKER_REAL, .real = 0.5, .bytes = ""};

    (void)state;
    holds(integer(INT64_MIN), TRACKER_KIND_INTEGER, "-9223372036854775808");
    holds(text("42"), TRACKER_KIND_INTEGER, "42");
    holds(text("-42"), TRACKER_KIND_INTEGER, "-42");
    refuses(text("4 2"), TRACKER_KIND_INTEGER, "is no integer");
    refuses(text("-"), TRACKER_KIND_INTEGER, "is no integer");
    refuses(text("007"), TRACKER_KIND_INTEGER, "is no integer");
    refuses(text("-0"), TRACKER_KIND_INTEGER, "is no integer");
    holds(text("0"), TRACKER_KIND_INTEGER, "0");
    refuses(text(""), TRACKER_KIND_INTEGER, "is no integer");
    refuses(half, TRACKER_KIND_INTEGER, "is no integer");
    holds(half, TRACKER_KIND_REAL, "0.5");
    holds(integer(2), TRACKER_KIND_REAL, "2");
    refuses(text("0.5"), TRACKER_KIND_REAL, "is no number");
    holds(integer(7), TRACKER_KIND_TEXT, "7");
    holds(half, TRACKER_KIND_OTHER, "0.5");
}

static void test_tracker_value_booleans_uuids_bytes(void **state)
{
    const struct tracker_value blob = {.type = TRACKER_BLOB, .bytes = "\x00\xff", .len = 2};

    (void)state;
    holds(integer(1), TRACKER_KIND_BOOLEAN, "t");
    holds(integer(0), TRACKER_KIND_BOOLEAN, "f");
    holds(text("True"), TRACKER_KIND_BOOLEAN, "t");
    holds(text("no"), TRACKER_KIND_BOOLEAN, "f");
    refuses(integer(2), TRACKER_KIND_BOOLEAN, "is no boolean");
    refuses(text("maybe"), TRACKER_KIND_BOOLEAN, "is no boolean");
    holds(text("0B8F2A5E-1111-4222-8333-ABCDEFABCDEF"), TRACKER_KIND_UUID,
          "0b8f2a5e-1111-4222-8333-abcdefabcdef");
    refuses(text("0b8f2a5e111142228333abcdefabcdef"), TRACKER_KIND_UUID, "is no UUID");
    refuses(text("0b8f2a5e-1111-4222-8333-abcdefabcdeg"), TRACKER_KIND_UUID, "is no UUID");
    holds(blob, TRACKER_KIND_BYTES, "\\x00ff");
    refuses(blob, TRACKER_KIND_TEXT, "is no text");
}

static void test_tracker_value_text_that_a_strict_database_refuses(void **state)
{
    const struct tracker_value nul = {.type = TRACKER_TEXT, .bytes = "a\0b", .len = 3};
    const struct tracker_value null = {.type = TRACKER_NULL, .bytes = ""};

    (void)state;
    refuses(nul, TRACKER_KIND_TEXT, "holds a NUL byte");
    refuses(text("\xc3("), TRACKER_KIND_TEXT, "is not UTF-8");
    refuses(text("\xff"), TRACKER_KIND_OTHER, "is not UTF-8");
    holds(text("gr\xc3\xbc\xc3\x9f"), TRACKER_KIND_TEXT, "gr\xc3\xbc\xc3\x9f");
    holds(text(""), TRACKER_KIND_TEXT, "");
    for (int k = 0; k < TRACKER_KINDS; k++)
        holds(null, (enum tracker_kind)k, "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tracker_value_times_meet_in_utc),
        cmocka_unit_test(test_tracker_value_what_is_no_time),
        cmocka_unit_test(test_tracker_value_numbers),
        cmocka_unit_test(test_tracker_value_booleans_uuids_bytes),
        cmocka_unit_test(test_tracker_value_text_that_a_strict_database_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
