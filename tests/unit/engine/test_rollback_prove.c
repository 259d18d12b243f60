/* P4: what is refused, and why; everything else goes on (B8, D13, D14). */
#include "unit/engine/rollback_world.h"

/* x is refused for that reason and stays as it was, y and z go back. */
static void assert_x_refused(struct rollback_world *r, enum rollback_refusal why)
{
    rollback_world_expect(r, ERR_PARTIAL);
    if (r->result.refused_by[why] != 1)
        fail_msg("x was not refused as %s: %s", rollback_refusal_name(why), r->w.last_failure);
    assert_int_equal(r->result.refused, 1);
    assert_int_equal(r->result.failures, 0);
    assert_string_equal(world_status(&r->w, "x"), "completed");
    assert_true(world_has_object(&r->w, "k/x.txt"));
    assert_rolled_back(r, "y");
    assert_rolled_back(r, "z");
    assert_int_equal(r->w.events[ENGINE_FILE_REFUSED], 1);
    assert_int_equal(
        world_audit(&r->w, "\"action\":\"rollback_refused\"", rollback_refusal_name(why)), 1);
    assert_int_equal(world_number(&r->w, "SELECT sum(delete_owed) FROM blobferry_records"), 0);
}

static void remove_source(struct rollback_world *r, const char *name)
{
    char path[400];

    snprintf(path, sizeof path, "%s/%s", r->w.source, name);
    assert_int_equal(remove(path), 0);
}

/* ---- the original ------------------------------------------------------------------------------- */

static void test_rollback_prove_missing_source_keeps_the_object(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    remove_source(r, "x.txt");
    assert_int_equal(rollback_world_look(r, true), ERR_OK);
    assert_int_equal(r->preview.refused[ROLLBACK_SOURCE_MISSING], 1);
    assert_x_refused(r, ROLLBACK_SOURCE_MISSING);
    assert_migrated(r, "x");
    rollback_world_check(r);
}

static void test_rollback_prove_missing_source_may_be_allowed_and_is_audited(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    remove_source(r, "x.txt");
    r->o.allow_missing_source = true;
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_int_equal(world_audit(&r->w, "rollback_intent", "--allow-missing-source allows"), 1);
    rollback_world_check(r);
}

static void test_rollback_prove_altered_source_keeps_the_object(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_file(&r->w, "x.txt", "the bytes of file X"); /* same size */
    r->o.allow_missing_source = true;                  /* allows missing ones, not altered ones */
    assert_x_refused(r, ROLLBACK_SOURCE_ALTERED);
    world_file(&r->w, "x.txt", "longer than it was when it was migrated");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_SOURCE_ALTERED], 1);
    world_file(&r->w, "x.txt", "");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_SOURCE_ALTERED], 1);
    assert_migrated(r, "x");
    world_file(&r->w, "x.txt", "the bytes of file x");
    rollback_world_expect(r, ERR_OK); /* put right, it goes back */
    assert_rolled_back(r, "x");
    rollback_world_check(r);
}

/* B4: what stands in the original's place is no original, whatever it leads to. */
static void test_rollback_prove_symlink_in_place_of_the_source_is_no_original(void **state)
{
    struct rollback_world *r = *state;
    char path[400];

    rollback_world_three(r);
    remove_source(r, "x.txt");
    snprintf(path, sizeof path, "%s/x.txt", r->w.source);
    world_file(&r->w, "elsewhere.txt", "the bytes of file x");
    assert_int_equal(symlink("elsewhere.txt", path), 0);
    assert_x_refused(r, ROLLBACK_SOURCE_ALTERED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_SOURCE_ALTERED], 1);
    assert_migrated(r, "x");
}

static void test_rollback_prove_source_outside_the_root_proves_nothing(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET source_path = '../source/x.txt' WHERE id = 'x'");
    r->o.allow_missing_source = true;
    assert_x_refused(r, ROLLBACK_UNPROVEN);
}

