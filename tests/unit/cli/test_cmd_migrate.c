#include "unit/cli/command.h"

static void test_cmd_migrate_options_are_checked_before_anything_is_opened(void **state)
{
    static const char *const bad[][6] = {
        {"migrate", NULL},
        {"migrate", "--all", "--batch-id", "b1", NULL},
        {"migrate", "--all", "--concurrency", "0", NULL},
        {"migrate", "--all", "--concurrency", "1025", NULL},
        {"migrate", "--all", "--part-size", "1M", NULL},
        {"migrate", "--all", "--part-size", "6G", NULL},
        {"migrate", "--all", "--part-size", "big", NULL},
        {"migrate", "--all", "--bwlimit", "fast", NULL},
        {"migrate", "--all", "--max-failures", "0%", NULL},
        {"migrate", "--all", "--max-failures", "101%", NULL},
        {"migrate", "--all", "--max-failures", "%", NULL},
        {"migrate", "--all", "--max-failures", "-1", NULL},
        {"migrate", "--all", "--if-exists", "Overwrite", NULL},
    };
    struct command_world *c = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        command_expect(c, 2, bad[i]);
        assert_non_null(strstr(c->err, "hint: "));
    }
    assert_int_equal(scratch_count(&c->fixture->scratch), 0);
}

static void test_cmd_migrate_moves_a_batch_and_says_so(void **state)
{
    struct command_world *c = *state;

    command_migrated(c);
    command_says(c, "3 completed, 0 failed");
    command_says(c, "next: blobferry verify --batch-id b1");
    assert_int_equal(access("objects/x.txt", F_OK), 0);
    assert_int_equal(command_number("SELECT count(*) FROM files WHERE r2_key IS NOT NULL"), 3);
}

/* P7: the rerun changes no row and no object. */
static void test_cmd_migrate_again_changes_nothing(void **state)
{
    struct command_world *c = *state;
    struct stat before, after;
    int64_t version;

    command_migrated(c);
    assert_int_equal(stat("objects/x.txt", &before), 0);
    version = command_number("SELECT count(*) FROM blobferry_runs");
    command_expect(c, 0, COMMAND("migrate", "--batch-id", "b1"));
    command_expect(c, 0, COMMAND("migrate", "--all"));
    assert_int_equal(stat("objects/x.txt", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(command_number("SELECT count(*) FROM blobferry_runs"), version);
    command_expect(c, 0, COMMAND("audit", "verify"));
}

static void test_cmd_migrate_failed_file_is_exit_1_and_named(void **state)
{
    struct command_world *c = *state;
    struct json *root;

    command_planned(c);
    assert_int_equal(unlink("source/y.txt"), 0);
    command_expect(c, 1, COMMAND("migrate", "--batch-id", "b1", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "completed"), 2);
    assert_int_equal(command_member(root, "failed"), 1);
    assert_int_equal(command_member(root, "exit_code"), 1);
    json_free(root);
    assert_non_null(strstr(c->err, "failed 'y.txt'"));
}

static void test_cmd_migrate_unknown_batch_is_exit_1(void **state)
{
    struct command_world *c = *state;

    command_planned(c);
    command_expect(c, 1, COMMAND("migrate", "--batch-id", "b%"));
    assert_int_equal(command_number("SELECT count(*) FROM file_migrations"
                                    " WHERE status = 'pending'"),
                     3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_migrate_options_are_checked_before_anything_is_opened),
        command_test(test_cmd_migrate_moves_a_batch_and_says_so),
        command_test(test_cmd_migrate_again_changes_nothing),
        command_test(test_cmd_migrate_failed_file_is_exit_1_and_named),
        command_test(test_cmd_migrate_unknown_batch_is_exit_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
