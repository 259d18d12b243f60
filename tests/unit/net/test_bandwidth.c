#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "blobferry/net/bandwidth.h"

#include <stdio.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)

static uint64_t rate_at(const char *text, int wday, int hour, int minute)
{
    struct bandwidth b;
    struct tm tm = {.tm_wday = wday, .tm_hour = hour, .tm_min = minute};

    assert_int_equal(bandwidth_parse(&b, text, NULL), ERR_OK);
    return bandwidth_rate(&b, &tm);
}

static void test_bandwidth_reads_plain_rates(void **state)
{
    (void)state;
    assert_int_equal(rate_at("10M", 3, 12, 0), 10 * MIB);
    assert_int_equal(rate_at("10m", 0, 0, 0), 10 * MIB);
    assert_int_equal(rate_at("1.5M", 0, 0, 0), 3 * MIB / 2);
    assert_int_equal(rate_at("512", 0, 0, 0), 512); /* bytes */
    assert_int_equal(rate_at("512K", 6, 23, 59), 512 * KIB);
    assert_int_equal(rate_at("4KiB", 6, 23, 59), 4 * KIB);
    assert_int_equal(rate_at("1000B", 1, 1, 1), 1000);
    assert_int_equal(rate_at("2G", 1, 1, 1), 2048 * MIB);
    assert_int_equal(rate_at("off", 1, 1, 1), 0);
    assert_int_equal(rate_at("0", 1, 1, 1), 0);
    assert_int_equal(rate_at("", 1, 1, 1), 0);
    assert_int_equal(rate_at(NULL, 1, 1, 1), 0);
}

static void test_bandwidth_follows_the_time_of_day(void **state)
{
    static const char day[] = "08:00,512K 12:00,10M 13:00,512k 18:00,30M 23:00,off";

    (void)state;
    for (int d = 0; d < 7; d++) {
        assert_int_equal(rate_at(day, d, 0, 0), 0); /* off since 23:00 */
        assert_int_equal(rate_at(day, d, 7, 59), 0);
        assert_int_equal(rate_at(day, d, 8, 0), 512 * KIB);
        assert_int_equal(rate_at(day, d, 12, 59), 10 * MIB);
        assert_int_equal(rate_at(day, d, 13, 0), 512 * KIB);
        assert_int_equal(rate_at(day, d, 22, 59), 30 * MIB);
        assert_int_equal(rate_at(day, d, 23, 0), 0);
    }
    assert_int_equal(rate_at("18:00,1M 08:00,2M", 2, 9, 0), 2 * MIB); /* in any order */
}

static void test_bandwidth_follows_the_day_of_the_week(void **state)
{
    static const char week[] = "Mon-08:00,512K Fri-23:59,10M Sat-10:00,1M Sun-20:00,off";

    (void)state;
    assert_int_equal(rate_at(week, 1, 7, 59), 0); /* Monday morning: Sunday's */
    assert_int_equal(rate_at(week, 1, 8, 0), 512 * KIB);
    assert_int_equal(rate_at(week, 5, 23, 58), 512 * KIB);
    assert_int_equal(rate_at(week, 5, 23, 59), 10 * MIB);
    assert_int_equal(rate_at(week, 6, 10, 0), MIB);
    assert_int_equal(rate_at(week, 0, 19, 59), MIB); /* over the end of the week */
    assert_int_equal(rate_at(week, 0, 20, 0), 0);
    assert_int_equal(rate_at("Monday-00:00,1M;tue-00:00,2M", 2, 1, 0), 2 * MIB);
    assert_int_equal(rate_at("10:00,1M Wed-10:00,2M", 3, 10, 0),
                     2 * MIB); /* the later one counts */
    assert_int_equal(rate_at("10:00,1M Wed-10:00,2M", 4, 10, 0), MIB);
}

static void test_bandwidth_refuses_what_it_does_not_understand(void **state)
{
    static const char *const bad[] = {
        "fast",
        "-1",
        "10X",
        "10MM",
        "10M:5M",
        "1e3",
        "24:00,1M",
        "08:60,1M",
        "8:00,1M",
        "08:00 1M",
        "08:00,",
        "08:00",
        "Foo-08:00,1M",
        "08:00,1M x",
        "999999999999G",
        ".",
        "0.0001B",
        "08:00,1M 12:00",
        "Mo-08:00,1M",
        ";",
        " ",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bandwidth b;
        struct err e;

        err_init(&e);
        if (bandwidth_parse(&b, bad[i], &e) != ERR_USAGE)
            fail_msg("'%s' was taken", bad[i]);
        assert_true(e.hint[0] != '\0');
        assert_int_equal(b.n, 0);
    }
}

/* More entries than a week can hold are refused, not forgotten. */
static void test_bandwidth_is_bounded(void **state)
{
    char text[4096] = "";
    struct bandwidth b;
    struct err e;

    (void)state;
    for (int i = 0; i < 25; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%02d:%02d,1M ", i % 24, i);
    assert_int_equal(bandwidth_parse(&b, text, &e), ERR_USAGE);
    text[24 * 9] = '\0';
    assert_int_equal(bandwidth_parse(&b, text, NULL), ERR_OK);
    assert_int_equal(b.n, BANDWIDTH_SLOTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bandwidth_reads_plain_rates),
        cmocka_unit_test(test_bandwidth_follows_the_time_of_day),
        cmocka_unit_test(test_bandwidth_follows_the_day_of_the_week),
        cmocka_unit_test(test_bandwidth_refuses_what_it_does_not_understand),
        cmocka_unit_test(test_bandwidth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