static void test_rollback_prove_row_without_a_source_is_missing_its_source(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET source_path = NULL WHERE id = 'x'");
    assert_x_refused(r, ROLLBACK_SOURCE_MISSING);
}

/* ---- the object ---------------------------------------------------------------------------------- */

static void test_rollback_prove_object_overwritten_by_another_is_kept(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_write(r->w.store, "k/x.txt", "somebody else's", 15);
    assert_x_refused(r, ROLLBACK_NOT_OURS);
    assert_string_equal(world_pointer(&r->w, "x"), "k/x.txt");
    /* even with the same bytes it is another object */
    world_write(r->w.store, "k/x.txt", "the bytes of file x", 19);
    r->o.trust_unmarked = true;
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_NOT_OURS], 1);
    assert_migrated(r, "x");
}

static void test_rollback_prove_every_part_of_the_identity_counts(void **state)
{
    static const char *const lies[] = {
        "UPDATE blobferry_records SET etag = 'other' WHERE record_id = 'x'",
        "UPDATE blobferry_records SET object_owner = 'other' WHERE record_id = 'x'",
        "UPDATE file_migrations SET file_size = 7 WHERE id = 'x'",
        "UPDATE file_migrations SET migrated_checksum = '0000' WHERE id = 'x'",
        "UPDATE blobferry_records SET etag = NULL, object_owner = 'y' WHERE record_id = 'x'"};
    struct rollback_world *r = *state;

    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        void *again = r;

        rollback_world_three(r);
        world_sql(&r->w, lies[i]);
        assert_x_refused(r, ROLLBACK_NOT_OURS);
        rollback_world_teardown(&again);
        rollback_world_setup(&again);
        r = again;
    }
    *state = r;
}

/* A row that has lost what it knew of its object is still told apart by the object's own metadata. */
static void test_rollback_prove_metadata_alone_is_enough_for_a_failed_row(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET status = 'failed', migrated_checksum = NULL,"
                     " file_size = NULL WHERE id = 'x';"
                     "UPDATE blobferry_records SET etag = NULL, object_owner = NULL,"
                     " error_class = 'store_unavailable' WHERE record_id = 'x';"
                     "UPDATE migration_batches SET completed_files = 2, failed_files = 1");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_int_equal(r->result.r2_deletions, 3);
    rollback_world_check(r);
}

static void test_rollback_prove_failed_row_leaves_the_object_of_others(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_write(r->w.store, "k/o", "others", 6);
    world_sql(&r->w,
              "INSERT INTO file_migrations (id, batch_id, source_path, target_r2_key, status)"
              " VALUES ('o', 'b', 'x.txt', 'k/o', 'failed');"
              "INSERT INTO blobferry_records (record_id, error_class) VALUES ('o', 'conflict');"
              "UPDATE migration_batches SET total_files = 4, failed_files = 1");
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.kept_objects, 1);
    assert_string_equal(world_status(&r->w, "o"), "rolled_back");
    assert_true(world_has_object(&r->w, "k/o"));
    rollback_world_check(r);
}

/* P5. */
static void test_rollback_prove_object_that_pre_existed_is_never_deleted(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_add(r, "x", "b", "u");
    world_write(r->w.store, "k/x.txt", "the bytes of file x", 19);
    rollback_world_migrate(r, "b");
    assert_int_equal(r->w.result.already_there, 1);
    assert_migrated(r, "x");
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_int_equal(r->result.kept_objects, 1);
    assert_int_equal(r->result.r2_deletions, 0);
    assert_int_equal(r->w.tap->counts[TAP_REMOVE], 0);
    rollback_world_check(r);
}

static void test_rollback_prove_absent_object_is_counted_and_the_row_goes(void **state)
{
    struct rollback_world *r = *state;
    char path[400];

    rollback_world_three(r);
    snprintf(path, sizeof path, "%s/k/x.txt", r->w.store);
    assert_int_equal(unlink(path), 0);
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_int_equal(r->result.already_absent, 1);
    assert_int_equal(r->result.r2_deletions, 2);
    assert_int_equal(r->result.bytes_freed, 2 * 19);
    rollback_world_check(r);
}

