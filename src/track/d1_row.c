/* d1_row: a row of the joined tables as a record. What cannot be used becomes the record's defect, so that one row fails and the others
 * go on; the same rules as in sqlite_row.c, over values that came as text.
 */
#include "track/d1.h"
#include "track/row.h"

#include <string.h>

static const char *const columns[ROW_COLUMNS] = {"m.id",
                                                 "m.batch_id",
                                                 "m.file_id",
                                                 "m.source_path",
                                                 "m.target_r2_key",
                                                 "m.original_checksum",
                                                 "m.migrated_checksum",
                                                 "m.file_size",
                                                 "m.status",
                                                 "m.error_message",
                                                 "m.started_at",
                                                 "m.completed_at",
                                                 "m.created_at",
                                                 "f.id",
                                                 "f.filename",
                                                 "f.user_id",
                                                 "f.r2_key",
                                                 "f.checksum",
                                                 "r.content_type",
                                                 "r.etag",
                                                 "r.version_id",
                                                 "r.object_owner",
                                                 "r.pre_existed",
                                                 "r.pointer_set",
                                                 "r.prior_r2_key",
                                                 "r.prior_checksum",
                                                 "r.upload_id",
                                                 "r.part_size",
                                                 "r.attempts",
                                                 "r.error_class",
                                                 "r.lease_owner",
                                                 "r.lease_until",
                                                 "r.delete_owed",
                                                 "r.source_device",
                                                 "r.source_inode",
                                                 "r.source_size",
                                                 "r.source_mtime_ns",
                                                 "r.source_ctime_ns"};

/* Named by number: two of one name would be one in a JSON object. */
void d1_row_columns(struct buf *b, const struct sqlite_info *info)
{
    for (int i = 0; i < ROW_COLUMNS; i++) {
        buf_str(b, i > 0 ? ", " : "");
        if (i >= R_TYPE && !info->schema.own)
            buf_str(b, "NULL");
        else
            d1_value_sql(b, columns[i], D1_VALUE_KEPT);
        buf_printf(b, " AS c%d", i);
    }
}

/* Numbers as the text that they are. */
static const char *text_of(const struct tracker_value *v, struct record_list *out, size_t *n,
                           bool *full)
{
    struct buf b;
    const char *text;

    *n = v->len;
    if (v->type == TRACKER_TEXT || v->type == TRACKER_BLOB)
        return v->bytes;
    buf_init(&b, 400);
    if (v->type == TRACKER_INTEGER)
        buf_printf(&b, "%lld", (long long)v->integer);
    else
        buf_printf(&b, "%.15g", v->real);
    *n = b.len;
    text = row_keep(out, buf_cstr(&b), b.len, full);
    buf_release(&b);
    return text;
}

