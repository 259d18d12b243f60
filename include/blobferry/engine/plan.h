/* plan: a batch (or several) from a directory, CSV, JSONL or the files table. Rows stream through a stage; what can not be
 * migrated is reported row by row and not planned.
 *
 * Paths are stored relative to the source root, absolute without one. {path} is what lies below the planned directory, else the
 * stored path without leading slashes; {ext} comes without the dot; a row that has no value for a placeholder is refused.
 * Entries of a directory come in the byte order of their names; directories of 10,000 entries and more come in their own.
 * Manifests, batches/<batch_id>.json, are prepared inside the transaction and get their names after it.
 */
#ifndef BLOBFERRY_ENGINE_PLAN_H
#define BLOBFERRY_ENGINE_PLAN_H

#include "blobferry/engine/engine.h"

enum plan_from { PLAN_FROM_DIR, PLAN_FROM_CSV, PLAN_FROM_JSONL, PLAN_FROM_TABLE };
struct plan_options {
    enum plan_from from;
    const char *input;           /* directory or file; "-" standard input for CSV and JSONL */
    const char *source_column;   /* from table: column of files, or … */
    const char *source_template; /* … template with {file_id} {filename} {user_id} */
    const char *batch_id;        /* NULL: batch_YYYYMMDD_HHMMSS_xxxx */
    int64_t batch_size;       /* rows per batch, then -001, -002 … are appended; 0: one batch */
    const char *user_id;      /* for rows that have none */
    const char *key_template; /* NULL: "{path}", with table "{user_id}/{file_id}/{filename}" */
    const char *key_prefix;   /* the target's prefix, put before every key */
    bool checksum;            /* hash each file now and record it as original_checksum */
    bool dry_run;             /* no row, no file is written */
};
/* One row or entry that is not planned. line is 0 for directories and tables. */
struct plan_problem {
    const char *source; /* path, may be NULL */
    const char *key;    /* may be NULL */
    int64_t line;
    struct err err;
};
typedef void plan_problem_fn(void *user, const struct plan_problem *p);
struct plan_result {
    int64_t planned, bytes, batches;
    int64_t refused; /* rows with a problem */
    int64_t
        skipped_special; /* from dir: symlinks, FIFOs, sockets, devices (each reported as a problem too) */
    int64_t missing;      /* of those refused: sources that are not there */
    int64_t duplicates;   /* of those refused: duplicate or colliding keys */
    int64_t without_user; /* planned without a row in files */
    char first_batch[300];
    double
        estimated_usd_month;  /* R2 storage, $0.015 per GB-month (decimal), shown as an estimate */
    double estimated_usd_put; /* class A operations, $4.50 per million */
};
/* ERR_OK; ERR_PARTIAL when rows were refused (the rest is planned); ERR_NOTFOUND when there is nothing to plan; ERR_PARSE for broken
 * CSV/JSONL (names file and line; nothing is planned); ERR_CONFLICT when the batch exists. */
enum err_code plan_run(const struct engine *g, const struct plan_options *o,
                       plan_problem_fn *problem, void *user, struct plan_result *out,
                       struct err *e);

#endif
