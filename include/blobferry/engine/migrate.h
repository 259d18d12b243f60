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
    int concurrency;         /* files at once; 0: 16 */
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
/* ERR_OK when every claimable row of the batches is completed and nothing failed; ERR_PARTIAL when files failed (or are failed from before);
 * ERR_STORE_DENIED: stopped at once, unfinished rows are pending again; ERR_CANCELLED: stopped by signal, likewise;
 * ERR_NOTFOUND: no such batch, or it has no rows. */
enum err_code migrate_run(const struct engine *g, const struct migrate_options *o,
                          struct migrate_result *out, struct err *e);

#endif
