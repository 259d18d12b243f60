/* d1_batches: the batches with what follows from their rows. */
#include "track/d1.h"

#include "blobferry/codec/timefmt.h"

#include <stdio.h>
#include <string.h>

enum column {
    B_ID,
    B_BATCH,
    B_STATUS,
    B_STARTED,
    B_COMPLETED_AT,
    B_CREATED,
    B_TOTAL, /* plain numbers from here */
    B_COMPLETED,
    B_FAILED,
    B_VERIFIED,
    B_COUNTS, /* FILE_STATUS_COUNT of them, the unknown ones last */
    B_BYTES = B_COUNTS + FILE_STATUS_COUNT
};

static const char counted[] =
    "SELECT m.batch_id AS of, count(*) AS total,"
    " sum(m.status IS 'pending') AS pending, sum(m.status IS 'processing') AS processing,"
    " sum(m.status IS 'completed') AS completed, sum(m.status IS 'verified') AS verified,"
    " sum(m.status IS 'failed') AS failed, sum(m.status IS 'rolled_back') AS rolled_back,"
    " total(CASE WHEN typeof(m.file_size) = 'integer' AND m.file_size > 0 THEN m.file_size END)"
    " AS bytes FROM file_migrations AS m WHERE m.batch_id IN (SELECT batch_id FROM chosen)"
    " GROUP BY m.batch_id";

/* Which batches: all, the one that ?1 names, or those that a restore noted under the request ?1. */
enum which { ALL, ONE, NOTED };

static void chosen(struct buf *b, const struct sqlite_info *info, enum which which, size_t limit)
{
    buf_str(b, "WITH chosen AS MATERIALIZED (SELECT b.* FROM migration_batches AS b WHERE ");
    if (which == NOTED) {
        buf_str(b, "b.batch_id IN (SELECT ");
        d1_value_back_sql(b, "(w.doc ->> '$[0]')");
        buf_str(b, " FROM blobferry_work AS w WHERE w.request = ?1 AND w.act = 'touched') AND ");
    }
    buf_str(b, which != ONE          ? "1"
               : info->numeric_batch ? "b.batch_id = ?1 COLLATE BINARY AND"
                                       " CAST(b.batch_id AS TEXT) = ?1"
                                     : "b.batch_id = ?1 COLLATE BINARY");
    buf_str(b, " ORDER BY b.created_at DESC, b.id DESC");
    if (limit > 0)
        buf_printf(b, " LIMIT %zu", limit);
    buf_printf(b, "), counted AS MATERIALIZED (%s)", counted);
}

static void query(struct buf *b, const struct sqlite_info *info, enum which which, size_t limit)
{
    static const char *const texts[] = {"c.id",         "c.batch_id",     "c.status",
                                        "c.started_at", "c.completed_at", "c.created_at"};

    chosen(b, info, which, limit);
    buf_str(b, " SELECT ");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        d1_value_sql(b, texts[i], D1_VALUE_KEPT);
        buf_printf(b, " AS t%zu, ", i);
    }
    buf_str(b, "CAST(c.total_files AS INTEGER), CAST(c.completed_files AS INTEGER),"
               " CAST(c.failed_files AS INTEGER), CAST(c.verified_files AS INTEGER),"
               " coalesce(n.pending, 0), coalesce(n.processing, 0), coalesce(n.completed, 0),"
               " coalesce(n.verified, 0), coalesce(n.failed, 0), coalesce(n.rolled_back, 0),"
               " coalesce(n.total - n.pending - n.processing - n.completed - n.verified - n.failed"
               "  - n.rolled_back, 0), coalesce(CAST(n.bytes AS INTEGER), 0)"
               " FROM chosen AS c LEFT JOIN counted AS n ON n.of = c.batch_id"
               " ORDER BY c.created_at DESC, c.id DESC");
}

static enum err_code read_batch(const struct json *row, struct batch_list *out, struct err *e)
{
    const char *texts[B_TOTAL];
    const struct json *item = json_first(row);
    struct batch *b = record_batches_add(out);
    struct tracker_value v;
    bool full = b == NULL;

    for (size_t i = 0; i < B_TOTAL; i++, item = json_next(item)) {
        char number[32];
        texts[i] = NULL;
        if (!d1_value_read(item, &v, &out->mem) || v.type == TRACKER_NULL)
            continue;
        (void)snprintf(number, sizeof number, "%lld", (long long)v.integer);
        texts[i] = v.type == TRACKER_INTEGER
                       ? arena_strdup(&out->mem, number)
                       : arena_strndup(&out->mem, v.bytes, strnlen(v.bytes, v.len));
        full |= texts[i] == NULL;
    }
    if (full)
        return err_set(e, ERR_LIMIT, "too many batches for one list: ask for fewer");
    b->id = texts[B_ID];
    b->batch_id = texts[B_BATCH];
    b->status_text = texts[B_STATUS];
    b->status = state_batch_parse(b->status_text);
    b->started_at = texts[B_STARTED];
    b->completed_at = texts[B_COMPLETED_AT];
    b->created_at = texts[B_CREATED];
    b->total_files = d1_row_number(row, B_TOTAL);
    b->completed_files = d1_row_number(row, B_COMPLETED);
    b->failed_files = d1_row_number(row, B_FAILED);
    b->verified_files = d1_row_number(row, B_VERIFIED);
    for (size_t i = 0; i < FILE_STATUS_COUNT; i++)
        b->counts.by[i] = d1_row_number(row, B_COUNTS + i);
    b->bytes = d1_row_number(row, B_BYTES);
    return ERR_OK;
}

