/* The plans SQLite makes for our statements: on tables that tracker_init made, nothing that is done for every file may scan them. */
#include "contract/tracker_sqlite.h"
#include "track/sqlite.h"

enum { ROWS = 3000 };

static int setup(void **state)
{
    if (sqlite_setup(state) != 0)
        return -1;
    with_tables(*state);
    plan(*state, "b-1", 1, ROWS);
    sqlite_statement_forget_all(sqlite_of(((struct fixture *)*state)->t));
    return 0;
}

/* Scans of these are by nature small: intermediate results, rows without a table, pragma and batch tables. */
static bool harmless(const char *step)
{
    static const char *const small[] = {
        "SCAN CONSTANT ROW", "SCAN (subquery-", "SCAN chosen",  "SCAN c",
        "SCAN n ",           "SCAN b",          "VIRTUAL TABLE"};

    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        if (strstr(step, small[i]) != NULL)
            return true;
    }
    return false;
}

/* How often `needle` occurs in the plans of all statements that are cached; a SCAN that is not harmless fails. */
static int inspect_plans(struct fixture *f, const char *needle)
{
    struct sqlite *s = sqlite_of(f->t);
    int seen = 0;

    for (size_t i = 0; i < SQLITE_CACHED; i++) {
        if (s->cached[i].sql == NULL || str_starts(s->cached[i].sql, "PRAGMA"))
            continue;
        char *text = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", s->cached[i].sql);
        sqlite3_stmt *q = NULL;
        assert_int_equal(sqlite3_prepare_v2(s->db, text, -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(q, 3);
            if (str_starts(step, "SCAN") && !harmless(step))
                fail_msg("%s: %s", s->cached[i].sql, step);
            seen += strstr(step, needle) != NULL;
        }
        sqlite3_finalize(q);
        sqlite3_free(text);
    }
    sqlite_statement_forget_all(s);
    return seen;
}

static void test_sqlite_select_claims_by_index(void **state)
{
    struct fixture *f = *state;
    const char *const two[] = {"b-1", "b-2"}, *const dead[] = {"gone"};
    const struct tracker_claim c = {.batch_ids = two,
                                    .batch_count = 2,
                                    .owner = "me",
                                    .now_ms = NOW,
                                    .lease_ms = HOUR,
                                    .limit = 50,
                                    .retry_failed = true,
                                    .again = true,
                                    .after_id = "row-00002",
                                    .dead_owners = dead,
                                    .dead_count = 1};

    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 50);
    assert_int_equal(inspect_plans(f, "migrations_batch_status (batch_id=? AND status=? AND id>?)"),
                     8);
    assert_int_equal(claim(f, "me", NULL, 50), 50);
    assert_int_equal(inspect_plans(f, "migrations_status (status=?)"), 2);
}

static void test_sqlite_select_moves_by_index(void **state)
{
    struct fixture *f = *state;
    int64_t n;

    claim(f, "me", "b-1", 50);
    sqlite_statement_forget_all(sqlite_of(f->t));
    move_all(f, &f->list, "me", FILE_COMPLETED);
    claim(f, "me", "b-1", 50);
    OK(f, tracker_set_upload(f->t, f->list.items[0].id, "me", "up", 1, &f->e));
    OK(f, tracker_renew(f->t, "me", NOW, &f->e));
    OK(f, tracker_release(f->t, "me", &n, &f->e));
    assert_int_equal(n, 50);
    assert_true(inspect_plans(f, "sqlite_autoindex_file_migrations_1 (id=?)") >= 4);
}

