#include "blobferry/codec/objkey.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static void test_objkey_legal_keys(void **unused)
{
    (void)unused;
    static const char *const good[] = {
        "a",
        "a/b/c.txt",
        "users/42/caf\xc3\xa9.jpg",
        "with space",
        " leading and trailing ",
        "%2F",
        "a%00b",
        "a+b",
        "?#&;=,:@!$'()*\"<>[]{}|\\^`~",
        "...",
        "a/.../b",
        "..a",
        "a..",
        ".hidden/.x",
        "\xf0\x9f\x98\x80",
        "\xe2\x80\xaertl",
        "\xc2\xa0",
        "\xef\xbf\xbd",
        "\xef\xb7\x90", /* U+FDD0: a noncharacter that stores keep */
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (objkey_check(good[i], NULL) != ERR_OK)
            fail_msg("'%s' was refused", good[i]);
    }
}

static void test_objkey_illegal_keys_say_why(void **unused)
{
    (void)unused;
    static const char *const bad[][2] = {
        {"", "empty"},
        {"/", "begins with '/'"},
        {"/a", "begins with '/'"},
        {"//a", "begins with '/'"},
        {"a/", "ends with '/'"},
        {"a//b", "empty segment"},
        {"a/b//c", "empty segment"},
        {"a//", "empty segment"},
        {".", "'.' segment"},
        {"..", "'..' segment"},
        {"./a", "'.' segment"},
        {"../a", "'..' segment"},
        {"a/./b", "'.' segment"},
        {"a/../b", "'..' segment"},
        {"a/.", "'.' segment"},
        {"a/..", "'..' segment"},
        {"a\nb", "control"},
        {"a\rb", "control"},
        {"a\tb", "control"},
        {"\x01", "control"},
        {"a\x1f", "control"},
        {"a\x7f", "control"},
        {"a\xc2\x80", "control"},
        {"a\xc2\x9f", "control"},
        {"a\xef\xbf\xbe", "noncharacter"},
        {"a\xef\xbf\xbf", "noncharacter"},
        {"\xff", "UTF-8"},
        {"a\xc3", "UTF-8"},
        {"a\xc0\xaf", "UTF-8"},
        {"\xed\xa0\x80", "UTF-8"},
        {"\xf4\x90\x80\x80", "UTF-8"},
        {"caf\xe9.txt", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e;
        err_init(&e);
        assert_int_equal(objkey_check(bad[i][0], &e), ERR_PARSE);
        assert_int_equal(e.code, ERR_PARSE);
        if (strstr(e.message, bad[i][1]) == NULL)
            fail_msg("message '%s' does not say '%s'", e.message, bad[i][1]);
        assert_true(str_utf8_valid(e.message, strlen(e.message)));
        for (const char *p = e.message; *p != '\0'; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    }
    assert_int_equal(objkey_check(NULL, NULL), ERR_PARSE);
}

static void test_objkey_length_is_counted_in_bytes(void **unused)
{
    (void)unused;
    char key[OBJKEY_MAX + 2];
    struct err e;
    memset(key, 'a', sizeof key);
    key[OBJKEY_MAX] = '\0';
    assert_int_equal(objkey_check(key, NULL), ERR_OK);
    key[OBJKEY_MAX] = 'a';
    key[OBJKEY_MAX + 1] = '\0';
    err_init(&e);
    assert_int_equal(objkey_check(key, &e), ERR_PARSE);
    assert_non_null(strstr(e.message, "1025 bytes"));
    for (size_t i = 0; i < OBJKEY_MAX; i += 2)
        memcpy(key + i, "\xc3\xa9", 2);
    key[OBJKEY_MAX] = '\0';
    assert_int_equal(objkey_check(key, NULL), ERR_OK);
}

static void nfc_is(const char *key, const char *expected)
{
    char *nfc = objkey_nfc(key);
    assert_non_null(nfc);
    assert_string_equal(nfc, expected);
    free(nfc);
}

static void test_objkey_nfc_joins_what_r2_joins(void **unused)
{
    (void)unused;
    nfc_is("plain/ascii.txt", "plain/ascii.txt");
    nfc_is("", "");
    nfc_is("cafe\xcc\x81", "caf\xc3\xa9");
    nfc_is("caf\xc3\xa9", "caf\xc3\xa9");
    nfc_is("\xe2\x84\xab", "\xc3\x85");                  /* ANGSTROM SIGN */
    nfc_is("\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80");  /* Hangul jamo */
    nfc_is("a\xcc\xa3\xcc\x87", "\xe1\xba\xa1\xcc\x87"); /* order of marks */
    nfc_is("a\xcc\x87\xcc\xa3", "\xe1\xba\xa1\xcc\x87");
    nfc_is("\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"); /* composition exclusion */
    nfc_is("\xef\xac\x81", "\xef\xac\x81");             /* NFC keeps the fi ligature */
    nfc_is("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
}

static void test_objkey_nfc_refuses_what_is_no_text(void **unused)
{
    (void)unused;
    assert_null(objkey_nfc(NULL));
    assert_null(objkey_nfc("\xff"));
    assert_null(objkey_nfc("a\xc3"));
    assert_null(objkey_nfc("\xed\xa0\x80"));
}

static void test_objkey_random_bytes(void **unused)
{
    (void)unused;
    uint64_t seed = 12;
    int legal = 0;
    for (int round = 0; round < 20000; round++) {
        char key[24];
        const size_t n = vectors_below(&seed, sizeof key);
        vectors_bytes(&seed, "ab/.\xcc\x81\xc3\xa9", 8, key, n);
        key[n] = '\0';
        char *nfc = objkey_nfc(key);
        if (objkey_check(key, NULL) == ERR_OK) {
            legal++;
            assert_non_null(nfc);
            assert_true(str_utf8_valid(nfc, strlen(nfc)));
            nfc_is(nfc, nfc); /* once is enough */
        }
        free(nfc);
    }
    assert_true(legal > 100);
}

/* The nasty keys of the signing vectors: each is settled without a request, none crashes. */
static void test_objkey_nasty_keys_are_settled(void **unused)
{
    (void)unused;
    struct buf b;
    size_t settled = 0;
    buf_init(&b, 1 << 24);
    vectors_read("sigv4/nasty_keys.json", &b);
    struct json *root = json_parse(b.data, b.len, NULL);
    assert_non_null(root);
    const struct json *list = json_get(root, "vectors");
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v), settled++) {
        const char *coded = json_string(json_get(v, "key_b64"));
        char key[4096];
        size_t n = sizeof key - 1;
        assert_non_null(coded);
        assert_true(text_unbase64(coded, strlen(coded), key, &n));
        key[n] = '\0';
        const enum err_code code = objkey_check(key, NULL);
        assert_true(code == ERR_OK || code == ERR_PARSE);
        if (code == ERR_OK) {
            assert_null(strstr(key, "//"));
            assert_true(n <= OBJKEY_MAX && key[0] != '/');
        }
    }
    assert_true(settled > 50);
    json_free(root);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objkey_legal_keys),
        cmocka_unit_test(test_objkey_illegal_keys_say_why),
        cmocka_unit_test(test_objkey_length_is_counted_in_bytes),
        cmocka_unit_test(test_objkey_nfc_joins_what_r2_joins),
        cmocka_unit_test(test_objkey_nfc_refuses_what_is_no_text),
        cmocka_unit_test(test_objkey_random_bytes),
        cmocka_unit_test(test_objkey_nasty_keys_are_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
