/* sqlite_shape: which columns the rows of a backup have, and the statements for them. Names come from the backup: they stand in SQL
 * only quoted, and after the table was seen to have them. */
#include "blobferry/base/str.h"
#include "track/sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SQL_MAX ((size_t)1 << 20)

void sqlite_shape_release(struct sqlite_shape *h)
{
    for (size_t i = 0; h->names != NULL && i < h->n; i++)
        free(h->names[i]);
    free(h->names);
    free(h->passive);
    free(h->derived);
    free(h->now);
    free(h->differs);
    buf_release(&h->select);
    buf_release(&h->insert);
    buf_release(&h->update);
    memset(h, 0, sizeof *h);
}

bool sqlite_shape_fits(const struct sqlite_shape *h, const struct tracker_restore_row *row)
{
    if (!h->known || h->table != row->table || h->n != row->n)
        return false;
    for (size_t i = 0; i < row->n; i++) {
        if (strcmp(h->names[i], row->values[i].column) != 0)
            return false;
    }
    return true;
}

static void quote(struct buf *b, const char *name)
{
    buf_char(b, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"')
            buf_char(b, '"');
        buf_char(b, *name);
    }
    buf_char(b, '"');
}

static enum err_code look_column(struct sqlite *s, struct sqlite_shape *h, size_t i, struct err *e)
{
    const char *table = tracker_table_name(h->table);
    bool row = false;
    sqlite3_stmt *q = sqlite_statement_query(
        s, "SELECT hidden FROM pragma_table_xinfo(?1) WHERE name = ?2 COLLATE NOCASE",
        SQLITE_ARGS(SQLITE_T(table), SQLITE_T(h->names[i])), e);
    enum err_code code = q == NULL ? sqlite_code(e) : sqlite_statement_next(s, q, &row, e);

    h->passive[i] = row && sqlite3_column_int(q, 0) != 0;
    sqlite_statement_done(q);
    if (code == ERR_OK && !row) {
        err_set(e, ERR_DB_SCHEMA, "table '%s' has no column '%s', which the backup has", table,
                h->names[i]);
        code = err_hint(e, "the table was changed since the backup, or it is of another database");
    }
    return code;
}

static bool is_derived(const char *column)
{
    static const char *const names[] = {"total_files", "completed_files", "failed_files",
                                        "verified_files", "status"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(column, names[i]) == 0)
            return true;
    }
    return false;
}

static const char *key_name(enum tracker_table t)
{
    return t == TRACKER_RECORDS ? "record_id" : "id";
}

static enum err_code write_sql(struct sqlite_shape *h, struct err *e)
{
    const char *table = tracker_table_name(h->table), *key = key_name(h->table), *comma = "";

    buf_str(&h->select, "SELECT ");
    buf_printf(&h->insert, "INSERT INTO %s (", table);
    for (size_t i = 0; i < h->n; i++) {
        if (i > 0)
            buf_str(&h->select, ", ");
        buf_str(&h->select, "t.");
        quote(&h->select, h->names[i]);
        if (h->passive[i])
            continue;
        buf_str(&h->insert, comma);
        quote(&h->insert, h->names[i]);
        comma = ", ";
    }
    /* Batches need no unique id: one that is there twice cannot be told apart. */
    buf_printf(&h->select, ", %s FROM %s AS t WHERE t.%s = ?1 COLLATE BINARY",
               h->table == TRACKER_BATCHES
                   ? "(SELECT count(*) FROM migration_batches AS o WHERE o.id = ?1 COLLATE BINARY)"
                   : "1",
               table, key);
    buf_str(&h->insert, ") VALUES (");
    comma = "";
    for (size_t i = 0; i < h->n; i++) {
        if (h->passive[i])
            continue;
        buf_printf(&h->insert, "%s?%zu", comma, i + 1);
        comma = ", ";
    }
    buf_char(&h->insert, ')');
    return buf_ok(&h->select) && buf_ok(&h->insert)
               ? ERR_OK
               : err_set(e, ERR_LIMIT, "a row of '%s' has too many columns", table);
}

enum err_code sqlite_shape_to(struct sqlite *s, struct sqlite_shape *h,
                              const struct tracker_restore_row *row, struct err *e)
{
    enum err_code code = ERR_OK;

    sqlite_shape_release(h);
    buf_init(&h->select, SQL_MAX);
    buf_init(&h->insert, SQL_MAX);
    buf_init(&h->update, SQL_MAX);
    h->table = row->table;
    h->names = calloc(row->n + 1, sizeof *h->names);
    h->passive = calloc(row->n + 1, sizeof *h->passive);
    h->derived = calloc(row->n + 1, sizeof *h->derived);
    h->now = calloc(row->n + 1, sizeof *h->now);
    h->differs = calloc(row->n + 1, sizeof *h->differs);
    if (h->names == NULL || h->passive == NULL || h->derived == NULL || h->now == NULL ||
        h->differs == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    h->n = row->n;
    h->key = h->completed_at = row->n;
    h->absent = h->table == TRACKER_RECORDS && !s->info.schema.own;
    for (size_t i = 0; code == ERR_OK && i < row->n; i++) {
        h->names[i] = str_dup(row->values[i].column);
        if (h->names[i] == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        h->now[i].column = h->names[i];
        if (strcasecmp(h->names[i], key_name(h->table)) == 0)
            h->key = i;
        h->derived[i] = h->table == TRACKER_BATCHES && is_derived(h->names[i]);
        if (h->table == TRACKER_BATCHES && strcasecmp(h->names[i], "completed_at") == 0)
            h->completed_at = i;
        if (!h->absent)
            code = look_column(s, h, i, e);
    }
    if (code == ERR_OK && h->key == row->n)
        code = err_set(e, ERR_PARSE, "a row of '%s' in the backup has no '%s'",
                       tracker_table_name(h->table), key_name(h->table));
    if (code == ERR_OK)
        code = write_sql(h, e);
    h->known = code == ERR_OK;
    return code;
}

const char *sqlite_shape_update(struct sqlite_shape *h)
{
    const char *comma = "";

    buf_reset(&h->update);
    buf_printf(&h->update, "UPDATE %s SET ", tracker_table_name(h->table));
    for (size_t i = 0; i < h->n; i++) {
        if (!h->differs[i])
            continue;
        buf_str(&h->update, comma);
        quote(&h->update, h->names[i]);
        buf_printf(&h->update, " = ?%zu", i + 1);
        comma = ", ";
    }
    buf_printf(&h->update, " WHERE %s = ?%zu COLLATE BINARY", key_name(h->table), h->key + 1);
    return buf_ok(&h->update) ? h->update.data : NULL;
}
