/* Prepared statements that are kept, and transactions that end. */
#include "contract/tracker_sqlite.h"
#include "track/sqlite.h"

static int setup(void **state)
{
    if (sqlite_setup(state) != 0)
        return -1;
    with_tables(*state);
    return 0;
}

struct busy {
    struct fixture *f;
    int rows;
};

/* More statements than are kept, while one is being stepped. */
static enum err_code ask_much(void *user, const char *table, const struct tracker_value *values,
                              size_t n, struct err *e)
{
    struct busy *b = user;
    char text[64];
    int64_t answer = -1;

    (void)table;
    (void)values;
    (void)n;
    for (int i = 0; i < 2 * SQLITE_CACHED; i++) {
        snprintf(text, sizeof text, "SELECT %d", i);
        if (sqlite_statement_number(sqlite_of(b->f->t), text, SQLITE_NONE, &answer, e) != ERR_OK ||
            answer != i)
            return err_set(e, ERR_GENERAL, "%s gives %lld", text, (long long)answer);
    }
    b->rows++;
    return ERR_OK;
}

static void test_sqlite_statement_in_use_is_not_dropped(void **state)
{
    struct fixture *f = *state;
    struct busy b = {.f = f};

    plan(f, "b-1", 1, 5);
    OK(f, tracker_dump(f->t, NULL, ask_much, &b, &f->e));
    assert_int_equal(b.rows, 1 + 5 + 5 + 5);
}

static void test_sqlite_statement_is_found_by_text_not_by_address(void **state)
{
    struct fixture *f = *state;
    struct sqlite *s = sqlite_of(f->t);
    char text[32] = "SELECT 1";
    int64_t n;

    OK(f, sqlite_statement_number(s, text, SQLITE_NONE, &n, &f->e));
    assert_int_equal(n, 1);
    str_copy(text, sizeof text, "SELECT 2");
    OK(f, sqlite_statement_number(s, text, SQLITE_NONE, &n, &f->e));
    assert_int_equal(n, 2);
    OK(f, sqlite_statement_number(s, "SELECT ?1", SQLITE_ARGS(SQLITE_I(INT64_MIN)), &n, &f->e));
    assert_true(n == INT64_MIN);
    OK(f, sqlite_statement_number(s, "SELECT 7 WHERE ?1 IS NULL", SQLITE_ARGS(SQLITE_T(NULL)), &n,
                                  &f->e));
    assert_int_equal(n, 7);
    OK(f, sqlite_statement_number(s, "SELECT 7 WHERE 0", SQLITE_NONE, &n, &f->e));
    assert_int_equal(n, 0);
    CODE(f, sqlite_statement_number(s, "SELECT x FROM nowhere", SQLITE_NONE, &n, &f->e),
         ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "nowhere"));
    CODE(f, sqlite_statement_number(s, "SELEC", SQLITE_NONE, &n, &f->e), ERR_DB);
}

static void test_sqlite_statement_end_rolls_back_what_failed(void **state)
{
    struct fixture *f = *state;
    struct sqlite *s = sqlite_of(f->t);
    bool row = false;

    OK(f, sqlite_statement_begin(s, &f->e));
    OK(f, sqlite_statement_run(s, "INSERT INTO files (id, filename, user_id) VALUES ('a','n','u')",
                               SQLITE_NONE, NULL, &f->e));
    sqlite3_stmt *q = sqlite_statement_query(s, "SELECT id FROM files", SQLITE_NONE, &f->e);
    assert_non_null(q);
    OK(f, sqlite_statement_next(s, q, &row, &f->e)); /* left in the middle */
    assert_true(row);
    assert_int_equal(sqlite_statement_end(s, ERR_REFUSED, &f->e), ERR_REFUSED);
    assert_int_equal(sqlite3_get_autocommit(s->db), 1);
    EXPECT(f, "0", "SELECT count(*) FROM files");
    OK(f, sqlite_statement_begin(s, &f->e));
    CODE(f, sqlite_statement_begin(s, &f->e), ERR_DB); /* not twice */
    OK(f, sqlite_statement_end(s, ERR_OK, &f->e));
}

static void test_sqlite_statement_follows_a_schema_that_changes(void **state)
{
    struct fixture *f = *state;

    plan(f, "b-1", 1, 1);
    rows_of(f, "b-1");
    sql(f, "ALTER TABLE files ADD COLUMN extra TEXT; DROP INDEX blobferry_ix_migrations_batch");
    assert_int_equal(rows_of(f, "b-1"), 1);
    assert_string_equal(f->list.items[0].user_id, "anna");
    sql(f, "ALTER TABLE files RENAME COLUMN checksum TO sum");
    CODE(f, tracker_records(f->t, NULL, NULL, 9, &f->list, &f->e), ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "files.checksum"));
    sql(f, "ALTER TABLE files RENAME COLUMN sum TO checksum");
    assert_int_equal(claim(f, "me", "b-1", 9), 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_sqlite_statement_in_use_is_not_dropped),
        T(test_sqlite_statement_is_found_by_text_not_by_address),
        T(test_sqlite_statement_end_rolls_back_what_failed),
        T(test_sqlite_statement_follows_a_schema_that_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
