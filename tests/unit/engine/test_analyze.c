#include "blobferry/engine/analyze.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/log.h"
#include "blobferry/engine/journal.h"

#include "unit/base/scratch.h"

#include <sys/resource.h>
#include <time.h>

#define NOW INT64_C(1795262400000) /* 2026-11-21T12:00:00Z */
#define DAY INT64_C(86400000)

struct fixture {
    struct scratch s;
    struct analyze_result r;
    struct err e;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    scratch_init(&f->s);
    clock_set_wall_for_tests(NOW - 3600000);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    clock_set_wall_for_tests(-1);
    scratch_release(&f->s);
    free(f);
    return 0;
}

static enum err_code analyze(struct fixture *f, const char *log_file, int days)
{
    const struct analyze_options o = {
        .dir = f->s.dir, .log_file = log_file, .now_ms = NOW, .days = days};

    err_init(&f->e);
    return analyze_run(&o, &f->r, &f->e);
}

/* A log as migrate writes it, by the log module itself. */
static void write_log(struct fixture *f, const char *run, bool json, int good, int bad)
{
    struct log *l;

    assert_int_equal(log_open(&l,
                              &(struct log_options){.dir = f->s.dir,
                                                    .command = "migrate",
                                                    .run_id = run,
                                                    .json = json,
                                                    .level = LOG_INFO},
                              NULL),
                     ERR_OK);
    log_event(l, LOG_INFO, "run_begin", (struct log_field[]){{"id", LOG_TEXT, .text = run}, {0}});
    for (int i = 0; i < good; i++)
        log_event(l, LOG_INFO, "file_completed",
                  (struct log_field[]){{"source", LOG_TEXT, .text = "it's \\ a\nname"},
                                       {"bytes", LOG_INT, .integer = 1000},
                                       {"duration_ms", LOG_INT, .integer = 10 + i},
                                       {0}});
    for (int i = 0; i < bad; i++)
        log_event(l, LOG_ERROR, "file_failed",
                  (struct log_field[]){{"source", LOG_TEXT, .text = "bad"},
                                       {"duration_ms", LOG_INT, .integer = 1},
                                       {"error_class", LOG_TEXT, .text = "file_missing"},
                                       {0}});
    log_message(l, LOG_WARN, "careful, '%s'", run);
    log_event(l, LOG_INFO, "run_end",
              (struct log_field[]){{"exit_code", LOG_INT, .integer = bad > 0},
                                   {"duration_ms", LOG_INT, .integer = 2000},
                                   {0}});
    assert_int_equal(log_status(l, NULL), ERR_OK);
    log_close(l);
}

/* The same run in the audit trail, by the journal itself. */
static void write_audit(struct fixture *f, const char *run, int good, int bad)
{
    struct journal *j;
    struct tracker_head head;
    const struct journal_entry failed = {.action = "upload_outcome",
                                         .record_id = "r",
                                         .filename = "bad",
                                         .has_success = true,
                                         .has_duration = true,
                                         .duration_ms = 1,
                                         .error_class = "file_missing"};

    assert_int_equal(
        journal_open(
            &j, &(struct journal_options){.dir = f->s.dir, .run_id = run, .command = "migrate"},
            NULL),
        ERR_OK);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "run_begin"}, NULL), ERR_OK);
    for (int i = 0; i < good; i++) {
        const struct journal_entry entry = {.action = "upload_outcome",
                                            .record_id = "r",
                                            .filename = "good",
                                            .has_size = true,
                                            .size = 1000,
                                            .has_duration = true,
                                            .duration_ms = 10 + i,
                                            .has_success = true,
                                            .success = true};
        assert_int_equal(journal_add(j, &entry, NULL), ERR_OK);
    }
    for (int i = 0; i < bad; i++)
        assert_int_equal(journal_add(j, &failed, NULL), ERR_OK);
    assert_int_equal(journal_add(j,
                                 &(struct journal_entry){.action = "run_end",
                                                         .has_success = true,
                                                         .success = bad == 0,
                                                         .has_duration = true,
                                                         .duration_ms = 2000,
                                                         .extra_json = "{\"result\":\"partial\"}"},
                                 NULL),
                     ERR_OK);
    assert_int_equal(journal_commit(j, false, &head, NULL), ERR_OK);
    journal_close(j);
}

static void append(struct fixture *f, const char *name, const void *text, size_t n)
{
    FILE *file = fopen(scratch_path(&f->s, name), "a");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
}

