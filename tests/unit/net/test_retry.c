/* retry: tables with an injected random number. */
#include "blobferry/net/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WALL_MS INT64_C(1795262400000) /* Sat, 21 Nov 2026 12:00:00 GMT */

static uint64_t next_random;

static uint64_t injected(void)
{
    return next_random;
}

static int inject(void **state)
{
    (void)state;
    next_random = 0;
    retry_set_random_for_tests(injected);
    return 0;
}

static int restore(void **state)
{
    (void)state;
    retry_set_random_for_tests(NULL);
    return 0;
}

static void test_retry_defaults_are_documented(void **state)
{
    struct retry_policy p;

    (void)state;
    retry_defaults(&p);
    assert_int_equal(p.max_retries, 3);
    assert_int_equal(p.base_ms, 100);
    assert_int_equal(p.cap_ms, 20000);
    assert_int_equal(p.deadline_ms, 300000);
}

static void test_retry_ends_after_max_retries(void **state)
{
    static const struct {
        int max_retries, attempts;
        bool again;
    } table[] = {{3, 1, true},  {3, 3, true}, {3, 4, false}, {3, 5, false},
                 {0, 1, false}, {1, 1, true}, {1, 2, false}, {-1, 1, false}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct retry_policy p = {.max_retries = table[i].max_retries};
        const struct retry_state s = {.attempts = table[i].attempts};
        int64_t delay = -1;
        assert_int_equal(retry_next(&p, &s, 10, WALL_MS, NULL, &delay), table[i].again);
        assert_int_equal(delay, 0);
    }
}

/* The largest delay: the random number is the limit itself. */
static void test_retry_ceiling_doubles_up_to_the_cap(void **state)
{
    static const struct {
        int attempts;
        int64_t base, cap, ceiling;
    } table[] = {
        {0, 100, 20000, 100},    {1, 100, 20000, 100},      {2, 100, 20000, 200},
        {3, 100, 20000, 400},    {8, 100, 20000, 12800},    {9, 100, 20000, 20000},
        {50, 100, 20000, 20000}, {1000, 100, 20000, 20000}, {1, 500, 200, 200},
        {3, 0, 0, 400},          {100, 0, 0, 20000},        {64, 1, INT64_MAX / 4, INT64_MAX / 4}};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct retry_policy p = {.max_retries = 2000,
                                       .base_ms = table[i].base,
                                       .cap_ms = table[i].cap,
                                       .deadline_ms = INT64_MAX};
        const struct retry_state s = {.attempts = table[i].attempts};
        int64_t delay;
        next_random = (uint64_t)table[i].ceiling;
        assert_true(retry_next(&p, &s, 0, WALL_MS, NULL, &delay));
        assert_int_equal(delay, table[i].ceiling);
        next_random++; /* one more wraps to the shortest: the range is closed on both sides */
        assert_true(retry_next(&p, &s, 0, WALL_MS, NULL, &delay));
        assert_int_equal(delay, 0);
    }
}

static void test_retry_jitter_is_full(void **state)
{
    const struct retry_policy p = {.max_retries = 9, .base_ms = 100, .cap_ms = 20000};
    const struct retry_state s = {.attempts = 3};
    int64_t delay;

    (void)state;
    for (uint64_t r = 0; r <= 400; r++) {
        next_random = r;
        assert_true(retry_next(&p, &s, 0, WALL_MS, NULL, &delay));
        assert_int_equal(delay, r);
    }
}

