/* tracker: the one interface to tracking databases. Drivers: sqlite (also a local D1 file), postgres, later d1. SQL lives only
 * in track/. Every operation is one short transaction or one guarded statement batch, never spans network I/O to the object
 * store, and may be called from one thread at a time. All text is passed as bound parameters and compared exactly.
 *
 *     struct tracker *t;  tracker_open(&t, &(struct tracker_options){.url = "sqlite:app.db"}, e);
 *     tracker_prepare(t, e);                           (our own tables, before the first write)
 *     tracker_claim(t, &claim, &list, e);              (lease rows: pending -> processing)
 *     … transfer …
 *     tracker_apply(t, moves, n, &head, e);            (outcomes, pointers, counters, audit head: one transaction)
 *     tracker_close(t);
 *
 * Errors: ERR_DB, ERR_DB_BUSY (after bounded waiting), ERR_DB_SCHEMA (names table and column), ERR_NOMEM.
 */
#ifndef BLOBFERRY_TRACK_TRACKER_H
#define BLOBFERRY_TRACK_TRACKER_H

#include "blobferry/base/err.h"
#include "blobferry/base/secret.h"
#include "blobferry/model/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tracker;

struct tracker_options {
    const char *url;         /* "sqlite:PATH", "postgres://…" as libpq has it */
    bool read_only;          /* writes nothing, not even a -wal or -shm where that can be avoided */
    bool create;             /* may create the database file (init, plan with no --db) */
    bool may_be_missing;     /* no such database: ERR_OK, and *out is NULL */
    bool discard;            /* … and takes it away again if nothing came into it (db copy) */
    int64_t busy_timeout_ms; /* 0: 10 s */
    /* postgres; NULL or unset: as libpq finds it (PGPASSWORD, ~/.pgpass) */
    const struct secret *password;
    /* d1://: the API token is the password; where the API is (NULL: Cloudflare), and its CA file (NULL: the system's) */
    const char *d1_api;
    const char *ca_file;
};
enum err_code tracker_open(struct tracker **out, const struct tracker_options *o, struct err *e);
void tracker_close(struct tracker *t);             /* NULL is harmless */
const char *tracker_name(const struct tracker *t); /* URL without secrets, for messages */
/* Rows that one transaction may well have: of a claim when they go fast, of a group of results. More than TRACKER_ROWS where a transaction
 * costs round trips. */
#define TRACKER_ROWS     256
#define TRACKER_ROWS_MAX 1000
size_t tracker_rows_at_once(const struct tracker *t);
/* Can two connections write at once? One thread may then claim while another writes results. */
bool tracker_side_by_side(const struct tracker *t);

/* ---- schema --------------------------------------------------------------------------------------- */
struct tracker_schema {
    bool batches, migrations, files; /* the contract's tables are there with all their columns */
    bool own;                        /* blobferry_* tables are there */
    int version;                     /* of ours; 0 none */
    char missing[512];               /* "files.r2_key, …": what is wrong, "" nothing */
};
enum err_code tracker_inspect(struct tracker *t, struct tracker_schema *out, struct err *e);
/* ERR_DB_SCHEMA with the missing tables or columns and a hint, unless the three tables are usable. */
enum err_code tracker_require(struct tracker *t, struct err *e);
/* Create what is missing of the contract's tables (with helpful indexes on those we create) and ours. Never alters a
 * table that exists. *created counts tables. Idempotent. */
enum err_code tracker_init(struct tracker *t, int *created, struct err *e);
enum err_code tracker_prepare(struct tracker *t, struct err *e); /* ours only */

/* ---- the head of the audit chain, stored with every state change ----------------------------------- */
#define TRACKER_HASH_SIZE 72 /* more than SHA-256 in hex: a text that is cut is still too long */
struct tracker_head {
    const char *log_id; /* of the audit file */
    const char *run_id;
    int64_t seq;
    char hash[TRACKER_HASH_SIZE]; /* hex */
};
typedef enum err_code tracker_head_fn(void *user, const struct tracker_head *h, struct err *e);
enum err_code tracker_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e);
enum err_code tracker_set_head(struct tracker *t, const struct tracker_head *h, struct err *e);

/* ---- runs and locks --------------------------------------------------------------------------------- */
struct tracker_run {
    const char *id;
    const char *command;
    const char *owner; /* process_owner() */
    int64_t started_ms;
    int64_t ended_ms; /* 0: not yet */
    int exit_code;
    const char *summary; /* JSON, may be NULL */
};
enum err_code tracker_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code tracker_run_end(struct tracker *t, const struct tracker_run *r, struct err *e);

/* A batch is migrated by many at once, or rolled back by one. batch_id "*" means all batches. ERR_CONFLICT names the
 * holder. Locks expire; those of owners that process_owner_is_dead() are taken over. All of the batches or none. */
