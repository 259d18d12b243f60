/* Reading the audit trail: engine/audit, audit_list, audit_csv, audit_check, audit_sign. */
#include "blobferry/engine/audit.h"

#include "blobferry/base/clock.h"
#include "blobferry/codec/digest.h"
#include "blobferry/engine/journal.h"

#include "unit/base/scratch.h"

#include <time.h>

#define NOW INT64_C(1795262400000) /* 2026-11-21T12:00:00Z */

struct fixture {
    struct scratch s;
    struct audit_tally tally;
    struct audit_run runs[100];
    size_t len;
    struct buf text;
    struct signature *key, *other;
    struct err e;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char path[1024];

    assert_non_null(f);
    scratch_init(&f->s);
    buf_init(&f->text, 64 << 20);
    snprintf(path, sizeof path, "%s", scratch_path(&f->s, "key"));
    assert_int_equal(signature_keygen(path, NULL, NULL), ERR_OK);
    assert_int_equal(signature_load(&f->key, path, NULL), ERR_OK);
    snprintf(path, sizeof path, "%s", scratch_path(&f->s, "other"));
    assert_int_equal(signature_keygen(path, NULL, NULL), ERR_OK);
    assert_int_equal(signature_load(&f->other, path, NULL), ERR_OK);
    clock_set_wall_for_tests(NOW);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    clock_set_wall_for_tests(-1);
    signature_free(f->key);
    signature_free(f->other);
    buf_release(&f->text);
    scratch_release(&f->s);
    free(f);
    return 0;
}

struct run {
    const char *id, *command;
    int good, bad, refused;
    bool killed;
    const struct signature *key;
};

static struct journal *open_run(struct fixture *f, const struct run *r)
{
    struct journal *j;
    const struct journal_entry entry = {.action = "run_begin", .detail = r->command};

    assert_int_equal(journal_open(&j,
                                  &(struct journal_options){.dir = f->s.dir,
                                                            .run_id = r->id,
                                                            .command = r->command,
                                                            .signature = r->key},
                                  NULL),
                     ERR_OK);
    assert_int_equal(journal_add(j, &entry, NULL), ERR_OK);
    return j;
}

static void close_run(struct journal *j, const struct run *r)
{
    struct journal_entry entry = {.action = "upload_outcome",
                                  .record_id = "r-1",
                                  .filename = "a, \"quoted\"\nname \x1b[31m",
                                  .target_key = "k/1",
                                  .has_size = true,
                                  .size = 12,
                                  .has_success = true};
    struct tracker_head head;

    for (int i = 0; i < r->good + r->bad; i++) {
        entry.success = i < r->good;
        assert_int_equal(journal_add(j, &entry, NULL), ERR_OK);
    }
    for (int i = 0; i < r->refused; i++)
        assert_int_equal(
            journal_add(j, &(struct journal_entry){.action = "rollback_refused"}, NULL), ERR_OK);
    if (!r->killed) {
        const struct journal_entry last = {.action = "run_end",
                                           .detail = r->command,
                                           .has_success = true,
                                           .success = r->bad == 0,
                                           .has_duration = true,
                                           .duration_ms = 1500,
                                           .extra_json = r->bad == 0 ? "{\"result\":\"ok\"}"
                                                                     : "{\"result\":\"partial\"}"};
        assert_int_equal(journal_add(j, &last, NULL), ERR_OK);
    }
    assert_int_equal(journal_commit(j, false, &head, NULL), ERR_OK);
    journal_close(j);
}

static void write_run(struct fixture *f, struct run r)
{
    close_run(open_run(f, &r), &r);
}

static enum err_code on_run(void *user, const struct audit_run *r, struct err *e)
{
    struct fixture *f = user;
    (void)e;
    if (f->len < 100)
        f->runs[f->len++] = *r;
    return ERR_OK;
}

static enum err_code list(struct fixture *f, size_t limit)
{
    f->len = 0;
    err_init(&f->e);
    return audit_list(f->s.dir, limit, on_run, f, &f->tally, &f->e);
}

