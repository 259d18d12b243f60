/* d1_files: questions about the application's files, for planning. */
#include "track/d1.h"

#include <stdio.h>
#include <string.h>

static enum err_code exists(struct tracker *t, const char *sql, const char *id, bool *found,
                            struct err *e)
{
    struct d1 *d = d1_of(t);
    int64_t n = 0;
    enum err_code code = d1_schema_need(d, e);

    if (code == ERR_OK)
        code = d1_query_number(d, &n, sql, D1_TEXTS(id), e);
    *found = n > 0;
    return code;
}

enum err_code d1_files_batch_exists(struct tracker *t, const char *batch_id, bool *found,
                                    struct err *e)
{
    return exists(t, "SELECT EXISTS (SELECT 1 FROM migration_batches WHERE batch_id = ?1)",
                  batch_id, found, e);
}

/* The column as the schema spells it, quoted; ERR_DB_SCHEMA when there is none. */
static enum err_code quote_column(struct d1 *d, const char *column, struct buf *out, struct err *e)
{
    struct d1_answer a;
    enum err_code code = d1_query(
        d, &a, "SELECT name FROM pragma_table_xinfo('files') WHERE name = ?1 COLLATE NOCASE",
        D1_TEXTS(column), e);
    const char *name = code == ERR_OK ? d1_row_plain(d1_answer_rows(&a, 0), 0) : NULL;

    if (name != NULL) {
        buf_str(out, "f.\"");
        for (const char *p = name; *p != '\0'; p++)
            buf_str(out, *p == '"' ? "\"\"" : (const char[]){*p, '\0'});
        buf_char(out, '"');
    } else if (code == ERR_OK) {
        err_set(e, ERR_DB_SCHEMA, "table files in '%s' has no column '%s'", d->base.name, column);
        code = err_hint(e, "name the column that holds the path of the file");
    }
    d1_answer_release(&a);
    return code;
}

static void page_sql(struct buf *b, const struct sqlite_info *info, const char *source, bool after,
                     size_t limit)
{
    const char *const columns[] = {"f.id", "f.filename", "f.user_id", "f.checksum", source};

    buf_str(b, "SELECT ");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        buf_str(b, i > 0 ? ", " : "");
        d1_value_sql(b, columns[i], D1_VALUE_KEPT);
        buf_printf(b, " AS c%zu", i);
    }
    buf_str(b, " FROM files AS f WHERE coalesce(f.r2_key, '') = '' AND ");
    d1_value_usable_sql(b, "f.id", info->numeric_file_id);
    /* Without an index on file_id, one scan for the page, not one for each row. */
    buf_str(b, info->file_index ? " AND NOT EXISTS (SELECT 1 FROM file_migrations AS m"
                                  " WHERE m.file_id = CAST(f.id AS TEXT)"
                                  " AND m.status IS NOT 'rolled_back' COLLATE BINARY)"
                                : " AND CAST(f.id AS TEXT) NOT IN (SELECT CAST(m.file_id AS TEXT)"
                                  " FROM file_migrations AS m WHERE m.file_id IS NOT NULL"
                                  " AND m.status IS NOT 'rolled_back' COLLATE BINARY)");
    buf_printf(b, "%s ORDER BY f.id LIMIT %zu", after ? " AND f.id > ?1" : "",
               limit < D1_PAGE_ROWS ? limit : D1_PAGE_ROWS);
}

static bool read_file(const struct json *row, struct record_list *out)
{
    static const char *const names[] = {"files.id", "files.filename", "files.user_id",
                                        "files.checksum", "the source column of files"};
    const struct json *item = json_first(row);
    const char *texts[5] = {NULL};
    struct tracker_value v;
    bool full = false;
    struct record *r = record_list_add(out);

    if (r == NULL)
        return false;
    r->file_row = true;
    for (size_t i = 0; i < 5 && !full; i++, item = json_next(item)) {
        full |= !d1_value_read(item, &v, &out->mem);
        if (!full)
            texts[i] = d1_row_text(&v, names[i], out, &r->defect, &full);
    }
    r->file_id = texts[0];
    r->filename = texts[1];
    r->user_id = texts[2];
    r->file_checksum = texts[3];
    r->source_path = texts[4];
    if (full)
        out->len--;
    return !full;
}

enum err_code d1_files_without_key(struct tracker *t, const char *source_column,
                                   const char *after_id, size_t limit, struct record_list *out,
                                   struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    struct buf source, sql;
    enum err_code code = d1_schema_need(d, e);

    buf_init(&source, 4096);
    buf_init(&sql, 65536);
    buf_str(&source, source_column == NULL ? "NULL" : "");
    if (code == ERR_OK && source_column != NULL)
        code = quote_column(d, source_column, &source, e);
    if (code == ERR_OK && !buf_ok(&source))
        code = err_set(e, ERR_DB_SCHEMA, "the name of the source column is too long");
    if (code == ERR_OK) {
        page_sql(&sql, &d->info, buf_cstr(&source), after_id != NULL, limit);
        code = d1_query(d, &a, buf_cstr(&sql), &after_id, after_id != NULL, e);
    }
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        if (read_file(r, out))
            continue;
        if (out->len == 0)
            code = err_set(e, ERR_LIMIT, "one row needs more memory than a page may take");
        break;
    }
    d1_answer_release(&a);
    buf_release(&source);
    buf_release(&sql);
    return code;
}
