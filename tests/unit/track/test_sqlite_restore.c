#include "blobferry/track/tracker.h"

#include "unit/base/scratch.h"

#include <sqlite3.h>

/* A dump kept in memory, to be given back row by row. */
struct kept_row {
    enum tracker_table table;
    struct tracker_value *values;
    size_t n;
};
struct fixture {
    struct scratch s;
    char url[1100];
    struct tracker *t;
    struct kept_row rows[200];
    size_t len, at;
    struct tracker_restore_counts counts[TRACKER_TABLES];
    size_t told, inserted, fail_at;
    char first[20][64]; /* table.column of what was told */
    struct err e;
};

static void sql(struct fixture *f, const char *text)
{
    sqlite3 *db;
    char *why = NULL;

    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", text, why);
    sqlite3_close(db);
}

/* Every row and value with its type, by SQLite itself. */
static char *picture(struct fixture *f)
{
    static const char *const tables[] = {"migration_batches", "file_migrations", "files",
                                         "blobferry_records"};
    sqlite3 *db;
    sqlite3_str *out = sqlite3_str_new(NULL);
    char *text, *copy;

    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
    for (int t = 0; t < 4; t++) {
        char query[100];
        sqlite3_stmt *q;
        snprintf(query, sizeof query, "SELECT * FROM %s ORDER BY 1", tables[t]);
        assert_int_equal(sqlite3_prepare_v2(db, query, -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) {
            sqlite3_str_appendall(out, tables[t]);
            for (int i = 0; i < sqlite3_column_count(q); i++) {
                const unsigned char *p = sqlite3_column_blob(q, i);
                const int n = sqlite3_column_bytes(q, i), type = sqlite3_column_type(q, i);
                sqlite3_str_appendf(out, "|%s=%d:", sqlite3_column_name(q, i), type);
                for (int k = 0; k < n; k++)
                    sqlite3_str_appendf(out, "%02x", p[k]);
            }
            sqlite3_str_appendchar(out, 1, '\n');
        }
        sqlite3_finalize(q);
    }
    sqlite3_close(db);
    text = sqlite3_str_finish(out);
    copy = strdup(text);
    sqlite3_free(text);
    return copy;
}

static const char content[] =
    "INSERT INTO migration_batches (id, batch_id, total_files, completed_files, status, "
    "completed_at)"
    " VALUES ('B1', 'b-1', 2, 2, 'completed', '2026-11-20 10:00:00'), ('B2', 'b-2', 1, 0, "
    "'pending', NULL);"
    "INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key, file_size, "
    "status,"
    " error_message, started_at) VALUES"
    " ('m1', 'b-1', 'f1', CAST(x'612fff62' AS TEXT), 'k1', 9223372036854775807, 'completed', '', "
    "'2026-11-20T10:00:00Z'),"
    " ('m2', 'b-1', 'f2', x'00ff00', 'k2', 12.5, 'completed', NULL, 1795262400),"
    " ('m3', 'b-2', 'f3', 'a' || char(0) || 'b', 'k3', -9007199254740993, 'pending', x'', "
    "'yesterday');"
    "INSERT INTO files (id, filename, user_id, r2_key, checksum) VALUES"
    " ('f1', 'one', 'u1', 'k1', 'c1'), ('f2', 'two', 'u2', 'k2', NULL), ('f3', 'three', 'u1', "
    "NULL, NULL),"
    " ('f4', 'not in any batch', 'u1', 'k4', 'c4');"
    "INSERT INTO blobferry_records (record_id, etag, pointer_set, prior_r2_key, prior_checksum) "
    "VALUES"
    " ('m1', 'e1', 1, x'', 3.0), ('m2', 'e2', 1, NULL, '');";

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int created;

    assert_non_null(f);
    scratch_init(&f->s);
    snprintf(f->url, sizeof f->url, "sqlite:%s", scratch_path(&f->s, "t.db"));
    assert_int_equal(
        tracker_open(&f->t, &(struct tracker_options){.url = f->url, .create = true}, NULL),
        ERR_OK);
    assert_int_equal(tracker_init(f->t, &created, NULL), ERR_OK);
    sql(f, content);
    *state = f;
    return 0;
}

