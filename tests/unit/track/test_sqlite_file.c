/* Opening what is no usable database, and what SQLite's errors become. */
#include "contract/tracker_sqlite.h"
#include "track/sqlite.h"

#include <fcntl.h>
#include <sys/wait.h>

static int setup(void **state)
{
    return sqlite_setup(state);
}

static const char *path_of(struct fixture *f)
{
    return f->url + strlen("sqlite:");
}

static void put_file(const char *path, const char *bytes, size_t n)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static enum err_code try_open(struct fixture *f, const struct tracker_options *o)
{
    enum err_code code;

    err_init(&f->e);
    tracker_close(f->t);
    f->t = NULL;
    code = tracker_open(&f->t, o, &f->e);
    assert_true((code == ERR_OK) == (f->t != NULL));
    return code;
}

static void test_sqlite_file_that_is_missing_is_not_made(void **state)
{
    struct fixture *f = *state;
    char url[600];

    snprintf(url, sizeof url, "sqlite:%s/other.db", f->dir);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(try_open(f, &(struct tracker_options){.url = url, .read_only = i == 0}),
                         ERR_DB);
        assert_non_null(strstr(f->e.message, "no such database"));
        assert_non_null(strstr(f->e.message, "other.db"));
        assert_non_null(strstr(f->e.hint, "init"));
        assert_int_not_equal(access(url + strlen("sqlite:"), F_OK), 0);
    }
    /* Reading never creates, whatever else is asked for. */
    assert_int_equal(
        try_open(f, &(struct tracker_options){.url = url, .read_only = true, .create = true}),
        ERR_DB);
    assert_int_not_equal(access(url + strlen("sqlite:"), F_OK), 0);
}

static void test_sqlite_file_that_is_made_is_for_its_owner(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char url[600], path[640];
    int created;

    snprintf(url, sizeof url, "sqlite://%s/new.db", f->dir); /* sqlite:///absolute */
    const mode_t before = umask(0);
    assert_int_equal(try_open(f, &(struct tracker_options){.url = url, .create = true}), ERR_OK);
    OK(f, tracker_init(f->t, &created, &f->e));
    umask(before);
    snprintf(path, sizeof path, "%s/new.db", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(path, sizeof path, "%s/new.db-wal", f->dir);
    assert_int_equal(stat(path, &st), 0); /* WAL, and as private */
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_string_equal(tracker_name(f->t), url);
    tracker_close(f->t);
    f->t = NULL;
    assert_int_not_equal(access(path, F_OK), 0); /* closed cleanly */
    snprintf(path, sizeof path, "%s/new.db", f->dir);
    assert_int_equal(unlink(path), 0);
}

static void test_sqlite_file_in_a_missing_folder_is_told(void **state)
{
    struct fixture *f = *state;
    char url[600];

    snprintf(url, sizeof url, "sqlite:%s/no/where.db", f->dir);
    assert_int_equal(try_open(f, &(struct tracker_options){.url = url, .create = true}), ERR_DB);
    assert_non_null(strstr(f->e.message, "no/where.db"));
    assert_non_null(strstr(f->e.hint, "folder"));
}

static void test_sqlite_file_that_is_no_database_is_told(void **state)
{
    struct fixture *f = *state;
    const struct tracker_options o = {.url = f->url, .create = true};

    put_file(path_of(f), "id,name\n1,two\n", 14);
    assert_int_equal(try_open(f, &o), ERR_DB);
    assert_non_null(strstr(f->e.message, "is not an SQLite database"));
    assert_int_equal(unlink(path_of(f)), 0);
    assert_int_equal(mkdir(path_of(f), 0700), 0);
    assert_int_equal(try_open(f, &o), ERR_DB);
    assert_non_null(strstr(f->e.message, "no regular file"));
    assert_int_equal(rmdir(path_of(f)), 0);
    assert_int_equal(mkfifo(path_of(f), 0600), 0); /* and does not block */
    assert_int_equal(try_open(f, &o), ERR_DB);
    assert_non_null(strstr(f->e.message, "no regular file"));
}

static void test_sqlite_file_that_is_damaged_is_told(void **state)
{
    struct fixture *f = *state;
    char garbage[4096];
    struct tracker_totals totals;
    enum err_code code;

    with_tables(f);
    plan(f, "b-1", 1, 2000);
    tracker_close(f->t);
    f->t = NULL;
    sqlite3_close(f->raw);
    f->raw = NULL;
    memset(garbage, 0x5a, sizeof garbage);
    int fd = open(path_of(f), O_WRONLY);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, at), (ssize_t)sizeof garbage);
    assert_int_equal(close(fd), 0);
    code = try_open(f, &(struct tracker_options){.url = f->url});
    if (code == ERR_OK)
        code = tracker_totals(f->t, NULL, &totals, &f->e);
    assert_int_equal(code, ERR_DB);
    assert_non_null(strstr(f->e.message, "damaged"));
    assert_non_null(strstr(f->e.hint, "integrity_check"));
}

