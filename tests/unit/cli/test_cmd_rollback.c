/* G1 to G4 of FAILURES.md: nothing happens that was not asked for in so many words. */
#include "unit/cli/command.h"

#include "blobferry/codec/timefmt.h"

#include <pty.h>

static bool object(const char *key)
{
    char path[100];

    snprintf(path, sizeof path, "objects/%s", key);
    return access(path, F_OK) == 0;
}

/* Refused as usage, and nothing at all was changed. */
static void assert_refused(struct command_world *c, const char *part, const char *const *words)
{
    char before[65], after[65];

    command_snapshot(before);
    command_expect(c, 2, words);
    command_says(c, part);
    command_snapshot(after);
    assert_string_equal(before, after);
}

/* G1. */
static void test_cmd_rollback_default_is_a_dry_run_that_changes_no_byte(void **state)
{
    static const char *const ways[][6] = {
        {"rollback", "--batch-id", "b1", NULL},
        {"rollback", "--batch-id", "b1", "--dry-run", NULL},
        {"rollback", "--batch-id", "b1", "--no-prove", NULL},
        {"rollback", "--full-rollback", "--json", NULL},
        {"rollback", "--user-id", "user1", "--r2-only", NULL},
        {"rollback", "--failed-only", "--batch-id", "b1", NULL},
    };
    struct command_world *c = *state;
    char before[65], after[65];

    command_migrated(c);
    command_snapshot(before);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        command_expect(c, i == 5 ? 1 : 0, ways[i]); /* no failed file: nothing found */
        command_snapshot(after);
        assert_string_equal(before, after);
    }
}

static void assert_unsaid(const struct command_world *c, const char *part)
{
    assert_null(strstr(c->out, part));
    assert_null(strstr(c->err, part));
}

/* What will be refused is said before anything is done, file by file and by class. */
static void test_cmd_rollback_dry_run_shows_what_would_be_refused(void **state)
{
    struct command_world *c = *state;
    char elsewhere[400];

    command_migrated(c);
    assert_int_equal(unlink("source/y.txt"), 0);
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1"));
    command_says(c, "would refuse 1: source_missing");
    command_says(c, "y.txt': ");
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1", "--no-prove"));
    command_says(c, "originals and objects were not looked at");
    assert_unsaid(c, "source_missing");
    assert_int_equal(unlink("objects/x.txt"), 0);
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1"));
    command_says(c, "1 completed files have no object");
    assert_unsaid(c, "is the target right");
    fixture_write(c->fixture, "elsewhere/other", "x");
    snprintf(elsewhere, sizeof elsewhere, "file://%s/elsewhere", c->fixture->scratch.dir);
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1", "--target", elsewhere));
    command_says(c, "3 completed files have no object");
    command_says(c, "is the target right");
}

