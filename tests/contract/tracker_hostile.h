/* Contract: databases as they are found: values that cannot be used, ids of integers, other types, other orders. */
#ifndef BLOBFERRY_TEST_TRACKER_HOSTILE_H
#define BLOBFERRY_TEST_TRACKER_HOSTILE_H

#include "contract/tracker_support.h"

static const struct record *record_of(struct fixture *f, const char *id)
{
    for (size_t i = 0; i < f->list.len; i++) {
        if (strcmp(f->list.items[i].id, id) == 0)
            return &f->list.items[i];
    }
    fail_msg("no record '%s'", id);
    return NULL;
}

static void test_tracker_defects_fail_one_row_and_no_other(void **state)
{
    /* What the type of a column forbids cannot be there in PostgreSQL. */
    static const char *const broken_in_postgres[][2] = {
        {"file_size = -1", "file_size"},
        {"file_id = repeat('x', 70000)", "file_id"},
        {"source_path = repeat('x', 70000)", "source_path"},
        {"original_checksum = repeat('x', 70000)", "original_checksum"},
        {"target_r2_key = repeat('x', 70000)", "target_r2_key"},
    };
    static const char *const broken_in_sqlite[][2] = {
        {"source_path = CAST('a' || char(0) || 'b' AS TEXT)", "source_path"},
        {"target_r2_key = x'00ff'", "target_r2_key"},
        {"file_size = -1", "file_size"},
        {"file_size = 'many'", "file_size"},
        {"file_size = 1.5", "file_size"},
        {"original_checksum = x''", "original_checksum"},
        {"file_id = printf('%.70000c', 'x')", "file_id"},
        {"source_path = printf('%.70000c', 'x')", "source_path"},
    };
    struct fixture *f = *state;
    const bool lax = f->driver->dialect == DIALECT_SQLITE;
    const char *const(*broken)[2] = lax ? broken_in_sqlite : broken_in_postgres;
    const int n = (int)(lax ? sizeof broken_in_sqlite / sizeof *broken_in_sqlite
                            : sizeof broken_in_postgres / sizeof *broken_in_postgres);
    char want[64];

    with_tables(f);
    plan(f, "b-1", 1, n + 1);
    for (int i = 0; i < n; i++)
        sql(f, "UPDATE file_migrations SET %s WHERE id = 'row-%05d'", broken[i][0], i + 1);
    sql(f, "UPDATE files SET filename = %s WHERE id = 'file-%05d'",
        SQL_BY(f, "x'41'", "repeat('x', 70000)"), n + 1);
    assert_int_equal(claim(f, "me", "b-1", 100), n + 1);
    for (int i = 0; i <= n; i++) {
        const struct record *r = &f->list.items[i];
        assert_non_null(r->defect);
        assert_non_null(strstr(r->defect, i < n ? broken[i][1] : "files.filename"));
        assert_string_equal(r->batch_id, "b-1");
    }
    move_all(f, &f->list, "me", FILE_FAILED); /* each can be recorded as failed */
    snprintf(want, sizeof want, "failed %d 0 0 %d", n + 1, n + 1);
    expect_batch(f, "b-1", want);
}

static void test_tracker_odd_texts_are_only_shown(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 4);
    sql(f, "UPDATE file_migrations SET error_message = %s WHERE id = 'row-00001'",
        SQL_BY(f, "printf('%.100000c', 'e'), completed_at = x'00'",
               "repeat('e', 100000), completed_at = 'infinity'"));
    sql(f, "UPDATE file_migrations SET status = %s WHERE id = 'row-00002'",
        SQL_BY(f, "CAST('pending' AS BLOB)", "'Pending'"));
    sql(f, "UPDATE file_migrations SET status = %s WHERE id = 'row-00003'",
        SQL_BY(f, "'pending' || char(0)", "'pending '"));
    sql(f, "UPDATE file_migrations SET status = NULL WHERE id = 'row-00004'");
    rows_of(f, "b-1");
    assert_null(record_of(f, "row-00001")->defect);
    assert_int_equal(strlen(record_of(f, "row-00001")->error_message), 65536);
    assert_int_equal(record_of(f, "row-00002")->status, FILE_UNKNOWN);
    assert_int_equal(record_of(f, "row-00003")->status, FILE_UNKNOWN);
    assert_int_equal(record_of(f, "row-00004")->status, FILE_UNKNOWN);
    assert_int_equal(claim(f, "me", "b-1", 100), 1);
    struct tracker_totals totals;
    OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
    assert_int_equal(totals.counts.by[FILE_UNKNOWN], 3);
}

