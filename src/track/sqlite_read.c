/* sqlite_read: pages of records and their totals; nothing here writes. */
#include "track/sqlite.h"

#include "blobferry/codec/timefmt.h"

#include <string.h>

#define USABLE_ID "blobferry_usable(m.id, "

static bool too_big(const struct sqlite *s)
{
    return (sqlite3_errcode(s->db) & 0xff) == SQLITE_TOOBIG;
}

static void page_query(struct sqlite_select *q, const struct sqlite_info *info, const char *columns,
                       const struct tracker_filter *f, const char *after_id, size_t limit)
{
    buf_printf(&q->sql, "SELECT %s", columns);
    sqlite_select_filter(q, info, f, true);
    buf_printf(&q->sql, " AND " USABLE_ID "%d)", info->numeric_id);
    if (after_id != NULL) {
        buf_str(&q->sql, " AND m.id > ");
        sqlite_select_bind(q, (struct sqlite_arg)SQLITE_T(after_id));
    }
    buf_str(&q->sql, " ORDER BY m.id LIMIT ");
    sqlite_select_bind(q, (struct sqlite_arg)SQLITE_I((int64_t)limit));
}

/* The first row of a page holds a value that cannot be read at all: its id alone makes the page. */
static enum err_code unreadable_page(struct sqlite *s, const struct tracker_filter *f,
                                     const char *after_id, struct record_list *out, struct err *e)
{
    struct sqlite_select select;
    bool row = false, full = false;
    const char *defect = NULL, *id = NULL;

    sqlite_select_init(&select);
    page_query(&select, &s->info, "m.id", f, after_id, 1);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    enum err_code code = q == NULL ? sqlite_code(e) : sqlite_statement_next(s, q, &row, e);
    if (row)
        id = sqlite_row_text(q, 0, "file_migrations.id", out, &defect, &full);
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code == ERR_OK && id != NULL ? sqlite_row_add_unreadable(s, id, out, e) : code;
}

enum err_code sqlite_read_records(struct tracker *t, const struct tracker_filter *f,
                                  const char *after_id, size_t limit, struct record_list *out,
                                  struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_select select;
    bool row = true, full = false;

    enum err_code code = sqlite_schema_need(s, e);
    if (code != ERR_OK)
        return code;
    sqlite_select_init(&select);
    page_query(&select, &s->info, sqlite_row_columns(&s->info), f, after_id, limit);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row && !full) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code == ERR_OK && row)
            code = sqlite_row_add(q, out, &full, e);
    }
    if (code != ERR_OK && too_big(s)) { /* the rows before it are a page; then it stands alone */
        err_init(e);
        code = out->len > 0 ? ERR_OK : unreadable_page(s, f, after_id, out, e);
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

/* Every claimed row is read by it: put together once. */
static const char *one_sql(struct sqlite *s)
{
    static const struct tracker_filter any;
    struct sqlite_select select;

    if (s->read_one.len > 0)
        return s->read_one.data;
    sqlite_select_init(&select);
    buf_printf(&select.sql, "SELECT %s", sqlite_row_columns(&s->info));
    sqlite_select_filter(&select, &s->info, &any, false);
    buf_str(&select.sql, " AND m.id = ?1");
    if (buf_ok(&select.sql))
        buf_str(&s->read_one, select.sql.data);
    sqlite_select_release(&select);
    return buf_ok(&s->read_one) ? buf_cstr(&s->read_one) : "";
}

enum err_code sqlite_read_one(struct sqlite *s, const char *id, struct record_list *out,
                              bool *found, bool *full, struct err *e)
{
    bool row = true;
    const size_t before = out->len;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(s, one_sql(s), SQLITE_ARGS(SQLITE_T(id)), e);

    *full = *found = false;
    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row && !*full) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code == ERR_OK && row)
            code = sqlite_row_add(q, out, full, e);
    }
    if (code != ERR_OK && too_big(s)) {
        err_init(e);
        code = sqlite_row_add_unreadable(s, id, out, e);
    }
    *found = out->len > before;
    sqlite_statement_done(q);
    return code;
}

/* ---- totals ----------------------------------------------------------------------------------------- */

enum total_column { T_STATUS, T_STARTED, T_SIZE, T_ORPHAN, T_USABLE };

/* Is the row within the dates? One that has a date which cannot be read is told apart from one that has none. */
static bool in_dates(sqlite3_stmt *q, const struct tracker_filter *f, bool *unparsable)
{
    int64_t ms;

    *unparsable = false;
    if (!f->has_from && !f->has_to)
        return true;
    const int type = sqlite3_column_type(q, T_STARTED);
    if (type == SQLITE_NULL)
        return false;
    const char *text = type == SQLITE_TEXT || type == SQLITE_INTEGER
                           ? (const char *)sqlite3_column_text(q, T_STARTED)
                           : NULL;
    if (text == NULL || strlen(text) != (size_t)sqlite3_column_bytes(q, T_STARTED) ||
        !timefmt_parse(text, &ms)) {
        *unparsable = true;
        return false;
    }
    return (!f->has_from || ms >= f->from_ms) && (!f->has_to || ms <= f->to_ms);
}

static void count(sqlite3_stmt *q, const struct tracker_filter *f, struct tracker_totals *out)
{
    bool unparsable;
    int64_t size;
    const char *status;

    if (!in_dates(q, f, &unparsable)) {
        out->unparsable_dates += unparsable;
        return;
    }
    status = sqlite3_column_type(q, T_STATUS) == SQLITE_TEXT
                 ? (const char *)sqlite3_column_text(q, T_STATUS)
                 : NULL;
    if (status != NULL && strlen(status) != (size_t)sqlite3_column_bytes(q, T_STATUS))
        status = NULL;
    out->counts.by[state_file_parse(status)]++;
    size = sqlite3_column_type(q, T_SIZE) == SQLITE_INTEGER ? sqlite3_column_int64(q, T_SIZE) : 0;
    if (size > 0 && __builtin_add_overflow(out->bytes, size, &out->bytes))
        out->bytes = INT64_MAX;
    out->orphan_files += sqlite3_column_int(q, T_ORPHAN);
    out->unusable_ids += sqlite3_column_int(q, T_USABLE) == 0;
}

static enum err_code count_all(struct sqlite *s, const struct sqlite_info *info,
                               const struct tracker_filter *f, struct tracker_totals *out,
                               struct err *e)
{
    struct sqlite_select select;
    bool row = true;
    enum err_code code = ERR_OK;

    sqlite_select_init(&select);
    buf_printf(&select.sql,
               "SELECT m.status, m.started_at, m.file_size, m.file_id IS NOT NULL AND f.id IS NULL,"
               " " USABLE_ID "%d)",
               info->numeric_id);
    sqlite_select_filter(&select, info, f, false);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code == ERR_OK && row)
            count(q, f, out);
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

/* Debts are few and have an index: counted by themselves, so that nobody else's row is looked up among ours. */
enum err_code sqlite_read_totals(struct tracker *t, const struct tracker_filter *f,
                                 struct tracker_totals *out, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct tracker_filter debts = *f;
    struct tracker_totals owed = {0};

    enum err_code code = sqlite_schema_need(s, e);
    if (code != ERR_OK)
        return code;
    struct sqlite_info without = s->info;
    if (!f->delete_owed && !f->with_upload)
        without.schema.own = false;
    code = count_all(s, &without, f, out, e);
    debts.delete_owed = true;
    if (code == ERR_OK && s->info.schema.own)
        code = count_all(s, &s->info, &debts, &owed, e);
    out->owed = state_counts_total(&owed.counts);
    return code;
}
