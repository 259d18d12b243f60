/* sha256_twin: two SHA-256 over the same bytes for little more than the price of one: that of a whole file, and that of each of its
 * parts. Where a part begins at a multiple of 64 bytes both digest the same blocks, so the message schedule is made once, and the two
 * chains of rounds run beside each other where one alone would wait for its own results. Needs a processor with SHA extensions.
 *
 *     if (sha256_twin_usable(part_size)) {
 *         sha256_twin_init(&t);
 *         sha256_twin_update(&t, p, n);          (never across the end of a part)
 *         sha256_twin_end_part(&t, part);        (at each part's end)
 *         sha256_twin_end(&t, whole);
 *     }
 * Source: FIPS 180-4; Intel, "Intel SHA Extensions", 2013.
 */
#ifndef BLOBFERRY_CODEC_SHA256_TWIN_H
#define BLOBFERRY_CODEC_SHA256_TWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sha256_twin {
    uint32_t whole[8], part[8];
    uint64_t whole_bytes, part_bytes;
    unsigned char block[64]; /* what is no whole block yet */
    size_t fill;
};

bool sha256_twin_usable(uint64_t part_size);
void sha256_twin_init(struct sha256_twin *t);
void sha256_twin_update(struct sha256_twin *t, const void *p, size_t n);
/* As sha256_twin_update of each, n bytes of p and n of q, in little more than the time of one: four chains hide each other's latency. */
void sha256_twin_update_two(struct sha256_twin *t, const void *p, struct sha256_twin *u,
                            const void *q, size_t n);
/* After a whole part, or at the end of the file; the next part begins. */
void sha256_twin_end_part(struct sha256_twin *t, unsigned char out[32]);
void sha256_twin_end(struct sha256_twin *t, unsigned char out[32]);

#endif
