/* sqlite_run: runs, and the head of the audit chain that every state change carries. */
#include "track/row.h"
#include "track/sqlite.h"

/* Several processes share one audit file: the head never goes back. */
enum err_code sqlite_run_put_head(struct sqlite *s, const struct tracker_head *h, struct err *e)
{
    if (h == NULL)
        return ERR_OK;
    return sqlite_statement_run(
        s,
        "INSERT INTO blobferry_heads (log_id, run_id, seq, hash) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (log_id) DO UPDATE SET run_id = ?2, seq = ?3, hash = ?4 WHERE ?3 > seq",
        SQLITE_ARGS(SQLITE_T(h->log_id), SQLITE_T(h->run_id), SQLITE_I(h->seq), SQLITE_T(h->hash)),
        NULL, e);
}

enum err_code sqlite_run_set_head(struct tracker *t, const struct tracker_head *h, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_statement_begin(s, e);

    return code == ERR_OK ? sqlite_statement_end(s, sqlite_run_put_head(s, h, e), e) : code;
}

enum err_code sqlite_run_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    bool row = true;
    enum err_code code = sqlite_schema_look(s, e);

    if (code != ERR_OK || !s->info.schema.own)
        return code;
    sqlite3_stmt *q = sqlite_statement_query(
        s, "SELECT log_id, run_id, seq, hash FROM blobferry_heads ORDER BY log_id", SQLITE_NONE, e);
    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        struct tracker_head h = {
            .log_id = (const char *)sqlite3_column_text(q, 0),
            .run_id = (const char *)sqlite3_column_text(q, 1),
            .seq = sqlite3_column_int64(q, 2),
        };
        row_hash(&h, (const char *)sqlite3_column_text(q, 3));
        code = fn(user, &h, e);
    }
    sqlite_statement_done(q);
    return code;
}

static enum err_code put_run(struct tracker *t, const char *sql, const struct sqlite_arg *args,
                             size_t n, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_statement_begin(s, e);

    return code == ERR_OK
               ? sqlite_statement_end(s, sqlite_statement_run(s, sql, args, n, NULL, e), e)
               : code;
}

enum err_code sqlite_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    return put_run(t,
                   "INSERT INTO blobferry_runs (id, command, owner, started_ms, summary)"
                   " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET command = ?2,"
                   " owner = ?3, started_ms = ?4, summary = ?5",
                   SQLITE_ARGS(SQLITE_T(r->id), SQLITE_T(r->command), SQLITE_T(r->owner),
                               SQLITE_I(r->started_ms), SQLITE_T(r->summary)),
                   e);
}

enum err_code sqlite_run_end(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    return put_run(t,
                   "INSERT INTO blobferry_runs (id, command, owner, started_ms, ended_ms,"
                   " exit_code, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                   " ON CONFLICT (id) DO UPDATE SET ended_ms = ?5, exit_code = ?6,"
                   " summary = coalesce(?7, summary)",
                   SQLITE_ARGS(SQLITE_T(r->id), SQLITE_T(r->command), SQLITE_T(r->owner),
                               SQLITE_I(r->started_ms), SQLITE_I(r->ended_ms),
                               SQLITE_I(r->exit_code), SQLITE_T(r->summary)),
                   e);
}
