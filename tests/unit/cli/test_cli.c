#include "unit/cli/command.h"

#include "blobferry/base/process.h"

#include <signal.h>

/* cli_close of a command that never opened anything. */
static int close_with(struct command_world *c, enum err_code code, bool json)
{
    struct cli *cli = calloc(1, sizeof *cli);
    struct capture capture;
    int status;

    assert_non_null(cli);
    config_init(&cli->config);
    err_init(&cli->err);
    if (code != ERR_OK)
        err_set(&cli->err, code, "what went wrong");
    capture_begin(&capture);
    out_init(&cli->out, &cli->config);
    cli->out.json = json;
    status = cli_close(cli, code);
    assert_true(cli->closed);
    capture_end(&capture);
    free(c->out);
    free(c->err);
    c->out = strdup(capture.out);
    c->err = strdup(capture.err);
    capture_release(&capture);
    out_release(&cli->out);
    config_release(&cli->config);
    free(cli);
    return status;
}

static void test_cli_exit_codes_follow_the_class(void **state)
{
    static const struct {
        enum err_code code;
        int status;
    } cases[] = {{ERR_OK, 0},      {ERR_PARTIAL, 1}, {ERR_NOTFOUND, 1},     {ERR_CANCELLED, 1},
                 {ERR_USAGE, 2},   {ERR_CONFIG, 2},  {ERR_DB_BUSY, 3},      {ERR_DB_SCHEMA, 3},
                 {ERR_STORE, 4},   {ERR_FILE, 5},    {ERR_STORE_DENIED, 4}, {ERR_FILE_SPACE, 5},
                 {ERR_CONFLICT, 1}};
    struct command_world *c = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(close_with(c, cases[i].code, false), cases[i].status);
        assert_string_equal(c->out, "");
        assert_string_equal(c->err, cases[i].code == ERR_OK ? "" : "blobferry: what went wrong\n");
    }
}

static void test_cli_a_signal_gives_128_and_its_number(void **state)
{
    struct command_world *c = *state;

    process_stop_for_tests(SIGTERM);
    assert_int_equal(close_with(c, ERR_CANCELLED, false), 143);
    process_stop_for_tests(SIGINT);
    assert_int_equal(close_with(c, ERR_CANCELLED, false), 130);
    /* what ended before the signal could stop it has ended */
    assert_int_equal(close_with(c, ERR_OK, false), 0);
    assert_int_equal(close_with(c, ERR_PARTIAL, false), 1);
    process_stop_for_tests(0);
}

static void test_cli_json_errors_are_a_document_too(void **state)
{
    struct command_world *c = *state;
    struct json *root;

    assert_int_equal(close_with(c, ERR_USAGE, true), 2);
    root = command_json(c);
    assert_true(json_is_null(json_get(root, "command")));
    assert_int_equal(command_member(root, "exit_code"), 2);
    assert_string_equal(json_string(json_get(json_get(root, "error"), "message")),
                        "what went wrong");
    json_free(root);
    /* of a command that could not open what it needs */
    command_expect(c, 3, COMMAND("status", "--json"));
    root = command_json(c);
    assert_string_equal(json_string(json_get(root, "command")), "status");
    assert_string_equal(json_string(json_get(json_get(root, "error"), "class")), "database");
    json_free(root);
}

/* The closing line of the audit tells how the run ended. */
static void test_cli_run_end_says_what_came_of_it(void **state)
{
    struct command_world *c = *state;
    char *text;

    command_migrated(c);
    assert_int_equal(unlink("source/y.txt"), 0);
    command_expect(c, 1, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force"));
    text = scratch_read("logs/audit.jsonl");
    assert_non_null(strstr(text, "\"result\":\"ok\""));
    assert_non_null(strstr(text, "\"result\":\"partial\",\"message\":\"1 files were refused"));
    free(text);
    assert_int_equal(command_number("SELECT count(*) FROM blobferry_runs WHERE exit_code = 1"
                                    " AND command = 'rollback'"),
                     1);
    assert_int_equal(command_number("SELECT count(*) FROM blobferry_runs WHERE ended_ms IS NULL"),
                     0);
}

/* What could not be recorded at the end is not passed over. */
static void test_cli_failure_to_end_the_run_is_told(void **state)
{
    struct command_world *c = *state;

    command_planned(c);
    scratch_write(&c->fixture->scratch, "logs/audit.jsonl", "not a trail of ours\n");
    assert_int_not_equal(command_run(c, COMMAND("migrate", "--batch-id", "b1")), 0);
    assert_true(c->err[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cli_exit_codes_follow_the_class),
        command_test(test_cli_a_signal_gives_128_and_its_number),
        command_test(test_cli_json_errors_are_a_document_too),
        command_test(test_cli_run_end_says_what_came_of_it),
        command_test(test_cli_failure_to_end_the_run_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
