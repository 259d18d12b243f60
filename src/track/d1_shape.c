/* d1_shape: the rows of a backup that look alike, as SQL: how they are looked up, and how those that were staged are put back. */
#include "track/d1_restore.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void d1_shape_release(struct d1_shape *h)
{
    for (size_t i = 0; i < h->n; i++)
        free(h->columns[i].name);
    free(h->columns);
    memset(h, 0, sizeof *h);
}

bool d1_shape_fits(const struct d1_shape *h, const struct tracker_restore_row *row)
{
    if (h->columns == NULL || h->table != row->table || h->n != row->n)
        return false;
    for (size_t i = 0; i < row->n; i++) {
        if (strcmp(h->columns[i].name, row->values[i].column) != 0)
            return false;
    }
    return true;
}

static const char *key_name(enum tracker_table t)
{
    return t == TRACKER_RECORDS ? "record_id" : "id";
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

/* Which of the columns the table has, and which of those it makes by itself. */
static enum err_code look_columns(struct d1 *d, struct d1_shape *h, struct err *e)
{
    const char *table = tracker_table_name(h->table);
    struct d1_answer a;
    enum err_code code =
        d1_query(d, &a, "SELECT name, hidden FROM pragma_table_xinfo(?1)", D1_TEXTS(table), e);

    for (size_t i = 0; code == ERR_OK && i < h->n; i++) {
        const struct json *r = d1_answer_rows(&a, 0);
        for (; r != NULL; r = json_next(r)) {
            const char *name = d1_row_plain(r, 0), *wanted = h->columns[i].name;
            if (name != NULL && wanted != NULL && strcasecmp(name, wanted) == 0)
                break;
        }
        if (r != NULL) {
            h->columns[i].passive = d1_row_number(r, 1) != 0;
            continue;
        }
        err_set(e, ERR_DB_SCHEMA, "table '%s' has no column '%s', which the backup has", table,
                h->columns[i].name);
        code = err_hint(e, "the table was changed since the backup, or it is of another database");
    }
    d1_answer_release(&a);
    return code;
}

enum err_code d1_shape_to(struct d1 *d, struct d1_shape *h, const struct tracker_restore_row *row,
                          struct err *e)
{
    d1_shape_release(h);
    h->table = row->table;
    h->columns = calloc(row->n + 1, sizeof *h->columns);
    if (h->columns == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    h->key = h->batch = h->completed_at = row->n;
    for (size_t i = 0; i < row->n; i++, h->n++) {
        const char *name = row->values[i].column;
        h->columns[i].name = str_dup(name);
        if (h->columns[i].name == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        if (strcasecmp(name, key_name(h->table)) == 0)
            h->key = i;
        if (strcasecmp(name, "batch_id") == 0)
            h->batch = i;
        h->columns[i].derived = h->table == TRACKER_BATCHES && is_derived(name);
        if (h->table == TRACKER_BATCHES && strcasecmp(name, "completed_at") == 0)
            h->completed_at = i;
    }
    h->absent = h->table == TRACKER_RECORDS && !d->info.schema.own;
    enum err_code code = h->absent ? ERR_OK : look_columns(d, h, e);
    if (code == ERR_OK && h->key == row->n)
        code = err_set(e, ERR_PARSE, "a row of '%s' in the backup has no '%s'",
                       tracker_table_name(h->table), key_name(h->table));
    return code;
}

static void quote(struct buf *b, const char *name)
{
    buf_char(b, '"');
    for (; *name != '\0'; name++)
        buf_str(b, *name == '"' ? "\"\"" : (const char[]){*name, '\0'});
    buf_char(b, '"');
}

/* Named by number, the key first, then how many rows have it: ?1 is a list of keys. */
void d1_shape_look_sql(const struct d1_shape *h, struct buf *b)
{
    struct buf name;

    buf_init(&name, 4096);
    buf_str(b, "SELECT ");
    d1_value_sql(b, h->table == TRACKER_RECORDS ? "t.record_id" : "t.id", 0);
    buf_str(b, " AS k, ");
    buf_str(b, h->table == TRACKER_BATCHES
                   ? "(SELECT count(*) FROM migration_batches AS o WHERE o.id IS t.id) AS n"
                   : "1 AS n");
    for (size_t i = 0; i < h->n; i++) {
        buf_reset(&name);
        buf_str(&name, "t.");
        quote(&name, h->columns[i].name);
        buf_str(b, ", ");
        d1_value_sql(b, buf_cstr(&name), 0);
        buf_printf(b, " AS c%zu", i);
    }
    buf_printf(b, " FROM %s AS t WHERE t.%s IN (SELECT ", tracker_table_name(h->table),
               key_name(h->table));
    d1_value_back_sql(b, "value");
    buf_str(b, " FROM json_each(?1))");
    buf_release(&name);
}

static void value(struct buf *b, size_t i)
{
    char path[40];

    (void)snprintf(path, sizeof path, "(w.doc ->> '$[%zu]')", i);
    d1_value_back_sql(b, path);
}

/* Rows of the work table w with this number and this act. */
static void staged(const struct d1_shape *h, struct buf *b, const char *act)
{
    buf_printf(b, " w.request = ?1 AND w.act = '%s' AND w.became = '%d'", act, h->number);
}

static void insert_sql(const struct d1_shape *h, struct buf *b)
{
    const char *comma = "";

    buf_printf(b, "INSERT INTO %s (", tracker_table_name(h->table));
    for (size_t i = 0; i < h->n; i++) {
        if (h->columns[i].passive)
            continue;
        buf_str(b, comma);
        quote(b, h->columns[i].name);
        comma = ", ";
    }
    buf_str(b, ") SELECT ");
    comma = "";
    for (size_t i = 0; i < h->n; i++) {
        if (h->columns[i].passive)
            continue;
        buf_str(b, comma);
        value(b, i);
        comma = ", ";
    }
    buf_str(b, " FROM blobferry_work AS w WHERE");
    staged(h, b, "insert");
    buf_str(b, " ORDER BY w.n");
}

/* '=' stands for a value that stays. */
static void update_sql(const struct d1_shape *h, struct buf *b)
{
    const char *comma = "";

    buf_printf(b, "UPDATE %s AS t SET ", tracker_table_name(h->table));
    for (size_t i = 0; i < h->n; i++) {
        if (h->columns[i].passive || i == h->key)
            continue;
        buf_str(b, comma);
        quote(b, h->columns[i].name);
        buf_printf(b, " = CASE WHEN w.doc ->> '$[%zu]' IS '=' THEN t.", i);
        quote(b, h->columns[i].name);
        buf_str(b, " ELSE ");
        value(b, i);
        buf_str(b, " END");
        comma = ", ";
    }
    buf_str(b, " FROM blobferry_work AS w WHERE");
    staged(h, b, "update");
    buf_printf(b, " AND t.%s = ", key_name(h->table));
    value(b, h->key);
}

/* How many are not as they were written: a trigger of the application may have put something else in their place. */
static void unlike_sql(const struct d1_shape *h, struct buf *b)
{
    buf_printf(b, "SELECT count(*) FROM blobferry_work AS w LEFT JOIN %s AS t ON t.%s = ",
               tracker_table_name(h->table), key_name(h->table));
    value(b, h->key);
    buf_printf(b,
               " WHERE w.request = ?1 AND w.act IN ('insert', 'update') AND w.became = '%d'"
               " AND (t.%s IS NULL",
               h->number, key_name(h->table));
    for (size_t i = 0; i < h->n; i++) {
        if (h->columns[i].passive || h->columns[i].derived || i == h->completed_at)
            continue;
        buf_printf(b, " OR w.doc ->> '$[%zu]' IS NOT '=' AND (t.", i);
        quote(b, h->columns[i].name);
        buf_str(b, " IS NOT ");
        value(b, i);
        buf_char(b, ')');
    }
    buf_char(b, ')');
}

void d1_shape_write(const struct d1_shape *h, struct d1_batch *b, const char *request)
{
    void (*const parts[])(const struct d1_shape *, struct buf *) = {insert_sql, update_sql,
                                                                    unlike_sql};
    struct buf sql;

    buf_init(&sql, 100000);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_reset(&sql);
        parts[i](h, &sql);
        if (!buf_ok(&sql))
            b->body.failed = true;
        d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(request));
    }
    buf_release(&sql);
}
