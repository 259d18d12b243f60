/* analyze_runs: which runs the logs and the audit tell of, how long each took and how it ended; in bounded memory.
 *
 * The audit is read before the logs. Whatever a run did stands there already (every state change has its audit line), so
 * the log of a run that the audit knows adds no operations. */
#ifndef BLOBFERRY_SRC_ENGINE_ANALYZE_RUNS_H
#define BLOBFERRY_SRC_ENGINE_ANALYZE_RUNS_H

#include "blobferry/base/err.h"
#include "engine/analyze_line.h"

#define ANALYZE_RUNS_MAX                                                                           \
    ((size_t)1 << 15) /* runs remembered; of others only the closing line counts */

struct analyze_seen {
    uint64_t run; /* fingerprint; 0: empty slot */
    int64_t first_ms, last_ms;
    int64_t duration_ms; /* as the closing line says */
    bool audit, ended, failed;
};
struct analyze_runs {
    struct analyze_seen *slots; /* twice ANALYZE_RUNS_MAX: at most half full */
    size_t used;
    int64_t ended, failed, longest_ms; /* of runs that were not remembered */
    bool audit_read;
};

struct analyze_runs_sum {
    int64_t runs, failed, unfinished, longest_ms;
};

enum err_code analyze_runs_init(struct analyze_runs *r, struct err *e);
void analyze_runs_release(struct analyze_runs *r);
void analyze_runs_see(struct analyze_runs *r, const struct analyze_line *l);
/* Do the operations of this log line stand in the audit that was read? */
bool analyze_runs_audited(const struct analyze_runs *r, const struct analyze_line *l);
void analyze_runs_total(const struct analyze_runs *r, struct analyze_runs_sum *out);

#endif
