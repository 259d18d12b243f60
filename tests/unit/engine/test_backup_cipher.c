#include "engine/backup_cipher.h"

#include "blobferry/codec/text.h"

#include "unit/base/scratch.h"

#define HEADER "{\"format\":\"blobferry-backup-encrypted\"}\n"

static const unsigned char salt[BACKUP_CIPHER_SALT] = {1, 2, 3};

static void key_of(struct secret *key, char digit)
{
    char hex[65];

    memset(hex, digit, 64);
    secret_init(key);
    assert_int_equal(secret_set(key, hex, 64, NULL), ERR_OK);
}

static void begin(struct backup_cipher *c, char digit, const unsigned char *with_salt,
                  const char *header)
{
    struct secret key;

    key_of(&key, digit);
    assert_int_equal(backup_cipher_init(c, &key, with_salt, header, strlen(header), NULL), ERR_OK);
    secret_release(&key);
}

static size_t seal(char digit, bool last, uint64_t chunk, const char *text, unsigned char *out)
{
    struct backup_cipher c;

    begin(&c, digit, salt, HEADER);
    c.chunk = chunk;
    assert_int_equal(
        backup_cipher_seal(&c, last, (const unsigned char *)text, strlen(text), out, NULL), ERR_OK);
    backup_cipher_release(&c);
    return strlen(text) + BACKUP_CIPHER_TAG;
}

static bool opens(char digit, const unsigned char *with_salt, const char *header, bool last,
                  uint64_t chunk, const unsigned char *sealed, size_t n, unsigned char *plain)
{
    struct backup_cipher c;
    bool good;

    begin(&c, digit, with_salt, header);
    c.chunk = chunk;
    good = backup_cipher_open(&c, last, sealed, n, plain);
    backup_cipher_release(&c);
    return good;
}

static void test_backup_cipher_opens_what_it_sealed_and_nothing_else(void **state)
{
    static const unsigned char other_salt[BACKUP_CIPHER_SALT] = {1, 2, 4};
    unsigned char sealed[200], plain[200];
    const size_t n = seal('a', false, 7, "a chunk of a backup", sealed);
    (void)state;

    assert_true(opens('a', salt, HEADER, false, 7, sealed, n, plain));
    assert_memory_equal(plain, "a chunk of a backup", n - BACKUP_CIPHER_TAG);
    assert_null(memmem(sealed, n, "chunk", 5));
    assert_false(opens('b', salt, HEADER, false, 7, sealed, n, plain));
    assert_false(opens('a', other_salt, HEADER, false, 7, sealed, n, plain));
    assert_false(opens('a', salt, "{}\n", false, 7, sealed, n, plain));
    assert_false(opens('a', salt, HEADER, true, 7, sealed, n, plain));
    assert_false(opens('a', salt, HEADER, false, 8, sealed, n, plain));
    assert_false(opens('a', salt, HEADER, false, 7 + (UINT64_C(1) << 40), sealed, n, plain));
    for (size_t cut = 0; cut < n; cut++)
        assert_false(opens('a', salt, HEADER, false, 7, sealed, cut, plain));
    for (size_t i = 0; i < n; i++) {
        sealed[i] ^= 1;
        assert_false(opens('a', salt, HEADER, false, 7, sealed, n, plain));
        sealed[i] ^= 1;
    }
    assert_true(opens('a', salt, HEADER, false, 7, sealed, n, plain));
}

static void test_backup_cipher_leaves_no_unproven_text(void **state)
{
    unsigned char sealed[200], plain[200];
    const size_t n = seal('a', true, 0, "private", sealed);
    (void)state;

    sealed[n - 1] ^= 0x80;
    memset(plain, 'x', sizeof plain);
    assert_false(opens('a', salt, HEADER, true, 0, sealed, n, plain));
    assert_null(memmem(plain, sizeof plain, "private", 7));
}

/* The same text at another place, or in another file, looks different. */
static void test_backup_cipher_never_repeats_itself(void **state)
{
    unsigned char one[100], two[100];
    const size_t n = seal('a', false, 0, "text", one);
    (void)state;

    seal('a', false, 1, "text", two);
    assert_memory_not_equal(one, two, n);
    seal('a', true, 0, "text", two);
    assert_memory_not_equal(one, two, n);
    seal('a', false, 0, "text", two);
    assert_memory_equal(one, two, n);
}

/* From python's hmac and hashlib and the cryptography package's AESGCM, by docs/backup.md:
 * key 32 x aa, salt 010203 and zeros, header as above, chunk 1, last, "hello". */
static void test_backup_cipher_is_what_the_document_says(void **state)
{
    unsigned char sealed[100];
    char hex[201];
    const size_t n = seal('a', true, 1, "hello", sealed);
    (void)state;

    text_hex(sealed, n, hex);
    assert_string_equal(hex, "28124984def2b5509a2d7ea744d6cb4e5326bf0eaa");
}

static void test_backup_cipher_names_keys(void **state)
{
    struct secret a, b, bad;
    char id[BACKUP_CIPHER_ID], other[BACKUP_CIPHER_ID];
    struct backup_cipher c;
    struct err e;
    (void)state;

    key_of(&a, 'a');
    key_of(&b, 'b');
    secret_init(&bad);
    assert_int_equal(secret_set(&bad, "too short", 9, NULL), ERR_OK);
    assert_true(backup_cipher_key_id(&a, id));
    assert_string_equal(id, "886c599503f5d8e8");
    assert_true(backup_cipher_key_id(&b, other));
    assert_string_not_equal(id, other);
    assert_false(backup_cipher_key_id(&bad, id));
    err_init(&e);
    assert_int_equal(backup_cipher_init(&c, &bad, salt, "", 0, &e), ERR_CONFIG);
    backup_cipher_release(&c);
    secret_release(&a);
    secret_release(&b);
    secret_release(&bad);
}

static void test_backup_cipher_refuses_more_than_a_chunk(void **state)
{
    unsigned char *text = calloc(1, BACKUP_CIPHER_CHUNK + 1),
                  *out = malloc(2 * BACKUP_CIPHER_CHUNK);
    struct backup_cipher c;
    (void)state;

    assert_non_null(text);
    assert_non_null(out);
    begin(&c, 'a', salt, HEADER);
    assert_int_equal(backup_cipher_seal(&c, true, text, BACKUP_CIPHER_CHUNK + 1, out, NULL),
                     ERR_GENERAL);
    backup_cipher_release(&c);
    free(text);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backup_cipher_opens_what_it_sealed_and_nothing_else),
        cmocka_unit_test(test_backup_cipher_leaves_no_unproven_text),
        cmocka_unit_test(test_backup_cipher_never_repeats_itself),
        cmocka_unit_test(test_backup_cipher_is_what_the_document_says),
        cmocka_unit_test(test_backup_cipher_names_keys),
        cmocka_unit_test(test_backup_cipher_refuses_more_than_a_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
