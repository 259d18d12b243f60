#include "blobferry/codec/csv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static FILE *open_bytes(const char *text, size_t n)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    rewind(f);
    return f;
}

/* Renders all records as "[a|b][c]", stops at a fault; then *e is it. */
static enum err_code render(const char *text, size_t n, size_t max, struct buf *out, struct err *e)
{
    struct csv c;
    bool more;
    enum err_code code;
    FILE *f = open_bytes(text, n);
    csv_init(&c, f, "in.csv", max);
    err_init(e);
    while ((code = csv_next(&c, &more, e)) == ERR_OK && more) {
        (void)buf_char(out, '[');
        for (size_t i = 0; i < c.fields; i++) {
            assert_non_null(csv_field(&c, i));
            (void)buf_printf(out, "%s%s", i > 0 ? "|" : "", csv_field(&c, i));
        }
        assert_null(csv_field(&c, c.fields));
        assert_null(csv_field(&c, SIZE_MAX));
        (void)buf_char(out, ']');
    }
    struct err again;
    err_init(&again);
    assert_int_equal(csv_next(&c, &more, &again), ERR_OK); /* the end stays the end */
    assert_false(more);
    assert_null(csv_field(&c, 0));
    csv_release(&c);
    (void)fclose(f);
    return code;
}

static void reads(const char *text, const char *expected)
{
    struct buf b;
    struct err e;
    buf_init(&b, 1 << 20);
    if (render(text, strlen(text), 0, &b, &e) != ERR_OK)
        fail_msg("%s: %s", text, e.message);
    assert_string_equal(buf_cstr(&b), expected);
    buf_release(&b);
}

static void refuses_bytes(const char *text, size_t n, const char *line, const char *why)
{
    struct buf b;
    struct err e;
    buf_init(&b, 1 << 20);
    assert_int_equal(render(text, n, 64, &b, &e), ERR_PARSE);
    assert_int_equal(e.code, ERR_PARSE);
    assert_non_null(strstr(e.message, "'in.csv'"));
    if (strstr(e.message, line) == NULL || strstr(e.message, why) == NULL)
        fail_msg("message '%s' does not say '%s' and '%s'", e.message, line, why);
    buf_release(&b);
}

static void refuses(const char *text, const char *line, const char *why)
{
    refuses_bytes(text, strlen(text), line, why);
}

static void test_csv_plain_records(void **unused)
{
    (void)unused;
    reads("", "");
    reads("a", "[a]");
    reads("a\n", "[a]");
    reads("a,b,c\n1,2,3\n", "[a|b|c][1|2|3]");
    reads("a,b\r\n1,2\r\n", "[a|b][1|2]");
    reads("a,b\r\n1,2", "[a|b][1|2]");
    reads("a,,c\n,,\n", "[a||c][||]");
    reads(",\n", "[|]");
    reads("a,", "[a|]");
    reads(" a , b \n", "[ a | b ]");
    reads("caf\xc3\xa9,\xff\xfe\n", "[caf\xc3\xa9|\xff\xfe]"); /* file names are bytes */
}

static void test_csv_quoted_fields(void **unused)
{
    (void)unused;
    reads("\"a\"\n", "[a]");
    reads("\"\"\n", "[]");
    reads("\"\"", "[]");
    reads("\"a,b\",\"c\"\n", "[a,b|c]");
    reads("\"a\"\"b\"\n", "[a\"b]");
    reads("\"\"\"\"\n", "[\"]");
    reads("\"a\nb\",c\n", "[a\nb|c]");
    reads("\"a\r\nb\"\r\nc", "[a\r\nb][c]");
    reads("\"a\rb\"", "[a\rb]");
    reads("x,\"a\"", "[x|a]");
}

static void test_csv_empty_lines_are_skipped(void **unused)
{
    (void)unused;
    reads("\n\na\n\r\n\nb\n\n", "[a][b]");
    reads("\n", "");
    reads("\r\n\r\n", "");
}

static void test_csv_byte_order_mark(void **unused)
{
    (void)unused;
    reads("\xef\xbb\xbf"
          "a,b\n",
          "[a|b]");
    reads("\xef\xbb\xbf\"a\",b\n", "[a|b]");
    reads("\xef\xbb\xbf", "");
    reads("\xef\xbd\x86,b\n", "[\xef\xbd\x86|b]"); /* begins like the mark */
    reads("\xef", "[\xef]");
    reads("\xef\xbb", "[\xef\xbb]");
    reads("\xef,\xbb\n", "[\xef|\xbb]");
    reads("\xef\n\n", "[\xef]");
    reads("a\n\xef\xbb\xbf"
          "b\n",
          "[a][\xef\xbb\xbf"
          "b]"); /* only at the start */
}

static void test_csv_faults_name_the_line(void **unused)
{
    (void)unused;
    refuses("a\n\"b", "line 2", "never closed");
    refuses("a\n\"b\nc\nd\n", "line 2", "never closed");
    refuses("\"x\ny\"\n\"a\"b\n", "line 3", "after a closing quote");
    refuses("\"a\" ,b\n", "line 1", "after a closing quote");
    refuses("a\"b\n", "line 1", "quote inside");
    refuses("a\n\nb\"\n", "line 3", "quote inside");
    refuses("a\rb\n", "line 1", "carriage return");
    refuses("a\r", "line 1", "carriage return");
    refuses("\"a\"\rb", "line 1", "carriage return");
    refuses("\r", "line 1", "carriage return");
    refuses_bytes("a\nb\0c\n", 6, "line 2", "NUL");
    refuses_bytes("\"a\nb\0c\"\n", 8, "line 2", "NUL");
    refuses_bytes("\0", 1, "line 1", "NUL");
}

