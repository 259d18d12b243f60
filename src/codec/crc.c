/* crc: slicing by eight. All three CRCs are reflected, start from all ones and end with all bits
 * inverted (parameters: Williams' catalogue, CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME). */
#include "crc.h"

#include <endian.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define SLICES      8
#define POLY32      UINT32_C(0xedb88320)
#define POLY32C     UINT32_C(0x82f63b78)
#define POLY64NVME  UINT64_C(0x9a6c9329ac4bc9b5)
#define ALL_ONES_32 UINT64_C(0xffffffff)
#define ALL_ONES_64 UINT64_C(0xffffffffffffffff)

static pthread_once_t tables_once = PTHREAD_ONCE_INIT;
static uint32_t table32[SLICES][256];
static uint32_t table32c[SLICES][256];
static uint64_t table64[SLICES][256];
static bool have_instruction;

static uint64_t reflected_byte(uint64_t v, uint64_t poly)
{
    for (int bit = 0; bit < 8; bit++)
        v = (v & 1) != 0 ? (v >> 1) ^ poly : v >> 1;
    return v;
}

static void fill32(uint32_t t[SLICES][256], uint32_t poly)
{
    for (uint32_t i = 0; i < 256; i++)
        t[0][i] = (uint32_t)reflected_byte(i, poly);
    for (size_t s = 1; s < SLICES; s++) {
        for (size_t i = 0; i < 256; i++)
            t[s][i] = (t[s - 1][i] >> 8) ^ t[0][t[s - 1][i] & 0xff];
    }
}

static void fill_tables(void)
{
    fill32(table32, POLY32);
    fill32(table32c, POLY32C);
    for (uint64_t i = 0; i < 256; i++)
        table64[0][i] = reflected_byte(i, POLY64NVME);
    for (size_t s = 1; s < SLICES; s++) {
        for (size_t i = 0; i < 256; i++)
            table64[s][i] = (table64[s - 1][i] >> 8) ^ table64[0][table64[s - 1][i] & 0xff];
    }
#if defined(__x86_64__)
    have_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint64_t load64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t run32(const uint32_t t[SLICES][256], uint32_t crc, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        const uint64_t v = load64(p) ^ crc;
        crc = t[7][v & 0xff] ^ t[6][v >> 8 & 0xff] ^ t[5][v >> 16 & 0xff] ^ t[4][v >> 24 & 0xff] ^
              t[3][v >> 32 & 0xff] ^ t[2][v >> 40 & 0xff] ^ t[1][v >> 48 & 0xff] ^ t[0][v >> 56];
    }
    for (; n > 0; p++, n--)
        crc = (crc >> 8) ^ t[0][(crc ^ *p) & 0xff];
    return crc;
}

static uint64_t run64(const uint64_t t[SLICES][256], uint64_t crc, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        const uint64_t v = load64(p) ^ crc;
        crc = t[7][v & 0xff] ^ t[6][v >> 8 & 0xff] ^ t[5][v >> 16 & 0xff] ^ t[4][v >> 24 & 0xff] ^
              t[3][v >> 32 & 0xff] ^ t[2][v >> 40 & 0xff] ^ t[1][v >> 48 & 0xff] ^ t[0][v >> 56];
    }
    for (; n > 0; p++, n--)
        crc = (crc >> 8) ^ t[0][(crc ^ *p) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t run_instruction(uint32_t crc,
                                                                  const unsigned char *p, size_t n)
{
    uint64_t wide = crc;
    for (; n >= 8; p += 8, n -= 8)
        wide = _mm_crc32_u64(wide, load64(p));
    crc = (uint32_t)wide;
    for (; n > 0; p++, n--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#else
static uint32_t run_instruction(uint32_t crc, const unsigned char *p, size_t n)
{
    return run32(table32c, crc, p, n);
}
#endif

uint64_t crc_start(enum digest_kind kind)
{
    return kind == DIGEST_CRC64NVME ? ALL_ONES_64 : ALL_ONES_32;
}

uint64_t crc_update_by_table(enum digest_kind kind, uint64_t value, const void *p, size_t n)
{
    (void)pthread_once(&tables_once, fill_tables);
    switch (kind) {
    case DIGEST_CRC32:
        return run32(table32, (uint32_t)value, p, n);
    case DIGEST_CRC32C:
        return run32(table32c, (uint32_t)value, p, n);
    default:
        return run64(table64, value, p, n);
    }
}

uint64_t crc_update(enum digest_kind kind, uint64_t value, const void *p, size_t n)
{
    (void)pthread_once(&tables_once, fill_tables);
    if (kind == DIGEST_CRC32C && have_instruction)
        return run_instruction((uint32_t)value, p, n);
    return crc_update_by_table(kind, value, p, n);
}

uint64_t crc_finish(enum digest_kind kind, uint64_t value)
{
    return kind == DIGEST_CRC64NVME ? value ^ ALL_ONES_64 : value ^ ALL_ONES_32;
}