enum tracker_lock_mode { TRACKER_LOCK_MIGRATE, TRACKER_LOCK_ROLLBACK };
struct tracker_lock {
    const char *const *batch_ids;
    size_t batch_count;
    enum tracker_lock_mode mode;
    const char *owner;
    int64_t now_ms;
    int64_t lease_ms;
};
enum err_code tracker_lock(struct tracker *t, const struct tracker_lock *l,
                           struct err *e); /* again: renews */
enum err_code tracker_unlock(struct tracker *t, const char *owner, struct err *e);

/* ---- planning ------------------------------------------------------------------------------------------ */
struct tracker_plan_row {
    const char *id; /* file_migrations.id, ours (clock_uuid) */
    const char *batch_id;
    const char *file_id; /* NULL: none */
    const char *source_path;
    const char *target_key;
    const char *key_digest; /* SHA-256 hex of the key's NFC form */
    const char *checksum;   /* original_checksum; NULL none */
    int64_t size;           /* -1 unknown */
    const char *filename;
    const char *user_id; /* NULL unknown: no row in files is made */
    const char *content_type;
    bool make_file_row; /* insert into files unless the id is there */
    /* out: NULL inserted; else why not ("target key is planned already in batch 'x'"), valid until the next row */
    const char *refused;
};
/* Delivers the next row; *more false ends. Called between `begin` and `commit` of one transaction: does no slow work. */
typedef enum err_code tracker_plan_next_fn(void *user, struct tracker_plan_row *row, bool *more,
                                           struct err *e);
/* Told of each row after the attempt; row->refused says what happened. */
typedef void tracker_plan_done_fn(void *user, const struct tracker_plan_row *row);
/* Everything in one transaction: batches as their first row appears (ERR_CONFLICT if one exists), rows, total_files. A row
 * whose key_digest is held by a row that is not rolled_back is refused and the rest goes on. An error rolls all back. */
enum err_code tracker_plan(struct tracker *t, tracker_plan_next_fn *next,
                           tracker_plan_done_fn *done, void *user, const struct tracker_head *head,
                           struct err *e);
/* Who holds a key: batch id of a live row into `batch` ("" none). For dry runs. */
enum err_code tracker_key_holder(struct tracker *t, const char *key_digest, char *batch,
                                 size_t size, struct err *e);
enum err_code tracker_batch_exists(struct tracker *t, const char *batch_id, bool *exists,
                                   struct err *e);
/* Is there a row in files with that id? */
enum err_code tracker_file_exists(struct tracker *t, const char *file_id, bool *exists,
                                  struct err *e);
/* Pages of `files` rows whose r2_key is NULL or '' and which no live migration row covers, in id order after after_id (NULL: from the start), for
 * plan --from-table. source_column: column of files that holds the path, checked to exist (ERR_DB_SCHEMA), or NULL. Fills file_id, filename,
 * user_id, file_checksum, source_path. */
enum err_code tracker_files_without_key(struct tracker *t, const char *source_column,
                                        const char *after_id, size_t limit, struct record_list *out,
                                        struct err *e);

/* ---- claiming ------------------------------------------------------------------------------------------- */
struct tracker_claim {
    const char *const *batch_ids; /* NULL with batch_count 0: every batch */
    size_t batch_count;
    const char *owner;
    int64_t now_ms;
    int64_t lease_ms;
    size_t limit;
    bool retry_failed; /* failed rows too */
    bool again;        /* rolled_back rows too (an explicit migrate of a rolled back batch) */
    const char *const *dead_owners; /* rows leased by these are taken over before expiry */
    size_t dead_count;
    const char *after_id; /* keyset: only ids after this one; NULL from the start */
};
/* Lease up to limit rows, in id order: pending (or as asked) -> processing, attempts + 1, started_at set if NULL; processing rows whose lease has
 * expired, is missing, or belongs to a dead owner are taken over (taken_over true). Rows that owe a delete are not claimed. Sets the batch
 * to processing. */
enum err_code tracker_claim(struct tracker *t, const struct tracker_claim *c,
                            struct record_list *out, struct err *e);
/* Owners of processing rows other than `me`. */
typedef enum err_code tracker_owner_fn(void *user, const char *owner, int64_t rows,
                                       int64_t lease_until_ms, struct err *e);
enum err_code tracker_owners(struct tracker *t, const char *me, tracker_owner_fn *fn, void *user,
                             struct err *e);
