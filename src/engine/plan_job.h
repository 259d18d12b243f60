/* plan_job: a plan under way. Rooms: plan_dir, plan_csv, plan_jsonl, plan_table (where rows come from), plan_row (what one row must
 * fulfil), plan_key (templates), plan_write (the transaction), plan_manifest (batches/ID.json), plan (orchestration).
 */
#ifndef BLOBFERRY_SRC_ENGINE_PLAN_JOB_H
#define BLOBFERRY_SRC_ENGINE_PLAN_JOB_H

#include "blobferry/engine/plan.h"
#include "blobferry/engine/source.h"
#include "blobferry/track/stage.h"
#include "engine/plan_key.h"

#define PLAN_BATCH_ID_MAX   200 /* bytes, as given */
#define PLAN_BATCH_ID_SIZE  232 /* with -001 … and NUL */
#define PLAN_BATCHES_MAX    ((int64_t)10000)
#define PLAN_LINE_MAX       ((size_t)1 << 20) /* of CSV and JSONL */
#define PLAN_DIR_DEPTH_MAX  128
#define PLAN_DIR_SORTED_MAX ((size_t)10000) /* entries; a larger directory comes in its own order */

struct plan_job {
    const struct engine *g;
    const struct plan_options *o;
    plan_problem_fn *problem;
    void *user;
    struct plan_result *out;
    char batch_id[PLAN_BATCH_ID_SIZE]; /* without number */
    const char *key_template;
    bool hash;               /* every source is read */
    bool written;            /* the rows are in the database, whatever came after */
    struct source_root root; /* "/" when there is no source root */
    struct stage *stage;
    struct buf stored, key; /* of the current row */
    int64_t told_ms;        /* last progress */
};

/* One row as it was read. Strings are borrowed; NULL and "" mean absent. */
struct plan_row {
    const char *source_path;
    const char *key_path; /* what {path} stands for; NULL: the source path */
    const char *file_id;
    const char *filename;
    const char *user_id;
    const char *target_key;
    const char *checksum;
    const char *content_type;
    int64_t size;  /* -1 not said */
    int64_t line;  /* 0 none */
    bool file_row; /* comes from the table files */
};

/* ---- rows ---- ERR_OK whether the row is planned or refused; other codes end the plan. */
enum err_code plan_row_take(struct plan_job *j, const struct plan_row *row, struct err *e);
/* Counts and reports one row or entry that is not planned. */
void plan_row_refuse(struct plan_job *j, const char *source, const char *key, int64_t line,
                     const struct err *why);
/* ERR_CANCELLED when it is time to stop; tells of progress now and then. */
enum err_code plan_row_pulse(struct plan_job *j, struct err *e);

/* ---- sources of rows ---- */
enum err_code plan_dir_read(struct plan_job *j, struct err *e);
enum err_code plan_csv_read(struct plan_job *j, struct err *e);
enum err_code plan_jsonl_read(struct plan_job *j, struct err *e);
enum err_code plan_table_read(struct plan_job *j, struct err *e);

/* ---- writing ---- */
/* Name of the batch with this number, from 0. */
void plan_write_batch_name(const struct plan_job *j, int64_t number, char dst[PLAN_BATCH_ID_SIZE]);
int64_t plan_write_batches(const struct plan_job *j); /* that the staged rows make */
/* ERR_CONFLICT when batches with numbers below n exist in the database or as manifests. */
enum err_code plan_write_check_new(const struct plan_job *j, int64_t n, struct err *e);
enum err_code plan_write_all(struct plan_job *j, struct err *e);

#endif
