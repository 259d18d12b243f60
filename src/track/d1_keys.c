/* d1_keys: who holds an object key, and which files there are. A plan asks for every row, and a request for each would take for ever:
 * they are fetched once, page by page, and kept in a private temporary database. Rows of ours carry the digest of their key; that of
 * other tools' rows is worked out. The last batch of a plan looks again.
 */
#include "track/d1.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALE_MS 60000 /* a server lives long */
#define PAGE     5000

void d1_keys_close(struct d1 *d)
{
    sqlite3_close_v2(d->keys);
    d->keys = NULL;
    d->files_known = false;
}

static enum err_code open_keys(struct d1 *d, struct err *e)
{
    d1_keys_close(d);
    /* An empty name: on disk as soon as it grows, and gone with the connection (P10). */
    if (sqlite3_open_v2("", &d->keys, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
            SQLITE_OK &&
        sqlite3_exec(d->keys,
                     "CREATE TABLE held (digest TEXT PRIMARY KEY, batch TEXT) WITHOUT ROWID;"
                     "CREATE TABLE files (id TEXT PRIMARY KEY) WITHOUT ROWID",
                     NULL, NULL, NULL) == SQLITE_OK)
        return ERR_OK;
    return err_set(e, ERR_DB, "cannot make a temporary database for the keys in use");
}

/* NFC, so that two spellings of one name are one key. */
static void digest_of(const struct tracker_value *v, char hex[DIGEST_SHA256_HEX])
{
    char *nfc = strlen(v->bytes) == v->len ? objkey_nfc(v->bytes) : NULL;

    digest_sha256_hex(nfc != NULL ? nfc : v->bytes, nfc != NULL ? strlen(nfc) : v->len, hex);
    free(nfc);
}

static enum err_code put(struct d1 *d, const char *sql, const char *one, const char *other,
                         struct err *e)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(d->keys, sql, -1, &q, NULL) == SQLITE_OK &&
              sqlite3_bind_text(q, 1, one, -1, SQLITE_STATIC) == SQLITE_OK &&
              (other == NULL || sqlite3_bind_text(q, 2, other, -1, SQLITE_STATIC) == SQLITE_OK) &&
              sqlite3_step(q) == SQLITE_DONE;

    sqlite3_finalize(q);
    return ok ? ERR_OK : err_set(e, ERR_DB, "cannot keep the keys in use");
}

enum err_code d1_keys_hold(struct d1 *d, const char *key_digest, const char *batch, struct err *e)
{
    return put(d, "INSERT OR IGNORE INTO held VALUES (?1, ?2)", key_digest, batch, e);
}

/* The row of a key: id, digest or NULL, key, batch. Of a file: id, NULL, NULL, id as text. */
static enum err_code keep_row(struct d1 *d, bool files, const struct json *row, struct arena *mem,
                              struct err *e)
{
    const struct json *item = json_next(json_next(json_first(row)));
    const char *digest = d1_row_plain(row, 1), *text = d1_row_plain(row, 3);
    struct tracker_value key;
    char hex[DIGEST_SHA256_HEX];

    arena_reset(mem);
    if (files)
        return text != NULL ? put(d, "INSERT OR IGNORE INTO files VALUES (?1)", text, NULL, e)
                            : ERR_OK;
    if (digest == NULL) {
        char *copy = d1_value_read(item, &key, mem) ? strndup(key.bytes, key.len) : NULL;
        if (copy == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        key.bytes = copy;
        digest_of(&key, hex);
        free(copy);
        digest = hex;
    }
    return d1_keys_hold(d, digest, text, e);
}

static void page_sql(const struct d1 *d, bool files, bool after, struct buf *b)
{
    const bool own = d->info.schema.own;
    const char *id = files ? "f.id" : "m.id";

    buf_str(b, "SELECT ");
    d1_value_sql(b, id, 0);
    if (files) {
        buf_str(b, " AS i, NULL AS d, NULL AS k, CAST(f.id AS TEXT) AS t FROM files AS f WHERE 1");
    } else {
        buf_printf(b, " AS i, %s AS d, CASE WHEN %s IS NULL THEN ", own ? "r.key_digest" : "NULL",
                   own ? "r.key_digest" : "NULL");
        d1_value_sql(b, "m.target_r2_key", D1_VALUE_KEPT);
        buf_printf(b,
                   " END AS k, substr(CAST(m.batch_id AS TEXT), 1, 1000) AS t"
                   " FROM file_migrations AS m%s WHERE m.target_r2_key IS NOT NULL"
                   " AND m.status IS NOT 'rolled_back' COLLATE BINARY",
                   own ? " LEFT JOIN blobferry_records AS r ON r.record_id = CAST(m.id AS TEXT)"
                       : "");
    }
    if (after) {
        buf_printf(b, " AND %s > ", id);
        d1_value_back_sql(b, "?1");
    }
    buf_printf(b, " ORDER BY %s LIMIT %d", id, PAGE);
}

/* *after: the encoded id of the last row seen, owned. */
static enum err_code gather_page(struct d1 *d, bool files, char **after, size_t *rows,
                                 struct arena *mem, struct err *e)
{
    struct d1_answer a;
    struct buf sql;
    const char *last = NULL;

    buf_init(&sql, 16384);
    page_sql(d, files, *after != NULL, &sql);
    enum err_code code =
        d1_query(d, &a, buf_cstr(&sql), (const char *const *)after, *after != NULL, e);
    *rows = 0;
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        last = d1_row_plain(r, 0);
        *rows += 1;
        code = keep_row(d, files, r, mem, e);
    }
    if (last != NULL) {
        free(*after);
        *after = str_dup(last);
    }
    d1_answer_release(&a);
    buf_release(&sql);
    return code;
}

