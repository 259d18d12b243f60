#include "unit/cli/command.h"

static void test_cmd_verify_makes_completed_rows_verified(void **state)
{
    struct command_world *c = *state;
    struct json *root;

    command_migrated(c);
    command_expect(c, 0, COMMAND("verify", "--batch-id", "b1"));
    command_says(c, "3 of 3 checked objects are as recorded");
    command_expect(c, 0, COMMAND("verify", "--batch-id", "b1", "--deep", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "verified"), 3);
    assert_int_equal(command_member(root, "newly_verified"), 0);
    assert_int_equal(command_member(root, "bytes_read"), 3 * 14);
    json_free(root);
}

static void test_cmd_verify_again_changes_no_row(void **state)
{
    struct command_world *c = *state;
    int64_t runs;

    command_migrated(c);
    command_expect(c, 0, COMMAND("verify"));
    runs = command_number("SELECT count(*) FROM blobferry_runs");
    command_expect(c, 0, COMMAND("verify"));
    assert_int_equal(command_number("SELECT count(*) FROM blobferry_runs"), runs);
}

/* P9: checking zero files is not success. */
static void test_cmd_verify_nothing_to_check_is_not_success(void **state)
{
    struct command_world *c = *state;

    command_planned(c);
    command_expect(c, 1, COMMAND("verify", "--batch-id", "b1"));
    command_expect(c, 1, COMMAND("verify", "--batch-id", "b2"));
    command_expect(c, 2, COMMAND("verify", "--concurrency", "0"));
}

static void test_cmd_verify_missing_object_is_exit_1(void **state)
{
    struct command_world *c = *state;

    command_migrated(c);
    assert_int_equal(unlink("objects/y.txt"), 0);
    command_expect(c, 1, COMMAND("verify"));
    command_says(c, "1 missing");
    assert_int_equal(command_number("SELECT count(*) FROM files WHERE r2_key = 'y.txt'"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_verify_makes_completed_rows_verified),
        command_test(test_cmd_verify_again_changes_no_row),
        command_test(test_cmd_verify_nothing_to_check_is_not_success),
        command_test(test_cmd_verify_missing_object_is_exit_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
