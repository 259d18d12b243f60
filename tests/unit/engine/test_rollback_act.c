/* Order, crashes, debts, locks, signals: P3, P4, P6, P7, P12; C11, C12. */
#include "unit/engine/rollback_world.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- faults of deletion ------------------------------------------------------------------------- */

static struct {
    const char *key; /* NULL: every one */
    enum objstore_outcome outcome;
    bool locked;
    int after; /* so many removals pass first */
    bool exit; /* the process dies instead */
    bool stop; /* a signal comes instead */
    struct world *w;
    const char *sql; /* somebody changes the database at the first look */
} fault;

static bool inject(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    if (op == TAP_STAT && fault.sql != NULL) {
        world_sql(fault.w, fault.sql);
        fault.sql = NULL;
    }
    if (op != TAP_REMOVE || (fault.key != NULL && strcmp(key, fault.key) != 0))
        return false;
    if (t->counts[TAP_REMOVE] <= fault.after)
        return false;
    if (fault.exit)
        _exit(7);
    if (fault.stop) {
        rollback_world_stop = true;
        return false;
    }
    if (fault.outcome == OBJSTORE_DONE)
        return false;
    r->outcome = fault.outcome;
    r->locked = fault.locked;
    err_set(&r->err, fault.outcome == OBJSTORE_DENIED ? ERR_STORE_DENIED : ERR_STORE, "injected");
    return true;
}

static struct rollback_world *begin(void **state)
{
    struct rollback_world *r = *state;

    memset(&fault, 0, sizeof fault);
    fault.w = &r->w;
    rollback_world_three(r);
    r->w.tap->counts[TAP_REMOVE] = 0;
    r->w.tap->before = inject;
    return r;
}

/* A new process, without faults. */
static void again(struct rollback_world *r)
{
    rollback_world_stop = false;
    rollback_world_reenter(r);
}

static int owed(struct rollback_world *r)
{
    return world_number(&r->w, "SELECT sum(delete_owed) FROM blobferry_records");
}

static void test_rollback_act_failed_deletion_is_owed_and_paid_by_the_next_run(void **state)
{
    struct rollback_world *r = begin(state);

    fault.key = "k/y.txt";
    fault.outcome = OBJSTORE_UNAVAILABLE;
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.failures, 1);
    assert_int_equal(r->result.r2_deletions, 2);
    /* pointer first, object second: an object that nobody points at, never a pointer to nothing */
    assert_string_equal(rollback_world_state(r, "y"), "rolled_back NULL object");
    assert_int_equal(owed(r), 1);
    rollback_world_check(r);
    again(r);
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.files, 0);
    assert_int_equal(r->preview.debts, 1);
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.debts_paid, 1);
    assert_int_equal(r->result.r2_deletions, 1);
    assert_int_equal(r->result.total_files, 0);
    assert_rolled_back(r, "y");
    assert_int_equal(owed(r), 0);
    rollback_world_check(r);
    rollback_world_expect(r, ERR_NOTFOUND);
}

/* kill -9 between the transaction and the first delete, and between two deletes (C12). */
static void test_rollback_act_killed_run_is_finished_by_the_next(void **state)
{
    struct rollback_world *r = begin(state);

    for (int after = 0; after < 3; after++) {
        pid_t pid;
        int status = 0;

        world_leave(&r->w); /* nothing of ours is open when the child begins */
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            world_enter(&r->w);
            rollback_world_enter(r);
            rollback_world_features(r, OBJSTORE_BULK_DELETE);
            r->o.concurrency = 1;
            r->w.tap->before = inject;
            fault.exit = true;
            fault.after = after;
            rollback_run(&r->w.g, &r->o, &r->result, &r->w.e);
            _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 7);
        world_enter(&r->w);
        rollback_world_enter(r);
        assert_int_equal(world_number(&r->w, "SELECT count(*) FROM file_migrations"
                                             " WHERE status = 'rolled_back'"),
                         3);
        assert_int_equal(owed(r), 3); /* cleared only with the outcome */
        rollback_world_check_pointers(r, "r2_key IS NOT NULL");
        rollback_world_expect(r, ERR_OK); /* the lock of the dead is taken over */
        assert_int_equal(r->result.debts_paid, 3);
        assert_int_equal(r->result.r2_deletions, 3 - after);
        assert_int_equal(r->result.already_absent, after);
        assert_rolled_back(r, "x");
        assert_rolled_back(r, "z");
        rollback_world_check(r);
        r->w.o.again = true;
        rollback_world_migrate(r, "b");
        assert_migrated(r, "x");
    }
}

