/* Contract: locks of batches, dead owners, and two connections that want the same rows. */
#ifndef BLOBFERRY_TEST_TRACKER_LOCK_H
#define BLOBFERRY_TEST_TRACKER_LOCK_H

#include "contract/tracker_support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static enum err_code lock(struct fixture *f, const char *batch, enum tracker_lock_mode mode,
                          const char *owner, int64_t now)
{
    const char *const ids[] = {batch};

    err_init(&f->e);
    return tracker_lock(f->t, &(struct tracker_lock){ids, 1, mode, owner, now, HOUR}, &f->e);
}

static void test_tracker_locks_of_migration_go_together(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "anna", NOW), ERR_OK);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "bert", NOW), ERR_OK);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "carl", NOW), ERR_CONFLICT);
    assert_non_null(strstr(f->e.message, "'b'"));
    assert_non_null(strstr(f->e.message, "migrate"));
    assert_int_equal(lock(f, "c", TRACKER_LOCK_ROLLBACK, "carl", NOW), ERR_OK);
}

static void test_tracker_lock_of_rollback_stands_alone(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "anna", NOW), ERR_OK);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "anna", NOW), ERR_OK); /* again: renews */
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "bert", NOW), ERR_CONFLICT);
    assert_non_null(strstr(f->e.message, "anna")); /* names the holder */
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "bert", NOW), ERR_CONFLICT);
    OK(f, tracker_unlock(f->t, "anna", &f->e));
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "bert", NOW), ERR_OK);
}

static void test_tracker_lock_of_everything_meets_every_batch(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "anna", NOW), ERR_OK);
    assert_int_equal(lock(f, "*", TRACKER_LOCK_ROLLBACK, "bert", NOW), ERR_CONFLICT);
    OK(f, tracker_unlock(f->t, "anna", &f->e));
    err_init(&f->e);
    OK(f,
       tracker_lock(f->t, &(struct tracker_lock){NULL, 0, TRACKER_LOCK_ROLLBACK, "bert", NOW, HOUR},
                    &f->e));
    assert_int_equal(lock(f, "any", TRACKER_LOCK_MIGRATE, "anna", NOW), ERR_CONFLICT);
}

static void test_tracker_locks_are_all_or_none(void **state)
{
    struct fixture *f = *state;
    const char *const three[] = {"a", "b", "c"};

    with_tables(f);
    assert_int_equal(lock(f, "c", TRACKER_LOCK_MIGRATE, "anna", NOW), ERR_OK);
    CODE(f,
         tracker_lock(f->t,
                      &(struct tracker_lock){three, 3, TRACKER_LOCK_ROLLBACK, "bert", NOW, HOUR},
                      &f->e),
         ERR_CONFLICT);
    EXPECT(f, "1", "SELECT count(*) FROM blobferry_locks");
}

static void test_tracker_locks_expire(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "anna", NOW), ERR_OK);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "bert", NOW + HOUR - 1), ERR_CONFLICT);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_MIGRATE, "bert", NOW + HOUR), ERR_OK);
    EXPECT(f, "bert", "SELECT CASE WHEN count(*) = 1 THEN min(owner) END FROM blobferry_locks");
}

static void test_tracker_lock_of_a_dead_owner_is_taken_over(void **state)
{
    struct fixture *f = *state;
    char dead[PROCESS_OWNER_SIZE] = "", alive[PROCESS_OWNER_SIZE];
    int pipes[2];

    with_tables(f);
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) { /* leaves its name and dies */
        char name[PROCESS_OWNER_SIZE] = "";
        process_owner(name);
        _exit(write(pipes[1], name, sizeof name) == (ssize_t)sizeof name ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(read(pipes[0], dead, sizeof dead), (ssize_t)sizeof dead);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(pipes[0]);
    close(pipes[1]);
    process_owner(alive);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, dead, NOW), ERR_OK);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "new", NOW), ERR_OK);
    OK(f, tracker_unlock(f->t, "new", &f->e));
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, alive, NOW), ERR_OK);
    assert_int_equal(lock(f, "b", TRACKER_LOCK_ROLLBACK, "new", NOW), ERR_CONFLICT);
}

