/* What must not grow with the table: sorts, steps of a claim, look-ups of a count. Seen in SQLite's own plans and step counts. */
#include "contract/tracker_sqlite.h"
#include "track/sqlite.h"

enum { ROWS = 3000, PAGE = 100 };

static int setup(void **state)
{
    return sqlite_setup(state);
}

/* Calls fn with the plan of every cached statement that holds `part`; returns how many there were. */
static int with_plans(struct fixture *f, const char *part, void (*fn)(sqlite3_stmt *plan))
{
    struct sqlite *s = sqlite_of(f->t);
    int seen = 0;

    for (size_t i = 0; i < SQLITE_CACHED; i++) {
        sqlite3_stmt *q = NULL;
        if (s->cached[i].sql == NULL || strstr(s->cached[i].sql, part) == NULL)
            continue;
        char *text = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", s->cached[i].sql);
        assert_int_equal(sqlite3_prepare_v2(s->db, text, -1, &q, NULL), SQLITE_OK);
        fn(q);
        sqlite3_finalize(q);
        sqlite3_free(text);
        seen++;
    }
    return seen;
}

/* Each range ends in itself (a co-routine with a LIMIT): a sort may stand beside one, never inside. */
static void sorts_no_range(sqlite3_stmt *plan)
{
    int ranges[64], n = 0;

    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        if (str_starts(step, "CO-ROUTINE")) {
            assert_true(n < 64);
            ranges[n++] = sqlite3_column_int(plan, 0);
        }
        assert_false(str_starts(step, "SCAN m"));
        assert_false(str_starts(step, "SCAN r"));
        for (int i = 0; strstr(step, "TEMP B-TREE") != NULL && i < n; i++)
            assert_int_not_equal(sqlite3_column_int(plan, 1), ranges[i]);
    }
    assert_true(n > 0);
}

static void claim_two_batches(struct fixture *f, const char *after_id)
{
    const char *const two[] = {"b-1", "b-2"};

    OK(f, tracker_claim(f->t,
                        &(struct tracker_claim){.batch_ids = two,
                                                .batch_count = 2,
                                                .owner = "me",
                                                .now_ms = NOW,
                                                .lease_ms = HOUR,
                                                .limit = PAGE,
                                                .retry_failed = true,
                                                .after_id = after_id},
                        &f->list, &f->e));
    assert_int_equal(f->list.len, PAGE);
}

static void test_sqlite_scale_a_claim_sorts_only_what_it_takes(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, ROWS);
    plan(f, "b-2", ROWS + 1, 10);
    for (int round = 0; round < 2; round++) { /* without, then with what ANALYZE says */
        sqlite_statement_forget_all(sqlite_of(f->t));
        claim_two_batches(f, NULL);
        claim_two_batches(f, "row-00500");
        assert_int_equal(with_plans(f, "UNION ALL SELECT * FROM (", sorts_no_range), 2);
        sql(f, "UPDATE file_migrations SET status = 'completed' WHERE id < 'row-01900'");
        sql(f, "ANALYZE");
        reopen(f, false);
    }
}

static void walks_one_range(sqlite3_stmt *plan)
{
    bool by_index = false;

    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        assert_null(strstr(step, "TEMP B-TREE"));
        assert_false(str_starts(step, "SCAN"));
        by_index |= strstr(step, "blobferry_ix_migrations_batch_status") != NULL;
    }
    assert_true(by_index);
}

