#include "unit/cli/command.h"

static void test_cmd_plan_needs_exactly_one_input(void **state)
{
    struct command_world *c = *state;

    command_expect(c, 0, COMMAND("init"));
    command_expect(c, 2, COMMAND("plan"));
    command_says(c, "nothing to plan from");
    command_expect(c, 2, COMMAND("plan", "--from-dir", "source", "--from-csv", "a.csv"));
    command_says(c, "more than one input");
    command_expect(c, 2, COMMAND("plan", "--from-table"));
    command_says(c, "where the files lie");
    command_expect(c, 2,
                   COMMAND("plan", "--from-table", "--source-column=a", "--source-template=b"));
    command_expect(c, 2, COMMAND("plan", "--from-dir", "source", "--source-column", "a"));
    command_says(c, "go with --from-table");
    command_expect(c, 2, COMMAND("plan", "--from-dir", "source", "--batch-size", "0"));
    assert_int_equal(command_number("SELECT count(*) FROM migration_batches"), 0);
}

static void test_cmd_plan_dry_run_changes_no_byte(void **state)
{
    struct command_world *c = *state;
    char before[65], after[65];
    struct json *root;

    fixture_write(c->fixture, "source/x.txt", "bytes");
    command_expect(c, 0, COMMAND("init"));
    command_snapshot(before);
    command_expect(c, 0, COMMAND("plan", "--from-dir", "source", "--batch-id=b1", "--dry-run"));
    command_says(c, "would plan 1 files");
    command_expect(c, 0,
                   COMMAND("plan", "--from-dir", "source", "--batch-id=b1", "--dry-run", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "planned"), 1);
    json_free(root);
    command_snapshot(after);
    assert_string_equal(before, after);
}

static void test_cmd_plan_writes_rows_and_the_manifest(void **state)
{
    struct command_world *c = *state;

    command_planned(c);
    command_says(c, "planned 3 files");
    command_says(c, "next: blobferry migrate --batch-id b1");
    assert_int_equal(command_number("SELECT count(*) FROM file_migrations"), 3);
    assert_int_equal(access("batches/b1.json", F_OK), 0);
    command_expect(c, 1, COMMAND("plan", "--from-dir", "source", "--batch-id", "b1"));
    assert_int_equal(command_number("SELECT count(*) FROM file_migrations"), 3);
}

/* Rows with a problem are named, the others planned, and 0 would be a lie. */
static void test_cmd_plan_problems_are_reported_row_by_row(void **state)
{
    struct command_world *c = *state;
    const struct json *problem;
    struct json *root;

    fixture_write(c->fixture, "source/x.txt", "bytes");
    fixture_write(c->fixture, "rows.csv",
                  "source_path,target_key\nx.txt,good/key\nx.txt,bad/../key\nmissing.txt,other\n");
    command_expect(c, 0, COMMAND("init"));
    command_expect(c, 1, COMMAND("plan", "--from-csv", "rows.csv", "--batch-id=b1", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "planned"), 1);
    assert_int_equal(command_member(root, "refused"), 2);
    problem = json_first(json_get(root, "problems"));
    assert_int_equal(json_length(json_get(root, "problems")), 2);
    assert_int_equal(command_member(problem, "line"), 3);
    assert_non_null(json_string(json_get(problem, "message")));
    json_free(root);
    command_expect(c, 1, COMMAND("plan", "--from-csv", "rows.csv", "--batch-id=b2"));
    command_says(c, "not planned: line 3 'x.txt':");
}

static void test_cmd_plan_prefix_of_the_target_goes_before_every_key(void **state)
{
    struct command_world *c = *state;

    fixture_write(c->fixture, "source/x.txt", "bytes");
    fixture_set("BLOBFERRY_TARGET", "s3://bucket/media/");
    command_expect(c, 0, COMMAND("init"));
    command_expect(c, 0, COMMAND("plan", "--from-dir", "source", "--batch-id=b1"));
    assert_int_equal(command_number("SELECT count(*) FROM file_migrations"
                                    " WHERE target_r2_key = 'media/x.txt'"),
                     1);
}

static void test_cmd_plan_without_a_database_says_init(void **state)
{
    struct command_world *c = *state;

    fixture_write(c->fixture, "source/x.txt", "bytes");
    command_expect(c, 3, COMMAND("plan", "--from-dir", "source"));
    command_says(c, "init");
    assert_int_not_equal(access("app.db", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_plan_needs_exactly_one_input),
        command_test(test_cmd_plan_dry_run_changes_no_byte),
        command_test(test_cmd_plan_writes_rows_and_the_manifest),
        command_test(test_cmd_plan_problems_are_reported_row_by_row),
        command_test(test_cmd_plan_prefix_of_the_target_goes_before_every_key),
        command_test(test_cmd_plan_without_a_database_says_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
