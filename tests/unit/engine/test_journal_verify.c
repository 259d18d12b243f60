/* Every kind of tampering is found, and the first bad line is named. */
#include "unit/engine/trail.h"

#include "blobferry/base/clock.h"

#include <sys/resource.h>

#define LINES 12 /* with log_begin */

static void make(struct trail *t)
{
    trail_init(t);
    trail_write(t, "run-1", LINES - 1, NULL, NULL);
    trail_load(t);
}

static void expect_bad(const struct trail *t, int64_t line)
{
    struct journal_report r;
    struct err e;

    err_init(&e);
    assert_int_equal(journal_verify(t->folder.dir, NULL, &r, &e), ERR_CONFLICT);
    assert_int_equal(r.bad_line, line);
    assert_string_not_equal(r.problem, "");
    assert_non_null(strstr(e.message, r.problem));
}

static void test_journal_verify_accepts_what_was_written(void **state)
{
    struct journal_report r;
    struct trail t;
    (void)state;

    make(&t);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, LINES);
    assert_int_equal(r.bad_line, 0);
    assert_string_equal(r.problem, "");
    assert_int_equal(r.torn, 0);
    assert_int_equal(strlen(r.log_id), 36);
    trail_release(&t);
}

/* One bit of every byte of the file, the line feeds too. */
static void test_journal_verify_finds_every_flipped_byte(void **state)
{
    struct journal_report r;
    struct trail t;
    int64_t line = 1;
    (void)state;

    make(&t);
    for (size_t i = 0; i < t.len; i++) {
        const char was = t.data[i];
        t.data[i] = (char)(was ^ (1 << (i % 8)));
        trail_store(&t, t.data, t.len);
        if (trail_verify(&t, &r) != ERR_CONFLICT || r.bad_line != line)
            fail_msg("byte %zu of line %lld: %lld '%s'", i, (long long)line, (long long)r.bad_line,
                     r.problem);
        t.data[i] = was;
        line += was == '\n';
    }
    trail_release(&t);
}

static void test_journal_verify_finds_a_missing_line(void **state)
{
    struct trail t;
    const char *line;
    size_t len, before;
    (void)state;

    make(&t);
    for (int n = 1; n < LINES; n++) {
        line = trail_line(&t, n, &len);
        before = (size_t)(line - t.data);
        trail_store(&t, t.data, before);
        trail_append(&t, line + len, t.len - before - len);
        expect_bad(&t, n);
    }
    trail_release(&t);
}

static void test_journal_verify_finds_a_doubled_line(void **state)
{
    struct trail t;
    const char *line;
    size_t len, before;
    (void)state;

    make(&t);
    for (int n = 1; n <= LINES; n++) {
        line = trail_line(&t, n, &len);
        before = (size_t)(line - t.data);
        trail_store(&t, t.data, before + len);
        trail_append(&t, line, t.len - before);
        expect_bad(&t, n + 1);
    }
    trail_release(&t);
}

static void test_journal_verify_finds_swapped_lines(void **state)
{
    struct trail t;
    const char *a, *b;
    size_t a_len, b_len, before;
    (void)state;

    make(&t);
    for (int n = 1; n < LINES; n++) {
        a = trail_line(&t, n, &a_len);
        b = trail_line(&t, n + 1, &b_len);
        before = (size_t)(a - t.data);
        trail_store(&t, t.data, before);
        trail_append(&t, b, b_len);
        trail_append(&t, a, a_len);
        trail_append(&t, b + b_len, t.len - before - a_len - b_len);
        expect_bad(&t, n);
    }
    trail_release(&t);
}

static void test_journal_verify_finds_lines_of_another_file(void **state)
{
    struct trail t, other;
    const char *from;
    size_t len;
    (void)state;

    make(&t);
    make(&other);
    for (int n = 1; n <= LINES; n++) {
        from = trail_line(&other, n, &len); /* the other's end on our beginning */
        trail_store(&t, t.data, (size_t)(trail_line(&t, n, &len) - t.data));
        trail_append(&t, from, other.len - (size_t)(from - other.data));
        if (n > 1)
            expect_bad(&t, n);
    }
    trail_store(&t, t.data, t.len); /* and the whole other file behind ours */
    trail_append(&t, other.data, other.len);
    expect_bad(&t, LINES + 1);
    trail_release(&other);
    trail_release(&t);
}

static void test_journal_verify_finds_an_inserted_line(void **state)
{
    struct trail t;
    const char *at;
    size_t len, before;
    (void)state;

    make(&t);
    at = trail_line(&t, 5, &len);
    before = (size_t)(at - t.data);
    trail_store(&t, t.data, before);
    trail_append(&t, "{\"action\":\"torn_tail\"}\n", 23);
    trail_append(&t, at, t.len - before);
    expect_bad(&t, 5);
    trail_store(&t, t.data, before);
    trail_append(&t, "\n", 1);
    trail_append(&t, at, t.len - before);
    expect_bad(&t, 5);
    trail_release(&t);
}

