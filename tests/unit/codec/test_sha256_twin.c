#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>

#include "blobferry/codec/digest.h"
#include "blobferry/codec/sha256_twin.h"

#include <stdlib.h>
#include <string.h>

#define SIZE ((size_t)300000)

static unsigned char *noise(size_t n)
{
    unsigned char *p = malloc(n);
    uint32_t x = 2463534242u;

    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (unsigned char)x;
    }
    return p;
}

static void skip_without_the_instructions(void)
{
    if (!sha256_twin_usable(64))
        skip();
}

/* Against OpenSSL, in pieces of `step` bytes, in parts of `part` bytes. */
static void compare(const unsigned char *p, size_t n, size_t part, size_t step)
{
    struct sha256_twin t;
    unsigned char ours[32], theirs[32];
    size_t at = 0;

    sha256_twin_init(&t);
    while (at < n) {
        const size_t left = part - at % part, rest = n - at;
        size_t take = step < left ? step : left;

        take = take < rest ? take : rest;
        sha256_twin_update(&t, p + at, take);
        at += take;
        if (at % part == 0 || at == n) {
            const size_t begun = (at - 1) / part * part;
            sha256_twin_end_part(&t, ours);
            digest_sha256(p + begun, at - begun, theirs);
            assert_memory_equal(ours, theirs, sizeof ours);
        }
    }
    sha256_twin_end(&t, ours);
    digest_sha256(p, n, theirs);
    assert_memory_equal(ours, theirs, sizeof ours);
}

static void test_sha256_twin_equals_openssl_at_every_length(void **state)
{
    unsigned char *p = noise(400);
    (void)state;

    skip_without_the_instructions();
    for (size_t n = 1; n <= 400; n++)
        compare(p, n, 128, 400);
    free(p);
}

static void test_sha256_twin_equals_openssl_in_any_pieces(void **state)
{
    static const size_t steps[] = {1, 7, 63, 64, 65, 4096, 100001, SIZE};
    unsigned char *p = noise(SIZE);
    (void)state;

    skip_without_the_instructions();
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        compare(p, SIZE, 65536, steps[i]);
        compare(p, SIZE - 1, 65536, steps[i]);
        compare(p, 65536 * 2, 65536, steps[i]);
    }
    free(p);
}

static void test_sha256_twin_of_nothing(void **state)
{
    struct sha256_twin t;
    unsigned char ours[32], theirs[32];
    (void)state;

    skip_without_the_instructions();
    sha256_twin_init(&t);
    sha256_twin_end_part(&t, ours);
    digest_sha256("", 0, theirs);
    assert_memory_equal(ours, theirs, sizeof ours);
    sha256_twin_end(&t, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
}

/* `skew` bytes go into the second one first, so that its blocks begin elsewhere. */
static void compare_two(const unsigned char *p, size_t n, size_t skew)
{
    struct sha256_twin t, u;
    unsigned char ours[32], theirs[32];

    sha256_twin_init(&t);
    sha256_twin_init(&u);
    sha256_twin_update(&u, p, skew);
    sha256_twin_update_two(&t, p, &u, p + skew, n);
    digest_sha256(p, n, theirs);
    sha256_twin_end_part(&t, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
    sha256_twin_end(&t, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
    digest_sha256(p, n + skew, theirs);
    sha256_twin_end_part(&u, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
    sha256_twin_end(&u, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
}

static void test_sha256_twin_of_two_files_equals_openssl(void **state)
{
    unsigned char *p = noise(2000);
    (void)state;

    skip_without_the_instructions();
    for (size_t n = 0; n <= 400; n++) {
        compare_two(p, n, 0);
        compare_two(p, n, 7);
        compare_two(p, n, 64); /* other bytes at the same time */
        compare_two(p, n, 1600);
    }
    free(p);
}

/* The length is counted in 64 bits: more bytes than 32 bits of bits can say. */
static void test_sha256_twin_counts_beyond_32_bits(void **state)
{
    const size_t piece = (size_t)1 << 20, pieces = 600;
    unsigned char *p = noise(piece), ours[32], theirs[DIGEST_MAX];
    struct sha256_twin t;
    struct digest d;
    (void)state;

    skip_without_the_instructions();
    sha256_twin_init(&t);
    assert_int_equal(digest_init(&d, DIGEST_SHA256, NULL), 0);
    for (size_t i = 0; i < pieces; i++) {
        sha256_twin_update(&t, p, piece);
        digest_update(&d, p, piece);
    }
    digest_final(&d, theirs);
    digest_release(&d);
    sha256_twin_end(&t, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
    free(p);
}

static void test_sha256_twin_wants_parts_of_whole_blocks(void **state)
{
    (void)state;
    assert_false(sha256_twin_usable(0));
    assert_false(sha256_twin_usable(65));
    assert_false(sha256_twin_usable((5 << 20) + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_twin_equals_openssl_at_every_length),
        cmocka_unit_test(test_sha256_twin_equals_openssl_in_any_pieces),
        cmocka_unit_test(test_sha256_twin_of_nothing),
        cmocka_unit_test(test_sha256_twin_of_two_files_equals_openssl),
        cmocka_unit_test(test_sha256_twin_counts_beyond_32_bits),
        cmocka_unit_test(test_sha256_twin_wants_parts_of_whole_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
