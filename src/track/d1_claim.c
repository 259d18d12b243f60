/* d1_claim: leasing rows, in one batch: the candidates are noted, moved by what was noted, and told. */
#include "track/d1.h"

#include "blobferry/codec/timefmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values of the statement that finds candidates. */
#define V_REQUEST "?1"
#define V_OWNER   "?2"
#define V_BATCHES "?3" /* one id as it is, or a JSON list */
#define V_AFTER   "?4"

static char *json_list(const char *const *texts, size_t n)
{
    struct buf b;
    struct json_out o;

    buf_init(&b, D1_DOC_MAX);
    json_out_init(&o, &b, 0);
    json_out_array(&o, NULL);
    for (size_t i = 0; i < n; i++)
        json_out_string(&o, NULL, texts[i]);
    json_out_end(&o);
    return buf_steal(&b);
}

/* A row that this very owner still holds is under way here, whatever the clock says. */
static void free_lease(struct buf *b, const struct tracker_claim *c)
{
    buf_printf(
        b, " AND (r.lease_owner IS NULL OR r.lease_owner <> " V_OWNER " AND r.lease_until <= %lld)",
        (long long)c->now_ms);
}

static void in_batches(struct buf *b, const struct sqlite_info *info, const struct tracker_claim *c)
{
    if (c->batch_count == 1) {
        buf_str(b, "m.batch_id = " V_BATCHES " COLLATE BINARY");
        if (info->numeric_batch)
            buf_str(b, " AND CAST(m.batch_id AS TEXT) = " V_BATCHES);
    } else if (c->batch_count > 1) {
        /* An expression: the walk keeps to the order of ids, and nothing is sorted. */
        buf_str(b, "CAST(m.batch_id AS TEXT) IN (SELECT value FROM json_each(" V_BATCHES "))");
    } else {
        buf_char(b, '1');
    }
}

static void source(struct buf *b, const struct sqlite_info *info, const struct tracker_claim *c)
{
    buf_str(b, "SELECT m.id AS id, m.status AS status, m.batch_id AS batch_id"
               " FROM file_migrations AS m LEFT JOIN blobferry_records AS r"
               " ON r.record_id = CAST(m.id AS TEXT) WHERE ");
    in_batches(b, info, c);
    if (c->after_id != NULL)
        buf_str(b, " AND m.id > " V_AFTER);
    buf_str(b, " AND ");
    d1_value_usable_sql(b, "m.id", info->numeric_id);
    buf_str(b, " AND coalesce(r.delete_owed, 0) = 0");
}

static void range(struct buf *b, const struct sqlite_info *info, const struct tracker_claim *c,
                  enum file_status status, bool first)
{
    buf_str(b, first ? "SELECT * FROM (" : " UNION ALL SELECT * FROM (");
    source(b, info, c);
    buf_printf(b, " AND m.status = '%s' COLLATE BINARY", state_file_name(status));
    if (status == FILE_PROCESSING)
        free_lease(b, c);
    buf_printf(b, " ORDER BY m.id LIMIT %zu)", c->limit);
}

/* By an index range for each status where there is the index; D1 joins five SELECTs at most, so several batches are a walk. */
static void candidates(struct buf *b, const struct sqlite_info *info, const struct tracker_claim *c)
{
    if (info->batch_index && c->batch_count <= 1) {
        range(b, info, c, FILE_PENDING, true);
        range(b, info, c, FILE_PROCESSING, false);
        if (c->retry_failed)
            range(b, info, c, FILE_FAILED, false);
        if (c->again)
            range(b, info, c, FILE_ROLLED_BACK, false);
    } else {
        source(b, info, c);
        buf_printf(b, " AND (+m.status COLLATE BINARY IN ('pending'%s%s)",
                   c->retry_failed ? ", 'failed'" : "", c->again ? ", 'rolled_back'" : "");
        buf_str(b, " OR +m.status COLLATE BINARY = 'processing'");
        free_lease(b, c);
        buf_char(b, ')');
    }
    buf_printf(b, " ORDER BY 1 LIMIT %zu", c->limit);
}

static void note(const struct d1_work *w, struct d1_batch *b, const struct sqlite_info *info,
                 const struct tracker_claim *c, const char *batches)
{
    const bool one = c->batch_count == 1;
    struct buf sql;

    buf_init(&sql, 65536);
    buf_printf(&sql,
               "INSERT INTO blobferry_work (request, n, owner, at_ms, id, batch_id, was, became,"
               " verdict) SELECT " V_REQUEST ", row_number() OVER (ORDER BY id), " V_OWNER
               ", %lld, id, batch_id, status, 'processing', 'applied' FROM (",
               (long long)clock_wall_ms());
    candidates(&sql, info, c);
    buf_str(&sql, ") WHERE NOT EXISTS (SELECT 1 FROM blobferry_work WHERE request = " V_REQUEST ")"
                  /* all four are named, whether or not they are needed */
                  " AND coalesce(" V_BATCHES ", " V_AFTER ", '') IS NOT NULL");
    d1_batch_add(b, buf_cstr(&sql),
                 D1_TEXTS(w->id, c->owner, one ? c->batch_ids[0] : batches, c->after_id));
    buf_release(&sql);
}