/* ---- rows that share an object ------------------------------------------------------------------------ */

static void share(struct rollback_world *r)
{
    rollback_world_add(r, "x", "b", "u");
    rollback_world_migrate(r, "b");
    world_row(&r->w, (struct world_row){.id = "y", .batch = "b-2", .path = "x.txt", .key = "k/y"});
    world_sql(&r->w, "UPDATE file_migrations SET target_r2_key = 'k/x.txt' WHERE id = 'y'");
    rollback_world_migrate(r, "b-2");
    assert_int_equal(r->w.result.already_there, 1);
}

static void test_rollback_prove_object_that_another_row_needs_is_kept(void **state)
{
    struct rollback_world *r = *state;

    share(r);
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_string_equal(world_status(&r->w, "y"), "completed");
    assert_int_equal(r->result.kept_objects, 1);
    rollback_world_check(r);
}

/* Together they keep nothing: the row that found the object there goes first, then the one that wrote it. */
static void test_rollback_prove_rows_of_one_object_that_all_go_leave_nothing(void **state)
{
    struct rollback_world *r = *state;

    share(r);
    r->o = (struct rollback_options){.full = true};
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_string_equal(world_status(&r->w, "y"), "rolled_back");
    assert_int_equal(r->result.r2_deletions, 1);
    assert_int_equal(r->result.kept_objects, 1);
    rollback_world_check(r);
}

static void test_rollback_prove_object_that_the_application_points_at_is_kept(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "INSERT INTO files (id, filename, user_id, r2_key)"
                     " VALUES ('own', 'o', 'u', 'k/x.txt')");
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_rolled_back(r, "y");
    assert_int_equal(r->result.kept_objects, 1);
    rollback_world_check(r);
}

/* ---- the application's pointer ---------------------------------------------------------------------- */

static void test_rollback_prove_pointer_that_the_application_changed_is_its_own(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_write(r->w.store, "app/key", "a", 1);
    world_sql(&r->w, "UPDATE files SET r2_key = 'app/key' WHERE id = 'f-x'");
    assert_x_refused(r, ROLLBACK_POINTER_CHANGED);
    assert_string_equal(world_pointer(&r->w, "x"), "app/key");
    rollback_world_check(r);
}

/* Put back already, by whomever. */
static void test_rollback_prove_pointer_that_is_back_is_no_conflict(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE files SET r2_key = NULL WHERE id = 'f-x';"
                     "UPDATE files SET r2_key = '' WHERE id = 'f-y'");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_string_equal(world_status(&r->w, "y"), "rolled_back");
    assert_false(world_has_object(&r->w, "k/y.txt"));
    world_check(&r->w);
}

static void test_rollback_prove_row_without_a_files_row_goes_back(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "DELETE FROM files WHERE id = 'f-x'");
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(world_status(&r->w, "x"), "rolled_back");
    assert_false(world_has_object(&r->w, "k/x.txt"));
    rollback_world_check(r);
}

/* ---- rows that nobody can act on ----------------------------------------------------------------------- */

static void test_rollback_prove_defects_refuse_one_row(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET source_path = x'ff00' WHERE id = 'x'");
    assert_x_refused(r, ROLLBACK_UNPROVEN);
    world_sql(&r->w, "UPDATE file_migrations SET source_path = 'x.txt', target_r2_key = ''"
                     " WHERE id = 'x'");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_UNPROVEN], 1);
}

/* docs/decisions/0001: the target's prefix is a fence. */
static void test_rollback_prove_keys_outside_the_targets_prefix_are_refused(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    free(r->w.tap->base.prefix);
    r->w.tap->base.prefix = str_dup("k/x");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_UNPROVEN], 2);
    assert_rolled_back(r, "x");
    assert_migrated(r, "y");
    assert_migrated(r, "z");
    rollback_world_check(r);
}

