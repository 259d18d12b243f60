#include "blobferry/base/clock.h"
#include "blobferry/base/log.h"
#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"
#include "unit/base/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

#define NOON INT64_C(1795262400123) /* 2026-11-21T12:00:00.123Z */

/* The program's own write(2), so that a test can count, shorten and fail log writes. */
static int write_calls;
static int write_errno;
static size_t write_at_most = SIZE_MAX;

ssize_t write(int fd, const void *p, size_t n)
{
    write_calls++;
    if (write_errno != 0) {
        errno = write_errno;
        return -1;
    }
    return syscall(SYS_write, fd, p, n < write_at_most ? n : write_at_most);
}

static struct log *open_log(struct scratch *s, bool json, enum log_level level)
{
    struct log *l = NULL;
    const struct log_options o = {
        .dir = s->dir, .command = "migrate", .run_id = "r-1", .json = json, .level = level};
    assert_int_equal(log_open(&l, &o, NULL), ERR_OK);
    assert_non_null(l);
    return l;
}

static int lines_in(const char *text)
{
    int lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void test_log_file_is_named_and_private(void **state)
{
    (void)state;
    struct scratch s;
    struct stat st;
    char dir[300];
    struct log *l = NULL;
    scratch_init(&s);
    snprintf(dir, sizeof dir, "%s/a/logs", s.dir);
    clock_set_wall_for_tests(NOON);
    const mode_t before = umask(0);
    assert_int_equal(log_open(&l, &(struct log_options){.dir = dir, .command = "migrate"}, NULL),
                     ERR_OK);
    umask(before);
    assert_string_equal(log_path(l), scratch_path(&s, "a/logs/migrate_20261121_120000.log"));
    assert_int_equal(stat(log_path(l), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    log_close(l);
    clock_set_wall_for_tests(-1);
    scratch_release(&s);
}

static void test_log_files_of_one_second_are_distinct(void **state)
{
    (void)state;
    static const char *const names[] = {
        "migrate_20261121_120000.log", "migrate_20261121_120000-2.log",
        "migrate_20261121_120000-3.log", "migrate_20261121_120000-5.log"};
    struct scratch s;
    struct log *logs[4];
    scratch_init(&s);
    clock_set_wall_for_tests(NOON);
    assert_int_equal(symlink("/nowhere", scratch_path(&s, "migrate_20261121_120000-4.log")), 0);
    for (int i = 0; i < 4; i++) {
        logs[i] = open_log(&s, false, LOG_INFO);
        assert_string_equal(log_path(logs[i]), scratch_path(&s, names[i]));
    }
    for (int i = 0; i < 4; i++)
        log_close(logs[i]);
    clock_set_wall_for_tests(-1);
    scratch_release(&s);
}

static void test_log_command_cannot_leave_the_folder(void **state)
{
    (void)state;
    struct scratch s;
    struct log *l = NULL;
    scratch_init(&s);
    clock_set_wall_for_tests(NOON);
    assert_int_equal(
        log_open(&l, &(struct log_options){.dir = s.dir, .command = "../../x y\n"}, NULL), ERR_OK);
    assert_string_equal(log_path(l), scratch_path(&s, "______x_y__20261121_120000.log"));
    log_close(l);
    clock_set_wall_for_tests(-1);
    scratch_release(&s);
}

static void test_log_writes_one_event_with_one_write(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    clock_set_wall_for_tests(NOON);
    struct log *l = open_log(&s, false, LOG_INFO);
    write_calls = 0;
    log_event(l, LOG_INFO, "file_completed",
              (struct log_field[]){
                  {"file", LOG_TEXT, .text = "a\nb"}, {"bytes", LOG_INT, .integer = 12}, {0}});
    assert_int_equal(write_calls, 1);
    log_message(l, LOG_WARN, "%d%% of '%s'", 50, "x");
    assert_int_equal(write_calls, 2);
    char *text = scratch_read(log_path(l));
    assert_string_equal(text,
                        "2026-11-21T12:00:00.123Z info  file_completed file='a\\x0ab' bytes=12\n"
                        "2026-11-21T12:00:00.123Z warn  message text='50% of \\'x\\''\n");
    free(text);
    assert_int_equal(log_status(l, NULL), ERR_OK);
    log_close(l);
    clock_set_wall_for_tests(-1);
    scratch_release(&s);
}

static void test_log_held_lines_are_written_together(void **state)
{
    (void)state;
    struct scratch s;
    struct stat st;
    scratch_init(&s);
    struct log *l = open_log(&s, true, LOG_INFO);
    log_hold(l);
    for (int i = 0; i < 10; i++)
        log_message(l, LOG_INFO, "line %d", i);
    assert_int_equal(stat(log_path(l), &st), 0);
    assert_int_equal(st.st_size, 0);
    log_unhold(l);
    char *text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), 10);
    free(text);
    log_hold(l);
    for (int i = 0; i < 5000; i++) /* more than is held: nothing grows, nothing is lost */
        log_message(l, LOG_INFO, "line %d of many", i);
    assert_int_equal(stat(log_path(l), &st), 0);
    assert_true(st.st_size > 100000);
    log_unhold(l);
    text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), 5010);
    assert_int_equal(log_status(l, NULL), ERR_OK);
    free(text);
    log_close(l);
    scratch_release(&s);
}

