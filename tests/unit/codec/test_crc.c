#include "codec/crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static const enum digest_kind kinds[] = {DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME};

static void test_crc_of_nothing_is_zero(void **unused)
{
    (void)unused;
    for (size_t k = 0; k < 3; k++) {
        const uint64_t v = crc_update(kinds[k], crc_start(kinds[k]), "", 0);
        assert_true(crc_finish(kinds[k], v) == 0);
    }
}

/* The check values of the catalogue. */
static void test_crc_check_values(void **unused)
{
    (void)unused;
    static const uint64_t expected[] = {UINT64_C(0xcbf43926), UINT64_C(0xe3069283),
                                        UINT64_C(0xae8b14860a799888)};
    for (size_t k = 0; k < 3; k++) {
        const uint64_t v = crc_update(kinds[k], crc_start(kinds[k]), "123456789", 9);
        assert_true(crc_finish(kinds[k], v) == expected[k]);
    }
}

static void test_crc_instruction_equals_the_table(void **unused)
{
    (void)unused;
    uint64_t seed = 4711;
    for (int round = 0; round < 500; round++) {
        char data[200];
        const size_t n = vectors_below(&seed, sizeof data + 1);
        const uint64_t start = vectors_random(&seed) & 0xffffffff;
        vectors_bytes(&seed, "\x01\x80\xff", 3, data, sizeof data);
        assert_true(crc_update(DIGEST_CRC32C, start, data, n) ==
                    crc_update_by_table(DIGEST_CRC32C, start, data, n));
    }
}

/* Slicing against the definition, bit by bit. */
static void test_crc_tables_equal_the_definition(void **unused)
{
    (void)unused;
    static const uint64_t poly[] = {UINT64_C(0xedb88320), UINT64_C(0x82f63b78),
                                    UINT64_C(0x9a6c9329ac4bc9b5)};
    uint64_t seed = 5;
    for (size_t k = 0; k < 3; k++) {
        for (int round = 0; round < 50; round++) {
            char data[100];
            const size_t n = vectors_below(&seed, sizeof data + 1);
            vectors_bytes(&seed, "abc", 3, data, sizeof data);
            uint64_t v = crc_start(kinds[k]);
            for (size_t i = 0; i < n; i++) {
                v ^= (unsigned char)data[i];
                for (int bit = 0; bit < 8; bit++)
                    v = (v & 1) != 0 ? (v >> 1) ^ poly[k] : v >> 1;
            }
            assert_true(v == crc_update_by_table(kinds[k], crc_start(kinds[k]), data, n));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc_of_nothing_is_zero),
        cmocka_unit_test(test_crc_check_values),
        cmocka_unit_test(test_crc_instruction_equals_the_table),
        cmocka_unit_test(test_crc_tables_equal_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
