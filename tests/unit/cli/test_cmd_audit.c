#include "unit/cli/command.h"

static void test_cmd_audit_verify_finds_a_flipped_byte(void **state)
{
    struct command_world *c = *state;
    struct json *root;
    char *text;

    command_migrated(c);
    command_expect(c, 0, COMMAND("audit", "verify", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "bad_line"), 0);
    assert_true(command_member(root, "lines") > 5);
    assert_int_equal(command_member(root, "heads_checked"), 1);
    json_free(root);
    text = scratch_read("logs/audit.jsonl");
    strstr(text, "x.txt")[0] = 'X';
    scratch_write(&c->fixture->scratch, "logs/audit.jsonl", text);
    free(text);
    command_expect(c, 1, COMMAND("audit", "verify"));
    command_says(c, "NOT whole");
    command_says(c, "first bad line: ");
    command_expect(c, 1, COMMAND("audit", "verify", "--no-database"));
}

static void test_cmd_audit_verify_finds_a_cut_tail_by_the_database(void **state)
{
    struct command_world *c = *state;
    char *text, *last;

    command_migrated(c);
    text = scratch_read("logs/audit.jsonl");
    for (int i = 0; i < 3; i++) {
        last = strrchr(text, '\n');
        *last = '\0';
    }
    snprintf(strchr(text, '\0'), 2, "\n");
    scratch_write(&c->fixture->scratch, "logs/audit.jsonl", text);
    free(text);
    command_expect(c, 0,
                   COMMAND("audit", "verify", "--no-database")); /* the chain alone cannot tell */
    command_expect(c, 1, COMMAND("audit", "verify"));
}

static void test_cmd_audit_needs_a_word_and_a_file(void **state)
{
    struct command_world *c = *state;

    command_expect(c, 2, COMMAND("audit", "verfy"));
    command_expect(c, 3, COMMAND("audit", "verify"));
    command_expect(c, 5, COMMAND("audit", "verify", "--no-database"));
    assert_int_equal(scratch_count(&c->fixture->scratch), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_audit_verify_finds_a_flipped_byte),
        command_test(test_cmd_audit_verify_finds_a_cut_tail_by_the_database),
        command_test(test_cmd_audit_needs_a_word_and_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
