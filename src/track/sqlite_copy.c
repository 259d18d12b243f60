/* sqlite_copy: what the tables look like, and all their rows in one snapshot, as they are stored. */
#include "blobferry/base/str.h"
#include "track/copy_ddl.h"
#include "track/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* What a column is meant for, by its declaration (https://www.sqlite.org/datatype3.html names only storage). */
static enum tracker_kind kind_of(const char *table, const char *name, const char *type)
{
    static const struct {
        const char *part;
        enum tracker_kind kind;
    } parts[] = {{"BOOL", TRACKER_KIND_BOOLEAN},   {"DATETIME", TRACKER_KIND_TIME},
                 {"TIMESTAMP", TRACKER_KIND_TIME}, {"UUID", TRACKER_KIND_UUID},
                 {"INT", TRACKER_KIND_INTEGER},    {"CHAR", TRACKER_KIND_TEXT},
                 {"CLOB", TRACKER_KIND_TEXT},      {"TEXT", TRACKER_KIND_TEXT},
                 {"BLOB", TRACKER_KIND_BYTES},     {"REAL", TRACKER_KIND_REAL},
                 {"FLOA", TRACKER_KIND_REAL},      {"DOUB", TRACKER_KIND_REAL}};

    if (copy_ddl_is_time(table, name))
        return TRACKER_KIND_TIME;
    if (str_empty(type))
        return TRACKER_KIND_ANY;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcasestr(type, parts[i].part) != NULL)
            return parts[i].kind;
    }
    return TRACKER_KIND_OTHER;
}

static enum err_code add_column(struct tracker_columns *out, const char *table, sqlite3_stmt *q,
                                struct err *e)
{
    const char *name = (const char *)sqlite3_column_text(q, 0);
    struct tracker_column *c = &out->items[out->n];

    if (out->n == TRACKER_COLUMNS_MAX || name == NULL || strlen(name) >= sizeof c->name)
        return err_set(e, ERR_LIMIT, "table '%s' has too many columns, or one with too long a name",
                       table);
    memset(c, 0, sizeof *c);
    str_copy(c->name, sizeof c->name, name);
    c->kind = kind_of(table, name, (const char *)sqlite3_column_text(q, 1));
    c->not_null = sqlite3_column_int(q, 2) != 0;
    c->unique = sqlite3_column_int(q, 3) != 0;
    out->n++;
    return ERR_OK;
}

enum err_code sqlite_copy_columns(struct tracker *t, const char *table, struct tracker_columns *out,
                                  struct err *e)
{
    static const char sql[] =
        "SELECT c.name, c.type, c.\"notnull\","
        " (c.pk = 1 AND (SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1) OR EXISTS"
        " (SELECT 1 FROM pragma_index_list(?1) AS l WHERE l.\"unique\" = 1 AND l.partial = 0"
        "  AND (SELECT count(*) FROM pragma_index_info(l.name)) = 1"
        "  AND (SELECT name FROM pragma_index_info(l.name)) = c.name)"
        " FROM pragma_table_xinfo(?1) AS c WHERE c.hidden = 0 ORDER BY c.cid";
    struct sqlite *s = sqlite_of(t);
    bool row = true;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(s, sql, SQLITE_ARGS(SQLITE_T(table)), e);

    memset(out, 0, sizeof *out);
    if (q == NULL)
        return sqlite_code(e);
    out->items = calloc(TRACKER_COLUMNS_MAX, sizeof *out->items);
    if (out->items == NULL) {
        sqlite_statement_done(q);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code == ERR_OK && row)
            code = add_column(out, table, q, e);
    }
    sqlite_statement_done(q);
    return code;
}

void sqlite_copy_names(struct buf *b, const struct tracker_columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        buf_str(b, i > 0 ? ", " : "");
        copy_ddl_quote(b, c->items[i].name);
    }
}

/* ---- out ------------------------------------------------------------------------------------------------ */

static enum err_code rows(struct sqlite *s, sqlite3_stmt *q, size_t table,
                          const struct tracker_columns *c, tracker_copy_fn *fn, void *user,
                          struct err *e)
{
    struct tracker_value *values = calloc(c->n, sizeof *values);
    bool row = true;
    enum err_code code = ERR_OK;

    if (values == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (code == ERR_OK) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        for (size_t i = 0; code == ERR_OK && i < c->n; i++) {
            values[i].column = c->items[i].name;
            sqlite_value_read(q, (int)i, &values[i]);
            if (values[i].bytes == NULL && values[i].len > 0)
                code = err_set(e, ERR_NOMEM, "out of memory");
        }
        if (code == ERR_OK)
            code = fn(user, table, values, c->n, e);
    }
    free(values);
    return code;
}

static enum err_code table_out(struct sqlite *s, size_t table, const struct tracker_columns *c,
                               tracker_copy_fn *fn, void *user, struct err *e)
{
    sqlite3_stmt *q = NULL;
    struct buf sql;
    enum err_code code;

    buf_init(&sql, (size_t)1 << 20);
    buf_str(&sql, "SELECT ");
    sqlite_copy_names(&sql, c);
    buf_printf(&sql, " FROM %s", tracker_copy_table(table));
    if (!buf_ok(&sql))
        code = err_set(e, ERR_NOMEM, "out of memory");
    else if (sqlite3_prepare_v2(s->db, buf_cstr(&sql), -1, &q, NULL) != SQLITE_OK)
        code = sqlite_error(s, e, "read");
    else
        code = rows(s, q, table, c, fn, user, e);
    sqlite3_finalize(q);
    buf_release(&sql);
    return code;
}

enum err_code sqlite_copy_out(struct tracker *t, const struct tracker_copy_shape *what,
                              tracker_copy_fn *fn, void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    const bool alone = sqlite3_get_autocommit(s->db) != 0;
    enum err_code code = ERR_OK;

    if (alone && sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "read");
    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        if (what->tables[i].n > 0)
            code = table_out(s, i, &what->tables[i], fn, user, e);
    }
    return alone ? sqlite_statement_end(s, code, e) : code;
}
