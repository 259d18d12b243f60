/* Scopes, their combinations, modes, plans: what is rolled back and what is not. */
#include "unit/engine/rollback_world.h"

static void test_rollback_batch_goes_back_whole(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    rollback_world_sources(r);
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_rolled_back(r, "y");
    assert_rolled_back(r, "z");
    assert_int_equal(r->result.total_files, 3);
    assert_int_equal(r->result.database_rollbacks, 3);
    assert_int_equal(r->result.r2_deletions, 3);
    assert_int_equal(r->result.bytes_freed, 3 * strlen("the bytes of file x"));
    assert_int_equal(r->result.refused + r->result.failures + r->result.kept_objects, 0);
    assert_string_equal(world_text(&r->w, "SELECT status FROM migration_batches"), "rolled_back");
    assert_int_equal(world_number(&r->w, "SELECT sum(delete_owed) FROM blobferry_records"), 0);
    assert_int_equal(world_number(&r->w, "SELECT count(*) FROM files WHERE checksum IS NOT NULL"),
                     0);
    rollback_world_sources(r);
    rollback_world_check(r);
}

static void test_rollback_one_by_one_does_the_same(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    rollback_world_features(r, OBJSTORE_BULK_DELETE | OBJSTORE_BULK_DELETE_ETAG);
    r->o.concurrency = 1;
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_rolled_back(r, "z");
    assert_int_equal(r->w.tap->counts[TAP_REMOVE], 3);
    rollback_world_check(r);
}

static void test_rollback_other_batches_are_left_alone(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_add(r, "x", "b", "u");
    rollback_world_add(r, "y", "b-2", "u");
    rollback_world_migrate(r, "b");
    rollback_world_migrate(r, "b-2");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_migrated(r, "y");
    rollback_world_check(r);
}

/* C8: ids compare exactly; nothing in them is a pattern. */
static void test_rollback_user_is_compared_exactly(void **state)
{
    static const char *const near[] = {"user_%", "user_", "user", "USER1", "user1 ", "%", "user1'"};
    struct rollback_world *r = *state;

    rollback_world_add(r, "x", "b", "user1");
    rollback_world_add(r, "y", "b", "userX");
    rollback_world_migrate(r, "b");
    r->o.scope.batch_id = NULL;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        r->o.scope.user_id = near[i];
        rollback_world_expect(r, ERR_NOTFOUND);
        assert_string_equal(r->w.e.message, "No migration records found");
    }
    assert_migrated(r, "x");
    r->o.scope.user_id = "user1";
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_migrated(r, "y");
    rollback_world_check(r);
}

static void test_rollback_filters_combine_by_and(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_add(r, "w", "b", "u1");
    rollback_world_add(r, "x", "b", "u2");
    rollback_world_add(r, "y", "b-2", "u1");
    rollback_world_add(r, "z", "b-2", "u2");
    rollback_world_migrate(r, "b");
    rollback_world_migrate(r, "b-2");
    r->o.scope.batch_id = "b-2";
    r->o.scope.user_id = "u1";
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "y");
    assert_migrated(r, "w");
    assert_migrated(r, "x");
    assert_migrated(r, "z");
    rollback_world_check(r);
}

static void test_rollback_without_a_scope_is_refused_by_the_engine_itself(void **state)
{
    struct rollback_world *r = *state;
    const struct rollback_options none = {0};

    rollback_world_three(r);
    r->o = none;
    rollback_world_expect(r, ERR_USAGE);
    r->o.database_only = r->o.allow_missing_source = true;
    r->o.limit = 1;
    rollback_world_expect(r, ERR_USAGE);
    r->o.scope.batch_id = "";
    rollback_world_expect(r, ERR_USAGE);
    r->o.scope.batch_id = NULL;
    r->o.scope.user_id = "";
    rollback_world_expect(r, ERR_USAGE);
    assert_int_equal(rollback_world_look(r, false), ERR_USAGE);
    assert_migrated(r, "x");
    assert_migrated(r, "y");
    assert_migrated(r, "z");
}

static void test_rollback_batches_outside_the_scope_are_not_recounted(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "INSERT INTO migration_batches (id, batch_id, total_files, completed_files,"
                     " status) VALUES ('9', 'b-9', 7, 5, 'their own')");
    r->o = (struct rollback_options){.full = true};
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(world_text(&r->w, "SELECT total_files || completed_files || status"
                                          " FROM migration_batches WHERE batch_id = 'b-9'"),
                        "75their own");
    assert_string_equal(world_text(&r->w, "SELECT total_files || completed_files || status"
                                          " FROM migration_batches WHERE batch_id = 'b'"),
                        "30rolled_back");
}

