/* What goes wrong between blobferry and a PostgreSQL server: every fault is made on purpose, and the database is asked afterwards. */
#include "contract/postgres_proxy.h"

#include "blobferry/base/clock.h"

/* ---- connections that are lost --------------------------------------------------------------------------------- */

/* A batch of five rows behind a proxy. */
static void behind_proxy(struct fixture *f, struct proxy *p)
{
    proxy_start(p, f);
    with_tables(f);
    plan(f, "b-1", 1, 5);
}

static void end_proxy(struct fixture *f, struct proxy *p)
{
    tracker_close(f->t);
    f->t = NULL;
    proxy_stop(p);
}

static void claim_is_made_once(struct fixture *f, enum cut cut, const char *text, int skip)
{
    struct proxy p;

    behind_proxy(f, &p);
    proxy_cut(&p, cut, text, skip);
    assert_int_equal(claim(f, "me", "b-1", 3), 3);
    assert_int_equal(atomic_load(&p.cuts), 1);
    assert_true(atomic_load(&p.connections) >= 2);
    assert_string_equal(f->list.items[2].id, "row-00003");
    EXPECT(f, "3", "SELECT count(*) FROM file_migrations WHERE status = 'processing'");
    EXPECT(f, "1 1 me",
           "SELECT min(attempts) || ' ' || max(attempts) || ' ' || max(lease_owner)"
           " FROM blobferry_records WHERE lease_owner IS NOT NULL");
    expect_batch(f, "b-1", "processing 5 0 0 0");
    end_proxy(f, &p);
}

static void test_postgres_lost_before_commit_is_done_again(void **state)
{
    claim_is_made_once(*state, CUT_BEFORE, "COMMIT", 0);
}

static void test_postgres_lost_after_commit_is_not_done_twice(void **state)
{
    claim_is_made_once(*state, CUT_AFTER, "COMMIT", 0);
}

static void test_postgres_lost_at_commit_is_asked_for(void **state)
{
    claim_is_made_once(*state, CUT_UNHEARD, "COMMIT", 0);
}

static void test_postgres_lost_at_begin_is_done_again(void **state)
{
    claim_is_made_once(*state, CUT_BEFORE, "BEGIN", 0);
}

static void test_postgres_lost_within_a_transaction_is_done_again(void **state)
{
    claim_is_made_once(*state, CUT_AFTER, "UPDATE file_migrations", 0);
}

static void apply_is_made_once(struct fixture *f, enum cut cut, const char *text)
{
    struct proxy p;

    behind_proxy(f, &p);
    claim(f, "me", "b-1", 5);
    proxy_cut(&p, cut, text, 0);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    assert_int_equal(atomic_load(&p.cuts), 1);
    EXPECT(f, "5", "SELECT count(*) FROM files WHERE r2_key IS NOT NULL AND checksum = 'sha'");
    expect_batch(f, "b-1", "completed 5 5 0 0");
    end_proxy(f, &p);
}

static void test_postgres_moves_lost_before_commit_are_made_again(void **state)
{
    apply_is_made_once(*state, CUT_BEFORE, "COMMIT");
}

static void test_postgres_moves_lost_after_commit_are_not_made_twice(void **state)
{
    apply_is_made_once(*state, CUT_AFTER, "COMMIT");
}

static void test_postgres_moves_lost_half_way_are_made_again(void **state)
{
    apply_is_made_once(*state, CUT_AFTER, "UPDATE files");
}

/* A plan reads what it is given only once: it cannot be made again, but what became of it is known. */
static void test_postgres_plan_lost_after_commit_is_there(void **state)
{
    struct fixture *f = *state;
    struct proxy p;

    proxy_start(&p, f);
    with_tables(f);
    proxy_cut(&p, CUT_AFTER, "COMMIT", 0);
    plan(f, "b-1", 1, 5);
    assert_int_equal(atomic_load(&p.cuts), 1);
    expect_batch(f, "b-1", "pending 5 0 0 0");
    end_proxy(f, &p);
}

