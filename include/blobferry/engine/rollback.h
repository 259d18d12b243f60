/* rollback: take a migration back, exactly as far as asked, with proof (P3, P4, P6, P12).
 * First rollback_preview (reads only), then rollback_run. */
#ifndef BLOBFERRY_ENGINE_ROLLBACK_H
#define BLOBFERRY_ENGINE_ROLLBACK_H

#include "blobferry/engine/backup.h"
#include "blobferry/engine/engine.h"

struct rollback_options {
    struct tracker_filter
        scope; /* statuses are set by rollback itself: completed, verified and failed rows that may own an
                                     object; with failed_only only failed ones */
    bool failed_only;
    bool full;
    bool database_only; /* keep objects */
    bool r2_only;       /* keep rows */
    bool no_backup;
    bool allow_missing_source;
    bool trust_unmarked;
    int64_t limit;         /* 0: all */
    const char *plan_hash; /* run only if the preview's hash is still this; NULL: any */
    int concurrency;       /* 0: 16 */
};
/* Why a file is refused. */
enum rollback_refusal {
    ROLLBACK_OK,
    ROLLBACK_SOURCE_MISSING,
    ROLLBACK_SOURCE_ALTERED,
    ROLLBACK_NOT_OURS,        /* other ETag, size or metadata */
    ROLLBACK_PRE_EXISTED,     /* row goes back, object is kept: not a refusal of the row */
    ROLLBACK_SHARED,          /* another row needs the object: likewise */
    ROLLBACK_LOCKED,          /* lock or retention in the store */
    ROLLBACK_POINTER_CHANGED, /* the application has changed files.r2_key since */
    ROLLBACK_UNPROVEN,        /* could not be looked at */
    ROLLBACK_REFUSALS
};
const char *rollback_refusal_name(enum rollback_refusal r);

struct rollback_preview {
    int64_t files, bytes;
    int64_t with_object; /* rows that may own an object */
    int64_t debts;       /* deletes owed from before, in this scope */
    int64_t processing,
        unknown; /* rows in the scope that are under way, or in a status nobody knows: left alone */
    int64_t unparsable_dates; /* rows left out of a scope by dates, for theirs cannot be read */
    int64_t refused[ROLLBACK_REFUSALS];
    int64_t absent; /* completed rows whose object is not there; 0 unless proved */
    char plan_hash
        [65]; /* SHA-256 over what would be done and the ordered (id, status, key, etag) of the selection */
    struct record_list first; /* the first ten */
};
void rollback_preview_init(struct rollback_preview *p);
void rollback_preview_release(struct rollback_preview *p);
/* ERR_NOTFOUND "No migration records found" when nothing matches; ERR_USAGE without a scope. `prove` also hashes the
 * originals and looks at the objects (LIST and HEAD; without a store only at the originals), with progress and one event for each file
 * that would be refused. */
enum err_code rollback_preview(const struct engine *g, const struct rollback_options *o, bool prove,
                               struct rollback_preview *out, struct err *e);

struct rollback_result {
    int64_t total_files, database_rollbacks, r2_deletions, already_absent, kept_objects, failures;
    int64_t
        skipped; /* rows left alone: failed ones that own nothing, and rows that somebody else has changed meanwhile */
    int64_t refused;
    int64_t refused_by[ROLLBACK_REFUSALS];
    int64_t debts_paid, bytes_freed, elapsed_ms;
    struct objstore_requests requests; /* sent to the store by this run */
    struct backup_result backup;
    char audit_path[4096]; /* logs/rollback_audit_….json */
};
/* ERR_OK all done; ERR_PARTIAL some refused or failed; ERR_NOTFOUND; ERR_USAGE without a scope; ERR_CONFLICT locked, or another
 * plan_hash; ERR_STORE_* the store as a whole refused or is gone; ERR_CANCELLED. `out` is true in each case. */
/* Does the trail hold intents of rollbacks without an outcome? Then rollback_run has something to say even where it finds no row. */
enum err_code rollback_in_doubt(const struct engine *g, bool *any, struct err *e);
enum err_code rollback_run(const struct engine *g, const struct rollback_options *o,
                           struct rollback_result *out, struct err *e);

#endif
