/* Contract: who holds what: owners by batch, their locks, leases and runs. */
#ifndef BLOBFERRY_TEST_TRACKER_WORKERS_H
#define BLOBFERRY_TEST_TRACKER_WORKERS_H

#include "contract/tracker_support.h"

struct told_workers {
    char text[2048];
    int64_t until_ms, started_ms; /* of the last one */
};

static enum err_code tell_worker(void *user, const struct tracker_worker *w, struct err *e)
{
    struct told_workers *told = user;
    const size_t used = strlen(told->text);

    (void)e;
    snprintf(told->text + used, sizeof told->text - used, "%s/%s/%s/%s/%lld ", w->owner,
             w->batch_id != NULL ? w->batch_id : "-", w->lock != NULL ? w->lock : "-",
             w->command != NULL ? w->command : "-", (long long)w->rows);
    told->until_ms = w->lease_until_ms;
    told->started_ms = w->started_ms;
    return ERR_OK;
}

TEST_UNUSED const char *workers(struct fixture *f, struct told_workers *told)
{
    memset(told, 0, sizeof *told);
    OK(f, tracker_workers(f->t, tell_worker, told, &f->e));
    return told->text;
}

static void test_tracker_workers_are_told_by_owner_and_batch(void **state)
{
    struct fixture *f = *state;
    struct told_workers told;
    const char *const both[] = {"b-1", "b-2"}, *const one[] = {"b-2"};

    with_tables(f);
    plan(f, "b-1", 1, 4);
    plan(f, "b-2", 11, 4);
    assert_string_equal(workers(f, &told), "");
    OK(f, tracker_run_begin(f->t,
                            &(struct tracker_run){"r-1", "migrate", "anna", NOW - 5000, 0, 0, NULL},
                            &f->e));
    OK(f,
       tracker_lock(f->t, &(struct tracker_lock){both, 2, TRACKER_LOCK_MIGRATE, "anna", NOW, HOUR},
                    &f->e));
    assert_string_equal(workers(f, &told),
                        "anna/b-1/migrate/migrate/0 anna/b-2/migrate/migrate/0 ");
    assert_true(told.until_ms == NOW + HOUR);
    assert_true(told.started_ms == NOW - 5000);
    assert_int_equal(claim(f, "anna", "b-1", 3), 3);
    assert_int_equal(claim(f, "bert", "b-2", 2), 2);
    assert_string_equal(workers(f, &told), "anna/b-1/migrate/migrate/3 "
                                           "anna/b-2/migrate/migrate/0 bert/b-2/-/-/2 ");
    assert_true(told.started_ms == 0);
    OK(f, tracker_renew(f->t, "bert", NOW + 3 * HOUR, &f->e));
    workers(f, &told);
    assert_true(told.until_ms == NOW + 3 * HOUR);
    move_all(f, &f->list, "bert", FILE_COMPLETED); /* what has ended is held no more */
    OK(f, tracker_unlock(f->t, "anna", &f->e));
    assert_string_equal(workers(f, &told), "anna/b-1/-/migrate/3 ");
    OK(f,
       tracker_lock(f->t, &(struct tracker_lock){one, 1, TRACKER_LOCK_ROLLBACK, "carl", NOW, HOUR},
                    &f->e));
    assert_string_equal(workers(f, &told), "anna/b-1/-/migrate/3 carl/b-2/rollback/-/0 ");
}

static void test_tracker_workers_are_on_their_latest_run(void **state)
{
    struct fixture *f = *state;
    struct told_workers told;

    with_tables(f);
    plan(f, "b-1", 1, 4);
    OK(f, tracker_run_begin(f->t, &(struct tracker_run){"r-1", "verify", "anna", NOW, 0, 0, NULL},
                            &f->e));
    OK(f, tracker_run_begin(
              f->t, &(struct tracker_run){"r-2", "migrate", "anna", NOW + 1, 0, 0, NULL}, &f->e));
    OK(f, tracker_run_begin(
              f->t, &(struct tracker_run){"r-3", "backup", "anna", NOW + 2, 0, 0, NULL}, &f->e));
    OK(f, tracker_run_end(f->t,
                          &(struct tracker_run){"r-3", "backup", "anna", NOW + 2, NOW + 3, 0, NULL},
                          &f->e));
    assert_int_equal(claim(f, "anna", "b-1", 1), 1);
    assert_string_equal(workers(f, &told), "anna/b-1/-/migrate/1 ");
    assert_true(told.started_ms == NOW + 1);
}

static void test_tracker_workers_of_a_bare_database_are_none(void **state)
{
    struct fixture *f = *state;
    struct told_workers told;

    with_bare_tables(f, "TEXT");
    f->t = open_tracker(f, true);
    assert_string_equal(workers(f, &told), "");
}

