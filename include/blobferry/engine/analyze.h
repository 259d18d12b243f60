/* analyze: what the logs and the audit trail of the last days say: how much was done, how well, how long it took, what went wrong. Reads only;
 * constant memory; files that are not ours or are damaged are named and skipped. */
#ifndef BLOBFERRY_ENGINE_ANALYZE_H
#define BLOBFERRY_ENGINE_ANALYZE_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct analyze_options {
    const char *dir;      /* log folder */
    const char *log_file; /* only this file (a log or an audit trail); NULL: the folder */
    int64_t now_ms;
    int days; /* 0: 7, with log_file all */
};

enum analyze_kind { ANALYZE_UPLOAD, ANALYZE_VERIFY, ANALYZE_ROLLBACK, ANALYZE_KINDS };
const char *analyze_kind_name(enum analyze_kind k);

struct analyze_class {
    char name[48]; /* err_code_name or a refusal */
    int64_t count;
};
struct analyze_slow {
    char name[160];
    int64_t duration_ms;
    int64_t bytes;
};
enum analyze_alert {
    ANALYZE_FAILURE_RATE,
    ANALYZE_LONG_RUN,
    ANALYZE_DATABASE,
    ANALYZE_STORE,
    ANALYZE_ALERTS
};
const char *analyze_alert_text(enum analyze_alert a);

#define ANALYZE_CLASSES 24
#define ANALYZE_SLOWEST 10
#define ANALYZE_SKIPPED 16
struct analyze_result {
    struct {
        int64_t succeeded, failed, bytes;
    } kind[ANALYZE_KINDS];
    int64_t runs, runs_failed, longest_run_ms;
    int64_t runs_unfinished;                       /* begun, no end: at work, or killed */
    int64_t durations;                             /* uploads with a duration */
    int64_t p50_ms, p90_ms, p99_ms, max_ms;        /* within 3.2 % */
    struct analyze_class classes[ANALYZE_CLASSES]; /* most frequent first; empty name ends */
    struct analyze_slow slowest[ANALYZE_SLOWEST];  /* slowest first; duration 0 ends */
    int64_t errors, warnings;                      /* log lines of that level */
    bool alert[ANALYZE_ALERTS];
    int64_t files_read, lines, damaged_lines;
    char skipped[ANALYZE_SKIPPED]
                [256]; /* "name: why": files skipped, or read in part; empty ends */
    int64_t skipped_count;
    char first_time[32], last_time[32]; /* of what was counted */
};
/* What the audit tells of is not counted once more from logs. ERR_NOTFOUND when there is no line to count (out says which files were
 * skipped); ERR_FILE_* for a log_file or folder that cannot be read, ERR_PARSE for a log_file that is not ours. */
enum err_code analyze_run(const struct analyze_options *o, struct analyze_result *out,
                          struct err *e);
/* In hundredths of a percent over all operations; -1 without any. */
int64_t analyze_success_rate(const struct analyze_result *r);

#endif
