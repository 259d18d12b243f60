/* sqlite_candidates: the rows that a claim may take. They are found by one index range for each batch and status, merged by id, so that
 * the millionth claim costs what the first did. Where the application's table has no such index, one walk in id order takes what it
 * finds: claims go on behind one another, so a run walks the table once, and sorts nothing.
 */
#include "track/sqlite.h"

#define BATCHES_MERGED 100 /* above it: one range for each status, batches compared row by row */

/* What a query finds: ids of candidates; that there is any that is not pending; or pending ones along with their records. Where one walk
 * finds them all, the last is all of them. */
enum wanted { WANTED_IDS, WANTED_OTHERS, WANTED_RECORDS };

/* Numbers of the bound values that every range needs. */
struct bound {
    size_t after, owner, now, limit;
    enum wanted wanted;
};

static void source(struct sqlite_select *q, const struct sqlite_info *info, const struct bound *b)
{
    buf_printf(&q->sql,
               "SELECT %s FROM file_migrations AS m"
               " LEFT JOIN blobferry_records AS r ON r.record_id = CAST(m.id AS TEXT)%s WHERE ",
               b->wanted == WANTED_RECORDS ? sqlite_row_columns(info) : "m.id, m.status",
               b->wanted == WANTED_RECORDS
                   ? " LEFT JOIN files AS f ON f.id = CAST(m.file_id AS TEXT)"
                   : "");
}

/* Records are of one range alone and come in its order: in a compound they would all pass through a sorter. */
static void begin_range(struct sqlite_select *q, const struct sqlite_info *info,
                        const struct bound *b, bool *first)
{
    if (b->wanted != WANTED_RECORDS)
        buf_str(&q->sql, *first ? "SELECT * FROM (" : " UNION ALL SELECT * FROM (");
    *first = false;
    source(q, info, b);
}

/* A row that this very owner still holds is under way here, whatever the clock says. */
static void free_lease(struct sqlite_select *q, const struct bound *b)
{
    buf_printf(&q->sql,
               " AND (r.lease_owner IS NULL OR r.lease_owner <> ?%zu AND r.lease_until <= ?%zu)",
               b->owner, b->now);
}

static void usable(struct sqlite_select *q, const struct sqlite_info *info, const struct bound *b)
{
    if (b->after > 0)
        buf_printf(&q->sql, " AND m.id > ?%zu", b->after);
    buf_printf(&q->sql, " AND blobferry_usable(m.id, %d) AND coalesce(r.delete_owed, 0) = 0",
               info->numeric_id);
}

static void end_range(struct sqlite_select *q, const struct sqlite_info *info,
                      enum file_status status, const struct bound *b)
{
    buf_printf(&q->sql, " AND m.status = '%s' COLLATE BINARY", state_file_name(status));
    usable(q, info, b);
    if (status == FILE_PROCESSING)
        free_lease(q, b);
    buf_printf(&q->sql, " ORDER BY m.id LIMIT ?%zu%s", b->limit,
               b->wanted != WANTED_RECORDS ? ")" : "");
}

static void one_batch(struct sqlite_select *q, const struct sqlite_info *info, size_t value)
{
    buf_printf(&q->sql, "m.batch_id = ?%zu COLLATE BINARY", value);
    if (info->numeric_batch)
        buf_printf(&q->sql, " AND CAST(m.batch_id AS TEXT) = ?%zu", value);
}

/* An expression: no index on the batch alone is used, for that would mean a sort. */
static void some_batches(struct sqlite_select *q, const struct tracker_claim *c, size_t first_batch)
{
    buf_str(&q->sql, c->batch_count == 0 ? "1" : "CAST(m.batch_id AS TEXT) IN (");
    for (size_t i = 0; i < c->batch_count; i++)
        buf_printf(&q->sql, "%s?%zu", i == 0 ? "" : ",", first_batch + i);
    if (c->batch_count > 0)
        buf_char(&q->sql, ')');
}

static void status_ranges(struct sqlite_select *q, const struct sqlite_info *info,
                          const struct tracker_claim *c, enum file_status status,
                          const struct bound *b, size_t first_batch, bool *first)
{
    if (c->batch_count == 0 || c->batch_count > BATCHES_MERGED) {
        begin_range(q, info, b, first);
        some_batches(q, c, first_batch);
        end_range(q, info, status, b);
        return;
    }
    for (size_t i = 0; i < c->batch_count; i++) {
        begin_range(q, info, b, first);
        one_batch(q, info, first_batch + i);
        end_range(q, info, status, b);
    }
}

static void one_walk(struct sqlite_select *q, const struct sqlite_info *info,
                     const struct tracker_claim *c, const struct bound *b, size_t first_batch)
{
    source(q, info, b);
    some_batches(q, c, first_batch);
    buf_printf(&q->sql, " AND (+m.status COLLATE BINARY IN ('pending'%s%s)",
               c->retry_failed ? ", 'failed'" : "", c->again ? ", 'rolled_back'" : "");
    buf_str(&q->sql, " OR +m.status COLLATE BINARY = 'processing'");
    free_lease(q, b);
    buf_char(&q->sql, ')');
    usable(q, info, b);
    buf_printf(&q->sql, " ORDER BY m.id LIMIT ?%zu", b->limit);
}

