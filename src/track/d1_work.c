/* d1_work: notes of what a batch decided, under the id of the request. The rows of one table serve three ends: later statements of the batch
 * act on what the first one saw, the same request sent again does nothing twice, and its answer is told again.
 */
#include "track/d1.h"

#include "blobferry/codec/timefmt.h"

#include <stdio.h>

#define OLD_MS INT64_C(86400000)

/* was, became: statuses; act: what happens to the pointer; planned: rows of a plan that is not whole yet. */
const char d1_work_ddl[] =
    "CREATE TABLE IF NOT EXISTS blobferry_work (request TEXT NOT NULL, n INTEGER NOT NULL,"
    " owner TEXT, at_ms INTEGER NOT NULL, id, batch_id, was TEXT, became TEXT, verdict TEXT,"
    " act TEXT, doc TEXT, done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (request, n)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS blobferry_ix_work_owner ON blobferry_work (owner);"
    "CREATE TABLE IF NOT EXISTS blobferry_planned (plan TEXT NOT NULL, n INTEGER NOT NULL,"
    " key_digest TEXT NOT NULL, batch_id TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (plan, n),"
    " UNIQUE (plan, key_digest)) WITHOUT ROWID";

void d1_work_begin(struct d1_work *w, struct d1_batch *b, const char *owner)
{
    char sql[200];

    clock_uuid(w->id);
    (void)snprintf(
        sql, sizeof sql,
        "DELETE FROM blobferry_work WHERE request <> ?1 AND (owner = ?2 OR at_ms < %lld)",
        (long long)(clock_wall_ms() - OLD_MS));
    d1_batch_add(b, sql, D1_TEXTS(w->id, owner != NULL ? owner : ""));
}

void d1_work_end(const struct d1_work *w, struct d1_batch *b)
{
    d1_batch_add(b, "UPDATE blobferry_work SET done = 1 WHERE request = ?1", D1_TEXTS(w->id));
}

/* ---- what follows for the batches ------------------------------------------------------------------------ */

#define ANY(condition)                                                                             \
    "EXISTS (SELECT 1 FROM file_migrations AS m WHERE m.batch_id = g.batch_id AND " condition ")"
#define BETWEEN(a, b) ANY("m.status > '" a "' AND m.status < '" b "'")

/* Counters move by what was noted; which statuses occur at all an index tells in a few steps. */
static const char moved[] = "SELECT g.batch_id, g.completed, g.verified, g.failed,"
                            " " ANY(
                                "m.status = 'pending'") " AS p, " ANY("m.status = 'processing'") " "
                                                                                                 "A"
                                                                                                 "S"
                                                                                                 " "
                                                                                                 "w"
                                                                                                 ","
                                                                                                 " " ANY("m."
                                                                                                         "sta"
                                                                                                         "tus"
                                                                                                         " = "
                                                                                                         "'co"
                                                                                                         "mpl"
                                                                                                         "ete"
                                                                                                         "d'") " OR " ANY("m.status = 'verified'") " AS c, " ANY("m.status = 'failed'") " AS f, " ANY("m.status = 'rolled_back'") " AS r, " ANY("m.status IS NULL") " OR " ANY("m.status < 'completed'") " OR " BETWEEN("completed", "failed") " OR"
                                                                                                                                                                                                                                                                                                                                               " " BETWEEN("failed", "pending") " OR " BETWEEN("pending", "processing") " OR " BETWEEN("processing", "rolled_back") " OR " BETWEEN("rolled_back", "verified") " OR " ANY("m.status > 'verified'") " AS u"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  " FROM (SELECT batch_id,"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "  sum((became IN ('completed', 'verified')) - (was IN ('completed', 'verified'))) AS completed,"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "  sum((became = 'verified') - (was = 'verified')) AS verified,"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "  sum((became = 'failed') - (was = 'failed')) AS failed FROM blobferry_work"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "  WHERE request = ?1 AND done = 0 AND verdict = 'applied' AND batch_id IS NOT NULL"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "  GROUP BY batch_id) AS g";

/* As state_batch_derive() says it. */
static const char derived[] =
    "CASE WHEN w OR p AND (c OR f OR r) THEN 'processing'"
    " WHEN NOT (c OR f OR r OR u) THEN 'pending' WHEN NOT (p OR f OR r OR u) THEN 'completed'"
    " WHEN NOT (p OR c OR r OR u) THEN 'failed' WHEN NOT (p OR c OR f OR u) THEN 'rolled_back'"
    " ELSE 'partial' END";

void d1_work_settle(const struct d1_work *w, struct d1_batch *b, const struct sqlite_info *info,
                    const char *fallback, int64_t now_ms)
{
    struct buf sql;
    char now[TIMEFMT_SIZE], given[40] = "NULL";

    timefmt_db(now_ms, now);
    if (fallback != NULL)
        (void)snprintf(given, sizeof given, "'%s'", fallback);
    buf_init(&sql, 65536);
    buf_printf(&sql,
               "UPDATE migration_batches AS b SET"
               " completed_files = max(coalesce(b.completed_files, 0) + s.completed, 0),"
               " verified_files = max(coalesce(b.verified_files, 0) + s.verified, 0),"
               " failed_files = max(coalesce(b.failed_files, 0) + s.failed, 0),"
               " status = coalesce(s.status, b.status),"
               " started_at = CASE WHEN s.status IS NULL OR s.status = 'pending' THEN b.started_at"
               "  ELSE coalesce(b.started_at, ?2) END,"
               " completed_at = CASE WHEN s.status IS NULL THEN b.completed_at"
               "  WHEN s.status NOT IN ('pending', 'processing') THEN coalesce(b.completed_at, ?2)"
               "  END"
               " FROM (SELECT batch_id, completed, verified, failed, %s AS status FROM (%s)) AS s"
               " WHERE b.batch_id = s.batch_id",
               info->batch_index ? derived : given, moved);
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(w->id, now));
    buf_release(&sql);
}