/* Who holds what: one call for each owner and batch, those of an owner one after the other. Borrowed until fn returns. */
struct tracker_worker {
    const char *owner;
    const char *batch_id;   /* NULL: rows of no batch, or not known; "*": a lock on all */
    const char *lock;       /* "migrate", "rollback"; NULL: no lock on the batch */
    const char *command;    /* of the run that the owner is on; NULL unknown */
    int64_t rows;           /* processing rows under its lease */
    int64_t lease_until_ms; /* the latest of rows and lock */
    int64_t started_ms;     /* of that run; 0 unknown */
};
typedef enum err_code tracker_worker_fn(void *user, const struct tracker_worker *w, struct err *e);
enum err_code tracker_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e);
/* Sleep until timeout_ms have passed, a signal comes, or another process has planned something. Not every database can tell; and other
 * tools that insert rows tell nothing: whoever waits looks from time to time all the same. */
enum tracker_wait {
    TRACKER_WAIT_SLEPT,    /* it cannot tell: look */
    TRACKER_WAIT_LISTENED, /* it would have told: no plan of ours */
    TRACKER_WAIT_TOLD      /* look now */
};
enum err_code tracker_wait(struct tracker *t, int64_t timeout_ms, enum tracker_wait *how,
                           struct err *e);
/* Extend all leases (rows and locks) of owner to until_ms. */
enum err_code tracker_renew(struct tracker *t, const char *owner, int64_t until_ms, struct err *e);
/* Rows that owner still holds go back to pending (attempt not counted). *released counts them. */
enum err_code tracker_release(struct tracker *t, const char *owner, int64_t *released,
                              struct err *e);
/* Remember or forget (upload_id NULL) a multipart upload, durably (P11). ERR_CONFLICT when owner holds the row no more. */
enum err_code tracker_set_upload(struct tracker *t, const char *id, const char *owner,
                                 const char *upload_id, int64_t part_size, struct err *e);

/* ---- state moves -------------------------------------------------------------------------------------------- */
enum tracker_pointer {
    TRACKER_POINTER_KEEP,
    TRACKER_POINTER_SET, /* files.r2_key = target_key, files.checksum = migrated_checksum; prior values are kept */
    TRACKER_POINTER_RESTORE /* back to the prior values, only if files.r2_key is still what we set */
};
enum tracker_applied {
    TRACKER_APPLIED,
    TRACKER_LOST,           /* the row is not in `from`, or not owner's any more: nothing changed */
    TRACKER_POINTER_CHANGED /* the application has put something else into files.r2_key: nothing changed */
};
struct tracker_move {
    const char *id;
    const char *batch_id;
    const char *owner;         /* must hold the lease when from is processing; else NULL */
    enum file_status from, to; /* state_move_legal() or ERR_GENERAL */
    int64_t now_ms;
    enum tracker_pointer pointer;
    const char
        *file_id; /* for SET and RESTORE; NULL: record has no files row, pointer is skipped */
    const char *target_key;
    const char *
        expected_r2_key; /* SET: what was seen at claim; the row must still hold it (NULL or '' alike) */
    const char *
        migrated_checksum; /* the fields below replace what is stored when to is completed, verified or failed; NULL leaves */
    const char *etag;
    const char *version_id;
    const char *object_owner;
    bool pre_existed; /* stored when to is completed */
    const struct source_identity *source;
    int64_t size;            /* stored into file_size when it was NULL; -1 leaves */
    bool delete_owed;        /* stored when to is rolled_back */
    const char *error_class; /* stored (NULL clears) along with error_message */
    const char *error_message;
    enum tracker_applied applied; /* out */
};
/* All moves and the head in one durable transaction; counters and status of the batches follow. Each move is guarded by itself; a
 * refused one does not stop the others. Leaving processing clears the lease and upload. completed_at is set when `to` is completed or failed. A rollback
 * leaves migrated_checksum as history. */
enum err_code tracker_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                            const struct tracker_head *head, struct err *e);
/* The owed deletes of these rows are done. */
enum err_code tracker_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                 const struct tracker_head *head, struct err *e);
/* shared[i] = another live row (completed, verified, processing) has this key as its target, or another files row points at it. At most 1000. */
struct tracker_key_ref {
    const char *id; /* the record itself, not counted */
    const char *file_id;
    const char *key;
    bool shared; /* out */
};
enum err_code tracker_shared_keys(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                  struct err *e);
/* Recompute counters and status of a batch (NULL: all) from its rows; *changed counts batches that differed. */
enum err_code tracker_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                              struct err *e);