/* Records come along with the ids where only pending rows are left to take; a row of another status is merged in by id. */
static void test_sqlite_scale_a_claim_of_pending_rows_reads_them_once(void **state)
{
    static const char records[] =
        "m.status = 'pending' COLLATE BINARY AND blobferry_usable(m.id, 0)"
        " AND coalesce(r.delete_owed, 0) = 0 ORDER BY m.id LIMIT ?3";
    const char *const batch = "b-1";
    const struct tracker_claim c = {.batch_ids = &batch,
                                    .batch_count = 1,
                                    .owner = "me",
                                    .now_ms = NOW,
                                    .lease_ms = HOUR,
                                    .limit = 4,
                                    .retry_failed = true};
    struct fixture *f = *state;
    const struct record_list *l = &f->list;

    with_tables(f);
    plan(f, "b-1", 1, 8);
    sql(f, "ANALYZE");
    reopen(f, false);
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(l->len, 4);
    for (size_t i = 0; i < l->len; i++) {
        assert_non_null(l->items[i].source_path);
        assert_int_equal(l->items[i].attempts, 1);
        assert_int_equal(l->items[i].status, FILE_PROCESSING);
    }
    assert_string_equal(l->items[3].id, "row-00004");
    assert_int_equal(with_plans(f, records, walks_one_range), 1);
    sql(f, "UPDATE file_migrations SET status = 'failed' WHERE id = 'row-00006'");
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(l->len, 4);
    assert_string_equal(l->items[0].id, "row-00005");
    assert_string_equal(l->items[1].id, "row-00006");
    assert_string_equal(l->items[3].id, "row-00008");
    assert_non_null(l->items[1].source_path);
}

/* A trigger that ignores the change keeps its rows out of the list; those behind them are still found. */
static void test_sqlite_scale_a_claim_passes_over_rows_that_stay(void **state)
{
    const char *const batch = "b-1";
    const struct tracker_claim c = {.batch_ids = &batch,
                                    .batch_count = 1,
                                    .owner = "me",
                                    .now_ms = NOW,
                                    .lease_ms = HOUR,
                                    .limit = 3};
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 9);
    sql(f, "CREATE TRIGGER stay BEFORE UPDATE OF status ON file_migrations"
           " WHEN old.id < 'row-00005' OR old.id = 'row-00006' BEGIN SELECT raise(IGNORE); END");
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 1); /* of the second round */
    assert_string_equal(f->list.items[0].id, "row-00005");
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 1); /* of 4, 6 and 7 */
    assert_string_equal(f->list.items[0].id, "row-00007");
}

static void looks_nothing_up_among_ours(sqlite3_stmt *plan)
{
    bool by_batch = false;

    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        assert_false(str_starts(step, "SCAN"));
        if (strstr(step, "blobferry_ix_records_owed") != NULL)
            return; /* the count of debts starts there: few rows */
        assert_null(strstr(step, "SEARCH r "));
        by_batch |= strstr(step, "blobferry_ix_migrations_batch") != NULL;
    }
    assert_true(by_batch);
}

static void test_sqlite_scale_totals_of_a_batch_look_up_no_records(void **state)
{
    struct fixture *f = *state;
    struct tracker_totals totals;

    with_tables(f);
    plan(f, "b-1", 1, 10);
    plan(f, "b-2", 11, 10);
    sql(f, "UPDATE blobferry_records SET delete_owed = 1 WHERE record_id IN ('row-00002',"
           " 'row-00003', 'row-00012')");
    sql(f, "UPDATE file_migrations SET status = 'rolled_back' WHERE id = 'row-00002'");
    OK(f, tracker_totals(f->t, &(struct tracker_filter){.batch_id = "b-1"}, &totals, &f->e));
    assert_int_equal(totals.counts.by[FILE_PENDING], 9);
    assert_int_equal(totals.owed, 2);
    assert_int_equal(with_plans(f, "SELECT m.status, m.started_at", looks_nothing_up_among_ours),
                     2);
    OK(f, tracker_totals(
              f->t,
              &(struct tracker_filter){.batch_id = "b-1", .statuses = TRACKER_STATUS(FILE_PENDING)},
              &totals, &f->e));
    assert_int_equal(totals.owed, 1);
    OK(f, tracker_totals(f->t, &(struct tracker_filter){.delete_owed = true}, &totals, &f->e));
    assert_int_equal(state_counts_total(&totals.counts), 3);
    assert_int_equal(totals.owed, 3);
}

static void steps_into_the_index(sqlite3_stmt *plan)
{
    int steps = 0;

    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        assert_false(str_starts(step, "SCAN m"));
        steps += strstr(step, "migrations_batch_status (batch_id=? AND status=?)") != NULL;
    }
    assert_int_equal(steps, 2);
}

static enum err_code ignore_batch(void *user, const char *batch_id, struct err *e)
{
    (void)user;
    (void)batch_id;
    (void)e;
    return ERR_OK;
}

