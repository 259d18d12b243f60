#include "blobferry/base/lines.h"

#include "scratch.h"

/* `n` bytes of c in the middle of a file. */
static void put(FILE *f, char c, size_t n)
{
    while (n-- > 0)
        assert_int_equal(fputc(c, f), c);
}

static FILE *begin(struct scratch *s)
{
    FILE *f = fopen(scratch_path(s, "file"), "w");
    assert_non_null(f);
    return f;
}

static void open_it(struct lines *l, struct scratch *s, size_t max)
{
    assert_int_equal(lines_open(l, scratch_path(s, "file"), max, NULL), ERR_OK);
}

static void expect(struct lines *l, const char *text, int64_t number)
{
    bool more = false;

    assert_int_equal(lines_next(l, &more, NULL), ERR_OK);
    assert_true(more);
    assert_int_equal(l->len, strlen(text));
    assert_memory_equal(l->line, text, l->len);
    assert_int_equal(l->number, number);
}

static void expect_end(struct lines *l)
{
    bool more = true;

    assert_int_equal(lines_next(l, &more, NULL), ERR_OK);
    assert_false(more);
    assert_false(l->torn);
    assert_int_equal(l->len, 0);
}

static void test_lines_gives_each_line_with_its_number(void **state)
{
    struct scratch s;
    struct lines l;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "file", "one\n\ntwo\r\nthree\n");
    open_it(&l, &s, 100);
    expect(&l, "one", 1);
    expect(&l, "", 2);
    expect(&l, "two\r", 3);
    expect(&l, "three", 4);
    assert_false(l.torn);
    expect_end(&l);
    expect_end(&l);
    assert_int_equal(l.number, 4);
    lines_close(&l);
    scratch_release(&s);
}

static void test_lines_of_an_empty_file_are_none(void **state)
{
    struct scratch s;
    struct lines l;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "file", "");
    open_it(&l, &s, 100);
    expect_end(&l);
    assert_int_equal(l.number, 0);
    lines_close(&l);
    scratch_release(&s);
}

static void test_lines_tells_of_a_torn_tail(void **state)
{
    struct scratch s;
    struct lines l;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "file", "whole\ntorn");
    open_it(&l, &s, 100);
    expect(&l, "whole", 1);
    assert_false(l.torn);
    expect(&l, "torn", 2);
    assert_true(l.torn);
    expect_end(&l);
    lines_close(&l);
    scratch_release(&s);
}

static void test_lines_keeps_every_byte_of_a_line(void **state)
{
    struct scratch s;
    struct lines l;
    bool more;
    FILE *f;
    (void)state;

    scratch_init(&s);
    f = begin(&s);
    assert_int_equal(fwrite("a\0b\xff\n\0\n", 1, 7, f), 7);
    fclose(f);
    open_it(&l, &s, 100);
    assert_int_equal(lines_next(&l, &more, NULL), ERR_OK);
    assert_int_equal(l.len, 4);
    assert_memory_equal(l.line, "a\0b\xff", 4);
    assert_int_equal(lines_next(&l, &more, NULL), ERR_OK);
    assert_int_equal(l.len, 1);
    assert_memory_equal(l.line, "\0", 1);
    expect_end(&l);
    lines_close(&l);
    scratch_release(&s);
}

/* One file of a line of `len` bytes between two short ones, read with the maximum `max`. */
static void check_long_line(size_t len, size_t max)
{
    struct scratch s;
    struct lines l;
    bool more;
    FILE *f;

    scratch_init(&s);
    f = begin(&s);
    fputs("before\nx", f);
    put(f, 'y', len - 1);
    fputs("\nafter\n", f);
    fclose(f);
    open_it(&l, &s, max);
    expect(&l, "before", 1);
    assert_int_equal(lines_next(&l, &more, NULL), ERR_OK);
    assert_true(more);
    assert_int_equal(l.too_long, len > max);
    assert_int_equal(l.len, len > max ? max : len);
    assert_int_equal(l.line[0], 'x');
    assert_int_equal(l.line[l.len - 1], 'y');
    assert_int_equal(l.number, 2);
    expect(&l, "after", 3);
    assert_false(l.too_long);
    expect_end(&l);
    lines_close(&l);
    scratch_release(&s);
}

static void test_lines_tells_of_a_line_over_the_maximum_and_goes_on(void **state)
{
    static const size_t maximum[] = {10, 1000, 196607, 196608, 300000};
    (void)state;

    for (size_t i = 0; i < sizeof maximum / sizeof *maximum; i++) {
        const size_t max = maximum[i];
        const size_t lengths[] = {max - 1, max,    max + 1, max + 65535, max + 65536, max + 65537,
                                  262143,  262144, 262145,  1000000,     2000003};
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
            check_long_line(lengths[k], max);
    }
}

