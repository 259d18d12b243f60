/* Contract: restore: rows of a dump put back as they were, in one transaction, or not at all. Value by value in every type that SQLite
 * can hold: tests/unit/track/test_sqlite_restore.c. */
#ifndef BLOBFERRY_TEST_TRACKER_RESTORE_H
#define BLOBFERRY_TEST_TRACKER_RESTORE_H

#include "blobferry/base/buf.h"
#include "contract/tracker_support.h"

/* A dump kept in memory, to be given back row by row. */
struct kept_row {
    enum tracker_table table;
    struct tracker_value *values;
    size_t n;
};
struct keeping {
    struct fixture *f;
    struct kept_row rows[100];
    size_t len, at, fail_at;
    struct tracker_restore_counts counts[TRACKER_TABLES];
    size_t told, inserted;
    char first[64]; /* table.column of what was told first */
};

static void forget_rows(struct keeping *k)
{
    for (size_t i = 0; i < k->len; i++) {
        for (size_t c = 0; c < k->rows[i].n; c++) {
            free((void *)(uintptr_t)k->rows[i].values[c].column);
            free((void *)(uintptr_t)k->rows[i].values[c].bytes);
        }
        free(k->rows[i].values);
    }
    k->len = 0;
}

static enum err_code keep_row(void *user, const char *table, const struct tracker_value *values,
                              size_t n, struct err *e)
{
    struct keeping *k = user;
    struct kept_row *row = &k->rows[k->len++];

    (void)e;
    assert_true(k->len <= 100 && tracker_table_parse(table, &row->table));
    row->n = n;
    row->values = calloc(n, sizeof *row->values);
    assert_non_null(row->values);
    for (size_t i = 0; i < n; i++) {
        char *bytes = malloc(values[i].len + 1);
        assert_non_null(bytes);
        memcpy(bytes, values[i].bytes, values[i].len);
        row->values[i] = values[i];
        row->values[i].column = str_dup(values[i].column);
        row->values[i].bytes = bytes;
    }
    return ERR_OK;
}

static void keep_dump(struct keeping *k, const struct tracker_filter *filter)
{
    forget_rows(k);
    OK(k->f, tracker_dump(k->f->t, filter, keep_row, k, &k->f->e));
}

static void picture_value(struct buf *b, const struct tracker_value *v)
{
    buf_printf(b, "|%s=%d:%lld:%a:", v->column, (int)v->type, (long long)v->integer, v->real);
    for (size_t i = 0; i < v->len; i++)
        buf_printf(b, "%02x", (unsigned char)v->bytes[i]);
}

static enum err_code picture_row(void *user, const char *table, const struct tracker_value *values,
                                 size_t n, struct err *e)
{
    (void)e;
    buf_str(user, table);
    for (size_t i = 0; i < n; i++)
        picture_value(user, &values[i]);
    buf_char(user, '\n');
    return ERR_OK;
}

/* Everything that belongs to a migration, value by value; the caller frees it. */
static char *picture(struct fixture *f)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    OK(f, tracker_dump(f->t, NULL, picture_row, &b, &f->e));
    return buf_steal(&b);
}

static void expect_picture(struct fixture *f, char *want)
{
    char *now = picture(f);

    assert_string_equal(now, want);
    free(now);
}

static enum err_code next_kept(void *user, struct tracker_restore_row *row, bool *more,
                               struct err *e)
{
    struct keeping *k = user;

    if (k->fail_at > 0 && k->at == k->fail_at)
        return err_set(e, ERR_CONFLICT, "the backup ends here");
    *more = k->at < k->len;
    if (*more) {
        const struct kept_row *r = &k->rows[k->at++];
        *row = (struct tracker_restore_row){r->table, r->values, r->n};
    }
    return ERR_OK;
}

static enum err_code note_change(void *user, const struct tracker_restore_change *c, struct err *e)
{
    struct keeping *k = user;

    (void)e;
    assert_true(c->inserted == (c->now == NULL));
    k->inserted += c->inserted;
    if (k->told++ == 0)
        snprintf(k->first, sizeof k->first, "%s.%s", tracker_table_name(c->table),
                 c->then[c->first].column);
    return ERR_OK;
}

static enum err_code restore_kept(struct keeping *k, bool dry_run)
{
    const struct tracker_head head = {.log_id = "L", .run_id = "R", .seq = 1, .hash = "h"};
    const struct tracker_restore r = {.dry_run = dry_run,
                                      .next = next_kept,
                                      .change = note_change,
                                      .user = k,
                                      .head = dry_run ? NULL : &head};

    k->at = k->told = k->inserted = 0;
    err_init(&k->f->e);
    return tracker_restore(k->f->t, &r, k->counts, &k->f->e);
}

