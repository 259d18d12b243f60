#include "blobferry/codec/sha256_twin.h"

#include <string.h>

#define BLOCK ((size_t)64)

static const uint32_t first_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

static const uint32_t k[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define SHA_CODE __attribute__((target("sha,sse4.1,ssse3")))

/* The instructions want the state as ABEF and CDGH. */
struct lanes {
    __m128i abef, cdgh;
};

SHA_CODE static inline struct lanes load(const uint32_t state[8])
{
    const void *low = state, *high = state + 4;
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(low), 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(high), 0x1b);

    return (struct lanes){.abef = _mm_alignr_epi8(cdab, efgh, 8),
                          .cdgh = _mm_blend_epi16(efgh, cdab, 0xf0)};
}

SHA_CODE static inline void store(uint32_t state[8], struct lanes l)
{
    const __m128i feba = _mm_shuffle_epi32(l.abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(l.cdgh, 0xb1);
    void *low = state, *high = state + 4;

    _mm_storeu_si128(low, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(high, _mm_alignr_epi8(dchg, feba, 8));
}

SHA_CODE static inline void words(__m128i w[4], const unsigned char *p)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    const void *at[4] = {p, p + 16, p + 32, p + 48};

    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128(at[i]), swap);
}

SHA_CODE static inline struct lanes sum(struct lanes x, struct lanes y)
{
    return (struct lanes){.abef = _mm_add_epi32(x.abef, y.abef),
                          .cdgh = _mm_add_epi32(x.cdgh, y.cdgh)};
}

/* Four rounds of both chains; w is the schedule's words 4 i to 4 i + 3. */
#define ROUNDS(i, w)                                                                               \
    do {                                                                                           \
        const void *constants = k + 4 * (size_t)(i);                                               \
        __m128i m = _mm_add_epi32(w, _mm_load_si128(constants));                                   \
        a.cdgh = _mm_sha256rnds2_epu32(a.cdgh, a.abef, m);                                         \
        b.cdgh = _mm_sha256rnds2_epu32(b.cdgh, b.abef, m);                                         \
        m = _mm_shuffle_epi32(m, 0x0e);                                                            \
        a.abef = _mm_sha256rnds2_epu32(a.abef, a.cdgh, m);                                         \
        b.abef = _mm_sha256rnds2_epu32(b.abef, b.cdgh, m);                                         \
    } while (0)

/* The next four words of the schedule, in the place of the oldest. */
#define NEXT(w0, w1, w2, w3)                                                                       \
    ((w0) = _mm_sha256msg2_epu32(                                                                  \
         _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3))

SHA_CODE static void compress(uint32_t whole[8], uint32_t part[8], const unsigned char *p,
                              size_t blocks)
{
    struct lanes a = load(whole), b = load(part);

    for (; blocks > 0; blocks--, p += BLOCK) {
        const struct lanes a0 = a, b0 = b;
        __m128i w[4];

        words(w, p);
        ROUNDS(0, w[0]);
        ROUNDS(1, w[1]);
        ROUNDS(2, w[2]);
        ROUNDS(3, w[3]);
        for (size_t i = 4; i < 16; i += 4) {
            NEXT(w[0], w[1], w[2], w[3]);
            ROUNDS(i, w[0]);
            NEXT(w[1], w[2], w[3], w[0]);
            ROUNDS(i + 1, w[1]);
            NEXT(w[2], w[3], w[0], w[1]);
            ROUNDS(i + 2, w[2]);
            NEXT(w[3], w[0], w[1], w[2]);
            ROUNDS(i + 3, w[3]);
        }
        a = sum(a, a0);
        b = sum(b, b0);
    }
    store(whole, a);
    store(part, b);
}

/* Four rounds of the four chains of two files: a chain has its next result after four cycles, and the processor begins a round in every
 * one. */
#define ROUNDS_TWO(i, w, v)                                                                        \
    do {                                                                                           \
        const void *constants = k + 4 * (size_t)(i);                                               \
        __m128i m = _mm_add_epi32(w, _mm_load_si128(constants));                                   \
        a.cdgh = _mm_sha256rnds2_epu32(a.cdgh, a.abef, m);                                         \
        b.cdgh = _mm_sha256rnds2_epu32(b.cdgh, b.abef, m);                                         \
        __m128i n = _mm_add_epi32(v, _mm_load_si128(constants));                                   \
        c.cdgh = _mm_sha256rnds2_epu32(c.cdgh, c.abef, n);                                         \
        d.cdgh = _mm_sha256rnds2_epu32(d.cdgh, d.abef, n);                                         \
        m = _mm_shuffle_epi32(m, 0x0e);                                                            \
        a.abef = _mm_sha256rnds2_epu32(a.abef, a.cdgh, m);                                         \
        b.abef = _mm_sha256rnds2_epu32(b.abef, b.cdgh, m);                                         \
        n = _mm_shuffle_epi32(n, 0x0e);                                                            \
        c.abef = _mm_sha256rnds2_epu32(c.abef, c.cdgh, n);                                         \
        d.abef = _mm_sha256rnds2_epu32(d.abef, d.cdgh, n);                                         \
    } while (0)

