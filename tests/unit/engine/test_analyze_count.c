#include "engine/analyze_count.h"

#include "unit/base/scratch.h"

struct fixture {
    struct analyze_count count;
    struct analyze_result out;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(analyze_count_init(&f->count, &f->out, NULL), ERR_OK);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    analyze_count_release(&f->count);
    free(f);
    return 0;
}

static struct analyze_line line(const char *event, int success)
{
    struct analyze_line l = {.audit = true, .time_ms = 1000, .duration_ms = -1, .success = success};

    snprintf(l.event, sizeof l.event, "%s", event);
    snprintf(l.run, sizeof l.run, "r");
    snprintf(l.time, sizeof l.time, "1970-01-01T00:00:01.000Z");
    return l;
}

static void add(struct fixture *f, const char *event, int success, int64_t bytes, const char *class)
{
    struct analyze_line l = line(event, success);

    l.bytes = bytes;
    snprintf(l.error_class, sizeof l.error_class, "%s", class);
    analyze_count_line(&f->count, &l);
}

static void add_duration(struct fixture *f, int64_t ms, const char *name)
{
    struct analyze_line l = line("upload_outcome", 1);

    l.duration_ms = ms;
    l.bytes = 10;
    snprintf(l.name, sizeof l.name, "%s", name);
    analyze_count_line(&f->count, &l);
}

static void test_analyze_count_operations_by_kind(void **state)
{
    struct fixture *f = *state;

    add(f, "upload_outcome", 1, 100, "");
    add(f, "upload_outcome", 1, 50, "");
    add(f, "upload_outcome", 0, 70, "file_missing");
    add(f, "upload_outcome", -1, -1, "cancelled"); /* given back */
    add(f, "upload_intent", -1, 100, "");
    add(f, "verify_outcome", 1, 100, "");
    add(f, "verify_outcome", 0, -1, "store_corrupt");
    add(f, "rollback_outcome", 1, 100, "");
    add(f, "rollback_refused", -1, 5, "source_altered");
    add(f, "debt_outcome", 1, 7, "");
    analyze_count_end(&f->count);
    assert_int_equal(f->out.kind[ANALYZE_UPLOAD].succeeded, 2);
    assert_int_equal(f->out.kind[ANALYZE_UPLOAD].failed, 1);
    assert_int_equal(f->out.kind[ANALYZE_UPLOAD].bytes, 150);
    assert_int_equal(f->out.kind[ANALYZE_VERIFY].succeeded, 1);
    assert_int_equal(f->out.kind[ANALYZE_VERIFY].failed, 1);
    assert_int_equal(f->out.kind[ANALYZE_ROLLBACK].succeeded, 2);
    assert_int_equal(f->out.kind[ANALYZE_ROLLBACK].failed, 1);
    assert_int_equal(f->out.kind[ANALYZE_ROLLBACK].bytes, 107);
    assert_int_equal(analyze_success_rate(&f->out), 6250);
    assert_true(f->out.alert[ANALYZE_STORE]);
    assert_false(f->out.alert[ANALYZE_DATABASE]);
    assert_true(f->out.alert[ANALYZE_FAILURE_RATE]);
    assert_false(f->out.alert[ANALYZE_LONG_RUN]);
}

static void test_analyze_count_log_events(void **state)
{
    static const char *const events[] = {
        "file_completed",   "file_failed",  "file_verified", "file_verify_failed",
        "file_rolled_back", "file_refused", "message",       "lease_lost"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct analyze_line l = line(events[i], -1);
        l.audit = false;
        snprintf(l.level, sizeof l.level, i % 2 == 1 ? "error" : "warn");
        analyze_count_line(&f->count, &l);
    }
    analyze_count_end(&f->count);
    for (int k = 0; k < ANALYZE_KINDS; k++) {
        assert_int_equal(f->out.kind[k].succeeded, 1);
        assert_int_equal(f->out.kind[k].failed, 1);
    }
    assert_int_equal(f->out.errors, 4);
    assert_int_equal(f->out.warnings, 4);
    assert_string_equal(f->out.classes[0].name, "unknown");
    assert_int_equal(f->out.classes[0].count, 3);
}