/* ---- another tool's migration ---------------------------------------------------------------------------- */

static void foreign(struct rollback_world *r)
{
    char digest[65], sql[700];

    rollback_world_three(r);
    world_file(&r->w, "f.txt", "foreign");
    world_write(r->w.store, "k/f.txt", "foreign", 7);
    digest_sha256_hex("foreign", 7, digest);
    snprintf(sql, sizeof sql,
             "INSERT INTO files (id, filename, user_id, r2_key, checksum)"
             " VALUES ('f-f', 'f', 'u', 'k/f.txt', '%s');"
             "INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key,"
             " migrated_checksum, file_size, status) VALUES ('f', 'b-2', 'f-f', 'f.txt',"
             " 'k/f.txt', '%s', 7, 'completed');"
             "INSERT INTO migration_batches (id, batch_id, total_files, completed_files)"
             " VALUES ('2', 'b-2', 1, 1)",
             digest, digest);
    world_sql(&r->w, sql);
    r->o.scope.batch_id = "b-2";
}

static void test_rollback_prove_unmarked_objects_are_refused_by_default(void **state)
{
    struct rollback_world *r = *state;

    foreign(r);
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_NOT_OURS], 1);
    assert_migrated(r, "f");
    rollback_world_check(r);
}

static void test_rollback_prove_unmarked_objects_may_be_trusted_by_their_bytes(void **state)
{
    struct rollback_world *r = *state;

    foreign(r);
    r->o.trust_unmarked = true;
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "f");
    assert_string_equal(world_text(&r->w, "SELECT checksum FROM files WHERE id = 'f-f'"), "NULL");
    assert_int_equal(world_audit(&r->w, "rollback_intent", "--trust-unmarked allows"), 1);
    rollback_world_check(r);
}

static void test_rollback_prove_unmarked_object_with_other_bytes_is_refused(void **state)
{
    struct rollback_world *r = *state;

    foreign(r);
    world_write(r->w.store, "k/f.txt", "f0reign", 7);
    r->o.trust_unmarked = true;
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_NOT_OURS], 1);
    world_sql(&r->w, "UPDATE file_migrations SET migrated_checksum = NULL WHERE id = 'f'");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_migrated(r, "f");
}

/* ---- the store ------------------------------------------------------------------------------------------ */

static enum objstore_outcome stat_outcome;
static const char *stat_key; /* NULL: every key */
static bool lie_to_stat(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    if (op != TAP_STAT && (op != TAP_PING || stat_key != NULL))
        return false;
    if (stat_key != NULL && strcmp(key, stat_key) != 0)
        return false;
    r->outcome = stat_outcome;
    err_set(&r->err, stat_outcome == OBJSTORE_DENIED ? ERR_STORE_DENIED : ERR_STORE_UNAVAILABLE,
            "a lie");
    return true;
}

static void test_rollback_prove_object_that_cannot_be_looked_at_is_unproven(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    stat_outcome = OBJSTORE_UNAVAILABLE;
    stat_key = "k/x.txt";
    r->w.tap->before = lie_to_stat;
    assert_x_refused(r, ROLLBACK_UNPROVEN);
    assert_migrated(r, "x");
    rollback_world_check(r);
    /* the only one of its page, but the store itself answers */
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_UNPROVEN], 1);
}

static void assert_nothing_happened(struct rollback_world *r)
{
    assert_migrated(r, "x");
    assert_migrated(r, "y");
    assert_migrated(r, "z");
    assert_int_equal(r->w.tap->counts[TAP_REMOVE], 0);
    rollback_world_check(r);
}