/* Three rows of two batches, two of them completed, as a dump. */
static void rows_to_restore(struct keeping *k)
{
    struct fixture *f = k->f;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    plan(f, "b-2", 3, 1);
    claim(f, "me", "b-1", 9);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    sql(f, "UPDATE file_migrations SET error_message = '', file_size = 9223372036854775807"
           " WHERE id = 'row-00001'; UPDATE blobferry_records SET prior_r2_key = 'old'"
           " WHERE record_id = 'row-00001'");
    keep_dump(k, NULL);
}

static void ruin(struct fixture *f)
{
    sql(f, "UPDATE file_migrations SET status = 'rolled_back', source_path = 'x', file_size = 12,"
           " error_message = NULL, started_at = NULL;"
           "UPDATE files SET r2_key = NULL, checksum = NULL;"
           "DELETE FROM blobferry_records WHERE record_id = 'row-00001';"
           "DELETE FROM file_migrations WHERE id = 'row-00002';"
           "DELETE FROM files WHERE id = 'file-00002';"
           "UPDATE migration_batches SET status = 'rolled_back', completed_files = 0");
}

static void test_tracker_restore_gives_every_value_back(void **state)
{
    struct keeping k = {.f = *state};

    rows_to_restore(&k);
    char *before = picture(k.f);
    ruin(k.f);
    OK(k.f, restore_kept(&k, false));
    expect_picture(k.f, before);
    assert_int_equal(k.counts[TRACKER_BATCHES].rows, 2);
    assert_int_equal(k.counts[TRACKER_MIGRATIONS].rows, 3);
    assert_int_equal(k.counts[TRACKER_MIGRATIONS].inserted, 1);
    assert_int_equal(k.counts[TRACKER_MIGRATIONS].changed, 2);
    assert_int_equal(k.counts[TRACKER_FILES].inserted, 1);
    assert_int_equal(k.counts[TRACKER_FILES].changed, 1);
    assert_int_equal(k.counts[TRACKER_FILES].same, 1);
    assert_int_equal(k.counts[TRACKER_RECORDS].inserted, 1);
    for (int t = 0; t < TRACKER_TABLES; t++)
        assert_int_equal(k.counts[t].unlike + k.counts[t].skipped, 0);
    EXPECT(k.f, "1", "SELECT seq FROM blobferry_heads WHERE log_id = 'L'");
    OK(k.f, restore_kept(&k, false)); /* P7 */
    assert_int_equal(k.told, 0);
    expect_picture(k.f, before);
    free(before);
    forget_rows(&k);
}

static void test_tracker_restore_dry_run_tells_and_changes_nothing(void **state)
{
    struct keeping k = {.f = *state};

    rows_to_restore(&k);
    ruin(k.f);
    char *before = picture(k.f);
    reopen(k.f, true);
    OK(k.f, restore_kept(&k, true));
    assert_int_equal(k.told, 6);
    assert_int_equal(k.inserted, 3);
    assert_string_equal(k.first, "file_migrations.source_path");
    assert_int_equal(k.counts[TRACKER_BATCHES].changed, 0); /* counters and status only follow */
    assert_int_equal(k.counts[TRACKER_BATCHES].same, 2);
    CODE(k.f, restore_kept(&k, false), ERR_DB); /* opened for reading only */
    expect_picture(k.f, before);
    free(before);
    forget_rows(&k);
}

static void test_tracker_restore_lets_counters_follow_and_keeps_the_end(void **state)
{
    struct keeping k = {.f = *state};

    rows_to_restore(&k);
    char *before = picture(k.f);
    sql(k.f, "UPDATE file_migrations SET status = 'pending' WHERE batch_id = 'b-1';"
             "UPDATE migration_batches SET status = 'pending', completed_files = 0, completed_at ="
             " NULL WHERE batch_id = 'b-1'");
    OK(k.f, restore_kept(&k, false));
    expect_picture(k.f, before); /* it ended when it had ended, not now */
    free(before);
    sql(k.f, "UPDATE file_migrations SET status = 'rolled_back';"
             "UPDATE migration_batches SET status = 'rolled_back', completed_files = 0");
    keep_dump(&k, &(struct tracker_filter){.batch_id = "b-2"});
    sql(k.f, "UPDATE file_migrations SET status = 'failed' WHERE batch_id = 'b-2'");
    OK(k.f, restore_kept(&k, false));
    expect_batch(k.f, "b-2", "rolled_back 1 0 0 0");
    EXPECT(k.f, "rolled_back", "SELECT status FROM migration_batches WHERE batch_id = 'b-1'");
    forget_rows(&k);
}

static void test_tracker_restore_is_all_or_nothing(void **state)
{
    struct keeping k = {.f = *state};

    rows_to_restore(&k);
    ruin(k.f);
    char *before = picture(k.f);
    for (k.fail_at = 1; k.fail_at <= k.len; k.fail_at++) {
        CODE(k.f, restore_kept(&k, false), ERR_CONFLICT);
        assert_string_equal(k.f->e.message, "the backup ends here");
        expect_picture(k.f, before);
    }
    k.fail_at = 0;
    sql(k.f, "INSERT INTO files (id, filename, user_id) VALUES ('other', '00002.txt', 'u');"
             "CREATE UNIQUE INDEX one_name ON files (filename)");
    CODE(k.f, restore_kept(&k, false), ERR_DB);
    expect_picture(k.f, before);
    sql(k.f, "DROP INDEX one_name");
    OK(k.f, restore_kept(&k, false));
    free(before);
    forget_rows(&k);
}