static void test_rollback_act_row_that_owes_a_delete_is_not_migrated(void **state)
{
    struct rollback_world *r = begin(state);

    fault.outcome = OBJSTORE_UNAVAILABLE;
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.failures, 3);
    r->w.o.again = true;
    world_migrate(&r->w);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    again(r);
    rollback_world_expect(r, ERR_OK);
    rollback_world_migrate(r, "b");
    assert_migrated(r, "x");
    rollback_world_check(r);
}

/* What was proven when the debt was made is proven again when it is paid. */
static void test_rollback_act_debts_are_proven_again(void **state)
{
    struct rollback_world *r = begin(state);
    char path[400];

    fault.outcome = OBJSTORE_UNAVAILABLE;
    rollback_world_expect(r, ERR_PARTIAL);
    again(r);
    snprintf(path, sizeof path, "%s/x.txt", r->w.source);
    assert_int_equal(unlink(path), 0);
    world_write(r->w.store, "k/y.txt", "somebody else's by now", 22);
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_SOURCE_MISSING], 1);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_string_equal(rollback_world_state(r, "y"), "rolled_back NULL object"); /* theirs stays */
    assert_int_equal(r->result.kept_objects, 1);
    assert_rolled_back(r, "z");
    assert_int_equal(owed(r), 1); /* y's is settled: ours is gone */
    rollback_world_check(r);
    world_file(&r->w, "x.txt", "the bytes of file x");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
}

static void test_rollback_act_debts_wait_while_the_database_alone_is_rolled_back(void **state)
{
    struct rollback_world *r = begin(state);

    fault.outcome = OBJSTORE_UNAVAILABLE;
    rollback_world_expect(r, ERR_PARTIAL);
    again(r);
    r->o.database_only = true;
    rollback_world_expect(r, ERR_NOTFOUND); /* nothing was done is no success */
    assert_int_equal(owed(r), 3);
}

static void test_rollback_act_debts_are_paid_within_the_scope_only(void **state)
{
    struct rollback_world *r = begin(state);

    rollback_world_add(r, "w", "b-2", "u");
    rollback_world_migrate(r, "b-2");
    fault.outcome = OBJSTORE_UNAVAILABLE;
    r->o = (struct rollback_options){.full = true};
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(owed(r), 4);
    again(r);
    r->o = (struct rollback_options){.scope.batch_id = "b-2"};
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.debts_paid, 1);
    assert_rolled_back(r, "w");
    assert_int_equal(owed(r), 3);
}

static void test_rollback_act_object_replaced_at_the_last_moment_is_kept(void **state)
{
    struct rollback_world *r = begin(state);

    rollback_world_features(r, OBJSTORE_BULK_DELETE);
    fault.key = "k/x.txt";
    fault.outcome = OBJSTORE_PRECONDITION;
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_int_equal(r->result.kept_objects, 1);
    assert_int_equal(r->result.r2_deletions, 2);
    assert_int_equal(owed(r), 0);
    rollback_world_check(r);
}

/* D15. */
static void test_rollback_act_locked_object_is_told_and_stays_owed(void **state)
{
    struct rollback_world *r = begin(state);

    fault.key = "k/x.txt";
    fault.outcome = OBJSTORE_REJECTED;
    fault.locked = true;
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_LOCKED], 1);
    assert_int_equal(r->result.bytes_freed, 2 * 19);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_int_equal(owed(r), 1);
    rollback_world_check(r);
}

/* D1: no hammering; what is not deleted stays owed. */
static void test_rollback_act_store_that_refuses_deletes_stops_the_run(void **state)
{
    struct rollback_world *r = begin(state);

    rollback_world_features(r, OBJSTORE_BULK_DELETE);
    r->o.concurrency = 1;
    fault.outcome = OBJSTORE_DENIED;
    rollback_world_expect(r, ERR_STORE_DENIED);
    assert_int_equal(err_exit_code(r->w.e.code), 4);
    assert_int_equal(r->w.tap->counts[TAP_REMOVE], 1);
    assert_int_equal(owed(r), 3);
    rollback_world_check(r);
    assert_true(fsio_exists(r->result.audit_path)); /* an interrupted rollback is reported too */
    again(r);
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
}

