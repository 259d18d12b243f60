#include "migrate_world.h"

#include "blobferry/engine/restore.h"
#include "blobferry/engine/rollback.h"

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    if (w == NULL)
        return -1;
    world_open(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    process_stop_for_tests(0);
    world_close(*state);
    free(*state);
    return 0;
}

/* Every row of the four tables, as SQLite itself prints it. */
static char *picture(struct world *w)
{
    static const char *const tables[] = {"migration_batches", "file_migrations", "files",
                                         "blobferry_records"};
    sqlite3 *db;
    sqlite3_str *out = sqlite3_str_new(NULL);
    char *text, *copy;

    assert_int_equal(sqlite3_open(w->db, &db), SQLITE_OK);
    for (int t = 0; t < 4; t++) {
        char query[100];
        sqlite3_stmt *q;
        snprintf(query, sizeof query, "SELECT * FROM %s ORDER BY 1", tables[t]);
        assert_int_equal(sqlite3_prepare_v2(db, query, -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(q); i++)
                sqlite3_str_appendf(out, "%s=%d:%s|", sqlite3_column_name(q, i),
                                    sqlite3_column_type(q, i), sqlite3_column_text(q, i));
            sqlite3_str_appendchar(out, 1, '\n');
        }
        sqlite3_finalize(q);
    }
    sqlite3_close(db);
    text = sqlite3_str_finish(out);
    copy = str_dup(text);
    sqlite3_free(text);
    return copy;
}

static void migrated(struct world *w)
{
    world_file(w, "a.txt", "hello");
    world_file(w, "b.txt", "world!");
    world_file(w, "c.txt", "three");
    world_row(w, (struct world_row){.id = "r1", .path = "a.txt"});
    world_row(w, (struct world_row){.id = "r2", .path = "b.txt"});
    world_row(w, (struct world_row){.id = "r3", .path = "c.txt", .no_file_row = true});
    assert_int_equal(world_migrate(w), ERR_OK);
}

static void back_up(struct world *w, struct backup_result *made)
{
    static const struct tracker_filter b = {.batch_id = "b"};
    assert_int_equal(backup_create(&w->g, &b, made, &w->e), ERR_OK);
}

static void roll_back(struct world *w, bool database_only)
{
    const struct rollback_options o = {
        .scope = {.batch_id = "b"}, .database_only = database_only, .no_backup = true};
    struct rollback_result r;

    w->g.store = w->dir_store; /* the tap knows no bulk removal */
    assert_int_equal(rollback_run(&w->g, &o, &r, &w->e), ERR_OK);
    w->g.store = &w->tap->base;
    assert_int_equal(r.database_rollbacks, 3);
}

static enum err_code preview(struct world *w, const struct restore_options *o,
                             struct restore_preview *p)
{
    err_init(&w->e);
    restore_preview_init(p);
    return restore_preview(&w->g, o, p, &w->e);
}

static enum err_code run(struct world *w, const struct restore_options *o, struct restore_result *r)
{
    err_init(&w->e);
    restore_result_init(r);
    return restore_run(&w->g, o, r, &w->e);
}

static void check_unchanged(struct world *w, char *before)
{
    char *after = picture(w);
    assert_string_equal(after, before);
    free(after);
}

static void test_restore_brings_rows_and_pointers_back(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_preview p;
    struct restore_result r;
    char *before, *rolled;

    migrated(w);
    before = picture(w);
    back_up(w, &made);
    roll_back(w, true);
    rolled = picture(w);
    assert_string_not_equal(before, rolled);

    assert_int_equal(preview(w, &o, &p), ERR_OK);
    check_unchanged(w, rolled);
    assert_int_equal(p.rows, 9);
    assert_int_equal(p.tables[TRACKER_MIGRATIONS].changed, 3);
    assert_int_equal(p.tables[TRACKER_FILES].changed, 2);
    assert_int_equal(p.claims, 3); /* two rows with a file claim the same key, once */
    assert_true(p.looked);
    assert_int_equal(p.missing + p.different, 0);
    assert_int_equal(w->tap->counts[TAP_STAT] > 0, 1);
    assert_true(p.first_len >= 5);
    assert_string_equal(p.first[0].key, "'r1'");
    assert_string_equal(p.first[0].column, "status");
    assert_string_equal(p.first[0].now, "'rolled_back'");
    assert_string_equal(p.first[0].then, "'completed'");
    assert_string_equal(p.sha256, made.sha256);
    restore_preview_release(&p);

    assert_int_equal(run(w, &o, &r), ERR_OK);
    check_unchanged(w, before);
    assert_int_equal(r.tables[TRACKER_MIGRATIONS].changed, 3);
    assert_int_equal(world_audit(w, "restore_intent", made.sha256), 1);
    assert_int_equal(world_audit(w, "restore_outcome", "\"success\":true"), 1);
    assert_int_equal(world_number(w, "SELECT count(*) FROM blobferry_locks"), 0);
    world_check(w);

    /* what was overwritten can be had back in the same way */
    str_copy(made.path, sizeof made.path, r.before.path);
    restore_result_release(&r);
    o.database_only = true;
    assert_int_equal(run(w, &o, &r), ERR_OK);
    check_unchanged(w, rolled);
    restore_result_release(&r);
    free(before);
    free(rolled);
}