/* G3: a scope that matches nothing never falls through to all. */
static void test_rollback_nothing_found_does_nothing(void **state)
{
    struct rollback_world *r = *state;
    char before[65], after[65];

    rollback_world_three(r);
    rollback_world_rows(r, before);
    r->o.scope.batch_id = "B";
    rollback_world_expect(r, ERR_NOTFOUND);
    assert_string_equal(r->w.e.message, "No migration records found");
    rollback_world_rows(r, after);
    assert_string_equal(before, after);
    assert_false(fsio_exists(r->w.backups));
    assert_migrated(r, "x");
}

static void test_rollback_full_takes_every_batch(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_add(r, "x", "b", "u");
    rollback_world_add(r, "y", "b-2", "v");
    rollback_world_migrate(r, "b");
    rollback_world_migrate(r, "b-2");
    r->o = (struct rollback_options){.full = true};
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_rolled_back(r, "y");
    rollback_world_check(r);
}

/* G4. */
static void test_rollback_failed_only_never_touches_a_completed_row(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET status = 'failed', error_message = 'e'"
                     " WHERE id = 'y'; UPDATE migration_batches SET completed_files = 2,"
                     " failed_files = 1");
    r->o.failed_only = true;
    rollback_world_expect(r, ERR_OK);
    assert_migrated(r, "x");
    assert_rolled_back(r, "y"); /* it had an object of ours, and a pointer */
    assert_migrated(r, "z");
    assert_int_equal(r->result.total_files, 1);
    rollback_world_check(r);
}

static void test_rollback_failed_rows_that_own_nothing_are_left_alone(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w,
              "INSERT INTO file_migrations (id, batch_id, source_path, target_r2_key, status)"
              " VALUES ('m', 'b', 'missing', 'k/m', 'failed');"
              "INSERT INTO blobferry_records (record_id, error_class) VALUES ('m', 'file_missing');"
              "UPDATE migration_batches SET total_files = 4, failed_files = 1");
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.total_files, 3);
    assert_int_equal(r->result.skipped, 1);
    assert_string_equal(world_status(&r->w, "m"), "failed");
    /* … unless they are asked for */
    r->o.failed_only = true;
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(world_status(&r->w, "m"), "rolled_back");
    assert_int_equal(r->result.r2_deletions, 0);
    rollback_world_check(r);
}

static void test_rollback_pending_and_processing_rows_are_left_alone_and_told(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w,
              "UPDATE file_migrations SET status = 'pending' WHERE id = 'x';"
              "UPDATE file_migrations SET status = 'COMPLETED' WHERE id = 'y';"
              "INSERT INTO file_migrations (id, batch_id, status) VALUES ('p', 'b', 'processing')");
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.files, 1);
    assert_int_equal(r->preview.processing, 1);
    assert_int_equal(r->preview.unknown, 1);
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "z");
    assert_string_equal(world_status(&r->w, "x"), "pending");
    assert_string_equal(world_status(&r->w, "y"), "COMPLETED");
    assert_string_equal(world_status(&r->w, "p"), "processing");
}

/* ---- dates (C9): every form that a real database holds, days inclusive, instants in UTC -------------- */

static const struct {
    const char *sql;
    int day; /* of 2026-03; 0: no date */
} forms[] = {
    {"'2026-03-01 00:00:00'", 1},
    {"'2026-03-01 23:59:59.999'", 1},
    {"'2026-03-01T12:00:00Z'", 1},
    {"'2026-03-02T00:30:00+01:00'", 1},
    {"'2026-03-02 00:00:00'", 2},
    {"'2026-03-01 23:30:00-01:00'", 2},
    {"1772409600", 2},
    {"1772495999999", 2},
    {"'2026-03-02'", 2},
    {"'2026-03-02T10:00'", 2},
    {"'2026-03-03 00:00:00.000001'", 3},
    {"'31/01/2026'", 0},
    {"'yesterday'", 0},
    {"NULL", 0},
};

