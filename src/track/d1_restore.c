/* d1_restore: rows of a backup put back. They are looked up and compared some dozens at a time, and those that differ are staged where
 * nobody else sees them; the last batch writes all of them at once.
 */
#include "track/d1_restore.h"

#include <stdio.h>
#include <string.h>

#define ROWS       50
#define SHAPES_MAX 12
#define MEM_MAX    ((size_t)64 << 20)
#define DOC_GOAL   ((size_t)600000)

enum found { FOUND_NONE, FOUND_SAME, FOUND_OTHER, FOUND_SEVERAL };

struct restore {
    struct d1 *d;
    const struct tracker_restore *r;
    struct tracker_restore_counts *counts;
    char request[CLOCK_UUID_SIZE];
    int64_t staged; /* notes so far */
    struct d1_shape shapes[SHAPES_MAX];
    int shape_count;
    struct tracker_value *rows[ROWS]; /* of the last shape, in mem */
    size_t n, bytes;
    struct arena mem;
    struct buf notes;
    struct json_out out;
};

static struct d1_shape *shape_of(struct restore *w)
{
    return &w->shapes[w->shape_count - 1];
}

/* ---- notes ------------------------------------------------------------------------------------------------ */

static void encode(struct json_out *o, const struct tracker_value *v, bool stays)
{
    struct buf text;

    buf_init(&text, D1_DOC_MAX);
    if (stays) {
        json_out_string(o, NULL, "=");
    } else if (v->type == TRACKER_NULL) {
        json_out_null(o, NULL);
    } else {
        d1_value_write(&text, v);
        json_out_string(o, NULL, buf_ok(&text) ? buf_cstr(&text) : NULL);
        o->b->failed |= !buf_ok(&text);
    }
    buf_release(&text);
}

static void begin_notes(struct restore *w)
{
    buf_reset(&w->notes);
    json_out_init(&w->out, &w->notes, 0);
    json_out_array(&w->out, NULL);
}

static enum err_code send_notes(struct restore *w, struct err *e)
{
    struct d1_answer a = {0};
    char sql[500];
    enum err_code code = ERR_OK;

    json_out_end(&w->out);
    if (!buf_ok(&w->notes))
        code = err_set(e, ERR_LIMIT, "a row of the backup is too large for D1");
    (void)snprintf(sql, sizeof sql,
                   "INSERT OR IGNORE INTO blobferry_work (request, n, at_ms, act, became, doc)"
                   " SELECT ?1, j.value ->> '$[0]', %lld, j.value ->> '$[1]', j.value ->> '$[2]',"
                   " j.value ->> '$[3]' FROM json_each(?2) AS j",
                   (long long)clock_wall_ms());
    if (code == ERR_OK && !w->r->dry_run && w->notes.len > 2)
        code = d1_query(w->d, &a, sql, D1_TEXTS(w->request, buf_cstr(&w->notes)), e);
    d1_answer_release(&a);
    begin_notes(w);
    return code;
}

static void begin_note(struct restore *w, const char *act)
{
    char number[24];

    (void)snprintf(number, sizeof number, "%d", shape_of(w)->number);
    json_out_array(&w->out, NULL);
    json_out_integer(&w->out, NULL, w->staged++);
    json_out_string(&w->out, NULL, act);
    json_out_string(&w->out, NULL, number);
    json_out_array(&w->out, NULL);
}

static enum err_code end_note(struct restore *w, struct err *e)
{
    json_out_end(&w->out);
    json_out_end(&w->out);
    return w->notes.len > DOC_GOAL ? send_notes(w, e) : ERR_OK;
}

/* The batch whose counters have to follow, or when it had ended (completed_at: may be NULL). */
static enum err_code note_batch(struct restore *w, const struct tracker_value *values,
                                const char *act, struct err *e)
{
    const struct d1_shape *h = shape_of(w);

    if (h->batch == h->n || values[h->batch].type == TRACKER_NULL)
        return ERR_OK;
    begin_note(w, act);
    encode(&w->out, &values[h->batch], false);
    if (h->completed_at < h->n)
        encode(&w->out, &values[h->completed_at], false);
    return end_note(w, e);
}

/* ---- one row ------------------------------------------------------------------------------------------------- */

struct compared {
    enum found found;
    bool stale; /* other counters than in the backup */
    struct tracker_value *now;
    bool *differs;
};

/* What follows from the rows of a batch is no difference; whether it has ended, too, but not when. */
static bool follows(const struct d1_shape *h, const struct compared *c,
                    const struct tracker_value *then, size_t i)
{
    return h->columns[i].derived || (i == h->completed_at && (c->now[i].type == TRACKER_NULL) !=
                                                                 (then[i].type == TRACKER_NULL));
}