static void test_audit_list_tells_runs_newest_first(void **state)
{
    struct fixture *f = *state;

    write_run(f, (struct run){.id = "run-1", .command = "migrate", .good = 5, .bad = 2});
    clock_set_wall_for_tests(NOW + 60000);
    write_run(f,
              (struct run){
                  .id = "run-2", .command = "rollback", .good = 1, .refused = 3, .killed = true});
    write_run(f, (struct run){.id = "run-3", .command = "verify"});
    assert_int_equal(list(f, 50), ERR_OK);
    assert_int_equal(f->len, 3);
    assert_string_equal(f->runs[0].run, "run-3");
    assert_string_equal(f->runs[0].result, "ok");
    assert_true(f->runs[0].ended && f->runs[0].success);
    assert_string_equal(f->runs[1].run, "run-2");
    assert_false(f->runs[1].ended);
    assert_string_equal(f->runs[1].result, "");
    assert_int_equal(f->runs[1].refused, 3);
    assert_string_equal(f->runs[2].command, "migrate");
    assert_string_equal(f->runs[2].begun, "2026-11-21T12:00:00.000Z");
    assert_string_equal(f->runs[2].result, "partial");
    assert_int_equal(f->runs[2].succeeded, 5);
    assert_int_equal(f->runs[2].failed, 2);
    assert_int_equal(f->runs[2].duration_ms, 1500);
    assert_int_equal(f->runs[2].lines, 9);
    assert_false(f->runs[2].success);
    assert_int_equal(list(f, 1), ERR_OK);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->runs[0].run, "run-3");
}

static void test_audit_list_of_runs_at_one_time(void **state)
{
    struct fixture *f = *state;
    const struct run a = {.id = "a", .command = "migrate", .good = 2},
                     b = {.id = "b", .command = "migrate", .good = 7};
    struct journal *ja = open_run(f, &a), *jb = open_run(f, &b);
    struct tracker_head head;

    assert_int_equal(journal_commit(ja, false, &head, NULL), ERR_OK);
    close_run(jb, &b);
    write_run(f, (struct run){.id = "c", .command = "verify"});
    close_run(ja, &a);
    assert_int_equal(list(f, 0), ERR_OK);
    assert_int_equal(f->len, 3);
    assert_string_equal(f->runs[2].run, "a");
    assert_int_equal(f->runs[2].succeeded, 2);
    assert_int_equal(f->runs[1].succeeded, 7);
    assert_int_equal(list(f, 2), ERR_OK); /* the end of one that is not kept is nobody's */
    assert_int_equal(f->len, 2);
    assert_string_equal(f->runs[1].run, "b");
    assert_int_equal(f->runs[1].lines, 9);
}

static void test_audit_list_without_a_trail(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(list(f, 5), ERR_FILE_MISSING);
    assert_non_null(strstr(f->e.hint, "--log-dir"));
}

static enum err_code on_line(void *user, const struct audit_line *l, struct err *e)
{
    struct fixture *f = user;
    (void)e;
    buf_append(&f->text, l->text, l->len);
    buf_char(&f->text, '\n');
    return ERR_OK;
}

static enum err_code lines(struct fixture *f, const struct audit_filter *filter)
{
    buf_reset(&f->text);
    err_init(&f->e);
    return audit_lines(f->s.dir, filter, on_line, f, &f->tally, &f->e);
}

static void test_audit_lines_are_the_bytes_of_the_file(void **state)
{
    struct fixture *f = *state;
    char *whole;

    write_run(f, (struct run){.id = "run-1", .command = "migrate", .good = 5, .bad = 2});
    write_run(f, (struct run){.id = "run-2", .command = "verify"});
    assert_int_equal(lines(f, &(struct audit_filter){0}), ERR_OK);
    whole = scratch_read(scratch_path(&f->s, "audit.jsonl"));
    assert_string_equal(buf_cstr(&f->text), whole);
    assert_int_equal(f->tally.lines, 12);
    free(whole);
}