static void forget(struct fixture *f)
{
    for (size_t i = 0; i < f->len; i++) {
        for (size_t k = 0; k < f->rows[i].n; k++) {
            free((void *)(uintptr_t)f->rows[i].values[k].column);
            free((void *)(uintptr_t)f->rows[i].values[k].bytes);
        }
        free(f->rows[i].values);
    }
    f->len = 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    forget(f);
    tracker_close(f->t);
    scratch_release(&f->s);
    free(f);
    return 0;
}

static enum err_code keep(void *user, const char *table, const struct tracker_value *values,
                          size_t n, struct err *e)
{
    struct fixture *f = user;
    struct kept_row *row = &f->rows[f->len++];
    (void)e;

    assert_true(tracker_table_parse(table, &row->table));
    row->n = n;
    row->values = calloc(n, sizeof *row->values);
    assert_non_null(row->values);
    for (size_t i = 0; i < n; i++) {
        char *bytes = malloc(values[i].len + 1);
        assert_non_null(bytes);
        if (values[i].len > 0)
            memcpy(bytes, values[i].bytes, values[i].len);
        row->values[i] = values[i];
        row->values[i].column = strdup(values[i].column);
        row->values[i].bytes = bytes;
    }
    return ERR_OK;
}

static enum err_code next(void *user, struct tracker_restore_row *row, bool *more, struct err *e)
{
    struct fixture *f = user;

    if (f->fail_at > 0 && f->at == f->fail_at)
        return err_set(e, ERR_CONFLICT, "the backup ends here");
    *more = f->at < f->len;
    if (*more) {
        *row = (struct tracker_restore_row){f->rows[f->at].table, f->rows[f->at].values,
                                            f->rows[f->at].n};
        f->at++;
    }
    return ERR_OK;
}

static enum err_code change(void *user, const struct tracker_restore_change *c, struct err *e)
{
    struct fixture *f = user;
    (void)e;

    f->inserted += c->inserted;
    assert_true(c->inserted == (c->now == NULL));
    if (f->told < 20)
        snprintf(f->first[f->told], sizeof f->first[0], "%s.%s", tracker_table_name(c->table),
                 c->then[c->first].column);
    f->told++;
    return ERR_OK;
}

static void dump(struct fixture *f, const struct tracker_filter *filter)
{
    forget(f);
    assert_int_equal(tracker_dump(f->t, filter, keep, f, NULL), ERR_OK);
}

static enum err_code restore(struct fixture *f, bool dry_run)
{
    const struct tracker_head head = {.log_id = "L", .run_id = "R", .seq = 1, .hash = "h"};
    const struct tracker_restore r = {.dry_run = dry_run,
                                      .next = next,
                                      .change = change,
                                      .user = f,
                                      .head = dry_run ? NULL : &head};

    f->at = f->told = f->inserted = 0;
    memset(f->first, 0, sizeof f->first);
    err_init(&f->e);
    return tracker_restore(f->t, &r, f->counts, &f->e);
}

static void ruin(struct fixture *f)
{
    sql(f, "UPDATE file_migrations SET status = 'rolled_back', source_path = 'x', file_size = '12',"
           " error_message = NULL, started_at = NULL;"
           "UPDATE files SET r2_key = NULL, checksum = NULL;"
           "DELETE FROM files WHERE id = 'f2'; DELETE FROM file_migrations WHERE id = 'm2';"
           "DELETE FROM blobferry_records WHERE record_id = 'm1';"
           "UPDATE migration_batches SET status = 'rolled_back', completed_files = 0");
}

static void test_sqlite_restore_gives_every_value_back_with_its_type(void **state)
{
    struct fixture *f = *state;
    char *before, *after;

    before = picture(f);
    dump(f, NULL);
    ruin(f);
    sql(f,
        "UPDATE files SET r2_key = 'k4', checksum = 'c4' WHERE id = 'f4'"); /* not in the backup */
    assert_int_equal(restore(f, false), ERR_OK);
    after = picture(f);
    assert_string_equal(after, before);
    assert_int_equal(f->counts[TRACKER_MIGRATIONS].rows, 3);
    assert_int_equal(f->counts[TRACKER_MIGRATIONS].inserted, 1);
    assert_int_equal(f->counts[TRACKER_MIGRATIONS].changed, 2);
    assert_int_equal(f->counts[TRACKER_FILES].inserted, 1);
    assert_int_equal(f->counts[TRACKER_FILES].changed, 1);
    assert_int_equal(f->counts[TRACKER_FILES].same, 1);
    assert_int_equal(f->counts[TRACKER_RECORDS].inserted, 1);
    assert_int_equal(f->counts[TRACKER_RECORDS].same, 1);
    for (int t = 0; t < TRACKER_TABLES; t++) {
        assert_int_equal(f->counts[t].unlike, 0);
        assert_int_equal(f->counts[t].skipped, 0);
    }
    assert_int_equal(restore(f, false), ERR_OK);
    assert_int_equal(f->told, 0);
    free(before);
    free(after);
}