static void test_postgres_plan_lost_before_commit_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct planning row = {.batch = "b-1", .user = "anna", .from = 1, .count = 5};
    struct proxy p;

    proxy_start(&p, f);
    with_tables(f);
    proxy_cut(&p, CUT_BEFORE, "COMMIT", 0);
    CODE(f, tracker_plan(f->t, next_planned, done_planned, &row, NULL, &f->e), ERR_DB);
    assert_true(f->e.retryable);
    assert_true(f->e.hint[0] != '\0');
    EXPECT(f, "0", "SELECT count(*) FROM file_migrations");
    plan(f, "b-1", 1, 5); /* the connection is made anew */
    expect_batch(f, "b-1", "pending 5 0 0 0");
    end_proxy(f, &p);
}

static void test_postgres_lost_between_operations_is_not_noticed(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 5);
    for (int i = 0; i < 2; i++) {
        sql(f, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname ="
               " current_database() AND pid <> pg_backend_pid() AND usename = current_user");
        if (i == 0)
            assert_int_equal(rows_of(f, "b-1"), 5);
        else
            assert_int_equal(claim(f, "me", "b-1", 5), 5);
    }
}

static void test_postgres_lost_for_good_is_told_in_time(void **state)
{
    struct fixture *f = *state;
    struct proxy p;

    behind_proxy(f, &p);
    tracker_close(f->t);
    OK(f, tracker_open(&f->t, &(struct tracker_options){.url = f->url, .busy_timeout_ms = 300},
                       &f->e));
    proxy_stop(&p); /* nobody listens any more */
    const int64_t begun = clock_mono_ms();
    const struct tracker_claim c = {.owner = "me", .now_ms = NOW, .lease_ms = HOUR, .limit = 1};
    CODE(f, tracker_claim(f->t, &c, &f->list, &f->e), ERR_DB);
    assert_true(clock_mono_ms() - begun < 10000);
    assert_true(f->e.hint[0] != '\0');
    assert_int_equal(f->list.len, 0);
    EXPECT(f, "5", "SELECT count(*) FROM file_migrations WHERE status = 'pending'");
}

/* ---- others in the way --------------------------------------------------------------------------------------------- */

/* Waits until somebody waits for the row that it holds, then asks for the row that this one holds. */
static void *oppose(void *user)
{
    PGconn *c = user;
    bool waited = false;

    for (int i = 0; i < 2000 && !waited; i++) {
        PGresult *q = PQexec(c, "SELECT count(*) FROM pg_locks WHERE NOT granted");
        waited = strcmp(PQgetvalue(q, 0, 0), "0") != 0;
        PQclear(q);
        poll(NULL, 0, 5);
    }
    PQclear(PQexec(c, "UPDATE file_migrations SET source_path = 'x' WHERE id = 'row-00001'"));
    PQclear(PQexec(c, "COMMIT"));
    return NULL;
}

/* The other one is the administrator, whose deadlock_timeout is long: the server chooses us. */
static void test_postgres_deadlock_is_tried_again(void **state)
{
    struct fixture *f = *state;
    char url[700], admin[512], deadlocks[32] = "0";
    pthread_t thread;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 2);
    str_copy(admin, sizeof admin, getenv("BLOBFERRY_TEST_POSTGRES_ADMIN"));
    *strrchr(admin, '/') = '\0';
    snprintf(url, sizeof url, "%s/%s", admin, postgres_database);
    PGconn *c = postgres_connect(url);
    postgres_exec(c, "SET deadlock_timeout = '60s'; BEGIN;"
                     "UPDATE file_migrations SET source_path = 'y' WHERE id = 'row-00002'");
    assert_int_equal(pthread_create(&thread, NULL, oppose, c), 0);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    pthread_join(thread, NULL);
    PQfinish(c);
    reopen(f, false); /* its counts reach the statistics now */
    for (int i = 0; i < 1000 && strcmp(deadlocks, "0") == 0; i++) {
        str_copy(deadlocks, sizeof deadlocks,
                 ask(f, "SELECT deadlocks FROM pg_stat_database WHERE datname ="
                        " current_database()"));
        poll(NULL, 0, 10);
    }
    assert_string_not_equal(deadlocks, "0");
    EXPECT(f, "x y", "SELECT string_agg(source_path, ' ' ORDER BY id) FROM file_migrations");
    expect_batch(f, "b-1", "completed 2 2 0 0");
}

