#include "blobferry/codec/timefmt.h"

#include "blobferry/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

#define NOON     INT64_C(1795262400123) /* 2026-11-21T12:00:00.123Z */
#define FIRST_MS INT64_C(-62135596800000)
#define LAST_MS  INT64_C(253402300799999)

static void iso_is(int64_t ms, const char *expected)
{
    char text[TIMEFMT_SIZE];
    timefmt_iso(ms, text);
    assert_string_equal(text, expected);
}

static void parses(const char *text, const char *expected)
{
    int64_t ms = 0;
    char iso[TIMEFMT_SIZE];
    if (!timefmt_parse(text, &ms))
        fail_msg("'%s' was refused", text);
    timefmt_iso(ms, iso);
    assert_string_equal(iso, expected);
}

static void test_timefmt_writes_four_forms(void **unused)
{
    (void)unused;
    char text[TIMEFMT_SIZE];
    iso_is(NOON, "2026-11-21T12:00:00.123Z");
    timefmt_db(NOON, text);
    assert_string_equal(text, "2026-11-21 12:00:00");
    timefmt_amz(NOON, text);
    assert_string_equal(text, "20261121T120000Z");
    timefmt_stamp(NOON, text);
    assert_string_equal(text, "20261121_120000");
}

static void test_timefmt_writes_edges(void **unused)
{
    (void)unused;
    iso_is(0, "1970-01-01T00:00:00.000Z");
    iso_is(-1, "1969-12-31T23:59:59.999Z");
    iso_is(-86400000, "1969-12-31T00:00:00.000Z");
    iso_is(-86400001, "1969-12-30T23:59:59.999Z");
    iso_is(INT64_C(2147483647000), "2038-01-19T03:14:07.000Z");
    iso_is(INT64_C(2147483648000), "2038-01-19T03:14:08.000Z");
    iso_is(INT64_C(4294967296000), "2106-02-07T06:28:16.000Z");
    iso_is(INT64_C(951782400000), "2000-02-29T00:00:00.000Z");
    iso_is(INT64_C(4107542400000), "2100-03-01T00:00:00.000Z");
    iso_is(FIRST_MS, "0001-01-01T00:00:00.000Z");
    iso_is(LAST_MS, "9999-12-31T23:59:59.999Z");
}

static void test_timefmt_clamps_what_has_no_year(void **unused)
{
    (void)unused;
    iso_is(FIRST_MS - 1, "0001-01-01T00:00:00.000Z");
    iso_is(LAST_MS + 1, "9999-12-31T23:59:59.999Z");
    iso_is(INT64_MIN, "0001-01-01T00:00:00.000Z");
    iso_is(INT64_MAX, "9999-12-31T23:59:59.999Z");
}

/* Every day of 9,999 years, against a calendar that only counts. */
static void test_timefmt_every_day_is_right(void **unused)
{
    (void)unused;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t expected = FIRST_MS;
    for (int year = 1; year <= 9999; year++) {
        const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            const int days = lengths[month - 1] + (month == 2 && leap ? 1 : 0);
            char text[64];
            int64_t ms;
            /* first, last and one too many; each day between is one more day */
            (void)snprintf(text, sizeof text, "%04d-%02d-01", year, month);
            if (!timefmt_parse_day(text, &ms) || ms != expected)
                fail_msg("%s", text);
            expected += INT64_C(86400000) * (days - 1);
            char written[TIMEFMT_SIZE];
            (void)snprintf(text, sizeof text, "%04d-%02d-%02d 00:00:00", year, month, days);
            timefmt_db(expected, written);
            assert_string_equal(written, text);
            expected += INT64_C(86400000);
            (void)snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, days + 1);
            if (timefmt_parse_day(text, &ms))
                fail_msg("%s was taken", text);
        }
    }
    assert_true(expected == LAST_MS + 1);
}

static void test_timefmt_random_instants_round_trip(void **unused)
{
    (void)unused;
    uint64_t seed = 1970;
    for (int i = 0; i < 20000; i++) {
        const uint64_t span = (uint64_t)(LAST_MS - FIRST_MS) + 1;
        const int64_t ms = FIRST_MS + (int64_t)(vectors_random(&seed) % span);
        int64_t back;
        char text[TIMEFMT_SIZE];
        timefmt_iso(ms, text);
        assert_true(timefmt_parse(text, &back) && back == ms);
        timefmt_db(ms, text);
        assert_true(timefmt_parse(text, &back));
        assert_true(back <= ms && ms - back < 1000);
    }
}