static void test_sqlite_select_pages_by_index(void **state)
{
    static const struct {
        struct tracker_filter filter;
        const char *index;
    } cases[] = {
        {{.batch_id = "b-1"}, "blobferry_ix_migrations_batch (batch_id=? AND id>?)"},
        {{.batch_id = "b-1", .statuses = TRACKER_STATUS(FILE_FAILED)},
         "blobferry_ix_migrations_batch_status (batch_id=? AND status=? AND id>?)"},
        {{.batch_id = "b-1",
          .statuses = TRACKER_STATUS(FILE_FAILED) | TRACKER_STATUS(FILE_COMPLETED)},
         "blobferry_ix_migrations_batch (batch_id=? AND id>?)"},
        {{.statuses = TRACKER_STATUS(FILE_FAILED)},
         "blobferry_ix_migrations_status (status=? AND id>?)"},
        {{.user_id = "u"}, "sqlite_autoindex_file_migrations_1 (id>?)"},
        {{.delete_owed = true, .batch_id = "b-1"}, "blobferry_ix_records_owed"},
        {{.with_upload = true, .batch_id = "b-1"}, "blobferry_ix_records_upload"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(f, tracker_records(f->t, &cases[i].filter, "row-00002", 100, &f->list, &f->e));
        assert_int_equal(inspect_plans(f, cases[i].index), 1);
    }
}

static void test_sqlite_select_asks_about_keys_by_index(void **state)
{
    struct fixture *f = *state;
    struct tracker_key_ref ref = {.id = "a", .key = "key/00001"};
    char batch[64];

    OK(f, tracker_shared_keys(f->t, &ref, 1, &f->e));
    assert_int_equal(inspect_plans(f, "blobferry_ix_migrations_key (target_r2_key=?)"), 1);
    OK(f, tracker_shared_keys(f->t, &ref, 1, &f->e));
    assert_int_equal(inspect_plans(f, "blobferry_ix_files_key (r2_key=?)"), 1);
    OK(f, tracker_key_holder(f->t, "none", batch, sizeof batch, &f->e));
    assert_int_equal(inspect_plans(f, "blobferry_ix_records_digest (key_digest=?)"), 1);
    OK(f, tracker_files_without_key(f->t, NULL, "a", 5, &f->list, &f->e));
    assert_int_equal(inspect_plans(f, "blobferry_ix_migrations_file (file_id=?)"), 1);
}

/* Steps of SQLite's machine so far, over all cached statements. */
static int64_t machine_steps(struct fixture *f)
{
    struct sqlite *s = sqlite_of(f->t);
    int64_t steps = 0;

    for (size_t i = 0; i < SQLITE_CACHED; i++) {
        if (s->cached[i].statement != NULL)
            steps += sqlite3_stmt_status(s->cached[i].statement, SQLITE_STMTSTATUS_VM_STEP, 0);
    }
    return steps;
}

static void test_sqlite_select_the_last_claim_costs_what_the_first_did(void **state)
{
    struct fixture *f = *state;
    const char *const scopes[] = {"b-1", NULL};

    for (int i = 0; i < 2; i++) {
        int64_t first = 0, last = 0, moved = 0;
        if (i == 1)
            plan(f, "b-2", ROWS + 1, ROWS);
        while (claim(f, "me", scopes[i], 100) > 0) {
            int64_t before = machine_steps(f);
            move_all(f, &f->list, "me", FILE_COMPLETED);
            claim(f, "me", scopes[i], 100);
            last = machine_steps(f) - before;
            first = first == 0 ? last : first;
            moved += 100;
            if (f->list.len == 0)
                break;
            move_all(f, &f->list, "me", FILE_COMPLETED);
        }
        assert_true(moved >= ROWS / 2);
        assert_true(last <= first + first / 2);
    }
}

static void test_sqlite_select_passes_over_values_beyond_all_bounds(void **state)
{
    struct fixture *f = *state;
    struct record_list *l = &f->list;

    sql(f,
        "UPDATE file_migrations SET source_path = CAST(zeroblob(%d) AS TEXT)"
        " WHERE id IN ('row-00001', 'row-00003')",
        SQLITE_VALUE_MAX + 1);
    OK(f, tracker_records(f->t, NULL, NULL, 4, l, &f->e)); /* it stands alone … */
    assert_int_equal(l->len, 1);
    assert_string_equal(l->items[0].id, "row-00001");
    assert_string_equal(l->items[0].batch_id, "b-1");
    assert_int_equal(l->items[0].status, FILE_PENDING);
    assert_non_null(strstr(l->items[0].defect, "64 MiB"));
    OK(f, tracker_records(f->t, NULL, "row-00001", 4, l, &f->e)); /* … or ends a page */
    assert_int_equal(l->len, 1);
    assert_null(l->items[0].defect);
    OK(f, tracker_records(f->t, NULL, "row-00003", 4, l, &f->e));
    assert_int_equal(l->len, 4);
    assert_int_equal(claim(f, "me", "b-1", 1), 1); /* it cannot be written either: passed over */
    assert_string_equal(l->items[0].id, "row-00002");
    assert_int_equal(claim(f, "me", "b-1", 2), 2);
    assert_string_equal(l->items[0].id, "row-00004");
    EXPECT(f, "pending", "SELECT status FROM file_migrations WHERE id = 'row-00001'");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_sqlite_select_claims_by_index),
        T(test_sqlite_select_moves_by_index),
        T(test_sqlite_select_pages_by_index),
        T(test_sqlite_select_asks_about_keys_by_index),
        T(test_sqlite_select_the_last_claim_costs_what_the_first_did),
        T(test_sqlite_select_passes_over_values_beyond_all_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
