/* postgres_read: pages of records and their totals; nothing here writes. */
#include "track/postgres.h"

#include <string.h>

/* ---- pages ------------------------------------------------------------------------------------------- */

/* The page is found first, by an index in id order, and joined then: a planner without statistics would rather hash whole tables. */
static void page_query(struct postgres_select *q, const struct postgres *p,
                       const struct tracker_filter *f, const char *after_id, size_t limit)
{
    const struct postgres_column *id = postgres_column(p, POSTGRES_M_ID);

    buf_str(&q->sql, "SELECT ");
    postgres_row_columns(&q->sql, p);
    buf_str(&q->sql, " FROM (SELECT m.*");
    postgres_select_rows(q, p, f, true);
    buf_str(&q->sql, " AND ");
    postgres_select_usable(&q->sql, id, "m.id");
    if (after_id != NULL) {
        buf_str(&q->sql, " AND m.id > ");
        postgres_select_id(q, id, after_id);
    }
    buf_str(&q->sql, " ORDER BY m.id LIMIT ");
    postgres_select_bind(q, (struct postgres_arg)POSTGRES_I((int64_t)limit), "bigint");
    buf_str(&q->sql, ") AS m");
    postgres_select_joins(&q->sql, p);
    buf_str(&q->sql, " ORDER BY m.id");
}

static enum err_code on_record(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    bool full = false;
    enum err_code code = postgres_row_add(q, row, user, &full, e);

    *more = !full;
    return code;
}

enum err_code postgres_read_records(struct tracker *t, const struct tracker_filter *f,
                                    const char *after_id, size_t limit, struct record_list *out,
                                    struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_select select;
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK)
        return code;
    postgres_select_init(&select);
    page_query(&select, p, f, after_id, limit);
    code = postgres_select_ok(&select, e) ? postgres_statement_each(p, select.sql.data, select.args,
                                                                    select.n, on_record, out, e)
                                          : ERR_NOMEM;
    postgres_select_release(&select);
    return code;
}

/* ---- totals ----------------------------------------------------------------------------------------- */

enum total_column {
    T_COUNTS,
    T_BYTES = T_COUNTS + FILE_STATUS_COUNT,
    T_ORPHAN,
    T_UNUSABLE,
    T_ODD,
    T_OWED
};

void postgres_read_bytes(struct buf *sql, const struct postgres *p, const char *filter)
{
    const enum postgres_kind kind = postgres_column(p, POSTGRES_M_SIZE)->kind;

    /* A sum of bigints is numeric: no hostile size can overflow it. */
    if (kind == POSTGRES_INT2 || kind == POSTGRES_INT4 || kind == POSTGRES_INT8)
        buf_printf(sql,
                   "least(coalesce(sum(m.file_size) FILTER (WHERE m.file_size > 0%s), 0),"
                   " 9223372036854775807)::bigint",
                   filter);
    else
        buf_printf(sql,
                   "least(coalesce(sum(m.file_size::text::numeric) FILTER (WHERE m.file_size::text"
                   " ~ '^[0-9]{1,18}$'%s), 0), 9223372036854775807)::bigint",
                   filter);
}

void postgres_read_counts(struct buf *sql, const struct postgres *p, const char *filter)
{
    const char *status = postgres_select_status(p);

    for (int i = 0; i < FILE_UNKNOWN; i++)
        buf_printf(sql, "count(*) FILTER (WHERE %s = '%s'%s), ", status,
                   state_file_name((enum file_status)i), filter);
    buf_printf(sql,
               "count(*) FILTER (WHERE (%s IN ('pending', 'processing', 'completed', 'verified',"
               " 'failed', 'rolled_back')) IS NOT TRUE%s), ",
               status, filter);
}

/* "inside" are the rows within the dates; "odd" have one that is no instant. */
static void totals_query(struct postgres_select *q, const struct postgres *p,
                         const struct tracker_filter *f)
{
    const bool dated = f->has_from || f->has_to;
    const char *inside = dated ? " AND m.inside" : "";
    struct tracker_filter debts = *f;
    struct postgres without = *p; /* our rows are joined only where the filter asks for them */
    struct buf *sql = &q->sql;

    debts.delete_owed = true;
    if (!f->delete_owed && !f->with_upload)
        without.info.schema.own = false;

    buf_str(sql, "SELECT ");
    postgres_read_counts(sql, p, inside);
    postgres_read_bytes(sql, p, inside);
    buf_printf(sql,
               ", count(*) FILTER (WHERE m.orphan%s), count(*) FILTER (WHERE NOT m.usable%s),"
               " count(*) FILTER (WHERE m.odd), (SELECT count(*)",
               inside, inside);
    postgres_select_rows(q, p, &debts, true); /* few, and they have an index */
    buf_str(sql, ") FROM (SELECT m.status, m.file_size, m.file_id IS NOT NULL AND f.id IS NULL AS"
                 " orphan, ");
    postgres_select_usable(sql, postgres_column(p, POSTGRES_M_ID), "m.id");
    buf_str(sql, " AS usable, ");
    if (dated) {
        buf_str(sql, "TRUE");
        postgres_select_dates(q, p, f);
        buf_str(sql, " AS inside, m.started_at IS NOT NULL AND ");
        postgres_type_time_ms(sql, postgres_column(p, POSTGRES_M_STARTED), "m.started_at");
        buf_str(sql, " IS NULL AS odd");
    } else {
        buf_str(sql, "FALSE AS odd");
    }
    postgres_select_filter(q, &without, f, false);
    buf_str(sql, ") AS m");
}

enum err_code postgres_read_totals(struct tracker *t, const struct tracker_filter *f,
                                   struct tracker_totals *out, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_select select;
    PGresult *q = NULL;
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK)
        return code;
    postgres_select_init(&select);
    totals_query(&select, p, f);
    if (postgres_select_ok(&select, e))
        q = postgres_statement_query(p, select.sql.data, select.args, select.n, e);
    postgres_select_release(&select);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; i < FILE_STATUS_COUNT; i++)
        out->counts.by[i] = postgres_statement_integer(q, 0, T_COUNTS + i);
    out->bytes = postgres_statement_integer(q, 0, T_BYTES);
    out->orphan_files = postgres_statement_integer(q, 0, T_ORPHAN);
    out->owed = postgres_statement_integer(q, 0, T_OWED);
    out->unusable_ids = postgres_statement_integer(q, 0, T_UNUSABLE);
    out->unparsable_dates = postgres_statement_integer(q, 0, T_ODD);
    PQclear(q);
    return ERR_OK;
}