static void test_log_json_lines_carry_command_and_run(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    clock_set_wall_for_tests(NOON);
    struct log *l = open_log(&s, true, LOG_INFO);
    log_event(l, LOG_ERROR, "e", NULL);
    char *text = scratch_read(log_path(l));
    assert_string_equal(text, "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"error\","
                              "\"command\":\"migrate\",\"run\":\"r-1\",\"event\":\"e\"}\n");
    free(text);
    log_close(l);
    clock_set_wall_for_tests(-1);
    scratch_release(&s);
}

static void test_log_levels_filter(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        struct log *l = open_log(&s, false, (enum log_level)level);
        for (int event = LOG_ERROR; event <= LOG_DEBUG; event++)
            log_event(l, (enum log_level)event, "e", NULL);
        char *text = scratch_read(log_path(l));
        assert_int_equal(lines_in(text), level + 1);
        free(text);
        log_close(l);
    }
    scratch_release(&s);
}

static void test_log_redacts_secrets(void **state)
{
    (void)state;
    struct scratch s;
    struct secret secret;
    scratch_init(&s);
    secret_init(&secret);
    assert_int_equal(secret_set(&secret, "SENTINEL-KEY", 12, NULL), ERR_OK);
    struct log *l = open_log(&s, true, LOG_DEBUG);
    log_event(l, LOG_INFO, "request",
              (struct log_field[]){{"url", LOG_TEXT, .text = "/?token=SENTINEL-KEY&x"}, {0}});
    log_message(l, LOG_DEBUG, "Authorization: %s", secret_peek(&secret));
    char *text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), 2);
    assert_null(strstr(text, "SENTINEL"));
    assert_non_null(strstr(text, "/?token=************&x"));
    free(text);
    log_close(l);
    secret_release(&secret);
    scratch_release(&s);
}

static void test_log_null_drops_everything(void **state)
{
    (void)state;
    log_event(NULL, LOG_ERROR, "e", NULL);
    log_message(NULL, LOG_ERROR, "%s", "m");
    assert_string_equal(log_path(NULL), "");
    assert_int_equal(log_status(NULL, NULL), ERR_OK);
    log_close(NULL);
}

static void test_log_full_disk_is_sticky_and_told_once_there_is_space(void **state)
{
    (void)state;
    struct scratch s;
    struct err e;
    scratch_init(&s);
    err_init(&e);
    struct log *l = open_log(&s, false, LOG_INFO);
    log_event(l, LOG_INFO, "first", NULL);
    write_errno = ENOSPC;
    log_event(l, LOG_INFO, "second", NULL);
    log_event(l, LOG_INFO, "third", NULL);
    write_errno = 0;
    assert_int_equal(log_status(l, &e), ERR_FILE_SPACE);
    assert_non_null(strstr(e.message, log_path(l)));
    log_event(l, LOG_INFO, "fourth", NULL);
    assert_int_equal(log_status(l, NULL), ERR_FILE_SPACE);
    char *text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), 3);
    assert_null(strstr(text, "second"));
    assert_non_null(strstr(text, "error log_lines_lost lines=2\n"));
    assert_true(str_ends(text, "info  fourth\n"));
    free(text);
    log_close(l);
    scratch_release(&s);
}