static void test_tracker_restore_keeps_to_the_columns_it_has(void **state)
{
    struct keeping k = {.f = *state};

    with_tables(k.f);
    sql(k.f, "ALTER TABLE files ADD COLUMN \"we\"\"ird\" TEXT");
    plan(k.f, "b-1", 1, 2);
    sql(k.f, "UPDATE files SET \"we\"\"ird\" = 'w'");
    keep_dump(&k, NULL);
    char *before = picture(k.f);
    sql(k.f, "UPDATE files SET \"we\"\"ird\" = NULL");
    OK(k.f, restore_kept(&k, false));
    expect_picture(k.f, before);
    free(before);
    sql(k.f, "UPDATE files SET filename = 'x'; ALTER TABLE files DROP COLUMN \"we\"\"ird\"");
    before = picture(k.f);
    CODE(k.f, restore_kept(&k, true), ERR_DB_SCHEMA);
    CODE(k.f, restore_kept(&k, false), ERR_DB_SCHEMA);
    assert_non_null(strstr(k.f->e.message, "we\"ird"));
    expect_picture(k.f, before);
    free(before);
    forget_rows(&k);
}

static void test_tracker_restore_leaves_later_and_generated_columns(void **state)
{
    struct keeping k = {.f = *state};

    rows_to_restore(&k);
    ruin(k.f);
    sql(k.f,
        "ALTER TABLE files ADD COLUMN later TEXT DEFAULT 'd'; UPDATE files SET later = 'kept';"
        "ALTER TABLE files ADD COLUMN made %s",
        SQL_BY(k.f, "AS (filename || '!')", "TEXT GENERATED ALWAYS AS (filename || '!') STORED"));
    OK(k.f, restore_kept(&k, false));
    EXPECT(k.f, "2", "SELECT count(*) FROM files WHERE later = 'kept'");
    keep_dump(&k, NULL); /* now with the generated column: read, never written */
    sql(k.f, "UPDATE files SET filename = 'renamed'");
    OK(k.f, restore_kept(&k, false));
    assert_int_equal(k.counts[TRACKER_FILES].changed, 3);
    assert_int_equal(k.counts[TRACKER_FILES].unlike, 0);
    EXPECT(k.f, "00001.txt!", "SELECT made FROM files WHERE id = 'file-00001'");
    sql(k.f, "%s",
        SQL_BY(k.f,
               "CREATE TRIGGER touch AFTER UPDATE ON files BEGIN UPDATE files SET later = 'touched'"
               " WHERE id = new.id AND later <> 'touched'; END",
               "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.later ="
               " 'touched'; RETURN new; END $$; CREATE TRIGGER touch BEFORE UPDATE ON files FOR"
               " EACH ROW EXECUTE FUNCTION touch()"));
    sql(k.f, "UPDATE files SET filename = 'x' WHERE id = 'file-00001'");
    OK(k.f, restore_kept(&k, false));
    assert_int_equal(k.counts[TRACKER_FILES].unlike, 1); /* the application had the last word */
    forget_rows(&k);
}

static void test_tracker_restore_skips_rows_that_nothing_can_name(void **state)
{
    struct keeping k = {.f = *state};

    rows_to_restore(&k);
    char *before = picture(k.f);
    k.rows[0].values[0].type = TRACKER_NULL;
    OK(k.f, restore_kept(&k, false));
    assert_int_equal(k.counts[TRACKER_BATCHES].skipped, 1);
    assert_int_equal(k.counts[TRACKER_BATCHES].inserted, 0);
    expect_picture(k.f, before);
    free(before);
    free((void *)(uintptr_t)k.rows[0].values[0].column);
    k.rows[0].values[0].column = str_dup("status");
    CODE(k.f, restore_kept(&k, false), ERR_PARSE);
    assert_non_null(strstr(k.f->e.message, "'id'"));
    forget_rows(&k);
}

#define TRACKER_RESTORE_TESTS(TEST)                                                                \
    TEST(test_tracker_restore_gives_every_value_back),                                             \
        TEST(test_tracker_restore_dry_run_tells_and_changes_nothing),                              \
        TEST(test_tracker_restore_lets_counters_follow_and_keeps_the_end),                         \
        TEST(test_tracker_restore_is_all_or_nothing),                                              \
        TEST(test_tracker_restore_keeps_to_the_columns_it_has),                                    \
        TEST(test_tracker_restore_leaves_later_and_generated_columns),                             \
        TEST(test_tracker_restore_skips_rows_that_nothing_can_name)

#endif
