/* sqlite_restore: rows of a backup put back: compared by type and bytes, then inserted or updated, all in one transaction. */
#include "track/sqlite.h"

#include <string.h>
#include <strings.h>

struct restore {
    struct sqlite *s;
    const struct tracker_restore *r;
    struct tracker_restore_counts *counts;
    struct sqlite_shape shape;
    bool stale; /* the batch at hand has other counters than in the backup */
};

/* Prepared, with nothing bound; NULL with e filled. */
static sqlite3_stmt *statement(struct sqlite *s, const char *sql, struct err *e)
{
    sqlite3_stmt *q = sqlite_statement_query(s, sql, SQLITE_NONE, e);

    if (q != NULL)
        sqlite3_clear_bindings(q);
    return q;
}

/* No pointer of ours stays behind in a kept statement. */
static void done(sqlite3_stmt *q)
{
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

static enum err_code step_to_end(struct sqlite *s, sqlite3_stmt *q, struct err *e)
{
    bool row = true;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && row)
        code = sqlite_statement_next(s, q, &row, e);
    done(q);
    return code;
}

/* ---- one row --------------------------------------------------------------------------------------------------- */

enum found { FOUND_NONE, FOUND_SAME, FOUND_OTHER, FOUND_SEVERAL };

/* What follows from the rows of a batch is no difference: it is counted anew at the end. Whether it has ended, too, but not when. */
static bool follows(const struct sqlite_shape *h, const struct tracker_restore_row *row, size_t i)
{
    return h->derived[i] || (i == h->completed_at && (h->now[i].type == TRACKER_NULL) !=
                                                         (row->values[i].type == TRACKER_NULL));
}

static enum err_code compare(struct restore *w, const struct tracker_restore_row *row,
                             sqlite3_stmt *q, enum found *found, struct err *e)
{
    struct sqlite_shape *h = &w->shape;

    *found = sqlite3_column_int64(q, (int)h->n) > 1 ? FOUND_SEVERAL : FOUND_SAME;
    for (size_t i = 0; i < h->n; i++) {
        bool other;

        sqlite_value_read(q, (int)i, &h->now[i]);
        if (h->now[i].bytes == NULL && h->now[i].len > 0)
            return err_set(e, ERR_NOMEM, "out of memory");
        other = !h->passive[i] && !sqlite_value_same(&h->now[i], &row->values[i]);
        h->differs[i] = other && !follows(h, row, i);
        w->stale = w->stale || (other && !h->differs[i]);
        if (h->differs[i] && *found == FOUND_SAME)
            *found = FOUND_OTHER;
    }
    return ERR_OK;
}

/* Looks the row up and compares; w->shape.now is valid until done(*q). */
static enum err_code look(struct restore *w, const struct tracker_restore_row *row,
                          enum found *found, sqlite3_stmt **q, struct err *e)
{
    struct sqlite_shape *h = &w->shape;
    bool there = false;
    enum err_code code;

    *found = FOUND_NONE;
    *q = NULL;
    w->stale = false;
    if (h->absent)
        return ERR_OK;
    *q = statement(w->s, h->select.data, e);
    if (*q == NULL)
        return sqlite_code(e);
    if (sqlite_value_bind(*q, 1, &row->values[h->key]) != SQLITE_OK)
        return sqlite_error(w->s, e, "bind a value");
    code = sqlite_statement_next(w->s, *q, &there, e);
    return code == ERR_OK && there ? compare(w, row, *q, found, e) : code;
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

    while (!c.inserted && c.first < c.n && !w->shape.differs[c.first])
        c.first++;
    return w->r->change != NULL ? w->r->change(w->r->user, &c, e) : ERR_OK;
}

static const struct tracker_value *batch_of(const struct restore *w,
                                            const struct tracker_value *values)
{
    for (size_t i = 0; i < w->shape.n; i++) {
        if (strcasecmp(w->shape.names[i], "batch_id") == 0 && values[i].type != TRACKER_NULL)
            return &values[i];
    }
    return NULL;
}

/* The batches whose counters have to follow: the one the row belongs to, and the one it belonged to. */
static enum err_code note_batch(struct restore *w, const struct tracker_value *values,
                                struct err *e)
{
    const struct tracker_value *batch = batch_of(w, values);
    sqlite3_stmt *q;

    if (batch == NULL)
        return ERR_OK;
    q = statement(w->s,
                  "INSERT INTO temp.blobferry_restored (batch_id, touched) VALUES (?1, 1)"
                  " ON CONFLICT (batch_id) DO UPDATE SET touched = 1",
                  e);
    if (q == NULL)
        return sqlite_code(e);
    if (sqlite_value_bind(q, 1, batch) != SQLITE_OK)
        return sqlite_error(w->s, e, "bind a value");
    return step_to_end(w->s, q, e);
}

/* When the batch had ended: should its rows end it again, then at that time. */
static enum err_code note_end(struct restore *w, const struct tracker_value *values, struct err *e)
{
    const struct tracker_value *batch = batch_of(w, values);
    sqlite3_stmt *q;

    if (batch == NULL || w->shape.completed_at == w->shape.n)
        return ERR_OK;
    q = statement(w->s,
                  "INSERT INTO temp.blobferry_restored (batch_id, completed_at) VALUES (?1, ?2)"
                  " ON CONFLICT (batch_id) DO UPDATE SET completed_at = ?2",
                  e);
    if (q == NULL)
        return sqlite_code(e);
    if (sqlite_value_bind(q, 1, batch) != SQLITE_OK ||
        sqlite_value_bind(q, 2, &values[w->shape.completed_at]) != SQLITE_OK)
        return sqlite_error(w->s, e, "bind a value");
    return step_to_end(w->s, q, e);
}