static void test_timefmt_parses_the_forms_of_databases(void **unused)
{
    (void)unused;
    parses("2026-11-21", "2026-11-21T00:00:00.000Z");
    parses("2026-11-21 12:34", "2026-11-21T12:34:00.000Z");
    parses("2026-11-21 12:34:56", "2026-11-21T12:34:56.000Z");
    parses("2026-11-21T12:34:56", "2026-11-21T12:34:56.000Z");
    parses("2026-11-21T12:34Z", "2026-11-21T12:34:00.000Z");
    parses("2026-11-21T12:34:56Z", "2026-11-21T12:34:56.000Z");
    parses("2026-11-21T12:34:56.7Z", "2026-11-21T12:34:56.700Z");
    parses("2026-11-21 12:34:56.789012", "2026-11-21T12:34:56.789Z");
    parses("2026-11-21 12:34:56.9999999999999999999", "2026-11-21T12:34:56.999Z");
    parses("2026-11-21 12:34:56.789012+00", "2026-11-21T12:34:56.789Z");
    parses("2026-11-21 00:30:00+01", "2026-11-20T23:30:00.000Z");
    parses("2026-11-21T23:30:00-01:30", "2026-11-22T01:00:00.000Z");
    parses("2026-11-21T12:00:00+05:45", "2026-11-21T06:15:00.000Z");
    parses("2026-11-21T12:00:00-00:00", "2026-11-21T12:00:00.000Z");
    parses("2024-02-29", "2024-02-29T00:00:00.000Z");
    parses("0001-01-01", "0001-01-01T00:00:00.000Z");
    parses("9999-12-31 23:59:59.999", "9999-12-31T23:59:59.999Z");
    parses("2040-06-01 00:00:00", "2040-06-01T00:00:00.000Z");
}

static void test_timefmt_parses_epochs(void **unused)
{
    (void)unused;
    parses("1795262400", "2026-11-21T12:00:00.000Z");
    parses("1795262400123", "2026-11-21T12:00:00.123Z");
    parses("0000000001", "1970-01-01T00:00:01.000Z");
    parses("9999999999", "2286-11-20T17:46:39.000Z");
    parses("9999999999999", "2286-11-20T17:46:39.999Z");
}

static void test_timefmt_refuses_what_is_no_time(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        " ",
        "2024",
        "20241121",
        "179526240",
        "17952624000",
        "179526240012",
        "17952624001234",
        "-795262400",
        "1795262400.5",
        "2024-02-30",
        "2023-02-29",
        "1900-02-29",
        "2024-00-01",
        "2024-13-01",
        "2024-01-00",
        "2024-01-32",
        "2024-04-31",
        "0000-01-01",
        "10000-01-01",
        "24-01-01",
        "2024-1-1",
        "2024/01/01",
        "31/01/2024",
        "2024-01-01 ",
        " 2024-01-01",
        "2024-01-01T",
        "2024-01-01 1",
        "2024-01-01 12",
        "2024-01-01 12:",
        "2024-01-01 1:00",
        "2024-01-01 24:00",
        "2024-01-01 12:60",
        "2024-01-01 12:00:60",
        "2024-01-01 12:00:",
        "2024-01-01 12:00:00.",
        "2024-01-01 12:00:00.Z",
        "2024-01-01 12:00:00 Z",
        "2024-01-01 12:00:00z",
        "2024-01-01t12:00:00",
        "2024-01-01  12:00:00",
        "2024-01-01 12:00:00+",
        "2024-01-01 12:00:00+1",
        "2024-01-01 12:00:00+01:",
        "2024-01-01 12:00:00+01:0",
        "2024-01-01 12:00:00+24:00",
        "2024-01-01 12:00:00+00:60",
        "2024-01-01 12:00:00+0100",
        "2024-01-01 12:00:00ZZ",
        "2024-01-01 12:00:00 UTC",
        "2024-01-01Z",
        "2024-01-01+01",
        "2024-01-01 12:00:00,5",
        "infinity",
        "now",
        "0044-03-15 BC",
        "0001-01-01 00:00+01",
        "9999-12-31 23:30-01:00",
        "\357\274\222024-01-01",
        "+024-01-01",
        "2024--1-01",
        "2024-01-01 -1:00",
        "2024-01-01T12:00:00\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms;
        if (timefmt_parse(bad[i], &ms))
            fail_msg("'%s' was taken", bad[i]);
    }
    int64_t ms;
    assert_false(timefmt_parse(NULL, &ms));
    assert_false(timefmt_parse_day(NULL, &ms));
    assert_false(timefmt_parse_http(NULL, &ms));
}