static void test_rollback_dates_are_whole_days_in_every_form(void **state)
{
    struct rollback_world *r = *state;
    char sql[400], id[8];

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(id, sizeof id, "d%02zu", i);
        rollback_world_add(r, id, "b", "u");
    }
    rollback_world_migrate(r, "b");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(sql, sizeof sql, "UPDATE file_migrations SET started_at = %s WHERE id = 'd%02zu'",
                 forms[i].sql, i);
        world_sql(&r->w, sql);
    }
    /* the second of March, first instant to last */
    r->o = (struct rollback_options){.scope = {.has_from = true,
                                               .has_to = true,
                                               .from_ms = 1772409600000,
                                               .to_ms = 1772409600000 + 86400000 - 1}};
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.unparsable_dates, 2);
    rollback_world_expect(r, ERR_OK);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(id, sizeof id, "d%02zu", i);
        if (strcmp(world_status(&r->w, id), forms[i].day == 2 ? "rolled_back" : "completed") != 0)
            fail_msg("%s is %s", forms[i].sql, world_status(&r->w, id));
    }
    /* up to the first, from the third */
    r->o.scope = (struct tracker_filter){.has_to = true, .to_ms = 1772409600000 - 1};
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.files, 4);
    r->o.scope = (struct tracker_filter){.has_from = true, .from_ms = 1772496000000};
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.files, 1);
    rollback_world_check(r);
}

/* ---- modes ---------------------------------------------------------------------------------------- */

static void test_rollback_database_only_keeps_objects(void **state)
{
    struct rollback_world *r = *state;
    int looks;

    rollback_world_three(r);
    looks = r->w.tap->counts[TAP_STAT];
    r->o.database_only = true;
    r->w.g.source_root = "/nowhere"; /* originals are not asked for */
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back NULL object");
    assert_string_equal(rollback_world_state(r, "z"), "rolled_back NULL object");
    assert_int_equal(r->result.database_rollbacks, 3);
    assert_int_equal(r->result.r2_deletions, 0);
    assert_int_equal(r->result.refused, 0);
    assert_int_equal(world_number(&r->w, "SELECT sum(delete_owed) FROM blobferry_records"), 0);
    assert_int_equal(r->w.tap->counts[TAP_STAT], looks);
    assert_int_equal(r->w.tap->counts[TAP_REMOVE], 0);
    rollback_world_check(r);
    /* and with no store at all */
    r->w.g.store = NULL;
    rollback_world_expect(r, ERR_NOTFOUND);
}

static void test_rollback_r2_only_keeps_rows(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    r->o.r2_only = true;
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "completed k/x.txt gone");
    assert_int_equal(r->result.database_rollbacks, 0);
    assert_int_equal(r->result.r2_deletions, 3);
    /* once more: nothing is left to delete, and the rows may still go back */
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.r2_deletions, 0);
    assert_int_equal(r->result.already_absent, 3);
    r->o.r2_only = false;
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    assert_int_equal(r->result.already_absent, 3);
    rollback_world_check(r);
}

static void test_rollback_verified_rows_go_back_as_well(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET status = 'verified' WHERE id <> 'x';"
                     "UPDATE migration_batches SET verified_files = 2");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "y");
    assert_rolled_back(r, "x");
    rollback_world_check(r);
}

static void test_rollback_limit_is_staged(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    r->o.limit = 2;
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.files, 2);
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.total_files, 2);
    assert_rolled_back(r, "x");
    assert_rolled_back(r, "y");
    assert_migrated(r, "z");
    assert_string_equal(world_text(&r->w, "SELECT status FROM migration_batches"), "partial");
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.total_files, 1);
    assert_rolled_back(r, "z");
    rollback_world_check(r);
}

static void test_rollback_pointer_returns_to_its_prior_value(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_add(r, "x", "b", "u");
    rollback_world_add(r, "y", "b", "u");
    world_sql(&r->w, "UPDATE files SET r2_key = '', checksum = 'old' WHERE id = 'f-x'");
    rollback_world_migrate(r, "b");
    assert_migrated(r, "x");
    world_sql(&r->w, "UPDATE blobferry_records SET prior_r2_key = 'old/key' WHERE record_id = 'y'");
    world_write(r->w.store, "old/key", "old", 3);
    rollback_world_expect(r, ERR_OK);
    assert_string_equal(rollback_world_state(r, "x"), "rolled_back  gone"); /* '' and not NULL */
    assert_string_equal(world_text(&r->w, "SELECT checksum FROM files WHERE id = 'f-x'"), "old");
    assert_string_equal(rollback_world_state(r, "y"), "rolled_back old/key gone");
    assert_string_equal(world_text(&r->w, "SELECT checksum FROM files WHERE id = 'f-y'"), "NULL");
    assert_true(world_has_object(&r->w, "old/key"));
    rollback_world_check_pointers(r, "r2_key <> ''");
}

