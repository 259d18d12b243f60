#include "blobferry/base/clock.h"
#include "unit/base/scratch.h"

#include <pthread.h>
#include <time.h>

static void test_clock_wall_is_the_time(void **state)
{
    (void)state;
    const int64_t before = (int64_t)time(NULL) * 1000;
    const int64_t now = clock_wall_ms();
    assert_true(now >= before - 1000 && now <= before + 60000);
}

static void test_clock_wall_can_be_fixed(void **state)
{
    (void)state;
    clock_set_wall_for_tests(1795262400123);
    assert_int_equal(clock_wall_ms(), 1795262400123);
    clock_adopt_skew_ms(5000);
    assert_int_equal(clock_wall_ms(), 1795262400123);
    clock_adopt_skew_ms(0);
    clock_set_wall_for_tests(0);
    assert_int_equal(clock_wall_ms(), 0);
    clock_set_wall_for_tests(-1);
    assert_true(clock_wall_ms() > 1700000000000);
}

static void test_clock_skew_is_adopted_by_the_wall_only(void **state)
{
    (void)state;
    const int64_t wall = clock_wall_ms();
    const int64_t mono = clock_mono_ms();
    clock_adopt_skew_ms(-86400000);
    assert_true(clock_wall_ms() < wall - 86000000);
    assert_true(clock_mono_ms() >= mono && clock_mono_ms() < mono + 60000);
    clock_adopt_skew_ms(0);
    assert_true(clock_wall_ms() > wall - 60000);
}

static void test_clock_mono_never_goes_back(void **state)
{
    (void)state;
    int64_t last = clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        const int64_t now = clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
    const int64_t ms = clock_mono_ms();
    assert_true(ms >= last / 1000000 && ms < last / 1000000 + 60000);
}

static void test_clock_random_fills_all_and_differs(void **state)
{
    (void)state;
    unsigned char a[1000] = {0};
    unsigned char b[1000] = {0};
    int zeros = 0;
    clock_random(a, sizeof a);
    clock_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = 0; i < sizeof a; i++)
        zeros += a[i] == 0;
    assert_true(zeros < 50); /* 4 expected */
    unsigned char c[4] = {1, 2, 3, 4};
    clock_random(c + 1, 0);
    assert_memory_equal(c, "\1\2\3\4", 4);
}

static void test_clock_uuid_has_the_form_of_version_7(void **state)
{
    (void)state;
    char id[CLOCK_UUID_SIZE];
    uint64_t ms = 0;
    const int64_t before = clock_wall_ms();
    clock_uuid(id);
    const int64_t after = clock_wall_ms();
    assert_int_equal(strlen(id), 36);
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(id[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", id[i]));
    }
    assert_int_equal(id[14], '7');
    assert_non_null(strchr("89ab", id[19]));
    for (int i = 0; i < 13; i++) {
        if (id[i] != '-')
            ms = ms << 4 | (uint64_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
    }
    assert_true((int64_t)ms >= before && (int64_t)ms <= after + 1);
}

static void test_clock_uuid_strictly_increases_in_one_millisecond(void **state)
{
    (void)state;
    char last[CLOCK_UUID_SIZE];
    char id[CLOCK_UUID_SIZE];
    /* far ahead, so that earlier ids do not already run ahead of it; > 4096 forces the carry */
    clock_set_wall_for_tests(4000000000000);
    clock_uuid(last);
    assert_memory_equal(last, "03a35294-4000-7", 15);
    for (int i = 0; i < 20000; i++) {
        clock_uuid(id);
        assert_true(strcmp(last, id) < 0);
        memcpy(last, id, sizeof last);
    }
    clock_set_wall_for_tests(4000000001000);
    clock_uuid(id);
    assert_true(strcmp(last, id) < 0);
    clock_set_wall_for_tests(-1);
}

static void test_clock_uuid_increases_when_the_clock_goes_back(void **state)
{
    (void)state;
    char last[CLOCK_UUID_SIZE];
    char id[CLOCK_UUID_SIZE];
    clock_set_wall_for_tests(4100000000000);
    clock_uuid(last);
    clock_set_wall_for_tests(1000);
    clock_uuid(id);
    assert_true(strcmp(last, id) < 0);
    clock_set_wall_for_tests(-1);
}

enum { PER_THREAD = 2000, THREADS = 4 };

static void *make_ids(void *out)
{
    char(*ids)[CLOCK_UUID_SIZE] = out;
    for (int i = 0; i < PER_THREAD; i++)
        clock_uuid(ids[i]);
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void test_clock_uuid_is_unique_among_threads(void **state)
{
    (void)state;
    static char ids[THREADS * PER_THREAD][CLOCK_UUID_SIZE];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[i * PER_THREAD]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        for (int k = 1; k < PER_THREAD; k++)
            assert_true(strcmp(ids[i * PER_THREAD + k - 1], ids[i * PER_THREAD + k]) < 0);
    }
    qsort(ids, (size_t)THREADS * PER_THREAD, sizeof ids[0], by_text);
    for (int i = 1; i < THREADS * PER_THREAD; i++)
        assert_memory_not_equal(ids[i - 1], ids[i], 18); /* time and counter alone differ */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_wall_is_the_time),
        cmocka_unit_test(test_clock_wall_can_be_fixed),
        cmocka_unit_test(test_clock_skew_is_adopted_by_the_wall_only),
        cmocka_unit_test(test_clock_mono_never_goes_back),
        cmocka_unit_test(test_clock_random_fills_all_and_differs),
        cmocka_unit_test(test_clock_uuid_has_the_form_of_version_7),
        cmocka_unit_test(test_clock_uuid_strictly_increases_in_one_millisecond),
        cmocka_unit_test(test_clock_uuid_increases_when_the_clock_goes_back),
        cmocka_unit_test(test_clock_uuid_is_unique_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