/* ---- somebody else ------------------------------------------------------------------------------------ */

static void test_rollback_act_row_changed_meanwhile_is_left_alone(void **state)
{
    struct rollback_world *r = begin(state);

    fault.sql = "UPDATE file_migrations SET status = 'failed' WHERE id = 'y'";
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "y"), "failed k/y.txt object");
    assert_int_equal(r->result.skipped, 1);
    assert_int_equal(r->result.database_rollbacks, 2);
    assert_int_equal(r->w.events[ENGINE_FILE_SKIPPED], 1);
    world_sql(&r->w, "UPDATE migration_batches SET failed_files = 1");
    rollback_world_check(r); /* no intent stays in doubt */
}

static void test_rollback_act_pointer_changed_meanwhile_wins(void **state)
{
    struct rollback_world *r = begin(state);

    world_write(r->w.store, "app/key", "a", 1);
    fault.sql = "UPDATE files SET r2_key = 'app/key' WHERE id = 'f-y'";
    rollback_world_expect(r, ERR_PARTIAL);
    assert_string_equal(rollback_world_state(r, "y"), "completed app/key object");
    assert_int_equal(r->result.refused_by[ROLLBACK_POINTER_CHANGED], 1);
    assert_rolled_back(r, "x");
    rollback_world_check(r);
}

/* Another row comes to need the object while originals are hashed. */
static void test_rollback_act_object_that_is_needed_meanwhile_is_kept(void **state)
{
    struct rollback_world *r = begin(state);

    fault.sql =
        "INSERT INTO files (id, filename, user_id, r2_key) VALUES ('n', 'n', 'u', 'k/y.txt')";
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "y"), "rolled_back NULL object");
    assert_int_equal(r->result.kept_objects, 1);
    rollback_world_check(r);
}

