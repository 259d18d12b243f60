#include "blobferry/base/clock.h"
#include "cli/progress.h"
#include "unit/cli/capture.h"

static struct out plain_out(void)
{
    struct out o;

    memset(&o, 0, sizeof o);
    return o;
}

static void failed(struct progress *p, const char *path, const char *message)
{
    struct record r = {.source_path = path};
    struct err e;

    err_init(&e);
    err_set(&e, ERR_FILE_MISSING, "%s", message);
    progress_event(p, &(struct engine_event){.kind = ENGINE_FILE_FAILED, .record = &r, .err = &e});
}

static void test_progress_names_failed_and_refused_files(void **state)
{
    struct out o = plain_out();
    struct record r = {.source_path = "a/\033[2Jb"};
    struct progress p;
    struct capture c;

    (void)state;
    capture_begin(&c);
    progress_init(&p, &o, "migrated");
    failed(&p, "x", "no such file");
    progress_event(&p, &(struct engine_event){
                           .kind = ENGINE_FILE_REFUSED, .record = &r, .message = "not ours"});
    progress_event(&p, &(struct engine_event){.kind = ENGINE_FILE_DONE, .record = &r});
    progress_event(&p, &(struct engine_event){.kind = ENGINE_NOTE, .message = "two\nlines"});
    progress_end(&p);
    capture_end(&c);
    assert_string_equal(c.out, "");
    assert_string_equal(c.err, "failed 'x': no such file\nrefused 'a/\\x1b[2Jb': not ours\n"
                               "two\\x0alines\n");
    capture_release(&c);
}

static void test_progress_shows_twenty_failures_and_counts_the_rest_once(void **state)
{
    struct out o = plain_out();
    struct progress p;
    struct capture c;
    int lines = 0;

    (void)state;
    capture_begin(&c);
    progress_init(&p, &o, "migrated");
    for (int i = 0; i < 25; i++)
        failed(&p, "x", "no such file");
    progress_end(&p);
    progress_end(&p); /* by the command, and again when it closes */
    capture_end(&c);
    for (const char *at = c.err; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 21);
    assert_non_null(strstr(c.err, "... and 5 more\n"));
    capture_release(&c);
}

static void test_progress_line_on_a_terminal_is_rewritten_and_cleared(void **state)
{
    struct out o = plain_out();
    struct progress p;
    struct capture c;

    (void)state;
    capture_begin(&c);
    o.progress = true;
    progress_init(&p, &o, "migrated");
    p.started_ms = clock_mono_ms() - 1000000; /* 1000 s for half a million files */
    progress_event(&p, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                              .files_done = 499000,
                                              .files_failed = 1000,
                                              .files_total = 1000000,
                                              .bytes_done = 1 << 30,
                                              .bytes_total = -1});
    progress_end(&p);
    capture_end(&c);
    assert_true(strncmp(c.err, "\r\033[K", 4) == 0);
    assert_non_null(strstr(c.err, "migrated 499000 of 1000000 files, 1000 failed, 1.0 GiB"));
    assert_non_null(strstr(c.err, "ETA 0:16:4")); /* not 0: as long again, 1000 s */
    assert_string_equal(c.err + strlen(c.err) - 4, "\r\033[K");
    capture_release(&c);
}

static void test_progress_elsewhere_is_a_plain_line_now_and_then(void **state)
{
    const struct engine_event ev = {
        .kind = ENGINE_PROGRESS, .files_done = 3, .files_total = -1, .bytes_total = -1};
    struct out o = plain_out();
    struct progress p;
    struct capture c;

    (void)state;
    capture_begin(&c);
    progress_init(&p, &o, "migrated");
    progress_event(&p, &ev);
    p.drawn_ms -= 10000;
    progress_event(&p, &ev);
    progress_event(&p, &ev);
    progress_end(&p);
    capture_end(&c);
    assert_non_null(strstr(c.err, "migrated 3 files, 0 B, 0 B/s\n"));
    assert_null(strchr(c.err, '\033'));
    assert_null(strchr(c.err, '\r'));
    assert_ptr_equal(strchr(c.err, '\n'), c.err + strlen(c.err) - 1); /* one line of three events */
    capture_release(&c);
}

static void test_progress_quiet_says_nothing(void **state)
{
    struct out o = plain_out();
    struct progress p;
    struct capture c;

    (void)state;
    capture_begin(&c);
    o.quiet = true;
    progress_init(&p, &o, "migrated");
    failed(&p, "x", "no such file");
    progress_event(&p, &(struct engine_event){.kind = ENGINE_NOTE, .message = "note"});
    progress_end(&p);
    capture_end(&c);
    assert_string_equal(c.err, "");
    capture_release(&c);
}

static void test_progress_events_without_a_record_are_harmless(void **state)
{
    struct out o = plain_out();
    struct progress p;
    struct capture c;

    (void)state;
    capture_begin(&c);
    progress_init(&p, &o, "migrated");
    progress_event(&p, &(struct engine_event){.kind = ENGINE_FILE_FAILED});
    progress_end(&p);
    capture_end(&c);
    assert_string_equal(c.err, "failed '': \n");
    capture_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress_names_failed_and_refused_files),
        cmocka_unit_test(test_progress_shows_twenty_failures_and_counts_the_rest_once),
        cmocka_unit_test(test_progress_line_on_a_terminal_is_rewritten_and_cleared),
        cmocka_unit_test(test_progress_elsewhere_is_a_plain_line_now_and_then),
        cmocka_unit_test(test_progress_quiet_says_nothing),
        cmocka_unit_test(test_progress_events_without_a_record_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