static void test_restore_with_nothing_to_do_writes_nothing(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;
    int heads;

    migrated(w);
    back_up(w, &made);
    heads = world_number(w, "SELECT sum(seq) FROM blobferry_heads");
    assert_int_equal(run(w, &o, &r), ERR_OK);
    assert_true(r.nothing_to_do);
    assert_string_equal(r.before.path, "");
    assert_int_equal(world_number(w, "SELECT sum(seq) FROM blobferry_heads"), heads);
    assert_int_equal(world_audit(w, "restore_intent", NULL), 0);
    restore_result_release(&r);
}

static void test_restore_refuses_pointers_to_nothing(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_preview p;
    struct restore_result r;
    char *before, *rolled;

    migrated(w);
    before = picture(w);
    back_up(w, &made);
    roll_back(w, false); /* the objects are gone */
    rolled = picture(w);
    assert_int_equal(preview(w, &o, &p), ERR_OK);
    assert_int_equal(p.claims, 3);
    assert_int_equal(p.missing, 3);
    restore_preview_release(&p);
    assert_int_equal(run(w, &o, &r), ERR_REFUSED);
    assert_non_null(strstr(w->e.message, "3 are not there"));
    assert_non_null(strstr(w->e.hint, "migrate"));
    check_unchanged(w, rolled);
    assert_int_equal(world_audit(w, "restore_intent", NULL), 0);
    restore_result_release(&r);

    o.database_only = true; /* asked for by name */
    assert_int_equal(run(w, &o, &r), ERR_OK);
    check_unchanged(w, before);
    restore_result_release(&r);
    free(before);
    free(rolled);
}

static void test_restore_refuses_an_object_that_is_another_now(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;
    char *rolled;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    rolled = picture(w);
    world_write(w->store, "k/b.txt", "somebody else's", 15);
    assert_int_equal(run(w, &o, &r), ERR_REFUSED);
    assert_int_equal(r.preview.different, 1);
    assert_int_equal(r.preview.missing, 0);
    assert_string_equal(r.preview.first_missing, "k/b.txt");
    check_unchanged(w, rolled);
    restore_result_release(&r);
    free(rolled);
}

static void test_restore_needs_a_store_when_objects_are_claimed(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_preview p;
    struct restore_result r;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    w->g.store = NULL;
    assert_int_equal(preview(w, &o, &p), ERR_OK);
    assert_false(p.looked);
    assert_int_equal(p.claims, 3);
    restore_preview_release(&p);
    assert_int_equal(run(w, &o, &r), ERR_CONFIG);
    assert_non_null(strstr(w->e.hint, "--database-only"));
    restore_result_release(&r);
    o.database_only = true;
    assert_int_equal(run(w, &o, &r), ERR_OK);
    restore_result_release(&r);
}

/* Rows that claim nothing need no store: a failed or pending row may come back whatever the bucket holds. */
static void test_restore_of_rows_without_claims_asks_no_store(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;

    world_row(w, (struct world_row){.id = "r1", .path = "a.txt"});
    back_up(w, &made);
    world_sql(w, "DELETE FROM file_migrations; DELETE FROM files; DELETE FROM migration_batches");
    w->g.store = NULL;
    assert_int_equal(run(w, &o, &r), ERR_OK);
    assert_int_equal(r.preview.claims, 0);
    assert_int_equal(r.tables[TRACKER_MIGRATIONS].inserted, 1);
    assert_int_equal(r.preview.first[0].inserted, true);
    assert_string_equal(world_status(w, "r1"), "pending");
    restore_result_release(&r);
}

static bool denied(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op != TAP_STAT)
        return false;
    r->outcome = OBJSTORE_DENIED;
    err_set(&r->err, ERR_STORE_DENIED, "access denied");
    return true;
}

static void test_restore_stops_when_the_store_does_not_answer(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;
    char *rolled;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    rolled = picture(w);
    w->tap->before = denied;
    assert_int_equal(run(w, &o, &r), ERR_STORE_DENIED);
    check_unchanged(w, rolled);
    restore_result_release(&r);
    free(rolled);
}

/* The application takes a pointer away while objects are looked at: the second pass claims more than was proven. */
static void meddle(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    struct world *w = t->user;
    (void)key;
    (void)r;
    if (op != TAP_STAT)
        return;
    t->after = NULL;
    world_sql(w, "UPDATE files SET r2_key = NULL WHERE id = 'f-r1'");
}

