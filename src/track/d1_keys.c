/* d1_keys: who holds an object key. Rows of ours carry the digest of their key; those of other tools are fetched once, page by page, and
 * kept in a private temporary database; for a plan, those of ours as well.
 */
#include "track/d1.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALE_MS 60000 /* a server lives long, and other tools go on making rows */

void d1_keys_close(struct d1 *d)
{
    sqlite3_close_v2(d->keys);
    d->keys = NULL;
}

static enum err_code open_keys(struct d1 *d, struct err *e)
{
    d1_keys_close(d);
    /* An empty name: on disk as soon as it grows, and gone with the connection (P10). */
    if (sqlite3_open_v2("", &d->keys, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
            SQLITE_OK &&
        sqlite3_exec(d->keys,
                     "CREATE TABLE held (digest TEXT PRIMARY KEY, batch TEXT) WITHOUT ROWID; BEGIN",
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

enum err_code d1_keys_hold(struct d1 *d, const char *key_digest, const char *batch, struct err *e)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(d->keys, "INSERT OR IGNORE INTO held VALUES (?1, ?2)", -1, &q,
                                 NULL) == SQLITE_OK &&
              sqlite3_bind_text(q, 1, key_digest, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(q, 2, batch, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(q) == SQLITE_DONE;

    sqlite3_finalize(q);
    return ok ? ERR_OK : err_set(e, ERR_DB, "cannot keep the keys in use");
}

/* The row: number, digest or NULL, key, batch. */
static enum err_code keep_key(struct d1 *d, const struct json *row, struct arena *mem,
                              struct err *e)
{
    const struct json *item = json_next(json_next(json_first(row)));
    const char *digest = d1_row_plain(row, 1), *batch = d1_row_plain(row, 3);
    struct tracker_value key;
    char hex[DIGEST_SHA256_HEX];

    arena_reset(mem);
    if (digest == NULL) {
        char *text = d1_value_read(item, &key, mem) ? strndup(key.bytes, key.len) : NULL;
        if (text == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        key.bytes = text;
        digest_of(&key, hex);
        free(text);
        digest = hex;
    }
    return d1_keys_hold(d, digest, batch, e);
}

/* One page by rowid; the last rowid seen into *after. */
static enum err_code gather_page(struct d1 *d, bool all, int64_t *after, size_t *rows,
                                 struct arena *mem, struct err *e)
{
    const bool own = d->info.schema.own;
    struct d1_answer a;
    struct buf sql;

    buf_init(&sql, 16384);
    buf_printf(&sql, "SELECT m.rowid, %s AS digest, CASE WHEN %s IS NULL THEN ",
               own ? "r.key_digest" : "NULL", own ? "r.key_digest" : "NULL");
    d1_value_sql(&sql, "m.target_r2_key", D1_VALUE_KEPT);
    buf_printf(&sql,
               " END AS k, substr(CAST(m.batch_id AS TEXT), 1, 1000) AS b"
               " FROM file_migrations AS m%s WHERE m.rowid > %lld AND m.target_r2_key IS NOT NULL"
               " AND m.status IS NOT 'rolled_back' COLLATE BINARY%s ORDER BY m.rowid LIMIT %d",
               own ? " LEFT JOIN blobferry_records AS r ON r.record_id = CAST(m.id AS TEXT)" : "",
               (long long)*after, own && !all ? " AND r.key_digest IS NULL" : "", D1_PAGE_ROWS);
    enum err_code code = d1_query(d, &a, buf_cstr(&sql), D1_NONE, e);
    *rows = 0;
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        *after = d1_row_number(r, 0);
        *rows += 1;
        code = keep_key(d, r, mem, e);
    }
    d1_answer_release(&a);
    buf_release(&sql);
    return code;
}

enum err_code d1_keys_gather(struct d1 *d, bool all, struct err *e)
{
    struct arena mem;
    int64_t after = INT64_MIN / 2;
    size_t rows = D1_PAGE_ROWS;
    enum err_code code = open_keys(d, e);

    arena_init(&mem, 1 << 20);
    while (code == ERR_OK && rows == D1_PAGE_ROWS)
        code = gather_page(d, all, &after, &rows, &mem, e);
    if (code == ERR_OK && sqlite3_exec(d->keys, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        code = err_set(e, ERR_DB, "cannot keep the keys in use");
    d->keys_ms = clock_mono_ms();
    if (code != ERR_OK)
        d1_keys_close(d);
    arena_release(&mem);
    return code;
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
    struct d1_answer a = {0};
    enum err_code code = d1_schema_need(d, e);

    if (code == ERR_OK && d->info.schema.own)
        code = d1_query(d, &a,
                        "SELECT CAST(m.batch_id AS TEXT) FROM blobferry_records AS r"
                        " JOIN file_migrations AS m ON m.id = r.record_id WHERE r.key_digest = ?1"
                        " AND m.status IS NOT 'rolled_back' COLLATE BINARY LIMIT 1",
                        D1_TEXTS(key_digest), e);
    const struct json *row = d1_answer_rows(&a, 0);
    if (code == ERR_OK && row != NULL) {
        const char *text = d1_row_plain(row, 0);
        str_copy(batch, size, text != NULL ? text : "?");
    } else if (code == ERR_OK) {
        if (d->keys == NULL || clock_mono_ms() - d->keys_ms > STALE_MS)
            code = d1_keys_gather(d, false, e);
        if (code == ERR_OK)
            d1_keys_held(d, key_digest, batch, size);
    }
    d1_answer_release(&a);
    return code;
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
