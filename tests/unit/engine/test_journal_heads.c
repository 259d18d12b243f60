/* What the file alone cannot tell: a cut tail, a chain written anew. The database remembers; and the verifier in docs/, which is
 * not our code, agrees. */
#include "unit/engine/trail.h"

#include "blobferry/base/str.h"

#include <fcntl.h>
#include <sys/wait.h>

#define PYTHON "/usr/bin/python3"

struct remembered {
    struct trail trail;
    struct tracker *tracker;
    struct journal_report report;
};

static void remembered_init(struct remembered *r)
{
    char url[512];
    int created = 0;
    struct err e;

    err_init(&e);
    trail_init(&r->trail);
    snprintf(url, sizeof url, "sqlite:%s/t.db", r->trail.folder.dir);
    if (tracker_open(&r->tracker, &(struct tracker_options){.url = url, .create = true}, &e) !=
            ERR_OK ||
        tracker_init(r->tracker, &created, &e) != ERR_OK ||
        tracker_prepare(r->tracker, &e) != ERR_OK)
        fail_msg("%s", e.message);
}

static void remembered_release(struct remembered *r)
{
    tracker_close(r->tracker);
    trail_release(&r->trail);
}

static void write_and_remember(struct remembered *r, const char *run, int lines)
{
    struct journal *j = trail_open(&r->trail, run);
    struct tracker_head head;

    for (int i = 0; i < lines; i++)
        assert_int_equal(journal_add(j, &(struct journal_entry){.action = "claim"}, NULL), ERR_OK);
    assert_int_equal(journal_commit(j, true, &head, NULL), ERR_OK);
    assert_int_equal(tracker_set_head(r->tracker, &head, NULL), ERR_OK);
    journal_close(j);
}

static enum err_code verify(struct remembered *r)
{
    return journal_verify(r->trail.folder.dir, r->tracker, &r->report, NULL);
}

static void test_journal_heads_hold_for_what_was_written(void **state)
{
    struct remembered r;
    (void)state;

    remembered_init(&r);
    write_and_remember(&r, "run-1", 3);
    trail_write(&r.trail, "run-2", 2, NULL, NULL); /* lines after the head are no fault */
    assert_int_equal(verify(&r), ERR_OK);
    assert_int_equal(r.report.heads, 1);
    assert_int_equal(r.report.heads_missing, 0);
    assert_int_equal(r.report.heads_elsewhere, 0);
    remembered_release(&r);
}

static void test_journal_heads_show_a_cut_tail(void **state)
{
    struct remembered r;
    const char *last;
    size_t len;
    (void)state;

    remembered_init(&r);
    write_and_remember(&r, "run-1", 4);
    trail_load(&r.trail);
    for (int keep = 4; keep >= 1; keep--) {
        last = trail_line(&r.trail, keep, &len);
        trail_store(&r.trail, r.trail.data, (size_t)(last - r.trail.data) + len);
        assert_int_equal(trail_verify(&r.trail, &r.report), ERR_OK); /* the chain alone holds */
        assert_int_equal(verify(&r), ERR_CONFLICT);
        assert_int_equal(r.report.heads_missing, 1);
        assert_int_equal(r.report.bad_line, keep + 1);
        assert_non_null(strstr(r.report.problem, "cut off"));
    }
    remembered_release(&r);
}

/* Cut, and then gone on with by a writer that knows nothing of it: every hash is right. */
static void test_journal_heads_show_a_chain_written_anew(void **state)
{
    struct remembered r;
    size_t len;
    (void)state;

    remembered_init(&r);
    write_and_remember(&r, "run-1", 4);
    trail_load(&r.trail);
    trail_store(&r.trail, r.trail.data, (size_t)(trail_line(&r.trail, 3, &len) - r.trail.data));
    trail_write(&r.trail, "run-2", 8, NULL, NULL);
    assert_int_equal(trail_verify(&r.trail, &r.report), ERR_OK);
    assert_int_equal(verify(&r), ERR_CONFLICT);
    assert_int_equal(r.report.bad_line, 5);
    assert_int_equal(r.report.heads_missing, 1);
    assert_int_equal(r.report.lines, 10); /* the rest of the chain is checked nevertheless */
    remembered_release(&r);
}