SHA_CODE static void compress_two(struct sha256_twin *t, const unsigned char *p,
                                  struct sha256_twin *u, const unsigned char *q, size_t blocks)
{
    struct lanes a = load(t->whole), b = load(t->part), c = load(u->whole), d = load(u->part);

    for (; blocks > 0; blocks--, p += BLOCK, q += BLOCK) {
        const struct lanes a0 = a, b0 = b, c0 = c, d0 = d;
        __m128i w[4], v[4];

        words(w, p);
        words(v, q);
        ROUNDS_TWO(0, w[0], v[0]);
        ROUNDS_TWO(1, w[1], v[1]);
        ROUNDS_TWO(2, w[2], v[2]);
        ROUNDS_TWO(3, w[3], v[3]);
#pragma GCC unroll 3
        for (size_t i = 4; i < 16; i += 4) {
            NEXT(w[0], w[1], w[2], w[3]);
            NEXT(v[0], v[1], v[2], v[3]);
            ROUNDS_TWO(i, w[0], v[0]);
            NEXT(w[1], w[2], w[3], w[0]);
            NEXT(v[1], v[2], v[3], v[0]);
            ROUNDS_TWO(i + 1, w[1], v[1]);
            NEXT(w[2], w[3], w[0], w[1]);
            NEXT(v[2], v[3], v[0], v[1]);
            ROUNDS_TWO(i + 2, w[2], v[2]);
            NEXT(w[3], w[0], w[1], w[2]);
            NEXT(v[3], v[0], v[1], v[2]);
            ROUNDS_TWO(i + 3, w[3], v[3]);
        }
        a = sum(a, a0);
        b = sum(b, b0);
        c = sum(c, c0);
        d = sum(d, d0);
    }
    store(t->whole, a);
    store(t->part, b);
    store(u->whole, c);
    store(u->part, d);
}

static bool processor_can(void)
{
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSE4_1) == 0 || (c & bit_SSSE3) == 0)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

#else

static void compress(uint32_t whole[8], uint32_t part[8], const unsigned char *p, size_t blocks)
{
    (void)whole;
    (void)part;
    (void)p;
    (void)blocks;
}

static void compress_two(struct sha256_twin *t, const unsigned char *p, struct sha256_twin *u,
                         const unsigned char *q, size_t blocks)
{
    (void)t;
    (void)p;
    (void)u;
    (void)q;
    (void)blocks;
}

static bool processor_can(void)
{
    return false;
}

#endif

bool sha256_twin_usable(uint64_t part_size)
{
    return part_size > 0 && part_size % BLOCK == 0 && processor_can();
}

static void begin(uint32_t state[8])
{
    memcpy(state, first_state, sizeof first_state);
}

void sha256_twin_init(struct sha256_twin *t)
{
    memset(t, 0, sizeof *t);
    begin(t->whole);
    begin(t->part);
}

void sha256_twin_update(struct sha256_twin *t, const void *p, size_t n)
{
    const unsigned char *from = p;
    size_t take;

    t->whole_bytes += n;
    t->part_bytes += n;
    if (t->fill > 0) {
        take = BLOCK - t->fill < n ? BLOCK - t->fill : n;
        memcpy(t->block + t->fill, from, take);
        t->fill += take;
        from += take;
        n -= take;
        if (t->fill < BLOCK)
            return;
        compress(t->whole, t->part, t->block, 1);
        t->fill = 0;
    }
    compress(t->whole, t->part, from, n / BLOCK);
    t->fill = n % BLOCK;
    memcpy(t->block, from + (n - t->fill), t->fill);
}

void sha256_twin_update_two(struct sha256_twin *t, const void *p, struct sha256_twin *u,
                            const void *q, size_t n)
{
    const size_t whole = t->fill == 0 && u->fill == 0 ? n / BLOCK * BLOCK : 0;
    const unsigned char *from = p, *other = q;

    compress_two(t, from, u, other, whole / BLOCK);
    t->whole_bytes += whole;
    t->part_bytes += whole;
    u->whole_bytes += whole;
    u->part_bytes += whole;
    sha256_twin_update(t, from + whole, n - whole);
    sha256_twin_update(u, other + whole, n - whole);
}

/* FIPS 180-4, 5.1.1: a one, zeros, the length in bits. */
static void finish(const struct sha256_twin *t, const uint32_t state[8], uint64_t bytes,
                   unsigned char out[32])
{
    unsigned char tail[2 * BLOCK] = {0};
    const size_t blocks = t->fill + 9 > BLOCK ? 2 : 1;
    uint32_t last[8], unused[8];

    memcpy(tail, t->block, t->fill);
    tail[t->fill] = 0x80;
    for (size_t i = 0; i < 8; i++)
        tail[blocks * BLOCK - 1 - i] = (unsigned char)(bytes * 8 >> (8 * i));
    memcpy(last, state, sizeof last);
    begin(unused);
    compress(last, unused, tail, blocks);
    for (size_t i = 0; i < 32; i++)
        out[i] = (unsigned char)(last[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_twin_end_part(struct sha256_twin *t, unsigned char out[32])
{
    finish(t, t->part, t->part_bytes, out);
    begin(t->part);
    t->part_bytes = 0;
}

void sha256_twin_end(struct sha256_twin *t, unsigned char out[32])
{
    finish(t, t->whole, t->whole_bytes, out);
}
