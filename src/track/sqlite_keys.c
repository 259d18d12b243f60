/* sqlite_keys: who holds an object key. Rows of ours carry the digest of their key; for rows that another tool made it is worked
 * out once, into a temporary table of this connection, so that nothing is written to the database for it.
 */
#include "track/sqlite.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define STALE_MS 60000 /* a server lives long, and other tools go on making rows */

static enum err_code execute(struct sqlite *s, const char *sql, struct err *e)
{
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "gather the keys in use");
    return ERR_OK;
}

enum err_code sqlite_keys_gather(struct sqlite *s, struct err *e)
{
    static const char fill[] =
        "INSERT OR IGNORE INTO temp.blobferry_foreign (key_digest, batch_id)"
        " SELECT blobferry_key_digest(m.target_r2_key), CAST(m.batch_id AS TEXT)"
        " FROM main.file_migrations AS m";
    static const char live[] =
        " WHERE m.target_r2_key IS NOT NULL AND m.status IS NOT 'rolled_back' COLLATE BINARY";
    struct buf sql;
    int64_t query_only = 0;

    /* query_only would forbid writing even temporary tables. */
    enum err_code code =
        sqlite_statement_number(s, "PRAGMA query_only", SQLITE_NONE, &query_only, e);
    if (code == ERR_OK && query_only != 0)
        code = execute(s, "PRAGMA query_only = OFF", e);
    if (code != ERR_OK)
        return code;
    buf_init(&sql, 4096);
    buf_printf(&sql, "%s%s%s%s", fill,
               s->info.schema.own ? " LEFT JOIN main.blobferry_records AS r"
                                    " ON r.record_id = CAST(m.id AS TEXT)"
                                  : "",
               live, s->info.schema.own ? " AND r.key_digest IS NULL" : "");
    code = execute(s,
                   "DROP TABLE IF EXISTS temp.blobferry_foreign;"
                   "CREATE TABLE temp.blobferry_foreign (key_digest TEXT PRIMARY KEY NOT NULL,"
                   " batch_id TEXT) WITHOUT ROWID",
                   e);
    if (code == ERR_OK)
        code = buf_ok(&sql) ? execute(s, sql.data, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (query_only != 0 && execute(s, "PRAGMA query_only = ON", NULL) != ERR_OK && code == ERR_OK)
        code = sqlite_error(s, e, "gather the keys in use");
    s->foreign_rows_ms = code == ERR_OK ? clock_mono_ms() : 0;
    buf_release(&sql);
    return code;
}

static enum err_code first_text(struct sqlite *s, const char *sql, const char *value, char *out,
                                size_t size, bool *found, struct err *e)
{
    sqlite3_stmt *q = sqlite_statement_query(s, sql, SQLITE_ARGS(SQLITE_T(value)), e);

    if (q == NULL)
        return sqlite_code(e);
    enum err_code code = sqlite_statement_next(s, q, found, e);
    if (*found) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        str_copy(out, size, text != NULL ? text : "?");
    }
    sqlite_statement_done(q);
    return code;
}

enum err_code sqlite_keys_lookup(struct sqlite *s, const char *key_digest, char *batch, size_t size,
                                 bool *held, struct err *e)
{
    enum err_code code = ERR_OK;

    *held = false;
    if (s->info.schema.own)
        code = first_text(s,
                          "SELECT m.batch_id FROM blobferry_records AS r"
                          " CROSS JOIN file_migrations AS m ON m.id = r.record_id"
                          " WHERE r.key_digest = ?1"
                          " AND m.status IS NOT 'rolled_back' COLLATE BINARY LIMIT 1",
                          key_digest, batch, size, held, e);
    if (code == ERR_OK && !*held)
        code = first_text(s, "SELECT batch_id FROM temp.blobferry_foreign WHERE key_digest = ?1",
                          key_digest, batch, size, held, e);
    return code;
}

enum err_code sqlite_keys_holder(struct tracker *t, const char *key_digest, char *batch,
                                 size_t size, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    bool held = false;
    enum err_code code = sqlite_schema_need(s, e);

    if (code == ERR_OK &&
        (s->foreign_rows_ms == 0 || clock_mono_ms() - s->foreign_rows_ms > STALE_MS))
        code = sqlite_keys_gather(s, e);
    return code == ERR_OK ? sqlite_keys_lookup(s, key_digest, batch, size, &held, e) : code;
}

/* ---- shared keys --------------------------------------------------------------------------------------------- */

/* The refs that have a key, in its order. */
struct sorted {
    struct tracker_key_ref *ref;
};

static int by_key(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    return strcmp(x->ref->key, y->ref->key);
}

/* Marks every ref with this key whose own id (of the kind that `mine` says) is another. */
static void mark(const struct sorted *refs, size_t n, const char *key, const char *id, bool files)
{
    size_t low = 0, high = n;

    while (low < high) { /* the first one not below key */
        const size_t middle = low + (high - low) / 2;
        if (strcmp(refs[middle].ref->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < n && strcmp(refs[low].ref->key, key) == 0; low++) {
        const char *own = files ? refs[low].ref->file_id : refs[low].ref->id;
        if (own == NULL || id == NULL || strcmp(own, id) != 0)
            refs[low].ref->shared = true;
    }
}

/* One statement for all of the keys: by the index on the key where there is one (never by that on the status, hence the
 * unary plus), else one scan. */
static enum err_code search(struct sqlite *s, const char *sql_before, const char *sql_after,
                            const struct sorted *refs, size_t n, bool files, struct err *e)
{
    struct sqlite_select select;
    bool row = true;
    enum err_code code = ERR_OK;

    sqlite_select_init(&select);
    buf_str(&select.sql, sql_before);
    /* Few shapes, so that the statement is found again: the last key fills up. */
    const size_t shape = n <= 10 ? 10 : n <= 100 ? 100 : 1000;
    for (size_t i = 0; i < shape; i++) {
        buf_str(&select.sql, i == 0 ? "" : ",");
        sqlite_select_bind(&select, (struct sqlite_arg)SQLITE_T(refs[i < n ? i : n - 1].ref->key));
    }
    buf_str(&select.sql, sql_after);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        const char *id = (const char *)sqlite3_column_text(q, 0);
        const char *key = (const char *)sqlite3_column_text(q, 1);
        if (key != NULL)
            mark(refs, n, key, id, files);
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

enum err_code sqlite_keys_shared(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                 struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    size_t used = 0;
    enum err_code code = sqlite_schema_need(s, e);

    if (code != ERR_OK)
        return code;
    struct sorted *sorted = calloc(n, sizeof *sorted);
    if (sorted == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (refs[i].key != NULL)
            sorted[used++].ref = &refs[i];
    }
    qsort(sorted, used, sizeof *sorted, by_key);
    if (used > 0)
        code = search(s, "SELECT id, target_r2_key FROM file_migrations WHERE target_r2_key IN (",
                      ") AND +status IN ('completed', 'verified', 'processing')", sorted, used,
                      false, e);
    if (used > 0 && code == ERR_OK)
        code =
            search(s, "SELECT id, r2_key FROM files WHERE r2_key IN (", ")", sorted, used, true, e);
    free(sorted);
    return code;
}
