/* sqlite_lease: who holds which rows: renewing, giving back, and the multipart upload that a row has under way. */
#include "track/sqlite.h"

#include "blobferry/base/clock.h"

#include <string.h>

#define PAGE 256

enum err_code sqlite_lease_owners(struct tracker *t, const char *me, tracker_owner_fn *fn,
                                  void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    bool row = true;
    enum err_code code = sqlite_schema_need(s, e);

    if (code != ERR_OK || !s->info.schema.own)
        return code;
    sqlite3_stmt *q = sqlite_statement_query(
        s,
        "SELECT r.lease_owner, count(*), max(r.lease_until) FROM blobferry_records AS r"
        " CROSS JOIN file_migrations AS m ON m.id = r.record_id"
        " WHERE r.lease_owner IS NOT NULL AND r.lease_owner <> coalesce(?1, '')"
        " AND m.status = 'processing' COLLATE BINARY GROUP BY r.lease_owner",
        SQLITE_ARGS(SQLITE_T(me)), e);
    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        const char *owner = row ? (const char *)sqlite3_column_text(q, 0) : NULL;
        if (code == ERR_OK && owner != NULL)
            code = fn(user, owner, sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2), e);
    }
    sqlite_statement_done(q);
    return code;
}

enum err_code sqlite_lease_renew(struct tracker *t, const char *owner, int64_t until_ms,
                                 struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_statement_begin(s, e);

    if (code != ERR_OK)
        return code;
    code = sqlite_statement_run(
        s, "UPDATE blobferry_records SET lease_until = ?2 WHERE lease_owner = ?1",
        SQLITE_ARGS(SQLITE_T(owner), SQLITE_I(until_ms)), NULL, e);
    if (code == ERR_OK)
        code =
            sqlite_statement_run(s, "UPDATE blobferry_locks SET lease_until = ?2 WHERE owner = ?1",
                                 SQLITE_ARGS(SQLITE_T(owner), SQLITE_I(until_ms)), NULL, e);
    return sqlite_statement_end(s, code, e);
}

/* ---- release ---------------------------------------------------------------------------------------------- */

struct held {
    const char *id, *batch_id;
    bool processing;
};

/* A page of what owner holds; the page before has been given back already, so it is always the first. */
static enum err_code held_rows(struct sqlite *s, const char *owner, struct record_list *mem,
                               struct held *out, size_t *n, struct err *e)
{
    bool row = true, full = false;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(
        s,
        "SELECT r.record_id, m.batch_id, m.status = 'processing' FROM blobferry_records AS r"
        " LEFT JOIN file_migrations AS m ON m.id = r.record_id WHERE r.lease_owner = ?1 LIMIT ?2",
        SQLITE_ARGS(SQLITE_T(owner), SQLITE_I(PAGE)), e);

    *n = 0;
    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row && *n < PAGE) {
        const char *defect = "";
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        struct held h = {.processing = sqlite3_column_int(q, 2) != 0};
        h.id = sqlite_row_text(q, 0, "record_id", mem, &defect, &full);
        h.batch_id = sqlite_row_text(q, 1, "batch_id", mem, &defect, &full);
        if (full)
            code = err_set(e, ERR_NOMEM, "out of memory");
        else
            out[(*n)++] = h;
    }
    sqlite_statement_done(q);
    return code;
}

/* P11: an upload that is under way stays recorded, so that whoever claims the row next finds it. */
static enum err_code give_back(struct sqlite *s, const struct held *h,
                               struct sqlite_batch_changes *changes, int64_t *released,
                               struct err *e)
{
    int64_t moved = 0;
    enum err_code code =
        sqlite_statement_run(s,
                             "UPDATE blobferry_records SET lease_owner = NULL, lease_until = 0,"
                             " attempts = max(attempts - 1, 0) WHERE record_id = ?1",
                             SQLITE_ARGS(SQLITE_T(h->id)), NULL, e);

    if (code == ERR_OK && h->processing)
        code = sqlite_statement_run(s,
                                    "UPDATE file_migrations SET status = 'pending' WHERE id = ?1"
                                    " AND status = 'processing' COLLATE BINARY",
                                    SQLITE_ARGS(SQLITE_T(h->id)), &moved, e);
    if (code == ERR_OK && moved > 0)
        code = sqlite_batch_note(changes, h->batch_id, FILE_PROCESSING, FILE_PENDING, e);
    *released += moved;
    return code;
}

enum err_code sqlite_lease_release(struct tracker *t, const char *owner, int64_t *released,
                                   struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_batch_changes changes;
    struct record_list mem;
    struct held rows[PAGE];
    size_t n = 1;

    sqlite_batch_init(&changes);
    record_list_init(&mem, 0);
    enum err_code code = sqlite_statement_begin(s, e);
    const bool begun = code == ERR_OK;
    while (code == ERR_OK && n > 0) {
        record_list_reset(&mem);
        code = held_rows(s, owner, &mem, rows, &n, e);
        for (size_t i = 0; code == ERR_OK && i < n; i++)
            code = give_back(s, &rows[i], &changes, released, e);
    }
    if (code == ERR_OK)
        code = sqlite_batch_settle(s, &changes, NULL, clock_wall_ms(), e);
    if (begun)
        code = sqlite_statement_end(s, code, e);
    if (code != ERR_OK)
        *released = 0;
    record_list_release(&mem);
    sqlite_batch_release(&changes);
    return code;
}

enum err_code sqlite_lease_set_upload(struct tracker *t, const char *id, const char *owner,
                                      const char *upload_id, int64_t part_size, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    int64_t changes = 0;
    enum err_code code = sqlite_statement_begin(s, e);

    if (code != ERR_OK)
        return code;
    code = sqlite_statement_run(
        s,
        "UPDATE blobferry_records SET upload_id = ?3, part_size = ?4 WHERE record_id = ?1"
        " AND lease_owner = ?2 AND EXISTS (SELECT 1 FROM file_migrations WHERE id = ?1"
        " AND status = 'processing' COLLATE BINARY)",
        SQLITE_ARGS(SQLITE_T(id), SQLITE_T(owner), SQLITE_T(upload_id),
                    SQLITE_I(upload_id != NULL ? part_size : 0)),
        &changes, e);
    if (code == ERR_OK && changes == 0)
        code = err_set(e, ERR_CONFLICT, "row '%s' is held by another worker now", id);
    return sqlite_statement_end(s, code, e);
}