/* P3: what was there before cannot stay when it is the key whose object goes. */
static void test_rollback_never_restores_a_pointer_to_what_it_deletes(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_add(r, "x", "b", "u");
    world_sql(&r->w, "UPDATE files SET r2_key = 'k/x.txt' WHERE id = 'f-x'");
    rollback_world_migrate(r, "b");
    assert_migrated(r, "x");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    rollback_world_check(r);
}

/* ---- preview and plan ------------------------------------------------------------------------------ */

static void test_rollback_preview_writes_nothing(void **state)
{
    struct rollback_world *r = *state;
    char before[65], after[65];

    rollback_world_three(r);
    rollback_world_rows(r, before);
    assert_int_equal(rollback_world_look(r, true), ERR_OK);
    assert_int_equal(r->preview.files, 3);
    assert_int_equal(r->preview.bytes, 3 * strlen("the bytes of file x"));
    assert_int_equal(r->preview.with_object, 3);
    assert_int_equal(r->preview.refused[ROLLBACK_OK], 3);
    assert_int_equal(r->preview.first.len, 3);
    assert_string_equal(r->preview.first.items[0].id, "x");
    rollback_world_rows(r, after);
    assert_string_equal(before, after);
    assert_int_equal(r->w.tap->counts[TAP_REMOVE] + r->w.tap->counts[TAP_ABORT], 0);
    assert_int_equal(r->w.tap->counts[TAP_PUT], 3); /* the migration's */
    assert_false(fsio_exists(r->w.backups));
}

static void test_rollback_preview_shows_ten_and_counts_all(void **state)
{
    struct rollback_world *r = *state;
    char id[8];

    for (int i = 0; i < 13; i++) {
        snprintf(id, sizeof id, "n%02d", i);
        rollback_world_add(r, id, "b", "u");
    }
    rollback_world_migrate(r, "b");
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    assert_int_equal(r->preview.files, 13);
    assert_int_equal(r->preview.first.len, 10);
    assert_string_equal(r->preview.first.items[9].id, "n09");
}

static void test_rollback_plan_hash_holds_the_run_to_the_preview(void **state)
{
    struct rollback_world *r = *state;
    char hash[TRACKER_HASH_SIZE];

    rollback_world_three(r);
    assert_int_equal(rollback_world_look(r, false), ERR_OK);
    str_copy(hash, sizeof hash, r->preview.plan_hash);
    assert_int_equal(strlen(hash), 64);
    assert_int_equal(rollback_world_look(r, true), ERR_OK);
    assert_string_equal(r->preview.plan_hash, hash); /* the same plan, the same hash */
    r->o.plan_hash = hash;
    world_sql(&r->w, "UPDATE file_migrations SET status = 'verified' WHERE id = 'y'");
    rollback_world_expect(r, ERR_CONFLICT);
    assert_migrated(r, "x");
    assert_migrated(r, "z");
    assert_false(fsio_exists(r->w.backups));
    world_sql(&r->w, "UPDATE file_migrations SET status = 'completed' WHERE id = 'y'");
    rollback_world_expect(r, ERR_OK);
    assert_rolled_back(r, "x");
    rollback_world_check(r);
}

/* A hash from a preview with --database-only must not let objects be deleted. */
static void test_rollback_plan_hash_covers_what_would_be_done(void **state)
{
    struct rollback_world *r = *state;
    char hash[6][65];

    rollback_world_three(r);
    for (int i = 0; i < 6; i++) {
        r->o = (struct rollback_options){.scope.batch_id = "b",
                                         .database_only = i == 1,
                                         .r2_only = i == 2,
                                         .allow_missing_source = i == 3,
                                         .trust_unmarked = i == 4,
                                         .limit = i == 5 ? 2 : 0};
        assert_int_equal(rollback_world_look(r, false), ERR_OK);
        str_copy(hash[i], sizeof hash[i], r->preview.plan_hash);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(hash[i], hash[k]);
    }
    r->o = (struct rollback_options){.scope.batch_id = "b", .plan_hash = hash[1]};
    rollback_world_expect(r, ERR_CONFLICT);
    assert_migrated(r, "x");
}

/* ---- again -------------------------------------------------------------------------------------------- */

static void test_rollback_of_a_rollback_does_nothing(void **state)
{
    struct rollback_world *r = *state;
    char before[65], after[65];

    rollback_world_three(r);
    rollback_world_expect(r, ERR_OK);
    rollback_world_rows(r, before);
    rollback_world_reenter(r);
    rollback_world_expect(r, ERR_NOTFOUND);
    rollback_world_rows(r, after);
    assert_string_equal(before, after);
    assert_int_equal(r->w.tap->counts[TAP_REMOVE] + r->w.tap->counts[TAP_STAT], 0);
    assert_false(r->w.run.recorded);
}

