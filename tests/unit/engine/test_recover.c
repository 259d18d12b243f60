/* What workers that have died, or a run that is stopped, leave behind. */
#include "migrate_world.h"

#include <signal.h>
#include <sys/resource.h>

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    if (w == NULL)
        return -1;
    world_open(w);
    world_file(w, "a", "hello");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

/* As a claim by `owner` leaves it. */
static void claimed_by(struct world *w, const char *id, const char *owner, int64_t lease_until_ms)
{
    char sql[900];

    snprintf(sql, sizeof sql,
             "UPDATE file_migrations SET status = 'processing', started_at = datetime('now')"
             " WHERE id = '%s'; INSERT INTO blobferry_records (record_id, lease_owner, lease_until,"
             " attempts) VALUES ('%s', '%s', %lld, 1) ON CONFLICT (record_id) DO UPDATE SET"
             " lease_owner = excluded.lease_owner, lease_until = excluded.lease_until;",
             id, id, owner, (long long)lease_until_ms);
    world_sql(w, sql);
}

static void test_recover_takes_over_from_the_dead(void **state)
{
    struct world *w = *state;
    char owner[PROCESS_OWNER_SIZE];

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_dead_owner(owner);
    claimed_by(w, "r1", owner, clock_wall_ms() + 600000);
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.taken_over, 1);
    assert_int_equal(w->result.completed, 1);
    assert_int_equal(world_audit(w, "lease_taken", "r1"), 1);
    assert_int_equal(w->tap->counts[TAP_STAT], 1); /* P6: looked before it acted */
    world_check(w);
}

static void test_recover_finds_what_was_sent_before_the_crash(void **state)
{
    struct world *w = *state;
    char owner[PROCESS_OWNER_SIZE];

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    assert_int_equal(world_migrate(w), ERR_OK);
    /* as if the crash had come between PUT and record */
    world_sql(w, "UPDATE files SET r2_key = NULL, checksum = NULL;"
                 "UPDATE blobferry_records SET etag = NULL, object_owner = NULL, pointer_set = 0;"
                 "UPDATE file_migrations SET migrated_checksum = NULL, completed_at = NULL;");
    world_dead_owner(owner);
    claimed_by(w, "r1", owner, clock_wall_ms() + 600000);
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->tap->counts[TAP_PUT], 1); /* only the first run's */
    assert_int_equal(w->result.already_there, 1);
    assert_string_equal(world_own(w, "r1", "pre_existed"), "0"); /* it is ours all the same */
    assert_string_equal(world_own(w, "r1", "object_owner"), "r1");
    assert_string_equal(world_pointer(w, "r1"), "k/a");
    world_check(w);
}

static void test_recover_leaves_living_workers_alone(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/2"});
    claimed_by(w, "r1", "another host", clock_wall_ms() + 600000);
    w->o.lease_ms = 300; /* also how long to wait for somebody who does not move */
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_int_equal(w->result.completed, 1);
    assert_int_equal(w->result.elsewhere, 1);
    assert_string_equal(world_status(w, "r1"), "processing");
    assert_string_equal(world_own(w, "r1", "lease_owner"), "another host");
}

static void test_recover_takes_expired_leases(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/2"});
    claimed_by(w, "r1", "another host", clock_wall_ms() + 700); /* while we wait for it */
    world_sql(w, "UPDATE file_migrations SET status = 'processing' WHERE id = 'r2'"); /* no lease */
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.taken_over, 2);
    assert_int_equal(w->result.completed, 2);
    world_check(w);
}

/* ---- uploads in parts ------------------------------------------------------------------------------------------ */

static char aborted[8][64];
static int aborted_count;

static bool note_aborts(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    if (op != TAP_ABORT)
        return false;
    str_copy(aborted[aborted_count++ % 8], 64, key);
    r->outcome = OBJSTORE_DONE;
    return true;
}

static bool was_aborted(const char *id)
{
    for (int i = 0; i < aborted_count && i < 8; i++) {
        if (str_eq(aborted[i], id))
            return true;
    }
    return false;
}

static void test_recover_aborts_uploads_left_behind(void **state)
{
    struct world *w = *state;
    int64_t now = clock_wall_ms();
    char owner[PROCESS_OWNER_SIZE];
    struct objstore_entry uploads[] = {
        {.key = "k/big", .key_len = 5, .last_modified_ms = now, .upload_id = "unrecorded"},
        {.key = "k/big", .key_len = 5, .last_modified_ms = now - 86400000, .upload_id = "older"},
        {.key = "k/bigger", .key_len = 8, .last_modified_ms = now, .upload_id = "others"},
    };

    aborted_count = 0;
    world_big(w, "big", (size_t)6 << 20);
    world_row(w, (struct world_row){.id = "r1", .path = "big"});
    world_dead_owner(owner);
    claimed_by(w, "r1", owner, now + 600000);
    world_sql(w, "UPDATE blobferry_records SET upload_id = 'recorded', part_size = 5242880");
    w->tap->uploads = uploads;
    w->tap->upload_count = 3;
    w->tap->before = note_aborts;
    w->o.part_size = 5 << 20;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(aborted_count, 2);
    assert_true(was_aborted("recorded"));
    assert_true(was_aborted("unrecorded"));
    assert_string_equal(world_own(w, "r1", "upload_id"), "NULL");
    assert_true(world_same(w, "big", "k/big"));
    world_check(w);
}

