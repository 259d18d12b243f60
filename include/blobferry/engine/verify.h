/* verify: does the store hold what the rows say? HEAD, or `deep`: GET and re-hash. */
#ifndef BLOBFERRY_ENGINE_VERIFY_H
#define BLOBFERRY_ENGINE_VERIFY_H

#include "blobferry/engine/engine.h"

struct verify_options {
    const char *batch_id; /* NULL all */
    const char *user_id;
    bool deep;
    bool sources;    /* also re-hash the originals */
    int concurrency; /* 0: 16 */
};
struct verify_result {
    int64_t checked, verified, newly_verified, missing, different, errors,
        in_doubt;        /* in_doubt: rows still processing */
    int64_t not_checked; /* pending, failed, rolled_back rows of the selection */
    int64_t bytes;       /* read by deep */
    int64_t elapsed_ms;
};
/* Checks completed and verified rows. A good completed row becomes verified. A missing or different object makes the row failed and returns
 * files.r2_key to its prior value in the same transaction (P3: no pointer to nothing). ERR_OK only if at least one file was checked and all are
 * good; ERR_NOTFOUND when nothing was there to check; ERR_PARTIAL when any is missing, different or could not be checked, or rows are in doubt.
 * Where ETag or metadata are not the recorded ones, the bytes are read and decide. With `sources` an original that is gone or altered counts
 * among the errors, and its row stays as it is. */
enum err_code verify_run(const struct engine *g, const struct verify_options *o,
                         struct verify_result *out, struct err *e);

#endif
