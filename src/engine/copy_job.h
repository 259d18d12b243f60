/* copy_job: what the files of copy share. */
#ifndef BLOBFERRY_SRC_ENGINE_COPY_JOB_H
#define BLOBFERRY_SRC_ENGINE_COPY_JOB_H

#include "blobferry/engine/copy.h"
#include "engine/copy_digest.h"

struct copy_job {
    const struct engine *g;
    struct tracker *source;
    const struct copy_options *o;
    struct copy_report *out;
    struct tracker_copy_shape shape; /* of the source */
    struct tracker_copy_shape
        target; /* its columns as the target has them, in the source's order */
    struct copy_rule *rules[TRACKER_COPIED]; /* owned; one a column */
    struct copy_digest digest;               /* of the table at hand */
    size_t table;                            /* which it is; TRACKER_COPIED: none yet */
    int64_t done, drawn_ms;
};
enum err_code copy_job_init(struct copy_job *j, struct err *e);
void copy_job_release(struct copy_job *j);
/* What the source holds, what the target holds. */
enum err_code copy_job_look(struct copy_job *j, struct err *e);
/* The target's columns and how each is compared; where a table is missing, as it will be made. */
enum err_code copy_job_rules(struct copy_job *j, struct err *e);
/* Values of the source that a strict target cannot hold, counted and told: copy_scan.c. */
enum err_code copy_scan(struct copy_job *j, struct err *e);
/* The transaction: copy_move.c. */
enum err_code copy_move(struct copy_job *j, const struct tracker_head *head, struct err *e);
/* A file of the report: copy_report.c. */
enum err_code copy_report_write(struct copy_report *r, const char *dir, struct err *e);

#endif