static void test_postgres_lock_that_stays_is_told_as_busy(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 2);
    tracker_close(f->t);
    OK(f, tracker_open(&f->t, &(struct tracker_options){.url = f->url, .busy_timeout_ms = 200},
                       &f->e));
    sql(f, "BEGIN; SELECT 1 FROM files WHERE id = 'file-00002' FOR UPDATE");
    struct tracker_move m = move_of(&f->list.items[1], "me", FILE_COMPLETED);
    const int64_t begun = clock_mono_ms();
    CODE(f, tracker_apply(f->t, &m, 1, NULL, &f->e), ERR_DB_BUSY);
    assert_true(clock_mono_ms() - begun < 10000);
    assert_true(f->e.retryable);
    assert_int_equal(m.applied, TRACKER_LOST);
    sql(f, "ROLLBACK");
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
}

/* ---- servers and roles that say no ----------------------------------------------------------------------------------- */

static void open_with(struct fixture *f, const char *parameters)
{
    char url[600];

    tracker_close(f->t);
    f->t = NULL;
    snprintf(url, sizeof url, "%s?%s", f->url, parameters);
    OK(f, tracker_open(&f->t, &(struct tracker_options){.url = url}, &f->e));
}

static void expect_hint(struct fixture *f, const char *word)
{
    if (strstr(f->e.hint, word) == NULL)
        fail_msg("'%s' is not in the hint of: %s (%s)", word, f->e.message, f->e.hint);
}

static const struct tracker_claim one_claim = {
    .owner = "me", .now_ms = NOW, .lease_ms = HOUR, .limit = 1};

static void test_postgres_statement_timeout_is_named(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 1);
    open_with(f, "options=-cstatement_timeout%3D100");
    sql(f, "BEGIN; SELECT 1 FROM file_migrations WHERE id = 'row-00001' FOR UPDATE");
    struct tracker_move m = move_of(&f->list.items[0], "me", FILE_FAILED);
    CODE(f, tracker_apply(f->t, &m, 1, NULL, &f->e), ERR_DB);
    expect_hint(f, "statement_timeout");
    assert_int_equal(m.applied, TRACKER_LOST);
    sql(f, "ROLLBACK");
    EXPECT(f, "processing", "SELECT status FROM file_migrations WHERE id = 'row-00001'");
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
}

static void test_postgres_read_only_can_be_read(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    open_with(f, "options=-cdefault_transaction_read_only%3Don");
    assert_int_equal(rows_of(f, "b-1"), 2);
    CODE(f, tracker_claim(f->t, &one_claim, &f->list, &f->e), ERR_DB);
    expect_hint(f, "primary");
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations WHERE status = 'pending'");
}

static void test_postgres_rights_that_are_missing_are_named(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    sql(f, "REVOKE UPDATE ON file_migrations FROM CURRENT_USER");
    CODE(f, tracker_claim(f->t, &one_claim, &f->list, &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "file_migrations"));
    expect_hint(f, "grant");
}

static void test_postgres_tables_that_vanish_are_named(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    sql(f, "ALTER TABLE files DROP COLUMN checksum");
    CODE(f, tracker_claim(f->t, &one_claim, &f->list, &f->e), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "files.checksum"));
    sql(f, "DROP TABLE files");
    struct tracker_totals totals;
    CODE(f, tracker_totals(f->t, NULL, &totals, &f->e), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "files"));
}

