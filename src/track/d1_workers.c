/* d1_workers: who holds which rows and locks, and what he is doing; only reads, in one request. */
#include "track/d1.h"

enum column { W_OWNER, W_BATCH, W_ROWS, W_UNTIL, W_LOCK, W_COMMAND, W_STARTED };

static const char workers_text[] =
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

enum err_code d1_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    enum err_code code = d1_schema_need(d, e);

    if (code != ERR_OK || !d->info.schema.own)
        return code;
    code = d1_query(d, &a, workers_text, D1_NONE, e);
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        const struct tracker_worker w = {.owner = d1_row_plain(r, W_OWNER),
                                         .batch_id = d1_row_plain(r, W_BATCH),
                                         .lock = d1_row_plain(r, W_LOCK),
                                         .command = d1_row_plain(r, W_COMMAND),
                                         .rows = d1_row_number(r, W_ROWS),
                                         .lease_until_ms = d1_row_number(r, W_UNTIL),
                                         .started_ms = d1_row_number(r, W_STARTED)};
        if (w.owner != NULL)
            code = fn(user, &w, e);
    }
    d1_answer_release(&a);
    return code;
}
