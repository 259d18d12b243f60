/* postgres_row: a row of the joined tables as a record. Types keep out much, but not everything: what cannot be used becomes the
 * record's defect, so that one row fails and the others go on. */
#include "track/postgres.h"
#include "track/row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A text of the application may be a gigabyte: no more is fetched than shows that it is too long. */
static void text_column(struct buf *sql, const struct postgres *p, enum postgres_name n,
                        const char *expr)
{
    const enum postgres_kind kind = postgres_column(p, n)->kind;

    if (kind == POSTGRES_TEXT || kind == POSTGRES_OTHER)
        buf_printf(sql, ", left(%s::text, %zu)", expr, POSTGRES_TEXT_MAX + 1);
    else
        buf_printf(sql, ", %s::text", expr);
}

void postgres_row_columns(struct buf *sql, const struct postgres *p)
{
    buf_str(sql, "m.id::text");
    text_column(sql, p, POSTGRES_M_BATCH, "m.batch_id");
    text_column(sql, p, POSTGRES_M_FILE, "m.file_id");
    text_column(sql, p, POSTGRES_M_SOURCE, "m.source_path");
    text_column(sql, p, POSTGRES_M_KEY, "m.target_r2_key");
    text_column(sql, p, POSTGRES_M_ORIGINAL, "m.original_checksum");
    text_column(sql, p, POSTGRES_M_MIGRATED, "m.migrated_checksum");
    buf_str(sql, ", m.file_size::text");
    text_column(sql, p, POSTGRES_M_STATUS, "m.status");
    text_column(sql, p, POSTGRES_M_ERROR, "m.error_message");
    buf_str(sql, ", ");
    postgres_type_show_time(sql, postgres_column(p, POSTGRES_M_STARTED), "m.started_at");
    buf_str(sql, ", ");
    postgres_type_show_time(sql, postgres_column(p, POSTGRES_M_COMPLETED), "m.completed_at");
    buf_str(sql, ", ");
    postgres_type_show_time(sql, postgres_column(p, POSTGRES_M_CREATED), "m.created_at");
    buf_str(sql, ", f.id IS NOT NULL");
    text_column(sql, p, POSTGRES_F_NAME, "f.filename");
    text_column(sql, p, POSTGRES_F_USER, "f.user_id");
    text_column(sql, p, POSTGRES_F_KEY, "f.r2_key");
    text_column(sql, p, POSTGRES_F_CHECKSUM, "f.checksum");
    buf_str(sql, p->info.schema.own
                     ? ", r.content_type, r.etag, r.version_id, r.object_owner, r.pre_existed,"
                       " r.pointer_set, r.prior_r2_key, r.prior_checksum, r.upload_id, r.part_size,"
                       " r.attempts, r.error_class, r.lease_owner, r.lease_until, r.delete_owed,"
                       " r.source_device, r.source_inode, r.source_size, r.source_mtime_ns,"
                       " r.source_ctime_ns"
                     : ", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
                       " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL");
}

const char *postgres_row_text(const PGresult *q, int row, int column, const char *name,
                              struct record_list *out, const char **defect, bool *full)
{
    const char *text = postgres_statement_text(q, row, column);
    const size_t n = (size_t)PQgetlength(q, row, column);

    if (text == NULL)
        return NULL;
    if (n > POSTGRES_TEXT_MAX) {
        row_blame(out, defect, name, "is longer than 64 KiB", full);
        return NULL;
    }
    return row_keep(out, text, n, full);
}

/* Text that is shown but not acted upon: kept as far as it can be, never a defect. */
static const char *shown(const PGresult *q, int row, int column, struct record_list *out,
                         bool *full)
{
    const char *text = postgres_statement_text(q, row, column);

    return text == NULL ? NULL : row_keep(out, text, strnlen(text, ROW_SHOWN_MAX), full);
}

static int64_t size_of(const PGresult *q, int row, struct record_list *out, const char **defect,
                       bool *full)
{
    const char *text = postgres_statement_text(q, row, M_SIZE);
    char *end = NULL;

    if (text == NULL)
        return -1;
    errno = 0;
    const int64_t size = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') { /* a column of type numeric, or text */
        row_blame(out, defect, "file_migrations.file_size", "is no whole number", full);
        return -1;
    }
    if (size < 0) {
        row_blame(out, defect, "file_migrations.file_size", "is negative", full);
        return -1;
    }
    return size;
}

