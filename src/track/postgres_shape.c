/* postgres_shape: which columns the rows of a backup have, and the statements for them. Names come from the backup: they stand in SQL
 * only quoted, and after the table was seen to have them. */
#include "blobferry/base/str.h"
#include "track/postgres_restore.h"

#include <stdlib.h>
#include <string.h>

#define SQL_MAX ((size_t)1 << 20)

void postgres_shape_release(struct postgres_shape *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->columns[i].name);
        free(h->columns[i].type);
    }
    free(h->columns);
    free(h->now);
    free(h->args);
    buf_release(&h->select);
    buf_release(&h->insert);
    buf_release(&h->update);
    memset(h, 0, sizeof *h);
}

bool postgres_shape_fits(const struct postgres_shape *h, const struct tracker_restore_row *row)
{
    if (!h->known || h->table != row->table || h->n != row->n)
        return false;
    for (size_t i = 0; i < row->n; i++) {
        if (strcmp(h->columns[i].name, row->values[i].column) != 0)
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

static enum err_code look_column(struct postgres *p, struct postgres_shape *h, size_t i,
                                 struct err *e)
{
    const char *table = tracker_table_name(h->table);
    enum err_code code = ERR_OK;
    PGresult *q = postgres_statement_query(
        p,
        "SELECT format_type(atttypid, NULL), attgenerated <> '' FROM pg_attribute WHERE attrelid ="
        " to_regclass($1::text) AND attname = $2::text AND attnum > 0 AND NOT attisdropped",
        POSTGRES_ARGS(POSTGRES_T(table), POSTGRES_T(h->columns[i].name)), e);

    if (q == NULL)
        return postgres_code(e);
    if (PQntuples(q) == 1) {
        h->columns[i].type = str_dup(PQgetvalue(q, 0, 0));
        h->columns[i].passive = postgres_statement_truth(q, 0, 1);
        if (h->columns[i].type == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
    } else {
        err_set(e, ERR_DB_SCHEMA, "table '%s' has no column '%s', which the backup has", table,
                h->columns[i].name);
        code = err_hint(e, "the table was changed since the backup, or it is of another database");
    }
    PQclear(q);
    return code;
}

static bool is_derived(const char *column)
{
    static const char *const names[] = {"total_files", "completed_files", "failed_files",
                                        "verified_files", "status"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(column, names[i]) == 0)
            return true;
    }
    return false;
}

static const char *key_name(enum tracker_table t)
{
    return t == TRACKER_RECORDS ? "record_id" : "id";
}

static void write_insert(struct postgres_shape *h)
{
    const char *comma = "";

    buf_printf(&h->insert, "INSERT INTO %s (", tracker_table_name(h->table));
    for (size_t i = 0; i < h->n; i++) {
        if (h->columns[i].passive)
            continue;
        buf_str(&h->insert, comma);
        quote(&h->insert, h->columns[i].name);
        comma = ", ";
    }
    /* An id that the database always counts by itself is put back as it was all the same. */
    buf_str(&h->insert, ") OVERRIDING SYSTEM VALUE VALUES (");
    size_t at = 1;
    for (size_t i = 0; i < h->n; i++) {
        if (h->columns[i].passive)
            continue;
        buf_printf(&h->insert, "%s$%zu::%s", at > 1 ? ", " : "", at, h->columns[i].type);
        at++;
    }
    buf_char(&h->insert, ')');
}

static enum err_code write_sql(struct postgres_shape *h, bool locked, struct err *e)
{
    const char *table = tracker_table_name(h->table), *key = key_name(h->table);
    const char *type = h->columns[h->key].type;

    if (h->absent)
        return ERR_OK;
    buf_str(&h->select, "SELECT ");
    for (size_t i = 0; i < h->n; i++) {
        buf_str(&h->select, i > 0 ? ", t." : "t.");
        quote(&h->select, h->columns[i].name);
    }
    /* Batches need no unique id: one that is there twice cannot be told apart. */
    if (h->table == TRACKER_BATCHES)
        buf_printf(&h->select,
                   ", (SELECT count(*) FROM migration_batches AS o WHERE o.id = $1::%s)", type);
    else
        buf_str(&h->select, ", 1");
    buf_printf(&h->select, " FROM %s AS t WHERE t.%s = $1::%s%s", table, key, type,
               locked ? " FOR UPDATE OF t" : "");
    write_insert(h);
    return buf_ok(&h->select) && buf_ok(&h->insert)
               ? ERR_OK
               : err_set(e, ERR_LIMIT, "a row of '%s' has too many columns", table);
}

enum err_code postgres_shape_to(struct postgres *p, struct postgres_shape *h,
                                const struct tracker_restore_row *row, bool locked, struct err *e)
{
    enum err_code code = ERR_OK;

    postgres_shape_release(h);
    buf_init(&h->select, SQL_MAX);
    buf_init(&h->insert, SQL_MAX);
    buf_init(&h->update, SQL_MAX);
    h->table = row->table;
    h->columns = calloc(row->n + 1, sizeof *h->columns);
    h->now = calloc(row->n + 1, sizeof *h->now);
    h->args = calloc(row->n + 1, sizeof *h->args);
    if (h->columns == NULL || h->now == NULL || h->args == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    h->n = row->n;
    h->key = h->completed_at = row->n;
    h->absent = h->table == TRACKER_RECORDS && !p->info.schema.own;
    for (size_t i = 0; code == ERR_OK && i < row->n; i++) {
        struct postgres_shape_column *c = &h->columns[i];
        c->name = str_dup(row->values[i].column);
        if (c->name == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        h->now[i].column = c->name;
        if (strcmp(c->name, key_name(h->table)) == 0)
            h->key = i;
        c->derived = h->table == TRACKER_BATCHES && is_derived(c->name);
        if (h->table == TRACKER_BATCHES && strcmp(c->name, "completed_at") == 0)
            h->completed_at = i;
        if (!h->absent)
            code = look_column(p, h, i, e);
    }
    if (code == ERR_OK && h->key == row->n)
        code = err_set(e, ERR_PARSE, "a row of '%s' in the backup has no '%s'",
                       tracker_table_name(h->table), key_name(h->table));
    if (code == ERR_OK)
        code = write_sql(h, locked, e);
    h->known = code == ERR_OK;
    return code;
}

/* The differing columns in order, then the key, are its parameters. */
const char *postgres_shape_update(struct postgres_shape *h)
{
    const char *comma = "";
    size_t at = 1;

    buf_reset(&h->update);
    buf_printf(&h->update, "UPDATE %s SET ", tracker_table_name(h->table));
    for (size_t i = 0; i < h->n; i++) {
        if (!h->columns[i].differs)
            continue;
        buf_str(&h->update, comma);
        quote(&h->update, h->columns[i].name);
        buf_printf(&h->update, " = $%zu::%s", at++, h->columns[i].type);
        comma = ", ";
    }
    buf_printf(&h->update, " WHERE %s = $%zu::%s", key_name(h->table), at, h->columns[h->key].type);
    return buf_ok(&h->update) ? h->update.data : NULL;
}
