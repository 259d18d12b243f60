/* sqlite_files: questions about the application's files, for planning. */
#include "track/sqlite.h"

#include <string.h>
#include <strings.h>

static enum err_code exists(struct tracker *t, const char *sql, const char *id, bool *found,
                            struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    int64_t n = 0;
    enum err_code code = sqlite_schema_need(s, e);

    if (code == ERR_OK)
        code = sqlite_statement_number(s, sql, SQLITE_ARGS(SQLITE_T(id)), &n, e);
    *found = n > 0;
    return code;
}

enum err_code sqlite_files_batch_exists(struct tracker *t, const char *batch_id, bool *found,
                                        struct err *e)
{
    return exists(t, "SELECT EXISTS (SELECT 1 FROM migration_batches WHERE batch_id = ?1)",
                  batch_id, found, e);
}

enum err_code sqlite_files_exists(struct tracker *t, const char *file_id, bool *found,
                                  struct err *e)
{
    return exists(t, "SELECT EXISTS (SELECT 1 FROM files WHERE id = ?1)", file_id, found, e);
}

/* The column as the schema spells it, quoted; ERR_DB_SCHEMA when there is none. */
static enum err_code quote_column(struct sqlite *s, const char *column, struct buf *out,
                                  struct err *e)
{
    bool row = true, found = false;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(
        s, "SELECT name FROM pragma_table_xinfo('files') WHERE name = ?1 COLLATE NOCASE",
        SQLITE_ARGS(SQLITE_T(column)), e);

    if (q == NULL)
        return sqlite_code(e);
    code = sqlite_statement_next(s, q, &row, e);
    const char *name = row ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (name != NULL) {
        found = true;
        buf_str(out, "f.\"");
        for (const char *p = name; *p != '\0'; p++)
            buf_str(out, *p == '"' ? "\"\"" : (const char[]){*p, '\0'});
        buf_char(out, '"');
    }
    sqlite_statement_done(q);
    if (code == ERR_OK && !found) {
        err_set(e, ERR_DB_SCHEMA, "table files in '%s' has no column '%s'", s->path, column);
        return err_hint(e, "name the column that holds the path of the file");
    }
    return code;
}

static void page_query(struct sqlite_select *q, const struct sqlite_info *info, const char *source,
                       const char *after_id, size_t limit)
{
    buf_printf(&q->sql,
               "SELECT f.id, f.filename, f.user_id, f.checksum, %s FROM files AS f"
               " WHERE coalesce(f.r2_key, '') = '' AND blobferry_usable(f.id, %d)",
               source, info->numeric_file_id);
    /* Without an index on file_id, one scan for the page, not one for each row. */
    buf_str(&q->sql, info->file_index
                         ? " AND NOT EXISTS (SELECT 1 FROM file_migrations AS m"
                           " WHERE m.file_id = CAST(f.id AS TEXT)"
                           " AND m.status IS NOT 'rolled_back' COLLATE BINARY)"
                         : " AND CAST(f.id AS TEXT) NOT IN (SELECT CAST(m.file_id AS TEXT)"
                           " FROM file_migrations AS m WHERE m.file_id IS NOT NULL"
                           " AND m.status IS NOT 'rolled_back' COLLATE BINARY)");
    if (after_id != NULL) {
        buf_str(&q->sql, " AND f.id > ");
        sqlite_select_bind(q, (struct sqlite_arg)SQLITE_T(after_id));
    }
    buf_str(&q->sql, " ORDER BY f.id LIMIT ");
    sqlite_select_bind(q, (struct sqlite_arg)SQLITE_I((int64_t)limit));
}

static bool read_file(sqlite3_stmt *q, struct record_list *out)
{
    bool full = false;
    struct record *r = record_list_add(out);

    if (r == NULL)
        return false;
    r->file_row = true;
    r->file_id = sqlite_row_text(q, 0, "files.id", out, &r->defect, &full);
    r->filename = sqlite_row_text(q, 1, "files.filename", out, &r->defect, &full);
    r->user_id = sqlite_row_text(q, 2, "files.user_id", out, &r->defect, &full);
    r->file_checksum = sqlite_row_text(q, 3, "files.checksum", out, &r->defect, &full);
    r->source_path = sqlite_row_text(q, 4, "the source column of files", out, &r->defect, &full);
    if (full)
        out->len--;
    return !full;
}

enum err_code sqlite_files_without_key(struct tracker *t, const char *source_column,
                                       const char *after_id, size_t limit, struct record_list *out,
                                       struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_select select;
    struct buf source;
    sqlite3_stmt *q = NULL;
    bool row = true;

    sqlite_select_init(&select);
    buf_init(&source, 4096);
    buf_str(&source, source_column == NULL ? "NULL" : "");
    enum err_code code = sqlite_schema_need(s, e);
    if (code == ERR_OK && source_column != NULL)
        code = quote_column(s, source_column, &source, e);
    if (code == ERR_OK && !buf_ok(&source))
        code = err_set(e, ERR_DB_SCHEMA, "the name of the source column is too long");
    if (code == ERR_OK) {
        page_query(&select, &s->info, source.data, after_id, limit);
        q = sqlite_select_query(s, &select, e);
        code = q == NULL ? sqlite_code(e) : ERR_OK;
    }
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code == ERR_OK && row && !read_file(q, out)) {
            if (out->len == 0)
                code = err_set(e, ERR_LIMIT, "one row needs more memory than a page may take");
            break;
        }
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    buf_release(&source);
    return code;
}