/* D1, D5: the store as a whole says no, or nothing. */
static void test_rollback_prove_store_that_refuses_stops_the_run(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    stat_outcome = OBJSTORE_DENIED;
    stat_key = "k/y.txt";
    r->w.tap->before = lie_to_stat;
    rollback_world_expect(r, ERR_STORE_DENIED);
    assert_nothing_happened(r);
    stat_key = NULL;
    rollback_world_expect(r, ERR_STORE_DENIED); /* by the first ping */
    stat_outcome = OBJSTORE_UNAVAILABLE;
    rollback_world_expect(r, ERR_STORE_UNAVAILABLE);
    assert_int_equal(err_exit_code(r->w.e.code), 4);
    assert_nothing_happened(r);
}

static bool fail_stats_then_ping(struct tap *t, enum tap_op op, const char *key,
                                 struct objstore_result *r)
{
    (void)key;
    if (op != TAP_STAT && (op != TAP_PING || t->counts[TAP_STAT] == 0))
        return false;
    r->outcome = OBJSTORE_UNAVAILABLE;
    err_set(&r->err, ERR_STORE_UNAVAILABLE, "gone");
    return true;
}

static void test_rollback_prove_store_that_has_gone_stops_the_run(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    r->w.tap->counts[TAP_STAT] = 0;
    r->w.tap->before = fail_stats_then_ping;
    rollback_world_expect(r, ERR_STORE_UNAVAILABLE);
    assert_nothing_happened(r);
}

/* A wrong --target finds nothing: that is told. */
static void test_rollback_prove_not_one_object_found_is_told(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    assert_int_equal(nftw(r->w.store, world_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
    assert_int_equal(mkdir(r->w.store, 0700), 0);
    rollback_world_reenter(r);
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.already_absent, 3);
    assert_int_equal(r->w.events[ENGINE_NOTE], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rollback_test(test_rollback_prove_missing_source_keeps_the_object),
        rollback_test(test_rollback_prove_missing_source_may_be_allowed_and_is_audited),
        rollback_test(test_rollback_prove_altered_source_keeps_the_object),
        rollback_test(test_rollback_prove_symlink_in_place_of_the_source_is_no_original),
        rollback_test(test_rollback_prove_source_outside_the_root_proves_nothing),
        rollback_test(test_rollback_prove_row_without_a_source_is_missing_its_source),
        rollback_test(test_rollback_prove_object_overwritten_by_another_is_kept),
        rollback_test(test_rollback_prove_every_part_of_the_identity_counts),
        rollback_test(test_rollback_prove_metadata_alone_is_enough_for_a_failed_row),
        rollback_test(test_rollback_prove_failed_row_leaves_the_object_of_others),
        rollback_test(test_rollback_prove_object_that_pre_existed_is_never_deleted),
        rollback_test(test_rollback_prove_absent_object_is_counted_and_the_row_goes),
        rollback_test(test_rollback_prove_object_that_another_row_needs_is_kept),
        rollback_test(test_rollback_prove_rows_of_one_object_that_all_go_leave_nothing),
        rollback_test(test_rollback_prove_object_that_the_application_points_at_is_kept),
        rollback_test(test_rollback_prove_pointer_that_the_application_changed_is_its_own),
        rollback_test(test_rollback_prove_pointer_that_is_back_is_no_conflict),
        rollback_test(test_rollback_prove_row_without_a_files_row_goes_back),
        rollback_test(test_rollback_prove_defects_refuse_one_row),
        rollback_test(test_rollback_prove_keys_outside_the_targets_prefix_are_refused),
        rollback_test(test_rollback_prove_unmarked_objects_are_refused_by_default),
        rollback_test(test_rollback_prove_unmarked_objects_may_be_trusted_by_their_bytes),
        rollback_test(test_rollback_prove_unmarked_object_with_other_bytes_is_refused),
        rollback_test(test_rollback_prove_object_that_cannot_be_looked_at_is_unproven),
        rollback_test(test_rollback_prove_store_that_refuses_stops_the_run),
        rollback_test(test_rollback_prove_store_that_has_gone_stops_the_run),
        rollback_test(test_rollback_prove_not_one_object_found_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
