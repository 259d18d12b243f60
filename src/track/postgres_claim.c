/* postgres_claim: leasing rows. The candidates are found by one index range for each batch and status, merged by id, so that the
 * millionth claim costs what the first did. Then as many of them as are asked for are locked, passing over those that another worker is
 * just claiming (SKIP LOCKED); what the lock protects is read again before it is believed. */
#include "track/postgres.h"

#include "blobferry/codec/timefmt.h"

#include <stdlib.h>
#include <string.h>

#define FEW_BATCHES  4
#define MANY_BATCHES 100 /* above it: one range for each status, batches compared row by row */
#define SPARE        16 /* times as many candidates are looked at when others hold all of the first */
#define SPARE_MAX    10000

/* One claim while it is made. */
struct claiming {
    const struct tracker_claim *c;
    struct record_list *out;
    struct postgres_batch_changes changes;
    struct arena mem;
    const char *after_id;
    struct candidate {
        const char *id;
        enum file_status from;
        bool taken;
    } * items; /* in id order */
    size_t len;
    size_t limit;            /* candidates that are looked at */
    bool more;               /* there may be others */
    const char *owner, *now; /* in out's memory */
};

/* ---- candidates --------------------------------------------------------------------------------------------- */

/* $1 owner, $2 now, $3 candidates, $4 rows, $5 after id (NULL: none), $6 batches */
static void range(struct buf *sql, const struct postgres *p, const struct claiming *k,
                  enum file_status status, bool first)
{
    const size_t batches = k->c->batch_count;
    const char *batch = postgres_column(p, POSTGRES_M_BATCH)->type;
    const bool each = batches > 0 && batches <= MANY_BATCHES;

    buf_str(sql, first ? "" : " UNION ALL ");
    if (each)
        buf_printf(sql, "(SELECT x.* FROM unnest($6::%s[]) AS b (id) CROSS JOIN LATERAL ", batch);
    buf_str(sql, "(SELECT m.id, m.status::text AS status FROM file_migrations AS m");
    /* OFFSET 0: else the planner may prefer to read all of blobferry_records once, at every claim. A pending row owes no delete, but
     * for some odd one, which is seen when it is locked. */
    if (status != FILE_PENDING)
        buf_str(sql, " LEFT JOIN LATERAL (SELECT lease_owner, lease_until, delete_owed"
                     "  FROM blobferry_records AS r WHERE " POSTGRES_RECORDS_ON
                     "  OFFSET 0) AS r ON true");
    buf_str(sql, " WHERE ");
    if (each)
        buf_str(sql, "m.batch_id = b.id AND ");
    else if (batches > 0)
        buf_printf(sql, "m.batch_id = ANY ($6::%s[]) AND ", batch);
    buf_printf(sql, "m.status = '%s' AND m.id IS NOT NULL", state_file_name(status));
    if (k->after_id != NULL)
        buf_printf(sql, " AND m.id > $5::%s", postgres_column(p, POSTGRES_M_ID)->type);
    if (status != FILE_PENDING)
        buf_str(sql, " AND coalesce(r.delete_owed, 0) = 0");
    /* A row that this very owner still holds is under way here, whatever the clock says. */
    if (status == FILE_PROCESSING)
        buf_str(sql, " AND (r.lease_owner IS NULL OR r.lease_owner <> $1::text"
                     "  AND r.lease_until <= $2::bigint)");
    buf_str(sql, " ORDER BY m.id LIMIT $3::bigint)");
    buf_str(sql, each ? " AS x)" : "");
}

static void candidates_sql(struct buf *sql, const struct postgres *p, const struct claiming *k)
{
    buf_str(sql, "WITH given AS (SELECT $1::text, $2::bigint, $4::bigint, $5::text, ");
    buf_printf(sql, "$6::%s[]), c AS MATERIALIZED (SELECT id, status FROM (",
               postgres_column(p, POSTGRES_M_BATCH)->type);
    range(sql, p, k, FILE_PENDING, true);
    range(sql, p, k, FILE_PROCESSING, false);
    if (k->c->retry_failed)
        range(sql, p, k, FILE_FAILED, false);
    if (k->c->again)
        range(sql, p, k, FILE_ROLLED_BACK, false);
    buf_str(sql, ") AS u ORDER BY id LIMIT $3::bigint) ");
}

