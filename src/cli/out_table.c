#include "blobferry/base/str.h"
#include "cli/out.h"

#include <errno.h>
#include <libsmartcols.h>
#include <stdlib.h>

struct out_table {
    struct libscols_table *table;
    struct out *out;
    bool
        broken; /* a line or cell is missing for want of memory: never print less than there is (P9) */
};

struct out_table *out_table_new(struct out *o, const struct out_column *columns, size_t n)
{
    struct out_table *t;

    if (o->json || o->quiet)
        return NULL;
    t = calloc(1, sizeof *t);
    if (t != NULL)
        t->table = scols_new_table();
    if (t == NULL ||
        t->table == NULL) { /* a table that is missing must not look like success (P9) */
        o->failed = true;
        o->failed_errno = ENOMEM;
        free(t);
        return NULL;
    }
    t->out = o;
    scols_table_enable_colors(t->table, o->color_out);
    scols_table_enable_noencoding(t->table, 1); /* cells come from out_safe: once is enough */
    /* a pipe gets every byte of every column; a terminal gets columns that fit */
    scols_table_enable_maxout(t->table, 0);
    for (size_t i = 0; i < n; i++)
        scols_table_new_column(t->table, columns[i].name, 0,
                               (columns[i].right ? SCOLS_FL_RIGHT : 0) |
                                   (columns[i].cut ? SCOLS_FL_TRUNC : 0));
    return t;
}

void out_table_row(struct out_table *t, enum out_color color, const char *const *cells, size_t n)
{
    static const char *const names[] = {NULL, "green", "red", "yellow", NULL};
    struct libscols_line *line = t != NULL ? scols_table_new_line(t->table, NULL) : NULL;

    if (t == NULL)
        return;
    if (line == NULL) {
        t->broken = true;
        return;
    }
    if (t->out->color_out && names[color] != NULL)
        scols_line_set_color(line, names[color]);
    for (size_t i = 0; i < n; i++)
        t->broken |=
            scols_line_set_data(line, i, out_safe(cells[i] != NULL ? cells[i] : "-").text) != 0;
}

void out_table_print(struct out_table *t)
{
    if (t == NULL)
        return;
    errno = 0;
    if (t->broken)
        errno = ENOMEM;
    if ((t->broken || scols_print_table(t->table) != 0) && !t->out->failed) {
        t->out->failed = true;
        t->out->failed_errno = errno;
    }
    scols_unref_table(t->table);
    free(t);
}