static void test_sqlite_restore_dry_run_tells_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct tracker *writer = f->t;
    char *before, *after;

    dump(f, NULL);
    ruin(f);
    before = picture(f);
    assert_int_equal(
        tracker_open(&f->t, &(struct tracker_options){.url = f->url, .read_only = true}, NULL),
        ERR_OK);
    assert_int_equal(restore(f, true), ERR_OK);
    after = picture(f);
    assert_string_equal(after, before);
    assert_int_equal(f->told, 6);
    assert_int_equal(f->inserted, 3);
    assert_string_equal(f->first[0], "file_migrations.source_path");
    assert_string_equal(f->first[1], "file_migrations.id");  /* inserted */
    assert_int_equal(f->counts[TRACKER_BATCHES].changed, 0); /* counters and status only follow */
    assert_int_equal(f->counts[TRACKER_BATCHES].same, 2);
    assert_int_equal(restore(f, false), ERR_DB); /* opened for reading only */
    tracker_close(f->t);
    f->t = writer;
    free(before);
    free(after);
}

static void test_sqlite_restore_touches_no_row_outside_the_backup(void **state)
{
    struct fixture *f = *state;
    char *after;

    dump(f, &(struct tracker_filter){.user_id = "u2"});
    ruin(f);
    assert_int_equal(restore(f, false), ERR_OK);
    after = picture(f);
    assert_non_null(strstr(after, "file_migrations|id=3:6d32")); /* m2 is back */
    assert_null(strstr(after, "|r2_key=3:6b31"));                /* f1 still points nowhere */
    assert_int_equal(f->counts[TRACKER_MIGRATIONS].rows, 1);
    assert_int_equal(f->counts[TRACKER_FILES].rows, 1);
    free(after);
}

static void test_sqlite_restore_lets_counters_follow_from_the_rows(void **state)
{
    struct fixture *f = *state;
    char *after;

    dump(f,
         &(struct tracker_filter){.user_id = "u2"}); /* half of b-1, with b-1's row: 2 completed */
    sql(f, "UPDATE file_migrations SET status = 'rolled_back';"
           "UPDATE migration_batches SET status = 'rolled_back', completed_files = 0");
    assert_int_equal(restore(f, false), ERR_OK);
    after = picture(f);
    /* one completed, one rolled back: completed_files 1, status partial */
    assert_non_null(strstr(after, "|batch_id=3:622d31|total_files=1:32|completed_files=1:31|"
                                  "failed_files=1:30|verified_files=1:30|status=3:7061727469616c"));
    /* the other batch is none of this backup's business */
    assert_non_null(
        strstr(after, "|batch_id=3:622d32|total_files=1:31|completed_files=1:30|"
                      "failed_files=1:30|verified_files=1:30|status=3:726f6c6c65645f6261636b"));
    free(after);
}

