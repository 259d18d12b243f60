#include "unit/cli/command.h"

#include "blobferry/base/process.h"

static void sql(const char *text)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open("app.db", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_cmd_status_shows_batches_and_changes_no_byte(void **state)
{
    struct command_world *c = *state;
    const struct json *batch;
    char before[65], after[65];
    struct json *root;

    command_migrated(c);
    command_snapshot(before);
    command_expect(c, 0, COMMAND("status"));
    command_says(c, "b1");
    command_says(c, "completed");
    command_expect(c, 0, COMMAND("status", "--json"));
    root = command_json(c);
    batch = json_first(json_get(root, "batches"));
    assert_string_equal(json_string(json_get(batch, "batch_id")), "b1");
    assert_int_equal(command_member(json_get(batch, "files"), "completed"), 3);
    assert_int_equal(command_member(batch, "bytes"), 3 * 14);
    json_free(root);
    command_snapshot(after);
    assert_string_equal(before, after);
}

static void test_cmd_status_without_batches_says_what_to_do(void **state)
{
    struct command_world *c = *state;
    struct json *root;

    command_expect(c, 0, COMMAND("init"));
    command_expect(c, 0, COMMAND("status"));
    command_says(c, "no batches yet");
    command_expect(c, 0, COMMAND("status", "--json"));
    root = command_json(c);
    assert_int_equal(json_length(json_get(root, "batches")), 0);
    json_free(root);
}

static void test_cmd_status_filters_files_and_names_the_commands_that_apply(void **state)
{
    struct command_world *c = *state;
    struct json *root;

    command_migrated(c);
    sql("UPDATE file_migrations SET status = 'failed', error_message = 'line one\nline two'"
        " WHERE source_path = 'x.txt'");
    command_expect(c, 0, COMMAND("status", "--batch-id", "b1"));
    command_says(c, "undo: blobferry rollback --batch-id b1 --failed-only");
    command_says(c, "next: blobferry migrate --batch-id b1 --retry-failed");
    command_says(c, "line one\\x0aline two"); /* one row, one line */
    command_expect(c, 0, COMMAND("status", "--user-id", "user1", "--status", "failed", "--json"));
    root = command_json(c);
    assert_int_equal(json_length(json_get(root, "records")), 1);
    assert_int_equal(command_member(json_get(root, "files"), "total"), 1);
    json_free(root);
    command_expect(c, 1, COMMAND("status", "--user-id", "user_"));
    command_says(c, "No migration records found");
    command_expect(c, 2, COMMAND("status", "--status", "done"));
    command_expect(c, 2, COMMAND("status", "--limit", "0"));
    command_expect(c, 2, COMMAND("status", "--watch", "--json"));
}

/* More rows than one page of the tracker holds. */
static void test_cmd_status_limit_is_what_is_shown(void **state)
{
    struct command_world *c = *state;
    struct json *root;

    command_migrated(c);
    sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12500)"
        " INSERT INTO file_migrations (id, batch_id, status) SELECT printf('n%06d', i), 'b2',"
        " 'pending' FROM n");
    command_expect(c, 0, COMMAND("status", "--batch-id", "b2"));
    command_says(c, "the first 50 rows");
    command_expect(c, 0, COMMAND("status", "--batch-id=b2", "--limit=12001", "--json"));
    root = command_json(c);
    assert_int_equal(json_length(json_get(root, "records")), 12001);
    assert_int_equal(command_member(json_get(root, "files"), "pending"), 12500);
    json_free(root);
}

static void test_cmd_status_reports_what_nobody_knows(void **state)
{
    struct command_world *c = *state;

    command_migrated(c);
    sql("UPDATE file_migrations SET status = 'COMPLETED' WHERE source_path = 'x.txt';"
        "DELETE FROM files WHERE r2_key = 'y.txt'");
    command_expect(c, 0, COMMAND("status", "--batch-id", "b1"));
    command_says(c, "1 rows have a status that the contract does not know");
    command_says(c, "1 rows name a file that is not in 'files'");
    command_expect(c, 0, COMMAND("status", "--status", "unknown"));
    command_says(c, "COMPLETED");
}

static void test_cmd_status_workers_says_who_holds_what(void **state)
{
    struct command_world *c = *state;
    char me[PROCESS_OWNER_SIZE], text[1024];
    const struct json *worker;
    struct json *root;

    command_migrated(c);
    command_expect(c, 0, COMMAND("status", "--workers"));
    command_says(c, "no worker holds a file");
    process_owner(me);
    snprintf(text, sizeof text,
             "UPDATE file_migrations SET status = 'processing';"
             "UPDATE blobferry_records SET lease_owner = '%s', lease_until = 4102444800000;"
             "INSERT INTO blobferry_locks VALUES ('b1', 'gone:b:n:1:2:3', 'rollback', 5);"
             "INSERT INTO blobferry_runs (id, command, owner, started_ms)"
             " VALUES ('r', 'migrate', '%s', 4000000000000)",
             me, me);
    sql(text);
    command_expect(c, 0, COMMAND("status", "--workers"));
    command_says(c, "alive");
    command_says(c, "migrate");
    command_says(c, "2096-10-02 07:06:40");
    command_says(c, "gone");
    command_says(c, "unknown");
    command_says(c, "expired");
    command_says(c, "2 workers hold 3 files");
    command_expect(c, 0, COMMAND("status", "--workers", "--json"));
    root = command_json(c);
    assert_int_equal(json_length(json_get(root, "workers")), 2);
    worker = json_first(json_get(root, "workers"));
    if (strcmp(json_string(json_get(worker, "host")), "gone") == 0)
        worker = json_next(worker);
    assert_string_equal(json_string(json_get(worker, "owner")), me);
    assert_string_equal(json_string(json_get(worker, "state")), "alive");
    assert_string_equal(json_string(json_get(worker, "started_at")), "2096-10-02T07:06:40.000Z");
    assert_string_equal(json_string(json_get(worker, "lease_until")), "2100-01-01T00:00:00.000Z");
    assert_int_equal(command_member(worker, "pid"), getpid());
    assert_int_equal(command_member(worker, "files"), 3);
    assert_string_equal(json_string(json_get(json_first(json_get(worker, "batches")), "batch_id")),
                        "b1");
    json_free(root);
    command_expect(c, 0, COMMAND("status", "--workers", "--batch-id", "other"));
    command_says(c, "no worker holds a file");
    command_expect(c, 2, COMMAND("status", "--workers", "--user-id", "u"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_status_shows_batches_and_changes_no_byte),
        command_test(test_cmd_status_without_batches_says_what_to_do),
        command_test(test_cmd_status_filters_files_and_names_the_commands_that_apply),
        command_test(test_cmd_status_limit_is_what_is_shown),
        command_test(test_cmd_status_reports_what_nobody_knows),
        command_test(test_cmd_status_workers_says_who_holds_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
