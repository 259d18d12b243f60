/* sqlite_open_batches: which batches have rows in some status; only reads. */
#include "track/sqlite.h"

#include <stdint.h>

/* With the index each batch is one step into it for each status, however many rows it has. Without it, one pass over the rows. */
static void write_query(struct sqlite_select *q, const struct sqlite_info *info, unsigned statuses,
                        size_t limit)
{
    const char *between = "";

    buf_str(&q->sql, "SELECT b.batch_id FROM migration_batches AS b WHERE ");
    buf_str(&q->sql, info->batch_index ? "("
                                       : "b.batch_id IN (SELECT m.batch_id FROM"
                                         " file_migrations AS m WHERE m.status IN (");
    for (int s = 0; s < FILE_UNKNOWN; s++) {
        if ((statuses & TRACKER_STATUS(s)) == 0)
            continue;
        buf_printf(&q->sql,
                   info->batch_index
                       ? "%sEXISTS (SELECT 1 FROM file_migrations AS m WHERE m.batch_id ="
                         " b.batch_id AND m.status = '%s')"
                       : "%s'%s'",
                   between, state_file_name((enum file_status)s));
        between = info->batch_index ? " OR " : ", ";
    }
    buf_str(&q->sql, info->batch_index ? ")" : "))");
    buf_str(&q->sql, " AND b.batch_id IS NOT NULL ORDER BY b.created_at, b.id LIMIT ");
    sqlite_select_bind(
        q, (struct sqlite_arg)SQLITE_I(limit == 0 || limit > INT32_MAX ? -1 : (int64_t)limit));
}

enum err_code sqlite_open_batches(struct tracker *t, unsigned statuses, size_t limit,
                                  tracker_batch_fn *fn, void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_select select;
    bool row = true;
    enum err_code code = sqlite_schema_need(s, e);

    if (code != ERR_OK)
        return code;
    sqlite_select_init(&select);
    write_query(&select, &s->info, statuses, limit);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        const char *id = code == ERR_OK && row ? (const char *)sqlite3_column_text(q, 0) : NULL;
        if (id != NULL)
            code = fn(user, id, e);
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}