static void candidates_query(struct sqlite_select *q, const struct sqlite_info *info,
                             const struct tracker_claim *c, const char *after_id,
                             enum wanted wanted)
{
    struct bound b = {.wanted = wanted};
    const int64_t limit = wanted == WANTED_OTHERS ? 1 : (int64_t)c->limit;
    bool first = true;
    size_t first_batch = 0;

    b.owner = sqlite_select_value(q, (struct sqlite_arg)SQLITE_T(c->owner));
    b.now = sqlite_select_value(q, (struct sqlite_arg)SQLITE_I(c->now_ms));
    b.limit = sqlite_select_value(q, (struct sqlite_arg)SQLITE_I(limit));
    if (after_id != NULL)
        b.after = sqlite_select_value(q, (struct sqlite_arg)SQLITE_T(after_id));
    for (size_t i = 0; i < c->batch_count; i++) {
        const size_t n = sqlite_select_value(q, (struct sqlite_arg)SQLITE_T(c->batch_ids[i]));
        first_batch = i == 0 ? n : first_batch;
    }
    if (!info->batch_index) {
        one_walk(q, info, c, &b, first_batch);
        return;
    }
    if (wanted != WANTED_OTHERS)
        status_ranges(q, info, c, FILE_PENDING, &b, first_batch, &first);
    if (wanted == WANTED_RECORDS)
        return;
    status_ranges(q, info, c, FILE_PROCESSING, &b, first_batch, &first);
    if (c->retry_failed)
        status_ranges(q, info, c, FILE_FAILED, &b, first_batch, &first);
    if (c->again)
        status_ranges(q, info, c, FILE_ROLLED_BACK, &b, first_batch, &first);
    buf_printf(&q->sql, " ORDER BY 1 LIMIT ?%zu", b.limit);
}

/* Read to the end before the first row is changed. */
enum err_code sqlite_candidates_find(struct sqlite *s, const struct tracker_claim *c,
                                     const char *after_id, struct sqlite_candidates *out,
                                     struct err *e)
{
    struct sqlite_select select;
    bool row = true;
    enum err_code code = ERR_OK;

    out->len = 0;
    out->items = arena_alloc(&out->mem, c->limit * sizeof *out->items);
    if (out->items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    sqlite_select_init(&select);
    candidates_query(&select, &s->info, c, after_id, WANTED_IDS);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row && out->len < c->limit) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        const char *id = arena_strdup(&out->mem, (const char *)sqlite3_column_text(q, 0));
        if (id == NULL)
            break; /* enough for one claim */
        out->items[out->len++] = (struct sqlite_candidate){
            .id = id, .from = state_file_parse((const char *)sqlite3_column_text(q, 1))};
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

/* Can records be read along with the ids? Where one range, or one walk, holds all candidates that there are. */
static enum err_code in_one_range(struct sqlite *s, const struct tracker_claim *c,
                                  const char *after_id, bool *one, struct err *e)
{
    struct sqlite_select select;
    bool row = false;

    *one = !s->info.batch_index;
    if (*one || (c->batch_count > 1 && c->batch_count <= BATCHES_MERGED))
        return ERR_OK;
    sqlite_select_init(&select);
    candidates_query(&select, &s->info, c, after_id, WANTED_OTHERS);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    enum err_code code = q == NULL ? sqlite_code(e) : sqlite_statement_next(s, q, &row, e);
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    *one = !row;
    return code;
}

/* Candidates and their records in one. *whole false: one cannot be read like that, nothing was. */
static enum err_code find_records(struct sqlite *s, const struct tracker_claim *c,
                                  const char *after_id, struct record_list *out, bool *whole,
                                  struct err *e)
{
    struct sqlite_select select;
    bool row = true, full = false;
    size_t rows = 0;
    enum err_code code = ERR_OK;

    sqlite_select_init(&select);
    candidates_query(&select, &s->info, c, after_id, WANTED_RECORDS);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    if (q == NULL)
        code = sqlite_code(e);
    for (; code == ERR_OK && row && !full; rows += row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code == ERR_OK && row)
            code = sqlite_row_add(q, out, &full, e);
    }
    if (code != ERR_OK && (sqlite3_errcode(s->db) & 0xff) == SQLITE_TOOBIG) {
        err_init(e);
        code = ERR_OK;
        *whole = false;
        out->len = 0;
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    if (code != ERR_OK || full || rows < c->limit || out->len == 0)
        return code;
    /* A second row that makes the last one ambiguous may be beyond the limit. */
    const char *last = out->items[--out->len].id;
    return sqlite_read_one(s, last, out, &row, &full, e);
}

enum err_code sqlite_candidates_records(struct sqlite *s, const struct tracker_claim *c,
                                        const char *after_id, struct record_list *out, bool *whole,
                                        struct err *e)
{
    enum err_code code = in_one_range(s, c, after_id, whole, e);

    return code == ERR_OK && *whole ? find_records(s, c, after_id, out, whole, e) : code;
}