static PGresult *ask(struct postgres *p, const struct claiming *k, const char *what,
                     const char *batches, struct err *e)
{
    const struct postgres_column *id = postgres_column(p, POSTGRES_M_ID);
    struct buf sql;

    buf_init(&sql, 65536);
    candidates_sql(&sql, p, k);
    buf_str(&sql, what);
    PGresult *q = postgres_statement_query(
        p, buf_cstr(&sql),
        POSTGRES_ARGS(POSTGRES_T(k->c->owner), POSTGRES_I(k->c->now_ms),
                      POSTGRES_I((int64_t)k->limit), POSTGRES_I((int64_t)k->c->limit),
                      POSTGRES_T(k->after_id != NULL ? postgres_type_id(id, k->after_id) : NULL),
                      POSTGRES_T(batches)),
        e);
    buf_release(&sql);
    return q;
}

static enum err_code keep_candidates(struct claiming *k, const PGresult *q, struct err *e)
{
    const int n = PQntuples(q);

    k->len = 0;
    k->items = arena_alloc(&k->mem, ((size_t)n + 1) * sizeof *k->items);
    for (int i = 0; k->items != NULL && i < n; i++) {
        const char *id = arena_strdup(&k->mem, PQgetvalue(q, i, 0));
        if (id == NULL)
            break; /* enough for one claim */
        k->items[k->len++] =
            (struct candidate){.id = id, .from = state_file_parse(PQgetvalue(q, i, 1))};
    }
    return k->items != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* Others hold all of the candidates, or there are none: look at more of them, then go on behind them. */
static enum err_code look_further(struct postgres *p, struct claiming *k, const char *batches,
                                  struct err *e)
{
    if (k->limit == k->c->limit && k->limit * SPARE <= SPARE_MAX &&
        k->c->batch_count <= FEW_BATCHES) {
        k->limit *= SPARE;
        return ERR_OK;
    }
    PGresult *q = ask(p, k, "SELECT id::text FROM c ORDER BY id DESC LIMIT 1", batches, e);
    if (q == NULL)
        return postgres_code(e);
    k->more = PQntuples(q) > 0;
    if (k->more)
        k->after_id = arena_strdup(&k->mem, PQgetvalue(q, 0, 0));
    PQclear(q);
    return k->more && k->after_id == NULL ? err_set(e, ERR_NOMEM, "out of memory") : ERR_OK;
}

/* Locks up to limit candidates. */
static enum err_code find_candidates(struct postgres *p, struct claiming *k, struct err *e)
{
    struct postgres_array batches;
    enum err_code code = ERR_OK;

    postgres_array_init(&batches);
    for (size_t i = 0; i < k->c->batch_count; i++)
        postgres_array_text(
            &batches, postgres_type_id(postgres_column(p, POSTGRES_M_BATCH), k->c->batch_ids[i]));
    const char *list = postgres_array_end(&batches);
    PGresult *q =
        ask(p, k,
            /* one by one in their order, until there are enough: no lock is taken in vain */
            "SELECT x.id::text, x.status FROM (SELECT m.id, c.status FROM c"
            " CROSS JOIN LATERAL (SELECT k.id FROM file_migrations AS k WHERE"
            "  k.id = c.id AND k.status::text = c.status FOR NO KEY UPDATE SKIP LOCKED)"
            " AS m LIMIT $4::bigint) AS x ORDER BY x.id",
            list, e);
    code = q == NULL ? postgres_code(e) : keep_candidates(k, q, e);
    PQclear(q);
    if (code == ERR_OK && k->len > 0)
        k->after_id = k->items[k->len - 1].id;
    else if (code == ERR_OK)
        code = look_further(p, k, list, e);
    postgres_array_release(&batches);
    return code;
}

/* ---- taking --------------------------------------------------------------------------------------------------- */

static const char *taken_ids(const struct postgres *p, const struct claiming *k, bool again_only,
                             bool as_text, struct postgres_array *a)
{
    postgres_array_reset(a);
    for (size_t i = 0; i < k->len; i++) {
        if (k->items[i].taken && (!again_only || k->items[i].from == FILE_ROLLED_BACK))
            postgres_array_text(
                a, as_text ? k->items[i].id
                           : postgres_type_id(postgres_column(p, POSTGRES_M_ID), k->items[i].id));
    }
    return postgres_array_end(a);
}

/* Others may have leased a row that we thought expired, between our looking and our locking. */
static bool still_free(const struct claiming *k, const struct candidate *a, const struct record *r)
{
    if (r->delete_owed)
        return false;
    return a->from != FILE_PROCESSING || r->lease_owner == NULL ||
           (strcmp(r->lease_owner, k->c->owner) != 0 && r->lease_until_ms <= k->c->now_ms);
}

/* Reads the locked rows into the list; those that may not be taken after all, or for which it has no room, are left. */
static enum err_code read_rows(struct postgres *p, struct claiming *k, struct err *e)
{
    struct postgres_select select;
    struct postgres_array ids;
    enum err_code code = ERR_OK;
    bool full = false;
    size_t at = 0;

