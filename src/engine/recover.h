/* recover: what workers that have died left behind. Nothing is guessed: rows are looked at before they are acted upon (P6), uploads are
 * found and aborted (P11). */
#ifndef BLOBFERRY_SRC_ENGINE_RECOVER_H
#define BLOBFERRY_SRC_ENGINE_RECOVER_H

#include "engine/transfer.h"

#define RECOVER_OWNERS_MAX 64

/* Owners of processing rows that provably run no more. */
struct recover_owners {
    char *dead[RECOVER_OWNERS_MAX]; /* owned */
    size_t dead_count;
};
void recover_owners_init(struct recover_owners *o);
void recover_owners_release(struct recover_owners *o);
enum err_code recover_owners_find(struct recover_owners *o, const struct engine *g, struct err *e);

/* Does the batch have processing rows that may be taken over: no lease, an expired one, or a dead owner's? *elsewhere counts the others. */
enum err_code recover_rows(const struct recover_owners *o, const struct engine *g,
                           const char *batch_id, bool *claimable, int64_t *elsewhere,
                           struct err *e);

/* Continues the upload that the row remembers, or aborts it where it is not provably of these bytes; aborts, for files sent in
 * parts, those begun at exactly this key since the row was first claimed; then goes on. */
void recover_uploads(struct transfer *t, transfer_step_fn *then);

/* A run that stops: abort these uploads within the time given; those that are aborted are forgotten by the tracker. */
void recover_abort(struct transfer_lane *lane, struct transfer *slots, size_t n, int64_t budget_ms);

#endif