static void test_restore_claims_nothing_that_was_not_looked_at(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    world_sql(w, "UPDATE files SET r2_key = 'k/a.txt' WHERE id = 'f-r1'");
    w->tap->after = meddle;
    assert_int_equal(run(w, &o, &r), ERR_CONFLICT);
    assert_non_null(strstr(w->e.message, "while objects were looked at"));
    assert_string_equal(world_status(w, "r1"), "rolled_back");
    assert_int_equal(world_audit(w, "restore_outcome", "\"success\":false"), 1);
    restore_result_release(&r);
    assert_int_equal(run(w, &o, &r), ERR_OK);
    world_check(w);
    restore_result_release(&r);
}

static void test_restore_refuses_the_backup_of_another_database(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path, .database_only = true};
    struct restore_preview p;
    struct restore_result r;
    char other[256], url[320];
    int created;

    migrated(w);
    back_up(w, &made);
    snprintf(other, sizeof other, "%.200s/other.db", w->dir);
    snprintf(url, sizeof url, "sqlite:%s", other);
    tracker_close(w->tracker);
    assert_int_equal(
        tracker_open(&w->tracker, &(struct tracker_options){.url = url, .create = true}, NULL),
        ERR_OK);
    assert_int_equal(tracker_init(w->tracker, &created, NULL), ERR_OK);
    w->g.tracker = w->tracker;
    assert_int_equal(preview(w, &o, &p), ERR_REFUSED);
    assert_non_null(strstr(w->e.message, "other.db"));
    assert_non_null(strstr(w->e.hint, "--force"));
    restore_preview_release(&p);
    assert_int_equal(run(w, &o, &r), ERR_REFUSED);
    restore_result_release(&r);
    o.force = true;
    assert_int_equal(run(w, &o, &r), ERR_OK);
    snprintf(w->db, sizeof w->db, "%s", other);
    assert_string_equal(world_status(w, "r1"), "completed");
    restore_result_release(&r);
}

static void test_restore_knows_its_database_by_any_path(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_preview p;
    char url[700], link[300];

    migrated(w);
    back_up(w, &made);
    snprintf(link, sizeof link, "%s/link.db", w->dir);
    assert_int_equal(symlink(w->db, link), 0);
    snprintf(url, sizeof url, "sqlite:%s/./link.db", w->dir);
    tracker_close(w->tracker);
    assert_int_equal(tracker_open(&w->tracker, &(struct tracker_options){.url = url}, NULL),
                     ERR_OK);
    w->g.tracker = w->tracker;
    assert_int_equal(preview(w, &o, &p), ERR_OK);
    assert_int_equal(p.changes, 0);
    restore_preview_release(&p);
}

static void test_restore_refuses_damage_and_changes_nothing(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;
    char *rolled, *text;
    struct buf b;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    rolled = picture(w);
    buf_init(&b, 1 << 20);
    assert_int_equal(fsio_read_file(made.path, &b, NULL), ERR_OK);
    text = strstr(b.data, "\"completed\"");
    assert_non_null(text);
    memcpy(text, "\"verified\" ", 11); /* still JSON of the same length */
    world_write(w->backups, "x.json", b.data, b.len);
    snprintf(made.path, sizeof made.path, "%s/x.json", w->backups);
    assert_int_equal(run(w, &o, &r), ERR_CONFLICT);
    check_unchanged(w, rolled);
    restore_result_release(&r);
    world_write(w->backups, "x.json", b.data, b.len / 2);
    assert_int_equal(run(w, &o, &r), ERR_CONFLICT);
    restore_result_release(&r);
    world_write(w->backups, "x.json", "{}", 2);
    assert_int_equal(run(w, &o, &r), ERR_PARSE);
    restore_result_release(&r);
    o.path = "/nonexistent/x.json";
    assert_int_equal(run(w, &o, &r), ERR_FILE_MISSING);
    restore_result_release(&r);
    check_unchanged(w, rolled);
    assert_int_equal(world_number(w, "SELECT count(*) FROM blobferry_locks"), 0);
    buf_release(&b);
    free(rolled);
}

static void test_restore_waits_for_nobody_who_migrates(void **state)
{
    static const char *const batch[] = {"b"};
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    assert_int_equal(tracker_lock(w->tracker,
                                  &(struct tracker_lock){.batch_ids = batch,
                                                         .batch_count = 1,
                                                         .mode = TRACKER_LOCK_MIGRATE,
                                                         .owner = "somebody-else",
                                                         .now_ms = clock_wall_ms(),
                                                         .lease_ms = 60000},
                                  NULL),
                     ERR_OK);
    assert_int_equal(run(w, &o, &r), ERR_CONFLICT);
    assert_string_equal(world_status(w, "r1"), "rolled_back");
    restore_result_release(&r);
    assert_int_equal(tracker_unlock(w->tracker, "somebody-else", NULL), ERR_OK);
    assert_int_equal(run(w, &o, &r), ERR_OK);
    restore_result_release(&r);
}

