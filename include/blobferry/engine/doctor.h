/* doctor: is everything as it must be for a migration? Each look gives one finding; none stops the others. What is looked at is given
 * one by one, since each may be missing: the caller opens what can be opened and reports what cannot.
 *
 *     doctor_store(&engine, &(struct doctor_options){.probe = true, .found = print}, e);
 *     doctor_database(&engine, &o);   doctor_files(&engine, &o);
 *     doctor_uploads(&engine, &(struct doctor_uploads_options){…}, &counts, e);
 */
#ifndef BLOBFERRY_ENGINE_DOCTOR_H
#define BLOBFERRY_ENGINE_DOCTOR_H

#include "blobferry/engine/engine.h"

enum doctor_status { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAILED };
const char *doctor_status_name(enum doctor_status s); /* "ok", "warning", "failed" */

struct doctor_finding {
    const char *check; /* "bucket", "clock", "endpoint", … */
    enum doctor_status status;
    struct err err;   /* failed, warning: why, and what to do */
    const char *text; /* ok: what was found */
};
typedef void doctor_found_fn(void *user,
                             const struct doctor_finding *f); /* borrowed during the call */

struct doctor_folder {
    const char *name; /* "log-dir" */
    const char *path;
};
struct doctor_options {
    bool
        probe; /* also find out what the endpoint honours, by a few harmless requests under a key of our own */
    const struct doctor_folder *folders; /* that must be writable, or such that they can be made */
    size_t folder_count;
    doctor_found_fn *found;
    void *user;
};
/* bucket (reached, credentials accepted), clock, endpoint (what it honours, against what its profile promises). g->store is set.
 * False when the bucket cannot be used: then the rest was not looked at. */
bool doctor_store(const struct engine *g, const struct doctor_options *o);
/* database: reached, the contract's tables, ours. g->tracker is set. */
void doctor_database(const struct engine *g, const struct doctor_options *o);
/* source-root: readable; folders: writable. */
void doctor_files(const struct engine *g, const struct doctor_options *o);
/* Finding of something that could not even be opened. */
void doctor_cannot(const struct doctor_options *o, const char *check, const struct err *why);

/* A name of each feature that is set, in order, into dst; "none". */
void doctor_features(unsigned features, char *dst, size_t size);

/* ---- multipart uploads that were left behind (P11) ------------------------------------------------------------ */
enum doctor_upload_kind {
    DOCTOR_UPLOAD_FOREIGN, /* of a key that no row of ours has, and recorded nowhere */
    DOCTOR_UPLOAD_LIVE, /* recorded by a row that is pending or processing: a worker sends it, or the next one continues it */
    DOCTOR_UPLOAD_YOUNG, /* ours, nobody's, and not old enough */
    DOCTOR_UPLOAD_STALE  /* ours, nobody's, and old: --clean-uploads aborts it */
};
const char *doctor_upload_name(enum doctor_upload_kind k);
struct doctor_upload {
    const char *key, *upload_id, *batch_id; /* batch NULL: foreign */
    int64_t begun_ms;                       /* by the store's clock; 0 unknown: never old enough */
    enum doctor_upload_kind kind;
    bool aborted;
    struct err err; /* it could not be aborted */
};
struct doctor_uploads_options {
    bool
        clean; /* abort the stale ones, each of them intended and told in the audit: g->journal is set */
    int64_t now_ms, older_than_ms;
    void (*found)(void *user, const struct doctor_upload *u);
    void *user;
};
struct doctor_uploads_counts {
    int64_t foreign, live, young, stale, aborted, failed;
    bool more; /* there are more than are looked at in one go (10,000) */
};
/* Needs g->store and g->tracker. ERR_PARTIAL when some could not be aborted. */
enum err_code doctor_uploads(const struct engine *g, const struct doctor_uploads_options *o,
                             struct doctor_uploads_counts *counts, struct err *e);

#endif
