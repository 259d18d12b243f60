#include "blobferry/track/tracker_copy.h"

#include "blobferry/base/str.h"
#include "track/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those that others may refer to come first. */
static const char *const tables[TRACKER_COPIED] = {"migration_batches", "files",
                                                   "file_migrations",   "blobferry_records",
                                                   "blobferry_runs",    "blobferry_heads"};

const char *tracker_copy_table(size_t table)
{
    return table < TRACKER_COPIED ? tables[table] : "";
}

void tracker_copy_release(struct tracker_copy_shape *s)
{
    for (size_t i = 0; i < TRACKER_COPIED; i++)
        free(s->tables[i].items);
    memset(s, 0, sizeof *s);
}

static enum err_code possible(const struct tracker *t, struct err *e)
{
    if (t->ops->copy_in != NULL)
        return ERR_OK;
    err_set(e, ERR_CONFIG, "database '%s' cannot be copied from here", tracker_name(t));
    return err_hint(e, "remote D1: wrangler d1 export to a file, and sqlite3 to make a database of "
                       "it; then copy that");
}

enum err_code tracker_copy_look(struct tracker *t, struct tracker_copy_shape *out, struct err *e)
{
    struct err spare;
    enum err_code code;

    if (e == NULL)
        err_init(e = &spare);
    tracker_copy_release(out);
    code = possible(t, e);
    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++)
        code = t->ops->columns(t, tables[i], &out->tables[i], e);
    return code;
}

static enum err_code on_count(void *user, const struct tracker_cell *cells, size_t n, struct err *e)
{
    int64_t *rows = user;

    (void)e;
    *rows = n > 0 && cells[0].text != NULL ? strtoll(cells[0].text, NULL, 10) : 0;
    return ERR_OK;
}

enum err_code tracker_copy_count(struct tracker *t, size_t table, int64_t *rows, struct err *e)
{
    struct err spare;
    char sql[80];

    if (e == NULL)
        err_init(e = &spare);
    *rows = 0;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tracker_copy_table(table));
    return t->ops->ask(t, sql, on_count, rows, e);
}

bool tracker_copy_strict(const struct tracker *t)
{
    return t->ops->strict;
}

enum err_code tracker_copy_out(struct tracker *t, const struct tracker_copy_shape *what,
                               tracker_copy_fn *fn, void *user, struct err *e)
{
    struct err spare;
    enum err_code code;

    if (e == NULL)
        err_init(e = &spare);
    code = possible(t, e);
    return code == ERR_OK ? t->ops->copy_out(t, what, fn, user, e) : code;
}

enum err_code tracker_copy_in(struct tracker *t, const struct tracker_copy_in *c, struct err *e)
{
    struct err spare;
    enum err_code code;

    if (e == NULL)
        err_init(e = &spare);
    code = possible(t, e);
    return code == ERR_OK ? t->ops->copy_in(t, c, e) : code;
}

enum err_code tracker_copy_put(struct tracker *t, size_t table, const struct tracker_value *values,
                               size_t n, struct err *e)
{
    return t->ops->copy_put(t, table, values, n, e);
}
