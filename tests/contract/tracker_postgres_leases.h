/* What a claim and a result cost on PostgreSQL: no index knows of leases, and a database of version 1 of our tables works as it is until it
 * is brought up to date; and what becomes of results whose rows change while they are waited for. */
#ifndef BLOBFERRY_TEST_TRACKER_POSTGRES_LEASES_H
#define BLOBFERRY_TEST_TRACKER_POSTGRES_LEASES_H

#include "blobferry/track/tracker_check.h"
#include "contract/tracker_postgres.h"

#include <poll.h>

#define LEASE_INDEX "to_regclass('blobferry_ix_records_lease')"
#define FILLED      "SELECT reloptions::text FROM pg_class WHERE relname = 'blobferry_records'"

static void as_version_1(struct fixture *f)
{
    sql(f, "CREATE INDEX blobferry_ix_records_lease ON blobferry_records (lease_owner)"
           " WHERE lease_owner IS NOT NULL;"
           "ALTER TABLE blobferry_records SET (fillfactor = 85);"
           "UPDATE blobferry_schema SET version = 1");
}

static enum err_code note_step(void *user, const struct tracker_step *s, struct err *e)
{
    char *text = user;

    (void)e;
    snprintf(text + strlen(text), 200 - strlen(text), "%s %d %s,", s->name, s->version,
             s->done ? "done" : "wanted");
    return ERR_OK;
}

static void test_tracker_postgres_version_1_works_and_is_upgraded(void **state)
{
    struct fixture *f = *state;
    struct tracker_schema schema;
    struct tracker_upgrade how = {.dry_run = true};
    char steps[200] = "";
    int64_t released = 0;

    with_tables(f);
    plan(f, "b-1", 1, 6);
    as_version_1(f);
    reopen(f, false);
    assert_int_equal(claim(f, "me", "b-1", 4), 4); /* nobody has asked for an upgrade */
    OK(f, tracker_renew(f->t, "me", NOW + 2 * HOUR, &f->e));
    f->list.len = 1;
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "blobferry_ix_records_lease", "SELECT " LEASE_INDEX);
    OK(f, tracker_upgrade(f->t, &how, note_step, steps, &f->e));
    assert_string_equal(steps, "blobferry_* 2 wanted,");
    EXPECT(f, "1", "SELECT version FROM blobferry_schema");
    how.dry_run = false;
    steps[0] = '\0';
    OK(f, tracker_upgrade(f->t, &how, note_step, steps, &f->e));
    assert_string_equal(steps, "blobferry_* 2 done,");
    EXPECT(f, "NULL", "SELECT " LEASE_INDEX);
    EXPECT(f, "{fillfactor=35}", FILLED);
    EXPECT(f, "2", "SELECT max(version) FROM blobferry_schema");
    EXPECT(f, "1", "SELECT count(*) FROM blobferry_schema");
    EXPECT(f, "3", "SELECT count(*) FROM blobferry_records WHERE lease_owner = 'me'");
    OK(f, tracker_inspect(f->t, &schema, &f->e));
    assert_int_equal(schema.version, 2);
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 3);
    steps[0] = '\0';
    OK(f, tracker_upgrade(f->t, &how, note_step, steps, &f->e));
    assert_string_equal(steps, "");
}

/* One that had looked before the upgrade goes on with what it knows; so did a blobferry that knew version 1 only. */
static void test_tracker_postgres_first_writer_upgrades_beside_another(void **state)
{
    struct fixture *f = *state;
    int64_t released = 0;

    with_tables(f);
    plan(f, "b-1", 1, 6);
    as_version_1(f);
    reopen(f, false);
    assert_int_equal(claim(f, "old", "b-1", 2), 2);
    struct tracker *t = open_tracker(f, false);
    OK(f, tracker_prepare(t, &f->e));
    EXPECT(f, "2", "SELECT version FROM blobferry_schema");
    OK(f, tracker_renew(f->t, "old", NOW + 2 * HOUR, &f->e));
    EXPECT(f, "2", "SELECT count(*) FROM blobferry_records WHERE lease_until = %lld",
           (long long)(NOW + 2 * HOUR));
    assert_int_equal(claim_by(f, t, "new", "b-1", 9, NOW + HOUR, &f->list), 4);
    OK(f, tracker_release(f->t, "old", &released, &f->e));
    assert_int_equal(released, 2);
    tracker_close(t);
}