static void test_tracker_wait_ends_in_time_or_when_something_is_planned(void **state)
{
    struct fixture *f = *state;
    enum tracker_wait how = TRACKER_WAIT_TOLD;

    with_tables(f);
    OK(f, tracker_wait(f->t, 1, &how, &f->e)); /* whoever begins to listen looks first */
    int64_t began = clock_mono_ms();
    OK(f, tracker_wait(f->t, 40, &how, &f->e));
    assert_true(clock_mono_ms() - began >= 39);
    if (strcmp(f->driver->name, "postgres") != 0) {
        assert_int_equal(how, TRACKER_WAIT_SLEPT);
        return;
    }
    assert_int_equal(how, TRACKER_WAIT_LISTENED);
    struct tracker *mine = f->t;
    f->t = open_tracker(f, false);
    plan(f, "b-1", 1, 2);
    tracker_close(f->t);
    f->t = mine;
    began = clock_mono_ms();
    OK(f, tracker_wait(f->t, 10000, &how, &f->e));
    assert_int_equal(how, TRACKER_WAIT_TOLD);
    assert_true(clock_mono_ms() - began < 9000);
    assert_int_equal(claim(f, "me", "b-1", 5), 2); /* the connection is good for all the rest */
    OK(f, tracker_wait(f->t, 20, &how, &f->e));
    assert_int_equal(how, TRACKER_WAIT_LISTENED);
}

static enum err_code tell_batch(void *user, const char *batch_id, struct err *e)
{
    struct told_workers *told = user;
    const size_t used = strlen(told->text);

    (void)e;
    snprintf(told->text + used, sizeof told->text - used, "%s ", batch_id);
    return ERR_OK;
}

TEST_UNUSED const char *open_batches(struct fixture *f, unsigned statuses, size_t limit,
                                     struct told_workers *told)
{
    memset(told, 0, sizeof *told);
    OK(f, tracker_open_batches(f->t, statuses, limit, tell_batch, told, &f->e));
    return told->text;
}

static void see_open_batches(struct fixture *f)
{
    const unsigned pending = TRACKER_STATUS(FILE_PENDING), failed = TRACKER_STATUS(FILE_FAILED);
    struct told_workers told;

    sql(f,
        "UPDATE migration_batches SET created_at = '2026-01-01 00:00:00' WHERE batch_id = 'b-3'");
    sql(f,
        "UPDATE migration_batches SET created_at = '2026-01-02 00:00:00' WHERE batch_id = 'b-1'");
    sql(f,
        "UPDATE migration_batches SET created_at = '2026-01-03 00:00:00' WHERE batch_id = 'b-2'");
    sql(f, "UPDATE file_migrations SET status = 'completed' WHERE batch_id = 'b-2'");
    sql(f, "UPDATE file_migrations SET status = 'failed' WHERE id = 'row-00001'");
    sql(f,
        "INSERT INTO file_migrations (id, batch_id, status) VALUES ('orphan', 'b-9', 'pending')");
    assert_string_equal(open_batches(f, pending, 0, &told), "b-3 b-1 ");
    assert_string_equal(open_batches(f, pending, 1, &told), "b-3 ");
    assert_string_equal(open_batches(f, failed, 0, &told), "b-1 ");
    assert_string_equal(open_batches(f, pending | failed, 5, &told), "b-3 b-1 ");
    assert_string_equal(open_batches(f, TRACKER_STATUS(FILE_COMPLETED), 5, &told), "b-2 ");
    assert_string_equal(open_batches(f, TRACKER_STATUS(FILE_ROLLED_BACK), 5, &told), "");
    assert_string_equal(open_batches(f, 0, 5, &told), "");
}

static void test_tracker_open_batches_are_told_oldest_first(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    for (int i = 1; i <= 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "b-%d", i);
        plan(f, name, i * 10 - 9, 3);
    }
    see_open_batches(f);
}

/* Without an index for it, and without writing. */
static void test_tracker_open_batches_of_a_bare_database(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    sql(f, "INSERT INTO migration_batches (id, batch_id) VALUES ('1', 'b-1'), ('2', 'b-2'),"
           " ('3', 'b-3')");
    sql(f,
        "INSERT INTO file_migrations (id, batch_id, status) VALUES ('row-00001', 'b-1', 'pending'),"
        " ('row-00002', 'b-1', 'pending'), ('row-00003', 'b-2', 'pending'),"
        " ('row-00004', 'b-3', 'pending')");
    f->t = open_tracker(f, true);
    see_open_batches(f);
}

#define TRACKER_WORKERS_TESTS(TEST)                                                                \
    TEST(test_tracker_workers_are_told_by_owner_and_batch),                                        \
        TEST(test_tracker_workers_are_on_their_latest_run),                                        \
        TEST(test_tracker_open_batches_are_told_oldest_first),                                     \
        TEST(test_tracker_open_batches_of_a_bare_database),                                        \
        TEST(test_tracker_workers_of_a_bare_database_are_none),                                    \
        TEST(test_tracker_wait_ends_in_time_or_when_something_is_planned)

#endif