static void test_log_torn_lines_are_taken_back(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct log *l = open_log(&s, true, LOG_INFO);
    log_event(l, LOG_INFO, "first", NULL);
    write_at_most = 10;
    log_event(l, LOG_INFO, "torn", NULL);
    write_at_most = SIZE_MAX;
    char *text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), 1);
    assert_true(str_ends(text, "\"event\":\"first\"}\n"));
    free(text);
    log_event(l, LOG_INFO, "last", NULL);
    text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), 3);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_true(str_starts(line, "{\"time\":"));
    free(text);
    assert_int_equal(log_status(l, NULL), ERR_FILE_SPACE);
    log_close(l);
    scratch_release(&s);
}

static void test_log_other_failures_are_reported_too(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct log *l = open_log(&s, false, LOG_INFO);
    write_errno = EIO;
    log_message(l, LOG_INFO, "x");
    write_errno = ENOSPC;
    log_message(l, LOG_INFO, "y");
    write_errno = 0;
    assert_int_equal(log_status(l, NULL), ERR_FILE); /* the first reason */
    log_close(l);
    scratch_release(&s);
}

static void test_log_open_fails_cleanly(void **state)
{
    (void)state;
    struct scratch s;
    struct err e;
    struct log *l = (struct log *)&s;
    scratch_init(&s);
    err_init(&e);
    scratch_write(&s, "f", "x");
    assert_int_equal(log_open(&l, &(struct log_options){.dir = s.path, .command = "c"}, &e),
                     ERR_FILE_TYPE);
    assert_null(l);
    assert_false(str_empty(e.message));
    assert_int_equal(log_open(&l, &(struct log_options){.dir = "/proc", .command = "c"}, &e),
                     ERR_FILE_MISSING);
    assert_null(l);
    assert_false(str_empty(e.hint));
    scratch_release(&s);
}

enum { THREADS = 4, EVENTS = 200 };

static void *write_many(void *l)
{
    for (int i = 0; i < EVENTS; i++)
        log_event(l, LOG_INFO, "e", (struct log_field[]){{"i", LOG_INT, .integer = i}, {0}});
    return NULL;
}

static void test_log_lines_of_threads_never_mix(void **state)
{
    (void)state;
    struct scratch s;
    pthread_t threads[THREADS];
    scratch_init(&s);
    struct log *l = open_log(&s, true, LOG_INFO);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, l), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    char *text = scratch_read(log_path(l));
    assert_int_equal(lines_in(text), THREADS * EVENTS);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); *line != '\0'; line = strsep(&rest, "\n")) {
        assert_true(str_starts(line, "{\"time\":\""));
        assert_true(str_ends(line, "}"));
        assert_null(strstr(line + 1, "{"));
    }
    free(text);
    log_close(l);
    scratch_release(&s);
}

static void test_log_level_parse_takes_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum log_level level;
    } good[] = {{"error", LOG_ERROR}, {"WARN", LOG_WARN}, {"Warning", LOG_WARN},
                {"info", LOG_INFO},   {"Info", LOG_INFO}, {"DEBUG", LOG_DEBUG}};
    enum log_level level;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(log_level_parse(good[i].name, &level));
        assert_int_equal(level, good[i].level);
    }
    level = LOG_WARN;
    assert_false(log_level_parse("", &level));
    assert_false(log_level_parse("information", &level));
    assert_false(log_level_parse(NULL, &level));
    assert_int_equal(level, LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_file_is_named_and_private),
        cmocka_unit_test(test_log_files_of_one_second_are_distinct),
        cmocka_unit_test(test_log_command_cannot_leave_the_folder),
        cmocka_unit_test(test_log_writes_one_event_with_one_write),
        cmocka_unit_test(test_log_held_lines_are_written_together),
        cmocka_unit_test(test_log_json_lines_carry_command_and_run),
        cmocka_unit_test(test_log_levels_filter),
        cmocka_unit_test(test_log_redacts_secrets),
        cmocka_unit_test(test_log_null_drops_everything),
        cmocka_unit_test(test_log_full_disk_is_sticky_and_told_once_there_is_space),
        cmocka_unit_test(test_log_torn_lines_are_taken_back),
        cmocka_unit_test(test_log_other_failures_are_reported_too),
        cmocka_unit_test(test_log_open_fails_cleanly),
        cmocka_unit_test(test_log_lines_of_threads_never_mix),
        cmocka_unit_test(test_log_level_parse_takes_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
