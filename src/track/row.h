/* row: what the drivers share of reading the joined tables into records: the order of the columns, texts that live as long as the list, and
 * the rule that what cannot be used becomes the record's defect, so that one row fails and the others go on. */
#ifndef BLOBFERRY_TRACK_ROW_H
#define BLOBFERRY_TRACK_ROW_H

#include "blobferry/base/err.h"
#include "blobferry/model/record.h"
#include "blobferry/track/tracker.h"

#include <stdbool.h>
#include <stddef.h>

/* Of what is only shown, more is not kept. */
#define ROW_SHOWN_MAX ((size_t)64 << 10)

/* In the order of every driver's list of columns: file_migrations, files, blobferry_records. */
enum row_column {
    M_ID,
    M_BATCH,
    M_FILE,
    M_SOURCE,
    M_KEY,
    M_ORIGINAL,
    M_MIGRATED,
    M_SIZE,
    M_STATUS,
    M_ERROR,
    M_STARTED,
    M_COMPLETED,
    M_CREATED,
    F_ID,
    F_NAME,
    F_USER,
    F_KEY,
    F_CHECKSUM,
    R_TYPE,
    R_ETAG,
    R_VERSION,
    R_OBJECT_OWNER,
    R_PRE_EXISTED,
    R_POINTER_SET,
    R_PRIOR_KEY,
    R_PRIOR_CHECKSUM,
    R_UPLOAD,
    R_PART_SIZE,
    R_ATTEMPTS,
    R_ERROR_CLASS,
    R_LEASE_OWNER,
    R_LEASE_UNTIL,
    R_OWED,
    R_DEVICE,
    R_INODE,
    R_SIZE,
    R_MTIME,
    R_CTIME,
    ROW_COLUMNS
};

/* A copy in the list's memory; NULL sets *full. */
const char *row_keep(struct record_list *out, const char *text, size_t n, bool *full);
/* "name what" as the defect, unless there is one: the first is the one that is told. */
void row_blame(struct record_list *out, const char **defect, const char *name, const char *what,
               bool *full);
/* After the row at out->items[before] was read: a second one of an id becomes the first one's defect; one for which there was no
 * room is taken back. ERR_LIMIT when not even one fits. */
enum err_code row_end(struct record_list *out, size_t before, bool *full, struct err *e);
/* The text stored as an audit head's hash; NULL: "". One that is too long stays too long. */
void row_hash(struct tracker_head *h, const char *text);

#endif