/* ---- reading: works on a bare three-table database without writing ------------------------------------------ */
#define TRACKER_STATUS(s)  (1u << (s))
#define TRACKER_ANY_STATUS 0u
struct tracker_filter {
    const char *batch_id; /* NULL any; compared exactly */
    const char *user_id;  /* of the files row */
    unsigned statuses;    /* TRACKER_STATUS bits, 0 any */
    bool has_from,
        has_to; /* started_at as an instant, both inclusive; rows without a parsable one do not match */
    int64_t from_ms, to_ms;
    bool delete_owed; /* only rows that owe a delete */
    bool with_upload; /* only rows with a recorded multipart upload */
    bool
        everything; /* backup_create only: all rows of the tables, also those that no migration touches */
};
struct tracker_totals {
    struct state_counts counts;
    int64_t bytes;            /* file_size, NULL as 0 */
    int64_t unparsable_dates; /* rows left out because started_at could not be read as a time */
    int64_t orphan_files;     /* file_id without a files row */
    int64_t owed;             /* deletes still owed */
    int64_t
        unusable_ids; /* rows whose id is NULL, a BLOB, holds a NUL byte or is over 64 KiB: in counts, but in no
                               * page and never claimed, for nothing could name them */
};
/* Page in id order after after_id (NULL: start); empty page: end. */
enum err_code tracker_records(struct tracker *t, const struct tracker_filter *f,
                              const char *after_id, size_t limit, struct record_list *out,
                              struct err *e);
enum err_code tracker_totals(struct tracker *t, const struct tracker_filter *f,
                             struct tracker_totals *out, struct err *e);
/* Batches with counts from rows, newest first; batch_id NULL: all, up to limit (0: no limit). */
enum err_code tracker_batches(struct tracker *t, const char *batch_id, size_t limit,
                              struct batch_list *out, struct err *e);

/* Names of batches that have a row in one of these statuses, the oldest first, up to limit (0: all). By index where there is one; nothing
 * is counted. fn may not use the tracker. */
typedef enum err_code tracker_batch_fn(void *user, const char *batch_id, struct err *e);
enum err_code tracker_open_batches(struct tracker *t, unsigned statuses, size_t limit,
                                   tracker_batch_fn *fn, void *user, struct err *e);

/* ---- backup: rows byte-exact --------------------------------------------------------------------------------- */
enum tracker_value_type { TRACKER_NULL, TRACKER_INTEGER, TRACKER_REAL, TRACKER_TEXT, TRACKER_BLOB };
struct tracker_value {
    const char *column;
    enum tracker_value_type type;
    int64_t integer;
    double real;
    const char *bytes;
    size_t len;
};
typedef enum err_code tracker_dump_fn(void *user, const char *table,
                                      const struct tracker_value *values, size_t n, struct err *e);
/* Every row of migration_batches, file_migrations, files and blobferry_records that the filter touches, from one consistent
 * snapshot, table after table in that order, in constant memory. */
enum err_code tracker_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                           void *user, struct err *e);

/* ---- restore: rows of a dump put back as they were ------------------------------------------------------------- */
enum tracker_table { /* in the order of a dump */
                     TRACKER_BATCHES,
                     TRACKER_MIGRATIONS,
                     TRACKER_FILES,
                     TRACKER_RECORDS, /* blobferry_records */
                     TRACKER_TABLES
};
const char *tracker_table_name(enum tracker_table t);
bool tracker_table_parse(const char *name, enum tracker_table *out);

struct tracker_restore_row {
    enum tracker_table table;
    const struct tracker_value *values; /* borrowed until the next one is asked for */
    size_t n;
};
/* A row that is not in the database, or not as in the backup; told before it is written. */
struct tracker_restore_change {
    enum tracker_table table;
    bool inserted;
    const struct tracker_value *then; /* as in the backup; n of them */
    const struct tracker_value *now;  /* in the database, column by column; NULL when inserted */
    size_t n;
    size_t first; /* index of the first that differs */
    size_t key;   /* index of the primary key */
};
struct tracker_restore {
    bool dry_run; /* reads, counts and tells only */
    /* *more false ends. Is called between `begin` and `commit` of one transaction: does no network I/O. */
    enum err_code (*next)(void *user, struct tracker_restore_row *row, bool *more, struct err *e);
    /* May be NULL. An error rolls everything back. */
    enum err_code (*change)(void *user, const struct tracker_restore_change *c, struct err *e);
    void *user;
    const struct tracker_head *head; /* NULL for a dry run */
};
struct tracker_restore_counts {
    int64_t rows, inserted, changed, same;
    int64_t unlike;  /* written, and then changed again by triggers of the application */
    int64_t skipped; /* rows without a usable key: nothing could name them */
};
/* Insert or update by primary key, all in one transaction with the head; rows that are not in the backup are not touched, save that the
 * counters and status of the batches concerned follow from the rows (so they are no difference by themselves). Values are compared and written by type and bytes. ERR_DB_SCHEMA when a column is
 * not there any more (names it), ERR_DB when a constraint of the application forbids a row: then nothing is changed. */
enum err_code tracker_restore(struct tracker *t, const struct tracker_restore *r,
                              struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e);

#endif
