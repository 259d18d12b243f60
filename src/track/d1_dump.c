/* d1_dump: rows as they are, type and bytes, for a backup. One batch is of one moment: what fits into one is. What does not comes in
 * pages by key, of one moment each; then the lock that a rollback holds keeps its rows as they are.
 */
#include "track/d1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_ROWS  2000 /* of each table, in the one batch */
#define COLUMNS_MAX 100  /* D1's own limit */

/* The columns of a table, as the schema has them. */
struct columns {
    char *names[COLUMNS_MAX];
    size_t n;
};

struct part {
    enum tracker_table table;
    const char *alias, *key; /* of its rows, and what they are in order of */
    const char *before, *after;
    struct columns columns;
};

#define PARTS 4

static void free_parts(struct part *parts)
{
    for (size_t i = 0; i < PARTS; i++) {
        for (size_t k = 0; k < parts[i].columns.n; k++)
            free(parts[i].columns.names[k]);
    }
}

static enum err_code find_columns(struct d1 *d, struct part *p, struct err *e)
{
    struct d1_answer a;
    enum err_code code =
        d1_query(d, &a, "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1",
                 D1_TEXTS(tracker_table_name(p->table)), e);

    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        const char *name = d1_row_plain(r, 0);
        char *copy = name != NULL && p->columns.n < COLUMNS_MAX ? strdup(name) : NULL;
        if (copy == NULL)
            code = err_set(e, ERR_LIMIT, "table '%s' has too many columns",
                           tracker_table_name(p->table));
        else
            p->columns.names[p->columns.n++] = copy;
    }
    d1_answer_release(&a);
    return code;
}

static void quoted(struct buf *b, const char *alias, const char *name)
{
    buf_printf(b, "%s.\"", alias);
    for (; *name != '\0'; name++)
        buf_str(b, *name == '"' ? "\"\"" : (const char[]){*name, '\0'});
    buf_char(b, '"');
}

/* The rows of a part; after: only those behind ?(number) by key. */
static void part_query(struct sqlite_select *q, struct d1 *d, const struct part *p,
                       const struct tracker_filter *f, const char *after, size_t limit)
{
    struct buf name;

    buf_str(&q->sql, "SELECT ");
    for (size_t i = 0; i < p->columns.n; i++) {
        buf_init(&name, 4096);
        quoted(&name, p->alias, p->columns.names[i]);
        d1_value_sql(&q->sql, buf_cstr(&name), 0);
        buf_printf(&q->sql, " AS c%zu, ", i);
        buf_release(&name);
    }
    d1_value_sql(&q->sql, p->key, 0);
    buf_printf(&q->sql, " AS k%s", p->before);
    d1_read_filter(q, &d->info, f);
    buf_str(&q->sql, p->after);
    if (after != NULL) {
        char bound[16];
        (void)snprintf(bound, sizeof bound, "?%zu",
                       sqlite_select_value(q, (struct sqlite_arg)SQLITE_T(after)));
        buf_printf(&q->sql, " AND %s > ", p->key);
        d1_value_back_sql(&q->sql, bound);
    }
    buf_printf(&q->sql, " ORDER BY %s LIMIT %zu", p->key, limit);
}

/* Hands the rows out; the key of the last one into *last (owned). */
static enum err_code give(const struct part *p, const struct json *row, tracker_dump_fn *fn,
                          void *user, size_t *rows, char **last, struct err *e)
{
    struct tracker_value values[COLUMNS_MAX];
    struct arena mem;
    enum err_code code = ERR_OK;

    arena_init(&mem, (size_t)64 << 20);
    for (; code == ERR_OK && row != NULL; row = json_next(row)) {
        const struct json *item = json_first(row);
        arena_reset(&mem);
        for (size_t i = 0; i < p->columns.n; i++, item = json_next(item)) {
            values[i].column = p->columns.names[i];
            if (item == NULL || !d1_value_read(item, &values[i], &mem))
                code = err_set(e, ERR_DB, "a row of '%s' came in another form than asked for",
                               tracker_table_name(p->table));
        }
        if (code == ERR_OK)
            code = fn(user, tracker_table_name(p->table), values, p->columns.n, e);
        if (last != NULL && json_string(item) != NULL) {
            free(*last);
            *last = strdup(json_string(item));
        }
        *rows += 1;
    }
    arena_release(&mem);
    return code;
}

