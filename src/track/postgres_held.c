/* postgres_held: what is known of the keys in use, on this side: a private SQLite file, unlinked at once and gone with the process.
 * A plan asks once for every file; by the network that would take longer than all the rest. Constant memory, nothing written to
 * the database for it (which may be a standby).
 */
#include "track/postgres_plan.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 32

enum statement { ADD, FIND, NOTE_BATCH, HAS_BATCH, STATEMENTS };
struct postgres_held {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct postgres_held_state state;
};

/* Nothing here needs to survive anything: no journal, no fsync, one transaction for its whole life. */
static const char schema[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;"
    "PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE;"
    "CREATE TABLE held (digest PRIMARY KEY, batch TEXT) WITHOUT ROWID;"
    "CREATE TABLE made (batch TEXT PRIMARY KEY) WITHOUT ROWID;";
static const char *const texts[STATEMENTS] = {
    [ADD] = "INSERT OR IGNORE INTO held (digest, batch) VALUES (?1, ?2)",
    [FIND] = "SELECT batch FROM held WHERE digest = ?1",
    [NOTE_BATCH] = "INSERT OR IGNORE INTO made (batch) VALUES (?1)",
    [HAS_BATCH] = "SELECT batch FROM made WHERE batch = ?1",
};

static enum err_code fail(struct postgres_held *h, struct err *e)
{
    const int rc = h->db != NULL ? sqlite3_errcode(h->db) & 0xff : SQLITE_NOMEM;

    if (rc == SQLITE_NOMEM)
        return err_set(e, ERR_NOMEM, "cannot gather the keys in use: out of memory");
    err_set(e, rc == SQLITE_FULL ? ERR_FILE_SPACE : ERR_FILE,
            "cannot gather the keys in use in a temporary file: %s", sqlite3_errmsg(h->db));
    return err_hint(e, "set TMPDIR to a folder with more free space");
}

enum err_code postgres_held_open(struct postgres_held **out, struct err *e)
{
    struct postgres_held *h = calloc(1, sizeof *h);
    enum err_code code = ERR_OK;

    *out = NULL;
    if (h == NULL)
        return err_set(e, ERR_NOMEM, "cannot gather the keys in use: out of memory");
    /* An empty name: SQLite's own temporary file, unlinked as soon as it is open. */
    if (sqlite3_open_v2("", &h->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(h->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        code = fail(h, e);
    for (int i = 0; code == ERR_OK && i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(h->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &h->statements[i],
                               NULL) != SQLITE_OK)
            code = fail(h, e);
    }
    if (code != ERR_OK) {
        postgres_held_free(h);
        return code;
    }
    *out = h;
    return ERR_OK;
}

void postgres_held_free(struct postgres_held *h)
{
    if (h == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(h->statements[i]);
    sqlite3_close_v2(h->db);
    free(h);
}

struct postgres_held_state *postgres_held_state(struct postgres_held *h)
{
    return &h->state;
}

/* As bytes a digest takes half the room; anything that is none is compared as it is. */
static int bind_digest(sqlite3_stmt *q, const char *digest)
{
    unsigned char bytes[DIGEST_BYTES];
    const size_t n = strlen(digest);

    if (n == 2 * sizeof bytes && text_unhex(digest, n, bytes))
        return sqlite3_bind_blob(q, 1, bytes, (int)sizeof bytes, SQLITE_TRANSIENT);
    return sqlite3_bind_text(q, 1, digest, -1, SQLITE_STATIC);
}

/* Runs it to the end; *found (may be NULL) says whether there was a row, its text goes into `text`. */
static enum err_code step(struct postgres_held *h, enum statement which, char *text, size_t size,
                          bool *found, struct err *e)
{
    sqlite3_stmt *q = h->statements[which];
    const int rc = sqlite3_step(q);
    enum err_code code = rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_OK : fail(h, e);

    if (found != NULL)
        *found = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW && size > 0) {
        const char *value = (const char *)sqlite3_column_text(q, 0);
        str_copy(text, size, value != NULL ? value : "?");
    }
    sqlite3_reset(q);
    return code;
}

enum err_code postgres_held_add(struct postgres_held *h, const char *key_digest, const char *batch,
                                struct err *e)
{
    sqlite3_stmt *q = h->statements[ADD];

    if (bind_digest(q, key_digest) != SQLITE_OK ||
        sqlite3_bind_text(q, 2, batch, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(h, e);
    return step(h, ADD, NULL, 0, NULL, e);
}

enum err_code postgres_held_find(struct postgres_held *h, const char *key_digest, char *batch,
                                 size_t size, bool *found, struct err *e)
{
    *found = false;
    if (bind_digest(h->statements[FIND], key_digest) != SQLITE_OK)
        return fail(h, e);
    return step(h, FIND, batch, size, found, e);
}

enum err_code postgres_held_note_batch(struct postgres_held *h, const char *batch, struct err *e)
{
    if (sqlite3_bind_text(h->statements[NOTE_BATCH], 1, batch, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(h, e);
    return step(h, NOTE_BATCH, NULL, 0, NULL, e);
}

enum err_code postgres_held_has_batch(struct postgres_held *h, const char *batch, bool *found,
                                      struct err *e)
{
    *found = false;
    if (sqlite3_bind_text(h->statements[HAS_BATCH], 1, batch, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(h, e);
    return step(h, HAS_BATCH, NULL, 0, found, e);
}
