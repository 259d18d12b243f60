#include "blobferry/codec/json.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static void start(struct json_out *o, struct buf *b, int indent)
{
    buf_init(b, 1 << 20);
    json_out_init(o, b, indent);
}

static void is(struct buf *b, const char *expected)
{
    assert_true(buf_ok(b));
    assert_string_equal(buf_cstr(b), expected);
    buf_release(b);
}

static void write_sample(struct json_out *o)
{
    json_out_object(o, NULL);
    json_out_string(o, "s", "x");
    json_out_integer(o, "i", -5);
    json_out_boolean(o, "t", true);
    json_out_boolean(o, "f", false);
    json_out_null(o, "n");
    json_out_string(o, "z", NULL);
    json_out_array(o, "a");
    json_out_integer(o, NULL, 1);
    json_out_object(o, NULL);
    json_out_end(o);
    json_out_array(o, NULL);
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
}

static void test_json_out_one_line(void **unused)
{
    (void)unused;
    struct json_out o;
    struct buf b;
    start(&o, &b, 0);
    write_sample(&o);
    is(&b, "{\"s\":\"x\",\"i\":-5,\"t\":true,\"f\":false,\"n\":null,\"z\":null,\"a\":[1,{},[]]}");
}

static void test_json_out_indented(void **unused)
{
    (void)unused;
    struct json_out o;
    struct buf b;
    start(&o, &b, 2);
    write_sample(&o);
    is(&b, "{\n  \"s\": \"x\",\n  \"i\": -5,\n  \"t\": true,\n  \"f\": false,\n  \"n\": null,\n"
           "  \"z\": null,\n  \"a\": [\n    1,\n    {},\n    []\n  ]\n}");
}

static void test_json_out_integers_at_the_ends(void **unused)
{
    (void)unused;
    struct json_out o;
    struct buf b;
    start(&o, &b, 0);
    json_out_array(&o, NULL);
    json_out_integer(&o, NULL, INT64_MIN);
    json_out_integer(&o, NULL, INT64_MAX);
    json_out_end(&o);
    is(&b, "[-9223372036854775808,9223372036854775807]");
}

static void string_is(const void *p, size_t n, const char *expected)
{
    struct json_out o;
    struct buf b;
    start(&o, &b, 0);
    json_out_bytes(&o, NULL, p, n);
    is(&b, expected);
}

static void test_json_out_escapes_what_readers_trip_over(void **unused)
{
    (void)unused;
    string_is("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
    string_is("\x01\n\x1f\x7f", 4, "\"\\u0001\\u000a\\u001f\\u007f\"");
    string_is("\xc2\x80\xc2\x9f\xc2\xa0", 6, "\"\\u0080\\u009f\xc2\xa0\"");
    string_is("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9", 9, "\"\xe2\x80\xa7\\u2028\\u2029\"");
    string_is("\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\xaa\xe2\x80\xae", 12,
              "\"\\u200e\\u200f\\u202a\\u202e\"");
    string_is("\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", 12,
              "\"\xe2\x81\xa5\\u2066\\u2069\xe2\x81\xaa\"");
    string_is("caf\xc3\xa9 \xf0\x9f\x98\x80", 10, "\"caf\xc3\xa9 \xf0\x9f\x98\x80\"");
    string_is("", 0, "\"\"");
    string_is(NULL, 0, "\"\"");
}

static void test_json_out_bytes_that_are_no_text_say_so(void **unused)
{
    (void)unused;
    string_is("\xff", 1, "{\"b64\":\"/w==\"}");
    string_is("a\0b", 3, "{\"b64\":\"YQBi\"}");
    string_is("\xed\xa0\x80", 3, "{\"b64\":\"7aCA\"}");
    struct json_out o;
    struct buf b;
    start(&o, &b, 1);
    json_out_object(&o, NULL);
    json_out_string(&o, "name", "caf\xe9");
    json_out_end(&o);
    is(&b, "{\n \"name\": {\"b64\": \"Y2Fm6Q==\"}\n}");
}

static void test_json_out_long_bytes_are_one_base64_text(void **unused)
{
    (void)unused;
    for (size_t n = 380; n < 390; n++) {
        unsigned char raw[400], back[400];
        size_t got = sizeof back;
        struct json_out o;
        struct buf b;
        memset(raw, 0xff, sizeof raw);
        start(&o, &b, 0);
        json_out_bytes(&o, NULL, raw, n);
        struct json *root = json_parse(b.data, b.len, NULL);
        const char *coded = json_string(json_get(root, "b64"));
        assert_non_null(coded);
        assert_true(text_unbase64(coded, strlen(coded), back, &got));
        assert_int_equal(got, n);
        assert_memory_equal(back, raw, n);
        json_free(root);
        buf_release(&b);
    }
}

static void test_json_out_names_are_escaped_too(void **unused)
{
    (void)unused;
    struct json_out o;
    struct buf b;
    start(&o, &b, 0);
    json_out_object(&o, NULL);
    json_out_integer(&o, "a\"\n", 1);
    json_out_end(&o);
    is(&b, "{\"a\\\"\\u000a\":1}");
}

static void test_json_out_misuse_spoils_the_buffer(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < 5; kind++) {
        struct json_out o;
        struct buf b;
        start(&o, &b, 0);
        if (kind == 0) { /* an end too many */
            json_out_end(&o);
        } else if (kind == 1) { /* a name at the root */
            json_out_null(&o, "n");
        } else if (kind == 2) { /* a name inside an array */
            json_out_array(&o, NULL);
            json_out_null(&o, "n");
            json_out_end(&o);
        } else if (kind == 3) { /* none inside an object */
            json_out_object(&o, NULL);
            json_out_null(&o, NULL);
            json_out_end(&o);
        } else { /* one that is no text */
            json_out_object(&o, NULL);
            json_out_null(&o, "\xff");
            json_out_end(&o);
        }
        assert_false(buf_ok(&b));
        buf_release(&b);
    }
}

