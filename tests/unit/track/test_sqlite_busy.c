/* Waiting for a lock: short looks, at random, and an end. */
#include "contract/tracker_sqlite.h"
#include "track/sqlite.h"

#include <pthread.h>

static int setup(void **state)
{
    return sqlite_setup(state);
}

static void test_sqlite_busy_looks_again_within_milliseconds(void **state)
{
    (void)state;
    for (int count = 0; count < 5000; count++) {
        assert_true(sqlite_busy_pause_us(count, 0) >= 100);
        assert_true(sqlite_busy_pause_us(count, UINT32_MAX) <= 6000);
    }
    assert_true(sqlite_busy_pause_us(0, 12345) <= 1000);
    assert_true(sqlite_busy_pause_us(99, 1) != sqlite_busy_pause_us(99, 2000));
}

static void test_sqlite_busy_gives_up_in_time(void **state)
{
    struct fixture *f = *state;
    int64_t released;

    with_tables(f);
    sqlite_busy_wait(sqlite_of(f->t), 80);
    sql(f, "BEGIN IMMEDIATE");
    const int64_t began = clock_mono_ms();
    CODE(f, tracker_release(f->t, "me", &released, &f->e), ERR_DB_BUSY);
    assert_true(clock_mono_ms() - began >= 80);
    assert_true(f->e.retryable);
    sql(f, "COMMIT");
    OK(f, tracker_release(f->t, "me", &released, &f->e));
}

struct claimant {
    struct fixture *f;
    char name[32];
    struct tracker *t;
    size_t claims, rows;
    enum err_code code;
};

static void *claim_all(void *user)
{
    struct claimant *c = user;
    const char *const batch = "b-1";
    struct record_list list;
    struct err e;

    err_init(&e);
    record_list_init(&list, 0);
    do {
        c->code = tracker_claim(c->t,
                                &(struct tracker_claim){.batch_ids = &batch,
                                                        .batch_count = 1,
                                                        .owner = c->name,
                                                        .now_ms = NOW,
                                                        .lease_ms = HOUR,
                                                        .limit = 5},
                                &list, &e);
        c->claims++;
        c->rows += list.len;
    } while (c->code == ERR_OK && list.len > 0);
    record_list_release(&list);
    return NULL;
}

static void test_sqlite_busy_serves_sixteen_at_once(void **state)
{
    struct fixture *f = *state;
    static struct claimant all[16];
    pthread_t threads[16];
    size_t rows = 0;

    with_tables(f);
    plan(f, "b-1", 1, 1600);
    for (int i = 0; i < 16; i++) {
        all[i] = (struct claimant){.f = f, .t = open_tracker(f, false)};
        snprintf(all[i].name, sizeof all[i].name, "worker-%d", i);
    }
    for (int i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, claim_all, &all[i]), 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(all[i].code, ERR_OK);
        rows += all[i].rows;
        tracker_close(all[i].t);
    }
    assert_int_equal(rows, 1600);
    EXPECT(f, "1600", "SELECT count(*) FROM blobferry_records WHERE lease_owner LIKE 'worker-%%'");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sqlite_busy_looks_again_within_milliseconds),
        T(test_sqlite_busy_gives_up_in_time),
        T(test_sqlite_busy_serves_sixteen_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