static void check_counts(const struct fixture *f, int64_t good, int64_t bad, int64_t runs)
{
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].succeeded, good);
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].failed, bad);
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].bytes, 1000 * good);
    assert_int_equal(f->r.durations, good + bad);
    assert_int_equal(f->r.runs, runs);
}

static void test_analyze_counts_text_and_json_logs_alike(void **state)
{
    struct fixture *f = *state;

    for (int json = 0; json < 2; json++) {
        write_log(f, json ? "run-j" : "run-t", json, 97, 3);
        assert_int_equal(analyze(f, NULL, 7), ERR_OK);
        check_counts(f, 97 * (json + 1), 3 * (json + 1), json + 1);
        assert_int_equal(f->r.damaged_lines, 0);
        assert_int_equal(f->r.skipped_count, 0);
        assert_int_equal(f->r.files_read, json + 1);
        assert_int_equal(f->r.lines, 103 * (json + 1));
        assert_int_equal(f->r.errors, 3 * (json + 1));
        assert_int_equal(f->r.warnings, json + 1);
    }
    assert_int_equal(analyze_success_rate(&f->r), 9700);
    assert_int_equal(f->r.runs_failed, 2);
    assert_int_equal(f->r.longest_run_ms, 2000);
    assert_string_equal(f->r.classes[0].name, "file_missing");
    assert_int_equal(f->r.classes[0].count, 6);
    assert_string_equal(f->r.slowest[0].name, "it's \\ a\\x0aname");
    assert_int_equal(f->r.slowest[0].duration_ms, 106);
    assert_string_equal(f->r.first_time, "2026-11-21T11:00:00.000Z");
}

static void test_analyze_counts_a_run_once_when_audit_and_log_tell_of_it(void **state)
{
    struct fixture *f = *state;

    write_log(f, "run-t", false, 10, 1);
    write_log(f, "run-j", true, 20, 2);
    write_log(f, "run-alone", false, 100, 0); /* its audit trail was moved away */
    write_audit(f, "run-t", 10, 1);
    write_audit(f, "run-j", 20, 2);
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    check_counts(f, 130, 3, 3);
    assert_int_equal(f->r.runs_failed, 2);
    assert_int_equal(f->r.runs_unfinished, 0);
    assert_int_equal(f->r.errors, 3); /* of log lines, always */
}

static void test_analyze_does_not_count_a_log_that_hides_its_run_beside_an_audit(void **state)
{
    static const char line[] =
        "2026-11-21T11:00:00.000Z error file_failed source='x' error_class='file'\n";
    struct fixture *f = *state;

    append(f, "migrate_20261121_110000.log", line, sizeof line - 1); /* level error: no run_begin */
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].failed, 1);
    write_audit(f, "run", 1, 1);
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    check_counts(f, 1, 1, 1);
}

static void test_analyze_one_file_of_either_kind(void **state)
{
    struct fixture *f = *state;

    write_log(f, "run-t", false, 10, 1);
    write_audit(f, "run-t", 10, 1);
    write_audit(f, "run-u", 5, 0);
    assert_int_equal(analyze(f, scratch_path(&f->s, "migrate_20261121_110000.log"), 0), ERR_OK);
    check_counts(f, 10, 1, 1);
    assert_int_equal(f->r.files_read, 1);
    assert_int_equal(analyze(f, scratch_path(&f->s, "audit.jsonl"), 0), ERR_OK);
    check_counts(f, 15, 1, 2);
}

static void test_analyze_days_are_days(void **state)
{
    static const char *const ages[] = {"old", "edge", "new"};
    const int64_t times[] = {NOW - 7 * DAY - 1, NOW - 7 * DAY, NOW - 1};
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        clock_set_wall_for_tests(times[i]);
        write_audit(f, ages[i], i + 1, 0);
        write_log(f,
                  i == 0   ? "old-log"
                  : i == 1 ? "edge-log"
                           : "new-log",
                  i % 2 == 0, 10 * (i + 1), 0);
    }
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    check_counts(f, 2 + 3 + 20 + 30, 0, 4);
    assert_string_equal(f->r.first_time, "2026-11-14T12:00:00.000Z");
    assert_string_equal(f->r.last_time, "2026-11-21T11:59:59.999Z");
    assert_int_equal(analyze(f, NULL, 0), ERR_OK);
    check_counts(f, 55, 0, 4);
    assert_int_equal(analyze(f, NULL, 1), ERR_OK);
    check_counts(f, 33, 0, 2);
    assert_int_equal(analyze(f, NULL, 36500), ERR_OK);
    check_counts(f, 66, 0, 6);
    assert_int_equal(analyze(f, scratch_path(&f->s, "audit.jsonl"), 0), ERR_OK);
    check_counts(f, 6, 0, 3);
    assert_int_equal(analyze(f, scratch_path(&f->s, "audit.jsonl"), 1), ERR_OK);
    check_counts(f, 3, 0, 1);
}

