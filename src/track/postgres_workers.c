/* postgres_workers: who holds which rows and locks, and what he is doing; only reads. */
#include "track/postgres.h"

enum column { W_OWNER, W_BATCH, W_ROWS, W_UNTIL, W_LOCK, W_COMMAND, W_STARTED };

/* Rows are found by the index of statuses, so that a big table costs nothing. Of several runs with one owner the latest that has not
 * ended counts. */
static const char workers_sql[] =
    "WITH held AS (SELECT r.lease_owner AS owner, m.batch_id::text AS batch, count(*) AS n,"
    "   max(r.lease_until) AS until, NULL::text AS mode"
    "  FROM file_migrations AS m CROSS JOIN " POSTGRES_LEASES
    "  WHERE m.status = 'processing' AND r.lease_owner IS NOT NULL GROUP BY 1, 2"
    "  UNION ALL SELECT owner, batch_id, 0, lease_until, mode FROM blobferry_locks),"
    " run AS (SELECT DISTINCT ON (owner) owner, command, started_ms FROM blobferry_runs"
    "  WHERE ended_ms IS NULL AND owner IN (SELECT owner FROM held)"
    "  ORDER BY owner, started_ms DESC)"
    " SELECT h.owner, h.batch, sum(h.n)::bigint, max(h.until), max(h.mode), max(run.command),"
    "  max(run.started_ms) FROM held AS h LEFT JOIN run ON run.owner = h.owner"
    " GROUP BY h.owner, h.batch ORDER BY h.owner COLLATE \"C\", h.batch COLLATE \"C\"";

enum err_code postgres_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK || !p->info.schema.own)
        return code;
    PGresult *q = postgres_statement_query(p, workers_sql, POSTGRES_NONE, e);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; code == ERR_OK && i < PQntuples(q); i++) {
        const struct tracker_worker w = {
            .owner = PQgetvalue(q, i, W_OWNER),
            .batch_id = postgres_statement_text(q, i, W_BATCH),
            .lock = postgres_statement_text(q, i, W_LOCK),
            .command = postgres_statement_text(q, i, W_COMMAND),
            .rows = postgres_statement_integer(q, i, W_ROWS),
            .lease_until_ms = postgres_statement_integer(q, i, W_UNTIL),
            .started_ms = postgres_statement_integer(q, i, W_STARTED),
        };
        code = fn(user, &w, e);
    }
    PQclear(q);
    return code;
}