static void test_cmd_rollback_dry_run_needs_no_target(void **state)
{
    struct command_world *c = *state;

    command_migrated(c);
    unsetenv("BLOBFERRY_TARGET");
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1"));
    command_says(c, "would roll back 3 files");
    command_says(c, "not looked at: no target is set");
    command_expect(c, 2, COMMAND("rollback", "--batch-id", "b1", "--prove"));
    command_says(c, "no target is set");
    command_expect(c, 2, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force"));
    assert_true(object("x.txt"));
}

/* G2. */
static void test_cmd_rollback_contradictions_are_refused(void **state)
{
    struct command_world *c = *state;

    command_migrated(c);
#define WITH(...) COMMAND("rollback", "--batch-id", "b1", "--force", "--confirm", __VA_ARGS__)
    assert_refused(c, "contradict", WITH("--database-only", "--r2-only"));
    assert_refused(c, "contradict", WITH("--failed-only", "--full-rollback"));
    assert_refused(c, "contradict", WITH("--full-rollback"));
    assert_refused(c, "contradict", WITH("--dry-run"));
    assert_refused(c, "contradict", WITH("--prove"));
    assert_refused(c, "contradict", WITH("--no-prove"));
    assert_refused(c, "contradict",
                   COMMAND("rollback", "--batch-id", "b1", "--prove", "--no-prove"));
    assert_refused(c, "is no date", WITH("--start-date", "2024-02-30"));
    assert_refused(c, "is no date", WITH("--end-date", "2024-2-1"));
    assert_refused(c, "is no date", WITH("--end-date", "2024-02-01T00:00:00"));
    assert_refused(c, "is after", WITH("--start-date=2024-02-02", "--end-date=2024-02-01"));
    assert_refused(c, "is empty", WITH("--user-id", ""));
    assert_refused(c, "is empty", WITH("--user-id="));
    assert_refused(c, "given twice", WITH("--batch-id", "b2"));
    assert_refused(c, "unknown option", WITH("--fource"));
    assert_refused(c, "takes no argument", WITH("b2"));
    assert_refused(c, "no value for '--limit'", WITH("--limit", "0"));
    assert_refused(c, "no value for '--limit'", WITH("--limit", "-1"));
    assert_refused(c, "no plan's hash", WITH("--yes-plan", "abc"));
    assert_refused(c, "looks like an option",
                   COMMAND("rollback", "--force", "--confirm", "--batch-id", "--no-backup"));
    assert_refused(c, "--force without --confirm", COMMAND("rollback", "--batch-id=b1", "--force"));
    assert_refused(c, "no scope is given", COMMAND("rollback", "--confirm", "--force"));
    assert_refused(c, "no scope is given",
                   COMMAND("rollback", "--confirm", "--force", "--database-only", "--limit=1"));
    assert_refused(c, "no scope is given", COMMAND("rollback"));
    assert_true(object("x.txt"));
}

static void test_cmd_rollback_confirmed_without_a_terminal_needs_force(void **state)
{
    struct command_world *c = *state;
    int keep = dup(STDIN_FILENO), null = open("/dev/null", O_RDONLY);

    command_migrated(c);
    assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
    assert_refused(c, "needs --force", COMMAND("rollback", "--batch-id", "b1", "--confirm"));
    assert_refused(c, "needs --force",
                   COMMAND("rollback", "--batch-id", "b1", "--confirm", "--json"));
    assert_int_equal(dup2(keep, STDIN_FILENO), STDIN_FILENO);
    close(keep);
    close(null);
    assert_true(object("x.txt"));
}

/* At a terminal the number of files has to be typed. */
static int at_terminal(struct command_world *c, const char *typed)
{
    int keep = dup(STDIN_FILENO), master = -1, terminal = -1;

    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(dup2(terminal, STDIN_FILENO), STDIN_FILENO);
    close(terminal);
    clearerr(stdin);
    assert_int_equal(write(master, typed, strlen(typed)), (int)strlen(typed));
    command_run(c, COMMAND("rollback", "--batch-id", "b1", "--confirm"));
    assert_int_equal(dup2(keep, STDIN_FILENO), STDIN_FILENO);
    close(keep);
    close(master);
    return c->status;
}

static void test_cmd_rollback_at_a_terminal_asks_for_the_number_of_files(void **state)
{
    static const char *const wrong[] = {"y\n", "yes\n", "2\n", "33\n", "\n", "\004"};
    struct command_world *c = *state;

    command_migrated(c);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(at_terminal(c, wrong[i]), 1);
        command_says(c, "type the number of files (3)");
        command_says(c, "not confirmed");
        assert_true(object("x.txt"));
    }
    assert_int_equal(at_terminal(c, "3\n"), 0);
    assert_false(object("x.txt"));
}

/* G3. */
static void test_cmd_rollback_scope_that_matches_nothing_is_not_everything(void **state)
{
    static const char *const nothing[][8] = {
        {"rollback", "--confirm", "--force", "--batch-id", "B1", NULL},
        {"rollback", "--confirm", "--force", "--user-id", "user_", NULL},
        {"rollback", "--confirm", "--force", "--user-id", "user_%", NULL},
        {"rollback", "--confirm", "--force", "--end-date", "2001-01-01", NULL},
        {"rollback", "--confirm", "--force", "--batch-id", "b1", "--failed-only", NULL},
        {"rollback", "--batch-id", "b2", NULL},
    };
    struct command_world *c = *state;

    command_migrated(c);
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        command_expect(c, 1, nothing[i]);
        command_says(c, "No migration records found");
    }
    assert_true(object("x.txt"));
    assert_int_equal(command_number("SELECT count(*) FROM file_migrations"
                                    " WHERE status = 'completed'"),
                     3);
    assert_int_not_equal(access("backups/migration_backup", F_OK), 0);
}