static void test_tracker_ids_that_cannot_be_said_are_counted_only(void **state)
{
    struct fixture *f = *state;
    struct tracker_totals totals;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    if (f->driver->dialect == DIALECT_POSTGRES)
        sql(f, "ALTER TABLE file_migrations DROP CONSTRAINT file_migrations_pkey, ALTER id DROP NOT"
               " NULL, ADD UNIQUE (id)");
    sql(f, "INSERT INTO file_migrations (id, batch_id) VALUES %s",
        SQL_BY(f,
               "(NULL, 'b-1'), (x'41', 'b-1'), ('row-00002' || char(0), 'b-1'),"
               " (printf('%.70000c', 'r'), 'b-1')",
               "(NULL, 'b-1'), (NULL, 'b-1'), (repeat('r', 70000), 'b-1'),"
               " (repeat('s', 70000), 'b-1')"));
    assert_int_equal(rows_of(f, "b-1"), 3);
    assert_int_equal(claim(f, "me", "b-1", 2), 2);
    assert_int_equal(claim(f, "me", "b-1", 2), 1);
    assert_string_equal(f->list.items[0].id, "row-00003");
    assert_int_equal(claim(f, "me", "b-1", 2), 0);
    OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
    assert_int_equal(totals.unusable_ids, 4);
    assert_int_equal(state_counts_total(&totals.counts), 7);
}

static void test_tracker_passes_metacharacters_through(void **state)
{
    struct fixture *f = *state;
    const char *const nasty = SQL_BY(
        f,
        f->driver->utf8_only ? "'; DROP TABLE files; -- ?1 \\ \" % _ \xc3\xa4 \t\n"
                             : "'; DROP TABLE files; -- \\ \" % _ \xff\xfe \xc3\xa4 \t\n",
        "'; DROP TABLE files; -- $1 $$ {\\\\, \" % _ \xc3\xa4 \t\n"); /* text is UTF-8 there */
    char digest[DIGEST_SHA256_HEX];
    struct record_list l;

    with_tables(f);
    record_list_init(&l, 0);
    plan(f, "b-1", 1, 1);
    struct tracker_filter filter = {.batch_id = nasty, .user_id = nasty};
    OK(f, tracker_records(f->t, &filter, nasty, 9, &l, &f->e));
    assert_int_equal(l.len, 0);
    assert_int_equal(claim(f, nasty, "b-1", 1), 1);
    assert_string_equal(f->list.items[0].lease_owner, nasty);
    struct tracker_move m = move_of(&f->list.items[0], nasty, FILE_COMPLETED);
    m.target_key = m.etag = m.error_message = nasty;
    m.migrated_checksum = nasty;
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    rows_of(f, "b-1");
    assert_string_equal(f->list.items[0].file_r2_key, nasty);
    assert_string_equal(f->list.items[0].migrated_checksum, nasty);
    assert_string_equal(f->list.items[0].error_message, nasty);
    digest_of(nasty, digest);
    struct tracker_key_ref ref = {.id = "other", .key = nasty};
    OK(f, tracker_shared_keys(f->t, &ref, 1, &f->e));
    assert_true(ref.shared);
    record_list_release(&l);
}

static void test_tracker_works_with_integer_ids(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "42", .user = "anna", .from = 1, .count = 12};
    char after[64] = "";
    int seen = 0;

    with_bare_tables(f, "INTEGER");
    for (int i = 1; i <= 12; i++)
        sql(f,
            "INSERT INTO files VALUES (%d, 'n%d', 'u', NULL, NULL, '/p');"
            "INSERT INTO file_migrations (batch_id, file_id, target_r2_key) VALUES ('b-1', %d,"
            " 'k%d')",
            100 + i, i, 100 + i, i);
    f->t = open_tracker(f, false);
    do { /* 10 comes after 9, in pages too */
        OK(f, tracker_records(f->t, NULL, after[0] != '\0' ? after : NULL, 5, &f->list, &f->e));
        for (size_t i = 0; i < f->list.len; i++) {
            assert_int_equal(strtol(f->list.items[i].id, NULL, 10), ++seen);
            assert_true(f->list.items[i].file_row);
            str_copy(after, sizeof after, f->list.items[i].id);
        }
    } while (f->list.len > 0);
    assert_int_equal(seen, 12);
    assert_int_equal(claim(f, "me", "b-1", 11), 11);
    assert_string_equal(f->list.items[10].id, "11");
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "11", "SELECT count(*) FROM files WHERE r2_key IS NOT NULL AND checksum = 'sha'");
    EXPECT(f, "integer text",
           "SELECT %s FROM file_migrations m, blobferry_records r WHERE m.id = 10 AND"
           " r.record_id = '10'",
           SQL_BY(f, "typeof(m.id) || ' ' || typeof(r.record_id)",
                  "concat(pg_typeof(m.id), ' ', pg_typeof(r.record_id))"));
    rows_of(f, "b-1");
    assert_string_equal(f->list.items[9].etag, "etag");
    f->list.len = 11;
    move_all(f, &f->list, NULL, FILE_ROLLED_BACK);
    EXPECT(f, "0", "SELECT count(*) FROM files WHERE r2_key IS NOT NULL");
    /* Planning: the database gives the ids of rows and batches; those of files are the user's. */
    sql(f, "%s", SQL_BY(f, "", "ALTER TABLE file_migrations ALTER file_id TYPE TEXT"));
    sql(f, "DROP TABLE files; CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT NOT NULL,"
           " user_id TEXT NOT NULL, r2_key TEXT, checksum TEXT)");
    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    assert_int_equal(claim(f, "me", "42", 99), 12);
    assert_string_equal(f->list.items[0].id, "13");
    assert_string_equal(f->list.items[0].content_type, "text/plain");
}