static void test_csv_records_before_a_fault_are_given(void **unused)
{
    (void)unused;
    struct buf b;
    struct err e;
    buf_init(&b, 4096);
    static const char text[] = "a,b\nc,d\nx\"y\ne,f\n";
    assert_int_equal(render(text, sizeof text - 1, 0, &b, &e), ERR_PARSE);
    assert_string_equal(buf_cstr(&b), "[a|b][c|d]");
    buf_release(&b);
}

static void test_csv_is_bounded(void **unused)
{
    (void)unused;
    char text[400];
    memset(text, 'a', sizeof text);
    text[10] = '\n';
    refuses_bytes(text, sizeof text, "line 2", "too long");
    text[11] = '"';
    refuses_bytes(text, sizeof text, "line 2", "never closed?");
    memset(text, ',', sizeof text);
    refuses_bytes(text, sizeof text, "line 1", "too");
    struct buf b;
    struct err e;
    buf_init(&b, 4096);
    memset(text, ',', CSV_FIELDS_MAX - 1); /* exactly the most fields */
    assert_int_equal(render(text, CSV_FIELDS_MAX - 1, 0, &b, &e), ERR_OK);
    assert_int_equal(b.len, CSV_FIELDS_MAX - 1 + 2);
    assert_int_equal(render(text, CSV_FIELDS_MAX, 0, &b, &e), ERR_PARSE);
    assert_non_null(strstr(e.message, "too many fields"));
    buf_release(&b);
}

static void test_csv_long_files_take_the_memory_of_one_record(void **unused)
{
    (void)unused;
    struct csv c;
    bool more;
    size_t records = 0;
    FILE *f = tmpfile();
    assert_non_null(f);
    for (int i = 0; i < 50000; i++)
        assert_true(fprintf(f, "%d,\"name %d\",x\n", i, i) > 0);
    rewind(f);
    csv_init(&c, f, "long.csv", 64);
    while (csv_next(&c, &more, NULL) == ERR_OK && more) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "name %zu", records);
        assert_string_equal(csv_field(&c, 1), expected);
        assert_int_equal(c.line, records + 1);
        records++;
    }
    assert_int_equal(records, 50000);
    assert_true(c.data.cap <= 256);
    csv_release(&c);
    (void)fclose(f);
}

static void test_csv_read_errors_are_not_the_end(void **unused)
{
    (void)unused;
    struct csv c;
    bool more = true;
    struct err e;
    FILE *f = fopen("/proc/self", "r"); /* a directory: read gives EISDIR */
    assert_non_null(f);
    err_init(&e);
    csv_init(&c, f, "folder", 0);
    const enum err_code code = csv_next(&c, &more, &e);
    assert_int_not_equal(code, ERR_OK);
    assert_int_equal(err_exit_code(code), 5);
    assert_false(more);
    assert_non_null(strstr(e.message, "folder"));
    csv_release(&c);
    (void)fclose(f);
}

static void append_quoted(struct buf *b, const char *s)
{
    (void)buf_char(b, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"')
            (void)buf_char(b, '"');
        (void)buf_char(b, *s);
    }
    (void)buf_char(b, '"');
}

/* Any bytes but NUL survive quoting. */
static void test_csv_quoted_random_fields_round_trip(void **unused)
{
    (void)unused;
    uint64_t seed = 77;
    for (int round = 0; round < 300; round++) {
        char fields[5][16];
        struct buf text, expected, got;
        struct err e;
        buf_init(&text, 4096);
        buf_init(&expected, 4096);
        buf_init(&got, 4096);
        (void)buf_char(&expected, '[');
        for (size_t i = 0; i < 5; i++) {
            const size_t n = vectors_below(&seed, 15);
            vectors_bytes(&seed, "a\",\r\n ", 6, fields[i], n);
            fields[i][n] = '\0';
            (void)buf_str(&text, i > 0 ? "," : "");
            append_quoted(&text, fields[i]);
            (void)buf_printf(&expected, "%s%s", i > 0 ? "|" : "", fields[i]);
        }
        (void)buf_char(&expected, ']');
        assert_int_equal(render(text.data, text.len, 0, &got, &e), ERR_OK);
        assert_int_equal(got.len, expected.len);
        assert_memory_equal(got.data, expected.data, got.len);
        buf_release(&text);
        buf_release(&expected);
        buf_release(&got);
    }
}

static void test_csv_random_bytes(void **unused)
{
    (void)unused;
    uint64_t seed = 78;
    int taken = 0;
    for (int round = 0; round < 3000; round++) {
        char text[64];
        struct buf out;
        struct err e;
        const size_t n = vectors_below(&seed, sizeof text);
        buf_init(&out, 65536);
        vectors_bytes(&seed, "ab,\n\"\r,\n", 8, text, n);
        const enum err_code code = render(text, n, 32, &out, &e);
        assert_true(code == ERR_OK || code == ERR_PARSE);
        assert_int_equal(e.code, code);
        taken += code == ERR_OK ? 1 : 0;
        buf_release(&out);
    }
    assert_true(taken > 100 && taken < 2900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv_plain_records),
        cmocka_unit_test(test_csv_quoted_fields),
        cmocka_unit_test(test_csv_empty_lines_are_skipped),
        cmocka_unit_test(test_csv_byte_order_mark),
        cmocka_unit_test(test_csv_faults_name_the_line),
        cmocka_unit_test(test_csv_records_before_a_fault_are_given),
        cmocka_unit_test(test_csv_is_bounded),
        cmocka_unit_test(test_csv_long_files_take_the_memory_of_one_record),
        cmocka_unit_test(test_csv_read_errors_are_not_the_end),
        cmocka_unit_test(test_csv_quoted_random_fields_round_trip),
        cmocka_unit_test(test_csv_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