#define NOTED " FROM blobferry_work AS w WHERE w.request = ?1 AND w.done = 0"

static void move(const struct d1_work *w, struct d1_batch *b, const struct tracker_claim *c)
{
    const long long until = (long long)c->now_ms + (long long)c->lease_ms;
    char now[TIMEFMT_SIZE], sql[1200];

    timefmt_db(c->now_ms, now);
    d1_batch_add(b,
                 "UPDATE file_migrations SET status = 'processing', started_at ="
                 " coalesce(file_migrations.started_at, ?2), completed_at = NULL" NOTED
                 " AND file_migrations.id = w.id",
                 D1_TEXTS(w->id, now));
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO blobferry_records (record_id, lease_owner, lease_until, attempts)"
                   " SELECT CAST(w.id AS TEXT), ?2, %lld, 1" NOTED
                   " ON CONFLICT (record_id) DO UPDATE SET lease_owner = ?2, lease_until = %lld,"
                   " attempts = attempts + 1",
                   until, until);
    d1_batch_add(b, sql, D1_TEXTS(w->id, c->owner));
    /* A row that is migrated again begins anew: nothing of the object that was taken back may be believed of the next one. */
    if (c->again)
        d1_batch_add(b,
                     "UPDATE blobferry_records SET etag = NULL, version_id = NULL,"
                     " object_owner = NULL, pre_existed = 0, pointer_set = 0, prior_r2_key = NULL,"
                     " prior_checksum = NULL, error_class = NULL" NOTED
                     " AND w.was = 'rolled_back' AND record_id = CAST(w.id AS TEXT)",
                     D1_TEXTS(w->id));
}

static void tell(const struct d1_work *w, struct d1_batch *b, const struct sqlite_info *info)
{
    struct buf sql;

    buf_init(&sql, 65536);
    buf_str(&sql, "SELECT w.was AS was, ");
    d1_row_columns(&sql, info);
    buf_str(&sql, " FROM blobferry_work AS w CROSS JOIN file_migrations AS m ON m.id = w.id"
                  " LEFT JOIN files AS f ON f.id = CAST(m.file_id AS TEXT)"
                  " LEFT JOIN blobferry_records AS r ON r.record_id = CAST(m.id AS TEXT)"
                  " WHERE w.request = ?1 AND m.status = 'processing' ORDER BY w.n");
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(w->id));
    buf_release(&sql);
}

static enum err_code take_rows(const struct json *row, struct record_list *out, struct err *e)
{
    bool full = false;
    enum err_code code = ERR_OK;

    for (; code == ERR_OK && row != NULL && !full; row = json_next(row)) {
        const char *was = d1_row_plain(row, 0);
        const size_t before = out->len;

        code = d1_row_add(row, 1, out, &full, e);
        if (code == ERR_OK && out->len > before)
            out->items[before].taken_over = was != NULL && strcmp(was, "processing") == 0;
    }
    /* Rows that are leased and do not fit are in nobody's hands until the lease expires: the next claim must be smaller. */
    return code == ERR_OK && full ? err_set(e, ERR_LIMIT, "the list of claimed rows is full")
                                  : code;
}

enum err_code d1_claim(struct tracker *t, const struct tracker_claim *c, struct record_list *out,
                       struct err *e)
{
    struct d1 *d = d1_of(t);
    struct tracker_claim claim = *c;
    struct d1_work w;
    struct d1_batch b;
    struct d1_answer a = {0};
    char *batches = json_list(c->batch_ids, c->batch_count);
    char *dead = json_list(c->dead_owners, c->dead_count);
    enum err_code code = d1_schema_write(d, e);

    if (code == ERR_OK && (batches == NULL || dead == NULL))
        code = err_set(e, ERR_LIMIT, "too many batches for one claim");
    claim.limit = c->limit < D1_PAGE_ROWS ? c->limit : D1_PAGE_ROWS;
    d1_batch_init(&b);
    d1_work_begin(&w, &b, c->owner);
    if (code == ERR_OK) {
        d1_batch_add(&b,
                     "UPDATE blobferry_records SET lease_until = 0 WHERE lease_until > 0 AND"
                     " lease_owner IN (SELECT value FROM json_each(?1))",
                     D1_TEXTS(dead));
        note(&w, &b, &d->info, &claim, batches);
        move(&w, &b, &claim);
        d1_work_settle(&w, &b, &d->info, state_batch_name(BATCH_PROCESSING), c->now_ms);
        d1_work_end(&w, &b);
        tell(&w, &b, &d->info);
        const size_t last = b.n - 1;
        code = d1_batch_run(d, &b, &a, e);
        if (code == ERR_OK)
            code = take_rows(d1_answer_rows(&a, last), out, e);
    }
    if (code != ERR_OK)
        record_list_reset(out);
    d1_answer_release(&a);
    d1_batch_release(&b);
    free(batches);
    free(dead);
    return code;
}