/* A reader that stays, or tables of another role, keep nobody from working: only `db upgrade` says that it cannot. */
static void expect_no_upgrade(struct fixture *f, enum err_code why, const char *says)
{
    const struct tracker_upgrade now = {0};
    char steps[200] = "";

    OK(f, tracker_prepare(f->t, &f->e));
    CODE(f, tracker_upgrade(f->t, &now, note_step, steps, &f->e), why);
    assert_non_null(strstr(f->e.message, says));
    assert_string_equal(steps, "");
    assert_int_equal(claim(f, "me", "b-1", 2), 2);
    move_all(f, &f->list, "me", FILE_COMPLETED);
}

static void test_tracker_postgres_upgrade_keeps_nobody_from_working(void **state)
{
    struct fixture *f = *state;
    char url[700], admin[512];

    if (getenv("BLOBFERRY_TEST_POSTGRES_ADMIN") == NULL)
        skip();
    with_tables(f);
    plan(f, "b-1", 1, 4);
    as_version_1(f);
    tracker_close(f->t);
    OK(f, tracker_open(&f->t, &(struct tracker_options){.url = f->url, .busy_timeout_ms = 300},
                       &f->e));
    sql(f, "BEGIN; SELECT count(*) FROM blobferry_records");
    expect_no_upgrade(f, ERR_DB_BUSY, "lock");
    sql(f, "COMMIT");
    str_copy(admin, sizeof admin, getenv("BLOBFERRY_TEST_POSTGRES_ADMIN"));
    *strrchr(admin, '/') = '\0';
    snprintf(url, sizeof url, "%s/%s", admin, postgres_database);
    PGconn *c = postgres_connect(url);
    postgres_exec(c, "ALTER TABLE blobferry_records OWNER TO CURRENT_USER;"
                     "GRANT SELECT, INSERT, UPDATE ON blobferry_records TO PUBLIC");
    PQfinish(c);
    expect_no_upgrade(f, ERR_DB, "owner");
    EXPECT(f, "1", "SELECT version FROM blobferry_schema");
    EXPECT(f, "blobferry_ix_records_lease", "SELECT " LEASE_INDEX);
}

/* Names of owners are as long as in life. */
static void test_tracker_postgres_claims_and_results_make_no_index_entries(void **state)
{
    struct fixture *f = *state;
    char owner[PROCESS_OWNER_SIZE], updated[64] = "0";

    process_owner(owner);
    with_tables(f);
    EXPECT(f, "0",
           "SELECT count(*) FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid"
           " WHERE i.indrelid = 'blobferry_records'::regclass AND a.attname IN ('lease_owner',"
           "  'lease_until', 'attempts', 'etag', 'version_id', 'object_owner', 'pre_existed',"
           "  'pointer_set', 'prior_r2_key', 'prior_checksum', 'error_class', 'source_inode')"
           " AND (a.attnum = ANY (i.indkey::int2[])"
           "  OR pg_get_expr(i.indpred, i.indrelid) ~ a.attname::text)");
    plan(f, "b-1", 1, 1000);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(claim(f, owner, "b-1", 200), 200);
        move_all(f, &f->list, owner, FILE_COMPLETED);
    }
    tracker_close(f->t); /* its counts reach the statistics now */
    f->t = NULL;
    for (int i = 0; i < 1000 && strtol(updated, NULL, 10) < 2000; i++) {
        str_copy(updated, sizeof updated,
                 ask(f, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname ="
                        " 'blobferry_records'"));
        poll(NULL, 0, 10);
    }
    assert_string_equal(updated, "2000");
    EXPECT(f, "1",
           "SELECT n_tup_hot_upd >= 1900 FROM pg_stat_user_tables WHERE relname ="
           " 'blobferry_records'");
}

/* ---- rows that change meanwhile ------------------------------------------------------------------------------------ */

/* Another session changes rows and keeps them locked until somebody waits for them. */
static void change_until_waited_for(struct fixture *f, const char *change)
{
    sql(f, "BEGIN");
    sql(f, "%s", change);
    assert_int_equal(
        PQsendQuery(f->raw, "DO $$ BEGIN FOR i IN 1..2000 LOOP EXIT WHEN EXISTS (SELECT 1 FROM"
                            " pg_locks WHERE NOT granted AND transactionid::text ="
                            " pg_current_xact_id()::text); PERFORM pg_sleep(0.01); END LOOP; END"
                            " $$; COMMIT"),
        1);
}