static enum err_code compare(struct restore *w, const struct tracker_value *then,
                             const struct json *row, struct compared *c, struct err *e)
{
    const struct d1_shape *h = shape_of(w);
    const struct json *item = json_next(json_next(json_first(row)));

    c->found = d1_row_number(row, 1) > 1 ? FOUND_SEVERAL : FOUND_SAME;
    for (size_t i = 0; i < h->n; i++, item = json_next(item)) {
        c->now[i].column = h->columns[i].name;
        if (item == NULL || !d1_value_read(item, &c->now[i], &w->mem))
            return err_set(e, ERR_NOMEM, "out of memory");
        const bool other = !h->columns[i].passive && !sqlite_value_same(&c->now[i], &then[i]);
        c->differs[i] = other && !follows(h, c, then, i);
        c->stale |= other && !c->differs[i];
        if (c->differs[i] && c->found == FOUND_SAME)
            c->found = FOUND_OTHER;
    }
    return ERR_OK;
}

static const struct json *find_row(struct restore *w, const struct d1_answer *a,
                                   const struct tracker_value *key)
{
    for (const struct json *r = d1_answer_rows(a, 0); r != NULL; r = json_next(r)) {
        struct tracker_value v;
        if (d1_value_read(json_first(r), &v, &w->mem) && sqlite_value_same(&v, key))
            return r;
    }
    return NULL;
}

static enum err_code tell(struct restore *w, const struct tracker_value *then,
                          const struct compared *c, struct err *e)
{
    const struct d1_shape *h = shape_of(w);
    struct tracker_restore_change change = {.table = h->table,
                                            .inserted = c->found == FOUND_NONE,
                                            .then = then,
                                            .now = c->found == FOUND_NONE ? NULL : c->now,
                                            .n = h->n,
                                            .key = h->key};

    while (!change.inserted && change.first < change.n && !c->differs[change.first])
        change.first++;
    return w->r->change != NULL ? w->r->change(w->r->user, &change, e) : ERR_OK;
}

static enum err_code note_write(struct restore *w, const struct tracker_value *then,
                                const struct compared *c, struct err *e)
{
    const struct d1_shape *h = shape_of(w);
    const bool insert = c->found == FOUND_NONE;

    begin_note(w, insert ? "insert" : "update");
    for (size_t i = 0; i < h->n; i++)
        encode(&w->out, &then[i], !insert && i != h->key && !c->differs[i]);
    return end_note(w, e);
}

static enum err_code settle_row(struct restore *w, const struct tracker_value *then,
                                const struct compared *c, struct err *e)
{
    const enum tracker_table table = shape_of(w)->table;
    const bool writes = c->found == FOUND_NONE || c->found == FOUND_OTHER;
    const bool counts = table == TRACKER_BATCHES || table == TRACKER_MIGRATIONS;
    struct tracker_restore_counts *n = &w->counts[table];
    enum err_code code = writes ? tell(w, then, c, e) : ERR_OK;

    n->inserted += c->found == FOUND_NONE;
    n->changed += c->found == FOUND_OTHER;
    n->same += c->found == FOUND_SAME;
    n->skipped += c->found == FOUND_SEVERAL;
    if (code == ERR_OK && table == TRACKER_BATCHES)
        code = note_batch(w, then, "ended", e);
    if (code == ERR_OK && counts && (writes || c->stale))
        code = note_batch(w, then, "touched", e);
    if (code == ERR_OK && counts && c->found == FOUND_OTHER)
        code = note_batch(w, c->now, "touched", e);
    return code == ERR_OK && writes ? note_write(w, then, c, e) : code;
}

/* ---- some rows --------------------------------------------------------------------------------------------------- */

static enum err_code look_up(struct restore *w, struct d1_answer *a, struct err *e)
{
    const struct d1_shape *h = shape_of(w);
    struct buf keys, sql;
    struct json_out o;

    memset(a, 0, sizeof *a);
    if (h->absent)
        return ERR_OK;
    buf_init(&keys, D1_DOC_MAX);
    buf_init(&sql, 100000);
    json_out_init(&o, &keys, 0);
    json_out_array(&o, NULL);
    for (size_t i = 0; i < w->n; i++)
        encode(&o, &w->rows[i][h->key], false);
    json_out_end(&o);
    d1_shape_look_sql(h, &sql);
    enum err_code code = buf_ok(&keys) && buf_ok(&sql)
                             ? d1_query(w->d, a, buf_cstr(&sql), D1_TEXTS(buf_cstr(&keys)), e)
                             : err_set(e, ERR_LIMIT, "a row of the backup is too large for D1");
    buf_release(&keys);
    buf_release(&sql);
    return code;
}

static enum err_code flush(struct restore *w, struct err *e)
{
    struct d1_answer a = {0};
    enum err_code code = w->n > 0 ? look_up(w, &a, e) : ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < w->n; i++) {
        const struct d1_shape *h = shape_of(w);
        struct compared c = {.now = arena_alloc(&w->mem, h->n * sizeof *c.now),
                             .differs = arena_alloc(&w->mem, h->n + 1)};
        const struct json *row = find_row(w, &a, &w->rows[i][h->key]);

        if (c.now == NULL || c.differs == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
        else if (row != NULL)
            code = compare(w, w->rows[i], row, &c, e);
        if (code == ERR_OK)
            code = settle_row(w, w->rows[i], &c, e);
    }
    d1_answer_release(&a);
    arena_reset(&w->mem);
    w->n = w->bytes = 0;
    return code;
}