static void test_restore_says_when_a_trigger_had_the_last_word(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;

    migrated(w);
    world_sql(w, "CREATE TRIGGER t AFTER UPDATE ON files BEGIN UPDATE files SET filename = 'mine'"
                 " WHERE id = new.id AND filename <> 'mine'; END");
    back_up(w, &made);
    roll_back(w, true);
    assert_int_equal(run(w, &o, &r), ERR_PARTIAL);
    assert_non_null(strstr(w->e.message, "triggers"));
    assert_int_equal(r.tables[TRACKER_FILES].unlike, 2);
    assert_string_equal(world_status(w, "r1"), "completed");
    restore_result_release(&r);
}

static void test_restore_from_an_encrypted_backup(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;
    struct secret key;
    char *before;

    secret_init(&key);
    assert_int_equal(secret_set(&key,
                                "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                                64, NULL),
                     ERR_OK);
    migrated(w);
    before = picture(w);
    w->g.backup_key = &key;
    back_up(w, &made);
    roll_back(w, true);
    w->g.backup_key = NULL;
    assert_int_equal(run(w, &o, &r), ERR_CONFIG);
    restore_result_release(&r);
    w->g.backup_key = &key;
    assert_int_equal(run(w, &o, &r), ERR_OK);
    assert_true(str_ends(r.before.path, ".json.enc"));
    check_unchanged(w, before);
    restore_result_release(&r);
    secret_release(&key);
    free(before);
}

static void test_restore_stops_by_a_signal_without_a_trace(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;
    char *rolled;

    migrated(w);
    back_up(w, &made);
    roll_back(w, true);
    rolled = picture(w);
    process_stop_for_tests(SIGTERM);
    assert_int_equal(run(w, &o, &r), ERR_CANCELLED);
    check_unchanged(w, rolled);
    restore_result_release(&r);
    free(rolled);
}

static void test_restore_of_an_empty_backup_is_no_success(void **state)
{
    static const struct tracker_filter none = {.batch_id = "no such"};
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path};
    struct restore_result r;

    assert_int_equal(backup_create(&w->g, &none, &made, NULL), ERR_OK);
    assert_int_equal(run(w, &o, &r), ERR_NOTFOUND);
    restore_result_release(&r);
}

static void test_restore_shows_hostile_text_harmlessly(void **state)
{
    struct world *w = *state;
    struct backup_result made;
    struct restore_options o = {.path = made.path, .database_only = true};
    struct restore_preview p;

    world_row(w, (struct world_row){.id = "r1", .path = "a.txt"});
    world_sql(w,
              "UPDATE file_migrations SET error_message = char(27) || '[31m' || char(10) || x'ff'");
    back_up(w, &made);
    world_sql(w, "UPDATE file_migrations SET error_message = x'0102', file_size = 2.5");
    assert_int_equal(preview(w, &o, &p), ERR_OK);
    assert_int_equal(p.first_len, 1);
    assert_string_equal(p.first[0].column, "file_size");
    assert_string_equal(p.first[0].now, "2.5");
    restore_preview_release(&p);
    world_sql(w, "UPDATE file_migrations SET file_size = NULL");
    assert_int_equal(preview(w, &o, &p), ERR_OK);
    assert_string_equal(p.first[0].now, "2 bytes");
    assert_string_equal(p.first[0].then, "'\\x1b[31m\\x0a\\xff'");
    restore_preview_release(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_restore_brings_rows_and_pointers_back),
        TEST(test_restore_with_nothing_to_do_writes_nothing),
        TEST(test_restore_refuses_pointers_to_nothing),
        TEST(test_restore_refuses_an_object_that_is_another_now),
        TEST(test_restore_needs_a_store_when_objects_are_claimed),
        TEST(test_restore_of_rows_without_claims_asks_no_store),
        TEST(test_restore_stops_when_the_store_does_not_answer),
        TEST(test_restore_claims_nothing_that_was_not_looked_at),
        TEST(test_restore_refuses_the_backup_of_another_database),
        TEST(test_restore_knows_its_database_by_any_path),
        TEST(test_restore_refuses_damage_and_changes_nothing),
        TEST(test_restore_waits_for_nobody_who_migrates),
        TEST(test_restore_says_when_a_trigger_had_the_last_word),
        TEST(test_restore_from_an_encrypted_backup),
        TEST(test_restore_stops_by_a_signal_without_a_trace),
        TEST(test_restore_of_an_empty_backup_is_no_success),
        TEST(test_restore_shows_hostile_text_harmlessly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