static void test_json_out_depth_is_bounded(void **unused)
{
    (void)unused;
    for (int levels = JSON_DEPTH_MAX; levels <= JSON_DEPTH_MAX + 5; levels++) {
        struct json_out o;
        struct buf b;
        start(&o, &b, 0);
        for (int i = 0; i < levels; i++)
            json_out_array(&o, NULL);
        json_out_integer(&o, NULL, 1);
        for (int i = 0; i < levels; i++)
            json_out_end(&o);
        assert_int_equal(o.depth, 0);
        assert_true(buf_ok(&b) == (levels <= JSON_DEPTH_MAX));
        buf_release(&b);
    }
}

static void test_json_out_full_buffer_shows(void **unused)
{
    (void)unused;
    struct json_out o;
    struct buf b;
    buf_init(&b, 16);
    json_out_init(&o, &b, 0);
    json_out_array(&o, NULL);
    for (int i = 0; i < 100; i++)
        json_out_string(&o, NULL, "\xff\xfe\xfd");
    json_out_end(&o);
    assert_false(buf_ok(&b));
    buf_release(&b);
}

/* What is written is read back as it was, and holds nothing that would disturb a line. */
static void test_json_out_random_strings_round_trip(void **unused)
{
    (void)unused;
    static const char letters[] = "ab\"\\/\n\x7f\xc2\x85\xe2\x80\xa8\xc3\xa9";
    uint64_t seed = 6;
    int texts = 0;
    for (int round = 0; round < 5000; round++) {
        char raw[48], back[48];
        size_t got = sizeof back;
        const size_t n = vectors_below(&seed, round % 2 == 0 ? 4 : sizeof raw);
        struct json_out o;
        struct buf b;
        vectors_bytes(&seed, letters, sizeof letters - 1, raw, n);
        start(&o, &b, round % 3);
        json_out_array(&o, NULL);
        json_out_bytes(&o, NULL, raw, n);
        json_out_end(&o);
        assert_true(buf_ok(&b));
        struct json *root = json_parse(b.data, b.len, NULL);
        assert_non_null(root);
        const char *text = json_string(json_item(root, 0));
        if (text != NULL) {
            texts++;
            assert_int_equal(strlen(text), n);
            assert_memory_equal(text, raw, n);
        } else {
            const char *coded = json_string(json_get(json_item(root, 0), "b64"));
            assert_non_null(coded);
            assert_true(text_unbase64(coded, strlen(coded), back, &got) && got == n);
            assert_memory_equal(back, raw, n);
        }
        assert_true(str_utf8_valid(b.data, b.len));
        json_free(root);
        buf_release(&b);
    }
    assert_true(texts > 100 && texts < 4900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_out_one_line),
        cmocka_unit_test(test_json_out_indented),
        cmocka_unit_test(test_json_out_integers_at_the_ends),
        cmocka_unit_test(test_json_out_escapes_what_readers_trip_over),
        cmocka_unit_test(test_json_out_bytes_that_are_no_text_say_so),
        cmocka_unit_test(test_json_out_long_bytes_are_one_base64_text),
        cmocka_unit_test(test_json_out_names_are_escaped_too),
        cmocka_unit_test(test_json_out_misuse_spoils_the_buffer),
        cmocka_unit_test(test_json_out_depth_is_bounded),
        cmocka_unit_test(test_json_out_full_buffer_shows),
        cmocka_unit_test(test_json_out_random_strings_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