static void test_sqlite_scale_open_batches_are_found_without_counting(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 10);
    OK(f, tracker_open_batches(f->t, TRACKER_STATUS(FILE_PENDING) | TRACKER_STATUS(FILE_PROCESSING),
                               64, ignore_batch, NULL, &f->e));
    assert_int_equal(with_plans(f, "SELECT b.batch_id FROM", steps_into_the_index), 1);
}

/* ---- a table that the application made, without an index for claims -------------------------------------------- */

static int64_t machine_steps(struct fixture *f)
{
    struct sqlite *s = sqlite_of(f->t);
    int64_t steps = 0;

    for (size_t i = 0; i < SQLITE_CACHED; i++) {
        if (s->cached[i].statement != NULL)
            steps += sqlite3_stmt_status(s->cached[i].statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    }
    return steps;
}

static void sorts_nothing(sqlite3_stmt *plan)
{
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        assert_null(strstr(step, "TEMP B-TREE"));
        assert_null(strstr(step, "app_by_batch"));
    }
}

static void fill_bare(struct fixture *f)
{
    with_bare_tables(f, "TEXT");
    sql(f, "CREATE INDEX app_by_batch ON file_migrations (batch_id)");
    sql(f, "INSERT INTO migration_batches (id, batch_id) VALUES ('1', 'b-1')");
    sql(f,
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)"
        " INSERT INTO file_migrations (id, batch_id, source_path, target_r2_key, status)"
        " SELECT printf('row-%%05d', n), 'b-1', 'p', 'k' || n,"
        " CASE WHEN n %% 1000 = 0 THEN 'processing' ELSE 'pending' END FROM s",
        ROWS);
}

static void test_sqlite_scale_a_run_walks_a_bare_table_once(void **state)
{
    struct fixture *f = *state;
    const char *const batch = "b-1";
    char after[32] = "";
    int64_t first = 0, most = 0;
    size_t taken = 0, over = 0;

    fill_bare(f);
    f->t = open_tracker(f, false);
    for (;;) {
        OK(f, tracker_claim(f->t,
                            &(struct tracker_claim){.batch_ids = &batch,
                                                    .batch_count = 1,
                                                    .owner = "me",
                                                    .now_ms = NOW,
                                                    .lease_ms = HOUR,
                                                    .limit = PAGE,
                                                    .after_id = *after != '\0' ? after : NULL},
                            &f->list, &f->e));
        if (f->list.len == 0)
            break;
        taken += f->list.len;
        for (size_t i = 0; i < f->list.len; i++)
            over += f->list.items[i].taken_over;
        str_copy(after, sizeof after, f->list.items[f->list.len - 1].id);
        const int64_t steps = machine_steps(f);
        first = taken == (size_t)2 * PAGE ? steps
                                          : first; /* the very first one looks at the schema too */
        most = taken > PAGE && steps > most ? steps : most;
    }
    assert_int_equal(taken, ROWS);
    assert_int_equal(over, 3);
    assert_true(first > 0 && most <= first + first / 2);
    assert_int_equal(with_plans(f, "+m.status COLLATE BINARY = 'processing'", sorts_nothing), 2);
}

/* Nothing of the table stays in memory beyond this, however large it is (P10). */
static void test_sqlite_scale_the_page_cache_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct sqlite *s;
    int64_t pages = 0;

    with_tables(f);
    s = sqlite_of(f->t);
    OK(f, sqlite_statement_number(s, "PRAGMA cache_size", SQLITE_NONE, &pages, &f->e));
    assert_true(pages < 0 && pages >= -4096);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_sqlite_scale_a_claim_sorts_only_what_it_takes),
        T(test_sqlite_scale_a_claim_of_pending_rows_reads_them_once),
        T(test_sqlite_scale_a_claim_passes_over_rows_that_stay),
        T(test_sqlite_scale_totals_of_a_batch_look_up_no_records),
        T(test_sqlite_scale_open_batches_are_found_without_counting),
        T(test_sqlite_scale_a_run_walks_a_bare_table_once),
        T(test_sqlite_scale_the_page_cache_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