    for (size_t i = 0; i < k->len; i++)
        k->items[i].taken = true;
    postgres_array_init(&ids);
    postgres_select_init(&select);
    buf_str(&select.sql, "SELECT ");
    postgres_row_columns(&select.sql, p);
    buf_str(&select.sql, " FROM file_migrations AS m");
    postgres_select_joins(&select.sql, p);
    const size_t n = postgres_select_value(
        &select, (struct postgres_arg)POSTGRES_T(taken_ids(p, k, false, false, &ids)));
    buf_printf(&select.sql, " WHERE m.id = ANY ($%zu::%s[]) ORDER BY m.id", n,
               postgres_column(p, POSTGRES_M_ID)->type);
    for (size_t i = 0; i < k->len; i++)
        k->items[i].taken = false;
    PGresult *q = postgres_statement_query(p, buf_cstr(&select.sql), select.args, select.n, e);
    if (q == NULL)
        code = postgres_code(e);
    for (int i = 0; code == ERR_OK && q != NULL && !full && i < PQntuples(q); i++) {
        const size_t before = k->out->len;
        code = postgres_row_add(q, i, k->out, &full, e);
        if (code != ERR_OK || k->out->len == before)
            continue;
        const struct record *r = &k->out->items[before];
        while (at < k->len && (r->id == NULL || strcmp(k->items[at].id, r->id) != 0))
            at++;
        if (at < k->len && still_free(k, &k->items[at], r))
            k->items[at].taken = true;
        else
            k->out->len = before;
    }
    PQclear(q);
    postgres_select_release(&select);
    postgres_array_release(&ids);
    return code;
}

/* Takes out of the list what the UPDATE did not change: a trigger keeps it as it is. */
static void keep_changed(struct claiming *k, const PGresult *q)
{
    size_t kept = 0, record = 0;

    for (size_t i = 0; i < k->len; i++) {
        struct candidate *a = &k->items[i];
        bool found = false;
        if (!a->taken)
            continue;
        for (int j = 0; !found && j < PQntuples(q); j++)
            found = strcmp(PQgetvalue(q, j, 0), a->id) == 0;
        a->taken = found;
        if (found)
            k->out->items[kept++] = k->out->items[record];
        record++;
    }
    k->out->len = kept;
}

static enum err_code move_rows(struct postgres *p, struct claiming *k, struct postgres_array *ids,
                               struct err *e)
{
    const struct postgres_column *started = postgres_column(p, POSTGRES_M_STARTED);
    char now[POSTGRES_TIME_SIZE];
    struct buf sql;

    buf_init(&sql, 4096);
    buf_printf(&sql,
               "UPDATE file_migrations AS m SET status = 'processing',"
               " started_at = coalesce(m.started_at, $2::%s), completed_at = NULL"
               " WHERE m.id = ANY ($1::%s[]) RETURNING m.id::text",
               started->type, postgres_column(p, POSTGRES_M_ID)->type);
    PGresult *q = postgres_statement_query(
        p, buf_cstr(&sql),
        POSTGRES_ARGS(POSTGRES_T(taken_ids(p, k, false, false, ids)),
                      POSTGRES_T(postgres_type_time(started, k->c->now_ms, now))),
        e);
    buf_release(&sql);
    if (q == NULL)
        return postgres_code(e);
    if ((size_t)PQntuples(q) != k->out->len)
        keep_changed(k, q);
    PQclear(q);
    return ERR_OK;
}

/* A row that is migrated again begins anew: nothing of the object that was taken back may be believed of the next one. */
static enum err_code lease_rows(struct postgres *p, struct claiming *k, struct postgres_array *ids,
                                struct err *e)
{
    enum err_code code =
        postgres_lease_take(p, k->c, taken_ids(p, k, false, true, ids), k->out->len, e);

