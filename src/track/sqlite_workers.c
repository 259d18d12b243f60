/* sqlite_workers: who holds which rows and locks, and what he is doing; only reads. */
#include "track/sqlite.h"

enum column { W_OWNER, W_BATCH, W_ROWS, W_UNTIL, W_LOCK, W_COMMAND, W_STARTED };

/* Rows are found by the index of leases, so that a big table costs nothing. Of several runs with one owner the latest that has not
 * ended counts; SQLite takes the command from the row that has the maximum. */
static const char query_text[] =
    "WITH held AS (SELECT r.lease_owner AS owner, m.batch_id AS batch, count(*) AS rows,"
    "   max(r.lease_until) AS until, NULL AS lock"
    "  FROM blobferry_records AS r CROSS JOIN file_migrations AS m ON m.id = r.record_id"
    "  WHERE r.lease_owner IS NOT NULL AND m.status = 'processing' COLLATE BINARY"
    "  GROUP BY r.lease_owner, m.batch_id"
    "  UNION ALL SELECT owner, batch_id, 0, lease_until, mode FROM blobferry_locks),"
    " run AS (SELECT owner, command, max(started_ms) AS started FROM blobferry_runs"
    "  WHERE ended_ms IS NULL AND owner IN (SELECT owner FROM held) GROUP BY owner)"
    " SELECT h.owner, h.batch, sum(h.rows), max(h.until), max(h.lock), run.command, run.started"
    " FROM held AS h LEFT JOIN run ON run.owner = h.owner"
    " GROUP BY h.owner, h.batch ORDER BY h.owner, h.batch";

static const char *text(sqlite3_stmt *q, int column)
{
    return (const char *)sqlite3_column_text(q, column);
}

enum err_code sqlite_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    bool row = true;
    enum err_code code = sqlite_schema_need(s, e);

    if (code != ERR_OK || !s->info.schema.own)
        return code;
    sqlite3_stmt *q = sqlite_statement_query(s, query_text, SQLITE_NONE, e);
    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row || text(q, W_OWNER) == NULL)
            continue;
        const struct tracker_worker w = {.owner = text(q, W_OWNER),
                                         .batch_id = text(q, W_BATCH),
                                         .lock = text(q, W_LOCK),
                                         .command = text(q, W_COMMAND),
                                         .rows = sqlite3_column_int64(q, W_ROWS),
                                         .lease_until_ms = sqlite3_column_int64(q, W_UNTIL),
                                         .started_ms = sqlite3_column_int64(q, W_STARTED)};
        code = fn(user, &w, e);
    }
    sqlite_statement_done(q);
    return code;
}
