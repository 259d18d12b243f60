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

static void test_json_reads_every_kind(void **unused)
{
    (void)unused;
    struct json *root =
        parse(" {\"s\":\"x\",\"i\":-12,\"t\":true,\"f\":false,\"n\":null,\"a\":[1,2,3],"
              "\"o\":{\"k\":\"v\"},\"e\":{},\"ea\":[]}\r\n\t");
    int64_t i = 0;
    bool b = false;
    assert_true(json_is_object(root));
    assert_int_equal(json_length(root), 9);
    assert_string_equal(json_string(json_get(root, "s")), "x");
    assert_true(json_integer(json_get(root, "i"), &i) && i == -12);
    assert_true(json_boolean(json_get(root, "t"), &b) && b);
    assert_true(json_boolean(json_get(root, "f"), &b) && !b);
    assert_true(json_is_null(json_get(root, "n")));
    assert_true(json_is_array(json_get(root, "a")));
    assert_int_equal(json_length(json_get(root, "a")), 3);
    assert_true(json_integer(json_item(json_get(root, "a"), 2), &i) && i == 3);
    assert_null(json_item(json_get(root, "a"), 3));
    assert_string_equal(json_string(json_get(json_get(root, "o"), "k")), "v");
    assert_int_equal(json_length(json_get(root, "e")), 0);
    assert_null(json_first(json_get(root, "ea")));
    json_free(root);
}

static void test_json_reads_scalars_as_roots(void **unused)
{
    (void)unused;
    static const char *const good[] = {"1",  "\"x\"", "null", "true", "[]",
                                       "{}", " 0 ",   "-0",   "1e5",  "-1.5E-7"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        json_free(parse(good[i]));
    struct json *root = parse("\xef\xbb\xbf{\"a\":1}"); /* a byte order mark */
    assert_non_null(json_get(root, "a"));
    json_free(root);
}

static void test_json_questions_to_the_wrong_kind_get_no_answer(void **unused)
{
    (void)unused;
    struct json *root = parse("{\"s\":\"1\",\"i\":1,\"a\":[\"x\"],\"z\":null}");
    const struct json *s = json_get(root, "s"), *i = json_get(root, "i"), *a = json_get(root, "a");
    int64_t n = 77;
    bool b = true;
    assert_false(json_integer(s, &n) || json_integer(a, &n) || json_integer(NULL, &n));
    assert_false(json_boolean(i, &b) || json_boolean(json_get(root, "z"), &b) ||
                 json_boolean(NULL, &b));
    assert_true(n == 77 && b);
    assert_null(json_string(i));
    assert_null(json_string(NULL));
    assert_null(json_get(a, "x"));
    assert_null(json_get(NULL, "x"));
    assert_null(json_get(root, NULL));
    assert_null(json_item(root, 0));
    assert_null(json_first(s));
    assert_null(json_next(NULL));
    assert_null(json_name(NULL));
    assert_null(json_name(json_first(a)));
    assert_int_equal(json_length(s), 0);
    assert_false(json_is_object(NULL) || json_is_array(NULL) || json_is_null(NULL));
    json_free(root);
    json_free(NULL);
}

static void test_json_names_are_case_sensitive(void **unused)
{
    (void)unused;
    struct json *root = parse("{\"Key\":1,\"key\":2,\"KEY\":3}");
    int64_t n;
    assert_true(json_integer(json_get(root, "key"), &n) && n == 2);
    assert_true(json_integer(json_get(root, "KEY"), &n) && n == 3);
    assert_null(json_get(root, "kEY"));
    json_free(root);
}

static void test_json_walks_members_in_their_order(void **unused)
{
    (void)unused;
    struct json *root = parse("{\"b\":1,\"a\":2,\"\":3}");
    char names[16] = "";
    size_t at = 0;
    for (const struct json *m = json_first(root); m != NULL; m = json_next(m))
        at += (size_t)snprintf(names + at, sizeof names - at, "<%s>", json_name(m));
    assert_string_equal(names, "<b><a><>");
    json_free(root);
}

static void test_json_integers_are_exact_or_none(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"7", 7},
        {"-7", -7},
        {"4294967296", INT64_C(4294967296)},
        {"9007199254740991", INT64_C(9007199254740991)},
        {"9007199254740992", INT64_C(9007199254740992)},
        {"-9007199254740992", INT64_C(-9007199254740992)},
    };
    static const char *const inexact[] = {
        "9007199254740993",
        "-9007199254740993",
        "9223372036854775807",
        "18446744073709551616",
        "1.0",
        "1.5",
        "1e3",
        "1E0",
        "0.0",
        "-0.0",
        "1e309",
        "-1e309",
        "1e-400",
        "9007199254740990.4",
        "1.00000000000000000000001",
        "123456789012345678901234567890123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t v = 0;
        struct json *root = parse(good[i].text);
        assert_true(json_integer(root, &v));
        assert_true(v == good[i].value);
        json_free(root);
    }
    for (size_t i = 0; i < sizeof inexact / sizeof inexact[0]; i++) {
        int64_t v;
        struct json *root = parse(inexact[i]);
        if (json_integer(root, &v))
            fail_msg("%s was taken for an integer", inexact[i]);
        json_free(root);
    }
}

