/* postgres_batches: the batches with what follows from their rows, in one pass over the rows of those chosen. */
#include "track/postgres.h"

#include <stdint.h>
#include <string.h>

enum column {
    B_ID,
    B_BATCH,
    B_STATUS,
    B_TOTAL,
    B_COMPLETED,
    B_FAILED,
    B_VERIFIED,
    B_STARTED,
    B_COMPLETED_AT,
    B_CREATED,
    B_COUNTS, /* FILE_STATUS_COUNT of them, the unknown ones last */
    B_BYTES = B_COUNTS + FILE_STATUS_COUNT
};

/* What LIMIT chose is counted batch by batch, each by an index where there is one. */
static void write_query(struct postgres_select *q, const struct postgres *p, const char *batch_id,
                        size_t limit)
{
    struct buf *sql = &q->sql;

    buf_str(sql, "SELECT b.id::text, b.batch_id::text, left(b.status::text, 1000), b.total_files,"
                 " b.completed_files, b.failed_files, b.verified_files, ");
    postgres_type_show_time(sql, postgres_column(p, POSTGRES_B_STARTED), "b.started_at");
    buf_str(sql, ", ");
    postgres_type_show_time(sql, postgres_column(p, POSTGRES_B_COMPLETED), "b.completed_at");
    buf_str(sql, ", ");
    postgres_type_show_time(sql, postgres_column(p, POSTGRES_B_CREATED), "b.created_at");
    buf_str(sql, ", n.* FROM (SELECT b.* FROM migration_batches AS b WHERE TRUE");
    if (batch_id != NULL) {
        buf_str(sql, " AND b.batch_id = ");
        postgres_select_id(q, postgres_column(p, POSTGRES_B_BATCH), batch_id);
    }
    buf_str(sql, " ORDER BY b.created_at DESC NULLS LAST, b.id DESC LIMIT ");
    postgres_select_bind(q,
                         (struct postgres_arg)POSTGRES_I(
                             limit == 0 || limit > INT32_MAX ? INT32_MAX : (int64_t)limit),
                         "bigint");
    buf_str(sql, ") AS b LEFT JOIN LATERAL (SELECT ");
    postgres_read_counts(sql, p, "");
    postgres_read_bytes(sql, p, "");
    buf_printf(sql,
               " FROM file_migrations AS m WHERE %s) AS n ON TRUE"
               " ORDER BY b.created_at DESC NULLS LAST, b.id DESC",
               p->info.batches_on);
}

static const char *text(const PGresult *q, int row, int column, struct batch_list *out, bool *full)
{
    const char *found = postgres_statement_text(q, row, column);

    if (found == NULL)
        return NULL;
    const char *copy = arena_strndup(&out->mem, found, strnlen(found, POSTGRES_TEXT_MAX));
    *full |= copy == NULL;
    return copy;
}

static void read_batch(const PGresult *q, int row, struct batch *b, struct batch_list *out,
                       bool *full)
{
    b->id = text(q, row, B_ID, out, full);
    b->batch_id = text(q, row, B_BATCH, out, full);
    b->status_text = text(q, row, B_STATUS, out, full);
    b->status = state_batch_parse(b->status_text);
    b->total_files = postgres_statement_integer(q, row, B_TOTAL);
    b->completed_files = postgres_statement_integer(q, row, B_COMPLETED);
    b->failed_files = postgres_statement_integer(q, row, B_FAILED);
    b->verified_files = postgres_statement_integer(q, row, B_VERIFIED);
    b->started_at = text(q, row, B_STARTED, out, full);
    b->completed_at = text(q, row, B_COMPLETED_AT, out, full);
    b->created_at = text(q, row, B_CREATED, out, full);
    for (int i = 0; i < FILE_STATUS_COUNT; i++)
        b->counts.by[i] = postgres_statement_integer(q, row, B_COUNTS + i);
    b->bytes = postgres_statement_integer(q, row, B_BYTES);
}

static enum err_code on_batch(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    struct batch_list *out = user;
    struct batch *b = record_batches_add(out);
    bool full = b == NULL;

    (void)more;
    if (b != NULL)
        read_batch(q, row, b, out, &full);
    return full ? err_set(e, ERR_LIMIT, "too many batches for one list: ask for fewer") : ERR_OK;
}

enum err_code postgres_batches(struct tracker *t, const char *batch_id, size_t limit,
                               struct batch_list *out, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_select select;
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK)
        return code;
    postgres_select_init(&select);
    write_query(&select, p, batch_id, limit);
    code = postgres_select_ok(&select, e) ? postgres_statement_each(p, select.sql.data, select.args,
                                                                    select.n, on_batch, out, e)
                                          : ERR_NOMEM;
    postgres_select_release(&select);
    return code;
}
