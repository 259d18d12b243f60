/* copy_digest: what a table's rows are, whatever order they come in: the sum modulo 2^256 of the SHA-256 of each row. */
#ifndef BLOBFERRY_SRC_ENGINE_COPY_DIGEST_H
#define BLOBFERRY_SRC_ENGINE_COPY_DIGEST_H

#include "blobferry/base/buf.h"
#include "blobferry/track/tracker_value.h"

struct copy_digest {
    uint64_t sum[4]; /* little-endian words */
    int64_t rows, bytes;
    struct buf row;
};
/* How a column is compared: as it is stored, type and bytes, or in the common form of its kind. */
struct copy_rule {
    bool exact;
    enum tracker_kind kind;
};
void copy_digest_init(struct copy_digest *d);
void copy_digest_release(struct copy_digest *d);
void copy_digest_reset(struct copy_digest *d);
/* False when memory is short. */
bool copy_digest_add(struct copy_digest *d, const struct tracker_value *values,
                     const struct copy_rule *rules, size_t n);
void copy_digest_hex(const struct copy_digest *d, char out[65]);

#endif
