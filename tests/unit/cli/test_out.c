#include "blobferry/base/str.h"
#include "cli/out.h"
#include "unit/cli/capture.h"

#include <locale.h>

static struct out make(const char *const *switches)
{
    struct config c;
    struct out o;
    struct err e;

    config_init(&c);
    err_init(&e);
    for (; *switches != NULL; switches++)
        assert_int_equal(config_set(&c, *switches, "yes", "--option", &e), ERR_OK);
    out_init(&o, &c);
    config_release(&c);
    return o;
}

#define SWITCHES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PLAIN         ((const char *const[]){NULL})

static void test_out_lines_go_to_stdout_and_notes_to_stderr(void **state)
{
    struct capture c;
    struct out o;

    (void)state;
    capture_begin(&c);
    o = make(PLAIN);
    out_line(&o, "%d rows", 3);
    out_note(&o, "log: %s", "x");
    assert_true(out_finish(&o));
    capture_end(&c);
    assert_string_equal(c.out, "3 rows\n");
    assert_string_equal(c.err, "log: x\n");
    out_release(&o);
    capture_release(&c);
}

static void test_out_quiet_keeps_errors_only(void **state)
{
    struct capture c;
    struct out o;
    struct err e;

    (void)state;
    err_init(&e);
    err_set(&e, ERR_DB, "cannot open");
    err_hint(&e, "try this");
    capture_begin(&c);
    o = make(SWITCHES("quiet"));
    out_line(&o, "line");
    out_note(&o, "note");
    out_table_print(out_table_new(&o, (const struct out_column[]){{"A", false, false}}, 1));
    out_error(&o, &e);
    assert_true(out_finish(&o));
    capture_end(&c);
    assert_string_equal(c.out, "");
    assert_string_equal(c.err, "blobferry: cannot open\nhint: try this\n");
    out_release(&o);
    capture_release(&c);
}

static void test_out_no_colour_where_there_is_no_terminal(void **state)
{
    struct capture c;
    struct out o;

    (void)state;
    capture_begin(&c);
    o = make(PLAIN);
    capture_end(&c);
    assert_false(o.color_out);
    assert_false(o.color_err);
    assert_false(o.progress);
    assert_string_equal(out_paint(&o, OUT_RED), "");
    assert_string_equal(out_reset(&o), "");
    o.color_out = true;
    assert_string_equal(out_paint(&o, OUT_RED), "\033[31m");
    assert_string_equal(out_reset(&o), "\033[0m");
    out_release(&o);
    capture_release(&c);
}

/* F2: nothing raw reaches the terminal, whoever chose the text. */
static void test_out_safe_text_holds_no_control_characters(void **state)
{
    static const char *const hostile[] = {"a\nb",
                                          "\033[31mred",
                                          "\x9b"
                                          "31m",
                                          "a\rb",
                                          "\x7f",
                                          "\xE2\x80\xA8line",
                                          "\xE2\x80\xAE"
                                          "bidi",
                                          "\xff\xfe",
                                          "\xC2\x9B"
                                          "31m"};
    struct out_text t;

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        t = out_safe(hostile[i]);
        for (const char *p = t.text; *p != '\0'; p++)
            assert_true(*p >= ' ' && *p < 0x7f);
        assert_true(t.text[0] != '\0');
    }
    assert_string_equal(out_safe("Fuß 日本 😀").text, "Fuß 日本 😀");
    assert_string_equal(out_safe(NULL).text, "");
}

static void test_out_errors_are_printable(void **state)
{
    struct capture c;
    struct out o;
    struct err e;

    (void)state;
    err_init(&e);
    e.code = ERR_GENERAL;
    str_copy(e.message, sizeof e.message, "no '\033[2J'\nblobferry: forged");
    str_copy(e.hint, sizeof e.hint, "h\ni");
    capture_begin(&c);
    o = make(PLAIN);
    out_error(&o, &e);
    capture_end(&c);
    assert_null(strchr(c.err, '\033'));
    assert_ptr_equal(strchr(strchr(c.err, '\n') + 1, '\n'),
                     c.err + strlen(c.err) - 1); /* two lines */
    out_release(&o);
    capture_release(&c);
}

