#include "engine/analyze_runs.h"

#include "unit/base/scratch.h"

static struct analyze_line line(const char *run, const char *event, int64_t time_ms, bool audit)
{
    struct analyze_line l = {
        .audit = audit, .time_ms = time_ms, .bytes = -1, .duration_ms = -1, .success = -1};

    snprintf(l.run, sizeof l.run, "%s", run);
    snprintf(l.event, sizeof l.event, "%s", event);
    return l;
}

static void see(struct analyze_runs *r, struct analyze_line l)
{
    analyze_runs_see(r, &l);
}

static bool audited(struct analyze_runs *r, const char *run)
{
    struct analyze_line l = line(run, "file_completed", 0, false);
    return analyze_runs_audited(r, &l);
}

static void test_analyze_runs_tells_ends_failures_and_the_longest(void **state)
{
    struct analyze_runs r;
    struct analyze_runs_sum sum;
    struct analyze_line end = line("a", "run_end", 9000, true);
    (void)state;

    assert_int_equal(analyze_runs_init(&r, NULL), ERR_OK);
    see(&r, line("a", "run_begin", 1000, true));
    end.duration_ms = 8000;
    end.success = 1;
    see(&r, end);
    see(&r, line("b", "run_begin", 5000, true)); /* killed: its last line is 20 s later */
    see(&r, line("b", "upload_intent", 25000, true));
    end = line("c", "run_end", 3000, true);
    end.success = 0;
    end.duration_ms = 100;
    see(&r, end);
    analyze_runs_total(&r, &sum);
    assert_int_equal(sum.runs, 3);
    assert_int_equal(sum.failed, 1);
    assert_int_equal(sum.unfinished, 1);
    assert_int_equal(sum.longest_ms, 20000);
    analyze_runs_release(&r);
    analyze_runs_release(&r);
}

static void test_analyze_runs_of_logs_that_the_audit_tells_of(void **state)
{
    struct analyze_runs r;
    struct analyze_line from_audit = line("x", "upload_outcome", 1, true);
    (void)state;

    assert_int_equal(analyze_runs_init(&r, NULL), ERR_OK);
    assert_false(audited(&r, "x"));
    assert_false(audited(&r, "")); /* no audit was read: a log without a run counts */
    see(&r, line("x", "run_begin", 1, true));
    assert_true(audited(&r, "x"));
    assert_false(audited(&r, "y"));
    see(&r, line("y", "run_begin", 1, false));
    assert_false(audited(&r, "y")); /* seen, but only in logs */
    assert_true(audited(&r, ""));
    assert_false(analyze_runs_audited(&r, &from_audit)); /* the audit itself always counts */
    analyze_runs_release(&r);
}

static void test_analyze_runs_of_logs_are_not_called_unfinished(void **state)
{
    struct analyze_runs r;
    struct analyze_runs_sum sum;
    (void)state;

    assert_int_equal(analyze_runs_init(&r, NULL), ERR_OK);
    see(&r, line("y", "file_failed", 1, false)); /* a log at level error holds no run_end */
    analyze_runs_total(&r, &sum);
    assert_int_equal(sum.runs, 1);
    assert_int_equal(sum.unfinished, 0);
    analyze_runs_release(&r);
}

static void test_analyze_runs_remembers_a_bounded_number(void **state)
{
    struct analyze_runs r;
    struct analyze_runs_sum sum;
    char name[32];
    (void)state;

    assert_int_equal(analyze_runs_init(&r, NULL), ERR_OK);
    for (size_t i = 0; i < ANALYZE_RUNS_MAX + 100; i++) {
        struct analyze_line end;
        snprintf(name, sizeof name, "run-%zu", i);
        end = line(name, "run_end", (int64_t)i, true);
        end.success = i % 2 == 0;
        end.duration_ms = (int64_t)i;
        see(&r, end);
    }
    assert_int_equal(r.used, ANALYZE_RUNS_MAX);
    analyze_runs_total(&r, &sum);
    assert_int_equal(sum.runs, ANALYZE_RUNS_MAX + 100);
    assert_int_equal(sum.failed, ANALYZE_RUNS_MAX / 2 + 50);
    assert_int_equal(sum.unfinished, 0);
    assert_int_equal(sum.longest_ms, ANALYZE_RUNS_MAX + 99);
    assert_true(audited(&r, "run-5"));
    assert_true(audited(&r, "never seen")); /* full: rather not counted than twice */
    analyze_runs_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_analyze_runs_tells_ends_failures_and_the_longest),
        cmocka_unit_test(test_analyze_runs_of_logs_that_the_audit_tells_of),
        cmocka_unit_test(test_analyze_runs_of_logs_are_not_called_unfinished),
        cmocka_unit_test(test_analyze_runs_remembers_a_bounded_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