static void test_audit_lines_of_one_run_by_its_beginning(void **state)
{
    struct fixture *f = *state;

    write_run(f, (struct run){.id = "0199-aaaa-1", .command = "migrate", .good = 5});
    write_run(f, (struct run){.id = "0199-aaaa-12", .command = "verify"});
    write_run(f, (struct run){.id = "0199-bbbb-2", .command = "rollback"});
    assert_int_equal(lines(f, &(struct audit_filter){.run = "0199-b"}), ERR_OK);
    assert_int_equal(f->tally.lines, 2);
    assert_null(strstr(buf_cstr(&f->text), "0199-aaaa"));
    assert_int_equal(lines(f, &(struct audit_filter){.run = "0199"}), ERR_CONFLICT);
    assert_non_null(strstr(f->e.message, "several"));
    assert_int_equal(lines(f, &(struct audit_filter){.run = "0199-aaaa-1"}),
                     ERR_OK); /* it is one */
    assert_int_equal(f->tally.lines, 8);
    assert_int_equal(lines(f, &(struct audit_filter){.run = "0199-aaaa-12"}), ERR_OK);
    assert_int_equal(lines(f, &(struct audit_filter){.run = "x"}), ERR_NOTFOUND);
}

static void test_audit_lines_by_time_both_ends_included(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 5; i++) {
        char id[20];
        snprintf(id, sizeof id, "run-%d", i);
        clock_set_wall_for_tests(NOW + i * 1000);
        write_run(f, (struct run){.id = id, .command = "verify"});
    }
    assert_int_equal(lines(f, &(struct audit_filter){.has_from = true, .from_ms = NOW + 3000}),
                     ERR_OK);
    assert_int_equal(f->tally.lines, 4);
    assert_int_equal(lines(f, &(struct audit_filter){.has_to = true, .to_ms = NOW + 999}), ERR_OK);
    assert_int_equal(f->tally.lines, 3); /* with log_begin */
    assert_int_equal(lines(f, &(struct audit_filter){.has_from = true,
                                                     .from_ms = NOW + 1000,
                                                     .has_to = true,
                                                     .to_ms = NOW + 2000,
                                                     .run = "run-2"}),
                     ERR_OK);
    assert_int_equal(f->tally.lines, 2);
}

static void test_audit_lines_passes_over_damage(void **state)
{
    struct fixture *f = *state;
    FILE *file;

    write_run(f, (struct run){.id = "run-1", .command = "migrate", .good = 1});
    file = fopen(scratch_path(&f->s, "audit.jsonl"), "a");
    assert_non_null(file);
    fputs("garbage\n{\"v\":1,\"time\":\"torn", file);
    fclose(file);
    assert_int_equal(lines(f, &(struct audit_filter){0}), ERR_OK);
    assert_int_equal(f->tally.lines, 4);
    assert_int_equal(f->tally.damaged, 2);
}

static enum err_code to_csv(void *user, const struct audit_line *l, struct err *e)
{
    struct fixture *f = user;
    (void)e;
    assert_true(audit_csv_line(&f->text, l));
    return ERR_OK;
}

static void test_audit_csv_is_one_line_for_each(void **state)
{
    static const char wanted[] =
        "upload_outcome,,r-1,,\"a, \"\"quoted\"\"\\x0aname \\x1b[31m\",k/1,,,,,,,12,,true,,,,\n";
    struct fixture *f = *state;
    const char *line;
    size_t ends = 0;

    write_run(f, (struct run){.id = "run-1", .command = "migrate", .good = 1});
    buf_reset(&f->text);
    assert_true(audit_csv_head(&f->text));
    assert_string_equal(buf_cstr(&f->text),
                        "time,run,seq,action,file_id,record_id,batch_id,filename,target_key,"
                        "source_path,etag,version_id,sha256,from,to,size,duration_ms,success,error,"
                        "error_class,detail,dry_run\n");
    assert_int_equal(audit_lines(f->s.dir, &(struct audit_filter){0}, to_csv, f, &f->tally, NULL),
                     ERR_OK);
    line = strstr(buf_cstr(&f->text), "upload_outcome");
    assert_non_null(line);
    assert_memory_equal(line, wanted, strlen(wanted));
    for (size_t i = 0; i < f->text.len; i++)
        ends += f->text.data[i] == '\n';
    assert_int_equal(ends, 5); /* head and four lines */
}

/* ---- signatures ---------------------------------------------------------------------------------------- */

