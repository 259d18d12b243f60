/* sqlite_dump: rows as they are, type and bytes, for a backup: one snapshot, one row in memory at a time. */
#include "track/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 2000 /* SQLite's own limit */

static enum err_code dump_rows(struct sqlite *s, sqlite3_stmt *q, const char *table,
                               tracker_dump_fn *fn, void *user, struct err *e)
{
    struct tracker_value *values = calloc(COLUMNS_MAX, sizeof *values);
    bool row = true;
    enum err_code code = ERR_OK;

    if (values == NULL) {
        sqlite_statement_done(q);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        const int n = sqlite3_column_count(q);
        for (int i = 0; code == ERR_OK && i < n && i < COLUMNS_MAX; i++) {
            values[i].column = sqlite3_column_name(q, i);
            sqlite_value_read(q, i, &values[i]);
            if (values[i].bytes == NULL && values[i].len > 0)
                code = err_set(e, ERR_NOMEM, "out of memory");
        }
        if (code == ERR_OK)
            code = fn(user, table, values, (size_t)n, e);
    }
    sqlite_statement_done(q);
    free(values);
    return code;
}

/* "SELECT <before> <the filter's rows of m> <after>". */
static enum err_code dump_table(struct sqlite *s, const struct tracker_filter *f, const char *table,
                                const char *before, const char *after, tracker_dump_fn *fn,
                                void *user, struct err *e)
{
    struct sqlite_select select;

    sqlite_select_init(&select);
    buf_str(&select.sql, before);
    sqlite_select_filter(&select, &s->info, f, true);
    buf_str(&select.sql, after);
    sqlite3_stmt *q = sqlite_select_query(s, &select, e);
    enum err_code code = q != NULL ? dump_rows(s, q, table, fn, user, e) : sqlite_code(e);
    sqlite_select_release(&select);
    return code;
}

/* All rows, whether a migration touches them or not. */
static enum err_code dump_everything(struct sqlite *s, tracker_dump_fn *fn, void *user,
                                     struct err *e)
{
    enum err_code code = ERR_OK;

    for (int i = 0; code == ERR_OK && i < TRACKER_TABLES; i++) {
        const char *table = tracker_table_name((enum tracker_table)i);
        char sql[80];

        if (i == TRACKER_RECORDS && !s->info.schema.own)
            break;
        snprintf(sql, sizeof sql, "SELECT * FROM %s", table);
        sqlite3_stmt *q = sqlite_statement_query(s, sql, SQLITE_NONE, e);
        code = q != NULL ? dump_rows(s, q, table, fn, user, e) : sqlite_code(e);
    }
    return code;
}

static enum err_code dump_all(struct sqlite *s, const struct tracker_filter *f, tracker_dump_fn *fn,
                              void *user, struct err *e)
{
    enum err_code code =
        dump_table(s, f, "migration_batches",
                   "SELECT b.* FROM migration_batches AS b WHERE b.batch_id IN (SELECT m.batch_id",
                   ") ORDER BY b.id", fn, user, e);

    if (code == ERR_OK)
        code = dump_table(s, f, "file_migrations", "SELECT m.*", " ORDER BY m.id", fn, user, e);
    if (code == ERR_OK)
        code = dump_table(s, f, "files",
                          "SELECT * FROM files WHERE id IN (SELECT CAST(m.file_id AS TEXT)",
                          ") ORDER BY id", fn, user, e);
    if (code == ERR_OK && s->info.schema.own)
        code = dump_table(s, f, "blobferry_records", "SELECT r.*",
                          " AND r.record_id IS NOT NULL ORDER BY m.id", fn, user, e);
    return code;
}

enum err_code sqlite_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                          void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_schema_need(s, e);

    if (code != ERR_OK)
        return code;
    if (sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "read");
    return sqlite_statement_end(
        s, f->everything ? dump_everything(s, fn, user, e) : dump_all(s, f, fn, user, e), e);
}