static enum err_code write_row(struct restore *w, const struct tracker_restore_row *row,
                               enum found found, struct err *e)
{
    struct sqlite_shape *h = &w->shape;
    const char *sql = found == FOUND_NONE ? h->insert.data : sqlite_shape_update(h);
    sqlite3_stmt *q = sql != NULL ? statement(w->s, sql, e) : NULL;

    if (q == NULL)
        return sql != NULL ? sqlite_code(e) : err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < h->n; i++) {
        const bool used = found == FOUND_NONE ? !h->passive[i] : w->shape.differs[i] || i == h->key;
        if (used && sqlite_value_bind(q, (int)i + 1, &row->values[i]) != SQLITE_OK)
            return sqlite_error(w->s, e, "bind a value");
    }
    return step_to_end(w->s, q, e);
}

/* Write, and look again: a trigger of the application may have put something else in its place. */
static enum err_code put_row(struct restore *w, const struct tracker_restore_row *row,
                             enum found found, struct err *e)
{
    enum found after;
    sqlite3_stmt *q;
    enum err_code code = write_row(w, row, found, e);

    if (code != ERR_OK)
        return code;
    code = look(w, row, &after, &q, e);
    if (q != NULL)
        done(q);
    if (code == ERR_OK && after != FOUND_SAME)
        w->counts[row->table].unlike++;
    return code;
}

/* Which batches have to be counted anew because of this row. */
static enum err_code note(struct restore *w, const struct tracker_restore_row *row,
                          enum found found, struct err *e)
{
    bool writes = found == FOUND_NONE || found == FOUND_OTHER;
    enum err_code code = ERR_OK;

    if (w->r->dry_run || (row->table != TRACKER_BATCHES && row->table != TRACKER_MIGRATIONS))
        return ERR_OK;
    if (row->table == TRACKER_BATCHES)
        code = note_end(w, row->values, e);
    if (code == ERR_OK && (writes || w->stale))
        code = note_batch(w, row->values, e);
    if (code == ERR_OK && found == FOUND_OTHER)
        code = note_batch(w, w->shape.now, e);
    return code;
}

static enum err_code restore_row(struct restore *w, const struct tracker_restore_row *row,
                                 struct err *e)
{
    struct tracker_restore_counts *c = &w->counts[row->table];
    sqlite3_stmt *q = NULL;
    enum found found = FOUND_NONE;
    enum err_code code =
        sqlite_shape_fits(&w->shape, row) ? ERR_OK : sqlite_shape_to(w->s, &w->shape, row, e);

    if (code != ERR_OK)
        return code;
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
    if (q != NULL)
        done(q);
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

static enum err_code put_end(struct restore *w, const char *batch, struct err *e)
{
    static const char sql[] =
        "UPDATE migration_batches SET completed_at = r.completed_at"
        " FROM temp.blobferry_restored AS r WHERE migration_batches.batch_id = ?1"
        " AND r.batch_id = migration_batches.batch_id AND r.completed_at IS NOT NULL"
        " AND migration_batches.completed_at IS NOT NULL"
        " AND migration_batches.completed_at IS NOT r.completed_at";

    return sqlite_statement_run(w->s, sql, SQLITE_ARGS(SQLITE_T(batch)), NULL, e);
}

static enum err_code recount(struct restore *w, struct err *e)
{
    bool row = true;
    int64_t changed = 0;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q =
        statement(w->s,
                  "SELECT CAST(batch_id AS TEXT) FROM temp.blobferry_restored WHERE touched = 1"
                  " ORDER BY 1",
                  e);

    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(w->s, q, &row, e);
        const char *batch = code == ERR_OK && row ? (const char *)sqlite3_column_text(q, 0) : NULL;
        if (batch != NULL)
            code = sqlite_batches_recount(w->s, batch, &changed, e);
        if (batch != NULL && code == ERR_OK)
            code = put_end(w, batch, e);
    }
    sqlite_statement_done(q);
    return code;
}

static enum err_code restore_all(struct restore *w, struct err *e)
{
    struct tracker_restore_row row;
    bool more = true;
    enum err_code code = ERR_OK;

    if (!w->r->dry_run && sqlite3_exec(w->s->db,
                                       "CREATE TEMP TABLE IF NOT EXISTS blobferry_restored"
                                       " (batch_id PRIMARY KEY, touched, completed_at);"
                                       "DELETE FROM temp.blobferry_restored",
                                       NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(w->s, e, "make a temporary table");
    while (code == ERR_OK) {
        code = w->r->next(w->r->user, &row, &more, e);
        if (code != ERR_OK || !more)
            break;
        code = restore_row(w, &row, e);
    }
    if (code == ERR_OK && !w->r->dry_run)
        code = recount(w, e);
    if (code == ERR_OK && !w->r->dry_run)
        code = sqlite_run_put_head(w->s, w->r->head, e);
    return code;
}

enum err_code sqlite_restore(struct tracker *t, const struct tracker_restore *r,
                             struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct restore w = {.s = s, .r = r, .counts = counts};
    enum err_code code = r->dry_run ? sqlite_schema_need(s, e) : sqlite_statement_begin(s, e);

    if (code != ERR_OK)
        return code;
    if (r->dry_run && sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "read");
    code = sqlite_statement_end(s, restore_all(&w, e), e);
    if (!r->dry_run)
        sqlite3_exec(s->db, "DROP TABLE IF EXISTS temp.blobferry_restored", NULL, NULL, NULL);
    sqlite_shape_release(&w.shape);
    return code;
}
