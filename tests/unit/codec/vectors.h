/* vectors: the published test vectors beside the tree, and random bytes that are the same in every
 * run. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_UNIT_CODEC_VECTORS_H
#define BLOBFERRY_TESTS_UNIT_CODEC_VECTORS_H

#include "blobferry/base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads <vectors>/name into b; skips the test when it is not there. */
static inline void vectors_read(const char *name, struct buf *b)
{
    const char *folder = getenv("BLOBFERRY_VECTORS");
    char path[4096], piece[65536];
    size_t n;
    (void)snprintf(path, sizeof path, "%s/%s", folder == NULL ? "../shared/vectors" : folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        skip();
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        assert_true(buf_append(b, piece, n));
    (void)fclose(f);
}

/* xorshift64*: small, and the same everywhere. */
static inline uint64_t vectors_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

static inline size_t vectors_below(uint64_t *seed, size_t limit)
{
    return (size_t)(vectors_random(seed) % limit);
}

/* n bytes, mostly of `alphabet`, now and then of any value. */
static inline void vectors_bytes(uint64_t *seed, const char *alphabet, size_t letters, char *dst,
                                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const bool any = vectors_below(seed, 16) == 0;
        dst[i] = any ? (char)(vectors_random(seed) >> 32 & 0xff)
                     : alphabet[vectors_below(seed, letters)];
    }
}

#endif
