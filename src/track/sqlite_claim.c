/* sqlite_claim: leasing rows. The candidates are found by one index range for each batch and status, merged by id, so that the
 * millionth claim costs what the first did; then each row is moved by compare-and-set. Where the application's table has no such index,
 * one walk in id order takes what it finds: claims go on behind one another, so a run walks the table once, and sorts nothing.
 */
#include "track/sqlite.h"

#include "blobferry/codec/timefmt.h"

#include <string.h>

#define BATCHES_MERGED 100 /* above it: one range for each status, batches compared row by row */

struct candidate {
    const char *id;
    enum file_status from;
};
struct candidates {
    struct candidate *items;
    size_t len;
    struct arena mem;
};

/* Numbers of the bound values that every range needs. */
struct bound {
    size_t after, owner, now, limit;
};

static const char source[] =
    "SELECT m.id AS id, m.status AS status FROM file_migrations AS m"
    " LEFT JOIN blobferry_records AS r ON r.record_id = CAST(m.id AS TEXT) WHERE ";

static void begin_range(struct sqlite_select *q, bool *first)
{
    buf_str(&q->sql, *first ? "SELECT * FROM (" : " UNION ALL SELECT * FROM (");
    *first = false;
    buf_str(&q->sql, source);
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
    buf_printf(&q->sql, " ORDER BY m.id LIMIT ?%zu)", b->limit);
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
        begin_range(q, first);
        some_batches(q, c, first_batch);
        end_range(q, info, status, b);
        return;
    }
    for (size_t i = 0; i < c->batch_count; i++) {
        begin_range(q, first);
        one_batch(q, info, first_batch + i);
        end_range(q, info, status, b);
    }
}

static void one_walk(struct sqlite_select *q, const struct sqlite_info *info,
                     const struct tracker_claim *c, const struct bound *b, size_t first_batch)
{
    buf_str(&q->sql, source);
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
                             const struct tracker_claim *c, const char *after_id)
{
    struct bound b = {0};
    bool first = true;
    size_t first_batch = 0;

    b.owner = sqlite_select_value(q, (struct sqlite_arg)SQLITE_T(c->owner));
    b.now = sqlite_select_value(q, (struct sqlite_arg)SQLITE_I(c->now_ms));
    b.limit = sqlite_select_value(q, (struct sqlite_arg)SQLITE_I((int64_t)c->limit));
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
    status_ranges(q, info, c, FILE_PENDING, &b, first_batch, &first);
    status_ranges(q, info, c, FILE_PROCESSING, &b, first_batch, &first);
    if (c->retry_failed)
        status_ranges(q, info, c, FILE_FAILED, &b, first_batch, &first);
    if (c->again)
        status_ranges(q, info, c, FILE_ROLLED_BACK, &b, first_batch, &first);
    buf_printf(&q->sql, " ORDER BY 1 LIMIT ?%zu", b.limit);
}

