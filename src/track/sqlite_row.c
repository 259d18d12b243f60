/* sqlite_row: a row of the joined tables as a record. The application may have stored anything anywhere: what cannot be used
 * becomes the record's defect, so that one row fails and the others go on. */
#include "track/row.h"
#include "track/sqlite.h"

#include <string.h>

#define CONTRACT_COLUMNS                                                                           \
    "m.id, m.batch_id, m.file_id, m.source_path, m.target_r2_key, m.original_checksum,"            \
    " m.migrated_checksum, m.file_size, m.status, m.error_message, m.started_at, m.completed_at,"  \
    " m.created_at, f.id, f.filename, f.user_id, f.r2_key, f.checksum"

const char *sqlite_row_columns(const struct sqlite_info *info)
{
    return info->schema.own ? CONTRACT_COLUMNS
               ", r.content_type, r.etag, r.version_id, r.object_owner, r.pre_existed,"
               " r.pointer_set, r.prior_r2_key, r.prior_checksum, r.upload_id, r.part_size,"
               " r.attempts, r.error_class, r.lease_owner, r.lease_until, r.delete_owed,"
               " r.source_device, r.source_inode, r.source_size, r.source_mtime_ns,"
               " r.source_ctime_ns"
                            : CONTRACT_COLUMNS
               ", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
               " NULL, NULL, NULL, NULL, NULL, NULL, NULL";
}

const char *sqlite_row_text(sqlite3_stmt *q, int column, const char *name, struct record_list *out,
                            const char **defect, bool *full)
{
    const int type = sqlite3_column_type(q, column);

    if (type == SQLITE_NULL)
        return NULL;
    if (type == SQLITE_BLOB) {
        row_blame(out, defect, name, "holds bytes (BLOB) where text is expected", full);
        return NULL;
    }
    const char *text = (const char *)sqlite3_column_text(q, column);
    const size_t n = (size_t)sqlite3_column_bytes(q, column);
    if (text == NULL) { /* out of memory */
        *full = true;
        return NULL;
    }
    if (memchr(text, 0, n) != NULL) {
        row_blame(out, defect, name, "holds a NUL byte", full);
        return NULL;
    }
    if (n > SQLITE_TEXT_MAX) {
        row_blame(out, defect, name, "is longer than 64 KiB", full);
        return NULL;
    }
    return row_keep(out, text, n, full);
}

/* Text that is shown but not acted upon: kept as far as it can be, never a defect. */
static const char *shown(sqlite3_stmt *q, int column, struct record_list *out, bool *full)
{
    if (sqlite3_column_type(q, column) == SQLITE_NULL)
        return NULL;
    const char *text = (const char *)sqlite3_column_text(q, column);
    if (text == NULL)
        return sqlite3_column_type(q, column) == SQLITE_BLOB ? row_keep(out, "", 0, full) : NULL;
    return row_keep(out, text, strnlen(text, ROW_SHOWN_MAX), full);
}

static int64_t size_of(sqlite3_stmt *q, struct record_list *out, const char **defect, bool *full)
{
    const int type = sqlite3_column_type(q, M_SIZE);

    if (type == SQLITE_NULL)
        return -1;
    if (type != SQLITE_INTEGER) {
        row_blame(out, defect, "file_migrations.file_size", "is no whole number", full);
        return -1;
    }
    const int64_t size = sqlite3_column_int64(q, M_SIZE);
    if (size < 0) {
        row_blame(out, defect, "file_migrations.file_size", "is negative", full);
        return -1;
    }
    return size;
}