static void test_sqlite_lock_of_another_program_is_busy(void **state)
{
    struct fixture *f = *state;
    int64_t released;

    with_tables(f);
    assert_int_equal(try_open(f, &(struct tracker_options){.url = f->url, .busy_timeout_ms = 60}),
                     ERR_OK);
    sql(f, "BEGIN IMMEDIATE");
    const int64_t began = clock_mono_ms();
    CODE(f, tracker_release(f->t, "me", &released, &f->e), ERR_DB_BUSY);
    assert_in_range(clock_mono_ms() - began, 40, 5000);
    assert_true(f->e.retryable);
    assert_non_null(strstr(f->e.message, "locked by another program"));
    assert_true(f->e.hint[0] != '\0');
    struct tracker_totals totals; /* WAL: reading goes on */
    OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
    sql(f, "COMMIT");
    OK(f, tracker_release(f->t, "me", &released, &f->e));
}

static void test_sqlite_file_held_exclusively_is_busy(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    sql(f, "BEGIN EXCLUSIVE");
    assert_int_equal(
        try_open(
            f, &(struct tracker_options){.url = f->url, .read_only = true, .busy_timeout_ms = 60}),
        ERR_DB_BUSY);
    sql(f, "COMMIT");
}

static void test_sqlite_without_space_nothing_is_written(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-2", .user = "anna", .from = 10, .count = 5000};

    with_tables(f);
    plan(f, "b-1", 1, 2);
    sqlite3 *db = sqlite_of(f->t)->db;
    assert_int_equal(sqlite3_exec(db, "PRAGMA max_page_count = 60", NULL, NULL, NULL), SQLITE_OK);
    CODE(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "no space left"));
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations");
    assert_int_equal(claim(f, "me", "b-1", 9), 2);
}

static void test_sqlite_writes_are_durable(void **state)
{
    struct fixture *f = *state;
    int64_t n;

    with_tables(f);
    struct sqlite *s = sqlite_of(f->t);
    EXPECT(f, "wal", "PRAGMA journal_mode");
    OK(f, sqlite_statement_number(s, "PRAGMA synchronous", SQLITE_NONE, &n, &f->e));
    assert_int_equal(n, 2); /* FULL: NORMAL may lose the last commits */
    int on = 0;
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, -1, &on);
    assert_int_equal(on, 1);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1, &on);
    assert_int_equal(on, 0);
}

/* ---- as somebody who may not write ------------------------------------------------------------------------ */

enum { NOBODY = 65534 };

/* Runs in a child without root's rights: cmocka may not be used in it. 0 when all is as expected, else the line. */
static int as_nobody(struct fixture *f, int (*fn)(struct fixture *f))
{
    int status = -1;
    const pid_t child = fork();

    if (child == 0)
        _exit(geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) ? 255 : fn(f));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int reads_but_cannot_write(struct fixture *f)
{
    struct tracker *t = NULL;
    struct err e;
    struct tracker_totals totals;

    err_init(&e);
    if (tracker_open(&t, &(struct tracker_options){.url = f->url}, &e) != ERR_DB ||
        strstr(e.message, "cannot be written") == NULL || strstr(e.hint, "rights") == NULL)
        return 1;
    if (tracker_open(&t, &(struct tracker_options){.url = f->url, .read_only = true}, &e) != ERR_OK)
        return 2;
    const bool read =
        tracker_totals(t, NULL, &totals, &e) == ERR_OK && totals.counts.by[FILE_PENDING] == 2;
    tracker_close(t);
    return read ? 0 : 3;
}

