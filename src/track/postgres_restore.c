/* postgres_restore: rows of a backup put back: compared by type and bytes, then inserted or updated, all in one transaction. */
#include "track/postgres_restore.h"

#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define ROW_MAX  ((size_t)1 << 30)
#define RESTORED "pg_temp.blobferry_restored"

struct restore {
    struct postgres *p;
    const struct tracker_restore *r;
    struct tracker_restore_counts *counts;
    struct postgres_shape shape;
    struct arena mem; /* texts of the row at hand */
    bool stale;       /* the batch at hand has other counters than in the backup */
};

/* ---- one row --------------------------------------------------------------------------------------------------- */

enum found { FOUND_NONE, FOUND_SAME, FOUND_OTHER, FOUND_SEVERAL };

/* What follows from the rows of a batch is no difference: it is counted anew at the end. Whether it has ended, too, but not when. */
static bool follows(const struct postgres_shape *h, const struct tracker_restore_row *row, size_t i)
{
    return h->columns[i].derived ||
           (i == h->completed_at &&
            (h->now[i].type == TRACKER_NULL) != (row->values[i].type == TRACKER_NULL));
}

static enum err_code compare(struct restore *w, const struct tracker_restore_row *row,
                             const PGresult *q, enum found *found, struct err *e)
{
    struct postgres_shape *h = &w->shape;

    *found = postgres_statement_integer(q, 0, (int)h->n) > 1 ? FOUND_SEVERAL : FOUND_SAME;
    for (size_t i = 0; i < h->n; i++) {
        struct postgres_shape_column *c = &h->columns[i];

        if (!postgres_value_read(q, 0, (int)i, &w->mem, &h->now[i]))
            return err_set(e, ERR_NOMEM, "out of memory");
        const bool other = !c->passive && !postgres_value_same(&h->now[i], &row->values[i]);
        c->differs = other && !follows(h, row, i);
        w->stale = w->stale || (other && !c->differs);
        if (c->differs && *found == FOUND_SAME)
            *found = FOUND_OTHER;
    }
    return ERR_OK;
}

/* Looks the row up and compares; w->shape.now is valid until PQclear(*q). */
static enum err_code look(struct restore *w, const struct tracker_restore_row *row,
                          enum found *found, PGresult **q, struct err *e)
{
    struct postgres_shape *h = &w->shape;
    const char *key = NULL;

    *found = FOUND_NONE;
    *q = NULL;
    w->stale = false;
    if (h->absent)
        return ERR_OK;
    enum err_code code = postgres_value_text(&row->values[h->key], &w->mem, &key, e);
    if (code != ERR_OK)
        return code;
    *q = postgres_statement_query(w->p, h->select.data, POSTGRES_ARGS(POSTGRES_T(key)), e);
    if (*q == NULL)
        return postgres_code(e);
    return PQntuples(*q) > 0 ? compare(w, row, *q, found, e) : ERR_OK;
}

static enum err_code tell(struct restore *w, const struct tracker_restore_row *row,
                          enum found found, struct err *e)
{
    struct tracker_restore_change c = {.table = row->table,
                                       .inserted = found == FOUND_NONE,
                                       .then = row->values,
                                       .now = found == FOUND_NONE ? NULL : w->shape.now,
                                       .n = row->n,
                                       .key = w->shape.key};

    while (!c.inserted && c.first < c.n && !w->shape.columns[c.first].differs)
        c.first++;
    return w->r->change != NULL ? w->r->change(w->r->user, &c, e) : ERR_OK;
}

/* Remembers a batch: that its counters have to follow, or when it had ended (NULL: not told). */
static enum err_code note_batch(struct restore *w, const struct tracker_value *values, bool touched,
                                const char *completed_at, struct err *e)
{
    const char *batch = NULL;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < w->shape.n; i++) {
        if (strcmp(w->shape.columns[i].name, "batch_id") == 0)
            code = postgres_value_text(&values[i], &w->mem, &batch, e);
    }
    if (code != ERR_OK || batch == NULL)
        return code;
    return postgres_statement_run(
        w->p,
        "INSERT INTO " RESTORED " AS r (batch_id, touched, completed_at)"
        " VALUES ($1::text, $2::int <> 0, $3::text) ON CONFLICT (batch_id) DO UPDATE SET"
        " touched = r.touched OR $2::int <> 0, completed_at = coalesce($3::text, r.completed_at)",
        POSTGRES_ARGS(POSTGRES_T(batch), POSTGRES_I(touched), POSTGRES_T(completed_at)), NULL, e);
}

