#include "blobferry/codec/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static void test_text_hex_round_trips_every_byte(void **unused)
{
    (void)unused;
    unsigned char all[256], back[256];
    char hex[513];
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    text_hex(all, sizeof all, hex);
    assert_int_equal(strlen(hex), 512);
    assert_memory_equal(hex, "000102030405060708090a0b", 24);
    assert_string_equal(hex + 500, "fafbfcfdfeff");
    assert_true(text_unhex(hex, 512, back));
    assert_memory_equal(back, all, 256);
    text_hex("", 0, hex);
    assert_string_equal(hex, "");
}

static void test_text_unhex_takes_any_case_and_refuses_the_rest(void **unused)
{
    (void)unused;
    unsigned char out[8];
    assert_true(text_unhex("dEaDbEeF", 8, out));
    assert_memory_equal(out, "\xde\xad\xbe\xef", 4);
    assert_true(text_unhex("", 0, out));
    static const char *const bad[] = {"a",        "abc", "0g", "g0", " 0", "0 ", "0x",
                                      "\xc3\xa9", "--",  "+1", "/0", ":0", "@a", "`a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(text_unhex(bad[i], strlen(bad[i]), out));
}

/* RFC 4648 section 10. */
static void test_text_base64_known_values(void **unused)
{
    (void)unused;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char coded[16], plain[16];
        size_t n = sizeof plain;
        assert_true(text_base64(pairs[i][0], strlen(pairs[i][0]), coded, sizeof coded));
        assert_string_equal(coded, pairs[i][1]);
        assert_true(text_unbase64(pairs[i][1], strlen(pairs[i][1]), plain, &n));
        assert_int_equal(n, strlen(pairs[i][0]));
        assert_memory_equal(plain, pairs[i][0], n);
    }
    char coded[16];
    assert_true(text_base64("\xfb\xff\xbf", 3, coded, sizeof coded));
    assert_string_equal(coded, "+/+/");
}

static void test_text_base64_needs_room(void **unused)
{
    (void)unused;
    char coded[9];
    assert_false(text_base64("foob", 4, coded, 8));
    assert_true(text_base64("foob", 4, coded, 9));
    assert_false(text_base64("", 0, coded, 0));
    assert_false(text_base64("x", SIZE_MAX, coded, sizeof coded));
    char plain[4];
    size_t n = 3;
    assert_false(text_unbase64("Zm9vYg==", 8, plain, &n));
    n = 4;
    assert_true(text_unbase64("Zm9vYg==", 8, plain, &n));
    assert_int_equal(n, 4);
}

static void test_text_unbase64_is_strict(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "Z",      "Zg",   "Zg=",      "Zg===",   "Zh==",     "Zm9=",     "=",        "==",
        "====",   "Z===", "Zg==Zg==", "Zm=v",    "Z=9v",     " Zg==",    "Zg== ",    "Zg==\n",
        "Zm9v\n", "Zm-_", "Zm9*",     "Zm9\xff", "AAAA=AAA", "FOOO==-1", "AAAAA==A", "Zg=A",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char plain[64];
        size_t n = sizeof plain;
        if (text_unbase64(bad[i], strlen(bad[i]), plain, &n))
            fail_msg("'%s' was taken", bad[i]);
    }
    char plain[64];
    size_t n = sizeof plain;
    assert_false(text_unbase64("Zm\0v", 4, plain, &n));
}

static void test_text_base64_round_trips_random_bytes(void **unused)
{
    (void)unused;
    uint64_t seed = 20261121;
    for (int round = 0; round < 2000; round++) {
        char plain[64], coded[96], back[64];
        const size_t n = vectors_below(&seed, sizeof plain + 1);
        size_t got = sizeof back;
        vectors_bytes(&seed, "\0\xff", 2, plain, n);
        assert_true(text_base64(plain, n, coded, sizeof coded));
        assert_true(text_unbase64(coded, strlen(coded), back, &got));
        assert_int_equal(got, n);
        assert_memory_equal(back, plain, n);
    }
}

/* Whatever is taken must be the one canonical text of its value. */
static void test_text_unbase64_of_random_text_is_canonical_or_refused(void **unused)
{
    (void)unused;
    uint64_t seed = 7;
    int taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[12], plain[9], again[13];
        const size_t n = vectors_below(&seed, 4) * 4;
        size_t got = sizeof plain;
        vectors_bytes(&seed, "ABQg/+9=", 8, text, n);
        if (!text_unbase64(text, n, plain, &got))
            continue;
        taken++;
        assert_true(text_base64(plain, got, again, sizeof again));
        assert_int_equal(strlen(again), n);
        assert_memory_equal(again, text, n);
    }
    assert_true(taken > 1000);
}

