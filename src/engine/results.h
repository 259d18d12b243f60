/* results: what became of the files, written in groups: audit lines made durable first, then all rows, pointers, counters and the
 * audit head in one transaction (P6). The only writer of outcomes, however many loops transfer files. While the scribe makes one
 * group's lines durable, the next is gathered; groups land in the order in which their lines stand.
 *
 *     results_add(&w, &outcome, e);             (copies; pages stay alive until their outcomes are written)
 *     results_turn(&w, idle, e);                (rows whose lines are durable; lines of a group that is due)
 *     results_flush(&w, e);                     (all that was added is on record)
 *     results_release_rows(&w, e);              (what is still claimed goes back to pending)
 */
#ifndef BLOBFERRY_SRC_ENGINE_RESULTS_H
#define BLOBFERRY_SRC_ENGINE_RESULTS_H

#include "engine/outcome.h"
#include "engine/scribe.h"

#include <stdatomic.h>

/* Outcomes of one transaction: tracker_rows_at_once. */
#define RESULTS_DELAY_MS 50
#define RESULTS_HELD_MAX                                                                           \
    64 /* files in a row that the store did not answer for; at most, by concurrency */
#define RESULTS_SILENT 5 /* files in a row without even a connection: the endpoint is dead */

/* Outcomes that are written together. */
struct results_group {
    struct results *of;
    struct outcome *items;
    size_t len;
    struct scribe_job job; /* their lines */
    struct tracker_head head;
    struct err err;      /* of the lines */
    atomic_bool written; /* the scribe is done with them */
};

struct results {
    const struct engine *g;
    struct migrate_result *out;
    struct scribe *scribe;
    void (*told)(void *user); /* by the scribe's thread: lines are durable, or cannot be */
    void *user;
    struct results_group groups[2];
    struct results_group *gathering,
        *sent; /* sent: its lines are being written, its rows come next */
    struct tracker_move *moves;
    size_t *of;        /* moves[i] is of items[of[i]] */
    size_t group;      /* at most so many are written together */
    int64_t oldest_ms; /* monotonic, of the first that is gathered */
    struct outcome *
        held; /* unreached ones: failed when the store answers for another, released when it is dead */
    size_t held_len, held_limit, silent_run;
    bool dead;
    int64_t bytes_done; /* of completed files, for progress */
};

/* w stays where it is. The caller fills in `told`, if it wants to be told. */
enum err_code results_init(struct results *w, const struct engine *g, struct migrate_result *out,
                           struct scribe *scribe, int concurrency, struct err *e);
void results_release(struct results *w);
/* Any failure is final: nothing irreversible may follow, and what is not written stays claimed. */
enum err_code results_add(struct results *w, const struct outcome *o, struct err *e);
/* `idle`: nothing more is coming soon, what is gathered need not wait for its group. */
enum err_code results_turn(struct results *w, bool idle, struct err *e);
enum err_code results_flush(struct results *w, struct err *e);
bool results_ready(const struct results *w); /* rows can be written now */
/* Milliseconds until a group is due, at most ms. */
int results_patience(const struct results *w, int ms);
/* The files that got no answer: failed one by one, or (the store is dead) all released. */
enum err_code results_settle_held(struct results *w, bool dead, struct err *e);
/* All rows that this worker still holds go back to pending. */
enum err_code results_release_rows(struct results *w, struct err *e);

#endif