static void test_out_sizes_and_durations(void **state)
{
    (void)state;
    assert_string_equal(out_size(-1).text, out_size(0).text);
    assert_non_null(strstr(out_size(1536).text, "1.5"));
    assert_string_equal(out_duration(0).text, "0.0 s");
    assert_string_equal(out_duration(9999).text, "9.9 s");
    assert_string_equal(out_duration(10000).text, "10 s");
    assert_string_equal(out_duration(119999).text, "119 s");
    assert_string_equal(out_duration(120000).text, "0:02:00");
    assert_string_equal(out_duration(86400000ll + 61000).text, "24:01:01");
}

static void test_out_status_colours(void **state)
{
    (void)state;
    assert_int_equal(out_status_color("completed"), OUT_GREEN);
    assert_int_equal(out_status_color("failed"), OUT_RED);
    assert_int_equal(out_status_color("processing"), OUT_YELLOW);
    assert_int_equal(out_status_color("Completed"), OUT_PLAIN);
    assert_int_equal(out_status_color(NULL), OUT_PLAIN);
}

/* ---- --json ------------------------------------------------------------------------------------- */

static void test_out_document_is_one_valid_json_object_and_nothing_else(void **state)
{
    struct capture c;
    struct json *root;
    struct out o;
    struct err e;
    int64_t n;

    (void)state;
    err_init(&e);
    err_set(&e, ERR_PARTIAL, "3 files '%s'", "\xff");
    err_hint(&e, "look");
    capture_begin(&c);
    o = make(SWITCHES("json"));
    out_document_begin(&o, "rollback", "run-1");
    out_line(&o, "never seen");
    json_out_string(&o.writer, "key", "\xff\xfe not UTF-8");
    json_out_integer(&o.writer, "n", 7);
    out_document_end(&o, 1, &e);
    assert_true(out_finish(&o));
    capture_end(&c);
    root = json_parse(c.out, strlen(c.out), &e);
    assert_non_null(root);
    assert_string_equal(json_string(json_get(root, "command")), "rollback");
    assert_string_equal(json_string(json_get(root, "run")), "run-1");
    assert_true(json_integer(json_get(root, "exit_code"), &n));
    assert_int_equal(n, 1);
    assert_string_equal(json_string(json_get(json_get(root, "error"), "class")), "partial");
    assert_string_equal(json_string(json_get(json_get(root, "error"), "hint")), "look");
    assert_true(json_is_object(json_get(root, "key"))); /* {"b64": …} */
    assert_int_equal(c.out[strlen(c.out) - 1], '\n');
    json_free(root);
    out_release(&o);
    capture_release(&c);
}

static void test_out_document_of_success_has_a_null_error(void **state)
{
    struct capture c;
    struct json *root;
    struct out o;

    (void)state;
    capture_begin(&c);
    o = make(SWITCHES("json"));
    out_document_begin(&o, NULL, NULL);
    out_document_end(&o, 0, NULL);
    assert_true(out_finish(&o));
    capture_end(&c);
    root = json_parse(c.out, strlen(c.out), NULL);
    assert_non_null(root);
    assert_true(json_is_null(json_get(root, "error")));
    assert_true(json_is_null(json_get(root, "command")));
    assert_null(json_get(root, "run"));
    json_free(root);
    out_release(&o);
    capture_release(&c);
}

