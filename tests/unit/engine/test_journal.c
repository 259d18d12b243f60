#include "unit/engine/trail.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/secret.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/json.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void test_journal_begins_with_a_line_of_its_own(void **state)
{
    struct trail t;
    struct journal_report r;
    struct stat st;
    struct json *line;
    int64_t n = 0;
    (void)state;

    trail_init(&t);
    journal_close(trail_open(&t, "run-1"));
    trail_load(&t);
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    line = json_parse(t.data, t.len, NULL);
    assert_string_equal(json_string(json_get(line, "action")), "log_begin");
    assert_true(json_integer(json_get(line, "seq"), &n));
    assert_int_equal(n, 1);
    assert_string_equal(json_string(json_get(line, "run")), "run-1");
    json_free(line);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, 1);
    trail_release(&t);
}

static void test_journal_makes_its_folder_private(void **state)
{
    struct scratch s;
    struct journal *j = NULL;
    struct stat st;
    char dir[400];
    (void)state;

    scratch_init(&s);
    snprintf(dir, sizeof dir, "%s/a/logs", s.dir);
    assert_int_equal(journal_open(&j, &(struct journal_options){.dir = dir, .run_id = "r"}, NULL),
                     ERR_OK);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    journal_close(j);
    scratch_release(&s);
}

static void test_journal_line_has_the_members_that_were_given(void **state)
{
    struct trail t;
    struct journal *j;
    struct json *line;
    const char *text;
    size_t len;
    bool yes = false;
    int64_t n = 0;
    (void)state;

    trail_init(&t);
    clock_set_wall_for_tests(1795262400123);
    j = trail_open(&t, "run-1");
    assert_int_equal(journal_add(j,
                                 &(struct journal_entry){.action = "upload_outcome",
                                                         .record_id = "r\"1\n",
                                                         .filename = "caf\xc3\xa9",
                                                         .source_path = "\xff\xfe",
                                                         .has_size = true,
                                                         .size = 0,
                                                         .has_success = true,
                                                         .success = true,
                                                         .extra_json = "{\"a\":\n[1,2]}"},
                                 NULL),
                     ERR_OK);
    assert_int_equal(journal_pending(j), 1);
    assert_int_equal(journal_commit(j, false, NULL, NULL), ERR_OK);
    assert_int_equal(journal_pending(j), 0);
    clock_set_wall_for_tests(-1);
    trail_load(&t);
    text = trail_line(&t, 2, &len);
    line = json_parse(text, len, NULL);
    assert_non_null(line);
    assert_string_equal(json_string(json_get(line, "time")), "2026-11-21T12:00:00.123Z");
    assert_string_equal(json_string(json_get(line, "record_id")), "r\"1\n");
    assert_string_equal(json_string(json_get(line, "filename")), "caf\xc3\xa9");
    assert_string_equal(json_string(json_get(json_get(line, "source_path"), "b64")), "//4=");
    assert_true(json_integer(json_get(line, "size"), &n) && n == 0);
    assert_true(json_boolean(json_get(line, "success"), &yes) && yes);
    assert_int_equal(json_length(json_get(json_get(line, "extra"), "a")), 2);
    assert_null(json_get(line, "error"));
    assert_null(json_get(line, "duration_ms"));
    json_free(line);
    journal_close(j);
    trail_release(&t);
}

/* Written from journal.h, not from the code. */
static void test_journal_hash_is_what_the_header_says(void **state)
{
    struct trail t;
    char text[2048], want[DIGEST_SHA256_HEX], previous[65];
    const char *line;
    size_t len, bare;
    (void)state;

    trail_init(&t);
    trail_write(&t, "run-1", 2, NULL, NULL);
    trail_load(&t);
    memset(previous, '0', 64);
    previous[64] = '\0';
    for (int i = 1; i <= 3; i++) {
        line = trail_line(&t, i, &len);
        bare = len - 1 - strlen(",\"hash\":\"\"}") - 64;
        snprintf(text, sizeof text, "%s\n%.*s}", previous, (int)bare, line);
        digest_sha256_hex(text, strlen(text), want);
        memcpy(previous, line + len - 1 - 2 - 64, 64);
        assert_string_equal(previous, want);
    }
    trail_release(&t);
}

