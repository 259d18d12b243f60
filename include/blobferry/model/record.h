/* record: one file's migration, as read from the tracking database: the contract's columns, what
 * blobferry keeps beside them, and the application's row. Strings live in the list's arena. */
#ifndef BLOBFERRY_MODEL_RECORD_H
#define BLOBFERRY_MODEL_RECORD_H

#include "blobferry/base/arena.h"
#include "blobferry/model/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What identifies the source file's content at the moment it was read. */
struct source_identity {
    uint64_t device;
    uint64_t inode;
    int64_t size;     /* bytes */
    int64_t mtime_ns; /* since 1970 */
    int64_t ctime_ns;
};

/* NULL strings mean SQL NULL. */
struct record {
    /* file_migrations */
    const char *id;
    const char *batch_id;
    const char *file_id;
    const char *source_path;
    const char *target_key;        /* target_r2_key: the whole key inside the bucket */
    const char *original_checksum; /* as found, any form; see codec/checksum.h */
    const char *migrated_checksum; /* SHA-256 hex */
    int64_t file_size;             /* bytes; -1 for NULL */
    enum file_status status;
    const char *status_text; /* as found */
    const char *error_message;
    const char *started_at; /* database text, or ISO on PostgreSQL */
    const char *completed_at;
    const char *created_at;

    /* files, joined on file_id; file_row false when there is none */
    bool file_row;
    const char *filename;
    const char *user_id;
    const char *file_r2_key; /* current pointer */
    const char *file_checksum;

    /* blobferry_records; defaults when there is none */
    const char *content_type;
    const char *etag;
    const char *version_id;
    const char *
        object_owner; /* record id in the object's metadata when it is of this migration; NULL: none */
    bool pre_existed;         /* the object was there before this migration: never deleted */
    bool pointer_set;         /* files.r2_key was written by us */
    const char *prior_r2_key; /* what files.r2_key and files.checksum were before */
    const char *prior_checksum;
    const char *upload_id; /* multipart upload under way */
    int64_t part_size;     /* bytes, of that upload */
    int64_t attempts;
    const char *error_class; /* err_code_name */
    const char *lease_owner;
    int64_t lease_until_ms;
    bool delete_owed; /* rolled back, object still to be deleted */
    bool has_source;  /* source below is known */
    struct source_identity source;

    /* Not NULL when a column holds what cannot be used (BLOB or NUL byte in a text, negative size): the row fails
     * with this message, the others go on. */
    const char *defect;
    bool taken_over; /* claimed from a dead owner: look before acting (P6) */
};

/* A page of records. It is full when items and strings together have reached max_bytes. */
struct record_list {
    struct record *items;
    size_t len;
    size_t cap;
    struct arena mem;
};

void record_list_init(struct record_list *l, size_t max_bytes); /* 0: 64 MiB */
void record_list_reset(struct record_list *l);
void record_list_release(struct record_list *l);
/* Zeroed with file_size -1; borrowed, until the next add (items move, strings do not). NULL when the
 * page is full or memory is short. */
struct record *record_list_add(struct record_list *l);

/* One row of migration_batches with what follows from its rows. */
struct batch {
    const char *id;
    const char *batch_id;
    const char *status_text; /* as stored */
    enum batch_status status;
    int64_t total_files; /* as stored, likewise the three below */
    int64_t completed_files;
    int64_t failed_files;
    int64_t verified_files;
    const char *started_at;
    const char *completed_at;
    const char *created_at;
    struct state_counts counts; /* from the rows */
    int64_t bytes;              /* sum of file_size of the rows, NULLs as 0 */
};

struct batch_list {
    struct batch *items;
    size_t len;
    size_t cap;
    struct arena mem;
};

void record_batches_init(struct batch_list *l, size_t max_bytes);
void record_batches_reset(struct batch_list *l);
void record_batches_release(struct batch_list *l);
struct batch *record_batches_add(struct batch_list *l); /* zeroed; otherwise as above */

#endif
