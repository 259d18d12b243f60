/* journal_doubt: which intents still lack an outcome, while an audit trail is read, in bounded memory.
 *
 * "X_intent" puts X of its record in doubt, "X_outcome" of the same record takes it out; an upload's outcome settles a delete
 * before it, a rollback's outcome settles all, a paid debt settles rollback and delete. Fingerprints of 64 bits are kept, at most
 * JOURNAL_DOUBT_MAX (4 MiB, at most half full); intents beyond are counted and never taken back, so that the sum can only be too
 * high, and `overflow` tells.
 */
#ifndef BLOBFERRY_SRC_ENGINE_JOURNAL_DOUBT_H
#define BLOBFERRY_SRC_ENGINE_JOURNAL_DOUBT_H

#include "engine/journal_line.h"

#define JOURNAL_DOUBT_MAX ((size_t)1 << 18)

struct journal_doubt {
    uint64_t *slots; /* open addressing; 0 is empty */
    size_t mask, used;
    int64_t overflow;
};

enum err_code journal_doubt_init(struct journal_doubt *d, struct err *e);
void journal_doubt_release(struct journal_doubt *d);
void journal_doubt_see(struct journal_doubt *d, const struct journal_line *l);
/* Is `stem` of that record in doubt? */
bool journal_doubt_open(const struct journal_doubt *d, const char *stem, const char *id);
int64_t journal_doubt_count(const struct journal_doubt *d);

#endif