static void test_out_document_that_went_wrong_is_not_success(void **state)
{
    struct capture c;
    struct out o;

    (void)state;
    capture_begin(&c);
    o = make(SWITCHES("json"));
    out_document_begin(&o, "x", NULL);
    o.document.failed = true; /* out of memory */
    out_document_end(&o, 0, NULL);
    assert_false(out_finish(&o));
    capture_end(&c);
    assert_string_equal(c.out, "");
    assert_non_null(strstr(c.err, "cannot write to standard output"));
    out_release(&o);
    capture_release(&c);
}

/* P9: what could not be written was not said. */
static void test_out_full_device_is_reported_with_its_reason(void **state)
{
    struct capture c;
    struct out o;
    int full, keep;

    (void)state;
    capture_begin(&c);
    full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    keep = dup(STDOUT_FILENO);
    assert_int_equal(dup2(full, STDOUT_FILENO), STDOUT_FILENO);
    o = make(PLAIN);
    out_line(&o, "lost");
    assert_false(out_finish(&o));
    assert_int_equal(dup2(keep, STDOUT_FILENO), STDOUT_FILENO);
    close(full);
    close(keep);
    capture_end(&c);
    assert_string_equal(c.err,
                        "blobferry: cannot write to standard output: No space left on device\n");
    out_release(&o);
    capture_release(&c);
}

/* ---- tables -------------------------------------------------------------------------------------- */

static void test_out_table_prints_every_byte_where_there_is_no_terminal(void **state)
{
    static const struct out_column columns[] = {
        {"ID", false, false}, {"SIZE", true, false}, {"KEY", false, true}};
    struct capture c;
    struct out_table *t;
    struct out o;
    char key[301], cell[302];

    (void)state;
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    capture_begin(&c);
    o = make(PLAIN);
    t = out_table_new(&o, columns, 3);
    out_table_row(t, OUT_RED, (const char *const[]){"é\n1", "1.5 GiB", key}, 3);
    out_table_row(t, OUT_PLAIN, (const char *const[]){"id-2", NULL, "\033[31m"}, 3);
    out_table_print(t);
    assert_true(out_finish(&o));
    capture_end(&c);
    snprintf(cell, sizeof cell, "%s\n", key);
    assert_non_null(strstr(c.out, cell)); /* not cut */
    assert_non_null(strstr(c.out, "ID"));
    assert_non_null(strstr(c.out, "é\\x0a1")); /* one row, one line */
    assert_non_null(strstr(c.out, " - "));     /* absent */
    assert_null(strchr(c.out, '\033'));
    out_release(&o);
    capture_release(&c);
}

static void test_out_table_under_json_is_nothing(void **state)
{
    static const struct out_column columns[] = {{"ID", false, false}};
    struct capture c;
    struct out_table *t;
    struct out o;

    (void)state;
    capture_begin(&c);
    o = make(SWITCHES("json"));
    t = out_table_new(&o, columns, 1);
    assert_null(t);
    out_table_row(t, OUT_PLAIN, (const char *const[]){"x"}, 1);
    out_table_print(t);
    assert_true(out_finish(&o));
    capture_end(&c);
    assert_string_equal(c.out, "");
    out_release(&o);
    capture_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_lines_go_to_stdout_and_notes_to_stderr),
        cmocka_unit_test(test_out_quiet_keeps_errors_only),
        cmocka_unit_test(test_out_no_colour_where_there_is_no_terminal),
        cmocka_unit_test(test_out_safe_text_holds_no_control_characters),
        cmocka_unit_test(test_out_errors_are_printable),
        cmocka_unit_test(test_out_sizes_and_durations),
        cmocka_unit_test(test_out_status_colours),
        cmocka_unit_test(test_out_document_is_one_valid_json_object_and_nothing_else),
        cmocka_unit_test(test_out_document_of_success_has_a_null_error),
        cmocka_unit_test(test_out_document_that_went_wrong_is_not_success),
        cmocka_unit_test(test_out_full_device_is_reported_with_its_reason),
        cmocka_unit_test(test_out_table_prints_every_byte_where_there_is_no_terminal),
        cmocka_unit_test(test_out_table_under_json_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