static enum err_code check(struct fixture *f, struct signature *key, struct audit_signatures *out)
{
    struct signature *const keys[] = {key, f->other};

    err_init(&f->e);
    return audit_check(f->s.dir, keys, 1, out, &f->e);
}

static void test_audit_check_accepts_signed_runs(void **state)
{
    struct fixture *f = *state;
    struct audit_signatures out;
    struct journal_report report;

    write_run(f, (struct run){.id = "before", .command = "init"}); /* there was no key yet */
    assert_int_equal(check(f, f->key, &out), ERR_CONFLICT);
    assert_non_null(strstr(f->e.message, "no closing line"));
    write_run(f, (struct run){.id = "one", .command = "migrate", .good = 3, .key = f->key});
    write_run(f, (struct run){.id = "two", .command = "verify", .key = f->key});
    assert_int_equal(check(f, f->key, &out), ERR_OK);
    assert_int_equal(out.closed, 3);
    assert_int_equal(out.good, 2);
    assert_int_equal(out.unsigned_before, 1);
    assert_int_equal(out.first_signed_line, 8);
    assert_int_equal(journal_verify(f->s.dir, NULL, &report, NULL),
                     ERR_OK); /* the chain holds as before */
    assert_int_equal(list(f, 0), ERR_OK);
    assert_string_equal(f->runs[0].key, signature_id(f->key));
    assert_string_equal(f->runs[2].key, "");
}

static void test_audit_check_wants_the_right_key(void **state)
{
    struct fixture *f = *state;
    struct signature *const both[] = {f->key, f->other};
    struct audit_signatures out;

    write_run(f, (struct run){.id = "one", .command = "migrate", .key = f->other});
    write_run(f, (struct run){.id = "two", .command = "migrate", .key = f->key});
    assert_int_equal(check(f, f->key, &out), ERR_CONFLICT);
    assert_int_equal(out.bad_line, 3);
    assert_non_null(strstr(out.problem, "none of the keys"));
    assert_int_equal(audit_check(f->s.dir, both, 2, &out, NULL),
                     ERR_OK); /* a key that was replaced */
    assert_int_equal(out.good, 2);
}

static void test_audit_check_finds_an_unsigned_run_after_a_signed_one(void **state)
{
    struct fixture *f = *state;
    struct audit_signatures out;

    write_run(f, (struct run){.id = "one", .command = "migrate", .key = f->key});
    write_run(f, (struct run){.id = "two", .command = "migrate"});
    assert_int_equal(check(f, f->key, &out), ERR_CONFLICT);
    assert_int_equal(out.bad_line, 5);
    assert_non_null(strstr(out.problem, "not signed"));
}

/* Somebody rewrites the trail and makes the chain anew: every hash is right, but he has no key. */
static void rehash(struct fixture *f, const char *from, const char *to)
{
    char *text = scratch_read(scratch_path(&f->s, "audit.jsonl")), *at = text;
    char previous[65] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct buf out, line;

    buf_init(&out, 1 << 20);
    buf_init(&line, 1 << 20);
    for (char *lf = strchr(at, '\n'); lf != NULL; at = lf + 1, lf = strchr(at, '\n')) {
        char *hash, *hit;
        *lf = '\0';
        hash = strstr(at, ",\"hash\":\"");
        assert_non_null(hash);
        *hash = '\0';
        buf_reset(&line);
        buf_printf(&line, "%s\n", previous);
        hit = strstr(at, from);
        if (hit != NULL)
            buf_printf(&line, "%.*s%s%s}", (int)(hit - at), at, to, hit + strlen(from));
        else
            buf_printf(&line, "%s}", at);
        digest_sha256_hex(line.data, line.len, previous);
        buf_printf(&out, "%.*s,\"hash\":\"%s\"}\n", (int)(line.len - 66), line.data + 65, previous);
    }
    scratch_write(&f->s, "audit.jsonl", buf_cstr(&out));
    buf_release(&out);
    buf_release(&line);
    free(text);
}