static void test_retry_after_is_the_least_delay(void **state)
{
    static const struct {
        const char *text;
        uint64_t random;
        int64_t delay;
    } table[] = {
        {NULL, 40, 40},
        {"", 40, 40},
        {"0", 40, 40},
        {"1", 40, 1000},
        {"7", 40, 7000},
        {"19", 40, 19000},
        {"20", 40, 20000},                               /* the cap */
        {"21", 40, 20000},                               /* capped */
        {"86400", 40, 20000},                            /* capped */
        {"99999999999999999999999999999999", 40, 20000}, /* overflow is long, not garbage */
        {"18446744073709551615", 40, 20000},
        {"9223372036854775808", 40, 20000},
        {"-5", 40, 40},
        {"+5", 40, 40},
        {" 5", 40, 40},
        {"5s", 40, 40},
        {"1e3", 40, 40},
        {"0x10", 40, 40},
        {"soon", 40, 40},
        {"\xff\xfe", 40, 40},
        {"Sat, 21 Nov 2026 12:00:05 GMT", 40, 5000},
        {"Sat, 21 Nov 2026 12:00:00 GMT", 40, 40}, /* now */
        {"Sat, 21 Nov 2026 11:00:00 GMT", 40, 40}, /* past */
        {"Sat, 21 Nov 2099 12:00:00 GMT", 40, 20000},
        {"Saturday, 21-Nov-26 12:00:05 GMT", 40, 5000},
        {"Sat Nov 21 12:00:05 2026", 40, 5000},
        {"Sat, 31 Nov 2026 12:00:05 GMT", 40, 40},
    };
    const struct retry_policy p = {.max_retries = 3, .base_ms = 100, .cap_ms = 20000};
    const struct retry_state s = {.attempts = 1};

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int64_t delay = -1;
        next_random = table[i].random;
        assert_true(retry_next(&p, &s, 0, WALL_MS, table[i].text, &delay));
        if (delay != table[i].delay)
            fail_msg("Retry-After '%s': %lld instead of %lld", table[i].text, (long long)delay,
                     (long long)table[i].delay);
    }
}

static void test_retry_keeps_a_longer_jitter(void **state)
{
    const struct retry_policy p = {.max_retries = 9, .base_ms = 100, .cap_ms = 20000};
    const struct retry_state s = {.attempts = 7}; /* up to 6400 ms */
    int64_t delay;

    (void)state;
    next_random = 5000;
    assert_true(retry_next(&p, &s, 0, WALL_MS, "2", &delay));
    assert_int_equal(delay, 5000);
}

static void test_retry_stops_at_the_deadline(void **state)
{
    static const struct {
        int64_t deadline, now;
        const char *retry_after;
        bool again;
    } table[] = {
        {1000, 900 + 50, NULL, true},  /* exactly the 50 ms that are left */
        {1000, 900 + 51, NULL, false}, /* would begin too late */
        {1000, 1000, NULL, false},     {1000, 5000, NULL, false}, {1000, 0, "1", true},
        {1000, 1, "1", false},         {0, 299950, NULL, true}, /* the default: 300 s */
        {0, 299951, NULL, false},      {1000, -500, NULL, true}, /* a clock that went back does not make a negative wait */
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct retry_policy p = {
            .max_retries = 3, .base_ms = 100, .cap_ms = 20000, .deadline_ms = table[i].deadline};
        const struct retry_state s = {.attempts = 1, .started_ms = 70};
        int64_t delay = -1;
        next_random = 50;
        assert_int_equal(
            retry_next(&p, &s, table[i].now + 70, WALL_MS, table[i].retry_after, &delay),
            table[i].again);
        assert_true(table[i].again ? delay >= 50 : delay == 0);
    }
}

static void test_retry_real_random_stays_in_range_and_varies(void **state)
{
    const struct retry_policy p = {.max_retries = 9, .base_ms = 1000, .cap_ms = 20000};
    const struct retry_state s = {.attempts = 1};
    int64_t low = INT64_MAX, high = 0;

    (void)state;
    retry_set_random_for_tests(NULL);
    for (int i = 0; i < 300; i++) {
        int64_t delay = -1;
        assert_true(retry_next(&p, &s, 0, WALL_MS, NULL, &delay));
        assert_in_range(delay, 0, 1000);
        low = delay < low ? delay : low;
        high = delay > high ? delay : high;
    }
    assert_true(low < 250); /* fails once in 10^37 runs */
    assert_true(high > 750);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_defaults_are_documented),
        cmocka_unit_test_setup_teardown(test_retry_ends_after_max_retries, inject, restore),
        cmocka_unit_test_setup_teardown(test_retry_ceiling_doubles_up_to_the_cap, inject, restore),
        cmocka_unit_test_setup_teardown(test_retry_jitter_is_full, inject, restore),
        cmocka_unit_test_setup_teardown(test_retry_after_is_the_least_delay, inject, restore),
        cmocka_unit_test_setup_teardown(test_retry_keeps_a_longer_jitter, inject, restore),
        cmocka_unit_test_setup_teardown(test_retry_stops_at_the_deadline, inject, restore),
        cmocka_unit_test_setup_teardown(test_retry_real_random_stays_in_range_and_varies, inject,
                                        restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