enum err_code d1_batches(struct tracker *t, const char *batch_id, size_t limit,
                         struct batch_list *out, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    struct buf sql;
    enum err_code code = d1_schema_need(d, e);

    if (code != ERR_OK)
        return code;
    buf_init(&sql, 65536);
    query(&sql, &d->info, batch_id != NULL ? ONE : ALL, limit);
    code = d1_query(d, &a, buf_cstr(&sql), &batch_id, batch_id != NULL, e);
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r))
        code = read_batch(r, out, e);
    d1_answer_release(&a);
    buf_release(&sql);
    return code;
}

/* ---- refresh ------------------------------------------------------------------------------------------ */

/* As state_batch_derive() says it; n has the counts of the rows. */
#define ENDED "n.completed + n.verified + n.failed + n.rolled_back"
static const char derived[] =
    "CASE WHEN n.total IS NULL OR n.total = n.pending THEN 'pending'"
    " WHEN n.processing > 0 OR n.pending > 0 AND " ENDED " > 0 THEN 'processing'"
    " WHEN n.total = n.completed + n.verified THEN 'completed' WHEN n.total = n.failed THEN"
    " 'failed' WHEN n.total = n.rolled_back THEN 'rolled_back' ELSE 'partial' END";

static void refresh_sql(struct buf *b, const struct sqlite_info *info, enum which which)
{
    chosen(b, info, which, 0);
    buf_printf(b,
               ", should AS MATERIALIZED (SELECT c.batch_id AS of, coalesce(n.total, 0) AS total,"
               " coalesce(n.completed + n.verified, 0) AS completed, coalesce(n.failed, 0) AS"
               " failed, coalesce(n.verified, 0) AS verified, %s AS status FROM chosen AS c"
               " LEFT JOIN counted AS n ON n.of = c.batch_id)"
               " UPDATE migration_batches AS b SET total_files = s.total,"
               " completed_files = s.completed, failed_files = s.failed,"
               " verified_files = s.verified, status = s.status,"
               " completed_at = CASE WHEN s.status NOT IN ('pending', 'processing')"
               "  THEN coalesce(b.completed_at, ?%d) END"
               " FROM should AS s WHERE b.batch_id = s.of AND (b.total_files IS NOT s.total"
               " OR coalesce(b.completed_files, 0) <> s.completed"
               " OR coalesce(b.failed_files, 0) <> s.failed"
               " OR coalesce(b.verified_files, 0) <> s.verified OR b.status IS NOT s.status"
               " OR (b.completed_at IS NULL) = (s.status NOT IN ('pending', 'processing')))",
               derived, which == ALL ? 1 : 2);
}

enum err_code d1_batches_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                                 struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    char now[TIMEFMT_SIZE];
    struct buf sql;
    enum err_code code =
        d->read_only ? err_set(e, ERR_DB, "database '%s' was opened for reading only", d->base.name)
                     : d1_schema_need(d, e);

    if (code != ERR_OK)
        return code;
    timefmt_db(clock_wall_ms(), now);
    buf_init(&sql, 65536);
    refresh_sql(&sql, &d->info, batch_id != NULL ? ONE : ALL);
    const char *const texts[] = {batch_id != NULL ? batch_id : now, now};
    code = d1_query(d, &a, buf_cstr(&sql), texts, batch_id != NULL ? 2 : 1, e);
    *changed = code == ERR_OK ? d1_answer_changes(&a, 0) : 0;
    d1_answer_release(&a);
    buf_release(&sql);
    return code;
}

/* Should its rows end a batch again, then at the time when it had ended. */
static void put_ends(struct d1_batch *b, const char *request)
{
    struct buf sql;

    buf_init(&sql, 8192);
    buf_str(&sql, "UPDATE migration_batches AS b SET completed_at = s.ended FROM (SELECT ");
    d1_value_back_sql(&sql, "(w.doc ->> '$[0]')");
    buf_str(&sql, " AS of, ");
    d1_value_back_sql(&sql, "(w.doc ->> '$[1]')");
    buf_str(&sql, " AS ended FROM blobferry_work AS w WHERE w.request = ?1 AND w.act = 'ended'"
                  " AND EXISTS (SELECT 1 FROM blobferry_work AS x WHERE x.request = ?1"
                  " AND x.act = 'touched' AND x.doc ->> '$[0]' = w.doc ->> '$[0]')) AS s"
                  " WHERE b.batch_id = s.of AND s.ended IS NOT NULL AND b.completed_at IS NOT NULL"
                  " AND b.completed_at IS NOT s.ended");
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(request));
    buf_release(&sql);
}

void d1_batches_recount(struct d1 *d, struct d1_batch *b, const char *request)
{
    char now[TIMEFMT_SIZE];
    struct buf sql;

    timefmt_db(clock_wall_ms(), now);
    buf_init(&sql, 65536);
    refresh_sql(&sql, &d->info, NOTED);
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(request, now));
    buf_release(&sql);
    put_ends(b, request);
}
