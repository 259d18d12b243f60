/* d1_read: pages of records and their totals; nothing here writes. */
#include "track/d1.h"

#include <stdio.h>
#include <string.h>

void d1_read_filter(struct sqlite_select *q, const struct sqlite_info *info,
                    const struct tracker_filter *f)
{
    sqlite_select_filter(q, info, f, false);
    if (f->has_from) {
        buf_str(&q->sql, " AND ");
        d1_value_ms_sql(&q->sql, "m.started_at");
        buf_printf(&q->sql, " >= %lld", (long long)f->from_ms);
    }
    if (f->has_to) {
        buf_str(&q->sql, " AND ");
        d1_value_ms_sql(&q->sql, "m.started_at");
        buf_printf(&q->sql, " <= %lld", (long long)f->to_ms);
    }
}

static enum err_code ask(struct d1 *d, const struct sqlite_select *q, struct d1_answer *a,
                         struct err *e)
{
    struct d1_batch b;

    d1_batch_init(&b);
    d1_batch_select(&b, q);
    enum err_code code = d1_batch_run(d, &b, a, e);
    d1_batch_release(&b);
    return code;
}

enum err_code d1_read_records(struct tracker *t, const struct tracker_filter *f,
                              const char *after_id, size_t limit, struct record_list *out,
                              struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    struct sqlite_select q;
    bool full = false;

    enum err_code code = d1_schema_need(d, e);
    if (code != ERR_OK)
        return code;
    sqlite_select_init(&q);
    buf_str(&q.sql, "SELECT ");
    d1_row_columns(&q.sql, &d->info);
    d1_read_filter(&q, &d->info, f);
    buf_str(&q.sql, " AND ");
    d1_value_usable_sql(&q.sql, "m.id", d->info.numeric_id);
    if (after_id != NULL) {
        buf_str(&q.sql, " AND m.id > ");
        sqlite_select_bind(&q, (struct sqlite_arg)SQLITE_T(after_id));
    }
    /* A full page may be a shorter one than was asked for: only an empty one is the end. */
    buf_printf(&q.sql, " ORDER BY m.id LIMIT %zu", limit < D1_PAGE_ROWS ? limit : D1_PAGE_ROWS);
    code = ask(d, &q, &a, e);
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL && !full;
         r = json_next(r))
        code = d1_row_add(r, 0, out, &full, e);
    d1_answer_release(&a);
    sqlite_select_release(&q);
    return code;
}

/* ---- totals ----------------------------------------------------------------------------------------- */

enum total_column { T_STATUS, T_ROWS, T_BYTES, T_ORPHANS, T_OWED, T_UNUSABLE, T_UNPARSABLE };

/* One row for each status. Within the dates is 1, 0, or NULL for a date that cannot be read. */
static void totals_query(struct sqlite_select *q, const struct sqlite_info *info,
                         const struct tracker_filter *f)
{
    buf_str(&q->sql, "SELECT s, sum(inside IS 1), CAST(total(CASE WHEN inside THEN bytes END) AS "
                     "INTEGER), sum(inside IS 1 AND orphan), sum(inside IS 1 AND owed),"
                     " sum(inside IS 1 AND NOT usable), sum(inside IS NULL) FROM (SELECT ");
    d1_value_sql(&q->sql, "m.status", 100);
    buf_printf(&q->sql,
               " AS s, CASE WHEN typeof(m.file_size) = 'integer' AND m.file_size > 0 THEN"
               " m.file_size END AS bytes, m.file_id IS NOT NULL AND f.id IS NULL AS orphan,"
               " coalesce(%s, 0) AS owed, ",
               info->schema.own ? "r.delete_owed" : "0");
    d1_value_usable_sql(&q->sql, "m.id", info->numeric_id);
    buf_str(&q->sql, " AS usable, ");
    if (f->has_from || f->has_to) {
        buf_str(&q->sql, "CASE WHEN m.started_at IS NULL THEN 0 ELSE ");
        d1_value_ms_sql(&q->sql, "m.started_at");
        buf_printf(&q->sql, " BETWEEN %lld AND %lld END",
                   (long long)(f->has_from ? f->from_ms : INT64_MIN + 1),
                   (long long)(f->has_to ? f->to_ms : INT64_MAX));
    } else {
        buf_char(&q->sql, '1');
    }
    buf_str(&q->sql, " AS inside");
    sqlite_select_filter(q, info, f, false);
    buf_str(&q->sql, ") GROUP BY s");
}

static void add_total(const struct json *row, struct tracker_totals *out, struct arena *mem)
{
    struct tracker_value v;
    const char *status = NULL;

    arena_reset(mem);
    if (d1_value_read(json_first(row), &v, mem) && v.type == TRACKER_TEXT &&
        strlen(v.bytes) == v.len)
        status = v.bytes;
    out->counts.by[state_file_parse(status)] += d1_row_number(row, T_ROWS);
    if (__builtin_add_overflow(out->bytes, d1_row_number(row, T_BYTES), &out->bytes))
        out->bytes = INT64_MAX;
    out->orphan_files += d1_row_number(row, T_ORPHANS);
    out->owed += d1_row_number(row, T_OWED);
    out->unusable_ids += d1_row_number(row, T_UNUSABLE);
    out->unparsable_dates += d1_row_number(row, T_UNPARSABLE);
}

enum err_code d1_read_totals(struct tracker *t, const struct tracker_filter *f,
                             struct tracker_totals *out, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    struct sqlite_select q;
    struct arena mem;

    enum err_code code = d1_schema_need(d, e);
    if (code != ERR_OK)
        return code;
    arena_init(&mem, 65536);
    sqlite_select_init(&q);
    totals_query(&q, &d->info, f);
    code = ask(d, &q, &a, e);
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r))
        add_total(r, out, &mem);
    d1_answer_release(&a);
    sqlite_select_release(&q);
    arena_release(&mem);
    return code;
}
