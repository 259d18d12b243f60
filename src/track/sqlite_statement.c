/* sqlite_statement: prepared statements, kept; bound values; transactions. */
#include "blobferry/base/str.h"
#include "track/sqlite.h"

#include <stdlib.h>
#include <string.h>

#define WAL_WAIT_MS 500

static void forget(struct sqlite_cached *c)
{
    sqlite3_finalize(c->statement);
    free(c->sql);
    memset(c, 0, sizeof *c);
}

void sqlite_statement_forget_all(struct sqlite *s)
{
    for (size_t i = 0; i < SQLITE_CACHED; i++)
        forget(&s->cached[i]);
}

/* The same literal is found by its address; text that was put together, by its content. Else the place of the one that was
 * not used for the longest time; never of one that is being stepped (a callback may ask for something else meanwhile). */
static struct sqlite_cached *find(struct sqlite *s, const char *sql)
{
    struct sqlite_cached *oldest = NULL;

    for (size_t i = 0; i < SQLITE_CACHED; i++) {
        struct sqlite_cached *c = &s->cached[i];
        if (c->literal == sql && c->sql != NULL && strcmp(c->sql, sql) == 0)
            return c;
        if ((oldest == NULL || c->used < oldest->used) &&
            (c->statement == NULL || !sqlite3_stmt_busy(c->statement)))
            oldest = c;
    }
    for (size_t i = 0; i < SQLITE_CACHED; i++) {
        if (s->cached[i].sql != NULL && strcmp(s->cached[i].sql, sql) == 0)
            return &s->cached[i];
    }
    return oldest;
}

static sqlite3_stmt *prepared(struct sqlite *s, const char *sql, struct err *e)
{
    struct sqlite_cached *c = find(s, sql);

    if (c == NULL) {
        err_set(e, ERR_LIMIT, "too many statements are in use at once");
        return NULL;
    }
    if (c->sql == NULL || strcmp(c->sql, sql) != 0) {
        forget(c);
        if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->statement, NULL) !=
            SQLITE_OK) {
            sqlite_error(s, e, "read or write");
            return NULL;
        }
        c->sql = str_dup(sql);
        if (c->sql == NULL) {
            forget(c);
            err_set(e, ERR_NOMEM, "out of memory");
            return NULL;
        }
    }
    c->literal = sql;
    c->used = ++s->clock;
    sqlite3_reset(c->statement);
    return c->statement;
}

sqlite3_stmt *sqlite_statement_query(struct sqlite *s, const char *sql,
                                     const struct sqlite_arg *args, size_t n, struct err *e)
{
    sqlite3_stmt *q = prepared(s, sql, e);

    if (q == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const int at = (int)i + 1;
        const int rc = !args[i].is_text ? sqlite3_bind_int64(q, at, args[i].integer)
                       : args[i].text == NULL
                           ? sqlite3_bind_null(q, at)
                           : sqlite3_bind_text64(q, at, args[i].text, strlen(args[i].text),
                                                 SQLITE_STATIC, SQLITE_UTF8);
        if (rc != SQLITE_OK) {
            sqlite_error(s, e, "bind a value");
            return NULL;
        }
    }
    return q;
}

void sqlite_statement_done(sqlite3_stmt *q)
{
    if (q != NULL)
        sqlite3_reset(q);
}

enum err_code sqlite_statement_next(struct sqlite *s, sqlite3_stmt *q, bool *row, struct err *e)
{
    const int rc = sqlite3_step(q);

    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW)
        return ERR_OK;
    enum err_code code = rc == SQLITE_DONE ? ERR_OK : sqlite_error(s, e, "read or write");
    sqlite3_reset(q);
    return code;
}

enum err_code sqlite_statement_run(struct sqlite *s, const char *sql, const struct sqlite_arg *args,
                                   size_t n, int64_t *changes, struct err *e)
{
    bool row = true;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(s, sql, args, n, e);

    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row)
        code = sqlite_statement_next(s, q, &row, e);
    if (changes != NULL)
        *changes = code == ERR_OK ? sqlite3_changes64(s->db) : 0;
    return code;
}

enum err_code sqlite_statement_number(struct sqlite *s, const char *sql,
                                      const struct sqlite_arg *args, size_t n, int64_t *out,
                                      struct err *e)
{
    bool row = false;
    sqlite3_stmt *q = sqlite_statement_query(s, sql, args, n, e);

    *out = 0;
    if (q == NULL)
        return sqlite_code(e);
    enum err_code code = sqlite_statement_next(s, q, &row, e);
    if (row)
        *out = sqlite3_column_int64(q, 0);
    sqlite_statement_done(q);
    return code;
}

/* WAL lets readers and one writer work side by side. If the file cannot be switched now (somebody reads, or its file system has
 * no shared memory), the rollback journal is as safe, only slower. */
static void try_wal(struct sqlite *s)
{
    if (s->wal_tried)
        return;
    sqlite_busy_wait(s, WAL_WAIT_MS);
    sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    sqlite_busy_wait(s, s->busy_ms);
    s->wal_tried = true;
}

enum err_code sqlite_statement_lock(struct sqlite *s, struct err *e)
{
    if (s->read_only)
        return err_set(e, ERR_DB, "database '%s' was opened for reading only", s->path);
    try_wal(s);
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "begin a transaction");
    return ERR_OK;
}

enum err_code sqlite_statement_begin(struct sqlite *s, struct err *e)
{
    enum err_code code = sqlite_schema_need(s, e);

    if (code == ERR_OK && !s->info.schema.own)
        code = sqlite_schema_prepare(&s->base, e);
    return code == ERR_OK ? sqlite_statement_lock(s, e) : code;
}

enum err_code sqlite_statement_end(struct sqlite *s, enum err_code code, struct err *e)
{
    if (code == ERR_OK && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        code = sqlite_error(s, e, "commit a transaction");
    if (sqlite3_get_autocommit(s->db) == 0) {
        /* A statement that is still in use would keep the transaction open. */
        for (size_t i = 0; i < SQLITE_CACHED; i++) {
            if (s->cached[i].statement != NULL)
                sqlite3_reset(s->cached[i].statement);
        }
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return code;
}
