/* postgres_open_batches: which batches have rows in some status; only reads. */
#include "track/postgres.h"

#include <stdint.h>

/* With the index each batch is one step into it for each status, however many rows it has. Without it, one pass over the rows. */
static void write_query(struct postgres_select *q, const struct postgres_info *info,
                        unsigned statuses, size_t limit)
{
    const char *between = "";

    buf_str(&q->sql, "SELECT b.batch_id::text FROM migration_batches AS b WHERE ");
    if (info->batch_index) {
        for (int s = 0; s < FILE_UNKNOWN; s++) {
            if ((statuses & TRACKER_STATUS(s)) == 0)
                continue;
            /* OFFSET 0: asked batch by batch; made into a join it would read all rows */
            buf_printf(&q->sql,
                       "%sEXISTS (SELECT 1 FROM file_migrations AS m WHERE %s"
                       " AND m.status = '%s' OFFSET 0)",
                       *between == '\0' ? "(" : between, info->batches_on,
                       state_file_name((enum file_status)s));
            between = " OR ";
        }
        buf_str(&q->sql, ")");
    } else {
        buf_printf(&q->sql, "EXISTS (SELECT 1 FROM file_migrations AS m WHERE %s AND m.status IN (",
                   info->batches_on);
        for (int s = 0; s < FILE_UNKNOWN; s++) {
            if ((statuses & TRACKER_STATUS(s)) == 0)
                continue;
            buf_printf(&q->sql, "%s'%s'", between, state_file_name((enum file_status)s));
            between = ", ";
        }
        buf_str(&q->sql, "))");
    }
    buf_str(&q->sql, " ORDER BY b.created_at, b.id LIMIT ");
    postgres_select_bind(q,
                         (struct postgres_arg)POSTGRES_I(
                             limit == 0 || limit > INT32_MAX ? INT32_MAX : (int64_t)limit),
                         "bigint");
}

struct telling {
    tracker_batch_fn *fn;
    void *user;
};

static enum err_code on_batch(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    const struct telling *t = user;
    const char *id = postgres_statement_text(q, row, 0);

    (void)more;
    return id != NULL ? t->fn(t->user, id, e) : ERR_OK;
}

enum err_code postgres_open_batches(struct tracker *t, unsigned statuses, size_t limit,
                                    tracker_batch_fn *fn, void *user, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct telling telling = {fn, user};
    struct postgres_select select;
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK)
        return code;
    postgres_select_init(&select);
    write_query(&select, &p->info, statuses, limit);
    code = postgres_select_ok(&select, e) ? postgres_statement_each(p, select.sql.data, select.args,
                                                                    select.n, on_batch, &telling, e)
                                          : ERR_NOMEM;
    postgres_select_release(&select);
    return code;
}