static void test_postgres_doors_that_stay_shut_tell_why(void **state)
{
    static const struct {
        const char *url, *hint;
    } doors[] = {
        {"postgres://blobferry:geheim@127.0.0.1:%d/blobferry", "password"},
        {"postgres://nobody_such:geheim@127.0.0.1:%d/blobferry", "password"},
        {"postgres://blobferry@127.0.0.1:1/geheim", "server runs"},
        {"postgres://blobferry:geheim@127.0.0.1:port/blobferry", "port"},
        {"postgres://blobferry:geheim@127.0.0.1:%d/blobferry?sslmode=verify-full", "sslmode"},
        {"postgres://blobferry:geheim@127.0.0.1:%d/blobferry?sslmode=perhaps", ""},
    };
    struct fixture *f = *state;
    const int port = (int)strtol(strrchr(f->url, ':') + 1, NULL, 10);

    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        char url[256];
        const char *mark = strstr(doors[i].url, "%d");
        if (mark != NULL)
            snprintf(url, sizeof url, "%.*s%d%s", (int)(mark - doors[i].url), doors[i].url, port,
                     mark + 2);
        else
            str_copy(url, sizeof url, doors[i].url);
        err_init(&f->e);
        const enum err_code code =
            tracker_open(&f->t, &(struct tracker_options){.url = url}, &f->e);
        if (code != ERR_DB && code != ERR_CONFIG)
            fail_msg("%s gives %s", url, err_code_name(code));
        assert_null(f->t);
        expect_hint(f, doors[i].hint);
        if (strstr(url, ":geheim") != NULL && strstr(f->e.message, "geheim") != NULL)
            fail_msg("the password is shown: %s", f->e.message);
    }
}

static void test_postgres_database_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    char url[512];

    postgres_url(url, sizeof url, "no_such_database");
    CODE(f, tracker_open(&f->t, &(struct tracker_options){.url = url}, &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "no_such_database"));
    expect_hint(f, "createdb");
}

static void test_postgres_texts_that_are_not_utf8_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct tracker_claim c = {.owner = "m\xff", .now_ms = NOW, .lease_ms = HOUR, .limit = 1};

    with_tables(f);
    plan(f, "b-1", 1, 2);
    CODE(f, tracker_claim(f->t, &c, &f->list, &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "UTF-8"));
    claim(f, "me", "b-1", 1);
    struct tracker_move m = move_of(&f->list.items[0], "me", FILE_FAILED);
    m.error_message =
        "cut \xc3"; /* a message is only shown: that it was cut is no reason to lose the move */
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    EXPECT(f, "cut \\xc3", "SELECT error_message FROM file_migrations WHERE status = 'failed'");
}

/* Numbers of the largest kind, rows of ours that name them as text, and texts that are none. */
static void test_postgres_ids_of_nineteen_digits_are_joined(void **state)
{
    struct fixture *f = *state;
    int64_t released = 0;

    with_tables(f);
    sql(f, "DROP TABLE file_migrations; DROP TABLE files;"
           "CREATE TABLE files (id BIGINT PRIMARY KEY, filename TEXT, user_id TEXT, r2_key TEXT,"
           " checksum TEXT);"
           "CREATE TABLE file_migrations (id BIGINT PRIMARY KEY, batch_id TEXT, file_id TEXT,"
           " source_path TEXT, target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT,"
           " file_size INTEGER, status TEXT, error_message VARCHAR(10), started_at TIMESTAMP,"
           " completed_at TIMESTAMP, created_at TIMESTAMP);"
           "INSERT INTO files VALUES (9223372036854775807, 'n', 'u', NULL, NULL), (-1, 'n', 'u',"
           " NULL, NULL);"
           "INSERT INTO file_migrations (id, batch_id, file_id, target_r2_key, status) VALUES"
           " (9223372036854775807, 'b', '9223372036854775807', 'k', 'pending'),"
           " (1, 'b', '9223372036854775808', 'k1', 'pending'), (2, 'b', 'x', 'k2', 'pending'),"
           " (3, 'b', '-1', 'k3', 'pending')");
    assert_int_equal(claim(f, "me", "b", 9), 4);
    assert_false(f->list.items[0].file_row);
    assert_false(f->list.items[1].file_row);
    assert_true(f->list.items[2].file_row);
    assert_true(f->list.items[3].file_row);
    struct tracker_move m = move_of(&f->list.items[3], "me", FILE_COMPLETED);
    m.size = INT64_C(3) << 30; /* more than the column holds: not stored */
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    m = move_of(&f->list.items[2], "me", FILE_FAILED);
    m.error_message = "longer than the column";
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    EXPECT(f, "longer tha", "SELECT error_message FROM file_migrations WHERE status = 'failed'");
    EXPECT(f, "k", "SELECT r2_key FROM files WHERE id = 9223372036854775807");
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 2);
}

