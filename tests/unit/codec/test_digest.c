#include "blobferry/codec/digest.h"

#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static const enum digest_kind kinds[] = {DIGEST_MD5,   DIGEST_SHA1,   DIGEST_SHA256,
                                         DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* ---- every allocation of OpenSSL is counted, from before its first one ----------------------- */

static atomic_size_t allocations;
static atomic_size_t live;
static int counting;

static void *count_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    allocations++;
    live++;
    return malloc(n);
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    allocations++;
    live += p == NULL ? 1 : 0;
    return realloc(p, n);
}

static void count_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    live -= p == NULL ? 0 : 1;
    free(p);
}

__attribute__((constructor)) static void count_allocations(void)
{
    counting = CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free);
}

static void hex_of(enum digest_kind kind, const void *p, size_t n, char hex[2 * DIGEST_MAX + 1])
{
    struct digest d;
    unsigned char out[DIGEST_MAX];
    assert_int_equal(digest_init(&d, kind, NULL), ERR_OK);
    digest_update(&d, p, n);
    digest_final(&d, out);
    text_hex(out, digest_size(kind), hex);
    digest_release(&d);
}

static void test_digest_known_values(void **unused)
{
    (void)unused;
    static const char *const expected[KINDS] = {
        "25f9e794323b453885f5181f1b624d0b",
        "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        "cbf43926",
        "e3069283",
        "ae8b14860a799888",
    };
    for (size_t i = 0; i < KINDS; i++) {
        char hex[2 * DIGEST_MAX + 1];
        hex_of(kinds[i], "123456789", 9, hex);
        assert_string_equal(hex, expected[i]);
        assert_int_equal(strlen(hex), 2 * digest_size(kinds[i]));
    }
}

static void test_digest_names_and_sizes(void **unused)
{
    (void)unused;
    assert_string_equal(digest_name(DIGEST_SHA256), "sha256");
    assert_string_equal(digest_name(DIGEST_CRC64NVME), "crc64nvme");
    assert_string_equal(digest_name(DIGEST_NONE), "none");
    assert_string_equal(digest_name((enum digest_kind)99), "none");
    assert_int_equal(digest_size(DIGEST_NONE), 0);
    assert_int_equal(digest_size((enum digest_kind)99), 0);
}

static void test_digest_init_refuses_no_kind(void **unused)
{
    (void)unused;
    struct digest d;
    struct err e;
    err_init(&e);
    assert_int_equal(digest_init(&d, DIGEST_NONE, &e), ERR_GENERAL);
    assert_non_null(strstr(e.message, "none"));
    digest_release(&d);
    assert_int_equal(digest_init(&d, (enum digest_kind)99, &e), ERR_GENERAL);
    digest_release(&d);
}

/* The recipes of the vectors: "4096 x 0xff", "4096 x (i mod 256)", "4096 x ((4095-i) mod 256)". */
static size_t follow(const char *recipe, unsigned char *dst, size_t room)
{
    char *rest;
    const size_t n = strtoul(recipe, &rest, 10);
    assert_true(n > 0 && n <= room && strncmp(rest, " x ", 3) == 0);
    rest += 3;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(rest, "0x", 2) == 0)
            dst[i] = (unsigned char)strtoul(rest, NULL, 16);
        else if (strcmp(rest, "(i mod 256)") == 0)
            dst[i] = (unsigned char)(i % 256);
        else if (strcmp(rest, "((4095-i) mod 256)") == 0)
            dst[i] = (unsigned char)((4095 - i) % 256);
        else
            fail_msg("recipe '%s' is not known", recipe);
    }
    return n;
}

static const char *member(const struct json *object, const char *name, const char *suffix)
{
    char full[32];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    return json_string(json_get(object, full));
}