static enum err_code enter_shape(struct restore *w, const struct tracker_restore_row *row,
                                 struct err *e)
{
    if (w->shape_count > 0 && d1_shape_fits(shape_of(w), row))
        return ERR_OK;
    enum err_code code = flush(w, e);
    if (code == ERR_OK && w->shape_count == SHAPES_MAX)
        code = err_set(e, ERR_LIMIT, "the rows of the backup are of too many kinds");
    if (code != ERR_OK)
        return code;
    w->shape_count++;
    code = d1_shape_to(w->d, shape_of(w), row, e);
    shape_of(w)->number = w->shape_count;
    return code;
}

/* The values are borrowed until the next row is asked for: kept until they are compared. */
static enum err_code keep_row(struct restore *w, const struct tracker_restore_row *row,
                              struct err *e)
{
    struct tracker_value *copy = arena_alloc(&w->mem, (row->n + 1) * sizeof *copy);

    for (size_t i = 0; copy != NULL && i < row->n; i++) {
        char *bytes = arena_alloc(&w->mem, row->values[i].len + 1);
        if (bytes == NULL)
            return err_set(e, ERR_LIMIT, "a row of the backup is too large");
        memcpy(bytes, row->values[i].bytes, row->values[i].len);
        copy[i] = row->values[i];
        copy[i].column = shape_of(w)->columns[i].name;
        copy[i].bytes = bytes;
        w->bytes += row->values[i].len;
    }
    if (copy == NULL)
        return err_set(e, ERR_LIMIT, "a row of the backup is too large");
    w->rows[w->n++] = copy;
    return w->n == ROWS || w->bytes > DOC_GOAL ? flush(w, e) : ERR_OK;
}

static enum err_code stage_all(struct restore *w, struct err *e)
{
    struct tracker_restore_row row;
    bool more = true;

    for (;;) {
        enum err_code code = w->r->next(w->r->user, &row, &more, e);
        if (code == ERR_OK && !more) {
            code = flush(w, e);
            return code == ERR_OK ? send_notes(w, e) : code;
        }
        if (code == ERR_OK)
            code = enter_shape(w, &row, e);
        if (code != ERR_OK)
            return code;
        w->counts[row.table].rows++;
        if (row.values[shape_of(w)->key].type == TRACKER_NULL)
            w->counts[row.table].skipped++;
        else
            code = keep_row(w, &row, e);
        if (code != ERR_OK)
            return code;
    }
}

/* ---- all at once ---------------------------------------------------------------------------------------------------- */

static enum err_code write_all(struct restore *w, struct err *e)
{
    struct d1_batch b;
    struct d1_answer a;

    d1_batch_init(&b);
    for (int i = 0; i < w->shape_count; i++)
        d1_shape_write(&w->shapes[i], &b, w->request);
    d1_batches_recount(w->d, &b, w->request);
    d1_run_put_head(&b, w->r->head);
    d1_batch_add(&b, "DELETE FROM blobferry_work WHERE request = ?1", D1_TEXTS(w->request));
    enum err_code code = d1_batch_run(w->d, &b, &a, e);
    for (int i = 0; code == ERR_OK && i < w->shape_count; i++) {
        const size_t at = (size_t)(i + 1) * D1_SHAPE_STATEMENTS - 1;
        w->counts[w->shapes[i].table].unlike += d1_row_number(d1_answer_rows(&a, at), 0);
    }
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

static void forget(struct restore *w)
{
    struct err ignored;
    struct d1_answer a;

    err_init(&ignored);
    d1_query(w->d, &a, "DELETE FROM blobferry_work WHERE request = ?1", D1_TEXTS(w->request),
             &ignored);
    d1_answer_release(&a);
}

enum err_code d1_restore(struct tracker *t, const struct tracker_restore *r,
                         struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e)
{
    struct restore w = {.d = d1_of(t), .r = r, .counts = counts};
    enum err_code code = r->dry_run ? d1_schema_require(t, e) : d1_schema_write(w.d, e);

    if (code != ERR_OK)
        return code;
    memset(counts, 0, sizeof *counts * TRACKER_TABLES);
    clock_uuid(w.request);
    arena_init(&w.mem, MEM_MAX);
    buf_init(&w.notes, D1_DOC_MAX);
    begin_notes(&w);
    code = stage_all(&w, e);
    if (code == ERR_OK && !r->dry_run)
        code = write_all(&w, e);
    if (code != ERR_OK && !r->dry_run && w.staged > 0)
        forget(&w);
    for (int i = 0; i < w.shape_count; i++)
        d1_shape_release(&w.shapes[i]);
    buf_release(&w.notes);
    arena_release(&w.mem);
    return code;
}