/* ---- races -------------------------------------------------------------------------------------------------- */

enum { RACERS = 4, RACED_ROWS = 400 };

struct racer {
    struct fixture *f;
    struct tracker *t;
    char owner[16];
    int rows;
    char failed[512]; /* cmocka may not be called from other threads */
};

static enum err_code race_once(struct racer *r, struct record_list *l, struct err *e)
{
    struct tracker_move moves[16];
    const struct tracker_claim c = {.owner = r->owner, .now_ms = NOW, .lease_ms = HOUR, .limit = 7};
    enum err_code code = tracker_claim(r->t, &c, l, e);

    for (size_t i = 0; i < l->len; i++)
        moves[i] = move_of(&l->items[i], r->owner, FILE_COMPLETED);
    if (code == ERR_OK)
        code = tracker_apply(r->t, moves, l->len, NULL, e);
    for (size_t i = 0; code == ERR_OK && i < l->len; i++) {
        if (moves[i].applied != TRACKER_APPLIED)
            code = err_set(e, ERR_CONFLICT, "row '%s' was not applied", moves[i].id);
        r->rows++;
    }
    return code;
}

static void *race(void *arg)
{
    struct racer *r = arg;
    struct record_list l;
    struct err e;

    err_init(&e);
    record_list_init(&l, 0);
    do {
        if (race_once(r, &l, &e) != ERR_OK)
            str_copy(r->failed, sizeof r->failed, e.message);
    } while (l.len > 0 && r->failed[0] == '\0');
    record_list_release(&l);
    return NULL;
}

static void test_tracker_claims_in_a_race_give_each_row_once(void **state)
{
    struct fixture *f = *state;
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    int sum = 0;

    with_tables(f);
    plan(f, "b-1", 1, RACED_ROWS);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.f = f, .t = open_tracker(f, false)};
        snprintf(racers[i].owner, sizeof racers[i].owner, "racer-%d", i);
    }
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < RACERS; i++) {
        assert_string_equal(racers[i].failed, "");
        sum += racers[i].rows;
        tracker_close(racers[i].t);
    }
    assert_int_equal(sum, RACED_ROWS);
    EXPECT(f, "400", "SELECT count(*) FROM blobferry_records WHERE attempts = 1");
    expect_batch(f, "b-1", "completed 400 400 0 0");
}

static void test_tracker_claim_sees_what_another_connection_did(void **state)
{
    struct fixture *f = *state;
    struct tracker *other;
    struct record_list l;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    other = open_tracker(f, false);
    record_list_init(&l, 0);
    assert_int_equal(claim(f, "me", "b-1", 1), 1);
    assert_int_equal(claim_by(f, other, "you", "b-1", 9, NOW, &l), 1);
    assert_string_equal(l.items[0].id, "row-00002");
    struct tracker_move m = move_of(&f->list.items[0], "me", FILE_COMPLETED);
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    OK(f, tracker_apply(other, &m, 1, NULL, &f->e));
    assert_int_equal(m.applied, TRACKER_LOST);
    record_list_release(&l);
    tracker_close(other);
}

#define TRACKER_LOCK_TESTS(TEST)                                                                   \
    TEST(test_tracker_locks_of_migration_go_together),                                             \
        TEST(test_tracker_lock_of_rollback_stands_alone),                                          \
        TEST(test_tracker_lock_of_everything_meets_every_batch),                                   \
        TEST(test_tracker_locks_are_all_or_none), TEST(test_tracker_locks_expire),                 \
        TEST(test_tracker_lock_of_a_dead_owner_is_taken_over),                                     \
        TEST(test_tracker_claims_in_a_race_give_each_row_once),                                    \
        TEST(test_tracker_claim_sees_what_another_connection_did)

#endif
