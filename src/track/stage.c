/* stage: a private SQLite file, unlinked as soon as it is open: the kernel frees it with the process, however that ends. */
#include "blobferry/track/stage.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGEST_BYTES 32

enum statement { ADD, BY_KEY, BY_FILE, ALL, STATEMENTS };

struct stage {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    int64_t rows;
    bool ended; /* until the next rewind */
};

/* Nothing here needs to survive anything: no journal, no fsync, one transaction for the life of the stage. */
static const char schema[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;"
    "BEGIN EXCLUSIVE;"
    "CREATE TABLE staged (seq INTEGER PRIMARY KEY, id TEXT, batch_id TEXT, file_id TEXT,"
    " source_path TEXT, target_key TEXT, key_digest TEXT, checksum TEXT, size INTEGER,"
    " filename TEXT, user_id TEXT, content_type TEXT, make_file_row INTEGER, digest BLOB);"
    "CREATE INDEX staged_digest ON staged (digest);"
    "CREATE INDEX staged_file ON staged (file_id) WHERE file_id IS NOT NULL;";

static const char add_sql[] =
    "INSERT INTO staged (id, batch_id, file_id, source_path, target_key, key_digest, checksum,"
    " filename, user_id, content_type, size, make_file_row, digest)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
static const char all_sql[] =
    "SELECT id, batch_id, file_id, source_path, target_key, key_digest, checksum, filename,"
    " user_id, content_type, size, make_file_row FROM staged ORDER BY seq";

static const char *const sql[STATEMENTS] = {
    [ADD] = add_sql,
    [BY_KEY] = "SELECT source_path, target_key FROM staged WHERE digest = ?1",
    [BY_FILE] = "SELECT source_path FROM staged WHERE file_id = ?1",
    [ALL] = all_sql,
};

static enum err_code fail(struct stage *s, struct err *e)
{
    const int rc = s->db != NULL ? sqlite3_errcode(s->db) & 0xff : SQLITE_NOMEM;

    if (rc == SQLITE_NOMEM)
        return err_set(e, ERR_NOMEM, "cannot gather the plan: out of memory");
    if (rc == SQLITE_FULL || rc == SQLITE_IOERR) {
        err_set(e, ERR_FILE_SPACE, "cannot gather the plan in a temporary file: %s",
                sqlite3_errmsg(s->db));
        return err_hint(e, "set TMPDIR to a folder with more free space");
    }
    return err_set(e, ERR_GENERAL, "cannot gather the plan in a temporary file: %s",
                   sqlite3_errmsg(s->db));
}

static enum err_code open_unlinked(struct stage *s, const char *dir, struct err *e)
{
    char path[4096];

    if (dir == NULL)
        dir = getenv("TMPDIR");
    if (dir == NULL || *dir == '\0')
        dir = "/tmp";
    const int n =
        snprintf(path, sizeof path, "%s%s/blobferry-plan-XXXXXX", *dir == '/' ? "" : "./", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_FILE, "the name of the temporary folder is too long");
    const int fd = mkstemp(path);
    if (fd < 0) {
        err_set_errno(e, ERR_FILE, errno, "cannot make a temporary file in '%s'", dir);
        return err_hint(e, "set TMPDIR to a folder that may be written");
    }
    close(fd);
    const int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum err_code code = ERR_OK;
    if (rc != SQLITE_OK || sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        code = fail(s, e);
    unlink(path);
    return code;
}

enum err_code stage_open(struct stage **out, const char *temporary_dir, struct err *e)
{
    struct stage *s = calloc(1, sizeof *s);

    *out = NULL;
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "cannot gather the plan: out of memory");
    enum err_code code = open_unlinked(s, temporary_dir, e);
    for (int i = 0; code == ERR_OK && i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                               NULL) != SQLITE_OK)
            code = fail(s, e);
    }
    if (code != ERR_OK) {
        stage_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void stage_close(struct stage *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close_v2(s->db);
    free(s);
}

/* The key's digest as bytes takes half the room; anything that is no digest is compared as it is. */
static void bind_digest(sqlite3_stmt *q, int at, const char *digest)
{
    unsigned char bytes[DIGEST_BYTES];
    const size_t n = strlen(digest);

    if (n == 2 * sizeof bytes && text_unhex(digest, n, bytes))
        sqlite3_bind_blob(q, at, bytes, (int)sizeof bytes, SQLITE_TRANSIENT);
    else
        sqlite3_bind_text(q, at, digest, -1, SQLITE_STATIC);
}

/* What a lookup found: *found, and the source of the row that is there. */
static enum err_code lookup(struct stage *s, sqlite3_stmt *q, bool *found, char *other,
                            size_t other_size, struct err *e)
{
    const int rc = sqlite3_step(q);

    *found = rc == SQLITE_ROW;
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? ERR_OK : fail(s, e);
    const char *source = (const char *)sqlite3_column_text(q, 0);
    if (other != NULL && other_size > 0)
        str_copy(other, other_size, source != NULL ? source : "");
    return ERR_OK;
}

static enum err_code find_twin(struct stage *s, const struct tracker_plan_row *row,
                               enum stage_verdict *verdict, char *other, size_t other_size,
                               struct err *e)
{
    sqlite3_stmt *key = s->statements[BY_KEY], *file = s->statements[BY_FILE];
    bool found = false;

    bind_digest(key, 1, row->key_digest);
    enum err_code code = lookup(s, key, &found, other, other_size, e);
    if (found) {
        const char *there = (const char *)sqlite3_column_text(key, 1);
        *verdict = str_eq(there, row->target_key) ? STAGE_SAME_KEY : STAGE_COLLIDING_KEY;
    }
    sqlite3_reset(key);
    if (code != ERR_OK || found || row->file_id == NULL)
        return code;
    sqlite3_bind_text(file, 1, row->file_id, -1, SQLITE_STATIC);
    code = lookup(s, file, &found, other, other_size, e);
    if (found)
        *verdict = STAGE_SAME_FILE;
    sqlite3_reset(file);
    return code;
}

enum err_code stage_add(struct stage *s, const struct tracker_plan_row *row,
                        enum stage_verdict *verdict, char *other, size_t other_size, struct err *e)
{
    sqlite3_stmt *add = s->statements[ADD];
    const char *const texts[] = {row->id,         row->batch_id,    row->file_id,  row->source_path,
                                 row->target_key, row->key_digest,  row->checksum, row->filename,
                                 row->user_id,    row->content_type};
    const int n = (int)(sizeof texts / sizeof *texts);

    *verdict = STAGE_ADDED;
    if (other != NULL && other_size > 0)
        other[0] = '\0';
    if (row->key_digest == NULL)
        return err_set(e, ERR_GENERAL, "a planned row lacks its key digest");
    enum err_code code = find_twin(s, row, verdict, other, other_size, e);
    if (code != ERR_OK || *verdict != STAGE_ADDED)
        return code;
    for (int i = 0; i < n; i++)
        sqlite3_bind_text(add, i + 1, texts[i], -1, SQLITE_STATIC); /* NULL binds NULL */
    sqlite3_bind_int64(add, n + 1, row->size);
    sqlite3_bind_int(add, n + 2, row->make_file_row);
    bind_digest(add, n + 3, row->key_digest);
    if (sqlite3_step(add) != SQLITE_DONE)
        code = fail(s, e);
    sqlite3_reset(add);
    s->rows += code == ERR_OK;
    return code;
}

int64_t stage_rows(const struct stage *s)
{
    return s->rows;
}

enum err_code stage_rewind(struct stage *s, struct err *e)
{
    s->ended = false;
    return sqlite3_reset(s->statements[ALL]) == SQLITE_OK ? ERR_OK : fail(s, e);
}

enum err_code stage_next(struct stage *s, struct tracker_plan_row *row, bool *more, struct err *e)
{
    sqlite3_stmt *q = s->statements[ALL];
    const int rc = s->ended ? SQLITE_DONE : sqlite3_step(q);
    const char **const texts[] = {
        &row->id,         &row->batch_id, &row->file_id,  &row->source_path, &row->target_key,
        &row->key_digest, &row->checksum, &row->filename, &row->user_id,     &row->content_type};
    const int n = (int)(sizeof texts / sizeof *texts);

    *more = rc == SQLITE_ROW;
    if (rc == SQLITE_DONE)
        sqlite3_reset(q);
    s->ended = rc == SQLITE_DONE;
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? ERR_OK : fail(s, e);
    for (int i = 0; i < n; i++) {
        *texts[i] = (const char *)sqlite3_column_text(q, i);
        if (*texts[i] == NULL && sqlite3_column_type(q, i) != SQLITE_NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    row->size = sqlite3_column_int64(q, n);
    row->make_file_row = sqlite3_column_int(q, n + 1) != 0;
    row->refused = NULL;
    return ERR_OK;
}