/* P7: also when what the backup says of a batch does not follow from its rows. */
static void test_sqlite_restore_converges(void **state)
{
    struct fixture *f = *state;
    char *first, *second;

    sql(f,
        "UPDATE migration_batches SET total_files = 77, status = 'completed', completed_at = NULL;"
        "UPDATE file_migrations SET status = 'failed' WHERE batch_id = 'b-2'");
    dump(f, NULL);
    ruin(f);
    assert_int_equal(restore(f, false), ERR_OK);
    first = picture(f);
    assert_non_null(strstr(first, "total_files=1:32")); /* two rows, whatever was stored */
    assert_int_equal(restore(f, false), ERR_OK);
    assert_int_equal(f->told, 0);
    second = picture(f);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void test_sqlite_restore_keeps_when_a_batch_ended(void **state)
{
    struct fixture *f = *state;
    char *before, *after;

    before = picture(f);
    dump(f, NULL);
    sql(f, "UPDATE file_migrations SET status = 'pending' WHERE batch_id = 'b-1';"
           "UPDATE migration_batches SET status = 'pending', completed_files = 0, completed_at = "
           "NULL");
    assert_int_equal(restore(f, false), ERR_OK);
    after = picture(f);
    assert_string_equal(before, after); /* not the time of the restore */
    free(before);
    free(after);
}

static void test_sqlite_restore_rolls_back_when_the_backup_breaks_off(void **state)
{
    struct fixture *f = *state;
    char *before, *after;

    dump(f, NULL);
    ruin(f);
    before = picture(f);
    for (f->fail_at = 1; f->fail_at <= f->len; f->fail_at++) {
        assert_int_equal(restore(f, false), ERR_CONFLICT);
        assert_string_equal(f->e.message, "the backup ends here");
        after = picture(f);
        assert_string_equal(after, before);
        free(after);
    }
    f->fail_at = 0;
    assert_int_equal(restore(f, false), ERR_OK);
    free(before);
}

static void test_sqlite_restore_names_a_column_that_is_not_there(void **state)
{
    struct fixture *f = *state;
    char *before, *after;

    sql(f, "ALTER TABLE files ADD COLUMN \"we\"\"ird\" TEXT; UPDATE files SET \"we\"\"ird\" = 'w'");
    dump(f, NULL);
    before = picture(f);
    sql(f, "UPDATE files SET \"we\"\"ird\" = NULL WHERE id <> 'f4'");
    assert_int_equal(restore(f, false), ERR_OK); /* any name is only a name */
    after = picture(f);
    assert_string_equal(after, before);
    free(after);
    free(before);
    sql(f, "UPDATE file_migrations SET status = 'failed'; ALTER TABLE files DROP COLUMN "
           "\"we\"\"ird\"");
    before = picture(f);
    assert_int_equal(restore(f, true), ERR_DB_SCHEMA);
    assert_int_equal(restore(f, false), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "we\"ird"));
    after = picture(f);
    assert_string_equal(after, before);
    free(after);
    free(before);
}

static void test_sqlite_restore_leaves_columns_that_the_backup_has_not(void **state)
{
    struct fixture *f = *state;
    char *after;

    dump(f, NULL);
    ruin(f);
    sql(f, "ALTER TABLE files ADD COLUMN later TEXT DEFAULT 'd'; UPDATE files SET later = 'kept';"
           "ALTER TABLE files ADD COLUMN made AS (filename || '!')");
    assert_int_equal(restore(f, false), ERR_OK);
    after = picture(f);
    assert_non_null(strstr(after, "|later=3:6b657074"));
    free(after);
    dump(f, NULL); /* now with the generated column: read, never written */
    sql(f, "UPDATE files SET filename = 'renamed'");
    assert_int_equal(restore(f, false), ERR_OK);
    assert_int_equal(f->counts[TRACKER_FILES].changed, 3);
    assert_int_equal(f->counts[TRACKER_FILES].unlike, 0);
}

static void test_sqlite_restore_says_what_a_trigger_has_changed_again(void **state)
{
    struct fixture *f = *state;

    sql(f, "CREATE TRIGGER touch AFTER UPDATE ON files BEGIN"
           " UPDATE files SET updated_at = 'touched' WHERE id = new.id AND updated_at <> "
           "'touched'; END;");
    dump(f, NULL);
    sql(f, "UPDATE files SET filename = 'x' WHERE id = 'f1'");
    assert_int_equal(restore(f, false), ERR_OK);
    assert_int_equal(f->counts[TRACKER_FILES].changed, 1);
    assert_int_equal(f->counts[TRACKER_FILES].unlike, 1);
}

