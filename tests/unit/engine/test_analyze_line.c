#include "engine/analyze_line.h"

#include "unit/base/scratch.h"

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static bool parse(const char *text, struct analyze_line *l)
{
    return analyze_line_parse(text, strlen(text), l);
}

static void test_analyze_line_reads_a_text_log(void **state)
{
    struct analyze_line l;
    (void)state;

    assert_true(parse("2026-11-21T12:00:00.123Z info  file_completed record='r1' source='a b.txt' "
                      "key='k' bytes=12 duration_ms=7",
                      &l));
    assert_false(l.audit);
    assert_string_equal(l.time, "2026-11-21T12:00:00.123Z");
    assert_int_equal(l.time_ms, 1795262400123);
    assert_string_equal(l.level, "info");
    assert_string_equal(l.event, "file_completed");
    assert_string_equal(l.name, "a b.txt");
    assert_int_equal(l.bytes, 12);
    assert_int_equal(l.duration_ms, 7);
    assert_int_equal(l.success, -1);
    assert_string_equal(l.error_class, "");
    assert_true(
        parse("2026-11-21T12:00:00.123Z error file_failed key='k' error_class='store_denied' "
              "error='a=\\'b\\'' source=null",
              &l));
    assert_string_equal(l.level, "error");
    assert_string_equal(l.error_class, "store_denied");
    assert_string_equal(l.name, "k");
    assert_int_equal(l.bytes, -1);
}

static void test_analyze_line_reads_a_json_log(void **state)
{
    struct analyze_line l;
    (void)state;

    assert_true(
        parse("{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"warn\",\"command\":"
              "\"migrate\",\"run\":\"r-1\",\"event\":\"file_failed\",\"source\":\"a\\u001bb\","
              "\"bytes\":5,\"duration_ms\":1,\"error_class\":\"file\"}",
              &l));
    assert_false(l.audit);
    assert_string_equal(l.run, "r-1");
    assert_string_equal(l.event, "file_failed");
    assert_string_equal(l.name, "a\\x1bb");
    assert_string_equal(l.error_class, "file");
    assert_int_equal(l.bytes, 5);
}

static void test_analyze_line_reads_the_audit(void **state)
{
    struct analyze_line l;
    (void)state;

    assert_true(
        parse("{\"v\":1,\"time\":\"2026-11-21T12:00:00.123Z\",\"log\":\"L\",\"run\":\"R\","
              "\"seq\":9,\"action\":\"upload_outcome\",\"filename\":\"f\",\"target_key\":\"k\","
              "\"size\":3,\"duration_ms\":4,\"success\":true,\"hash\":\"" HASH "\"}",
              &l));
    assert_true(l.audit);
    assert_string_equal(l.event, "upload_outcome");
    assert_string_equal(l.run, "R");
    assert_string_equal(l.name, "f");
    assert_int_equal(l.success, 1);
    assert_int_equal(l.bytes, 3);
    assert_true(parse("{\"v\":1,\"time\":\"2026-11-21T12:00:00.123Z\",\"log\":\"L\",\"run\":\"R\","
                      "\"seq\":9,\"action\":\"run_end\",\"detail\":\"migrate\",\"success\":false,"
                      "\"extra\":{\"result\":\"database_busy\"},\"hash\":\"" HASH "\"}",
                      &l));
    assert_int_equal(l.success, 0);
    assert_string_equal(l.error_class, "database_busy");
}

static void test_analyze_line_knows_the_run_and_its_end(void **state)
{
    struct analyze_line l;
    (void)state;

    assert_true(parse("2026-11-21T12:00:00.123Z info  run_begin id='0192-run' version='1'", &l));
    assert_string_equal(l.run, "0192-run");
    assert_true(parse("2026-11-21T12:00:00.123Z info  file_completed id='x'", &l));
    assert_string_equal(l.run, "");
    assert_true(parse("2026-11-21T12:00:00.123Z info  run_end exit_code=0 duration_ms=60", &l));
    assert_int_equal(l.success, 1);
    assert_int_equal(l.duration_ms, 60);
    assert_string_equal(l.error_class, "");
    assert_true(parse("2026-11-21T12:00:00.123Z info  run_end exit_code=3", &l));
    assert_int_equal(l.success, 0);
    assert_string_equal(l.error_class, "database");
    assert_true(parse("2026-11-21T12:00:00.123Z info  run_end exit_code=4", &l));
    assert_string_equal(l.error_class, "store");
}

static void test_analyze_line_refuses_what_is_not_ours(void **state)
{
    static const char *const foreign[] = {
        "",
        " ",
        "{",
        "{}",
        "[1]",
        "hello world",
        "127.0.0.1 - - [21/Nov/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
        "2026-11-21T12:00:00.123Z",
        "2026-11-21T12:00:00.123Z info",
        "2026-11-21T12:00:00.123Z notice event",
        "2026-11-21 12:00:00 info event",
        "2026-11-21T12:00:00Z info event",
        "2026-13-21T12:00:00.123Z info event",
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"event\":\"file_completed\"}",
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"action\":\"upload_outcome\"}",
        "{\"v\":1,\"time\":\"2026-11-21T12:00:00.123Z\",\"log\":\"L\",\"run\":\"R\",\"seq\":9,"
        "\"action\":\"upload_outcome\"}",
        "{\"v\":2,\"time\":\"2026-11-21T12:00:00.123Z\",\"log\":\"L\",\"run\":\"R\",\"seq\":9,"
        "\"action\":\"upload_outcome\",\"hash\":\"" HASH "\"}",
        "{\"time\":1795262400,\"level\":\"info\",\"command\":\"x\",\"event\":\"file_completed\"}",
        "{\"time\":\"yesterday\",\"level\":\"info\",\"command\":\"x\",\"event\":\"file_"
        "completed\"}",
    };
    struct analyze_line l;
    (void)state;

    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(parse(foreign[i], &l));
}

