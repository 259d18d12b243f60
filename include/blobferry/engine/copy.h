/* copy: `db copy`: the whole tracking data from one database into another, all or nothing, and proven.
 *
 *     g->tracker is the target (NULL: it is not there yet; only for a preview), source the other one.
 *     copy_preview(g, source, &o, &report, e);     (reads only)
 *     copy_run(g, source, &o, &report, e);
 *
 * Order of a run: rows that the target could not hold are looked for (P7: before anything is written) -> backup of the target -> intent -> one
 * transaction: tables made, rows removed, rows put, rows read back and compared -> outcome, report. A run that was killed has changed
 * nothing; the next one begins anew, for the snapshot of the first is gone.
 */
#ifndef BLOBFERRY_ENGINE_COPY_H
#define BLOBFERRY_ENGINE_COPY_H

#include "blobferry/codec/json.h"
#include "blobferry/engine/backup.h"
#include "blobferry/engine/engine.h"
#include "blobferry/track/tracker_copy.h"

struct copy_options {
    bool replace;           /* rows of the target are removed first */
    bool no_backup;         /* of the target as it was */
    const char *target;     /* its name when g->tracker is NULL */
    const char *report_dir; /* db_copy_YYYYMMDD_HHMMSS.json is written there; NULL: nowhere */
};

#define COPY_PROBLEMS 10
struct copy_table {
    bool there;              /* in the source */
    bool made;               /* missing in the target: made */
    int64_t rows;            /* of the source; in a run: that were copied */
    int64_t target_rows;     /* before */
    int64_t written;         /* read back from the target */
    int64_t bytes;           /* of their values, in the common form */
    char digest[65];         /* of the source's rows; "" not yet known */
    char written_digest[65]; /* of the target's, read back before COMMIT */
};
struct copy_report {
    char source[1024], target[1024];
    bool dry_run;
    struct copy_table tables[TRACKER_COPIED];
    int64_t rows, target_rows; /* of the contract's three tables and blobferry_records */
    int64_t in_hand;           /* rows of the source that a worker holds */
    int64_t problems;          /* values that the target cannot hold */
    char problem[COPY_PROBLEMS][400];
    size_t problem_count;
    struct backup_result before; /* path "" none */
    bool done;                   /* committed */
    int64_t elapsed_ms;
    char path[4096]; /* of the report's file; "" none */
};

/* ERR_NOTFOUND: the source holds no rows; ERR_REFUSED: the target holds rows and not replace, or cannot hold values of the source. */
enum err_code copy_preview(const struct engine *g, struct tracker *source,
                           const struct copy_options *o, struct copy_report *out, struct err *e);
/* As above; ERR_CONFLICT also when what is read back is not what was read. Whatever the error: the target is as it was. */
enum err_code copy_run(const struct engine *g, struct tracker *source, const struct copy_options *o,
                       struct copy_report *out, struct err *e);
/* The members of the report, into an object that is open. */
void copy_report_json(struct json_out *w, const struct copy_report *r);

#endif