static void test_tracker_numbers_as_batch_ids_compare_exactly(void **state)
{
    struct fixture *f = *state;

    const char *time = SQL_BY(f, "DATETIME", "TIMESTAMP");

    sql(f,
        "CREATE TABLE migration_batches (id TEXT PRIMARY KEY, batch_id INTEGER UNIQUE NOT NULL,"
        " total_files INTEGER, completed_files INTEGER, failed_files INTEGER, verified_files"
        " INTEGER, status TEXT, started_at %s, completed_at %s, created_at %s);"
        "CREATE TABLE file_migrations (id TEXT PRIMARY KEY, batch_id INTEGER, file_id TEXT,"
        " source_path TEXT, target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT,"
        " file_size INTEGER, status TEXT, error_message TEXT, started_at %s, completed_at"
        " %s, created_at %s);"
        "CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT, user_id INTEGER, r2_key TEXT,"
        " checksum TEXT)",
        time, time, time, time, time, time);
    sql(f, "INSERT INTO migration_batches (id, batch_id, total_files) VALUES ('i', 7, 1);"
           "INSERT INTO file_migrations (id, batch_id, file_id, status) VALUES ('r', 7, 'f',"
           " 'pending'); INSERT INTO files VALUES ('f', 'n', 5, NULL, NULL)");
    f->t = open_tracker(f, false);
    assert_int_equal(rows_of(f, "07"), 0);
    assert_int_equal(rows_of(f, "7.0"), 0);
    OK(f,
       tracker_records(f->t, &(struct tracker_filter){.user_id = "05"}, NULL, 9, &f->list, &f->e));
    assert_int_equal(f->list.len, 0);
    OK(f,
       tracker_records(f->t, &(struct tracker_filter){.user_id = "5"}, NULL, 9, &f->list, &f->e));
    assert_int_equal(f->list.len, 1);
    assert_int_equal(claim(f, "me", "07", 9), 0);
    assert_int_equal(claim(f, "me", "7", 9), 1);
    move_all(f, &f->list, "me", FILE_FAILED);
    int64_t changed = 0;
    OK(f, tracker_refresh(f->t, "7", &changed, &f->e));
    EXPECT(f, "failed 1", "SELECT status || ' ' || failed_files FROM migration_batches");
}

static void test_tracker_triggers_and_foreign_keys_of_the_application_run(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    sql(f, "%s",
        SQL_BY(
            f,
            "CREATE TABLE seen (what TEXT); CREATE TRIGGER t AFTER UPDATE OF r2_key ON files BEGIN"
            " INSERT INTO seen VALUES (json_object('id', new.id, 'at', date('now') > '2000'));"
            " END",
            "CREATE TABLE seen (what TEXT); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN INSERT INTO seen VALUES (new.id); RETURN new; END $$; CREATE TRIGGER t"
            " AFTER UPDATE OF r2_key ON files FOR EACH ROW EXECUTE FUNCTION see()"));
    plan(f, "b-1", 1, 2);
    sql(f, "CREATE TABLE likes (file TEXT REFERENCES files (id)); INSERT INTO likes VALUES"
           " ('file-00001')");
    claim(f, "me", "b-1", 2);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "2", "SELECT count(*) FROM seen");
}

#define TRACKER_HOSTILE_TESTS(TEST)                                                                \
    TEST(test_tracker_defects_fail_one_row_and_no_other),                                          \
        TEST(test_tracker_odd_texts_are_only_shown),                                               \
        TEST(test_tracker_ids_that_cannot_be_said_are_counted_only),                               \
        TEST(test_tracker_passes_metacharacters_through),                                          \
        TEST(test_tracker_works_with_integer_ids),                                                 \
        TEST(test_tracker_numbers_as_batch_ids_compare_exactly),                                   \
        TEST(test_tracker_triggers_and_foreign_keys_of_the_application_run)

#endif