static void encode(const char *s, size_t n, bool keep_slash, const char *expected)
{
    struct buf b;
    buf_init(&b, 4096);
    assert_true(text_uri_encode(&b, s, n, keep_slash));
    assert_string_equal(buf_cstr(&b), expected);
    buf_release(&b);
}

static void test_text_uri_encode_keeps_only_unreserved(void **unused)
{
    (void)unused;
    encode("AZaz09-._~", 10, false, "AZaz09-._~");
    encode("a/b c", 5, true, "a/b%20c");
    encode("a/b c", 5, false, "a%2Fb%20c");
    encode("\0\x01\x7f\x80\xff", 5, true, "%00%01%7F%80%FF");
    encode("!\"#$%&'()*+,:;<=>?@[\\]^`{|}", 27, true,
           "%21%22%23%24%25%26%27%28%29%2A%2B%2C%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E%60%7B%7C%7D");
    encode("\xc3\xa9", 2, true, "%C3%A9");
    encode("", 0, true, "");
}

static void test_text_uri_encode_is_bounded(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 8);
    assert_false(text_uri_encode(&b, "//////", 6, false));
    assert_false(buf_ok(&b));
    buf_release(&b);
}

static void test_text_uri_decode(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 4096);
    assert_true(text_uri_decode(&b, "a%2fb%2Fc+d%20e%25", 18, false));
    assert_string_equal(buf_cstr(&b), "a/b/c+d e%");
    buf_reset(&b);
    assert_true(text_uri_decode(&b, "a+b%2B", 6, true));
    assert_string_equal(buf_cstr(&b), "a b+");
    buf_reset(&b);
    assert_true(text_uri_decode(&b, "%00%ff", 6, false));
    assert_int_equal(b.len, 2);
    assert_memory_equal(b.data, "\0\xff", 2);
    buf_release(&b);
}

static void test_text_uri_decode_refuses_malformed_and_adds_nothing(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"%",   "%2",   "a%",   "ab%f", "%zz",
                                      "%2g", "%%20", "abc%", "%-1",  "% 1"};
    struct buf b;
    buf_init(&b, 4096);
    assert_true(buf_str(&b, "kept"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(text_uri_decode(&b, bad[i], strlen(bad[i]), true));
        assert_string_equal(buf_cstr(&b), "kept");
        assert_true(buf_ok(&b));
    }
    buf_release(&b);
}

static void test_text_uri_round_trips_random_bytes(void **unused)
{
    (void)unused;
    uint64_t seed = 99;
    struct buf coded, plain;
    buf_init(&coded, 4096);
    buf_init(&plain, 4096);
    for (int round = 0; round < 2000; round++) {
        char raw[128];
        const size_t n = vectors_below(&seed, sizeof raw) + 1;
        vectors_bytes(&seed, "a/% +~\xc3", 7, raw, n);
        buf_reset(&coded);
        buf_reset(&plain);
        assert_true(text_uri_encode(&coded, raw, n, round % 2 == 0));
        assert_true(text_uri_decode(&plain, coded.data, coded.len, round % 3 == 0));
        assert_int_equal(plain.len, n);
        assert_memory_equal(plain.data, raw, n);
    }
    buf_release(&coded);
    buf_release(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_hex_round_trips_every_byte),
        cmocka_unit_test(test_text_unhex_takes_any_case_and_refuses_the_rest),
        cmocka_unit_test(test_text_base64_known_values),
        cmocka_unit_test(test_text_base64_needs_room),
        cmocka_unit_test(test_text_unbase64_is_strict),
        cmocka_unit_test(test_text_base64_round_trips_random_bytes),
        cmocka_unit_test(test_text_unbase64_of_random_text_is_canonical_or_refused),
        cmocka_unit_test(test_text_uri_encode_keeps_only_unreserved),
        cmocka_unit_test(test_text_uri_encode_is_bounded),
        cmocka_unit_test(test_text_uri_decode),
        cmocka_unit_test(test_text_uri_decode_refuses_malformed_and_adds_nothing),
        cmocka_unit_test(test_text_uri_round_trips_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