static void test_journal_head_is_the_last_line(void **state)
{
    struct trail t;
    struct journal_report r;
    struct journal *j;
    struct tracker_head head;
    char hash[TRACKER_HASH_SIZE];
    int64_t seq;
    (void)state;

    trail_init(&t);
    trail_write(&t, "run-1", 5, &seq, hash);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(seq, 6);
    assert_int_equal(r.last_seq, seq);
    assert_string_equal(r.last_hash, hash);
    j = trail_open(&t, "run-2"); /* with nothing buffered: the head as it stands */
    assert_int_equal(journal_commit(j, true, &head, NULL), ERR_OK);
    assert_int_equal(head.seq, 6);
    assert_string_equal(head.hash, hash);
    assert_string_equal(head.log_id, r.log_id);
    assert_string_equal(head.run_id, "run-2");
    journal_close(j);
    trail_release(&t);
}

static void test_journal_commits_by_itself_when_much_is_buffered(void **state)
{
    struct trail t;
    struct journal_report r;
    struct journal *j;
    (void)state;

    trail_init(&t);
    j = trail_open(&t, "run-1");
    for (int i = 0; i < 5000; i++)
        assert_int_equal(journal_add(j, &(struct journal_entry){.action = "claim"}, NULL), ERR_OK);
    assert_int_equal(journal_pending(j), 5000 - 4096);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, 4097);
    journal_close(j); /* what was not committed is dropped */
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, 4097);
    trail_release(&t);
}

static void test_journal_cuts_texts_that_are_too_long(void **state)
{
    const size_t n = (size_t)3 << 20;
    char *text = malloc(n + 1), hash[DIGEST_SHA256_HEX];
    struct trail t;
    struct journal *j;
    struct journal_report r;
    struct json *line;
    const struct json *cut;
    const char *at;
    int64_t bytes = 0;
    size_t len;
    (void)state;

    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 == 0 ? '\xc3' : '\xa9';
    text[n] = '\0';
    digest_sha256_hex(text, n, hash);
    trail_init(&t);
    j = trail_open(&t, "run-1");
    assert_int_equal(
        journal_add(j, &(struct journal_entry){.action = "claim", .detail = text}, NULL), ERR_OK);
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    journal_close(j);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    trail_load(&t);
    at = trail_line(&t, 2, &len);
    line = json_parse(at, len, NULL);
    cut = json_get(line, "detail");
    assert_int_equal(strlen(json_string(json_get(cut, "cut"))), 4096);
    assert_true(json_integer(json_get(cut, "bytes"), &bytes));
    assert_int_equal(bytes, n);
    assert_string_equal(json_string(json_get(cut, "sha256")), hash);
    json_free(line);
    free(text);
    trail_release(&t);
}

static void test_journal_redacts_secrets(void **state)
{
    struct trail t;
    struct journal *j;
    struct secret s;
    (void)state;

    trail_init(&t);
    secret_init(&s);
    assert_int_equal(secret_set(&s, "hunter2hunter2", 14, NULL), ERR_OK);
    j = trail_open(&t, "run-1");
    assert_int_equal(
        journal_add(j,
                    &(struct journal_entry){.action = "claim",
                                            .error = "key hunter2hunter2 refused",
                                            .extra_json = "{\"k\":\"hunter2hunter2\"}"},
                    NULL),
        ERR_OK);
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    journal_close(j);
    trail_load(&t);
    assert_null(strstr(t.data, "hunter2"));
    assert_non_null(strstr(t.data, "key ************** refused"));
    secret_release(&s);
    trail_release(&t);
}

/* Texts are redacted one by one: what looks like a secret from one into the next is the line's own form. */
static void test_journal_redacts_texts_not_the_line(void **state)
{
    static const char across[] = "f-1\",\"record_id\":\"r-1", odd[] = "q\"u\\o\nte";
    struct trail t;
    struct journal *j;
    struct secret s, u;
    (void)state;

    trail_init(&t);
    secret_init(&s);
    secret_init(&u);
    assert_int_equal(secret_set(&s, across, sizeof across - 1, NULL), ERR_OK);
    assert_int_equal(secret_set(&u, odd, sizeof odd - 1, NULL), ERR_OK);
    j = trail_open(&t, "run-1");
    assert_int_equal(journal_add(j,
                                 &(struct journal_entry){.action = "claim",
                                                         .file_id = "f-1",
                                                         .record_id = "r-1",
                                                         .detail = odd,
                                                         .error = across},
                                 NULL),
                     ERR_OK);
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    journal_close(j);
    trail_load(&t);
    assert_non_null(strstr(t.data,
                           "\"file_id\":\"f-1\",\"record_id\":\"r-1\",\"detail\":\"********\","
                           "\"error\":\"*********************\","));
    secret_release(&u);
    secret_release(&s);
    trail_release(&t);
}

