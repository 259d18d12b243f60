#include "blobferry/app/wire.h"
#include "blobferry/codec/json.h"
#include "unit/app/fixture.h"

#include <sqlite3.h>

/* A number from the database, read by SQLite itself and not by the tracker. */
static int64_t number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t n = -1;

    assert_int_equal(sqlite3_open_v2("app.db", &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    if (sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static enum err_code load(struct config *c, struct err *e)
{
    config_init(c);
    err_init(e);
    return config_load(c, NULL, false, e);
}

static enum err_code open_with(struct wire *w, const struct wire_needs *needs, struct err *e)
{
    struct config c;
    enum err_code code;

    assert_int_equal(load(&c, e), ERR_OK);
    code = wire_open(w, &c, needs, e);
    /* the configuration is borrowed while the wire is open: what tests ask of the engine is asked before */
    if (code == ERR_OK && needs->tracker)
        assert_non_null(w->engine.tracker);
    if (code == ERR_OK && needs->store)
        assert_non_null(w->engine.store);
    config_release(&c);
    return code;
}

/* An initialised database app.db, as `init` makes it. */
static void make_database(void)
{
    struct wire w;
    struct err e;
    int created = 0;

    fixture_set("BLOBFERRY_DB", "sqlite:app.db");
    assert_int_equal(
        open_with(
            &w,
            &(struct wire_needs){.command = "init", .tracker = true, .create = true, .write = true},
            &e),
        ERR_OK);
    assert_int_equal(tracker_init(w.engine.tracker, &created, &e), ERR_OK);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
}

static const struct wire_needs writing = {
    .command = "test", .tracker = true, .write = true, .audit = true, .log_file = true};

static void test_wire_opens_nothing_that_is_not_needed(void **state)
{
    struct fixture *f = *state;
    struct wire w;
    struct err e;

    assert_int_equal(open_with(&w, &(struct wire_needs){.command = "test"}, &e), ERR_OK);
    assert_null(w.engine.tracker);
    assert_null(w.engine.store);
    assert_null(w.engine.journal);
    assert_null(w.log);
    assert_int_equal(strlen(w.run_id), 36);
    assert_ptr_equal(w.engine.run_id, w.run_id);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    assert_int_equal(scratch_count(&f->scratch), 0);
}

/* G1: a reading command leaves no file, and the database as it is. */
static void test_wire_reading_creates_no_file_and_changes_no_byte(void **state)
{
    struct fixture *f = *state;
    struct wire w;
    struct err e;
    int before;
    int64_t version;

    make_database();
    before = scratch_count(&f->scratch);
    version = number("PRAGMA data_version");
    assert_int_equal(open_with(&w, &(struct wire_needs){.command = "status", .tracker = true}, &e),
                     ERR_OK);
    assert_int_not_equal(
        tracker_set_head(w.engine.tracker, &(struct tracker_head){"l", "r", 1, "h"}, &e), ERR_OK);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    assert_int_equal(scratch_count(&f->scratch), before);
    assert_int_equal(number("PRAGMA data_version"), version);
    assert_int_equal(number("SELECT count(*) FROM blobferry_heads"), 0);
}

/* P7: a run that finds nothing to do changes no row. */
static void test_wire_run_without_a_write_leaves_no_row(void **state)
{
    struct wire w;
    struct err e;

    (void)state;
    make_database();
    assert_int_equal(open_with(&w, &writing, &e), ERR_OK);
    assert_ptr_equal(w.engine.run, &w.run);
    assert_false(w.run.recorded);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    assert_int_equal(number("SELECT count(*) FROM blobferry_runs"), 0);
    assert_int_equal(number("SELECT count(*) FROM blobferry_heads"), 0);
}

static void test_wire_run_that_wrote_is_recorded_once_and_ended(void **state)
{
    struct wire w;
    struct err e;

    (void)state;
    make_database();
    assert_int_equal(open_with(&w, &writing, &e), ERR_OK);
    assert_int_equal(engine_run_record(&w.engine, &e), ERR_OK);
    assert_int_equal(engine_run_record(&w.engine, &e), ERR_OK);
    assert_int_equal(number("SELECT count(*) FROM blobferry_runs WHERE ended_ms IS NULL"
                            " AND command = 'test' AND started_ms > 0"),
                     1);
    assert_int_equal(wire_close(&w, 3, "{\"result\":\"db\"}", &e), ERR_OK);
    assert_int_equal(number("SELECT count(*) FROM blobferry_runs WHERE ended_ms >= started_ms"
                            " AND exit_code = 3 AND summary = '{\"result\":\"db\"}'"),
                     1);
    assert_int_equal(number("SELECT count(*) FROM blobferry_heads"), 1);
}

/* The journal's lines of one run: run_begin with the configuration and no secret, run_end with the exit code's meaning. */
static void test_wire_audit_begins_and_ends_the_run_without_secrets(void **state)
{
    struct wire w;
    struct err e;
    char *text;

    (void)state;
    make_database();
    fixture_set("AWS_SECRET_ACCESS_KEY", "SENTINELsecret");
    fixture_set("AWS_ACCESS_KEY_ID", "AKIA");
    fixture_set("POSTGRES_PASSWORD", "SENTINELpassword");
    fixture_set("CLOUDFLARE_API_TOKEN", "SENTINELtoken");
    assert_int_equal(open_with(&w, &writing, &e), ERR_OK);
    assert_int_equal(wire_close(&w, 1, "{\"result\":\"partial\"}", &e), ERR_OK);
    text = scratch_read("logs/audit.jsonl");
    assert_non_null(strstr(text, "\"action\":\"run_begin\""));
    assert_non_null(strstr(text, "\"db\":\"sqlite:app.db\""));
    assert_non_null(strstr(text, "\"action\":\"run_end\""));
    assert_non_null(strstr(text, "\"success\":false"));
    assert_non_null(strstr(text, "{\"result\":\"partial\"}"));
    assert_null(strstr(text, "SENTINEL"));
    free(text);
}

static void test_wire_missing_target_is_told_before_any_file_appears(void **state)
{
    struct fixture *f = *state;
    struct wire w;
    struct err e;
    int before;

    make_database();
    before = scratch_count(&f->scratch);
    assert_int_equal(open_with(&w,
                               &(struct wire_needs){.command = "migrate",
                                                    .tracker = true,
                                                    .write = true,
                                                    .store = true,
                                                    .audit = true,
                                                    .log_file = true},
                               &e),
                     ERR_CONFIG);
    assert_string_equal(e.message, "no target is set");
    assert_non_null(strstr(e.hint, "BLOBFERRY_TARGET"));
    err_init(&e);
    assert_int_equal(wire_close(&w, 2, NULL, &e), ERR_OK); /* allowed after a failed open */
    assert_int_equal(scratch_count(&f->scratch), before);
}

static void test_wire_missing_database_is_exit_3_and_not_created(void **state)
{
    struct fixture *f = *state;
    struct wire w;
    struct err e;

    fixture_set("BLOBFERRY_DB", "sqlite:absent.db");
    assert_int_equal(open_with(&w, &writing, &e), ERR_DB);
    assert_int_equal(err_exit_code(e.code), 3);
    assert_non_null(strstr(e.hint, "init"));
    wire_close(&w, 3, NULL, &e);
    assert_int_equal(scratch_count(&f->scratch), 0);
}

static void test_wire_database_without_the_tables_is_refused(void **state)
{
    struct wire w;
    struct err e;
    sqlite3 *db = NULL;

    (void)state;
    assert_int_equal(sqlite3_open("app.db", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    fixture_set("BLOBFERRY_DB", "sqlite:app.db");
    assert_int_equal(open_with(&w, &writing, &e), ERR_DB_SCHEMA);
    wire_close(&w, 3, NULL, &e);
    assert_int_equal(number("SELECT count(*) FROM sqlite_schema"), 1); /* nothing was made in it */
}

/* The three tables alone: writing commands make ours beside them. */
static void test_wire_writing_makes_our_tables_and_reading_does_not(void **state)
{
    static const char contract[] =
        "CREATE TABLE migration_batches (id TEXT PRIMARY KEY, batch_id TEXT UNIQUE NOT NULL,"
        " total_files INTEGER, completed_files INTEGER, failed_files INTEGER,"
        " verified_files INTEGER, status TEXT, started_at, completed_at, created_at);"
        "CREATE TABLE file_migrations (id TEXT PRIMARY KEY, batch_id TEXT, file_id TEXT,"
        " source_path TEXT, target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT,"
        " file_size INTEGER, status TEXT, error_message TEXT, started_at, completed_at,"
        " created_at);"
        "CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT, user_id TEXT, r2_key TEXT,"
        " checksum TEXT)";
    struct wire w;
    struct err e;
    sqlite3 *db = NULL;

    (void)state;
    assert_int_equal(sqlite3_open("app.db", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, contract, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    fixture_set("BLOBFERRY_DB", "sqlite:app.db");
    assert_int_equal(open_with(&w, &(struct wire_needs){.command = "status", .tracker = true}, &e),
                     ERR_OK);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    assert_int_equal(number("SELECT count(*) FROM sqlite_schema WHERE name GLOB 'blobferry_*'"), 0);
    assert_int_equal(open_with(&w, &writing, &e), ERR_OK);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    assert_true(number("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"
                       " AND name GLOB 'blobferry_*'") >= 4);
}

static void test_wire_d1_glob_opens_the_database_it_means(void **state)
{
    struct wire w;
    struct err e;

    (void)state;
    make_database();
    fixture_set("BLOBFERRY_DB", "");
    fixture_set("USE_D1_DATABASE", "true");
    fixture_set("D1_LOCAL_PATH", "*.db");
    assert_int_equal(open_with(&w, &(struct wire_needs){.command = "status", .tracker = true}, &e),
                     ERR_OK);
    assert_non_null(strstr(tracker_name(w.engine.tracker), "app.db"));
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    fixture_set("D1_LOCAL_PATH", "*.sqlite");
    assert_int_equal(open_with(&w, &(struct wire_needs){.command = "status", .tracker = true}, &e),
                     ERR_CONFIG);
    wire_close(&w, 2, NULL, &e);
}

static void test_wire_store_needs_credentials_only_for_s3(void **state)
{
    struct fixture *f = *state;
    struct wire_needs needs = {.command = "verify", .store = true};
    char target[400];
    struct wire w;
    struct err e;

    snprintf(target, sizeof target, "file://%s/objects", f->scratch.dir);
    fixture_set("BLOBFERRY_TARGET", target);
    assert_int_equal(open_with(&w, &needs, &e), ERR_OK);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
    assert_int_equal(scratch_count(&f->scratch), 0); /* opening makes nothing */
    fixture_set("BLOBFERRY_TARGET", "s3://media");
    fixture_set("BLOBFERRY_ENDPOINT_URL", "http://127.0.0.1:1");
    assert_int_equal(open_with(&w, &needs, &e), ERR_CONFIG);
    assert_string_equal(e.message, "no credentials for the object store");
    wire_close(&w, 2, NULL, &e);
    fixture_set("AWS_ACCESS_KEY_ID", "AKIA");
    fixture_set("AWS_SECRET_ACCESS_KEY", "SENTINEL");
    assert_int_equal(open_with(&w, &needs, &e), ERR_OK);
    assert_int_equal(wire_close(&w, 0, NULL, &e), ERR_OK);
}

static void test_wire_unwritable_log_folder_is_told(void **state)
{
    struct fixture *f = *state;
    struct wire w;
    struct err e;

    make_database();
    scratch_write(&f->scratch, "logs", "a file where the folder should be");
    assert_int_not_equal(open_with(&w, &writing, &e), ERR_OK);
    assert_non_null(strstr(e.message, "logs"));
    assert_int_equal(err_exit_code(e.code), 5);
    wire_close(&w, 5, NULL, &e);
    assert_int_equal(number("SELECT count(*) FROM blobferry_runs"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_wire_opens_nothing_that_is_not_needed),
        fixture_test(test_wire_reading_creates_no_file_and_changes_no_byte),
        fixture_test(test_wire_run_without_a_write_leaves_no_row),
        fixture_test(test_wire_run_that_wrote_is_recorded_once_and_ended),
        fixture_test(test_wire_audit_begins_and_ends_the_run_without_secrets),
        fixture_test(test_wire_missing_target_is_told_before_any_file_appears),
        fixture_test(test_wire_missing_database_is_exit_3_and_not_created),
        fixture_test(test_wire_database_without_the_tables_is_refused),
        fixture_test(test_wire_writing_makes_our_tables_and_reading_does_not),
        fixture_test(test_wire_d1_glob_opens_the_database_it_means),
        fixture_test(test_wire_store_needs_credentials_only_for_s3),
        fixture_test(test_wire_unwritable_log_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