static void changed(struct fixture *f)
{
    PGresult *r;

    while ((r = PQgetResult(f->raw)) != NULL) {
        assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
        PQclear(r);
    }
}

static void test_tracker_postgres_result_follows_a_row_that_changed(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    claim(f, "me", "b-1", 9);
    change_until_waited_for(f, "UPDATE file_migrations SET source_path = 'elsewhere'"
                               " WHERE id = 'row-00002'");
    move_all(f, &f->list, "me", FILE_COMPLETED);
    changed(f);
    EXPECT(f, "3 elsewhere",
           "SELECT count(*) FILTER (WHERE status = 'completed') || ' ' || max(source_path) FROM"
           " file_migrations");
}

static void test_tracker_postgres_result_of_a_row_that_was_taken_is_lost(void **state)
{
    struct fixture *f = *state;
    struct tracker_move moves[3];

    with_tables(f);
    plan(f, "b-1", 1, 3);
    claim(f, "me", "b-1", 9);
    for (size_t i = 0; i < 3; i++)
        moves[i] = move_of(&f->list.items[i], "me", FILE_COMPLETED);
    /* as another worker takes it over: 'processing' before and after */
    change_until_waited_for(f, "UPDATE file_migrations SET started_at = now() WHERE id ="
                               " 'row-00001'; UPDATE blobferry_records SET lease_owner = 'you'"
                               " WHERE record_id = 'row-00001'; UPDATE file_migrations SET status"
                               " = 'pending' WHERE id = 'row-00003'");
    OK(f, tracker_apply(f->t, moves, 3, NULL, &f->e));
    changed(f);
    assert_int_equal(moves[0].applied, TRACKER_LOST);
    assert_int_equal(moves[1].applied, TRACKER_APPLIED);
    assert_int_equal(moves[2].applied, TRACKER_LOST);
    EXPECT(f, "processing completed pending",
           "SELECT string_agg(status, ' ' ORDER BY id) FROM file_migrations");
    EXPECT(f, "row-00002",
           "SELECT string_agg(m.id, ' ') FROM file_migrations AS m JOIN files"
           " AS f ON f.id = file_id WHERE f.r2_key IS NOT NULL");
}

static void test_tracker_postgres_partitions_are_one_table(void **state)
{
    struct fixture *f = *state;
    int64_t released = 0;

    with_bare_tables(f, "TEXT");
    sql(f, "DROP TABLE file_migrations;"
           "CREATE TABLE file_migrations (id TEXT PRIMARY KEY, batch_id TEXT NOT NULL,"
           " file_id TEXT, source_path TEXT, target_r2_key TEXT, original_checksum TEXT,"
           " migrated_checksum TEXT, file_size INTEGER, status TEXT DEFAULT 'pending',"
           " error_message TEXT, started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ,"
           " created_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP) PARTITION BY HASH (id)");
    for (int i = 0; i < 3; i++)
        sql(f,
            "CREATE TABLE part_%d PARTITION OF file_migrations FOR VALUES WITH (MODULUS 3,"
            " REMAINDER %d)",
            i, i);
    f->t = open_tracker(f, false);
    plan(f, "b-1", 1, 60);
    assert_int_equal(claim(f, "me", "b-1", 40), 40);
    for (size_t i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof id, "row-%05zu", i + 1);
        assert_string_equal(f->list.items[i].id, id);
    }
    EXPECT(f, "40", "SELECT count(*) FROM file_migrations WHERE status = 'processing'");
    f->list.len = 30;
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "row-00030 30",
           "SELECT max(id) || ' ' || count(*) FROM file_migrations WHERE status"
           " = 'completed'");
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 10);
    expect_batch(f, "b-1", "processing 60 30 0 0");
}

#define TRACKER_POSTGRES_LEASES_TESTS(TEST)                                                        \
    TEST(test_tracker_postgres_version_1_works_and_is_upgraded),                                   \
        TEST(test_tracker_postgres_first_writer_upgrades_beside_another),                          \
        TEST(test_tracker_postgres_upgrade_keeps_nobody_from_working),                             \
        TEST(test_tracker_postgres_claims_and_results_make_no_index_entries),                      \
        TEST(test_tracker_postgres_result_follows_a_row_that_changed),                             \
        TEST(test_tracker_postgres_result_of_a_row_that_was_taken_is_lost),                        \
        TEST(test_tracker_postgres_partitions_are_one_table)

#endif
