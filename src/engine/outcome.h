/* outcome: what became of one file, and how it is told: to the audit trail as a line, to the database as a move of its row. */
#ifndef BLOBFERRY_SRC_ENGINE_OUTCOME_H
#define BLOBFERRY_SRC_ENGINE_OUTCOME_H

#include "blobferry/codec/digest.h"
#include "blobferry/engine/journal.h"
#include "blobferry/engine/migrate.h"
#include "engine/scribe.h"

/* One page of claimed rows; it lives until every row of it has an outcome on record. */
struct migrate_job;
struct migrate_page {
    struct migrate_page *next;
    struct migrate_job *of;
    struct scribe_job intents; /* its rows are offered once these are durable */
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

/* Both borrow the outcome's texts. */
struct journal_entry outcome_line(const struct outcome *o);
struct tracker_move outcome_move(const struct outcome *o, const char *owner);

#endif
