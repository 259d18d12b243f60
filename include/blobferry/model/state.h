/* state: the statuses of files and batches and the legal moves between them; one table, used by all. */
#ifndef BLOBFERRY_MODEL_STATE_H
#define BLOBFERRY_MODEL_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum file_status {
    FILE_PENDING,
    FILE_PROCESSING,
    FILE_COMPLETED,
    FILE_VERIFIED,
    FILE_FAILED,
    FILE_ROLLED_BACK,
    FILE_UNKNOWN, /* text that the contract does not know: reported, never guessed */
    FILE_STATUS_COUNT
};

enum batch_status {
    BATCH_PENDING,
    BATCH_PROCESSING,
    BATCH_COMPLETED,
    BATCH_PARTIAL,
    BATCH_FAILED,
    BATCH_ROLLED_BACK,
    BATCH_UNKNOWN
};

const char *state_file_name(enum file_status s); /* "pending" ...; "unknown" */
enum file_status
state_file_parse(const char *text); /* exact, lower case; NULL and all else: unknown */
const char *state_batch_name(enum batch_status s);
enum batch_status state_batch_parse(const char *text);

/* The one table of legal moves. pending->processing (claim), processing->completed|failed|pending
 * (outcome, release), processing->processing (lease taken over), failed->processing (retry),
 * completed->verified, completed|verified->failed (verification found other bytes),
 * completed|verified|failed->rolled_back, rolled_back->pending (migrate again, explicit). */
bool state_move_legal(enum file_status from, enum file_status to);

/* Counts of one batch's rows by status. */
struct state_counts {
    int64_t by[FILE_STATUS_COUNT];
};
int64_t state_counts_total(const struct state_counts *c);
/* migration_batches.completed_files counts completed + verified rows, verified_files the verified
 * ones, failed_files the failed ones. */
int64_t state_counts_completed(const struct state_counts *c);

/* The batch's status follows from its rows: no rows or all pending: pending; any processing, or
 * pending beside ended ones (completed, verified, failed, rolled_back): processing; all
 * completed/verified: completed; all failed: failed; all rolled_back: rolled_back; every other
 * mixture: partial. Rows of unknown status count as neither pending nor ended. */
enum batch_status state_batch_derive(const struct state_counts *c);

#endif