static void test_analyze_names_and_skips_foreign_files(void **state)
{
    struct fixture *f = *state;
    char *big = malloc(3000000);
    bool seen[4] = {false};

    assert_non_null(big);
    memset(big, 'A', 3000000);
    append(f, "binary.log", big, 3000000);
    free(big);
    for (int i = 0; i < 100; i++)
        append(f, "nginx.log", "127.0.0.1 - - \"GET / HTTP/1.1\" 200 1\n", 37);
    append(f, "empty.log", "", 0);
    append(f, "notes.txt", "not even a log\n", 15);
    append(f, "evil\n\x1b[31m.log", "?\n", 2);
    assert_int_equal(mkfifo(scratch_path(&f->s, "fifo.log"), 0600), 0);
    write_log(f, "run", false, 3, 0);
    assert_int_equal(analyze(f, NULL, 36500), ERR_OK);
    check_counts(f, 3, 0, 1);
    assert_int_equal(f->r.files_read, 2); /* the empty one too */
    assert_int_equal(f->r.skipped_count, 4);
    for (int i = 0; i < 4; i++) {
        const char *t = f->r.skipped[i];
        seen[0] = seen[0] || strcmp(t, "binary.log: is none of ours") == 0;
        seen[1] = seen[1] || strcmp(t, "nginx.log: is none of ours") == 0;
        seen[2] = seen[2] || strcmp(t, "fifo.log: is no regular file") == 0;
        seen[3] = seen[3] || strcmp(t, "evil\\x0a\\x1b[31m.log: is none of ours") == 0;
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
    assert_int_equal(f->r.damaged_lines, 0);
}

static void test_analyze_counts_damaged_lines_and_names_the_file(void **state)
{
    struct fixture *f = *state;
    char *text;
    FILE *file;

    write_log(f, "run", true, 50, 0);
    text = scratch_read(scratch_path(&f->s, "migrate_20261121_110000.log"));
    file = fopen(scratch_path(&f->s, "migrate_20261121_110000.log"), "w");
    assert_non_null(file);
    fputs("{\"time\":\"2026-11-21T1\n", file); /* the first line is damaged: not foreign for that */
    fwrite(text, 1, strlen(text) / 2, file);   /* torn in the middle of a line … */
    fwrite("\n\0\0\0\n", 1, 5, file);
    fputs(strchr(text + strlen(text) / 2, '\n') + 1, file); /* … and whole again after it */
    fputs("{\"time\":\"2026-11-21T11:00:00.000Z\",\"level\":\"in", file);
    fclose(file);
    free(text);
    assert_int_equal(analyze(f, NULL, 36500), ERR_OK);
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].succeeded, 49);
    assert_int_equal(f->r.damaged_lines, 4);
    assert_int_equal(f->r.skipped_count, 1);
    assert_string_equal(f->r.skipped[0],
                        "migrate_20261121_110000.log: 4 damaged lines, the first is line 1");
}

static void test_analyze_reads_past_a_torn_audit_line(void **state)
{
    struct fixture *f = *state;

    write_audit(f, "a", 2, 0);
    append(f, "audit.jsonl", "{\"v\":1,\"time\":\"2026-11-21T11:00:00.000Z\",\"lo", 45);
    write_audit(f, "b", 3, 0); /* the journal closes the torn line and says so */
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    check_counts(f, 5, 0, 2);
    assert_int_equal(f->r.damaged_lines, 1);
    assert_int_equal(f->r.runs_unfinished, 0);
}

static void test_analyze_tells_of_a_run_without_an_end(void **state)
{
    struct fixture *f = *state;
    struct tracker_head head;
    struct journal *j;

    write_audit(f, "a", 1, 0);
    assert_int_equal(journal_open(&j,
                                  &(struct journal_options){
                                      .dir = f->s.dir, .run_id = "killed", .command = "migrate"},
                                  NULL),
                     ERR_OK);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "run_begin"}, NULL), ERR_OK);
    clock_set_wall_for_tests(NOW - 3600000 + 31 * 60000);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "upload_intent"}, NULL),
                     ERR_OK);
    assert_int_equal(journal_commit(j, false, &head, NULL), ERR_OK);
    journal_close(j);
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    assert_int_equal(f->r.runs, 2);
    assert_int_equal(f->r.runs_unfinished, 1);
    assert_int_equal(f->r.longest_run_ms, 31 * 60000);
    assert_true(f->r.alert[ANALYZE_LONG_RUN]);
}