static void test_journal_verify_finds_a_cut_in_the_middle_of_a_line(void **state)
{
    struct trail t;
    size_t len;
    (void)state;

    make(&t);
    (void)trail_line(&t, LINES, &len);
    for (size_t cut = 1; cut < len; cut++) {
        trail_store(&t, t.data, t.len - cut);
        expect_bad(&t, LINES);
    }
    trail_release(&t);
}

static void test_journal_verify_finds_an_emptied_file(void **state)
{
    struct trail t;
    struct journal_report r;
    (void)state;

    trail_init(&t);
    assert_int_equal(trail_verify(&t, &r), ERR_FILE_MISSING);
    trail_store(&t, "", 0);
    expect_bad(&t, 1);
    trail_release(&t);
}

/* A torn line, closed and recorded by the next writer. */
static void make_torn(struct trail *t, const char *torn)
{
    make(t);
    trail_append(t, torn, strlen(torn));
    trail_write(t, "run-2", 2, NULL, NULL);
    trail_load(t);
}

static void test_journal_verify_accepts_a_recorded_torn_tail(void **state)
{
    struct journal_report r;
    struct trail t;
    (void)state;

    make_torn(&t, "{\"v\":1,\"time\":\"20");
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.torn, 1);
    assert_int_equal(r.lines, LINES + 4); /* the torn one, its record, two more */
    assert_int_equal(r.last_seq, LINES + 3);
    assert_non_null(strstr(t.data, "\"action\":\"torn_tail\",\"bytes\":17,\"sha256\":\""));
    trail_release(&t);
}

static void test_journal_verify_finds_flipped_bytes_around_a_torn_tail(void **state)
{
    struct journal_report r;
    struct trail t;
    int64_t line = 1;
    (void)state;

    make_torn(&t, "{\"v\":1,\"time\":\"20");
    for (size_t i = 0; i < t.len; i++) {
        const char was = t.data[i];
        t.data[i] = (char)(was ^ (1 << (i % 8)));
        trail_store(&t, t.data, t.len);
        assert_int_equal(trail_verify(&t, &r), ERR_CONFLICT);
        /* what is wrong with the record shows at the line that it speaks for */
        if (r.bad_line != line && !(line == LINES + 2 && r.bad_line == LINES + 1))
            fail_msg("byte %zu of line %lld: %lld '%s'", i, (long long)line, (long long)r.bad_line,
                     r.problem);
        t.data[i] = was;
        line += was == '\n';
    }
    trail_release(&t);
}

static void test_journal_verify_finds_that_a_torn_line_was_taken_away(void **state)
{
    struct trail t;
    const char *torn;
    size_t len, before;
    (void)state;

    make_torn(&t, "{\"v\":1,\"time\":\"20");
    torn = trail_line(&t, LINES + 1, &len);
    before = (size_t)(torn - t.data);
    trail_store(&t, t.data, before);
    trail_append(&t, torn + len, t.len - before - len);
    expect_bad(&t, LINES + 1);
    trail_release(&t);
}

/* A crash while the torn tail was being recorded: both go on record together. */
static void test_journal_verify_accepts_a_tail_torn_twice(void **state)
{
    struct journal_report r;
    struct trail t;
    (void)state;

    make_torn(&t, "{\"v\":1,\"ti\n{\"v\":1,\"time\":\"2026");
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.torn, 1);
    trail_append(&t, "{", 1);
    trail_write(&t, "run-3", 1, NULL, NULL);
    trail_append(&t, "\n", 1);
    trail_write(&t, "run-4", 1, NULL, NULL);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.torn, 3);
    trail_release(&t);
}

/* What a power cut leaves: a block that never reached the disk reads as zeros, and lines after it did. */
static void test_journal_verify_accepts_a_hole_that_was_recorded(void **state)
{
    struct journal_report r;
    struct trail t;
    size_t len;
    (void)state;

    make(&t);
    memset(t.data + (trail_line(&t, 6, &len) - t.data) + 30, 0, 512);
    trail_store(&t, t.data, t.len);
    expect_bad(&t, 6);
    for (int i = 0; i < 3; i++) { /* each writer reads it again */
        trail_write(&t, "run-2", 2, NULL, NULL);
        assert_int_equal(trail_verify(&t, &r), ERR_OK);
        assert_int_equal(r.torn, 1);
        assert_int_equal(r.last_seq, 5 + 1 + 2 * (i + 1));
    }
    trail_load(&t);
    t.data[trail_line(&t, 6, &len) - t.data + 31] = 'x';
    trail_store(&t, t.data, t.len);
    expect_bad(&t, 6);
    trail_release(&t);
}

static void add(struct journal *j, const char *action, const char *record, const char *batch)
{
    assert_int_equal(
        journal_add(
            j, &(struct journal_entry){.action = action, .record_id = record, .batch_id = batch},
            NULL),
        ERR_OK);
}