static void test_rollback_and_migrate_alternate_fifty_times(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    rollback_world_sources(r);
    r->w.o.again = true;
    for (int i = 0; i < 50; i++) {
        rollback_world_expect(r, ERR_OK);
        assert_int_equal(r->result.r2_deletions, 3);
        assert_rolled_back(r, "x");
        assert_rolled_back(r, "z");
        rollback_world_migrate(r, "b");
        assert_migrated(r, "x");
        assert_migrated(r, "z");
    }
    rollback_world_sources(r);
    rollback_world_check(r);
}

/* 1,100 rows: three pages, the last one short. */
static void test_rollback_many_pages(void **state)
{
    struct rollback_world *r = *state;
    char sql[200];

    rollback_world_add(r, "x", "b", "u");
    rollback_world_migrate(r, "b");
    world_sql(
        &r->w,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1099)"
        " INSERT INTO file_migrations (id, batch_id, source_path, target_r2_key,"
        " migrated_checksum, file_size, status) SELECT printf('r%05d', i), 'b', 'x.txt',"
        " printf('k/%05d', i), (SELECT migrated_checksum FROM file_migrations WHERE id = 'x'),"
        " 19, 'completed' FROM n; UPDATE migration_batches SET total_files = 1100,"
        " completed_files = 1100");
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.total_files, 1100);
    assert_int_equal(r->result.database_rollbacks, 1100);
    assert_int_equal(r->result.already_absent, 1099);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM file_migrations WHERE status <> 'rolled_back'");
    assert_int_equal(world_number(&r->w, sql), 0);
    rollback_world_check(r);
}

/* SQLite lets an id be empty or very long: pages go on behind both. */
static void test_rollback_odd_ids_do_not_stop_the_paging(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    world_sql(&r->w,
              "INSERT INTO file_migrations (id, batch_id, target_r2_key, status) VALUES"
              " ('', 'b', 'k/none', 'completed'), (printf('%.*c', 3000, 'a'), 'b', 'k/none2',"
              " 'completed'), (NULL, 'b', 'k/none3', 'completed'), ('q', 'b', NULL, 'completed');"
              "UPDATE migration_batches SET total_files = 7, completed_files = 7");
    rollback_world_expect(r, ERR_PARTIAL); /* q names no key */
    assert_rolled_back(r, "x");
    assert_int_equal(world_number(&r->w, "SELECT count(*) FROM file_migrations"
                                         " WHERE status = 'rolled_back'"),
                     5);
    assert_int_equal(r->result.refused_by[ROLLBACK_UNPROVEN], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rollback_test(test_rollback_batch_goes_back_whole),
        rollback_test(test_rollback_one_by_one_does_the_same),
        rollback_test(test_rollback_other_batches_are_left_alone),
        rollback_test(test_rollback_user_is_compared_exactly),
        rollback_test(test_rollback_filters_combine_by_and),
        rollback_test(test_rollback_without_a_scope_is_refused_by_the_engine_itself),
        rollback_test(test_rollback_batches_outside_the_scope_are_not_recounted),
        rollback_test(test_rollback_nothing_found_does_nothing),
        rollback_test(test_rollback_full_takes_every_batch),
        rollback_test(test_rollback_failed_only_never_touches_a_completed_row),
        rollback_test(test_rollback_failed_rows_that_own_nothing_are_left_alone),
        rollback_test(test_rollback_pending_and_processing_rows_are_left_alone_and_told),
        rollback_test(test_rollback_dates_are_whole_days_in_every_form),
        rollback_test(test_rollback_database_only_keeps_objects),
        rollback_test(test_rollback_r2_only_keeps_rows),
        rollback_test(test_rollback_verified_rows_go_back_as_well),
        rollback_test(test_rollback_limit_is_staged),
        rollback_test(test_rollback_pointer_returns_to_its_prior_value),
        rollback_test(test_rollback_never_restores_a_pointer_to_what_it_deletes),
        rollback_test(test_rollback_preview_writes_nothing),
        rollback_test(test_rollback_preview_shows_ten_and_counts_all),
        rollback_test(test_rollback_plan_hash_holds_the_run_to_the_preview),
        rollback_test(test_rollback_plan_hash_covers_what_would_be_done),
        rollback_test(test_rollback_of_a_rollback_does_nothing),
        rollback_test(test_rollback_and_migrate_alternate_fifty_times),
        rollback_test(test_rollback_many_pages),
        rollback_test(test_rollback_odd_ids_do_not_stop_the_paging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
