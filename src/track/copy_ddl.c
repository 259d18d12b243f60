#include "track/copy_ddl.h"

#include "blobferry/base/str.h"

#include <string.h>

void copy_ddl_quote(struct buf *b, const char *name)
{
    buf_char(b, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"')
            buf_char(b, '"');
        buf_char(b, *name);
    }
    buf_char(b, '"');
}

static const char *default_of(const char *column)
{
    static const struct {
        const char *column, *value;
    } defaults[] = {{"status", "'pending'"},
                    {"total_files", "0"},
                    {"completed_files", "0"},
                    {"failed_files", "0"},
                    {"verified_files", "0"},
                    {"created_at", "CURRENT_TIMESTAMP"},
                    {"updated_at", "CURRENT_TIMESTAMP"}};

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (str_ieq(defaults[i].column, column))
            return defaults[i].value;
    }
    return NULL;
}

void copy_ddl_create(struct buf *b, const char *name, const struct tracker_columns *c,
                     const char *const types[TRACKER_KINDS])
{
    buf_printf(b, "CREATE TABLE %s (", name);
    for (size_t i = 0; i < c->n; i++) {
        const struct tracker_column *column = &c->items[i];
        const char *value = default_of(column->name);

        buf_str(b, i > 0 ? ", " : "");
        copy_ddl_quote(b, column->name);
        buf_printf(b, " %s", types[column->kind]);
        if (str_ieq(column->name, "id"))
            buf_str(b, column->unique ? " PRIMARY KEY" : "");
        else
            buf_printf(b, "%s%s", column->unique ? " UNIQUE" : "",
                       column->not_null ? " NOT NULL" : "");
        if (value != NULL)
            buf_printf(b, " DEFAULT %s", value);
    }
    buf_char(b, ')');
}

bool copy_ddl_is_time(const char *table, const char *column)
{
    static const char *const names[] = {"started_at", "completed_at", "created_at", "updated_at"};

    if (str_starts(table, "blobferry_"))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_ieq(names[i], column))
            return true;
    }
    return false;
}

const struct tracker_column *copy_ddl_find(const struct tracker_columns *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (str_ieq(c->items[i].name, name))
            return &c->items[i];
    }
    return NULL;
}

enum err_code copy_ddl_fits(const char *table, const struct tracker_columns *source,
                            const struct tracker_columns *target, struct err *e)
{
    for (size_t i = 0; i < source->n; i++) {
        if (copy_ddl_find(target, source->items[i].name) != NULL)
            continue;
        err_set(e, ERR_DB_SCHEMA,
                "table '%s' of the target has no column '%s', which the source has", table,
                source->items[i].name);
        return err_hint(e, "add the column to the target's table, or drop the table: it is made "
                           "anew where it is missing");
    }
    return ERR_OK;
}
