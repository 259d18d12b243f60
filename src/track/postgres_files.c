/* postgres_files: questions about the application's files, for planning. */
#include "track/postgres_plan.h"

#include <string.h>

static enum err_code exists(struct tracker *t, const char *table, const char *name,
                            enum postgres_name column, const char *id, bool *found, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_select select;
    int64_t n = 0;
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK)
        return code;
    postgres_select_init(&select);
    buf_printf(&select.sql, "SELECT EXISTS (SELECT 1 FROM %s WHERE %s = ", table, name);
    postgres_select_id(&select, postgres_column(p, column), id);
    buf_char(&select.sql, ')');
    code = postgres_select_ok(&select, e)
               ? postgres_statement_number(p, select.sql.data, select.args, select.n, &n, e)
               : ERR_NOMEM;
    postgres_select_release(&select);
    *found = n > 0;
    return code;
}

enum err_code postgres_files_batch_exists(struct tracker *t, const char *batch_id, bool *found,
                                          struct err *e)
{
    return exists(t, "migration_batches", "batch_id", POSTGRES_B_BATCH, batch_id, found, e);
}

enum err_code postgres_files_exists(struct tracker *t, const char *file_id, bool *found,
                                    struct err *e)
{
    return exists(t, "files", "id", POSTGRES_F_ID, file_id, found, e);
}

/* ---- files without a key -------------------------------------------------------------------------------- */

/* The column as the schema spells it, quoted; one that is spelled exactly so goes first. ERR_DB_SCHEMA when there is none. */
static enum err_code quote_column(struct postgres *p, const char *column, struct buf *out,
                                  struct err *e)
{
    PGresult *q = postgres_statement_query(
        p,
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass('files')"
        " AND attnum > 0 AND NOT attisdropped AND lower(attname) = lower($1::text)"
        " ORDER BY attname = $1::text DESC, attname LIMIT 1",
        POSTGRES_ARGS(POSTGRES_T(column)), e);
    enum err_code code = ERR_OK;

    if (q == NULL)
        return postgres_code(e);
    if (PQntuples(q) == 1) {
        buf_printf(out, "left(f.%s::text, %zu)", PQgetvalue(q, 0, 0), POSTGRES_TEXT_MAX + 1);
    } else {
        err_set(e, ERR_DB_SCHEMA, "table files in '%s' has no column '%s'", p->base.name, column);
        code = err_hint(e, "name the column that holds the path of the file");
    }
    PQclear(q);
    return code;
}

static void page_query(struct postgres_select *q, const struct postgres *p, const char *source,
                       const char *after_id, size_t limit)
{
    const struct postgres_column *id = postgres_column(p, POSTGRES_F_ID);

    buf_printf(&q->sql,
               "SELECT f.id::text, left(f.filename::text, %zu), left(f.user_id::text, %zu),"
               " left(f.checksum::text, %zu), %s FROM files AS f"
               " WHERE coalesce(f.r2_key::text, '') = '' AND ",
               POSTGRES_TEXT_MAX + 1, POSTGRES_TEXT_MAX + 1, POSTGRES_TEXT_MAX + 1, source);
    postgres_select_usable(&q->sql, id, "f.id");
    /* files_on finds f from m; seen from f the planner hashes m once, or follows an index on file_id. */
    buf_printf(&q->sql,
               " AND NOT EXISTS (SELECT 1 FROM file_migrations AS m WHERE %s"
               " AND %s IS DISTINCT FROM 'rolled_back')",
               p->info.files_on, postgres_select_status(p));
    if (after_id != NULL) {
        buf_str(&q->sql, " AND f.id > ");
        postgres_select_id(q, id, after_id);
    }
    buf_str(&q->sql, " ORDER BY f.id LIMIT ");
    postgres_select_bind(q, (struct postgres_arg)POSTGRES_I((int64_t)limit), "bigint");
}

static enum err_code on_file(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    struct record_list *out = user;
    struct record *r = record_list_add(out);
    bool full = r == NULL;

    if (r != NULL) {
        const char **bad = &r->defect;
        r->file_row = true;
        r->file_id = postgres_row_text(q, row, 0, "files.id", out, bad, &full);
        r->filename = postgres_row_text(q, row, 1, "files.filename", out, bad, &full);
        r->user_id = postgres_row_text(q, row, 2, "files.user_id", out, bad, &full);
        r->file_checksum = postgres_row_text(q, row, 3, "files.checksum", out, bad, &full);
        r->source_path =
            postgres_row_text(q, row, 4, "the source column of files", out, bad, &full);
        if (full)
            out->len--;
    }
    *more = !full;
    if (full && out->len == 0)
        return err_set(e, ERR_LIMIT, "one row needs more memory than a page may take");
    return ERR_OK;
}

enum err_code postgres_files_without_key(struct tracker *t, const char *source_column,
                                         const char *after_id, size_t limit,
                                         struct record_list *out, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_select select;
    struct buf source;
    enum err_code code = postgres_schema_need(p, e);

    postgres_select_init(&select);
    buf_init(&source, 4096);
    buf_str(&source, source_column == NULL ? "NULL" : "");
    if (code == ERR_OK && source_column != NULL)
        code = quote_column(p, source_column, &source, e);
    if (code == ERR_OK && !buf_ok(&source))
        code = err_set(e, ERR_DB_SCHEMA, "the name of the source column is too long");
    if (code == ERR_OK) {
        page_query(&select, p, source.data, after_id, limit);
        code = postgres_select_ok(&select, e)
                   ? postgres_statement_each(p, select.sql.data, select.args, select.n, on_file,
                                             out, e)
                   : ERR_NOMEM;
    }
    postgres_select_release(&select);
    buf_release(&source);
    return code;
}