const char *d1_row_text(const struct tracker_value *v, const char *name, struct record_list *out,
                        const char **defect, bool *full)
{
    size_t n;

    if (v->type == TRACKER_NULL)
        return NULL;
    if (v->type == TRACKER_BLOB) {
        row_blame(out, defect, name, "holds bytes (BLOB) where text is expected", full);
        return NULL;
    }
    const char *text = text_of(v, out, &n, full);
    if (text == NULL)
        return NULL;
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
static const char *shown(const struct tracker_value *v, struct record_list *out, bool *full)
{
    size_t n;

    if (v->type == TRACKER_NULL)
        return NULL;
    const char *text = text_of(v, out, &n, full);
    if (text == NULL)
        return NULL;
    n = strnlen(text, n);
    return row_keep(out, text, n > ROW_SHOWN_MAX ? ROW_SHOWN_MAX : n, full);
}

static int64_t size_of(const struct tracker_value *v, struct record_list *out, const char **defect,
                       bool *full)
{
    if (v->type == TRACKER_NULL)
        return -1;
    if (v->type != TRACKER_INTEGER) {
        row_blame(out, defect, "file_migrations.file_size", "is no whole number", full);
        return -1;
    }
    if (v->integer < 0) {
        row_blame(out, defect, "file_migrations.file_size", "is negative", full);
        return -1;
    }
    return v->integer;
}

static void read_contract(const struct tracker_value *v, struct record *r, struct record_list *out,
                          bool *full)
{
    const char **bad = &r->defect;
    const struct tracker_value *status = &v[M_STATUS];

    r->id = d1_row_text(&v[M_ID], "file_migrations.id", out, bad, full);
    r->batch_id = d1_row_text(&v[M_BATCH], "file_migrations.batch_id", out, bad, full);
    r->file_id = d1_row_text(&v[M_FILE], "file_migrations.file_id", out, bad, full);
    r->source_path = d1_row_text(&v[M_SOURCE], "file_migrations.source_path", out, bad, full);
    r->target_key = d1_row_text(&v[M_KEY], "file_migrations.target_r2_key", out, bad, full);
    r->original_checksum =
        d1_row_text(&v[M_ORIGINAL], "file_migrations.original_checksum", out, bad, full);
    r->migrated_checksum =
        d1_row_text(&v[M_MIGRATED], "file_migrations.migrated_checksum", out, bad, full);
    r->file_size = size_of(&v[M_SIZE], out, bad, full);
    r->status_text = shown(status, out, full);
    r->status = status->type == TRACKER_TEXT && r->status_text != NULL &&
                        strlen(r->status_text) == status->len
                    ? state_file_parse(r->status_text)
                    : FILE_UNKNOWN;
    r->error_message = shown(&v[M_ERROR], out, full);
    r->started_at = shown(&v[M_STARTED], out, full);
    r->completed_at = shown(&v[M_COMPLETED], out, full);
    r->created_at = shown(&v[M_CREATED], out, full);
    r->file_row = v[F_ID].type != TRACKER_NULL;
    r->filename = d1_row_text(&v[F_NAME], "files.filename", out, bad, full);
    r->user_id = d1_row_text(&v[F_USER], "files.user_id", out, bad, full);
    r->file_r2_key = d1_row_text(&v[F_KEY], "files.r2_key", out, bad, full);
    r->file_checksum = d1_row_text(&v[F_CHECKSUM], "files.checksum", out, bad, full);
}

static void read_own(const struct tracker_value *v, struct record *r, struct record_list *out,
                     bool *full)
{
    r->content_type = shown(&v[R_TYPE], out, full);
    r->etag = shown(&v[R_ETAG], out, full);
    r->version_id = shown(&v[R_VERSION], out, full);
    r->object_owner = shown(&v[R_OBJECT_OWNER], out, full);
    r->pre_existed = v[R_PRE_EXISTED].integer != 0;
    r->pointer_set = v[R_POINTER_SET].integer != 0;
    r->prior_r2_key = shown(&v[R_PRIOR_KEY], out, full);
    r->prior_checksum = shown(&v[R_PRIOR_CHECKSUM], out, full);
    r->upload_id = shown(&v[R_UPLOAD], out, full);
    r->part_size = v[R_PART_SIZE].integer;
    r->attempts = v[R_ATTEMPTS].integer;
    r->error_class = shown(&v[R_ERROR_CLASS], out, full);
    r->lease_owner = shown(&v[R_LEASE_OWNER], out, full);
    r->lease_until_ms = v[R_LEASE_UNTIL].integer;
    r->delete_owed = v[R_OWED].integer != 0;
    r->has_source = v[R_INODE].type != TRACKER_NULL;
    if (!r->has_source)
        return;
    r->source = (struct source_identity){
        .device = (uint64_t)v[R_DEVICE].integer,
        .inode = (uint64_t)v[R_INODE].integer,
        .size = v[R_SIZE].integer,
        .mtime_ns = v[R_MTIME].integer,
        .ctime_ns = v[R_CTIME].integer,
    };
}

/* The columns of the row from `first` on; false when memory is short or one is not as it was asked for. */
static bool read_values(const struct json *row, size_t first, struct tracker_value *v,
                        struct arena *mem)
{
    const struct json *item = json_first(row);

    while (item != NULL && first-- > 0)
        item = json_next(item);
    for (size_t i = 0; i < ROW_COLUMNS; i++, item = json_next(item)) {
        if (item == NULL || !d1_value_read(item, &v[i], mem))
            return false;
    }
    return true;
}

enum err_code d1_row_add(const struct json *row, size_t first, struct record_list *out, bool *full,
                         struct err *e)
{
    struct tracker_value v[ROW_COLUMNS];
    const size_t before = out->len;
    struct record *r = record_list_add(out);

    *full = r == NULL || !read_values(row, first, v, &out->mem);
    if (!*full) {
        read_contract(v, r, out, full);
        read_own(v, r, out, full);
    }
    return row_end(out, before, full, e);
}
