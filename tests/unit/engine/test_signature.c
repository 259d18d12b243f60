#include "blobferry/engine/signature.h"

#include "blobferry/codec/text.h"

#include "unit/base/scratch.h"

/* RFC 8032, 7.1, TEST 3, as PKCS#8 (RFC 8410). */
#define SEED                                                                                       \
    "302e020100300506032b657004220420"                                                             \
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
#define SIG                                                                                        \
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"                             \
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"

static void write_pem(struct scratch *s, const char *name, const char *hex, const char *label)
{
    unsigned char der[200];
    char base64[300], pem[500];

    assert_true(text_unhex(hex, strlen(hex), der));
    assert_true(text_base64(der, strlen(hex) / 2, base64, sizeof base64));
    snprintf(pem, sizeof pem, "-----BEGIN %s-----\n%s\n-----END %s-----\n", label, base64, label);
    scratch_write(s, name, pem);
}

static void test_signature_agrees_with_rfc_8032(void **state)
{
    struct scratch s;
    struct signature *key;
    char hex[SIGNATURE_HEX + 1];
    (void)state;

    scratch_init(&s);
    write_pem(&s, "key", SEED, "PRIVATE KEY");
    assert_int_equal(signature_load(&key, scratch_path(&s, "key"), NULL), ERR_OK);
    assert_int_equal(signature_sign(key, "\xaf\x82", 2, hex, NULL), ERR_OK);
    assert_string_equal(hex, SIG);
    assert_true(signature_good(key, "\xaf\x82", 2, SIG, 128));
    assert_false(signature_good(key, "\xaf\x83", 2, SIG, 128));
    assert_false(signature_good(key, "\xaf\x82", 2, SIG, 126));
    assert_false(signature_good(key, "\xaf\x82", 2, "zz" SIG, 128));
    assert_false(signature_good(key, "\xaf\x82", 1, SIG, 128));
    signature_free(key);
    scratch_release(&s);
}

static void test_signature_keygen_makes_a_pair(void **state)
{
    struct scratch s;
    struct signature *private_key, *public_key;
    char id[SIGNATURE_ID], hex[SIGNATURE_HEX + 1], path[1024];
    struct stat st;
    (void)state;

    scratch_init(&s);
    snprintf(path, sizeof path, "%s", scratch_path(&s, "audit.key"));
    umask(0);
    assert_int_equal(signature_keygen(path, id, NULL), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(signature_load(&private_key, path, NULL), ERR_OK);
    assert_int_equal(signature_load_public(&public_key, scratch_path(&s, "audit.key.pub"), NULL),
                     ERR_OK);
    assert_string_equal(signature_id(private_key), id);
    assert_string_equal(signature_id(public_key), id);
    assert_int_equal(strlen(id), 16);
    assert_int_equal(signature_sign(private_key, "text", 4, hex, NULL), ERR_OK);
    assert_true(signature_good(public_key, "text", 4, hex, 128));
    hex[5] = hex[5] == 'a' ? 'b' : 'a';
    assert_false(signature_good(public_key, "text", 4, hex, 128));
    signature_free(private_key);
    signature_free(public_key);
    signature_free(NULL);
    scratch_release(&s);
}

static void test_signature_keygen_never_replaces_a_key(void **state)
{
    struct scratch s;
    char path[1024], *text;
    struct err e;
    (void)state;

    scratch_init(&s);
    snprintf(path, sizeof path, "%s", scratch_path(&s, "k"));
    scratch_write(&s, "k", "mine");
    assert_int_equal(signature_keygen(path, NULL, &e), ERR_CONFLICT);
    text = scratch_read(path);
    assert_string_equal(text, "mine");
    free(text);
    unlink(path);
    scratch_write(&s, "k.pub", "mine");
    assert_int_equal(signature_keygen(path, NULL, &e), ERR_CONFLICT);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(signature_keygen("/nonexistent/k", NULL, &e), ERR_FILE_MISSING);
    scratch_release(&s);
}

static void test_signature_refuses_other_keys(void **state)
{
    struct scratch s;
    struct signature *key = NULL;
    struct err e;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "text", "no key at all");
    assert_int_equal(signature_load(&key, scratch_path(&s, "text"), &e), ERR_CONFIG);
    assert_non_null(strstr(e.hint, "keygen"));
    scratch_write(&s, "empty", "");
    assert_int_not_equal(signature_load(&key, scratch_path(&s, "empty"), &e), ERR_OK);
    /* an X25519 key: the same form, another algorithm */
    write_pem(&s, "x",
              "302e020100300506032b656e04220420"
              "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
              "PRIVATE KEY");
    assert_int_equal(signature_load(&key, scratch_path(&s, "x"), &e), ERR_CONFIG);
    write_pem(&s, "key", SEED, "PRIVATE KEY");
    assert_int_equal(signature_load_public(&key, scratch_path(&s, "key"), &e), ERR_CONFIG);
    assert_int_equal(signature_load(&key, scratch_path(&s, "absent"), &e), ERR_FILE_MISSING);
    assert_int_equal(signature_load_public(&key, scratch_path(&s, "absent"), &e), ERR_FILE_MISSING);
    assert_int_equal(signature_load(&key, s.dir, &e), ERR_FILE_TYPE);
    assert_null(key);
    scratch_release(&s);
}

/* OpenSSL would ask at the terminal: here it is refused at once. */
static void test_signature_refuses_an_encrypted_key(void **state)
{
    static const char pem[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                              "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjpUuBhTWHLkgICCAAw\n"
                              "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEIUUQZoHMYX0BMVFqFUqhBwEQPL3\n"
                              "-----END ENCRYPTED PRIVATE KEY-----\n";
    struct scratch s;
    struct signature *key = NULL;
    struct err e;
    (void)state;

    scratch_init(&s);
    scratch_write(&s, "key", pem);
    assert_int_equal(signature_load(&key, scratch_path(&s, "key"), &e), ERR_CONFIG);
    assert_null(key);
    scratch_release(&s);
}

static void test_signature_refuses_a_key_that_others_may_read(void **state)
{
    static const mode_t bad[] = {0604, 0602, 0620, 0666};
    struct scratch s;
    struct signature *key = NULL;
    struct err e;
    (void)state;

    scratch_init(&s);
    write_pem(&s, "key", SEED, "PRIVATE KEY");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(chmod(scratch_path(&s, "key"), bad[i]), 0);
        assert_int_equal(signature_load(&key, scratch_path(&s, "key"), &e), ERR_CONFIG);
        assert_non_null(strstr(e.hint, "chmod"));
    }
    assert_int_equal(chmod(scratch_path(&s, "key"), 0640), 0); /* a group for it is usual */
    assert_int_equal(signature_load(&key, scratch_path(&s, "key"), &e), ERR_OK);
    signature_free(key);
    scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature_agrees_with_rfc_8032),
        cmocka_unit_test(test_signature_keygen_makes_a_pair),
        cmocka_unit_test(test_signature_keygen_never_replaces_a_key),
        cmocka_unit_test(test_signature_refuses_other_keys),
        cmocka_unit_test(test_signature_refuses_an_encrypted_key),
        cmocka_unit_test(test_signature_refuses_a_key_that_others_may_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
