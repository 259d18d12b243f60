/* postgres_dump: rows as they are for a backup: one snapshot, one row in memory at a time. */
#include "track/postgres_restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 1700 /* PostgreSQL's own limit is 1600 */
#define ROW_MAX     ((size_t)1 << 30)

struct dump {
    const struct tracker_filter *f;
    tracker_dump_fn *fn;
    void *user;
    const char *table;
    struct tracker_value *values;
    struct arena mem; /* bytes of the row at hand */
};

static enum err_code on_row(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    struct dump *d = user;
    const int n = PQnfields(q) < COLUMNS_MAX ? PQnfields(q) : COLUMNS_MAX;

    (void)more;
    arena_reset(&d->mem);
    for (int i = 0; i < n; i++) {
        d->values[i].column = PQfname(q, i);
        if (!postgres_value_read(q, row, i, &d->mem, &d->values[i]))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return d->fn(d->user, d->table, d->values, (size_t)n, e);
}

/* "<before> <the filter's rows of m> <after>". */
static enum err_code dump_table(struct postgres *p, struct dump *d, const char *table,
                                struct postgres_select *q, const char *after, struct err *e)
{
    d->table = table;
    postgres_select_rows(q, p, d->f, true);
    buf_str(&q->sql, after);
    enum err_code code = postgres_select_ok(q, e)
                             ? postgres_statement_each(p, q->sql.data, q->args, q->n, on_row, d, e)
                             : ERR_NOMEM;
    postgres_select_release(q);
    postgres_select_init(q);
    return code;
}

static enum err_code dump_all(struct postgres *p, struct dump *d, struct err *e)
{
    struct postgres_select q;
    enum err_code code;

    postgres_select_init(&q);
    buf_str(&q.sql, "SELECT b.* FROM migration_batches AS b WHERE b.batch_id IN (SELECT ");
    postgres_type_as(&q.sql, "m.batch_id", postgres_column(p, POSTGRES_M_BATCH),
                     postgres_column(p, POSTGRES_B_BATCH));
    code = dump_table(p, d, "migration_batches", &q, ") ORDER BY b.id", e);
    if (code == ERR_OK) {
        buf_str(&q.sql, "SELECT m.*");
        code = dump_table(p, d, "file_migrations", &q, " ORDER BY m.id", e);
    }
    if (code == ERR_OK) {
        buf_str(&q.sql, "SELECT t.* FROM files AS t WHERE t.id IN (SELECT ");
        postgres_type_as(&q.sql, "m.file_id", postgres_column(p, POSTGRES_M_FILE),
                         postgres_column(p, POSTGRES_F_ID));
        code = dump_table(p, d, "files", &q, ") ORDER BY t.id", e);
    }
    if (code == ERR_OK && p->info.schema.own) {
        buf_str(&q.sql, "SELECT t.* FROM blobferry_records AS t WHERE t.record_id IN"
                        " (SELECT m.id::text COLLATE \"default\"");
        code = dump_table(p, d, "blobferry_records", &q, ") ORDER BY t.record_id", e);
    }
    postgres_select_release(&q);
    return code;
}

/* All rows, whether a migration touches them or not. */
static enum err_code dump_everything(struct postgres *p, struct dump *d, struct err *e)
{
    enum err_code code = ERR_OK;

    for (int i = 0; code == ERR_OK && i < TRACKER_TABLES; i++) {
        char sql[80];

        d->table = tracker_table_name((enum tracker_table)i);
        if (i == TRACKER_RECORDS && !p->info.schema.own)
            break;
        snprintf(sql, sizeof sql, "SELECT * FROM %s", d->table);
        code = postgres_statement_each(p, sql, POSTGRES_NONE, on_row, d, e);
    }
    return code;
}

static enum err_code run(struct postgres *p, void *user, struct err *e)
{
    struct dump *d = user;
    enum err_code code = postgres_value_formats(p, e);

    if (code != ERR_OK)
        return code;
    return d->f->everything ? dump_everything(p, d, e) : dump_all(p, d, e);
}

enum err_code postgres_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                            void *user, struct err *e)
{
    struct dump d = {.f = f, .fn = fn, .user = user};
    enum err_code code;

    d.values = calloc(COLUMNS_MAX, sizeof *d.values);
    if (d.values == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    arena_init(&d.mem, ROW_MAX);
    /* What was told cannot be taken back: it is run once. */
    code = postgres_transaction(
        postgres_of(t),
        &(struct postgres_work){.run = run, .user = &d, .once = true, .reading = true}, e);
    arena_release(&d.mem);
    free(d.values);
    return code;
}
