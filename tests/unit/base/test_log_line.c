#include "base/log_line.h"
#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"
#include "unit/base/scratch.h"

#define NOON INT64_C(1795262400123) /* 2026-11-21T12:00:00.123Z */

static const struct log_line plain = {
    .time_ms = NOON, .level = LOG_INFO, .command = "migrate", .run_id = "r-1", .event = "done"};

/* Owned. */
static char *render(bool json, const struct log_line *line, const struct log_field *fields)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_true(log_line_render(&b, json, line, fields));
    return buf_steal(&b);
}

static void renders_to(bool json, const struct log_field *fields, const char *expected)
{
    char *text = render(json, &plain, fields);
    assert_string_equal(text, expected);
    free(text);
}

static void value_renders_to(bool json, const char *value, const char *expected)
{
    char all[512];
    snprintf(all, sizeof all,
             json ? "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\","
                    "\"command\":\"migrate\",\"run\":\"r-1\",\"event\":\"done\",\"v\":%s}\n"
                  : "2026-11-21T12:00:00.123Z info  done v=%s\n",
             expected);
    renders_to(json, (struct log_field[]){{"v", LOG_TEXT, .text = value}, {0}}, all);
}

static void test_log_line_text_form(void **state)
{
    (void)state;
    renders_to(false, NULL, "2026-11-21T12:00:00.123Z info  done\n");
    renders_to(false,
               (struct log_field[]){{"file", LOG_TEXT, .text = "a b"},
                                    {"bytes", LOG_INT, .integer = -12},
                                    {"none", LOG_TEXT, .text = NULL},
                                    {0}},
               "2026-11-21T12:00:00.123Z info  done file='a b' bytes=-12 none=null\n");
}

static void test_log_line_json_form(void **state)
{
    (void)state;
    renders_to(true,
               (struct log_field[]){{"file", LOG_TEXT, .text = "a b"},
                                    {"bytes", LOG_INT, .integer = INT64_MIN},
                                    {"none", LOG_TEXT, .text = NULL},
                                    {0}},
               "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\",\"command\":\"migrate\","
               "\"run\":\"r-1\",\"event\":\"done\",\"file\":\"a b\","
               "\"bytes\":-9223372036854775808,\"none\":null}\n");
    struct log_line line = plain;
    line.run_id = NULL;
    line.level = LOG_ERROR;
    char *text = render(true, &line, NULL);
    assert_string_equal(text, "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"error\","
                              "\"command\":\"migrate\",\"event\":\"done\"}\n");
    free(text);
}

static void test_log_line_times_are_utc_with_milliseconds(void **state)
{
    (void)state;
    char dst[32];
    assert_int_equal(setenv("TZ", "Asia/Kathmandu", 1), 0);
    log_line_time(dst, NOON);
    assert_string_equal(dst, "2026-11-21T12:00:00.123Z");
    log_line_stamp(dst, NOON);
    assert_string_equal(dst, "20261121_120000");
    assert_int_equal(unsetenv("TZ"), 0);
    log_line_time(dst, 0);
    assert_string_equal(dst, "1970-01-01T00:00:00.000Z");
    log_line_time(dst, -1);
    assert_string_equal(dst, "1969-12-31T23:59:59.999Z");
    log_line_time(dst, INT64_C(4102444800007)); /* beyond 2038 */
    assert_string_equal(dst, "2100-01-01T00:00:00.007Z");
    log_line_time(dst, INT64_C(951782400000)); /* a leap day */
    assert_string_equal(dst, "2000-02-29T00:00:00.000Z");
    log_line_time(dst, INT64_C(951782400999)); /* the same second, and the one before */
    assert_string_equal(dst, "2000-02-29T00:00:00.999Z");
    log_line_time(dst, INT64_C(951782399999));
    assert_string_equal(dst, "2000-02-28T23:59:59.999Z");
    log_line_time(dst, INT64_MIN);
    assert_true(strlen(dst) < sizeof dst);
    log_line_time(dst, INT64_MAX);
    log_line_stamp(dst, INT64_MIN);
    assert_true(strlen(dst) < sizeof dst);
}

static void test_log_line_text_cannot_be_injected(void **state)
{
    (void)state;
    value_renders_to(false, "a\nb\r\x1B[2J", "'a\\x0ab\\x0d\\x1b[2J'");
    value_renders_to(false, "' x='1", "'\\' x=\\'1'");
    value_renders_to(false, "\\x0a", "'\\\\x0a'");
    value_renders_to(false, "\xE2\x80\xA8\xE2\x80\xAE\xC2\x85", "'\\u{2028}\\u{202e}\\u{0085}'");
    value_renders_to(false, "\xFF\xC3", "'\\xff\\xc3'");
    value_renders_to(false, "\xC3\xA9\xF0\x9F\x9A\xA2", "'\xC3\xA9\xF0\x9F\x9A\xA2'");
    value_renders_to(false, "", "''");
}