static void test_sqlite_file_that_may_only_be_read_is_read(void **state)
{
    struct fixture *f = *state;
    char before[256], after[256];

    with_tables(f);
    plan(f, "b-1", 1, 2);
    tracker_close(f->t);
    f->t = NULL;
    assert_int_equal(chmod(path_of(f), 0444), 0);
    assert_int_equal(chmod(f->dir, 0555), 0);
    f->driver->snapshot(f, before, sizeof before);
    assert_int_equal(as_nobody(f, reads_but_cannot_write), 0);
    f->driver->snapshot(f, after, sizeof after);
    assert_string_equal(before, after);
    assert_int_equal(chmod(f->dir, 0700), 0);
}

static int cannot_open(struct fixture *f)
{
    struct tracker *t = NULL;
    struct err e;

    err_init(&e);
    return tracker_open(&t, &(struct tracker_options){.url = f->url, .read_only = true}, &e) ==
                       ERR_DB &&
                   strstr(e.message, "cannot open database") != NULL && e.hint[0] != '\0'
               ? 0
               : 1;
}

static void test_sqlite_file_that_may_not_be_read_is_told(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(chmod(path_of(f), 0000), 0);
    assert_int_equal(as_nobody(f, cannot_open), 0);
}

static void test_sqlite_reader_sees_what_only_the_wal_has(void **state)
{
    struct fixture *f = *state;
    struct tracker_totals totals;
    char path[600];

    with_tables(f);
    plan(f, "b-1", 1, 7);
    snprintf(path, sizeof path, "%s-wal", path_of(f));
    assert_int_equal(access(path, F_OK), 0);
    struct tracker *reader = open_tracker(f, true);
    OK(f, tracker_totals(reader, NULL, &totals, &f->e));
    assert_int_equal(totals.counts.by[FILE_PENDING], 7);
    CODE(f, tracker_prepare(reader, &f->e), ERR_OK); /* nothing to do, so nothing to refuse */
    CODE(f, tracker_unlock(reader, "me", &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "reading only"));
    tracker_close(reader);
}

static int64_t pragma(struct fixture *f, const char *sql)
{
    int64_t n = -1;

    OK(f, sqlite_statement_number(sqlite_of(f->t), sql, SQLITE_NONE, &n, &f->e));
    return n;
}

/* -wal may grow to 16 MiB, whatever size the pages have; the application's database keeps its own. */
static void test_sqlite_pages_and_wal_are_bounded(void **state)
{
    struct fixture *f = *state;
    const struct tracker_options o = {.url = f->url, .create = true};
    sqlite3 *theirs = NULL;
    int created;

    assert_int_equal(unlink(path_of(f)), 0);
    assert_int_equal(try_open(f, &o), ERR_OK);
    OK(f, tracker_init(f->t, &created, &f->e));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pragma(f, "PRAGMA page_size"), 8192);
        assert_int_equal(pragma(f, "PRAGMA wal_autocheckpoint"), 2048);
        assert_int_equal(try_open(f, &o), ERR_OK);
    }
    tracker_close(f->t);
    f->t = NULL;
    assert_int_equal(unlink(path_of(f)), 0);
    assert_int_equal(sqlite3_open(path_of(f), &theirs), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(theirs, "PRAGMA page_size = 1024; CREATE TABLE x (y)", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(theirs), SQLITE_OK);
    assert_int_equal(try_open(f, &o), ERR_OK);
    OK(f, tracker_init(f->t, &created, &f->e));
    assert_int_equal(pragma(f, "PRAGMA page_size"), 1024);
    assert_int_equal(pragma(f, "PRAGMA wal_autocheckpoint"), 16384);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_sqlite_file_that_is_missing_is_not_made),
        T(test_sqlite_file_that_is_made_is_for_its_owner),
        T(test_sqlite_file_in_a_missing_folder_is_told),
        T(test_sqlite_file_that_is_no_database_is_told),
        T(test_sqlite_file_that_is_damaged_is_told),
        T(test_sqlite_lock_of_another_program_is_busy),
        T(test_sqlite_file_held_exclusively_is_busy),
        T(test_sqlite_without_space_nothing_is_written),
        T(test_sqlite_writes_are_durable),
        T(test_sqlite_file_that_may_only_be_read_is_read),
        T(test_sqlite_file_that_may_not_be_read_is_told),
        T(test_sqlite_pages_and_wal_are_bounded),
        T(test_sqlite_reader_sees_what_only_the_wal_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