/* A living process that holds a lock; closing the pipe ends it. */
static pid_t holder(const char *db, const char *batch, enum tracker_lock_mode mode, int *keep)
{
    int ready[2], end[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char owner[PROCESS_OWNER_SIZE], url[300];
        struct tracker *t = NULL;

        close(end[1]);
        process_owner(owner);
        snprintf(url, sizeof url, "sqlite:%s", db);
        if (tracker_open(&t, &(struct tracker_options){.url = url}, NULL) != ERR_OK ||
            tracker_lock(t,
                         &(struct tracker_lock){.batch_ids = &batch,
                                                .batch_count = 1,
                                                .mode = mode,
                                                .owner = owner,
                                                .now_ms = clock_wall_ms(),
                                                .lease_ms = 600000},
                         NULL) != ERR_OK)
            _exit(1);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        _exit(read(end[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(end[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *keep = end[1];
    return pid;
}

static void assert_held_off(struct rollback_world *r, const char *batch,
                            enum tracker_lock_mode mode)
{
    char before[65], after[65];
    int keep, status = 0;
    pid_t pid;

    world_leave(&r->w);
    pid = holder(r->w.db, batch, mode, &keep);
    world_enter(&r->w);
    rollback_world_enter(r);
    rollback_world_rows(r, before);
    rollback_world_expect(r, ERR_CONFLICT);
    assert_non_null(strstr(r->w.e.message, "under way"));
    rollback_world_rows(r, after);
    assert_string_equal(before, after);
    assert_false(fsio_exists(r->w.backups));
    close(keep);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_rollback_act_second_rollback_and_running_migrate_hold_it_off(void **state)
{
    struct rollback_world *r = begin(state);

    assert_held_off(r, "b", TRACKER_LOCK_ROLLBACK);
    assert_held_off(r, "*", TRACKER_LOCK_ROLLBACK);
    assert_held_off(r, "b", TRACKER_LOCK_MIGRATE);
    /* a scope that is no batch could meet any of them */
    r->o = (struct rollback_options){.scope.user_id = "u"};
    assert_held_off(r, "another", TRACKER_LOCK_MIGRATE);
    r->o = (struct rollback_options){.scope.batch_id = "b"};
    rollback_world_expect(r, ERR_OK); /* all of them are dead by now */
    assert_rolled_back(r, "x");
    world_sql(&r->w,
              "DELETE FROM blobferry_locks WHERE batch_id = 'another'"); /* in nobody's way */
    rollback_world_check(r);
}

static void test_rollback_act_locks_of_other_batches_do_not_matter(void **state)
{
    struct rollback_world *r = begin(state);
    int keep, status = 0;
    pid_t pid;

    world_leave(&r->w);
    pid = holder(r->w.db, "b-2", TRACKER_LOCK_ROLLBACK, &keep);
    world_enter(&r->w);
    rollback_world_enter(r);
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    close(keep);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* ---- signals -------------------------------------------------------------------------------------------- */

static void test_rollback_act_signal_in_the_middle_leaves_the_truth(void **state)
{
    struct rollback_world *r = begin(state);
    int objects = 0;

    rollback_world_features(r, OBJSTORE_BULK_DELETE);
    r->o.concurrency = 1;
    fault.stop = true;
    fault.after = 1;
    rollback_world_expect(r, ERR_CANCELLED);
    objects = world_has_object(&r->w, "k/x.txt") + world_has_object(&r->w, "k/y.txt") +
              world_has_object(&r->w, "k/z.txt");
    assert_int_equal(r->result.r2_deletions, 3 - objects);
    assert_int_equal(owed(r), objects);
    assert_int_equal(r->result.failures, objects);
    assert_true(objects > 0 && objects < 3);
    assert_true(fsio_exists(r->result.audit_path));
    rollback_world_check(r);
    again(r);
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.debts_paid, objects);
    assert_rolled_back(r, "x");
    assert_rolled_back(r, "y");
    assert_rolled_back(r, "z");
    rollback_world_check(r);
}

static void test_rollback_act_signal_before_the_rows_changes_nothing(void **state)
{
    struct rollback_world *r = begin(state);

    rollback_world_stop = true;
    rollback_world_expect(r, ERR_CANCELLED);
    assert_migrated(r, "x");
    assert_migrated(r, "z");
    assert_int_equal(r->result.database_rollbacks, 0);
    rollback_world_check(r);
}

/* ---- backup and audit -------------------------------------------------------------------------------------- */

/* P12. */
static void test_rollback_act_is_not_begun_without_its_backup(void **state)
{
    struct rollback_world *r = begin(state);
    char before[65], after[65];

    world_write(r->w.dir, "backups", "a file where the folder should be", 33);
    rollback_world_rows(r, before);
    assert_int_not_equal(rollback_world_run(r), ERR_OK);
    assert_int_equal(err_exit_code(r->w.e.code), 5);
    assert_non_null(strstr(r->w.e.message, "backup"));
    rollback_world_rows(r, after);
    assert_string_equal(before, after);
    assert_int_equal(r->w.tap->counts[TAP_REMOVE], 0);
    assert_int_equal(world_audit(&r->w, "rollback_intent", NULL), 0);
    assert_migrated(r, "x");
    rollback_world_check(r);
}

static void test_rollback_act_without_backup_is_audited(void **state)
{
    struct rollback_world *r = begin(state);

    r->o.no_backup = true;
    rollback_world_expect(r, ERR_OK);
    assert_false(fsio_exists(r->w.backups));
    assert_string_equal(r->result.backup.path, "");
    assert_int_equal(world_audit(&r->w, "\"action\":\"backup\"", "--no-backup"), 1);
}

static void test_rollback_act_backup_is_whole_and_on_record_before_the_first_intent(void **state)
{
    struct rollback_world *r = begin(state);
    struct backup_result checked;
    size_t n;
    char *audit;
    const char *backup, *intent;

    rollback_world_expect(r, ERR_OK);
    memset(&checked, 0, sizeof checked);
    assert_int_equal(backup_check(r->result.backup.path, &checked, &r->w.e), ERR_OK);
    assert_string_equal(checked.sha256, r->result.backup.sha256);
    audit = world_read(r->w.logs, "audit.jsonl", &n);
    backup = strstr(audit, "\"action\":\"backup\"");
    intent = strstr(audit, "rollback_intent");
    assert_non_null(backup);
    assert_non_null(intent);
    assert_true(backup < intent);
    assert_non_null(strstr(backup, r->result.backup.sha256));
    free(audit);
    assert_int_equal(world_audit(&r->w, "rollback_intent", NULL), 3);
    assert_int_equal(world_audit(&r->w, "rollback_outcome", "\"success\":true"), 3);
}

/* P7: a page that changes nothing writes nothing, refused rows or not. */
static void test_rollback_act_refused_rows_change_no_row(void **state)
{
    struct rollback_world *r = begin(state);
    char before[65], after[65];

    world_sql(&r->w, "UPDATE blobferry_records SET etag = 'other'");
    again(r);
    rollback_world_rows(r, before);
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused, 3);
    assert_false(r->w.run.recorded);
    rollback_world_rows(r, after);
    assert_string_equal(before, after);
}

/* ---- uploads left behind (P11) --------------------------------------------------------------------------------- */

static enum objstore_outcome abort_outcome;
static bool answer_abort(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    if (op != TAP_ABORT)
        return false;
    assert_string_equal(key, "upload-1");
    r->outcome = abort_outcome;
    if (abort_outcome != OBJSTORE_DONE)
        err_set(&r->err, ERR_STORE_UNAVAILABLE, "no");
    return true;
}

static void test_rollback_act_uploads_are_aborted_before_the_row_goes(void **state)
{
    struct rollback_world *r = begin(state);

    world_sql(&r->w, "UPDATE file_migrations SET status = 'failed' WHERE id = 'x';"
                     "UPDATE blobferry_records SET upload_id = 'upload-1' WHERE record_id = 'x';"
                     "UPDATE migration_batches SET completed_files = 2, failed_files = 1");
    r->w.tap->before = answer_abort;
    abort_outcome = OBJSTORE_UNAVAILABLE;
    r->o.failed_only = true;
    rollback_world_expect(r, ERR_PARTIAL);
    assert_string_equal(world_status(&r->w, "x"), "failed");
    assert_string_equal(world_own(&r->w, "x", "upload_id"), "upload-1");
    r->o.database_only = true; /* nobody would look for it afterwards */
    rollback_world_expect(r, ERR_PARTIAL);
    assert_string_equal(world_status(&r->w, "x"), "failed");
    r->o.database_only = false;
    abort_outcome = OBJSTORE_DONE;
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_int_equal(r->w.tap->counts[TAP_ABORT], 2);
    rollback_world_check(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rollback_test(test_rollback_act_failed_deletion_is_owed_and_paid_by_the_next_run),
        rollback_test(test_rollback_act_killed_run_is_finished_by_the_next),
        rollback_test(test_rollback_act_row_that_owes_a_delete_is_not_migrated),
        rollback_test(test_rollback_act_debts_are_proven_again),
        rollback_test(test_rollback_act_debts_wait_while_the_database_alone_is_rolled_back),
        rollback_test(test_rollback_act_debts_are_paid_within_the_scope_only),
        rollback_test(test_rollback_act_object_replaced_at_the_last_moment_is_kept),
        rollback_test(test_rollback_act_locked_object_is_told_and_stays_owed),
        rollback_test(test_rollback_act_store_that_refuses_deletes_stops_the_run),
        rollback_test(test_rollback_act_row_changed_meanwhile_is_left_alone),
        rollback_test(test_rollback_act_pointer_changed_meanwhile_wins),
        rollback_test(test_rollback_act_object_that_is_needed_meanwhile_is_kept),
        rollback_test(test_rollback_act_second_rollback_and_running_migrate_hold_it_off),
        rollback_test(test_rollback_act_locks_of_other_batches_do_not_matter),
        rollback_test(test_rollback_act_signal_in_the_middle_leaves_the_truth),
        rollback_test(test_rollback_act_signal_before_the_rows_changes_nothing),
        rollback_test(test_rollback_act_is_not_begun_without_its_backup),
        rollback_test(test_rollback_act_without_backup_is_audited),
        rollback_test(test_rollback_act_backup_is_whole_and_on_record_before_the_first_intent),
        rollback_test(test_rollback_act_refused_rows_change_no_row),
        rollback_test(test_rollback_act_uploads_are_aborted_before_the_row_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