static void test_lines_tells_of_a_long_line_without_an_end(void **state)
{
    struct scratch s;
    struct lines l;
    bool more;
    FILE *f;
    (void)state;

    scratch_init(&s);
    f = begin(&s);
    put(f, 'z', 1000000);
    fclose(f);
    open_it(&l, &s, 1000);
    assert_int_equal(lines_next(&l, &more, NULL), ERR_OK);
    assert_true(more && l.too_long && l.torn);
    assert_int_equal(l.len, 1000);
    expect_end(&l);
    lines_close(&l);
    scratch_release(&s);
}

static void test_lines_cross_the_window(void **state)
{
    struct scratch s;
    struct lines l;
    char text[400];
    bool more;
    FILE *f;
    (void)state;

    scratch_init(&s);
    f = begin(&s);
    for (int i = 0; i < 20000; i++)
        fprintf(f, "line %d %.*s\n", i, i % 300,
                "................................................................................"
                "................................................................................"
                "................................................................................"
                "............................................................");
    fclose(f);
    open_it(&l, &s, 1000);
    for (int i = 0; i < 20000; i++) {
        const int n = snprintf(text, sizeof text, "line %d ", i) + i % 300;
        assert_int_equal(lines_next(&l, &more, NULL), ERR_OK);
        assert_true(more);
        assert_int_equal(l.number, i + 1);
        assert_int_equal(l.len, n);
        assert_memory_equal(l.line, text, strlen(text));
    }
    expect_end(&l);
    lines_close(&l);
    scratch_release(&s);
}

static void test_lines_refuses_what_is_no_regular_file(void **state)
{
    struct scratch s;
    struct lines l;
    struct err e;
    (void)state;

    scratch_init(&s);
    err_init(&e);
    assert_int_equal(lines_open(&l, scratch_path(&s, "absent"), 100, &e), ERR_FILE_MISSING);
    assert_non_null(strstr(e.message, "absent"));
    lines_close(&l);
    assert_int_equal(lines_open(&l, s.dir, 100, &e), ERR_FILE_TYPE);
    lines_close(&l);
    assert_int_equal(mkfifo(scratch_path(&s, "fifo"), 0600), 0);
    assert_int_equal(lines_open(&l, scratch_path(&s, "fifo"), 100, &e), ERR_FILE_TYPE);
    lines_close(&l);
    assert_int_equal(lines_open(&l, "/dev/zero", 100, &e), ERR_FILE_TYPE);
    lines_close(&l);
    assert_int_equal(lines_open(&l, "/dev/zero", 100, NULL), ERR_FILE_TYPE);
    lines_close(&l);
    lines_close(&l);
    scratch_release(&s);
}

/* The file stays open and nothing else does: the descriptor after many opens is the one before. */
static void test_lines_leaks_no_descriptor(void **state)
{
    struct scratch s;
    struct lines l;
    int before, after;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "file", "x\n");
    before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    for (int i = 0; i < 50; i++) {
        open_it(&l, &s, 100);
        lines_close(&l);
        assert_int_equal(lines_open(&l, s.dir, 100, NULL), ERR_FILE_TYPE);
        lines_close(&l);
    }
    after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(after);
    assert_int_equal(before, after);
    scratch_release(&s);
}

static void test_lines_reports_a_read_that_fails_and_stops(void **state)
{
    struct scratch s;
    struct lines l;
    struct err e;
    bool more = true;
    int folder;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "file", "one\ntwo\n");
    open_it(&l, &s, 100);
    folder = open(s.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    assert_true(dup2(folder, l.fd) >= 0); /* reading a folder fails with EISDIR */
    close(folder);
    err_init(&e);
    assert_int_equal(lines_next(&l, &more, &e), ERR_FILE_TYPE);
    assert_false(more);
    assert_non_null(strstr(e.message, "cannot read"));
    expect_end(&l);
    lines_close(&l);
    scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_gives_each_line_with_its_number),
        cmocka_unit_test(test_lines_of_an_empty_file_are_none),
        cmocka_unit_test(test_lines_tells_of_a_torn_tail),
        cmocka_unit_test(test_lines_keeps_every_byte_of_a_line),
        cmocka_unit_test(test_lines_tells_of_a_line_over_the_maximum_and_goes_on),
        cmocka_unit_test(test_lines_tells_of_a_long_line_without_an_end),
        cmocka_unit_test(test_lines_cross_the_window),
        cmocka_unit_test(test_lines_refuses_what_is_no_regular_file),
        cmocka_unit_test(test_lines_leaks_no_descriptor),
        cmocka_unit_test(test_lines_reports_a_read_that_fails_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
