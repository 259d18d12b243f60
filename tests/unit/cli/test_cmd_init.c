#include "unit/cli/command.h"

static void test_cmd_init_makes_tables_folders_and_configuration(void **state)
{
    struct command_world *c = *state;
    struct stat st;

    command_expect(c, 0, COMMAND("init"));
    command_says(c, "tables created");
    assert_int_equal(command_number("SELECT count(*) FROM sqlite_schema WHERE name IN"
                                    " ('migration_batches', 'file_migrations', 'files')"),
                     3);
    assert_int_equal(stat("blobferry.conf", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat("app.db", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat("logs", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(access("backups", X_OK), 0);
    assert_int_equal(access("batches", X_OK), 0);
    command_expect(c, 0, COMMAND("audit", "verify"));
}

static void test_cmd_init_again_changes_nothing_that_is_there(void **state)
{
    struct command_world *c = *state;
    struct json *root;
    char *text;
    bool written = true;

    command_expect(c, 0, COMMAND("init"));
    scratch_write(&c->fixture->scratch, "blobferry.conf", "region = mine\n");
    command_expect(c, 0, COMMAND("init", "--json"));
    root = command_json(c);
    assert_int_equal(command_member(root, "tables_created"), 0);
    assert_true(json_boolean(json_get(root, "configuration_written"), &written));
    assert_false(written);
    json_free(root);
    text = scratch_read("blobferry.conf");
    assert_string_equal(text, "region = mine\n");
    free(text);
}

static void test_cmd_init_writes_no_configuration_when_told_or_when_one_is_in_force(void **state)
{
    struct command_world *c = *state;

    command_expect(c, 0, COMMAND("init", "--no-config"));
    assert_int_not_equal(access("blobferry.conf", F_OK), 0);
    fixture_write(c->fixture, "other.conf", "region = mine\n");
    command_expect(c, 0, COMMAND("init", "--config", "other.conf"));
    assert_int_not_equal(access("blobferry.conf", F_OK), 0);
}

/* The application's tables are used as they stand. */
static void test_cmd_init_never_alters_the_applications_tables(void **state)
{
    struct command_world *c = *state;
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open("app.db", &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT NOT NULL, user_id TEXT"
                     " NOT NULL, r2_key TEXT, checksum TEXT, extra TEXT);"
                     "INSERT INTO files VALUES ('1', 'f', 'u', NULL, NULL, 'e')",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    command_expect(c, 0, COMMAND("init"));
    assert_int_equal(command_number("SELECT count(*) FROM files WHERE extra = 'e'"), 1);
    assert_int_equal(command_number("SELECT count(*) FROM pragma_table_info('files')"), 6);
}

static void test_cmd_init_refuses_a_file_that_is_no_database(void **state)
{
    struct command_world *c = *state;
    char *text;

    scratch_write(&c->fixture->scratch, "app.db", "a letter, and not a database at all");
    command_expect(c, 3, COMMAND("init"));
    command_says(c, "is not an SQLite database");
    text = scratch_read("app.db");
    assert_string_equal(text, "a letter, and not a database at all");
    free(text);
}

static void test_cmd_init_folder_in_the_way_is_exit_5(void **state)
{
    struct command_world *c = *state;

    scratch_write(&c->fixture->scratch, "logs", "a file where the folder should be");
    command_expect(c, 5, COMMAND("init"));
    command_says(c, "logs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(test_cmd_init_makes_tables_folders_and_configuration),
        command_test(test_cmd_init_again_changes_nothing_that_is_there),
        command_test(test_cmd_init_writes_no_configuration_when_told_or_when_one_is_in_force),
        command_test(test_cmd_init_never_alters_the_applications_tables),
        command_test(test_cmd_init_refuses_a_file_that_is_no_database),
        command_test(test_cmd_init_folder_in_the_way_is_exit_5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
