/* migrate: the worker: claims, transfers, records, until nothing claimable is left. */
#ifndef BLOBFERRY_ENGINE_MIGRATE_H
#define BLOBFERRY_ENGINE_MIGRATE_H

#include "blobferry/engine/engine.h"

enum migrate_if_exists {
    MIGRATE_SKIP_SAME /* same bytes: done, else fail */,
    MIGRATE_FAIL,
    MIGRATE_OVERWRITE
};
struct migrate_options {
    const char *const *batch_ids; /* NULL, 0: all */
    size_t batch_count;
    bool retry_failed;
    bool again;              /* rolled back rows too */
    int concurrency;         /* files at once; 0: 64, and as many requests as go well */
    int loops;               /* event loops; 0: by processors */
    uint64_t part_size;      /* 0: 16 MiB */
    int64_t max_failures;    /* stop after so many failed files; -1: never */
    int max_failure_percent; /* 0: never; checked from 20 files on */
    enum migrate_if_exists if_exists;
    int64_t lease_ms; /* 0: 120 s; renewed at a third */
    bool watch;       /* wait for new work until stopped */
};
struct migrate_result {
    int64_t completed, failed, released, taken_over;
    int64_t already_there; /* completed because the same bytes were there */
    int64_t bytes_sent;    /* of completed files */
    int64_t elsewhere;     /* rows other workers hold at the end */
    int64_t elapsed_ms;
};
/* ERR_OK when every row of the batches that is not rolled back is completed; ERR_PARTIAL when files failed (or are failed from before), or when rows
 * of other workers did not end while they were waited for (as long as a lease lasts without any of them moving);
 * ERR_STORE_DENIED: stopped at once, unfinished rows are pending again; ERR_CANCELLED: stopped by signal, likewise;
 * ERR_CONFLICT: a rollback is at work on a batch (with all batches: the others are done); ERR_NOTFOUND: no such batch, it has no rows, or all of them
 * are rolled back and `again` is not set. A dead endpoint: ERR_STORE_UNAVAILABLE, unfinished rows are pending again. */
enum err_code migrate_run(const struct engine *g, const struct migrate_options *o,
                          struct migrate_result *out, struct err *e);

#endif
