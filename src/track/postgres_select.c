/* postgres_select: the one place where a filter becomes SQL. Values are always bound, in the type of their column, so that an index
 * can be used; only names of ours are text.
 *
 * m is file_migrations, f files, r blobferry_records.
 */
#include "track/postgres.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN "'pending', 'processing', 'completed', 'verified', 'failed', 'rolled_back'"

void postgres_select_init(struct postgres_select *q)
{
    memset(q, 0, sizeof *q);
    buf_init(&q->sql, (size_t)1 << 20);
}

void postgres_select_release(struct postgres_select *q)
{
    buf_release(&q->sql);
    free(q->args);
    q->args = NULL;
    q->n = q->cap = 0;
}

size_t postgres_select_value(struct postgres_select *q, struct postgres_arg a)
{
    if (q->n == q->cap) {
        const size_t cap = q->cap == 0 ? 16 : q->cap * 2;
        struct postgres_arg *args =
            q->n < POSTGRES_ARGS_MAX ? realloc(q->args, cap * sizeof *args) : NULL;
        if (args == NULL) {
            q->sql.failed = true; /* refused when the statement is sent */
            return 1;
        }
        q->args = args;
        q->cap = cap;
    }
    q->args[q->n++] = a;
    return q->n;
}

void postgres_select_bind(struct postgres_select *q, struct postgres_arg a, const char *type)
{
    buf_printf(&q->sql, "$%zu::%s", postgres_select_value(q, a), type);
}

void postgres_select_id(struct postgres_select *q, const struct postgres_column *c,
                        const char *text)
{
    postgres_select_bind(q, (struct postgres_arg)POSTGRES_T(postgres_type_id(c, text)), c->type);
}

bool postgres_select_ok(const struct postgres_select *q, struct err *e)
{
    if (!buf_ok(&q->sql))
        err_set(e, ERR_NOMEM, "cannot put a query together");
    return buf_ok(&q->sql);
}

const char *postgres_select_status(const struct postgres *p)
{
    /* An enum has no value for a status that it does not know: asked for by its text. */
    return postgres_column(p, POSTGRES_M_STATUS)->kind == POSTGRES_TEXT ? "m.status"
                                                                        : "m.status::text";
}

static void statuses(struct postgres_select *q, const struct postgres *p, unsigned bits)
{
    const char *status = postgres_select_status(p);
    const bool unknown = (bits & TRACKER_STATUS(FILE_UNKNOWN)) != 0;
    const unsigned known = bits & ~TRACKER_STATUS(FILE_UNKNOWN);
    bool first = true;

    if (bits == TRACKER_ANY_STATUS)
        return;
    buf_str(&q->sql, " AND (");
    if (known != 0) {
        /* One status follows the index (batch_id, status, id). */
        buf_printf(&q->sql, "%s IN (", status);
        for (int i = 0; i < FILE_UNKNOWN; i++) {
            if ((known & TRACKER_STATUS(i)) == 0)
                continue;
            buf_printf(&q->sql, "%s'%s'", first ? "" : ", ", state_file_name((enum file_status)i));
            first = false;
        }
        buf_char(&q->sql, ')');
    }
    if (unknown)
        buf_printf(&q->sql, "%sm.status IS NULL OR %s NOT IN (" KNOWN ")", known != 0 ? " OR " : "",
                   status);
    buf_char(&q->sql, ')');
}

/* An instant that the filter names, against the column; a fraction of a millisecond still belongs to its millisecond. */
static void bound(struct postgres_select *q, const struct postgres_column *c, bool from, int64_t ms)
{
    buf_str(&q->sql, " AND ");
    postgres_type_time_ms(&q->sql, c, "m.started_at");
    buf_str(&q->sql, from ? " >= " : " <= ");
    postgres_select_bind(q, (struct postgres_arg)POSTGRES_I(ms), "bigint");
}

void postgres_select_dates(struct postgres_select *q, const struct postgres *p,
                           const struct tracker_filter *f)
{
    const struct postgres_column *c = postgres_column(p, POSTGRES_M_STARTED);

    if (f->has_from)
        bound(q, c, true, f->from_ms);
    if (f->has_to)
        bound(q, c, false, f->to_ms);
}

static void where(struct postgres_select *q, const struct postgres *p,
                  const struct tracker_filter *f)
{
    buf_str(&q->sql, " WHERE TRUE");
    if ((f->delete_owed || f->with_upload) && !p->info.schema.own)
        buf_str(&q->sql, " AND FALSE"); /* a bare database owes nothing */
    if (f->delete_owed && p->info.schema.own)
        buf_str(&q->sql, " AND r.delete_owed = 1");
    if (f->with_upload && p->info.schema.own)
        buf_str(&q->sql, " AND r.upload_id IS NOT NULL");
    if (f->batch_id != NULL) {
        buf_str(&q->sql, " AND m.batch_id = ");
        postgres_select_id(q, postgres_column(p, POSTGRES_M_BATCH), f->batch_id);
    }
    if (f->user_id != NULL) {
        buf_str(&q->sql, " AND f.user_id = ");
        postgres_select_id(q, postgres_column(p, POSTGRES_F_USER), f->user_id);
    }
    statuses(q, p, f->statuses);
}

void postgres_select_rows(struct postgres_select *q, const struct postgres *p,
                          const struct tracker_filter *f, bool with_dates)
{
    buf_str(&q->sql, " FROM file_migrations AS m");
    if (f->user_id != NULL)
        buf_printf(&q->sql, " JOIN files AS f ON %s", p->info.files_on);
    if ((f->delete_owed || f->with_upload) && p->info.schema.own)
        buf_printf(&q->sql, " JOIN blobferry_records AS r ON %s", p->info.record_on);
    where(q, p, f);
    if (with_dates)
        postgres_select_dates(q, p, f);
}

void postgres_select_filter(struct postgres_select *q, const struct postgres *p,
                            const struct tracker_filter *f, bool with_dates)
{
    const bool sparse = f->delete_owed || f->with_upload;

    buf_printf(&q->sql, " FROM file_migrations AS m %s JOIN files AS f ON %s",
               f->user_id != NULL ? "" : "LEFT", p->info.files_on);
    if (p->info.schema.own)
        buf_printf(&q->sql, " %s JOIN blobferry_records AS r ON %s", sparse ? "" : "LEFT",
                   sparse ? p->info.record_on : POSTGRES_RECORDS_ON);
    where(q, p, f);
    if (with_dates)
        postgres_select_dates(q, p, f);
}

void postgres_select_joins(struct buf *sql, const struct postgres *p)
{
    buf_printf(sql,
               " LEFT JOIN LATERAL (SELECT f.* FROM files AS f WHERE %s OFFSET 0) AS f ON TRUE",
               p->info.files_on);
    if (p->info.schema.own)
        buf_str(sql, " LEFT JOIN LATERAL (SELECT r.* FROM blobferry_records AS r"
                     " WHERE " POSTGRES_RECORDS_ON " OFFSET 0) AS r ON TRUE");
}

void postgres_select_usable(struct buf *sql, const struct postgres_column *c, const char *id)
{
    if (c->kind == POSTGRES_TEXT || c->kind == POSTGRES_OTHER)
        buf_printf(sql, "(%s IS NOT NULL AND octet_length(%s::text) <= %zu)", id, id,
                   POSTGRES_TEXT_MAX);
    else
        buf_printf(sql, "%s IS NOT NULL", id);
}
