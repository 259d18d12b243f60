/* Planning from the application's own table, whose rows are written here by SQLite itself. */
#include "unit/engine/planner.h"

#include <sqlite3.h>

static void sql(struct planner *p, const char *text)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(scratch_path(&p->folder, "blobferry.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static enum err_code run(struct planner *p, const char *column, const char *template)
{
    return planner_run(p, (struct plan_options){.from = PLAN_FROM_TABLE,
                                                .batch_id = "b-1",
                                                .source_column = column,
                                                .source_template = template});
}

static void test_plan_table_by_column(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    sql(&p, "ALTER TABLE files ADD COLUMN disk_path TEXT;"
            "INSERT INTO files (id, filename, user_id, r2_key, checksum, disk_path) VALUES"
            " ('f1', 'A.txt', 'u1', NULL, '0cc175b9c0f1b6a831c399e269772661', 'ab/a'),"
            " ('f2', 'B.txt', 'u2', '', NULL, 'ab/gone'),"
            " ('f3', 'C.txt', 'u2', 'there/already', NULL, 'ab/a'),"
            " ('f4', 'D.txt', 'u2', NULL, NULL, NULL)");
    planner_dir(&p, "ab");
    planner_file(&p, "ab/a", "a");
    assert_int_equal(run(&p, "disk_path", NULL), ERR_PARTIAL);
    assert_int_equal(p.result.refused, 2);
    assert_int_equal(p.result.missing, 1);
    assert_int_equal(p.result.without_user, 0);
    assert_non_null(strstr(p.problems, "0|ab/gone|"));
    assert_non_null(strstr(p.problems, "source_path is empty"));
    assert_int_equal(planner_rows(&p, "b-1"), 1);
    planner_expect(&p, 0, "ab/a", "u1/f1/A.txt");
    assert_string_equal(p.rows.items[0].file_id, "f1");
    assert_string_equal(p.rows.items[0].original_checksum, "0cc175b9c0f1b6a831c399e269772661");
    assert_int_equal(run(&p, "no_such_column", NULL), ERR_CONFLICT); /* b-1 is there */
    assert_int_equal(planner_run(&p, (struct plan_options){.from = PLAN_FROM_TABLE,
                                                           .source_column = "no_such_column"}),
                     ERR_DB_SCHEMA);
    planner_release(&p);
}

static void test_plan_table_by_template_over_many_pages(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    sql(&p, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201)"
            " INSERT INTO files (id, filename, user_id)"
            " SELECT printf('f%05d', i), 'x.txt', 'u' || (i % 3) FROM n");
    planner_dir(&p, "u0");
    planner_dir(&p, "u1");
    planner_dir(&p, "u2");
    planner_file(&p, "u0/x.txt", "0");
    planner_file(&p, "u1/x.txt", "1");
    planner_file(&p, "u2/x.txt", "2");
    assert_int_equal(run(&p, NULL, "{user_id}/{filename}"), ERR_OK);
    assert_int_equal(p.result.planned, 1201);
    assert_int_equal(planner_rows(&p, "b-1"), 1000); /* the first page */
    planner_expect(&p, 0, "u1/x.txt", "u1/f00001/x.txt");
    planner_release(&p);
}

static void test_plan_table_template_cannot_leave_the_root(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    sql(&p, "INSERT INTO files (id, filename, user_id) VALUES ('f1', '../../etc/passwd', 'u'),"
            " ('f2', '', 'u')");
    assert_int_equal(run(&p, NULL, "{user_id}/{filename}"), ERR_PARTIAL);
    assert_non_null(strstr(p.problems, "|file_outside|"));
    assert_non_null(strstr(p.problems, "|not_found|"));
    assert_int_equal(planner_rows(&p, NULL), 0);
    assert_int_equal(run(&p, NULL, "{path}"), ERR_USAGE);
    assert_int_equal(run(&p, NULL, NULL), ERR_USAGE);
    assert_int_equal(run(&p, "a", "b"), ERR_USAGE);
    planner_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_table_by_column),
        cmocka_unit_test(test_plan_table_by_template_over_many_pages),
        cmocka_unit_test(test_plan_table_template_cannot_leave_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