static void read_contract(const PGresult *q, int row, struct record *r, struct record_list *out,
                          bool *full)
{
    const char **bad = &r->defect;

    r->id = postgres_row_text(q, row, M_ID, "file_migrations.id", out, bad, full);
    r->batch_id = postgres_row_text(q, row, M_BATCH, "file_migrations.batch_id", out, bad, full);
    r->file_id = postgres_row_text(q, row, M_FILE, "file_migrations.file_id", out, bad, full);
    r->source_path =
        postgres_row_text(q, row, M_SOURCE, "file_migrations.source_path", out, bad, full);
    r->target_key =
        postgres_row_text(q, row, M_KEY, "file_migrations.target_r2_key", out, bad, full);
    r->original_checksum =
        postgres_row_text(q, row, M_ORIGINAL, "file_migrations.original_checksum", out, bad, full);
    r->migrated_checksum =
        postgres_row_text(q, row, M_MIGRATED, "file_migrations.migrated_checksum", out, bad, full);
    r->file_size = size_of(q, row, out, bad, full);
    r->status_text = shown(q, row, M_STATUS, out, full);
    r->status = state_file_parse(r->status_text);
    r->error_message = shown(q, row, M_ERROR, out, full);
    r->started_at = shown(q, row, M_STARTED, out, full);
    r->completed_at = shown(q, row, M_COMPLETED, out, full);
    r->created_at = shown(q, row, M_CREATED, out, full);
    r->file_row = postgres_statement_truth(q, row, F_ID);
    r->filename = postgres_row_text(q, row, F_NAME, "files.filename", out, bad, full);
    r->user_id = postgres_row_text(q, row, F_USER, "files.user_id", out, bad, full);
    r->file_r2_key = postgres_row_text(q, row, F_KEY, "files.r2_key", out, bad, full);
    r->file_checksum = postgres_row_text(q, row, F_CHECKSUM, "files.checksum", out, bad, full);
}

static void read_own(const PGresult *q, int row, struct record *r, struct record_list *out,
                     bool *full)
{
    r->content_type = shown(q, row, R_TYPE, out, full);
    r->etag = shown(q, row, R_ETAG, out, full);
    r->version_id = shown(q, row, R_VERSION, out, full);
    r->object_owner = shown(q, row, R_OBJECT_OWNER, out, full);
    r->pre_existed = postgres_statement_truth(q, row, R_PRE_EXISTED);
    r->pointer_set = postgres_statement_truth(q, row, R_POINTER_SET);
    r->prior_r2_key = shown(q, row, R_PRIOR_KEY, out, full);
    r->prior_checksum = shown(q, row, R_PRIOR_CHECKSUM, out, full);
    r->upload_id = shown(q, row, R_UPLOAD, out, full);
    r->part_size = postgres_statement_integer(q, row, R_PART_SIZE);
    r->attempts = postgres_statement_integer(q, row, R_ATTEMPTS);
    r->error_class = shown(q, row, R_ERROR_CLASS, out, full);
    r->lease_owner = shown(q, row, R_LEASE_OWNER, out, full);
    r->lease_until_ms = postgres_statement_integer(q, row, R_LEASE_UNTIL);
    r->delete_owed = postgres_statement_truth(q, row, R_OWED);
    r->has_source = postgres_statement_text(q, row, R_INODE) != NULL;
    if (!r->has_source)
        return;
    r->source = (struct source_identity){
        .device = (uint64_t)postgres_statement_integer(q, row, R_DEVICE),
        .inode = (uint64_t)postgres_statement_integer(q, row, R_INODE),
        .size = postgres_statement_integer(q, row, R_SIZE),
        .mtime_ns = postgres_statement_integer(q, row, R_MTIME),
        .ctime_ns = postgres_statement_integer(q, row, R_CTIME),
    };
}

enum err_code postgres_row_add(const PGresult *q, int row, struct record_list *out, bool *full,
                               struct err *e)
{
    const size_t before = out->len;
    struct record *r = record_list_add(out);

    *full = r == NULL;
    if (r != NULL) {
        read_contract(q, row, r, out, full);
        read_own(q, row, r, out, full);
    }
    return row_end(out, before, full, e);
}