static void test_journal_verify_counts_intents_without_an_outcome(void **state)
{
    struct journal_report r;
    struct journal *j;
    struct trail t;
    (void)state;

    trail_init(&t);
    j = trail_open(&t, "run-1");
    add(j, "run_begin", NULL, NULL);
    add(j, "upload_intent", "r1", "b");
    add(j, "upload_intent", "r2", "b");
    add(j, "upload_intent", "r3", "b");
    add(j, "rollback_intent", "r4", "b");
    add(j, "upload_outcome", "r2", "b");
    add(j, "upload_intent", "r1", "b"); /* again, after a crash */
    add(j, "rollback_intent", "r3", "b");
    add(j, "rollback_outcome", "r3", "b"); /* whoever rolled it back has looked */
    add(j, "delete_intent", "r4", "b");
    add(j, "debt_outcome", "r4", "b");
    add(j, "upload_intent", "r5", "b");
    add(j, "delete_intent", "r5", "b");
    add(j, "delete_outcome", "r5", "b"); /* the upload itself is still open */
    add(j, "verify_outcome", "r9", "b"); /* never in doubt */
    add(j, "cut_intent", NULL, "b2");
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.in_doubt, 3); /* r1, r5, b2 */
    assert_int_equal(r.runs, 1);
    add(j, "upload_outcome", "r1", "b");
    add(j, "rollback_outcome", "r5", "b");
    add(j, "cut_outcome", NULL, "b2");
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.in_doubt, 0);
    journal_close(j);
    trail_release(&t);
}

static void test_journal_verify_counts_many_intents(void **state)
{
    struct journal_report r;
    struct journal *j;
    struct trail t;
    char id[32];
    (void)state;

    trail_init(&t);
    j = trail_open(&t, "run-1");
    for (int i = 0; i < 20000; i++) {
        snprintf(id, sizeof id, "record-%d", i);
        add(j, "upload_intent", id, NULL);
    }
    for (int i = 0; i < 20000; i += 2) {
        snprintf(id, sizeof id, "record-%d", i);
        add(j, "upload_outcome", id, NULL);
    }
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.in_doubt, 10000);
    journal_close(j);
    trail_release(&t);
}

static long peak_kb(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* A tenth of the million that must take under 5 s, and memory that does not follow the lines. */
static void test_journal_verify_is_fast_and_needs_constant_memory(void **state)
{
    const char *preload = getenv("LD_PRELOAD"); /* valgrind is known by it */
    const bool sanitized = getenv("BLOBFERRY_TEST_SANITIZER") != NULL ||
                           (preload != NULL && strstr(preload, "vgpreload") != NULL);
    struct journal_report r;
    struct journal *j;
    struct trail t;
    int64_t began, took;
    long before;
    (void)state;

    trail_init(&t);
    j = trail_open(&t, "run-1");
    for (int i = 0; i < 100000; i++)
        add(j, "upload_outcome", "019aa6b0-0000-7000-8000-000000000000", "batch_20261121_120000");
    assert_int_equal(journal_commit(j, false, NULL, NULL), ERR_OK);
    journal_close(j);
    before = peak_kb();
    began = clock_mono_ms();
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    took = clock_mono_ms() - began;
    assert_int_equal(r.lines, 100001);
    if (!sanitized) {
        assert_true(took < 5000);
        assert_true(peak_kb() - before < 16 * 1024);
    }
    trail_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_verify_accepts_what_was_written),
        cmocka_unit_test(test_journal_verify_finds_every_flipped_byte),
        cmocka_unit_test(test_journal_verify_finds_a_missing_line),
        cmocka_unit_test(test_journal_verify_finds_a_doubled_line),
        cmocka_unit_test(test_journal_verify_finds_swapped_lines),
        cmocka_unit_test(test_journal_verify_finds_lines_of_another_file),
        cmocka_unit_test(test_journal_verify_finds_an_inserted_line),
        cmocka_unit_test(test_journal_verify_finds_a_cut_in_the_middle_of_a_line),
        cmocka_unit_test(test_journal_verify_finds_an_emptied_file),
        cmocka_unit_test(test_journal_verify_accepts_a_recorded_torn_tail),
        cmocka_unit_test(test_journal_verify_finds_flipped_bytes_around_a_torn_tail),
        cmocka_unit_test(test_journal_verify_finds_that_a_torn_line_was_taken_away),
        cmocka_unit_test(test_journal_verify_accepts_a_tail_torn_twice),
        cmocka_unit_test(test_journal_verify_accepts_a_hole_that_was_recorded),
        cmocka_unit_test(test_journal_verify_counts_intents_without_an_outcome),
        cmocka_unit_test(test_journal_verify_counts_many_intents),
        cmocka_unit_test(test_journal_verify_is_fast_and_needs_constant_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
