/* http_timer: order, bounds of one round, cancelling from inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/http_timer.h"

#include <string.h>

static char called[64];
static struct http_timers timers;

struct note {
    char letter;
    bool adds, cancels;
};

static void on_due(void *user, bool cancelled)
{
    const struct note *n = user;
    const size_t at = strlen(called);
    struct err e;

    err_init(&e);
    assert_true(at + 2 < sizeof called);
    called[at] = cancelled ? (char)(n->letter - 'a' + 'A') : n->letter;
    called[at + 1] = '\0';
    if (n->adds)
        assert_int_equal(http_timer_add(&timers, 5, on_due, user, &e), ERR_OK);
    if (n->cancels)
        http_timer_cancel(&timers);
}

static int fresh(void **state)
{
    (void)state;
    timers = (struct http_timers){0};
    called[0] = '\0';
    return 0;
}

static void add(int64_t due_ms, struct note *n)
{
    struct err e;

    err_init(&e);
    assert_int_equal(http_timer_add(&timers, due_ms, on_due, n, &e), ERR_OK);
}

static void test_http_timer_soonest_first_and_equal_ones_in_order(void **state)
{
    static struct note n[] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}, {.letter = 'd'}};

    (void)state;
    assert_int_equal(http_timer_wait_ms(&timers, 0, 77), 77);
    add(30, &n[0]);
    add(10, &n[1]);
    add(30, &n[2]);
    add(20, &n[3]);
    assert_int_equal(timers.count, 4);
    assert_int_equal(http_timer_wait_ms(&timers, 4, 77), 6);
    assert_int_equal(http_timer_wait_ms(&timers, 4, 3), 3);
    assert_int_equal(http_timer_wait_ms(&timers, 400, 3), 0);
    assert_int_equal(http_timer_fire(&timers, 9), 0);
    assert_int_equal(http_timer_fire(&timers, 20), 2);
    assert_string_equal(called, "bd");
    assert_int_equal(timers.count, 2);
    assert_int_equal(http_timer_fire(&timers, 1000), 2);
    assert_string_equal(called, "bdac");
    assert_int_equal(timers.count, 0);
    assert_int_equal(http_timer_fire(&timers, 2000), 0);
}

static void test_http_timer_added_while_firing_waits_for_the_next_round(void **state)
{
    static struct note n[] = {{.letter = 'a', .adds = true}, {.letter = 'b'}};

    (void)state;
    add(1, &n[0]);
    add(2, &n[1]);
    assert_int_equal(http_timer_fire(&timers, 5), 2);
    assert_int_equal(timers.count, 1); /* and not for ever */
    n[0].adds = false;
    http_timer_fire(&timers, 5);
    assert_int_equal(timers.count, 0);
}

static void test_http_timer_cancel_tells_each_once(void **state)
{
    static struct note n[] = {{.letter = 'a'}, {.letter = 'b', .adds = true}, {.letter = 'c'}};

    (void)state;
    for (int i = 0; i < 3; i++)
        add(i, &n[i]);
    http_timer_cancel(&timers);
    assert_string_equal(called, "ABC");
    assert_int_equal(timers.count, 1); /* what a callback added lives */
    n[1].adds = false;
    http_timer_cancel(&timers);
    assert_string_equal(called, "ABCB");
    assert_int_equal(timers.count, 0);
}

static void test_http_timer_cancel_from_a_callback(void **state)
{
    static struct note n[] = {{.letter = 'a', .cancels = true}, {.letter = 'b'}, {.letter = 'c'}};

    (void)state;
    for (int i = 0; i < 3; i++)
        add(i, &n[i]);
    assert_int_equal(http_timer_fire(&timers, 10), 1);
    assert_string_equal(called, "aBC");
    assert_int_equal(timers.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_http_timer_soonest_first_and_equal_ones_in_order, fresh),
        cmocka_unit_test_setup(test_http_timer_added_while_firing_waits_for_the_next_round, fresh),
        cmocka_unit_test_setup(test_http_timer_cancel_tells_each_once, fresh),
        cmocka_unit_test_setup(test_http_timer_cancel_from_a_callback, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
