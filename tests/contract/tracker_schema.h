/* Contract: making, inspecting and requiring the tables. */
#ifndef BLOBFERRY_TEST_TRACKER_SCHEMA_H
#define BLOBFERRY_TEST_TRACKER_SCHEMA_H

#include "contract/tracker_support.h"

static void test_tracker_init_makes_all_tables_once(void **state)
{
    struct fixture *f = *state;
    struct tracker_schema schema;
    int created = -1;

    f->t = open_tracker(f, false);
    OK(f, tracker_inspect(f->t, &schema, &f->e));
    assert_false(schema.batches || schema.migrations || schema.files || schema.own);
    assert_int_equal(schema.version, 0);
    OK(f, tracker_init(f->t, &created, &f->e));
    assert_int_equal(created, 8);
    OK(f, tracker_init(f->t, &created, &f->e));
    assert_int_equal(created, 0);
    OK(f, tracker_inspect(f->t, &schema, &f->e));
    assert_true(schema.batches && schema.migrations && schema.files && schema.own);
    assert_int_equal(schema.version, f->driver->dialect == DIALECT_POSTGRES ? 2 : 1);
    assert_string_equal(schema.missing, "");
    OK(f, tracker_require(f->t, &f->e));
}

static void test_tracker_init_gives_the_columns_and_defaults_of_the_contract(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    sql(f, "INSERT INTO migration_batches (id, batch_id) VALUES ('i', 'b')");
    EXPECT(f, "0 0 0 0 pending 1",
           "SELECT total_files || ' ' || completed_files || ' ' || failed_files || ' ' ||"
           " verified_files || ' ' || status || ' ' || count(created_at)"
           " FROM migration_batches GROUP BY id");
    sql(f, "INSERT INTO file_migrations (id, batch_id) VALUES ('i', 'b')");
    EXPECT(f, "pending 1",
           "SELECT status || ' ' || count(created_at) FROM file_migrations GROUP BY id");
    sql(f, "INSERT INTO files (id, filename, user_id) VALUES ('i', 'n', 'u')");
    EXPECT(f, "1", "SELECT r2_key IS NULL AND checksum IS NULL FROM files");
}

static void test_tracker_init_leaves_existing_tables_alone(void **state)
{
    struct fixture *f = *state;
    int created = -1;

    with_bare_tables(f, "TEXT");
    sql(f, "INSERT INTO files VALUES ('a', 'n', 'u', NULL, NULL, '/p')");
    f->t = open_tracker(f, false);
    OK(f, tracker_init(f->t, &created, &f->e));
    assert_int_equal(created, 5); /* ours */
    EXPECT(f, "/p", "SELECT path FROM files");
    EXPECT(f, "6", "SELECT count(*) FROM %s",
           SQL_BY(f, "pragma_table_info('files')",
                  "information_schema.columns WHERE table_name = 'files'"));
    EXPECT(f, "0", "SELECT count(*) FROM %s IN ('files', 'file_migrations', 'migration_batches')",
           SQL_BY(f, "sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name",
                  "pg_indexes WHERE indexname !~ '_p?key$' AND tablename"));
}

static void test_tracker_require_names_what_is_missing(void **state)
{
    struct fixture *f = *state;
    struct tracker_schema schema;

    sql(f, "CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT, user_id TEXT, checksum TEXT)");
    f->t = open_tracker(f, false);
    OK(f, tracker_inspect(f->t, &schema, &f->e));
    assert_false(schema.files);
    assert_non_null(strstr(schema.missing, "files.r2_key"));
    assert_non_null(strstr(schema.missing, "migration_batches"));
    assert_null(strstr(schema.missing, "files.checksum"));
    CODE(f, tracker_require(f->t, &f->e), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "files.r2_key"));
    assert_true(f->e.hint[0] != '\0');
    int created = 0;
    CODE(f, tracker_init(f->t, &created, &f->e), ERR_DB_SCHEMA); /* never alters files */
    assert_non_null(strstr(f->e.message, "files.r2_key"));
}

static void test_tracker_views_can_be_read_but_not_written(void **state)
{
    struct fixture *f = *state;
    struct tracker_totals totals;

    with_bare_tables(f, "TEXT");
    sql(f, "INSERT INTO file_migrations (id, batch_id) VALUES ('m', 'b');"
           "ALTER TABLE files RENAME TO files_real; CREATE VIEW files AS SELECT * FROM files_real");
    f->t = open_tracker(f, false);
    CODE(f, tracker_require(f->t, &f->e), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "files (a view"));
    reopen(f, true);
    OK(f, tracker_require(f->t, &f->e));
    OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
    assert_int_equal(totals.counts.by[FILE_PENDING], 1);
}

static void test_tracker_refuses_ids_that_are_not_unique(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    sql(f, "DROP TABLE files; CREATE TABLE files (id TEXT, filename TEXT, user_id TEXT,"
           " r2_key TEXT, checksum TEXT)");
    f->t = open_tracker(f, false);
    CODE(f, tracker_require(f->t, &f->e), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "files.id"));
    sql(f, "CREATE UNIQUE INDEX u ON files (id)");
    OK(f, tracker_require(f->t, &f->e));
}

static void test_tracker_tables_of_a_newer_blobferry_are_refused(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    sql(f, "UPDATE blobferry_schema SET version = 99");
    tracker_close(f->t);
    f->t = NULL;
    const struct tracker_options o = {.url = f->url, .password = &f->token, .d1_api = f->api};
    CODE(f, tracker_open(&f->t, &o, &f->e), ERR_DB_SCHEMA);
    assert_null(f->t);
    assert_non_null(strstr(f->e.message, "newer"));
}

static void test_tracker_first_write_makes_our_tables(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    sql(f, "INSERT INTO file_migrations (id, batch_id) VALUES ('m', 'b')");
    f->t = open_tracker(f, false);
    assert_int_equal(claim(f, "me", "b", 10), 1);
    EXPECT(f, "me", "SELECT lease_owner FROM blobferry_records WHERE record_id = 'm'");
}

static void test_tracker_prepare_changes_nothing_the_second_time(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    f->t = open_tracker(f, false);
    OK(f, tracker_prepare(f->t, &f->e));
    char before[256], after[256];
    if (f->driver->dialect == DIALECT_SQLITE)
        str_copy(before, sizeof before, ask(f, "PRAGMA data_version"));
    else
        f->driver->snapshot(f, before, sizeof before);
    OK(f, tracker_prepare(f->t, &f->e));
    if (f->driver->dialect == DIALECT_SQLITE)
        str_copy(after, sizeof after, ask(f, "PRAGMA data_version"));
    else
        f->driver->snapshot(f, after, sizeof after);
    assert_string_equal(before, after);
}

#define TRACKER_SCHEMA_TESTS(TEST)                                                                 \
    TEST(test_tracker_init_makes_all_tables_once),                                                 \
        TEST(test_tracker_init_gives_the_columns_and_defaults_of_the_contract),                    \
        TEST(test_tracker_init_leaves_existing_tables_alone),                                      \
        TEST(test_tracker_require_names_what_is_missing),                                          \
        TEST(test_tracker_views_can_be_read_but_not_written),                                      \
        TEST(test_tracker_refuses_ids_that_are_not_unique),                                        \
        TEST(test_tracker_tables_of_a_newer_blobferry_are_refused),                                \
        TEST(test_tracker_first_write_makes_our_tables),                                           \
        TEST(test_tracker_prepare_changes_nothing_the_second_time)

#endif