static void test_log_line_json_cannot_be_injected(void **state)
{
    (void)state;
    value_renders_to(true, "\"},{\"x\":\"1", "\"\\\"},{\\\"x\\\":\\\"1\"");
    value_renders_to(true, "a\nb\x1B\x7F", "\"a\\u000ab\\u001b\\u007f\"");
    value_renders_to(true, "\\u0041\\", "\"\\\\u0041\\\\\"");
    value_renders_to(true, "\xE2\x80\xA8\xE2\x80\xAE\xC2\x85", "\"\\u2028\\u202e\\u0085\"");
    value_renders_to(true, "\xFF", "\"\\\\xff\"");
}

static void test_log_line_hostile_names_stay_in_their_place(void **state)
{
    (void)state;
    struct log_line line = plain;
    line.event = "e\nv";
    char *text =
        render(false, &line, (struct log_field[]){{"a b=\n'", LOG_INT, .integer = 1}, {0}});
    assert_string_equal(text, "2026-11-21T12:00:00.123Z info  e\\x0av a_b___=1\n");
    free(text);
    renders_to(true, (struct log_field[]){{"level", LOG_INT, .integer = 1}, {0}},
               "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\",\"command\":\"migrate\","
               "\"run\":\"r-1\",\"event\":\"done\",\"level_\":1}\n");
}

static void test_log_line_long_text_is_cut_on_a_character(void **state)
{
    (void)state;
    char *value = malloc(300001);
    assert_non_null(value);
    for (size_t shift = 0; shift < 4; shift++) {
        memset(value, 'a', shift);
        for (size_t i = shift; i + 4 < 300001; i += 4)
            memcpy(value + i, "\xF0\x9F\x9A\xA2", 5);
        char *text =
            render(true, &plain,
                   (struct log_field[]){
                       {"v", LOG_TEXT, .text = value}, {"after", LOG_INT, .integer = 1}, {0}});
        assert_true(strlen(text) < LOG_LINE_TEXT_MAX + 200);
        assert_true(str_utf8_valid(text, strlen(text)));
        assert_null(strstr(text, "\\\\x")); /* no torn character was escaped */
        assert_true(str_ends(text, "\xA2...\",\"after\":1}\n"));
        free(text);
    }
    free(value);
}

static void test_log_line_secrets_are_redacted(void **state)
{
    (void)state;
    static const char odd[] = "p\"w\\d\n'\xC3\xA9"; /* every byte of it is escaped or special */
    struct secret s;
    struct secret t;
    secret_init(&s);
    secret_init(&t);
    assert_int_equal(secret_set(&s, "SENTINEL", 8, NULL), ERR_OK);
    assert_int_equal(secret_set(&t, odd, sizeof odd - 1, NULL), ERR_OK);
    value_renders_to(false, "x SENTINEL y", "'x ******** y'");
    value_renders_to(true, odd, "\"*********\"");
    value_renders_to(false, odd, "'*********'");
    struct log_line line = plain;
    line.event = line.command = line.run_id = "SENTINEL";
    const struct log_field fields[] = {{"SENTINEL", LOG_TEXT, .text = "SENTINEL"}, {0}};
    for (int json = 0; json < 2; json++) {
        char *text = render(json, &line, fields);
        assert_null(strstr(text, "SENTINEL"));
        assert_true(str_ends(text, "\n"));
        free(text);
    }
    secret_release(&s);
    secret_release(&t);
}

static void test_log_line_secret_across_the_cut_is_redacted(void **state)
{
    (void)state;
    struct secret s;
    char token[2001];
    char value[LOG_LINE_TEXT_MAX + 2000];
    memset(token, 'K', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    secret_init(&s);
    assert_int_equal(secret_set(&s, token, strlen(token), NULL), ERR_OK);
    memset(value, '-', sizeof value);
    memcpy(value + LOG_LINE_TEXT_MAX - 100, token, 2000);
    value[LOG_LINE_TEXT_MAX - 100 + 2000] = '\0';
    char *text = render(true, &plain, (struct log_field[]){{"v", LOG_TEXT, .text = value}, {0}});
    assert_null(strchr(text, 'K'));
    free(text);
    secret_release(&s);
}

static void test_log_line_over_long_line_fails_the_buffer(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 60);
    assert_false(log_line_render(&b, true, &plain, NULL));
    assert_false(buf_ok(&b));
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_line_text_form),
        cmocka_unit_test(test_log_line_json_form),
        cmocka_unit_test(test_log_line_times_are_utc_with_milliseconds),
        cmocka_unit_test(test_log_line_text_cannot_be_injected),
        cmocka_unit_test(test_log_line_json_cannot_be_injected),
        cmocka_unit_test(test_log_line_hostile_names_stay_in_their_place),
        cmocka_unit_test(test_log_line_long_text_is_cut_on_a_character),
        cmocka_unit_test(test_log_line_secrets_are_redacted),
        cmocka_unit_test(test_log_line_secret_across_the_cut_is_redacted),
        cmocka_unit_test(test_log_line_over_long_line_fails_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
