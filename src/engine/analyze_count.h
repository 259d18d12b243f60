/* analyze_count: adds up the operations that lines tell of: successes, failures by class, durations, the slowest, alerts. */
#ifndef BLOBFERRY_SRC_ENGINE_ANALYZE_COUNT_H
#define BLOBFERRY_SRC_ENGINE_ANALYZE_COUNT_H

#include "blobferry/engine/analyze.h"
#include "engine/analyze_runs.h"

/* Durations fall into buckets of a sixteenth of a power of two: the middle of one is at most 3.2 % away. */
#define ANALYZE_STEPS   ((size_t)16)
#define ANALYZE_BUCKETS (44 * ANALYZE_STEPS)

struct analyze_count {
    struct analyze_result *out;
    struct analyze_runs runs;
    uint32_t buckets[ANALYZE_BUCKETS];
    int64_t other; /* failures of classes that found no room */
    int64_t first_ms, last_ms;
};

/* `out` is zeroed and filled while lines come in; what follows from all of them by analyze_count_end. */
enum err_code analyze_count_init(struct analyze_count *c, struct analyze_result *out,
                                 struct err *e);
void analyze_count_release(struct analyze_count *c);
void analyze_count_line(struct analyze_count *c, const struct analyze_line *l);
void analyze_count_end(struct analyze_count *c);

#endif
