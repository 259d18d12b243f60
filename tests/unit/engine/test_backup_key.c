#include "blobferry/engine/backup.h"

#include "unit/base/scratch.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static enum err_code load(struct scratch *s, const char *text, struct secret *key, struct err *e)
{
    scratch_write(s, "key", text);
    err_init(e);
    return backup_key_load(key, scratch_path(s, "key"), e);
}

static void test_backup_key_in_hex_or_base64_is_the_same(void **state)
{
    static const char *const forms[] = {HEX, HEX "\n", HEX "\r\nmore\n",
                                        "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\n"};
    struct scratch s;
    struct secret key;
    struct err e;
    (void)state;

    scratch_init(&s);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        secret_init(&key);
        assert_int_equal(load(&s, forms[i], &key, &e), ERR_OK);
        assert_string_equal(secret_peek(&key),
                            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
        secret_release(&key);
    }
    scratch_release(&s);
}

static void test_backup_key_refuses_other_texts(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "password",
        "00112233445566778899aabbccddeeff",
        HEX "00",
        "g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v==",
        "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8"};
    struct scratch s;
    struct secret key;
    struct err e;
    (void)state;

    scratch_init(&s);
    secret_init(&key);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_not_equal(load(&s, bad[i], &key, &e), ERR_OK);
        assert_false(secret_is_set(&key));
        if (strlen(bad[i]) > 2) { /* says what a key is, and not what was found */
            assert_int_equal(e.code, ERR_CONFIG);
            assert_non_null(strstr(e.hint, "openssl rand"));
            assert_null(strstr(e.message, bad[i]));
        }
    }
    assert_int_equal(backup_key_load(&key, scratch_path(&s, "absent"), &e), ERR_FILE_MISSING);
    scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backup_key_in_hex_or_base64_is_the_same),
        cmocka_unit_test(test_backup_key_refuses_other_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
