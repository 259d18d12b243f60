/* http_pace: a simulated clock; over any longer time the limit holds and is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/http_pace.h"

#define SECOND INT64_C(1000000)

static void test_http_pace_without_limit_gives_all(void **state)
{
    struct http_pace p;

    (void)state;
    http_pace_init(&p, 0, 5);
    assert_int_equal(http_pace_take(&p, 12345678, 5), 12345678);
    assert_int_equal(http_pace_wait_ms(&p, 5), 0);
}

static void test_http_pace_holds_over_time(void **state)
{
    static const uint64_t rates[] = {
        1, 100, 1024, 8000, 100000, 1 << 20, 50 << 20, 1000000000, UINT64_C(100000000000)};

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct http_pace p;
        uint64_t sent = 0;
        const int64_t seconds = rates[i] < 1024 ? 4000 : 20;
        const int64_t step = rates[i] < 1024 ? SECOND / 10 : 777; /* odd on purpose */
        http_pace_init(&p, rates[i], 0);
        for (int64_t now = 0; now <= seconds * SECOND; now += step) {
            for (size_t n; (n = http_pace_take(&p, 65536, now)) > 0;)
                sent += n;
        }
        const uint64_t most = rates[i] * (uint64_t)seconds;
        if (sent > most || sent + p.grain + rates[i] / 50 < most)
            fail_msg("rate %llu: %llu bytes instead of %llu", (unsigned long long)rates[i],
                     (unsigned long long)sent, (unsigned long long)most);
    }
}

static void test_http_pace_small_wants_need_no_grain(void **state)
{
    struct http_pace p;

    (void)state;
    http_pace_init(&p, 1000, 0);
    assert_int_equal(http_pace_take(&p, 10, 0), 0);
    assert_int_equal(http_pace_take(&p, 10, 9000), 0);
    assert_int_equal(http_pace_take(&p, 10, 10000), 10);
    assert_int_equal(http_pace_take(&p, 10, 10000), 0);
}

static void test_http_pace_saves_up_only_a_little(void **state)
{
    struct http_pace p;

    (void)state;
    http_pace_init(&p, 10 << 20, 0);
    assert_int_equal(http_pace_take(&p, 100 << 20, 3600 * SECOND),
                     (1 << 20) + 65536); /* a tenth of a second, and a grain */
    assert_int_equal(http_pace_take(&p, 100 << 20, 3600 * SECOND), 0);
}

static void test_http_pace_clock_that_goes_back_gives_nothing(void **state)
{
    struct http_pace p;

    (void)state;
    http_pace_init(&p, 1 << 20, 10 * SECOND);
    assert_int_equal(http_pace_take(&p, 65536, 5 * SECOND), 0);
    assert_int_equal(http_pace_take(&p, 65536, 10 * SECOND), 0);
    assert_true(http_pace_take(&p, 65536, 11 * SECOND) > 0);
}

/* After waiting as long as it says there is a grain, and not much earlier. */
static void test_http_pace_wait_is_long_enough(void **state)
{
    static const uint64_t rates[] = {2000, 50000, 1 << 20, 100 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct http_pace p;
        int64_t now = 0;
        http_pace_init(&p, rates[i], now);
        for (int round = 0; round < 50; round++) {
            const int ms = http_pace_wait_ms(&p, now);
            assert_in_range(ms, 1, 1001);
            if (ms > 2)
                assert_int_equal(http_pace_ready(&p, now + (ms - 2) * INT64_C(1000)), 0);
            now += ms * INT64_C(1000);
            assert_true(http_pace_ready(&p, now) >= 1);
            assert_int_equal(http_pace_wait_ms(&p, now), 0);
            while (http_pace_take(&p, 65536, now) > 0)
                ;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_pace_without_limit_gives_all),
        cmocka_unit_test(test_http_pace_holds_over_time),
        cmocka_unit_test(test_http_pace_small_wants_need_no_grain),
        cmocka_unit_test(test_http_pace_saves_up_only_a_little),
        cmocka_unit_test(test_http_pace_clock_that_goes_back_gives_nothing),
        cmocka_unit_test(test_http_pace_wait_is_long_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