static void test_analyze_nothing_to_read_is_no_success(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(analyze(f, NULL, 7), ERR_NOTFOUND);
    assert_non_null(strstr(f->e.message, f->s.dir));
    append(f, "x.log", "foreign\n", 8);
    assert_int_equal(analyze(f, NULL, 36500), ERR_NOTFOUND);
    assert_int_equal(f->r.skipped_count, 1);
    assert_int_equal(analyze(f, scratch_path(&f->s, "x.log"), 7), ERR_PARSE);
    assert_int_equal(analyze(f, scratch_path(&f->s, "absent.log"), 7), ERR_FILE_MISSING);
    assert_int_equal(analyze(f, f->s.dir, 7), ERR_FILE_TYPE);
    append(f, "empty", "", 0);
    assert_int_equal(analyze(f, scratch_path(&f->s, "empty"), 7), ERR_NOTFOUND);
    clock_set_wall_for_tests(NOW - 30 * DAY);
    write_audit(f, "old", 1, 0);
    assert_int_equal(analyze(f, NULL, 7), ERR_NOTFOUND);
    assert_int_equal(analyze(f, NULL, 31), ERR_OK);
}

static void test_analyze_a_missing_folder(void **state)
{
    struct fixture *f = *state;
    struct analyze_options o = {.dir = scratch_path(&f->s, "absent"), .now_ms = NOW};

    assert_int_equal(analyze_run(&o, &f->r, &f->e), ERR_FILE_MISSING);
    assert_non_null(strstr(f->e.message, "absent"));
}

static void test_analyze_a_million_lines_quickly_in_constant_memory(void **state)
{
    static const char format[] =
        "{\"v\":1,\"time\":\"2026-11-21T11:00:00.%03dZ\",\"log\":\"0192a000-0000-7000-8000-"
        "000000000000\","
        "\"run\":\"0192a000-0000-7000-8000-%012d\",\"seq\":%d,\"action\":\"%s\",\"file_id\":\"f-%"
        "d\","
        "\"record_id\":\"0192a000-0000-7000-8000-%012d\",\"batch_id\":\"b-1\",\"filename\":\"photo "
        "%d.jpg\","
        "\"target_key\":\"uploads/2026/photo "
        "%d.jpg\",\"size\":%d,\"duration_ms\":%d,\"success\":%s,"
        "\"hash\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}\n";
    struct fixture *f = *state;
    struct rusage before, after;
    struct timespec from, to;
    FILE *file = fopen(scratch_path(&f->s, "audit.jsonl"), "w");

    assert_non_null(file);
    for (int i = 0; i < 1000000; i++)
        fprintf(file, format, i % 1000, i / 1000, i + 1,
                i % 2 == 0 ? "upload_intent" : "upload_outcome", i, i, i, i, i % 5000, i % 3000,
                i % 100 == 1 ? "false" : "true");
    fclose(file);
    getrusage(RUSAGE_SELF, &before);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    assert_int_equal(analyze(f, NULL, 7), ERR_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(f->r.lines, 1000000);
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].succeeded, 490000);
    assert_int_equal(f->r.kind[ANALYZE_UPLOAD].failed, 10000);
    assert_int_equal(f->r.runs, 1000);
    print_message("# %.1f s, %ld KiB more\n",
                  (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec),
                  after.ru_maxrss - before.ru_maxrss);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (getenv("LD_PRELOAD") != NULL && strstr(getenv("LD_PRELOAD"), "vgpreload") != NULL)
        return; /* valgrind */
    assert_true(after.ru_maxrss - before.ru_maxrss < 8 * 1024);
    assert_true(to.tv_sec - from.tv_sec < 15); /* of processor time; 1 s where this was written */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_analyze_counts_text_and_json_logs_alike, begin, end),
        cmocka_unit_test_setup_teardown(
            test_analyze_counts_a_run_once_when_audit_and_log_tell_of_it, begin, end),
        cmocka_unit_test_setup_teardown(
            test_analyze_does_not_count_a_log_that_hides_its_run_beside_an_audit, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_one_file_of_either_kind, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_days_are_days, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_names_and_skips_foreign_files, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_counts_damaged_lines_and_names_the_file, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_analyze_reads_past_a_torn_audit_line, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_tells_of_a_run_without_an_end, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_nothing_to_read_is_no_success, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_a_missing_folder, begin, end),
        cmocka_unit_test_setup_teardown(test_analyze_a_million_lines_quickly_in_constant_memory,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