/* All tables in one batch; *whole false (nothing given) when one has more rows than go in it. */
static enum err_code dump_whole(struct d1 *d, const struct tracker_filter *f, struct part *parts,
                                size_t n, bool *whole, tracker_dump_fn *fn, void *user,
                                struct err *e)
{
    struct sqlite_select q[PARTS];
    struct d1_batch b;
    struct d1_answer a;
    size_t rows = 0;

    d1_batch_init(&b);
    for (size_t i = 0; i < n; i++) {
        sqlite_select_init(&q[i]);
        part_query(&q[i], d, &parts[i], f, NULL, WHOLE_ROWS + 1);
        d1_batch_select(&b, &q[i]);
    }
    enum err_code code = d1_batch_run(d, &b, &a, e);
    *whole = code == ERR_OK;
    for (size_t i = 0; i < n && *whole; i++) {
        size_t count = 0;
        for (const struct json *r = d1_answer_rows(&a, i); r != NULL; r = json_next(r))
            count++;
        *whole = count <= WHOLE_ROWS;
    }
    for (size_t i = 0; i < n && *whole && code == ERR_OK; i++)
        code = give(&parts[i], d1_answer_rows(&a, i), fn, user, &rows, NULL, e);
    for (size_t i = 0; i < n; i++)
        sqlite_select_release(&q[i]);
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

static enum err_code dump_pages(struct d1 *d, const struct tracker_filter *f, struct part *p,
                                tracker_dump_fn *fn, void *user, struct err *e)
{
    char *after = NULL;
    size_t rows = 1;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && rows > 0) {
        struct sqlite_select q;
        struct d1_batch b;
        struct d1_answer a;

        sqlite_select_init(&q);
        d1_batch_init(&b);
        part_query(&q, d, p, f, after, D1_PAGE_ROWS);
        d1_batch_select(&b, &q);
        rows = 0;
        code = d1_batch_run(d, &b, &a, e);
        if (code == ERR_OK)
            code = give(p, d1_answer_rows(&a, 0), fn, user, &rows, &after, e);
        d1_answer_release(&a);
        d1_batch_release(&b);
        sqlite_select_release(&q);
    }
    free(after);
    return code;
}

enum err_code d1_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                      void *user, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct part parts[PARTS] = {
        {.table = TRACKER_BATCHES,
         .alias = "b",
         .key = "b.id",
         .before = " FROM migration_batches AS b WHERE b.batch_id IN (SELECT m.batch_id",
         .after = ")"},
        {.table = TRACKER_MIGRATIONS, .alias = "m", .key = "m.id", .before = "", .after = ""},
        {.table = TRACKER_FILES,
         .alias = "x",
         .key = "x.id",
         .before = " FROM files AS x WHERE x.id IN (SELECT CAST(m.file_id AS TEXT)",
         .after = ")"},
        {.table = TRACKER_RECORDS,
         .alias = "r",
         .key = "m.id",
         .before = "",
         .after = " AND r.record_id IS NOT NULL"},
    };
    bool whole = false;
    enum err_code code = d1_schema_need(d, e);
    const size_t n = d->info.schema.own ? PARTS : PARTS - 1;

    for (size_t i = 0; code == ERR_OK && i < n; i++)
        code = find_columns(d, &parts[i], e);
    if (code == ERR_OK)
        code = dump_whole(d, f, parts, n, &whole, fn, user, e);
    for (size_t i = 0; code == ERR_OK && !whole && i < n; i++)
        code = dump_pages(d, f, &parts[i], fn, user, e);
    free_parts(parts);
    return code;
}
