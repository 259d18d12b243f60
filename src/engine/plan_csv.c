/* plan_csv: rows of a CSV file whose first line names the columns. */
#include "blobferry/codec/csv.h"
#include "engine/plan_input.h"

#include <stdint.h>

#define ABSENT SIZE_MAX

static enum err_code read_header(const struct plan_job *j, const struct csv *c,
                                 size_t at[PLAN_INPUT_COLUMNS], struct err *e)
{
    for (int i = 0; i < PLAN_INPUT_COLUMNS; i++)
        at[i] = ABSENT;
    for (size_t f = 0; f < c->fields; f++) {
        const char *name = csv_field(c, f);
        const enum plan_input_column i = plan_input_find(name);
        if (i == PLAN_INPUT_COLUMNS) {
            plan_input_note_unknown(j, name);
        } else if (at[i] != ABSENT) {
            return err_set(e, ERR_PARSE, "'%s' line %zu: column '%s' comes twice", c->name, c->line,
                           name);
        } else {
            at[i] = f;
        }
    }
    if (at[PLAN_INPUT_SOURCE_PATH] != ABSENT)
        return ERR_OK;
    err_set(e, ERR_PARSE, "'%s' line %zu: there is no column 'source_path'", c->name, c->line);
    (void)err_hint(e, "the first line must name the columns: source_path file_id filename user_id "
                      "target_key checksum size content_type");
    return ERR_PARSE;
}

static enum err_code read_rows(struct plan_job *j, struct csv *c, struct err *e)
{
    const char *values[PLAN_INPUT_COLUMNS];
    size_t at[PLAN_INPUT_COLUMNS], columns;
    bool more = false;
    enum err_code code = csv_next(c, &more, e);

    if (code == ERR_OK && !more)
        code = err_set(e, ERR_PARSE,
                       "'%s' line 1: the file is empty, a line with column names is "
                       "needed",
                       c->name);
    if (code == ERR_OK)
        code = read_header(j, c, at, e);
    columns = c->fields;
    while (code == ERR_OK) {
        code = csv_next(c, &more, e);
        if (code != ERR_OK || !more)
            break;
        if (c->fields != columns)
            return err_set(e, ERR_PARSE, "'%s' line %zu: %zu fields in place of %zu", c->name,
                           c->line, c->fields, columns);
        for (int i = 0; i < PLAN_INPUT_COLUMNS; i++)
            values[i] = at[i] == ABSENT ? NULL : csv_field(c, at[i]);
        code = plan_input_take(j, values, (int64_t)c->line, e);
    }
    return code;
}

enum err_code plan_csv_read(struct plan_job *j, struct err *e)
{
    const char *name;
    FILE *in = NULL;
    struct csv c;
    enum err_code code = plan_input_open(j->o->input, &in, &name, e);

    if (code != ERR_OK)
        return code;
    csv_init(&c, in, name, PLAN_LINE_MAX);
    code = read_rows(j, &c, e);
    csv_release(&c);
    plan_input_close(in);
    return code;
}
