#include "blobferry/codec/checksum.h"

#include "blobferry/codec/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

#define SHA256_HEX  "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
#define SHA256_B64  "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
#define SHA512_HALF "ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db2"
#define SHA512_HEX  SHA512_HALF SHA512_HALF
#define SHA1_HEX    "f7c3bc1d808e04732adf679965ccc34ca7ae3441"
#define MD5_HEX     "25f9e794323b453885f5181f1b624d0b"
#define MD5_B64     "JfnnlDI7RTiF9RgfG2JNCw=="

static void expect(const char *text, enum digest_kind kind)
{
    struct checksum c;
    struct digest d;
    unsigned char digest[DIGEST_MAX];
    assert_int_equal(checksum_parse(text, &c, NULL), ERR_OK);
    assert_int_equal(c.kind, kind);
    assert_int_equal(digest_init(&d, kind, NULL), ERR_OK);
    digest_update(&d, "123456789", 9);
    digest_final(&d, digest);
    assert_true(checksum_equal(&c, digest));
    digest[digest_size(kind) - 1] ^= 1;
    assert_false(checksum_equal(&c, digest));
    digest[digest_size(kind) - 1] ^= 1;
    digest[0] ^= 0x80;
    assert_false(checksum_equal(&c, digest));
    digest_release(&d);
}

static void test_checksum_known_by_its_shape(void **unused)
{
    (void)unused;
    expect(SHA256_HEX, DIGEST_SHA256);
    expect("15E2B0D3C33891EBB0F1EF609EC419420C20E320CE94C65FBC8C3312448EB225", DIGEST_SHA256);
    expect(SHA256_B64, DIGEST_SHA256);
    expect(SHA1_HEX, DIGEST_SHA1);
    expect(MD5_HEX, DIGEST_MD5);
    expect("25F9E794323b453885f5181f1b624d0B", DIGEST_MD5);
    expect(MD5_B64, DIGEST_MD5);
}

static void test_checksum_blanks_around_are_ignored(void **unused)
{
    (void)unused;
    expect("  " MD5_HEX, DIGEST_MD5);
    expect(MD5_B64 "\n", DIGEST_MD5);
    expect("\t " SHA256_HEX " \r\n", DIGEST_SHA256);
}

static void test_checksum_empty_means_none(void **unused)
{
    (void)unused;
    static const char *const none[] = {NULL, "", " ", "\r\n\t "};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct checksum c;
        const unsigned char zeros[DIGEST_MAX] = {0};
        assert_int_equal(checksum_parse(none[i], &c, NULL), ERR_OK);
        assert_int_equal(c.kind, DIGEST_NONE);
        assert_false(checksum_equal(&c, zeros)); /* no checksum equals nothing */
    }
}

static void test_checksum_other_shapes_are_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "x",
        "d41d8cd98f00b204e9800998ecf8427",    /* 31 */
        "d41d8cd98f00b204e9800998ecf8427e0",  /* 33 */
        "g41d8cd98f00b204e9800998ecf8427e",   /* no hex */
        "d41d8cd98f00b204e9800998ecf8427e-3", /* a multipart ETag */
        "\"d41d8cd98f00b204e9800998ecf8427e\"",
        "25f9e794323b4538 5f5181f1b624d0b",             /* blank inside */
        "JfnnlDI7RTiF9RgfG2JNCx==",                     /* bits under the padding */
        "JfnnlDI7RTiF9RgfG2JNC===",                     /* no base64 */
        "JfnnlDI7RTiF9RgfG2JNCwAA",                     /* 18 bytes */
        "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsg==", /* 31 bytes */
        "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiUA", /* 33 bytes */
        "md5:25f9e794323b453885f5181f1b624d0b",
        SHA512_HEX,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct checksum c;
        struct err e;
        err_init(&e);
        if (checksum_parse(bad[i], &c, &e) != ERR_PARSE)
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(c.kind, DIGEST_NONE);
        assert_int_equal(e.code, ERR_PARSE);
        assert_non_null(strstr(e.message, "no known form"));
        assert_true(e.hint[0] != '\0');
    }
}

static void test_checksum_random_text_is_bounded(void **unused)
{
    (void)unused;
    static const size_t lengths[] = {0, 1, 24, 32, 40, 44, 64, 65};
    uint64_t seed = 11;
    int taken = 0;
    for (int round = 0; round < 8000; round++) {
        char text[80];
        struct checksum c;
        const size_t n = lengths[vectors_below(&seed, 8)];
        vectors_bytes(&seed, "0123456789abcdef", 16, text, n);
        text[n] = '\0';
        if (checksum_parse(text, &c, NULL) == ERR_OK && c.kind != DIGEST_NONE)
            taken++;
        assert_true(c.kind <= DIGEST_SHA256);
    }
    assert_true(taken > 0 && taken < 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum_known_by_its_shape),
        cmocka_unit_test(test_checksum_blanks_around_are_ignored),
        cmocka_unit_test(test_checksum_empty_means_none),
        cmocka_unit_test(test_checksum_other_shapes_are_refused),
        cmocka_unit_test(test_checksum_random_text_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