static void test_recover_stop_waits_only_so_long_for_parts(void **state)
{
    struct world *w = *state;
    int64_t began = clock_mono_ms();

    aborted_count = 0;
    world_big(w, "big", (size_t)6 << 20);
    world_row(w, (struct world_row){.id = "r1", .path = "big"});
    w->tap->hold_parts = true;
    w->tap->before = note_aborts;
    w->o.part_size = 5 << 20;
    w->tap->held_signal = 15;
    assert_int_equal(world_migrate(w), ERR_CANCELLED);
    process_stop_for_tests(0);
    assert_true(was_aborted("held"));
    assert_true(clock_mono_ms() - began < 10000);
    assert_string_equal(world_status(w, "r1"), "pending");
    assert_string_equal(world_own(w, "r1", "upload_id"), "NULL");
    world_check(w);
}

/* ---- audit and database that fail (A7) -------------------------------------------------------------------------- */

static void test_recover_nothing_is_done_without_the_audit(void **state)
{
    struct world *w = *state;
    struct rlimit was, now;
    struct stat st;
    char path[400];
    enum err_code code;

    /* the trail is made longer than the database, and then may not grow */
    for (int i = 0; i < 6000; i++)
        assert_int_equal(
            journal_add(w->journal,
                        &(struct journal_entry){.action = "filler",
                                                .detail = "0123456789012345678901234567"
                                                          "0123456789012345678901234567"},
                        &w->e),
            ERR_OK);
    assert_int_equal(journal_commit(w->journal, true, &(struct tracker_head){0}, &w->e), ERR_OK);
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    snprintf(path, sizeof path, "%s/audit.jsonl", w->logs);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)st.st_size + 10;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
    code = world_migrate(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(err_exit_code(code), 5);
    assert_int_equal(w->tap->counts[TAP_PUT], 0); /* P6: no act without its intent */
    assert_string_equal(world_status(w, "r1"), "pending");
    assert_string_equal(world_pointer(w, "r1"), "NULL");
    /* when there is room again, it goes on */
    world_leave(w);
    world_enter(w);
    assert_int_equal(world_migrate(w), ERR_OK);
    world_check(w);
}

static void test_recover_database_that_refuses_stops_the_run(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_sql(w, "CREATE TRIGGER no BEFORE UPDATE OF status ON file_migrations WHEN NEW.status ="
                 " 'completed' BEGIN SELECT RAISE(ABORT, 'not today'); END");
    assert_int_equal(err_exit_code(world_migrate(w)), 3);
    assert_string_equal(world_status(w, "r1"), "pending");
    assert_string_equal(world_pointer(w, "r1"), "NULL");
    world_sql(w, "DROP TRIGGER no");
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->tap->counts[TAP_PUT], 2); /* asked again, and found its own object there */
    assert_string_equal(world_own(w, "r1", "pre_existed"), "0");
    world_check(w);
}

/* ---- locks -------------------------------------------------------------------------------------------------------- */

static void test_recover_rollback_and_migrate_exclude_each_other(void **state)
{
    struct world *w = *state;
    const char *const batch[] = {"b"};
    struct tracker_lock lock = {.batch_ids = batch,
                                .batch_count = 1,
                                .mode = TRACKER_LOCK_ROLLBACK,
                                .owner = "somebody else",
                                .now_ms = clock_wall_ms(),
                                .lease_ms = 60000};

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    assert_int_equal(tracker_lock(w->tracker, &lock, &w->e), ERR_OK);
    assert_int_equal(world_migrate(w), ERR_CONFLICT);
    assert_string_equal(world_status(w, "r1"), "pending");
    w->o.batch_count = 0; /* --all: the others go on, and this one is told */
    w->o.batch_ids = NULL;
    world_row(w, (struct world_row){.id = "r2", .batch = "c", .path = "a", .key = "k/2"});
    assert_int_equal(migrate_run(&w->g, &w->o, &w->result, &w->e), ERR_CONFLICT);
    assert_string_equal(world_status(w, "r1"), "pending");
    assert_string_equal(world_status(w, "r2"), "completed");
    assert_int_equal(tracker_unlock(w->tracker, "somebody else", &w->e), ERR_OK);
    assert_int_equal(migrate_run(&w->g, &w->o, &w->result, &w->e), ERR_OK);
    world_check(w);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_recover_takes_over_from_the_dead),
        T(test_recover_finds_what_was_sent_before_the_crash),
        T(test_recover_leaves_living_workers_alone),
        T(test_recover_takes_expired_leases),
        T(test_recover_aborts_uploads_left_behind),
        T(test_recover_stop_waits_only_so_long_for_parts),
        T(test_recover_nothing_is_done_without_the_audit),
        T(test_recover_database_that_refuses_stops_the_run),
        T(test_recover_rollback_and_migrate_exclude_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
