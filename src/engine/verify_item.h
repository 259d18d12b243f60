/* verify_item: one object against its row. Cheap where the store's own words settle it (size, ETag, our metadata); where they do not,
 * and with `deep`, the bytes are read and hashed, and they decide. */
#ifndef BLOBFERRY_SRC_ENGINE_VERIFY_ITEM_H
#define BLOBFERRY_SRC_ENGINE_VERIFY_ITEM_H

#include "blobferry/engine/verify.h"
#include "engine/verify_hash.h"

enum verify_verdict {
    VERIFY_UNDECIDED,
    VERIFY_GOOD,
    VERIFY_MISSING,
    VERIFY_DIFFERENT,
    VERIFY_ERROR /* could not be checked: the row stays as it is */
};

struct verify_item {
    const struct record *r;
    struct objstore *store;
    bool deep;
    struct checksum expected; /* what the bytes must have */
    struct verify_hash hash;
    struct objstore_result result;
    bool reading, waiting;
    enum verify_verdict verdict;
    struct err why;
    bool denied; /* credentials or rights: the run stops */
    bool silent; /* no answer at all */
    int64_t began_ms, duration_ms, bytes_read;
};

/* Begins; afterwards `waiting` says whether an operation is under way, else the verdict is there. */
void verify_item_begin(struct verify_item *it, struct objstore *store, const struct record *r,
                       bool deep);
/* After the operation's end: goes on, as above. */
void verify_item_step(struct verify_item *it);
void verify_item_release(struct verify_item *it);

#endif