static void check_vector(const struct json *v)
{
    unsigned char data[8192];
    size_t n;
    const char *hex = json_string(json_get(v, "data_hex"));
    const char *recipe = json_string(json_get(v, "recipe"));
    int64_t len;
    assert_true(hex != NULL || recipe != NULL);
    if (hex != NULL) {
        n = strlen(hex) / 2;
        assert_true(n <= sizeof data && text_unhex(hex, strlen(hex), data));
    } else {
        n = follow(recipe, data, sizeof data);
    }
    assert_true(json_integer(json_get(v, "len"), &len) && (size_t)len == n);
    for (size_t i = 0; i < KINDS; i++) {
        char got[2 * DIGEST_MAX + 1], coded[64];
        unsigned char raw[DIGEST_MAX];
        hex_of(kinds[i], data, n, got);
        assert_string_equal(got, member(v, digest_name(kinds[i]), ""));
        assert_true(text_unhex(got, strlen(got), raw));
        assert_true(text_base64(raw, strlen(got) / 2, coded, sizeof coded));
        assert_string_equal(coded, member(v, digest_name(kinds[i]), "_b64"));
    }
}

static void test_digest_published_vectors(void **unused)
{
    (void)unused;
    struct buf b;
    size_t count = 0;
    buf_init(&b, 1 << 24);
    vectors_read("checksums/crc_and_hash_vectors.json", &b);
    struct json *root = json_parse(b.data, b.len, NULL);
    assert_non_null(root);
    const struct json *list = json_is_array(root) ? root : json_get(root, "vectors");
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v), count++)
        check_vector(v);
    assert_true(count >= 19);
    json_free(root);
    buf_release(&b);
}

static void test_digest_pieces_equal_the_whole(void **unused)
{
    (void)unused;
    enum { SIZE = 1000 };
    unsigned char data[SIZE + 8];
    uint64_t seed = 42;
    vectors_bytes(&seed, "\x00\x55\xaa", 3, (char *)data, sizeof data);
    for (size_t i = 0; i < KINDS; i++) {
        struct digest d;
        unsigned char whole[DIGEST_MAX], pieces[DIGEST_MAX];
        assert_int_equal(digest_init(&d, kinds[i], NULL), ERR_OK);
        for (size_t shift = 0; shift < 8; shift++) { /* every alignment */
            digest_restart(&d);
            digest_update(&d, data + shift, SIZE);
            digest_final(&d, whole);
            digest_restart(&d);
            for (size_t at = 0; at < SIZE;) {
                size_t n = vectors_below(&seed, 40);
                n = n > SIZE - at ? SIZE - at : n;
                digest_update(&d, data + shift + at, n);
                at += n;
            }
            digest_final(&d, pieces);
            assert_memory_equal(whole, pieces, digest_size(kinds[i]));
        }
        digest_release(&d);
    }
}

/* Contexts are reused: a start costs the one allocation that OpenSSL 3.0 makes inside its provider,
 * never a context or a fetch; and nothing piles up. */
static void test_digest_restart_does_not_make_a_context(void **unused)
{
    (void)unused;
    enum { ROUNDS = 1000, STARTS = 4 }; /* restart, one call, and the two of an HMAC */
    struct digest d;
    unsigned char out[DIGEST_MAX], mac[DIGEST_SHA256_SIZE];
    char hex[DIGEST_SHA256_HEX], again[DIGEST_SHA256_HEX];
    if (counting != 1)
        skip();
    assert_int_equal(digest_init(&d, DIGEST_SHA256, NULL), ERR_OK);
    digest_sha256_hex("a", 1, hex);
    const void *context = d.evp;
    const size_t before = allocations, live_before = live;
    for (int i = 0; i < ROUNDS; i++) {
        digest_restart(&d);
        digest_update(&d, "abc", 3);
        digest_final(&d, out);
        digest_sha256_hex("abc", 3, hex);
        digest_hmac_sha256("k", 1, "abc", 3, mac);
    }
    assert_true(allocations - before <= ROUNDS * STARTS);
    assert_int_equal(live, live_before);
    assert_ptr_equal(d.evp, context);
    text_hex(out, DIGEST_SHA256_SIZE, again);
    assert_string_equal(again, hex);
    digest_release(&d);
}