static void test_audit_check_finds_a_rewritten_trail(void **state)
{
    static const char *const changes[][2] = {
        {"\"size\":12", "\"size\":13"},
        {"\"success\":false", "\"success\":true"},
        {"run_begin", "run_start"},
        {"\"duration_ms\":1500", "\"duration_ms\":1501"},
        {"\"sig\":\"", "\"sig\":\"0"},
        {"\"key\":\"", "\"key\":\"0"},
        {",\"key\":\"", ",\"note\":1,\"key\":\""},
        {"\"log\":\"", "\"log\":\"0"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct audit_signatures out;
        struct journal_report report;

        unlink(scratch_path(&f->s, "audit.jsonl"));
        write_run(
            f, (struct run){.id = "one", .command = "migrate", .good = 2, .bad = 1, .key = f->key});
        assert_int_equal(check(f, f->key, &out), ERR_OK);
        rehash(f, "nothing of the kind", "");
        assert_int_equal(check(f, f->key, &out), ERR_OK); /* the test's own chain is right */
        rehash(f, changes[i][0], changes[i][1]);
        assert_int_equal(journal_verify(f->s.dir, NULL, &report, NULL), ERR_OK);
        assert_int_equal(check(f, f->key, &out), ERR_CONFLICT);
    }
}

static void test_audit_check_finds_what_is_put_behind_the_signature(void **state)
{
    struct fixture *f = *state;
    struct audit_signatures out;
    char *text, *sig, from[200], to[250];

    write_run(f, (struct run){.id = "one", .command = "migrate", .key = f->key});
    text = scratch_read(scratch_path(&f->s, "audit.jsonl"));
    sig = strstr(text, "\"sig\":\"");
    assert_non_null(sig);
    snprintf(from, sizeof from, "%.136s", sig);
    snprintf(to, sizeof to, "%s,\"more\":1", from);
    free(text);
    rehash(f, from, to);
    assert_int_equal(check(f, f->key, &out), ERR_CONFLICT);
    assert_non_null(strstr(out.problem, "wrong"));
}

static void test_audit_reads_a_million_lines_quickly(void **state)
{
    static const char format[] =
        "{\"v\":1,\"time\":\"2026-11-21T11:00:00.%03dZ\",\"log\":\"L\",\"run\":\"0192a000-%06d\","
        "\"seq\":%d,"
        "\"action\":\"%s\",\"filename\":\"photo %d.jpg\",\"target_key\":\"uploads/2026/photo "
        "%d.jpg\","
        "\"success\":true,\"hash\":"
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}\n";
    struct fixture *f = *state;
    struct timespec from, to;
    FILE *file = fopen(scratch_path(&f->s, "audit.jsonl"), "w");

    assert_non_null(file);
    for (int i = 0; i < 1000000; i++)
        fprintf(file, format, i % 1000, i / 1000, i + 1,
                i % 1000 == 0     ? "run_begin"
                : i % 1000 == 999 ? "run_end"
                                  : "upload_outcome",
                i, i);
    fclose(file);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    assert_int_equal(list(f, 0), ERR_OK);
    assert_int_equal(f->tally.lines, 1000000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    print_message("# %.1f s\n",
                  (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (getenv("LD_PRELOAD") != NULL && strstr(getenv("LD_PRELOAD"), "vgpreload") != NULL)
        return;                                /* valgrind */
    assert_true(to.tv_sec - from.tv_sec < 10); /* of processor time; 1 s where this was written */
#endif
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_audit_list_tells_runs_newest_first),
        TEST(test_audit_list_of_runs_at_one_time),
        TEST(test_audit_list_without_a_trail),
        TEST(test_audit_lines_are_the_bytes_of_the_file),
        TEST(test_audit_lines_of_one_run_by_its_beginning),
        TEST(test_audit_lines_by_time_both_ends_included),
        TEST(test_audit_lines_passes_over_damage),
        TEST(test_audit_csv_is_one_line_for_each),
        TEST(test_audit_check_accepts_signed_runs),
        TEST(test_audit_check_wants_the_right_key),
        TEST(test_audit_check_finds_an_unsigned_run_after_a_signed_one),
        TEST(test_audit_check_finds_a_rewritten_trail),
        TEST(test_audit_check_finds_what_is_put_behind_the_signature),
        TEST(test_audit_reads_a_million_lines_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
