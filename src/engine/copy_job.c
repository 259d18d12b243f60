#include "engine/copy_job.h"

#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define RECORDS 4 /* the contract's tables and blobferry_records: they are what a database holds */

enum err_code copy_job_init(struct copy_job *j, struct err *e)
{
    (void)e;
    copy_digest_init(&j->digest);
    j->table = TRACKER_COPIED;
    return ERR_OK;
}

void copy_job_release(struct copy_job *j)
{
    copy_digest_release(&j->digest);
    tracker_copy_release(&j->shape);
    tracker_copy_release(&j->target);
    for (size_t i = 0; i < TRACKER_COPIED; i++)
        free(j->rules[i]);
}

static enum err_code count_target(struct copy_job *j, struct err *e)
{
    struct tracker_copy_shape there = {0};
    enum err_code code = tracker_copy_look(j->g->tracker, &there, e);

    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        struct copy_table *t = &j->out->tables[i];
        t->made = there.tables[i].n == 0 && t->there;
        if (there.tables[i].n > 0)
            code = tracker_copy_count(j->g->tracker, i, &t->target_rows, e);
        j->out->target_rows += i < RECORDS ? t->target_rows : 0;
    }
    tracker_copy_release(&there);
    return code;
}

enum err_code copy_job_look(struct copy_job *j, struct err *e)
{
    enum err_code code = tracker_copy_look(j->source, &j->shape, e);

    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        struct copy_table *t = &j->out->tables[i];
        t->there = j->shape.tables[i].n > 0;
        t->made = t->there;
        if (t->there)
            code = tracker_copy_count(j->source, i, &t->rows, e);
        j->out->rows += i < RECORDS ? t->rows : 0;
    }
    return code == ERR_OK && j->g->tracker != NULL ? count_target(j, e) : code;
}

static const struct tracker_column *find(const struct tracker_columns *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (str_ieq(c->items[i].name, name))
            return &c->items[i];
    }
    return NULL;
}

/* Both kinds of database keep what they are given, as long as neither is strict; else the strict one's columns decide. */
static enum err_code rules_of(struct copy_job *j, size_t i, const struct tracker_columns *there,
                              struct err *e)
{
    const bool strict = j->g->tracker != NULL && tracker_copy_strict(j->g->tracker);
    const bool exact = !strict && !tracker_copy_strict(j->source);
    const struct tracker_columns *source = &j->shape.tables[i];
    struct tracker_columns *target = &j->target.tables[i];

    free(j->rules[i]);
    j->rules[i] = calloc(source->n + 1, sizeof *j->rules[i]);
    target->items = calloc(source->n + 1, sizeof *target->items);
    if (j->rules[i] == NULL || target->items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    target->n = source->n;
    for (size_t k = 0; k < source->n; k++) {
        const struct tracker_column *c = find(there, source->items[k].name);
        target->items[k] = c != NULL ? *c : source->items[k];
        j->rules[i][k] =
            (struct copy_rule){exact, strict ? target->items[k].kind : source->items[k].kind};
    }
    return ERR_OK;
}

enum err_code copy_job_rules(struct copy_job *j, struct err *e)
{
    struct tracker_copy_shape there = {0};
    enum err_code code =
        j->g->tracker != NULL ? tracker_copy_look(j->g->tracker, &there, e) : ERR_OK;

    tracker_copy_release(&j->target);
    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++)
        code = rules_of(j, i, &there.tables[i], e);
    tracker_copy_release(&there);
    return code;
}