/* When the batch had ended: should its rows end it again, then at that time. */
static enum err_code note_end(struct restore *w, const struct tracker_value *values, struct err *e)
{
    const char *completed_at = NULL;
    enum err_code code = ERR_OK;

    if (w->shape.completed_at == w->shape.n)
        return ERR_OK;
    code = postgres_value_text(&values[w->shape.completed_at], &w->mem, &completed_at, e);
    return code == ERR_OK ? note_batch(w, values, false, completed_at, e) : code;
}

static enum err_code write_row(struct restore *w, const struct tracker_restore_row *row,
                               enum found found, struct err *e)
{
    struct postgres_shape *h = &w->shape;
    const char *sql = found == FOUND_NONE ? h->insert.data : postgres_shape_update(h);
    enum err_code code = sql != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
    size_t n = 0;

    for (size_t i = 0; code == ERR_OK && i < h->n; i++) {
        const char *text = NULL;
        if (found == FOUND_NONE ? h->columns[i].passive : !h->columns[i].differs)
            continue;
        code = postgres_value_text(&row->values[i], &w->mem, &text, e);
        h->args[n++] = (struct postgres_arg)POSTGRES_T(text);
    }
    if (code == ERR_OK && found != FOUND_NONE) {
        const char *text = NULL;
        code = postgres_value_text(&row->values[h->key], &w->mem, &text, e);
        h->args[n++] = (struct postgres_arg)POSTGRES_T(text);
    }
    return code == ERR_OK ? postgres_statement_run(w->p, sql, h->args, n, NULL, e) : code;
}

/* Write, and look again: a trigger of the application may have put something else in its place. */
static enum err_code put_row(struct restore *w, const struct tracker_restore_row *row,
                             enum found found, struct err *e)
{
    enum found after;
    PGresult *q = NULL;
    enum err_code code = write_row(w, row, found, e);

    if (code != ERR_OK)
        return code;
    code = look(w, row, &after, &q, e);
    PQclear(q);
    if (code == ERR_OK && after != FOUND_SAME)
        w->counts[row->table].unlike++;
    return code;
}

/* Which batches have to be counted anew because of this row. */
static enum err_code note(struct restore *w, const struct tracker_restore_row *row,
                          enum found found, struct err *e)
{
    const bool writes = found == FOUND_NONE || found == FOUND_OTHER;
    enum err_code code = ERR_OK;

    if (w->r->dry_run || (row->table != TRACKER_BATCHES && row->table != TRACKER_MIGRATIONS))
        return ERR_OK;
    if (row->table == TRACKER_BATCHES)
        code = note_end(w, row->values, e);
    if (code == ERR_OK && (writes || w->stale))
        code = note_batch(w, row->values, true, NULL, e);
    if (code == ERR_OK && found == FOUND_OTHER)
        code = note_batch(w, w->shape.now, true, NULL, e);
    return code;
}

static enum err_code restore_row(struct restore *w, const struct tracker_restore_row *row,
                                 struct err *e)
{
    struct tracker_restore_counts *c = &w->counts[row->table];
    PGresult *q = NULL;
    enum found found = FOUND_NONE;
    enum err_code code = postgres_shape_fits(&w->shape, row)
                             ? ERR_OK
                             : postgres_shape_to(w->p, &w->shape, row, !w->r->dry_run, e);

