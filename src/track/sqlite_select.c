/* sqlite_select: the one place where a filter becomes SQL. Values are always bound; only names of ours are text.
 *
 * m is file_migrations, f files, r blobferry_records. CAST lets a table of integers meet one of texts by index; COLLATE BINARY makes ids
 * compare exactly whatever the column says.
 */
#include "track/sqlite.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_FILES   " JOIN files AS f ON f.id = CAST(m.file_id AS TEXT)"
#define JOIN_RECORDS " LEFT JOIN blobferry_records AS r ON r.record_id = CAST(m.id AS TEXT)"

void sqlite_select_init(struct sqlite_select *q)
{
    memset(q, 0, sizeof *q);
    buf_init(&q->sql, (size_t)1 << 20);
}

void sqlite_select_release(struct sqlite_select *q)
{
    buf_release(&q->sql);
    free(q->args);
    q->args = NULL;
    q->n = q->cap = 0;
}

size_t sqlite_select_value(struct sqlite_select *q, struct sqlite_arg a)
{
    if (q->n == q->cap) {
        const size_t cap = q->cap == 0 ? 16 : q->cap * 2;
        struct sqlite_arg *args =
            q->n < SQLITE_SELECT_ARGS ? realloc(q->args, cap * sizeof *args) : NULL;
        if (args == NULL) {
            q->sql.failed = true; /* refused when the statement is prepared */
            return 1;
        }
        q->args = args;
        q->cap = cap;
    }
    q->args[q->n++] = a;
    return q->n;
}

void sqlite_select_bind(struct sqlite_select *q, struct sqlite_arg a)
{
    buf_printf(&q->sql, "?%zu", sqlite_select_value(q, a));
}

static void bind_text(struct sqlite_select *q, const char *text)
{
    sqlite_select_bind(q, (struct sqlite_arg)SQLITE_T(text));
}

static void bind_integer(struct sqlite_select *q, int64_t i)
{
    sqlite_select_bind(q, (struct sqlite_arg)SQLITE_I(i));
}

/* A column of numeric affinity turns a bound '07' into 7: there the text is compared as well. */
static void equals(struct sqlite_select *q, const char *column, const char *value, bool numeric)
{
    buf_printf(&q->sql, " AND %s = ", column);
    bind_text(q, value);
    buf_str(&q->sql, " COLLATE BINARY");
    if (numeric) {
        buf_printf(&q->sql, " AND CAST(%s AS TEXT) = ", column);
        bind_text(q, value);
    }
}

/* One status follows the index (batch_id, status, id); several would need a sort, so there the index by id is kept (unary plus). */
static void statuses(struct sqlite_select *q, unsigned bits)
{
    bool several = (bits & (bits - 1)) != 0, first = true;

    if (bits == TRACKER_ANY_STATUS)
        return;
    if (!several && (bits & TRACKER_STATUS(FILE_UNKNOWN)) == 0) {
        for (int i = 0; i < FILE_UNKNOWN; i++) {
            if ((bits & TRACKER_STATUS(i)) != 0) {
                buf_str(&q->sql, " AND m.status = ");
                bind_text(q, state_file_name((enum file_status)i));
                buf_str(&q->sql, " COLLATE BINARY");
            }
        }
        return;
    }
    buf_str(&q->sql, " AND (+m.status COLLATE BINARY IN (");
    for (int i = 0; i < FILE_UNKNOWN; i++) {
        if ((bits & TRACKER_STATUS(i)) == 0)
            continue;
        buf_printf(&q->sql, "%s'%s'", first ? "" : ", ", state_file_name((enum file_status)i));
        first = false;
    }
    buf_str(&q->sql, ")");
    if ((bits & TRACKER_STATUS(FILE_UNKNOWN)) != 0)
        buf_str(&q->sql, " OR m.status IS NULL OR +m.status COLLATE BINARY NOT IN ('pending',"
                         " 'processing', 'completed', 'verified', 'failed', 'rolled_back')");
    buf_str(&q->sql, ")");
}

static void from(struct sqlite_select *q, const struct sqlite_info *info,
                 const struct tracker_filter *f)
{
    const bool sparse = info->schema.own && (f->delete_owed || f->with_upload);

    /* CROSS JOIN fixes the order of the loops: id order comes from the index on m, few debts and few uploads from theirs
     * (unary plus: else a range of ids would be thought better than the index on upload_id). */
    buf_str(&q->sql, sparse
                         ? " FROM blobferry_records AS r CROSS JOIN file_migrations AS m ON m.id ="
                         : " FROM file_migrations AS m");
    if (sparse)
        buf_str(&q->sql, f->delete_owed ? " r.record_id" : " +r.record_id");
    buf_str(&q->sql, f->user_id != NULL ? " CROSS" JOIN_FILES : " LEFT" JOIN_FILES);
    if (!sparse && info->schema.own)
        buf_str(&q->sql, JOIN_RECORDS);
}

void sqlite_select_filter(struct sqlite_select *q, const struct sqlite_info *info,
                          const struct tracker_filter *f, bool with_dates)
{
    from(q, info, f);
    buf_str(&q->sql, " WHERE 1");
    if ((f->delete_owed || f->with_upload) && !info->schema.own)
        buf_str(&q->sql, " AND 0"); /* a bare database owes nothing */
    else if (f->delete_owed)
        buf_str(&q->sql, " AND r.delete_owed = 1");
    if (f->with_upload && info->schema.own)
        buf_str(&q->sql, " AND r.upload_id IS NOT NULL");
    if (f->batch_id != NULL)
        equals(q, "m.batch_id", f->batch_id, info->numeric_batch);
    if (f->user_id != NULL)
        equals(q, "f.user_id", f->user_id, info->numeric_user);
    statuses(q, f->statuses);
    if (with_dates && f->has_from) {
        buf_str(&q->sql, " AND blobferry_ms(m.started_at) >= ");
        bind_integer(q, f->from_ms);
    }
    if (with_dates && f->has_to) {
        buf_str(&q->sql, " AND blobferry_ms(m.started_at) <= ");
        bind_integer(q, f->to_ms);
    }
}

sqlite3_stmt *sqlite_select_query(struct sqlite *s, struct sqlite_select *q, struct err *e)
{
    if (!buf_ok(&q->sql)) {
        err_set(e, ERR_NOMEM, "cannot put a query together");
        return NULL;
    }
    return sqlite_statement_query(s, q->sql.data, q->args, q->n, e);
}