static void test_timefmt_parse_day_takes_days_only(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",           "2024-02-30",  "2024-01-01 00:00", "2024-01-01T",
        "1795262400", "2024-01-01 ", "2024-1-1",         "2024-01-01Z"};
    int64_t ms;
    assert_true(timefmt_parse_day("2024-02-29", &ms));
    iso_is(ms, "2024-02-29T00:00:00.000Z");
    iso_is(ms + 86400000 - 1, "2024-02-29T23:59:59.999Z");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(timefmt_parse_day(bad[i], &ms));
}

static void http_is(const char *text, const char *expected)
{
    int64_t ms;
    char iso[TIMEFMT_SIZE];
    if (!timefmt_parse_http(text, &ms))
        fail_msg("'%s' was refused", text);
    timefmt_iso(ms, iso);
    assert_string_equal(iso, expected);
}

static void test_timefmt_parses_http_dates(void **unused)
{
    (void)unused;
    clock_set_wall_for_tests(NOON);
    http_is("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z");
    http_is("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z");
    http_is("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z");
    http_is("Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37.000Z");
    http_is("Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00.000Z");
    http_is("Fri, 29 Feb 2040 00:00:00 GMT", "2040-02-29T00:00:00.000Z");
    http_is("Saturday, 21-Nov-76 00:00:00 GMT", "2076-11-21T00:00:00.000Z");
    http_is("Monday, 21-Nov-77 00:00:00 GMT", "1977-11-21T00:00:00.000Z");
    clock_set_wall_for_tests(-1);
}

static void test_timefmt_refuses_other_http_dates(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        "Sun",
        "Sun, ",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "1994-11-06T08:49:37Z",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms;
        if (timefmt_parse_http(bad[i], &ms))
            fail_msg("'%s' was taken", bad[i]);
    }
}

static void test_timefmt_does_not_ask_for_the_time_zone(void **unused)
{
    (void)unused;
    const char *before = getenv("TZ");
    char kept[128] = "";
    if (before != NULL)
        (void)snprintf(kept, sizeof kept, "%s", before);
    (void)setenv("TZ", "XXX+11:30YYY", 1);
    tzset();
    iso_is(NOON, "2026-11-21T12:00:00.123Z");
    parses("2026-07-01 12:00:00", "2026-07-01T12:00:00.000Z");
    http_is("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z");
    (void)(before != NULL ? setenv("TZ", kept, 1) : unsetenv("TZ"));
    tzset();
}

/* Random text: no crash, and what is taken lies in the years 1 to 9999. */
static void test_timefmt_random_text_is_taken_in_range_only(void **unused)
{
    (void)unused;
    static const char letters[] = "0123456789-- ::.TZ+GMT,SunNov";
    uint64_t seed = 3;
    for (int round = 0; round < 30000; round++) {
        char text[40];
        const size_t n = vectors_below(&seed, sizeof text);
        int64_t ms = 0;
        vectors_bytes(&seed, letters, sizeof letters - 1, text, n);
        text[n] = '\0';
        if (round % 2 == 0 && n > 20) /* near misses of a good one */
            memcpy(text, "2026-11-21 12:00:00.5", vectors_below(&seed, 21));
        if (timefmt_parse(text, &ms) || timefmt_parse_http(text, &ms))
            assert_true(ms >= FIRST_MS && ms <= LAST_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timefmt_writes_four_forms),
        cmocka_unit_test(test_timefmt_writes_edges),
        cmocka_unit_test(test_timefmt_clamps_what_has_no_year),
        cmocka_unit_test(test_timefmt_every_day_is_right),
        cmocka_unit_test(test_timefmt_random_instants_round_trip),
        cmocka_unit_test(test_timefmt_parses_the_forms_of_databases),
        cmocka_unit_test(test_timefmt_parses_epochs),
        cmocka_unit_test(test_timefmt_refuses_what_is_no_time),
        cmocka_unit_test(test_timefmt_parse_day_takes_days_only),
        cmocka_unit_test(test_timefmt_parses_http_dates),
        cmocka_unit_test(test_timefmt_refuses_other_http_dates),
        cmocka_unit_test(test_timefmt_does_not_ask_for_the_time_zone),
        cmocka_unit_test(test_timefmt_random_text_is_taken_in_range_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