/* ---- plans ------------------------------------------------------------------------------------------------------------- */

/* Whole tables are never read for a claim, a move or the status of a batch. */
static void test_postgres_claims_and_moves_follow_indexes(void **state)
{
    static const char seen[] =
        "SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_user_tables WHERE relname IN"
        " ('file_migrations', 'files', 'blobferry_records')";
    struct fixture *f = *state;
    char before[64];

    with_tables(f);
    sql(f, "INSERT INTO migration_batches (id, batch_id, total_files) SELECT 'b' || n, 'b-' || n,"
           " 5000 FROM generate_series(1, 10) AS n;"
           "INSERT INTO files (id, filename, user_id) SELECT 'file-' || n, 'n', 'u'"
           " FROM generate_series(1, 50000) AS n;"
           "INSERT INTO file_migrations (id, batch_id, file_id, target_r2_key, status) SELECT"
           " 'row-' || n, 'b-' || (n %% 10 + 1), 'file-' || n, 'key/' || n, CASE WHEN n %% 3 = 0"
           " THEN 'pending' ELSE 'completed' END FROM generate_series(1, 50000) AS n;"
           "INSERT INTO blobferry_records (record_id) SELECT id FROM file_migrations");
    sql(f, "ANALYZE migration_batches, file_migrations, files, blobferry_records");
    reopen(f, false);
    str_copy(before, sizeof before, ask(f, "%s", seen));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(claim(f, "me", i == 1 ? NULL : "b-3", 100), 100);
        move_all(f, &f->list, "me", FILE_COMPLETED);
    }
    OK(f, tracker_renew(f->t, "me", NOW + 2 * HOUR, &f->e));
    claim(f, "me", "b-3", 100);
    int64_t released = 0;
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 100);
    tracker_close(f->t); /* its counts reach the statistics now */
    f->t = NULL;
    char updated[64] = "0";
    for (int i = 0; i < 1000 && strtol(updated, NULL, 10) < 700; i++) {
        str_copy(updated, sizeof updated,
                 ask(f, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname ="
                        " 'file_migrations'"));
        poll(NULL, 0, 10);
    }
    assert_true(strtol(updated, NULL, 10) >= 700);
    EXPECT(f, before, "%s", seen);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, postgres_setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_postgres_lost_before_commit_is_done_again),
        TEST(test_postgres_lost_after_commit_is_not_done_twice),
        TEST(test_postgres_lost_at_commit_is_asked_for),
        TEST(test_postgres_lost_at_begin_is_done_again),
        TEST(test_postgres_lost_within_a_transaction_is_done_again),
        TEST(test_postgres_moves_lost_before_commit_are_made_again),
        TEST(test_postgres_moves_lost_after_commit_are_not_made_twice),
        TEST(test_postgres_moves_lost_half_way_are_made_again),
        TEST(test_postgres_plan_lost_after_commit_is_there),
        TEST(test_postgres_plan_lost_before_commit_is_not_there),
        TEST(test_postgres_lost_between_operations_is_not_noticed),
        TEST(test_postgres_lost_for_good_is_told_in_time),
        TEST(test_postgres_deadlock_is_tried_again),
        TEST(test_postgres_lock_that_stays_is_told_as_busy),
        TEST(test_postgres_statement_timeout_is_named),
        TEST(test_postgres_read_only_can_be_read),
        TEST(test_postgres_rights_that_are_missing_are_named),
        TEST(test_postgres_tables_that_vanish_are_named),
        TEST(test_postgres_doors_that_stay_shut_tell_why),
        TEST(test_postgres_database_that_is_not_there_is_named),
        TEST(test_postgres_texts_that_are_not_utf8_are_refused),
        TEST(test_postgres_ids_of_nineteen_digits_are_joined),
        TEST(test_postgres_claims_and_moves_follow_indexes),
    };

    return cmocka_run_group_tests(tests, postgres_begin, postgres_end);
}
