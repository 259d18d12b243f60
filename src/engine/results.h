/* results: what became of the files, written in groups: audit lines made durable first, then all rows, pointers, counters and the
 * audit head in one transaction (P6). The only writer of outcomes, however many loops transfer files.
 *
 *     results_add(&w, &outcome, e);             (copies; pages stay alive until their outcomes are written)
 *     if (results_due(&w, now)) results_flush(&w, e);
 *     results_release_rows(&w, e);              (what is still claimed goes back to pending)
 */
#ifndef BLOBFERRY_SRC_ENGINE_RESULTS_H
#define BLOBFERRY_SRC_ENGINE_RESULTS_H

#include "blobferry/codec/digest.h"
#include "blobferry/engine/migrate.h"

/* Outcomes of one transaction: tracker_rows_at_once. */
#define RESULTS_DELAY_MS 50
#define RESULTS_HELD_MAX                                                                           \
    64 /* files in a row that the store did not answer for; at most, by concurrency */
#define RESULTS_SILENT 5 /* files in a row without even a connection: the endpoint is dead */

/* One page of claimed rows; it lives until every row of it has an outcome on record. */
struct migrate_page {
    struct migrate_page *next;
    struct record_list list;
    size_t started; /* rows handed to a transfer so far */
    size_t ahead;   /* rows that the prefetcher has passed */
    size_t open;    /* rows whose outcome is not written yet */
};

enum outcome_end {
    OUTCOME_COMPLETED,
    OUTCOME_FAILED,
    OUTCOME_RELEASED,  /* not done, and nothing is wrong with the file: pending again */
    OUTCOME_LOST,      /* the lease was lost: the row is another worker's */
    OUTCOME_UNREACHED, /* the store gave no answer: failed, unless it is dead for all */
};

struct outcome {
    struct migrate_page *page;
    const struct record *r;
    enum outcome_end end;
    struct err err; /* failed, unreached, released: why */
    char sha256[DIGEST_SHA256_HEX];
    char etag[OBJINFO_ETAG_MAX]; /* of the object that the row may claim; "" none */
    char version_id[OBJINFO_VERSION_MAX];
    char owner[OBJINFO_ID_MAX]; /* record id in the object's metadata; "" none */
    bool pre_existed;
    bool sent;     /* by this attempt */
    bool answered; /* the store has spoken about this file, whatever it said */
    bool silent;   /* unreached: not even a status */
    bool has_source;
    struct source_identity source;
    int64_t duration_ms;
    int attempts;     /* requests for the body */
    char detail[256]; /* for the audit; "" none */
};

struct results {
    const struct engine *g;
    struct migrate_result *out;
    struct outcome *items; /* `group` of them */
    struct tracker_move *moves;
    size_t *of;        /* moves[i] is of items[of[i]] */
    size_t len, group; /* so many are written together */
    int64_t oldest_ms; /* monotonic, of the first item */
    struct outcome *
        held; /* unreached ones: failed when the store answers for another, released when it is dead */
    size_t held_len, held_limit, silent_run;
    bool dead;
    int64_t bytes_done; /* of completed files, for progress */
};

enum err_code results_init(struct results *w, const struct engine *g, struct migrate_result *out,
                           int concurrency, struct err *e);
void results_release(struct results *w);
/* Any failure is final: nothing irreversible may follow, and what is not written stays claimed. */
enum err_code results_add(struct results *w, const struct outcome *o, struct err *e);
bool results_due(const struct results *w, int64_t now_ms);
enum err_code results_flush(struct results *w, struct err *e);
/* The files that got no answer: failed one by one, or (the store is dead) all released. */
enum err_code results_settle_held(struct results *w, bool dead, struct err *e);
/* All rows that this worker still holds go back to pending. */
enum err_code results_release_rows(struct results *w, struct err *e);

#endif