static enum err_code gather(struct d1 *d, bool files, struct err *e)
{
    struct arena mem;
    char *after = NULL;
    size_t rows = PAGE;
    enum err_code code = sqlite3_exec(d->keys, "BEGIN", NULL, NULL, NULL) == SQLITE_OK
                             ? ERR_OK
                             : err_set(e, ERR_DB, "cannot keep the keys in use");

    arena_init(&mem, 1 << 20);
    while (code == ERR_OK && rows == PAGE) /* without `after`, the first page would come for ever */
        code = gather_page(d, files, &after, &rows, &mem, e);
    if (code == ERR_OK && sqlite3_exec(d->keys, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        code = err_set(e, ERR_DB, "cannot keep the keys in use");
    free(after);
    arena_release(&mem);
    if (code != ERR_OK)
        d1_keys_close(d);
    return code;
}

enum err_code d1_keys_gather(struct d1 *d, struct err *e)
{
    const int64_t began = clock_mono_ms();
    enum err_code code = open_keys(d, e);

    if (code == ERR_OK)
        code = gather(d, false, e);
    const int64_t took = clock_mono_ms() - began;
    /* Other tools go on making rows; looking may take at most a twentieth of the time. */
    d->keys_until_ms = clock_mono_ms() + (took * 20 > STALE_MS ? took * 20 : STALE_MS);
    return code;
}

static enum err_code fresh(struct d1 *d, struct err *e)
{
    return d->keys != NULL && clock_mono_ms() < d->keys_until_ms ? ERR_OK : d1_keys_gather(d, e);
}

bool d1_keys_held(struct d1 *d, const char *key_digest, char *batch, size_t size)
{
    sqlite3_stmt *q = NULL;
    bool held = false;

    if (d->keys != NULL && sqlite3_prepare_v2(d->keys, "SELECT batch FROM held WHERE digest = ?1",
                                              -1, &q, NULL) == SQLITE_OK) {
        sqlite3_bind_text(q, 1, key_digest, -1, SQLITE_STATIC);
        held = sqlite3_step(q) == SQLITE_ROW;
        const char *text = held ? (const char *)sqlite3_column_text(q, 0) : NULL;
        if (held)
            str_copy(batch, size, text != NULL ? text : "?");
    }
    sqlite3_finalize(q);
    return held;
}

enum err_code d1_keys_holder(struct tracker *t, const char *key_digest, char *batch, size_t size,
                             struct err *e)
{
    struct d1 *d = d1_of(t);
    enum err_code code = d1_schema_need(d, e);

    if (code == ERR_OK)
        code = fresh(d, e);
    if (code == ERR_OK)
        d1_keys_held(d, key_digest, batch, size);
    return code;
}

enum err_code d1_keys_file(struct tracker *t, const char *file_id, bool *found, struct err *e)
{
    struct d1 *d = d1_of(t);
    sqlite3_stmt *q = NULL;
    enum err_code code = d1_schema_need(d, e);

    if (code == ERR_OK)
        code = fresh(d, e);
    if (code == ERR_OK && !d->files_known)
        code = gather(d, true, e);
    if (code != ERR_OK)
        return code;
    d->files_known = true;
    if (sqlite3_prepare_v2(d->keys, "SELECT 1 FROM files WHERE id = ?1", -1, &q, NULL) == SQLITE_OK)
        sqlite3_bind_text(q, 1, file_id, -1, SQLITE_STATIC);
    *found = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return ERR_OK;
}

/* ---- shared keys --------------------------------------------------------------------------------------------- */

/* The refs go as one document; the database says which of them are shared. */
static const char shared_sql[] =
    "SELECT j.key FROM json_each(?1) AS j WHERE EXISTS (SELECT 1 FROM file_migrations AS m"
    "  WHERE m.target_r2_key = j.value ->> '$.key' AND +m.status IN ('completed', 'verified',"
    "  'processing') AND CAST(m.id AS TEXT) IS NOT j.value ->> '$.id')"
    " OR EXISTS (SELECT 1 FROM files AS f WHERE f.r2_key = j.value ->> '$.key'"
    "  AND (j.value ->> '$.file' IS NULL OR CAST(f.id AS TEXT) IS NOT j.value ->> '$.file'))";

static enum err_code shared_some(struct d1 *d, struct tracker_key_ref *refs, const char *doc,
                                 size_t n, struct err *e)
{
    struct d1_answer a;
    enum err_code code = d1_query(d, &a, shared_sql, D1_TEXTS(doc), e);

    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        const int64_t at = d1_row_number(r, 0);
        if (at >= 0 && (size_t)at < n)
            refs[at].shared = true;
    }
    d1_answer_release(&a);
    return code;
}

enum err_code d1_keys_shared(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                             struct err *e)
{
    struct d1 *d = d1_of(t);
    struct json_out o;
    struct buf doc;
    enum err_code code = d1_schema_need(d, e);

    buf_init(&doc, D1_DOC_MAX);
    for (size_t from = 0, to = 0; code == ERR_OK && from < n; from = to) {
        buf_reset(&doc);
        json_out_init(&o, &doc, 0);
        json_out_array(&o, NULL);
        for (; to < n && (to == from || doc.len < D1_DOC_MAX / 2); to++) {
            json_out_object(&o, NULL);
            json_out_string(&o, "id", refs[to].id);
            json_out_string(&o, "file", refs[to].file_id);
            json_out_string(&o, "key", d1_text_fits(refs[to].key) ? refs[to].key : NULL);
            json_out_end(&o);
        }
        json_out_end(&o);
        code = buf_ok(&doc) ? shared_some(d, refs + from, buf_cstr(&doc), to - from, e)
                            : err_set(e, ERR_LIMIT, "a key is too large for one request");
    }
    buf_release(&doc);
    return code;
}