/* Numbers are settled by their order in the text: strings that look like numbers must not shift it. */
static void test_json_integers_keep_their_places(void **unused)
{
    (void)unused;
    struct json *root = parse(
        "{\"1\":1,\"-2\\\"3\":[2,\"4\\\\\",{\"5\":3.5,\"x\":[true,4,null,[5]]},\"6\"],\"y\":6}");
    int64_t v = 0;
    const struct json *list = json_get(root, "-2\"3");
    const struct json *inner = json_item(list, 2);
    assert_true(json_integer(json_get(root, "1"), &v) && v == 1);
    assert_true(json_integer(json_item(list, 0), &v) && v == 2);
    assert_false(json_integer(json_get(inner, "5"), &v));
    assert_true(json_integer(json_item(json_get(inner, "x"), 1), &v) && v == 4);
    assert_true(json_integer(json_item(json_item(json_get(inner, "x"), 3), 0), &v) && v == 5);
    assert_true(json_integer(json_get(root, "y"), &v) && v == 6);
    json_free(root);
}

static void test_json_strings_are_decoded(void **unused)
{
    (void)unused;
    struct json *root = parse(
        "[\"\\\"\\\\\\/"
        "\\b\\f\\n\\r\\t\",\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\",\"caf\xc3\xa9\x7f\",\"\"]");
    assert_string_equal(json_string(json_item(root, 0)), "\"\\/\b\f\n\r\t");
    assert_string_equal(json_string(json_item(root, 1)), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string_equal(json_string(json_item(root, 2)), "caf\xc3\xa9\x7f");
    assert_string_equal(json_string(json_item(root, 3)), "");
    json_free(root);
}

static void test_json_duplicate_names_are_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "{\"a\":1,\"a\":2}",       "{\"a\":1,\"b\":2,\"a\":1}", "[{\"x\":{\"\":1,\"\":1}}]",
        "{\"a\":1,\"\\u0061\":2}", "{\"/\":1,\"\\/\":1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses_bytes(bad[i], strlen(bad[i]), ERR_PARSE, "occurs twice");
    json_free(parse("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}"));
}

static void test_json_duplicate_names_are_found_in_large_objects(void **unused)
{
    (void)unused;
    for (int twin = 0; twin < 2; twin++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        assert_true(buf_char(&b, '{'));
        for (int i = 0; i < 20000; i++)
            assert_true(buf_printf(&b, "\"n%d\":%d,", i, i));
        assert_true(buf_printf(&b, "\"n%d\":1}", twin == 1 ? 9999 : 20000));
        struct err e;
        err_init(&e);
        struct json *root = json_parse(b.data, b.len, &e);
        if (twin == 1) {
            assert_null(root);
            assert_non_null(strstr(e.message, "'n9999' occurs twice"));
        } else {
            assert_int_equal(json_length(root), 20001);
        }
        json_free(root);
        buf_release(&b);
    }
}

static void test_json_errors_need_no_receiver(void **unused)
{
    (void)unused;
    assert_null(json_parse("{", 1, NULL));
    assert_null(json_parse("{\"a\":1,\"a\":1}", 13, NULL));
    assert_null(json_parse("\xff", 1, NULL));
}

/* A sound document cut anywhere or with one byte changed: refused or whole, never a crash. */
static void test_json_damaged_documents(void **unused)
{
    (void)unused;
    static const char sound[] =
        "{\"id\":\"caf\xc3\xa9\",\"n\":[1,-2,3.5e1,9007199254740993],\"o\":{\"t\":true,\"f\":false,"
        "\"z\":null},\"s\":\"\\u20ac\\ud83d\\ude00\\n\"}";
    char text[sizeof sound];
    uint64_t seed = 31;
    for (size_t n = 0; n < sizeof sound - 1; n++)
        assert_null(json_parse(sound, n, NULL));
    json_free(parse(sound));
    for (int round = 0; round < 20000; round++) {
        memcpy(text, sound, sizeof sound);
        for (size_t k = vectors_below(&seed, 3) + 1; k > 0; k--)
            vectors_bytes(&seed, "{}[]\",:\\u0123e-. ", 17,
                          text + vectors_below(&seed, sizeof sound - 1), 1);
        struct err e;
        err_init(&e);
        struct json *root = json_parse(text, sizeof sound - 1, &e);
        assert_true((root == NULL) == (e.code != ERR_OK));
        json_free(root);
    }
}

static void test_json_random_bytes(void **unused)
{
    (void)unused;
    uint64_t seed = 32;
    int taken = 0;
    for (int round = 0; round < 40000; round++) {
        char text[24];
        const size_t n = vectors_below(&seed, 10);
        vectors_bytes(&seed, "[]{}1,-\":a0 ", 12, text, n);
        struct json *root = json_parse(text, n, NULL);
        taken += root != NULL ? 1 : 0;
        json_free(root);
    }
    assert_true(taken > 50 && taken < 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_reads_every_kind),
        cmocka_unit_test(test_json_reads_scalars_as_roots),
        cmocka_unit_test(test_json_questions_to_the_wrong_kind_get_no_answer),
        cmocka_unit_test(test_json_names_are_case_sensitive),
        cmocka_unit_test(test_json_walks_members_in_their_order),
        cmocka_unit_test(test_json_integers_are_exact_or_none),
        cmocka_unit_test(test_json_integers_keep_their_places),
        cmocka_unit_test(test_json_strings_are_decoded),
        cmocka_unit_test(test_json_duplicate_names_are_refused),
        cmocka_unit_test(test_json_duplicate_names_are_found_in_large_objects),
        cmocka_unit_test(test_json_errors_need_no_receiver),
        cmocka_unit_test(test_json_damaged_documents),
        cmocka_unit_test(test_json_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