static void test_analyze_line_refuses_damage(void **state)
{
    static const char *const damaged[] = {
        "2026-11-21T12:00:00.123Z info  file_completed key='k",
        "2026-11-21T12:00:00.123Z info  file_completed key='k\\'",
        "2026-11-21T12:00:00.123Z info  file_completed key",
        "2026-11-21T12:00:00.123Z info  file_completed key=",
        "2026-11-21T12:00:00.123Z info  file_completed ='x'",
        "2026-11-21T12:00:00.123Z info  file_completed two words='x'",
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\",\"command\":\"x\",\"event\":"
        "\"e\"",
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\",\"command\":\"x\",\"event\":"
        "\"e\"}x",
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":"
        "\"info\","
        "\"command\":\"x\",\"event\":\"e\"}",
    };
    static const char with_nul[] = "2026-11-21T12:00:00.123Z info\0 file_completed key='k'";
    struct analyze_line l;
    (void)state;

    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        assert_false(parse(damaged[i], &l));
    assert_false(analyze_line_parse(with_nul, sizeof with_nul - 1, &l));
}

/* Every beginning of a line: no read beyond it, whatever it is taken for. */
static void test_analyze_line_survives_every_cut(void **state)
{
    static const char *const lines[] = {
        "2026-11-21T12:00:00.123Z error file_failed key='a\\'\\\\\\x1b' bytes=1 error='x y' z=null",
        "{\"v\":1,\"time\":\"2026-11-21T12:00:00.123Z\",\"log\":\"L\",\"run\":\"R\",\"seq\":9,"
        "\"action\":\"run_end\",\"success\":false,\"extra\":{\"result\":\"store\"},\"hash\":"
        "\"" HASH "\"}"};
    struct analyze_line l;
    size_t good = 0;
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        for (size_t n = 0; n <= strlen(lines[i]); n++) {
            char *exact = malloc(n + 1);
            assert_non_null(exact);
            memcpy(exact, lines[i], n);
            exact = realloc(exact, n > 0 ? n : 1);
            assert_non_null(exact);
            good += analyze_line_parse(exact, n, &l);
            (void)analyze_line_is_older(exact, n, "2026-11-21T12:00:00.124Z");
            free(exact);
        }
        assert_true(parse(lines[i], &l));
    }
    assert_true(good >= 2);
}

static void test_analyze_line_keeps_hostile_text_harmless(void **state)
{
    struct analyze_line l;
    char line[4000];
    (void)state;

    assert_true(parse("2026-11-21T12:00:00.123Z info  file_completed source='\x1b[31mred\\' x=1 "
                      "event=file_failed error_class=\\'store\\'' bytes=1",
                      &l));
    assert_string_equal(l.name, "\\x1b[31mred' x=1 event=file_failed error_class='store'");
    assert_string_equal(l.event, "file_completed");
    assert_string_equal(l.error_class, "");
    memset(line, 'x', sizeof line);
    memcpy(line, "2026-11-21T12:00:00.123Z info  e source='", 41);
    line[3998] = '\'';
    line[3999] = '\0';
    assert_true(parse(line, &l));
    assert_true(strlen(l.name) < sizeof l.name);
    assert_true(parse(
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"level\":\"info\",\"command\":\"x\",\"event\":"
        "\"e\",\"bytes\":-5,\"duration_ms\":1e3,\"source\":{\"b64\":\"/"
        "w==\"},\"key\":\"\\u202ek\"}",
        &l));
    assert_int_equal(l.bytes, -1);
    assert_int_equal(l.duration_ms, -1);
    assert_string_equal(l.name, "\\u{202e}k");
}

static void test_analyze_line_tells_old_lines_by_their_time(void **state)
{
    static const char from[] = "2026-11-14T12:00:00.000Z";
    static const struct {
        const char *line;
        bool older;
    } cases[] = {
        {"{\"v\":1,\"time\":\"2026-11-14T11:59:59.999Z\",\"log\"", true},
        {"{\"v\":1,\"time\":\"2026-11-14T12:00:00.000Z\",\"log\"", false},
        {"{\"time\":\"2025-12-31T23:59:59.999Z\",\"level\"", true},
        {"{\"time\":\"2026-12-31T23:59:59.999Z\",\"level\"", false},
        {"2026-11-14T11:59:59.999Z info  e", true},
        {"2026-11-15T11:59:59.999Z info  e", false},
        {"{\"event\":\"2025-12-31T23:59:59.999Z\"}", false},
        {"garbage garbage garbage garbage garbage", false},
        {"", false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(analyze_line_is_older(cases[i].line, strlen(cases[i].line), from),
                         cases[i].older);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_analyze_line_reads_a_text_log),
        cmocka_unit_test(test_analyze_line_reads_a_json_log),
        cmocka_unit_test(test_analyze_line_reads_the_audit),
        cmocka_unit_test(test_analyze_line_knows_the_run_and_its_end),
        cmocka_unit_test(test_analyze_line_refuses_what_is_not_ours),
        cmocka_unit_test(test_analyze_line_refuses_damage),
        cmocka_unit_test(test_analyze_line_survives_every_cut),
        cmocka_unit_test(test_analyze_line_keeps_hostile_text_harmless),
        cmocka_unit_test(test_analyze_line_tells_old_lines_by_their_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
