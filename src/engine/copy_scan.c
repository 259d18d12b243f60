/* copy_scan: one pass through the source that looks for what a strict target cannot hold, before anything is written. */
#include "blobferry/base/str.h"
#include "engine/copy_job.h"

#include <stdio.h>
#include <string.h>

static void show(char *dst, size_t size, const struct tracker_value *v)
{
    char text[120];

    if (v->type == TRACKER_INTEGER)
        snprintf(dst, size, "%lld", (long long)v->integer);
    else if (v->type == TRACKER_REAL)
        snprintf(dst, size, "%.17g", v->real);
    else if (v->type == TRACKER_BLOB)
        snprintf(dst, size, "a BLOB of %zu bytes", v->len);
    else if (v->type == TRACKER_NULL)
        snprintf(dst, size, "NULL");
    else {
        snprintf(text, sizeof text, "'%.*s'", (int)(v->len < 60 ? v->len : 60), v->bytes);
        str_printable(dst, size, text);
    }
}

static void tell(struct copy_job *j, size_t table, const struct tracker_value *row, size_t k,
                 const char *defect)
{
    struct copy_report *r = j->out;
    char key[130], value[130];

    r->problems++;
    if (r->problem_count == COPY_PROBLEMS)
        return;
    show(key, sizeof key, &row[0]);
    show(value, sizeof value, &row[k]);
    snprintf(r->problem[r->problem_count++], sizeof r->problem[0], "%s %s: %s %s: %s",
             tracker_copy_table(table), key, j->shape.tables[table].items[k].name, defect, value);
}

static enum err_code on_row(void *user, size_t table, const struct tracker_value *values, size_t n,
                            struct err *e)
{
    struct copy_job *j = user;

    if ((++j->done & 255) == 0 && engine_stopping(j->g))
        return err_set(e, ERR_CANCELLED, "stopped by a signal");
    for (size_t k = 0; k < n; k++) {
        const struct copy_rule *rule = &j->rules[table][k];
        const struct tracker_column *column = &j->target.tables[table].items[k];
        const char *defect = tracker_value_defect(&values[k], rule->kind);
        if (values[k].type == TRACKER_NULL &&
            (column->not_null || (column->unique && str_ieq(column->name, "id"))))
            defect = "must have a value";
        if (defect != NULL)
            tell(j, table, values, k, defect);
    }
    return ERR_OK;
}

enum err_code copy_scan(struct copy_job *j, struct err *e)
{
    enum err_code code;

    if (j->g->tracker == NULL || !tracker_copy_strict(j->g->tracker))
        return ERR_OK;
    code = tracker_copy_out(j->source, &j->shape, on_row, j, e);
    j->done = 0;
    return code;
}