static void test_analyze_count_classes_most_frequent_first(void **state)
{
    struct fixture *f = *state;
    char name[32];
    int64_t sum = 0;

    for (int i = 0; i < 40;
         i++) { /* more than there is room for: later ones are the most frequent */
        snprintf(name, sizeof name, "class_%02d", i);
        for (int k = 0; k <= i; k++)
            add(f, "upload_outcome", 0, -1, name);
    }
    add(f, "upload_outcome", 0, -1, "other");
    analyze_count_end(&f->count);
    assert_string_equal(f->out.classes[0].name, "class_22");
    assert_int_equal(f->out.classes[0].count, 23);
    assert_string_equal(f->out.classes[22].name, "class_00");
    assert_string_equal(f->out.classes[23].name, "other");
    for (int i = 0; i < ANALYZE_CLASSES; i++)
        sum += f->out.classes[i].count;
    assert_int_equal(sum, 40 * 41 / 2 + 1);
    assert_int_equal(f->out.kind[ANALYZE_UPLOAD].failed, sum);
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t exact(const int64_t *sorted, size_t n, size_t percent)
{
    return sorted[(n * percent + 99) / 100 - 1];
}

static void check_near(int64_t have, int64_t wanted)
{
    const int64_t off = have > wanted ? have - wanted : wanted - have;
    assert_true(off * 1000 <= wanted * 32);
}

static void check_percentiles(const int64_t *values, size_t n)
{
    struct fixture *f = NULL;
    void *state = NULL;
    int64_t *sorted = malloc(n * sizeof *sorted);

    assert_non_null(sorted);
    begin(&state);
    f = state;
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n; i++)
        add_duration(f, values[i], "x");
    analyze_count_end(&f->count);
    assert_int_equal(f->out.durations, n);
    check_near(f->out.p50_ms, exact(sorted, n, 50));
    check_near(f->out.p90_ms, exact(sorted, n, 90));
    check_near(f->out.p99_ms, exact(sorted, n, 99));
    assert_int_equal(f->out.max_ms, sorted[n - 1]);
    assert_true(f->out.p99_ms <= f->out.max_ms);
    end(&state);
    free(sorted);
}

static void test_analyze_count_percentiles_against_an_exact_computation(void **state)
{
    enum { N = 5000 };
    int64_t values[N];
    uint64_t seed = 42;
    (void)state;

    for (int shape = 0; shape < 4; shape++) {
        for (size_t i = 0; i < N; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const int64_t r = (int64_t)(seed >> 40);
            values[i] = shape == 0   ? r % 40
                        : shape == 1 ? r % 100000
                        : shape == 2 ? INT64_C(1) << (r % 45)
                                     : 1 + r * (r % 1000);
        }
        for (size_t n = 1; n <= N; n = n * 3 + 1)
            check_percentiles(values, n);
        check_percentiles(values, N);
    }
}

static void test_analyze_count_a_single_duration_is_exact(void **state)
{
    struct fixture *f = *state;

    add_duration(f, 1234567, "x");
    analyze_count_end(&f->count);
    assert_int_equal(f->out.max_ms, 1234567);
    check_near(f->out.p50_ms, 1234567);
    assert_true(f->out.p50_ms <= 1234567);
}

static void test_analyze_count_the_slowest_in_order(void **state)
{
    struct fixture *f = *state;
    char name[32];

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file-%03d", i * 37 % 100);
        add_duration(f, 1000 + i * 37 % 100 / 2, name);
    }
    add_duration(f, 0, "instant");
    analyze_count_end(&f->count);
    for (int i = 0; i < ANALYZE_SLOWEST; i++) {
        /* two of each duration: by name then */
        snprintf(name, sizeof name, "file-%03d", i % 2 == 0 ? 98 - i : 100 - i);
        assert_string_equal(f->out.slowest[i].name, name);
        assert_int_equal(f->out.slowest[i].duration_ms, 1049 - i / 2);
        assert_int_equal(f->out.slowest[i].bytes, 10);
    }
}

static void test_analyze_count_alerts_at_their_borders(void **state)
{
    struct fixture *f = *state;
    struct analyze_line l = line("run_end", 1);

    for (int i = 0; i < 95; i++)
        add(f, "upload_outcome", 1, 1, "");
    for (int i = 0; i < 5; i++)
        add(f, "upload_outcome", 0, 1, "file");
    l.duration_ms = 30 * 60 * 1000;
    analyze_count_line(&f->count, &l);
    analyze_count_end(&f->count);
    for (int a = 0; a < ANALYZE_ALERTS; a++)
        assert_false(f->out.alert[a]);
    l.duration_ms++;
    l.success = 0;
    snprintf(l.error_class, sizeof l.error_class, "database_busy");
    analyze_count_line(&f->count, &l);
    add(f, "upload_outcome", 0, 1, "file");
    analyze_count_end(&f->count);
    assert_true(f->out.alert[ANALYZE_FAILURE_RATE]);
    assert_true(f->out.alert[ANALYZE_LONG_RUN]);
    assert_true(f->out.alert[ANALYZE_DATABASE]);
    assert_false(f->out.alert[ANALYZE_STORE]);
    assert_int_equal(f->out.runs_failed, 1);
}

static void test_analyze_count_nothing(void **state)
{
    struct fixture *f = *state;

    analyze_count_end(&f->count);
    assert_int_equal(analyze_success_rate(&f->out), -1);
    assert_int_equal(f->out.p99_ms, 0);
    assert_string_equal(f->out.classes[0].name, "");
    for (int a = 0; a < ANALYZE_ALERTS; a++)
        assert_false(f->out.alert[a]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_analyze_count_operations_by_kind, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_count_log_events, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_count_classes_most_frequent_first, begin, end),
        cmocka_unit_test(test_analyze_count_percentiles_against_an_exact_computation),
        cmocka_unit_test_setup_teardown(test_analyze_count_a_single_duration_is_exact, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_count_the_slowest_in_order, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_count_alerts_at_their_borders, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_count_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