    if (code != ERR_OK)
        return code;
    arena_reset(&w->mem);
    c->rows++;
    if (row->values[w->shape.key].type == TRACKER_NULL) {
        c->skipped++;
        return ERR_OK;
    }
    code = look(w, row, &found, &q, e);
    if (code == ERR_OK && (found == FOUND_NONE || found == FOUND_OTHER))
        code = tell(w, row, found, e);
    if (code == ERR_OK)
        code = note(w, row, found, e);
    PQclear(q);
    if (code != ERR_OK)
        return code;
    c->inserted += found == FOUND_NONE;
    c->changed += found == FOUND_OTHER;
    c->same += found == FOUND_SAME;
    c->skipped += found == FOUND_SEVERAL;
    return (found == FOUND_NONE || found == FOUND_OTHER) && !w->r->dry_run
               ? put_row(w, row, found, e)
               : ERR_OK;
}

/* ---- all rows ------------------------------------------------------------------------------------------------------ */

static enum err_code put_end(struct restore *w, const char *batch, const char *completed_at,
                             struct err *e)
{
    const char *type = postgres_column(w->p, POSTGRES_B_COMPLETED)->type;
    char sql[1024];

    if (completed_at == NULL)
        return ERR_OK;
    snprintf(sql, sizeof sql,
             "UPDATE migration_batches SET completed_at = $2::%s WHERE batch_id = $1::%s"
             " AND completed_at IS NOT NULL AND completed_at IS DISTINCT FROM $2::%s",
             type, postgres_column(w->p, POSTGRES_B_BATCH)->type, type);
    return postgres_statement_run(
        w->p, sql, POSTGRES_ARGS(POSTGRES_T(batch), POSTGRES_T(completed_at)), NULL, e);
}

/* One batch after another, for each is counted on the same connection. */
static enum err_code recount(struct restore *w, struct err *e)
{
    char *after = NULL;
    int64_t changed = 0;
    enum err_code code = ERR_OK;

    while (code == ERR_OK) {
        PGresult *q = postgres_statement_query(
            w->p,
            "SELECT batch_id, completed_at FROM " RESTORED " WHERE touched"
            " AND ($1::text IS NULL OR batch_id > $1::text) ORDER BY batch_id LIMIT 1",
            POSTGRES_ARGS(POSTGRES_T(after)), e);
        if (q == NULL)
            code = postgres_code(e);
        const bool row = q != NULL && PQntuples(q) > 0;
        free(after);
        after = row ? str_dup(PQgetvalue(q, 0, 0)) : NULL;
        if (row && after == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
        if (row && code == ERR_OK)
            code = postgres_refresh_one(w->p, after, &changed, e);
        if (row && code == ERR_OK)
            code = put_end(w, after, postgres_statement_text(q, 0, 1), e);
        PQclear(q);
        if (!row)
            break;
    }
    free(after);
    return code;
}

static enum err_code run(struct postgres *p, void *user, struct err *e)
{
    struct restore *w = user;
    struct tracker_restore_row row;
    bool more = true;
    enum err_code code = postgres_value_formats(p, e);

    if (code == ERR_OK && !w->r->dry_run)
        code = postgres_statement_run(p,
                                      "CREATE TEMP TABLE blobferry_restored (batch_id text PRIMARY"
                                      " KEY, touched boolean, completed_at text) ON COMMIT DROP",
                                      POSTGRES_NONE, NULL, e);
    while (code == ERR_OK) {
        code = w->r->next(w->r->user, &row, &more, e);
        if (code != ERR_OK || !more)
            break;
        code = restore_row(w, &row, e);
    }
    if (code == ERR_OK && !w->r->dry_run)
        code = recount(w, e);
    if (code == ERR_OK && !w->r->dry_run)
        code = postgres_run_put_head(p, w->r->head, e);
    return code;
}

enum err_code postgres_restore(struct tracker *t, const struct tracker_restore *r,
                               struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e)
{
    struct restore w = {.p = postgres_of(t), .r = r, .counts = counts};

    arena_init(&w.mem, ROW_MAX);
    /* The rows of a backup are read once. */
    enum err_code code = postgres_transaction(
        w.p, &(struct postgres_work){.run = run, .user = &w, .once = true, .reading = r->dry_run},
        e);
    postgres_shape_release(&w.shape);
    arena_release(&w.mem);
    return code;
}