static void test_cmd_rollback_confirmed_and_forced_does_it(void **state)
{
    struct command_world *c = *state;

    command_migrated(c);
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force"));
    command_says(c, "3 of 3 rows rolled back, 3 objects deleted");
    command_says(c, "backup: backups/migration_backup_");
    command_says(c, "audit: logs/rollback_audit_");
    assert_false(object("x.txt"));
    assert_int_equal(command_number("SELECT count(*) FROM files WHERE r2_key IS NOT NULL"), 0);
    command_expect(c, 0, COMMAND("audit", "verify"));
    command_says(c, "audit trail is whole");
    command_expect(c, 1, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force"));
}

static void test_cmd_rollback_json_is_one_document(void **state)
{
    struct command_world *c = *state;
    struct json *root;
    char path[200];

    command_migrated(c);
    snprintf(path, sizeof path, "source/y.txt");
    assert_int_equal(unlink(path), 0);
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(json_get(root, "preview"), "files"), 3);
    assert_int_equal(
        command_member(json_get(json_get(root, "preview"), "refusals"), "source_missing"), 1);
    assert_null(json_get(root, "result"));
    json_free(root);
    command_expect(c, 1, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "exit_code"), 1);
    assert_string_equal(json_string(json_get(json_get(root, "error"), "class")), "partial");
    assert_int_equal(command_member(json_get(root, "result"), "database_rollbacks"), 2);
    assert_int_equal(command_member(json_get(root, "result"), "refused"), 1);
    json_free(root);
    assert_true(object("y.txt"));
}

/* F7. */
static void test_cmd_rollback_yes_plan_holds_to_the_preview(void **state)
{
    struct command_world *c = *state;
    struct json *root;
    char hash[65], zeros[65];

    command_migrated(c);
    command_expect(c, 0, COMMAND("rollback", "--batch-id", "b1", "--json"));
    root = command_json(c);
    snprintf(hash, sizeof hash, "%s", json_string(json_get(json_get(root, "preview"), "plan")));
    json_free(root);
    memset(zeros, '0', 64);
    zeros[64] = '\0';
    command_expect(
        c, 1, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force", "--yes-plan", zeros));
    command_says(c, "not the previewed one");
    assert_true(object("x.txt"));
    command_expect(
        c, 0, COMMAND("rollback", "--batch-id", "b1", "--confirm", "--force", "--yes-plan", hash));
    assert_false(object("x.txt"));
}

static void test_cmd_rollback_dates_of_today_include_today(void **state)
{
    struct command_world *c = *state;
    char from[TIMEFMT_SIZE], to[TIMEFMT_SIZE];

    timefmt_iso(clock_wall_ms(), from);
    command_migrated(c);
    timefmt_iso(clock_wall_ms(), to); /* the next day, should it be midnight just now */
    from[10] = to[10] = '\0';
    command_expect(c, 0, COMMAND("rollback", "--start-date", from, "--end-date", to));
    command_says(c, "would roll back 3 files");
    command_expect(c, 1, COMMAND("rollback", "--start-date", "2099-01-01"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_rollback_default_is_a_dry_run_that_changes_no_byte),
        command_test(test_cmd_rollback_dry_run_shows_what_would_be_refused),
        command_test(test_cmd_rollback_dry_run_needs_no_target),
        command_test(test_cmd_rollback_contradictions_are_refused),
        command_test(test_cmd_rollback_confirmed_without_a_terminal_needs_force),
        command_test(test_cmd_rollback_at_a_terminal_asks_for_the_number_of_files),
        command_test(test_cmd_rollback_scope_that_matches_nothing_is_not_everything),
        command_test(test_cmd_rollback_confirmed_and_forced_does_it),
        command_test(test_cmd_rollback_json_is_one_document),
        command_test(test_cmd_rollback_yes_plan_holds_to_the_preview),
        command_test(test_cmd_rollback_dates_of_today_include_today),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
