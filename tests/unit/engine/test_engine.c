#include "unit/base/scratch.h"

#include "blobferry/engine/engine.h"

static bool always(void)
{
    return true;
}

static void test_engine_stopping_asks_its_own_or_the_process(void **state)
{
    struct engine g = {0};
    (void)state;

    assert_false(engine_stopping(&g));
    process_stop_for_tests(15);
    assert_true(engine_stopping(&g));
    process_stop_for_tests(0);
    g.stopping = always;
    assert_true(engine_stopping(&g));
}

static void count(void *user, const struct engine_event *ev)
{
    assert_int_equal(ev->kind, ENGINE_NOTE);
    ++*(int *)user;
}

static void test_engine_emit_tells_whoever_listens(void **state)
{
    int told = 0;
    struct engine g = {0};
    const struct engine_event ev = {.kind = ENGINE_NOTE, .message = "x"};
    (void)state;

    engine_emit(&g, &ev);
    g.on_event = count;
    g.event_user = &told;
    engine_emit(&g, &ev);
    assert_int_equal(told, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_stopping_asks_its_own_or_the_process),
        cmocka_unit_test(test_engine_emit_tells_whoever_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
