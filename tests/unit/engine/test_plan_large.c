/* Many rows in constant memory, and in a time that people wait for. */
#include "unit/engine/planner.h"

#include <sys/resource.h>
#include <time.h>

#define ROWS 200000

/* The most that the process has held, in KiB. */
static long peak_kb(void)
{
    struct rusage u;

    assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
    return u.ru_maxrss;
}

/* The time that the process itself has used, in ms: what others do on the machine does not count. */
static int64_t used_ms(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_plan_large_csv_in_constant_memory(void **state)
{
    const char *preload = getenv("LD_PRELOAD"); /* valgrind is known by it */
    const bool sanitized = getenv("BLOBFERRY_TEST_SANITIZER") != NULL ||
                           (preload != NULL && strstr(preload, "vgpreload") != NULL);
    const int rows = sanitized ? ROWS / 20 : ROWS;
    struct planner p;
    int64_t began, took;
    long before;
    FILE *f;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.bin", "some bytes");
    f = fopen(p.input, "w");
    assert_non_null(f);
    fputs("source_path,file_id,user_id,target_key,size\n", f);
    for (int i = 0; i < rows; i++)
        fprintf(f, "a.bin,file-%08d,user-%d,attachments/%d/%08d.bin,10\n", i, i % 100, i % 100, i);
    assert_int_equal(fclose(f), 0);
    before = peak_kb();
    began = used_ms();
    assert_int_equal(planner_run(&p, (struct plan_options){.from = PLAN_FROM_CSV,
                                                           .batch_id = "big",
                                                           .batch_size = rows / 4}),
                     ERR_OK);
    took = used_ms() - began;
    assert_int_equal(p.result.planned, rows);
    assert_int_equal(p.result.bytes, (int64_t)rows * 10);
    assert_int_equal(p.result.batches, 4);
    assert_int_equal(planner_manifests(&p), 4);
    if (!sanitized) {
        /* the page caches of two databases, and not the rows: those take several times as much */
        if (peak_kb() - before >= 48 * 1024)
            fail_msg("%ld KiB more", peak_kb() - before);
        if (took >= 20000)
            fail_msg("%lld ms", (long long)took);
    }
    planner_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_large_csv_in_constant_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