static void test_digest_one_call_equals_the_streamed(void **unused)
{
    (void)unused;
    char hex[DIGEST_SHA256_HEX], streamed[2 * DIGEST_MAX + 1];
    digest_sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256_hex("Hello world", 11, hex);
    hex_of(DIGEST_SHA256, "Hello world", 11, streamed);
    assert_string_equal(hex, streamed);
}

/* RFC 4231, test cases 1 to 4, 6 and 7. */
static void test_digest_hmac_published_vectors(void **unused)
{
    (void)unused;
    static const struct {
        const char *key_hex; /* NULL: 131 times 0xaa */
        const char *data;    /* NULL: 50 times data_byte */
        unsigned char data_byte;
        const char *expected;
    } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There", 0,
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "what do ya want for nothing?", 0,
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, 0xdd,
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {"0102030405060708090a0b0c0d0e0f10111213141516171819", NULL, 0xcd,
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {NULL, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {NULL,
         "This is a test using a larger than block-size key and a larger than block-size data. The "
         "key needs to be hashed before being used by the HMAC algorithm.",
         0, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char key[131], data[50], out[DIGEST_SHA256_SIZE];
        char hex[DIGEST_SHA256_HEX];
        size_t key_len = sizeof key;
        memset(key, 0xaa, sizeof key);
        memset(data, cases[i].data_byte, sizeof data);
        if (cases[i].key_hex != NULL) {
            key_len = strlen(cases[i].key_hex) / 2;
            assert_true(text_unhex(cases[i].key_hex, 2 * key_len, key));
        }
        const void *p = cases[i].data == NULL ? (const void *)data : cases[i].data;
        digest_hmac_sha256(key, key_len, p, cases[i].data == NULL ? 50 : strlen(cases[i].data),
                           out);
        text_hex(out, sizeof out, hex);
        assert_string_equal(hex, cases[i].expected);
    }
    unsigned char out[DIGEST_SHA256_SIZE];
    char hex[DIGEST_SHA256_HEX];
    digest_hmac_sha256(NULL, 0, NULL, 0, out);
    text_hex(out, sizeof out, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void *hash_much(void *arg)
{
    char hex[DIGEST_SHA256_HEX], crc[2 * DIGEST_MAX + 1];
    bool *good = arg;
    *good = true;
    for (int i = 0; i < 500; i++) {
        struct digest d;
        unsigned char out[DIGEST_MAX];
        digest_sha256_hex("123456789", 9, hex);
        *good = *good && strncmp(hex, "15e2b0d3c33891eb", 16) == 0;
        if (digest_init(&d, kinds[(size_t)i % KINDS], NULL) != ERR_OK) {
            *good = false;
            break;
        }
        digest_update(&d, "123456789", 9);
        digest_final(&d, out);
        text_hex(out, 4, crc);
        *good = *good && (d.kind != DIGEST_CRC32C || strcmp(crc, "e3069283") == 0);
        digest_release(&d);
    }
    return NULL;
}

static void test_digest_threads_do_not_disturb_each_other(void **unused)
{
    (void)unused;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    bool good[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_much, &good[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(good[i]);
    }
}

static void test_digest_release_may_be_repeated(void **unused)
{
    (void)unused;
    struct digest d;
    assert_int_equal(digest_init(&d, DIGEST_MD5, NULL), ERR_OK);
    digest_release(&d);
    digest_release(&d);
    assert_null(d.evp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_digest_threads_do_not_disturb_each_other), /* first: nothing is set up */
        cmocka_unit_test(test_digest_known_values),
        cmocka_unit_test(test_digest_names_and_sizes),
        cmocka_unit_test(test_digest_init_refuses_no_kind),
        cmocka_unit_test(test_digest_published_vectors),
        cmocka_unit_test(test_digest_pieces_equal_the_whole),
        cmocka_unit_test(test_digest_restart_does_not_make_a_context),
        cmocka_unit_test(test_digest_one_call_equals_the_streamed),
        cmocka_unit_test(test_digest_hmac_published_vectors),
        cmocka_unit_test(test_digest_release_may_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