    if (code == ERR_OK && k->c->again)
        code = postgres_statement_run(
            p,
            "UPDATE blobferry_records SET etag = NULL, version_id = NULL, object_owner = NULL,"
            " pre_existed = 0, pointer_set = 0, prior_r2_key = NULL, prior_checksum = NULL,"
            " error_class = NULL WHERE record_id = ANY ($1::text[])",
            POSTGRES_ARGS(POSTGRES_T(taken_ids(p, k, true, true, ids))), NULL, e);
    return code;
}

/* The records as they are now; they were read before the change. */
static enum err_code patch(struct claiming *k, struct err *e)
{
    enum err_code code = ERR_OK;
    size_t at = 0;

    for (size_t i = 0; code == ERR_OK && i < k->len; i++) {
        const enum file_status from = k->items[i].from;
        if (!k->items[i].taken)
            continue;
        struct record *r = &k->out->items[at++];
        r->taken_over = from == FILE_PROCESSING;
        r->status = FILE_PROCESSING;
        r->status_text = state_file_name(FILE_PROCESSING);
        r->attempts++;
        r->lease_owner = k->owner;
        r->lease_until_ms = k->c->now_ms + k->c->lease_ms;
        r->completed_at = NULL;
        if (r->started_at == NULL)
            r->started_at = k->now;
        if (from == FILE_ROLLED_BACK) {
            r->etag = r->version_id = r->object_owner = r->prior_r2_key = r->prior_checksum = NULL;
            r->error_class = NULL;
            r->pre_existed = r->pointer_set = false;
        }
        code = postgres_batch_note(&k->changes, r->batch_id, from, FILE_PROCESSING, e);
    }
    return code;
}

static enum err_code take(struct postgres *p, struct claiming *k, struct err *e)
{
    struct postgres_array ids;
    enum err_code code = read_rows(p, k, e);

    postgres_array_init(&ids);
    if (code == ERR_OK && k->out->len > 0)
        code = move_rows(p, k, &ids, e);
    if (code == ERR_OK && k->out->len > 0)
        code = lease_rows(p, k, &ids, e);
    if (code == ERR_OK && k->out->len > 0)
        code = patch(k, e);
    postgres_array_release(&ids);
    return code;
}

static enum err_code claim(struct postgres *p, void *user, struct err *e)
{
    struct claiming *k = user;
    char text[TIMEFMT_SIZE];
    enum err_code code;

    arena_reset(&k->mem);
    record_list_reset(k->out);
    postgres_batch_reset(&k->changes);
    timefmt_db(k->c->now_ms, text);
    k->owner = arena_strdup(&k->out->mem, k->c->owner);
    k->now = arena_strdup(&k->out->mem, text);
    if (k->owner == NULL || k->now == NULL)
        return err_set(e, ERR_LIMIT, "the list of claimed rows is full");
    k->after_id = k->c->after_id;
    /* The dead take no more rows: when a run begins from the first row, it buries them, not at every page. */
    code = k->after_id == NULL ? postgres_lease_bury(p, k->c, e) : ERR_OK;
    /* An empty list means that nothing is left: rows that cannot be taken are passed over. */
    k->limit = k->c->limit;
    k->more = true;
    while (code == ERR_OK && k->more && k->out->len == 0) {
        code = find_candidates(p, k, e);
        if (code == ERR_OK && k->len > 0)
            code = take(p, k, e);
    }
    if (code == ERR_OK)
        code = postgres_batch_settle(p, &k->changes, state_batch_name(BATCH_PROCESSING),
                                     k->c->now_ms, e);
    return code;
}

enum err_code postgres_claim(struct tracker *t, const struct tracker_claim *c,
                             struct record_list *out, struct err *e)
{
    struct claiming k = {.c = c, .out = out};

    arena_init(&k.mem, (size_t)64 << 20);
    postgres_batch_init(&k.changes);
    enum err_code code = postgres_transaction(
        postgres_of(t), &(struct postgres_work){.run = claim, .user = &k, .by_index = true}, e);
    if (code != ERR_OK)
        record_list_reset(out);
    postgres_batch_release(&k.changes);
    arena_release(&k.mem);
    return code;
}