static void test_journal_heads_of_other_files_are_counted_apart(void **state)
{
    struct remembered r;
    (void)state;

    remembered_init(&r);
    write_and_remember(&r, "run-1", 2);
    assert_int_equal(unlink(r.trail.path), 0); /* another host's file, or ours removed */
    write_and_remember(&r, "run-2", 1);
    assert_int_equal(verify(&r), ERR_OK);
    assert_int_equal(r.report.heads, 1);
    assert_int_equal(r.report.heads_elsewhere, 1);
    remembered_release(&r);
}

/* ---- the verifier in docs/ ------------------------------------------------------------------------------ */

/* Its exit code; *line is the first bad line that it names. */
static int ask_python(const struct trail *t, long long *line)
{
    const char *root = getenv("BLOBFERRY_TEST_ROOT");
    char script[1024], said[512];
    int status, out[2];
    ssize_t n;
    pid_t pid;

    snprintf(script, sizeof script, "%s/docs/verify_audit.py", root != NULL ? root : ".");
    if (access(script, R_OK) != 0 || access(PYTHON, X_OK) != 0)
        return -1;
    assert_int_equal(pipe(out), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execl(PYTHON, PYTHON, script, t->path, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    n = read(out[0], said, sizeof said - 1);
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(n > 0 && WIFEXITED(status));
    said[n] = '\0';
    *line = str_starts(said, "line ") ? strtoll(said + 5, NULL, 10) : 0;
    return WEXITSTATUS(status);
}

static void compare(const struct trail *t, const char *what)
{
    struct journal_report r;
    long long line = 0;
    const enum err_code code = trail_verify(t, &r);
    const int exit_code = ask_python(t, &line);

    if (exit_code == -1)
        skip();
    if (exit_code != (code == ERR_OK ? 0 : 1) || line != r.bad_line)
        fail_msg("%s: we say line %lld (%s), python %d, line %lld", what, (long long)r.bad_line,
                 r.problem, exit_code, line);
}

static void test_journal_heads_python_agrees(void **state)
{
    struct trail t;
    char what[64];
    const char *line;
    size_t len, before;
    (void)state;

    trail_init(&t);
    trail_write(&t, "run-1", 4, NULL, NULL);
    compare(&t, "whole");
    trail_append(&t, "{\"v\":1,\"ti\n\0\0x", 15);
    compare(&t, "torn");
    trail_write(&t, "run-2", 3, NULL, NULL);
    compare(&t, "torn and recorded");
    trail_load(&t);
    for (size_t i = 0; i < t.len; i += 67) {
        const char was = t.data[i];
        snprintf(what, sizeof what, "byte %zu flipped", i);
        t.data[i] = (char)(was ^ 4);
        trail_store(&t, t.data, t.len);
        compare(&t, what);
        t.data[i] = was;
    }
    for (int n = 1; n <= 10; n++) {
        line = trail_line(&t, n, &len);
        before = (size_t)(line - t.data);
        snprintf(what, sizeof what, "line %d missing", n);
        trail_store(&t, t.data, before);
        trail_append(&t, line + len, t.len - before - len);
        compare(&t, what);
        snprintf(what, sizeof what, "line %d doubled", n);
        trail_store(&t, t.data, before + len);
        trail_append(&t, line, t.len - before);
        compare(&t, what);
        snprintf(what, sizeof what, "cut in line %d", n);
        trail_store(&t, t.data, before + len / 2);
        compare(&t, what);
    }
    trail_store(&t, "", 0);
    compare(&t, "empty");
    trail_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_heads_hold_for_what_was_written),
        cmocka_unit_test(test_journal_heads_show_a_cut_tail),
        cmocka_unit_test(test_journal_heads_show_a_chain_written_anew),
        cmocka_unit_test(test_journal_heads_of_other_files_are_counted_apart),
        cmocka_unit_test(test_journal_heads_python_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