static void test_journal_refuses_what_is_no_entry(void **state)
{
    struct trail t;
    struct journal *j;
    (void)state;

    trail_init(&t);
    assert_int_equal(
        journal_open(&j, &(struct journal_options){.dir = t.folder.dir, .run_id = "a b"}, NULL),
        ERR_GENERAL);
    assert_null(j);
    j = trail_open(&t, "run-1");
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = NULL}, NULL), ERR_GENERAL);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "A B"}, NULL), ERR_GENERAL);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "torn_tail"}, NULL),
                     ERR_GENERAL);
    assert_int_equal(
        journal_add(j, &(struct journal_entry){.action = "claim", .extra_json = "[1]"}, NULL),
        ERR_GENERAL);
    assert_int_equal(
        journal_add(j, &(struct journal_entry){.action = "claim", .extra_json = "{\"a\":1}}"},
                    NULL),
        ERR_GENERAL);
    assert_int_equal(journal_pending(j), 0);
    journal_close(j);
    trail_release(&t);
}

static int append_groups(const struct trail *t, int writer)
{
    struct journal *j = NULL;
    char run[16], id[64];

    snprintf(run, sizeof run, "w%d", writer);
    if (journal_open(&j, &(struct journal_options){.dir = t->folder.dir, .run_id = run}, NULL) !=
        ERR_OK)
        return 1;
    for (int group = 0; group < 200; group++) {
        for (int i = 0; i <= group % 3; i++) {
            snprintf(id, sizeof id, "%s-%d-%d", run, group, i);
            if (journal_add(j, &(struct journal_entry){.action = "claim", .record_id = id}, NULL) !=
                ERR_OK)
                return 2;
        }
        if (journal_commit(j, group % 50 == 0, NULL, NULL) != ERR_OK)
            return 3;
    }
    journal_close(j);
    return 0;
}

/* All four make the file at once as well. */
static void test_journal_is_shared_by_processes(void **state)
{
    struct journal_report r;
    struct trail t;
    pid_t pids[4];
    int status;
    (void)state;

    trail_init(&t);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(append_groups(&t, i));
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, 1 + 4 * (67 * 1 + 67 * 2 + 66 * 3));
    assert_int_equal(r.last_seq, r.lines);
    assert_int_equal(scratch_count(&t.folder), 1);
    trail_release(&t);
}

static void test_journal_two_writers_take_turns(void **state)
{
    struct journal_report r;
    struct journal *a, *b;
    struct trail t;
    (void)state;

    trail_init(&t);
    a = trail_open(&t, "run-a");
    b = trail_open(&t, "run-b");
    for (int i = 0; i < 6; i++) {
        struct journal *j = i % 2 == 0 ? a : b;
        assert_int_equal(journal_add(j, &(struct journal_entry){.action = "claim"}, NULL), ERR_OK);
        assert_int_equal(journal_commit(j, false, NULL, NULL), ERR_OK);
    }
    journal_close(a);
    journal_close(b);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, 7);
    trail_release(&t);
}

static void test_journal_killed_while_writing_leaves_a_whole_chain(void **state)
{
    struct journal_report r;
    struct trail t;
    struct stat st;
    enum err_code code;
    pid_t pid;
    (void)state;

    trail_init(&t);
    for (int round = 0; round < 5; round++) {
        int64_t before = stat(t.path, &st) == 0 ? st.st_size : 0;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            for (;;)
                (void)append_groups(&t, round);
        }
        do { /* it is in the middle of its work */
            sched_yield();
        } while (stat(t.path, &st) != 0 || st.st_size < before + 20000 * (round + 1));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        trail_write(&t, "after", 1, NULL, NULL);
        code = trail_verify(&t, &r);
        assert_string_equal(r.problem, "");
        assert_int_equal(code, ERR_OK);
    }
    trail_release(&t);
}

/* The file may not grow over a limit: what a full disk does, in the middle of a line. */
static int write_until_full(const struct trail *t, off_t limit)
{
    const struct rlimit rl = {.rlim_cur = (rlim_t)limit, .rlim_max = (rlim_t)limit};
    struct journal *j = NULL;
    struct err e;
    enum err_code code = ERR_OK;

    err_init(&e);
    signal(SIGXFSZ, SIG_IGN);
    if (journal_open(&j, &(struct journal_options){.dir = t->folder.dir, .run_id = "full"}, &e) !=
            ERR_OK ||
        setrlimit(RLIMIT_FSIZE, &rl) != 0)
        return 1;
    for (int i = 0; i < 1000 && code == ERR_OK; i++) {
        code = journal_add(j, &(struct journal_entry){.action = "upload_intent"}, &e);
        if (code == ERR_OK)
            code = journal_commit(j, true, NULL, &e);
    }
    if (code != ERR_FILE_SPACE || strstr(e.message, "audit.jsonl") == NULL)
        return 2;
    /* sticky: nothing irreversible may follow */
    err_init(&e);
    if (journal_add(j, &(struct journal_entry){.action = "claim"}, &e) != ERR_FILE_SPACE ||
        journal_commit(j, true, NULL, NULL) != ERR_FILE_SPACE || e.code != ERR_FILE_SPACE)
        return 3;
    journal_close(j);
    return 0;
}