static void test_sqlite_restore_is_refused_whole_by_a_constraint(void **state)
{
    struct fixture *f = *state;
    char *before, *after;

    dump(f, NULL);
    ruin(f);
    sql(f, "CREATE UNIQUE INDEX one_name ON files (filename); UPDATE files SET filename = 'two' "
           "WHERE id = 'f4'");
    before = picture(f);
    assert_int_equal(restore(f, false), ERR_DB);
    after = picture(f);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void test_sqlite_restore_skips_rows_that_nothing_can_name(void **state)
{
    struct fixture *f = *state;
    char *before, *after;

    dump(f, NULL);
    before = picture(f);
    f->rows[0].values[0].type = TRACKER_NULL;
    assert_int_equal(restore(f, false), ERR_OK);
    assert_int_equal(f->counts[TRACKER_BATCHES].skipped, 1);
    assert_int_equal(f->counts[TRACKER_BATCHES].inserted, 0);
    after = picture(f);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void test_sqlite_restore_needs_the_primary_key(void **state)
{
    struct fixture *f = *state;

    dump(f, NULL);
    f->rows[0].values[0].column =
        (free((void *)(uintptr_t)f->rows[0].values[0].column), strdup("status"));
    assert_int_equal(restore(f, false), ERR_PARSE);
    assert_non_null(strstr(f->e.message, "'id'"));
}

static void test_sqlite_restore_into_a_bare_database(void **state)
{
    struct fixture *f = *state;
    struct tracker *first = f->t;
    char *before = picture(f), *after;

    sql(f, "DELETE FROM files WHERE id = 'f4'"); /* belongs to no migration: in no backup */
    free(before);
    before = picture(f);
    dump(f, NULL);
    snprintf(f->url, sizeof f->url, "sqlite:%s", scratch_path(&f->s, "bare.db"));
    sql(f, "CREATE TABLE migration_batches (id TEXT PRIMARY KEY, batch_id TEXT UNIQUE NOT NULL, "
           "total_files INTEGER"
           " NOT NULL DEFAULT 0, completed_files INTEGER, failed_files INTEGER, verified_files "
           "INTEGER, status TEXT,"
           " started_at DATETIME, completed_at DATETIME, created_at DATETIME);"
           "CREATE TABLE file_migrations (id TEXT PRIMARY KEY, batch_id TEXT, file_id TEXT, "
           "source_path TEXT,"
           " target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT, file_size "
           "INTEGER, status TEXT,"
           " error_message TEXT, started_at DATETIME, completed_at DATETIME, created_at DATETIME);"
           "CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT, user_id TEXT, r2_key TEXT, "
           "checksum TEXT,"
           " created_at DATETIME, updated_at DATETIME)");
    assert_int_equal(
        tracker_open(&f->t, &(struct tracker_options){.url = f->url, .read_only = true}, NULL),
        ERR_OK);
    assert_int_equal(restore(f, true), ERR_OK); /* ours are not there and are not made */
    assert_int_equal(f->inserted, f->len);
    tracker_close(f->t);
    assert_int_equal(tracker_open(&f->t, &(struct tracker_options){.url = f->url}, NULL), ERR_OK);
    assert_int_equal(restore(f, false), ERR_OK);
    after = picture(f);
    assert_string_equal(after, before);
    tracker_close(f->t);
    f->t = first;
    free(before);
    free(after);
}

static void test_sqlite_restore_knows_its_tables(void **state)
{
    enum tracker_table t;
    (void)state;

    for (int i = 0; i < TRACKER_TABLES; i++) {
        assert_true(tracker_table_parse(tracker_table_name((enum tracker_table)i), &t));
        assert_int_equal(t, i);
    }
    assert_false(tracker_table_parse("sqlite_schema", &t));
    assert_false(tracker_table_parse(NULL, &t));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sqlite_restore_gives_every_value_back_with_its_type),
        TEST(test_sqlite_restore_dry_run_tells_and_changes_nothing),
        TEST(test_sqlite_restore_touches_no_row_outside_the_backup),
        TEST(test_sqlite_restore_lets_counters_follow_from_the_rows),
        TEST(test_sqlite_restore_converges),
        TEST(test_sqlite_restore_keeps_when_a_batch_ended),
        TEST(test_sqlite_restore_rolls_back_when_the_backup_breaks_off),
        TEST(test_sqlite_restore_names_a_column_that_is_not_there),
        TEST(test_sqlite_restore_leaves_columns_that_the_backup_has_not),
        TEST(test_sqlite_restore_says_what_a_trigger_has_changed_again),
        TEST(test_sqlite_restore_is_refused_whole_by_a_constraint),
        TEST(test_sqlite_restore_skips_rows_that_nothing_can_name),
        TEST(test_sqlite_restore_needs_the_primary_key),
        TEST(test_sqlite_restore_into_a_bare_database),
        cmocka_unit_test(test_sqlite_restore_knows_its_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