/* Read to the end before the first row is changed. */
static enum err_code find_candidates(struct sqlite *s, const struct tracker_claim *c,
                                     const char *after_id, struct candidates *out, struct err *e)
{
    struct sqlite_select select;
    bool row = true;
    enum err_code code = ERR_OK;

    out->len = 0;
    out->items = arena_alloc(&out->mem, c->limit * sizeof *out->items);
    if (out->items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    sqlite_select_init(&select);
    candidates_query(&select, &s->info, c, after_id);
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
        out->items[out->len++] = (struct candidate){
            .id = id, .from = state_file_parse((const char *)sqlite3_column_text(q, 1))};
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

/* A row that is migrated again begins anew: nothing of the object that was taken back may be believed of the next one. */
static const char lease_sql[] =
    "INSERT INTO blobferry_records (record_id, lease_owner, lease_until, attempts)"
    " VALUES (?1, ?2, ?3, 1) ON CONFLICT (record_id) DO UPDATE SET lease_owner = ?2,"
    " lease_until = ?3, attempts = attempts + 1";
static const char lease_again_sql[] =
    "INSERT INTO blobferry_records (record_id, lease_owner, lease_until, attempts)"
    " VALUES (?1, ?2, ?3, 1) ON CONFLICT (record_id) DO UPDATE SET lease_owner = ?2,"
    " lease_until = ?3, attempts = attempts + 1, etag = NULL, version_id = NULL,"
    " object_owner = NULL, pre_existed = 0, pointer_set = 0, prior_r2_key = NULL,"
    " prior_checksum = NULL, error_class = NULL";

static void patch(struct record *r, const struct candidate *k, const char *owner, int64_t until_ms,
                  const char *now)
{
    r->taken_over = k->from == FILE_PROCESSING;
    r->status = FILE_PROCESSING;
    r->status_text = state_file_name(FILE_PROCESSING);
    r->attempts++;
    r->lease_owner = owner;
    r->lease_until_ms = until_ms;
    r->completed_at = NULL;
    if (r->started_at == NULL)
        r->started_at = now;
    if (k->from != FILE_ROLLED_BACK)
        return;
    r->etag = r->version_id = r->object_owner = r->prior_r2_key = r->prior_checksum = NULL;
    r->error_class = NULL;
    r->pre_existed = r->pointer_set = false;
}

/* Moves one row. *taken false: it cannot be written (a trigger, a value beyond all bounds) and stays as it is. */
static enum err_code take(struct sqlite *s, const struct tracker_claim *c,
                          const struct candidate *k, const char *now, bool *taken, struct err *e)
{
    int64_t changes = 0;
    enum err_code code = sqlite_statement_run(
        s,
        "UPDATE file_migrations SET status = 'processing', started_at = coalesce(started_at, ?3),"
        " completed_at = NULL WHERE id = ?1 AND status = ?2 COLLATE BINARY",
        SQLITE_ARGS(SQLITE_T(k->id), SQLITE_T(state_file_name(k->from)), SQLITE_T(now)), &changes,
        e);

    *taken = code == ERR_OK && changes == 1;
    if (code != ERR_OK && (sqlite3_errcode(s->db) & 0xff) == SQLITE_TOOBIG) {
        err_init(e);
        return ERR_OK;
    }
    if (!*taken)
        return code;
    return sqlite_statement_run(
        s, k->from == FILE_ROLLED_BACK ? lease_again_sql : lease_sql,
        SQLITE_ARGS(SQLITE_T(k->id), SQLITE_T(c->owner), SQLITE_I(c->now_ms + c->lease_ms)), NULL,
        e);
}

static enum err_code take_all(struct sqlite *s, const struct tracker_claim *c,
                              const struct candidates *found, struct record_list *out,
                              struct sqlite_batch_changes *changes, struct err *e)
{
    char text[TIMEFMT_SIZE];
    enum err_code code = ERR_OK;
    bool full = false;

    timefmt_db(c->now_ms, text);
    const char *owner = arena_strdup(&out->mem, c->owner);
    const char *now = arena_strdup(&out->mem, text);
    if (owner == NULL || now == NULL)
        return err_set(e, ERR_LIMIT, "the list of claimed rows is full");
    for (size_t i = 0; code == ERR_OK && !full && i < found->len; i++) {
        const struct candidate *k = &found->items[i];
        bool there = false, taken = false;

        code = sqlite_read_one(s, k->id, out, &there, &full, e);
        if (code != ERR_OK || !there)
            continue;
        code = take(s, c, k, now, &taken, e);
        if (!taken) {
            out->len--;
            continue;
        }
        struct record *r = &out->items[out->len - 1];
        patch(r, k, owner, c->now_ms + c->lease_ms, now);
        if (code == ERR_OK)
            code = sqlite_batch_note(changes, r->batch_id, k->from, FILE_PROCESSING, e);
    }
    return code;
}

/* Leases of owners that are known to be dead end now. */
static enum err_code bury(struct sqlite *s, const struct tracker_claim *c, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < c->dead_count; i++)
        code = sqlite_statement_run(s,
                                    "UPDATE blobferry_records SET lease_until = 0"
                                    " WHERE lease_owner = ?1 AND lease_until > 0",
                                    SQLITE_ARGS(SQLITE_T(c->dead_owners[i])), NULL, e);
    return code;
}

static enum err_code claim(struct sqlite *s, const struct tracker_claim *c,
                           struct candidates *found, struct record_list *out,
                           struct sqlite_batch_changes *changes, struct err *e)
{
    const char *after_id = c->after_id;
    enum err_code code = bury(s, c, e);

    /* An empty list means that nothing is left: rows that cannot be taken are passed over. */
    while (code == ERR_OK && out->len == 0) {
        code = find_candidates(s, c, after_id, found, e);
        if (code != ERR_OK || found->len == 0)
            break;
        code = take_all(s, c, found, out, changes, e);
        after_id = found->items[found->len - 1].id;
    }
    if (code == ERR_OK)
        code = sqlite_batch_settle(s, changes, state_batch_name(BATCH_PROCESSING), c->now_ms, e);
    return code;
}

enum err_code sqlite_claim(struct tracker *t, const struct tracker_claim *c,
                           struct record_list *out, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct candidates found = {0};
    struct sqlite_batch_changes changes;

    arena_init(&found.mem, (size_t)64 << 20);
    sqlite_batch_init(&changes);
    enum err_code code = sqlite_statement_begin(s, e);
    if (code == ERR_OK)
        code = sqlite_statement_end(s, claim(s, c, &found, out, &changes, e), e);
    if (code != ERR_OK)
        record_list_reset(out);
    sqlite_batch_release(&changes);
    arena_release(&found.mem);
    return code;
}
