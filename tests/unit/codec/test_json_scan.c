/* What json_scan keeps from cJSON, seen through json_parse. */
#include "codec/json_scan.h"

#include "blobferry/codec/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static struct json *parse(const char *text)
{
    struct err e;
    err_init(&e);
    struct json *root = json_parse(text, strlen(text), &e);
    if (root == NULL)
        fail_msg("%s: %s", text, e.message);
    return root;
}

static void refuses_bytes(const char *text, size_t n, enum err_code code, const char *why)
{
    struct err e;
    err_init(&e);
    struct json *root = json_parse(text, n, &e);
    json_free(root);
    if (root != NULL)
        fail_msg("'%s' was taken", text);
    assert_int_equal(e.code, code);
    if (why != NULL && strstr(e.message, why) == NULL)
        fail_msg("message '%s' does not say '%s'", e.message, why);
}

static void test_json_scan_malformed_text_is_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",           " ",           "{",          "}",          "[",
        "]",          "{]",          "[}",         "[1",         "[1,",
        "[1,]",       "[,1]",        "[,]",        "[1 2]",      "[1,,2]",
        "{\"a\"}",    "{\"a\":}",    "{\"a\":1,}", "{\"a\" 1}",  "{\"a\":1 \"b\":2}",
        "{,}",        "{a:1}",       "{'a':1}",    "{1:1}",      "{null:1}",
        "\"",         "\"a",         "'a'",        "\"\\\"",     "\"\\x41\"",
        "\"\\u12\"",  "\"\\u12g4\"", "\"\\",       "\"\\u",      "nul",
        "nulll",      "True",        "NULL",       "undefined",  "NaN",
        "Infinity",   "-Infinity",   "-",          "+1",         "01",
        "-01",        "00",          "1.",         ".5",         "1e",
        "1e+",        "1.e1",        "0x10",       "1_000",      "--1",
        "1-1",        "1,2",         "1 2",        "{}{}",       "[] []",
        "{} x",       "1\n2",        "null,",      "/* c */ 1",  "// c\n1",
        "[1]//",      "\v1",         "\f1",        "\2401",      "[\"a\nb\"]",
        "[\"a\tb\"]", "[\"\x01\"]",  "[\"\x1f\"]", "{\"a\":1}}", "[[1]]]",
        "[1}",        "{\"a\":1]",   "{\"a\":[1}", "[{\"a\":1]", "tru",
        "falsey",     "[tru]",       "{\"a\":b}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses_bytes(bad[i], strlen(bad[i]), ERR_PARSE, "malformed JSON");
}

static void test_json_scan_trailing_text_is_refused_with_its_place(void **unused)
{
    (void)unused;
    refuses_bytes("{} x", 4, ERR_PARSE, "byte 3: more text");
    refuses_bytes("[1,\n 01]", 8, ERR_PARSE, "leading zero");
}

static void test_json_scan_nul_is_refused_in_every_form(void **unused)
{
    (void)unused;
    refuses_bytes("\"a\0b\"", 5, ERR_PARSE, NULL);
    refuses_bytes("1\0", 2, ERR_PARSE, NULL);
    refuses_bytes("\0", 1, ERR_PARSE, NULL);
    refuses_bytes("\"a\\\0\"", 5, ERR_PARSE, NULL);
    refuses_bytes("\"a\\u0000b\"", 10, ERR_PARSE, "u0000");
    refuses_bytes("{\"a\\u0000\":1}", 13, ERR_PARSE, "u0000");
}

static void test_json_scan_text_that_is_not_utf8_is_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xe2\x82\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud83d\"",
        "\"\\ud83d\\ude0\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses_bytes(bad[i], strlen(bad[i]), ERR_PARSE, NULL);
}

static void nested(struct buf *b, const char *open, const char *middle, const char *close,
                   int levels)
{
    buf_reset(b);
    for (int i = 0; i < levels; i++)
        assert_true(buf_str(b, open));
    assert_true(buf_str(b, middle));
    for (int i = 0; i < levels; i++)
        assert_true(buf_str(b, close));
}

static void test_json_scan_depth_is_bounded(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 8 << 20);
    nested(&b, "[", "1", "]", 64);
    json_free(parse(buf_cstr(&b)));
    nested(&b, "{\"a\":", "{}", "}", 63);
    json_free(parse(buf_cstr(&b)));
    nested(&b, "[", "1", "]", 65);
    refuses_bytes(b.data, b.len, ERR_LIMIT, "deep");
    nested(&b, "[", "", "]", 65);
    refuses_bytes(b.data, b.len, ERR_LIMIT, "deep");
    nested(&b, "{\"a\":", "1", "}", 65);
    refuses_bytes(b.data, b.len, ERR_LIMIT, "deep");
    nested(&b, "[{\"a\":", "1", "}]", 33);
    refuses_bytes(b.data, b.len, ERR_LIMIT, "deep");
    nested(&b, "[", "", "", 1000000);
    refuses_bytes(b.data, b.len, ERR_LIMIT, "deep");
    buf_release(&b);
}

static void test_json_scan_size_and_number_length_are_bounded(void **unused)
{
    (void)unused;
    struct err e;
    err_init(&e);
    assert_null(json_parse("1", ((size_t)64 << 20) + 1, &e)); /* never looked at */
    assert_int_equal(e.code, ERR_LIMIT);
    refuses_bytes("1234567890123456789012345678901234567890123456789012345678901", 61, ERR_LIMIT,
                  "number too long");
    refuses_bytes(NULL, 0, ERR_PARSE, "value expected");
}

/* Each value costs cJSON some 100 bytes: "[0,0,0,…" must not make 64 MiB into 3 GiB (P10). */
static void test_json_scan_values_are_bounded(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 16 << 20);
    assert_true(buf_str(&b, "[0"));
    for (size_t i = 0; i < JSON_SCAN_VALUES / 16; i++)
        assert_true(buf_str(&b, ",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"));
    assert_true(buf_str(&b, "]"));
    refuses_bytes(b.data, b.len, ERR_LIMIT, "too many values");
    buf_release(&b);
}

/* Numbers come one by one in their order; strings and literals are passed over. */
static void test_json_scan_number_walks_the_text(void **unused)
{
    (void)unused;
    static const char text[] =
        "{\"1\":-12,\"\\\"2\":[3.5,\"4\",true,9007199254740992,9007199254740993,1e2]}";
    static const struct {
        bool exact;
        int64_t value;
    } expected[] = {
        {true, -12}, {false, 0}, {true, INT64_C(9007199254740992)}, {false, 0}, {false, 0}};
    const char *at = text;
    const char *end = text + sizeof text - 1;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        bool exact = !expected[i].exact;
        int64_t value = 0;
        assert_true(json_scan_number(&at, end, &exact, &value));
        assert_int_equal(exact, expected[i].exact);
        if (exact)
            assert_true(value == expected[i].value);
    }
    bool exact;
    int64_t value;
    assert_false(json_scan_number(&at, end, &exact, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_scan_malformed_text_is_refused),
        cmocka_unit_test(test_json_scan_trailing_text_is_refused_with_its_place),
        cmocka_unit_test(test_json_scan_nul_is_refused_in_every_form),
        cmocka_unit_test(test_json_scan_text_that_is_not_utf8_is_refused),
        cmocka_unit_test(test_json_scan_depth_is_bounded),
        cmocka_unit_test(test_json_scan_size_and_number_length_are_bounded),
        cmocka_unit_test(test_json_scan_values_are_bounded),
        cmocka_unit_test(test_json_scan_number_walks_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
