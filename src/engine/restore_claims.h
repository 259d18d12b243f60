/* restore_claims: the objects that restored rows would claim anew (files.r2_key, completed, verified), gathered while rows are compared and
 * looked at afterwards, so that no transaction waits for the network. They are kept in an unlinked temporary file: constant memory.
 *
 *     restore_claims_init(&c, e);
 *     restore_claims_add(&c, change, e);  …          (a callback of tracker_restore)
 *     restore_claims_check(&c, g, 16, &preview, e);
 *     restore_claims_release(&c);
 */
#ifndef BLOBFERRY_SRC_ENGINE_RESTORE_CLAIMS_H
#define BLOBFERRY_SRC_ENGINE_RESTORE_CLAIMS_H

#include "blobferry/codec/digest.h"
#include "blobferry/engine/restore.h"

#include <stdio.h>

struct restore_claims {
    FILE *spool;
    struct digest digest; /* of all claims in order: the same rows make the same claims */
    uint64_t *seen;       /* fingerprints of keys: a row and its file claim the same one */
    size_t seen_len;
    int64_t len;
};

enum err_code restore_claims_init(struct restore_claims *c, struct err *e);
void restore_claims_release(struct restore_claims *c);
enum err_code restore_claims_add(struct restore_claims *c, const struct tracker_restore_change *ch,
                                 struct err *e);
/* HEADs, `concurrency` at once; fills missing, different, first_missing, looked. ERR_STORE_* when the store does not answer. */
enum err_code restore_claims_check(struct restore_claims *c, const struct engine *g,
                                   int concurrency, struct restore_preview *out, struct err *e);
void restore_claims_hash(struct restore_claims *c, char hex[DIGEST_SHA256_HEX]);

#endif