static void read_contract(sqlite3_stmt *q, struct record *r, struct record_list *out, bool *full)
{
    const char **bad = &r->defect;

    r->id = sqlite_row_text(q, M_ID, "file_migrations.id", out, bad, full);
    r->batch_id = sqlite_row_text(q, M_BATCH, "file_migrations.batch_id", out, bad, full);
    r->file_id = sqlite_row_text(q, M_FILE, "file_migrations.file_id", out, bad, full);
    r->source_path = sqlite_row_text(q, M_SOURCE, "file_migrations.source_path", out, bad, full);
    r->target_key = sqlite_row_text(q, M_KEY, "file_migrations.target_r2_key", out, bad, full);
    r->original_checksum =
        sqlite_row_text(q, M_ORIGINAL, "file_migrations.original_checksum", out, bad, full);
    r->migrated_checksum =
        sqlite_row_text(q, M_MIGRATED, "file_migrations.migrated_checksum", out, bad, full);
    r->file_size = size_of(q, out, bad, full);
    const bool text = sqlite3_column_type(q, M_STATUS) == SQLITE_TEXT; /* before it is converted */
    r->status_text = shown(q, M_STATUS, out, full);
    r->status = text && r->status_text != NULL &&
                        strlen(r->status_text) == (size_t)sqlite3_column_bytes(q, M_STATUS)
                    ? state_file_parse(r->status_text)
                    : FILE_UNKNOWN;
    r->error_message = shown(q, M_ERROR, out, full);
    r->started_at = shown(q, M_STARTED, out, full);
    r->completed_at = shown(q, M_COMPLETED, out, full);
    r->created_at = shown(q, M_CREATED, out, full);
    r->file_row = sqlite3_column_type(q, F_ID) != SQLITE_NULL;
    r->filename = sqlite_row_text(q, F_NAME, "files.filename", out, bad, full);
    r->user_id = sqlite_row_text(q, F_USER, "files.user_id", out, bad, full);
    r->file_r2_key = sqlite_row_text(q, F_KEY, "files.r2_key", out, bad, full);
    r->file_checksum = sqlite_row_text(q, F_CHECKSUM, "files.checksum", out, bad, full);
}

static void read_own(sqlite3_stmt *q, struct record *r, struct record_list *out, bool *full)
{
    r->content_type = shown(q, R_TYPE, out, full);
    r->etag = shown(q, R_ETAG, out, full);
    r->version_id = shown(q, R_VERSION, out, full);
    r->object_owner = shown(q, R_OBJECT_OWNER, out, full);
    r->pre_existed = sqlite3_column_int(q, R_PRE_EXISTED) != 0;
    r->pointer_set = sqlite3_column_int(q, R_POINTER_SET) != 0;
    r->prior_r2_key = shown(q, R_PRIOR_KEY, out, full);
    r->prior_checksum = shown(q, R_PRIOR_CHECKSUM, out, full);
    r->upload_id = shown(q, R_UPLOAD, out, full);
    r->part_size = sqlite3_column_int64(q, R_PART_SIZE);
    r->attempts = sqlite3_column_int64(q, R_ATTEMPTS);
    r->error_class = shown(q, R_ERROR_CLASS, out, full);
    r->lease_owner = shown(q, R_LEASE_OWNER, out, full);
    r->lease_until_ms = sqlite3_column_int64(q, R_LEASE_UNTIL);
    r->delete_owed = sqlite3_column_int(q, R_OWED) != 0;
    r->has_source = sqlite3_column_type(q, R_INODE) != SQLITE_NULL;
    if (!r->has_source)
        return;
    r->source = (struct source_identity){
        .device = (uint64_t)sqlite3_column_int64(q, R_DEVICE),
        .inode = (uint64_t)sqlite3_column_int64(q, R_INODE),
        .size = sqlite3_column_int64(q, R_SIZE),
        .mtime_ns = sqlite3_column_int64(q, R_MTIME),
        .ctime_ns = sqlite3_column_int64(q, R_CTIME),
    };
}

enum err_code sqlite_row_add(sqlite3_stmt *q, struct record_list *out, bool *full, struct err *e)
{
    const size_t before = out->len;
    struct record *r = record_list_add(out);

    *full = r == NULL;
    if (r != NULL) {
        read_contract(q, r, out, full);
        read_own(q, r, out, full);
    }
    return row_end(out, before, full, e);
}

enum err_code sqlite_row_add_unreadable(struct sqlite *s, const char *id, struct record_list *out,
                                        struct err *e)
{
    bool row = false, full = false;
    struct record *r = record_list_add(out);
    sqlite3_stmt *q;

    if (r == NULL)
        return err_set(e, ERR_LIMIT, "a page of rows is full");
    r->id = row_keep(out, id, strlen(id), &full);
    r->status = FILE_UNKNOWN;
    row_blame(out, &r->defect, "a column of this row", "holds a value larger than 64 MiB", &full);
    q = sqlite_statement_query(s, "SELECT batch_id, status FROM file_migrations WHERE id = ?1",
                               SQLITE_ARGS(SQLITE_T(id)), e);
    if (q == NULL)
        return sqlite_code(e);
    if (sqlite_statement_next(s, q, &row, NULL) == ERR_OK && row) {
        r->batch_id = sqlite_row_text(q, 0, "batch_id", out, &r->defect, &full);
        r->status_text = shown(q, 1, out, &full);
        r->status = state_file_parse(r->status_text);
    }
    sqlite_statement_done(q);
    return full ? err_set(e, ERR_LIMIT, "a page of rows is full") : ERR_OK;
}