static void test_journal_full_disk_is_sticky_and_recorded(void **state)
{
    struct journal_report r;
    struct trail t;
    struct stat st;
    int status;
    pid_t pid;
    (void)state;

    trail_init(&t);
    trail_write(&t, "before", 10, NULL, NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(write_until_full(&t, 5000));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(st.st_size, 5000);
    assert_int_equal(trail_verify(&t, &r), ERR_CONFLICT); /* torn, and not on record yet */
    assert_non_null(strstr(r.problem, "torn"));
    trail_write(&t, "after", 1, NULL, NULL);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.torn, 1);
    trail_release(&t);
}

static void test_journal_notices_that_the_file_is_gone(void **state)
{
    struct trail t;
    struct journal *j;
    struct err e;
    (void)state;

    trail_init(&t);
    err_init(&e);
    j = trail_open(&t, "run-1");
    assert_int_equal(unlink(t.path), 0);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "claim"}, &e), ERR_OK);
    assert_int_equal(journal_commit(j, true, NULL, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.message, "removed"));
    trail_write(&t, "run-2", 1, NULL, NULL); /* a new file is another log */
    assert_int_equal(journal_commit(j, true, NULL, &e), ERR_CONFLICT);
    journal_close(j);
    trail_release(&t);
}

static void test_journal_notices_that_the_file_was_cut(void **state)
{
    struct trail t;
    struct journal *j;
    struct stat st;
    (void)state;

    trail_init(&t);
    trail_write(&t, "run-1", 3, NULL, NULL);
    j = trail_open(&t, "run-2");
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(truncate(t.path, st.st_size - 100), 0);
    assert_int_equal(journal_add(j, &(struct journal_entry){.action = "claim"}, NULL), ERR_OK);
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_CONFLICT);
    journal_close(j);
    trail_release(&t);
}

static void test_journal_refuses_what_is_no_audit_trail(void **state)
{
    struct trail t;
    struct journal *j = NULL;
    const struct journal_options o = {.dir = t.folder.dir, .run_id = "r"};
    (void)state;

    trail_init(&t);
    trail_store(&t, "hello\n", 6);
    assert_int_equal(journal_open(&j, &o, NULL), ERR_CONFLICT);
    trail_store(&t, "", 0); /* emptied: a trail is never empty */
    assert_int_equal(journal_open(&j, &o, NULL), ERR_CONFLICT);
    assert_int_equal(unlink(t.path), 0);
    assert_int_equal(mkfifo(t.path, 0600), 0);
    assert_int_equal(journal_open(&j, &o, NULL), ERR_FILE_TYPE);
    assert_int_equal(unlink(t.path), 0);
    assert_int_equal(symlink("/dev/null", t.path), 0);
    assert_int_not_equal(journal_open(&j, &o, NULL), ERR_OK);
    assert_null(j);
    trail_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_begins_with_a_line_of_its_own),
        cmocka_unit_test(test_journal_makes_its_folder_private),
        cmocka_unit_test(test_journal_line_has_the_members_that_were_given),
        cmocka_unit_test(test_journal_hash_is_what_the_header_says),
        cmocka_unit_test(test_journal_head_is_the_last_line),
        cmocka_unit_test(test_journal_commits_by_itself_when_much_is_buffered),
        cmocka_unit_test(test_journal_cuts_texts_that_are_too_long),
        cmocka_unit_test(test_journal_redacts_secrets),
        cmocka_unit_test(test_journal_redacts_texts_not_the_line),
        cmocka_unit_test(test_journal_refuses_what_is_no_entry),
        cmocka_unit_test(test_journal_is_shared_by_processes),
        cmocka_unit_test(test_journal_two_writers_take_turns),
        cmocka_unit_test(test_journal_killed_while_writing_leaves_a_whole_chain),
        cmocka_unit_test(test_journal_full_disk_is_sticky_and_recorded),
        cmocka_unit_test(test_journal_notices_that_the_file_is_gone),
        cmocka_unit_test(test_journal_notices_that_the_file_was_cut),
        cmocka_unit_test(test_journal_refuses_what_is_no_audit_trail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
