/* d1_plan: batches and their rows. Rows are staged in blobferry_planned, some hundreds a request, where nobody else sees them; the
 * last batch moves all of them into their tables at once, or says why not. A plan that breaks off leaves only staged rows, which
 * the next one sweeps up.
 */
#include "track/d1.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS      500
#define DOC_GOAL  ((size_t)700000)
#define BATCH_MAX 1024
#define OLD_MS    INT64_C(86400000)

/* A row on its way: it is told of when the request is answered, so its texts are kept. */
struct pending {
    struct tracker_plan_row row;
    char *why; /* owned; NULL: staged */
};
struct plan {
    struct d1 *d;
    tracker_plan_done_fn *done;
    void *user;
    char id[64]; /* time first: old ones are found by it */
    char now[TIMEFMT_SIZE];
    char *batch; /* of the row before; owned */
    int64_t sent, first_id;
    struct pending *rows;
    size_t n;
    struct arena mem;
    struct buf doc;
    struct json_out out;
};

static void begin_doc(struct plan *p)
{
    buf_reset(&p->doc);
    json_out_init(&p->out, &p->doc, 0);
    json_out_array(&p->out, NULL);
    arena_reset(&p->mem);
    p->n = 0;
}

/* Held by a row of ours, or by an earlier one of this very plan. */
static const char stage_sql[] =
    "INSERT OR IGNORE INTO blobferry_planned (plan, n, key_digest, batch_id, doc)"
    " SELECT ?1, j.value ->> '$.n', j.value ->> '$.digest', j.value ->> '$.batch', j.value"
    " FROM json_each(?2) AS j WHERE NOT EXISTS (SELECT 1 FROM blobferry_records AS r"
    " JOIN file_migrations AS m ON m.id = r.record_id WHERE r.key_digest = j.value ->> '$.digest'"
    " AND m.status IS NOT 'rolled_back' COLLATE BINARY) ORDER BY j.key";
static const char refused_sql[] =
    "SELECT j.key, coalesce((SELECT CAST(m.batch_id AS TEXT) FROM blobferry_records AS r"
    "  JOIN file_migrations AS m ON m.id = r.record_id WHERE r.key_digest ="
    "  j.value ->> '$.digest' AND m.status IS NOT 'rolled_back' COLLATE BINARY LIMIT 1),"
    " (SELECT batch_id FROM blobferry_planned WHERE plan = ?1 AND key_digest ="
    "  j.value ->> '$.digest'), '?') FROM json_each(?2) AS j WHERE NOT EXISTS (SELECT 1 FROM"
    " blobferry_planned WHERE plan = ?1 AND n = j.value ->> '$.n') ORDER BY j.key";

static char *reason(const char *batch)
{
    struct buf b;

    buf_init(&b, BATCH_MAX + 64);
    buf_printf(&b, "target key is planned already in batch '%.1000s'", batch);
    return buf_steal(&b);
}

/* `at` counts the rows that were sent; those refused here already were not. */
static struct pending *sent_row(struct plan *p, int64_t at)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->rows[i].why == NULL && at-- == 0)
            return &p->rows[i];
    }
    return NULL;
}

static void mark_refused(struct plan *p, const struct json *row)
{
    struct pending *refused[ROWS];
    const char *holders[ROWS];
    size_t n = 0;

    for (; row != NULL && n < ROWS; row = json_next(row)) {
        refused[n] = sent_row(p, d1_row_number(row, 0));
        holders[n] = d1_row_plain(row, 1);
        n += refused[n] != NULL;
    }
    for (size_t i = 0; i < n; i++)
        refused[i]->why = reason(holders[i] != NULL ? holders[i] : "?");
}

static void tell(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        p->rows[i].row.refused = p->rows[i].why;
        if (p->done != NULL)
            p->done(p->user, &p->rows[i].row);
        free(p->rows[i].why);
        p->rows[i].why = NULL;
    }
}

static enum err_code flush(struct plan *p, struct err *e)
{
    struct d1_batch b;
    struct d1_answer a = {0};
    enum err_code code = ERR_OK;

    json_out_end(&p->out);
    if (!buf_ok(&p->doc))
        return err_set(e, ERR_LIMIT, "a planned row is too large for one request");
    d1_batch_init(&b);
    d1_batch_add(&b, stage_sql, D1_TEXTS(p->id, buf_cstr(&p->doc)));
    d1_batch_add(&b, refused_sql, D1_TEXTS(p->id, buf_cstr(&p->doc)));
    if (p->n > 0)
        code = d1_batch_run(p->d, &b, &a, e);
    if (code == ERR_OK) {
        mark_refused(p, d1_answer_rows(&a, 1));
        tell(p);
    }
    d1_answer_release(&a);
    d1_batch_release(&b);
    begin_doc(p);
    return code;
}

/* The row's batch must be new; it is asked for when it changes. */
static enum err_code enter_batch(struct plan *p, const char *batch_id, struct err *e)
{
    bool exists = false;

    if (p->batch != NULL && strcmp(p->batch, batch_id) == 0)
        return ERR_OK;
    enum err_code code = d1_files_batch_exists(&p->d->base, batch_id, &exists, e);
    if (code != ERR_OK)
        return code;
    if (exists) {
        err_set(e, ERR_CONFLICT, "batch '%s' exists already", batch_id);
        return err_hint(e, "choose another --batch-id (see: blobferry status)");
    }
    free(p->batch);
    p->batch = str_dup(batch_id);
    return p->batch != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static bool keep_row(struct plan *p, struct tracker_plan_row *r)
{
    const char **texts[] = {&r->id,         &r->batch_id,    &r->file_id,  &r->source_path,
                            &r->target_key, &r->key_digest,  &r->checksum, &r->filename,
                            &r->user_id,    &r->content_type};
    bool ok = true;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *copy = arena_strdup(&p->mem, *texts[i]);
        ok &= (copy == NULL) == (*texts[i] == NULL);
        *texts[i] = copy;
    }
    return ok;
}

static bool fits(const struct tracker_plan_row *r)
{
    return d1_text_fits(r->id) && d1_text_fits(r->batch_id) && d1_text_fits(r->file_id) &&
           d1_text_fits(r->source_path) && d1_text_fits(r->target_key) &&
           d1_text_fits(r->checksum) && d1_text_fits(r->filename) && d1_text_fits(r->user_id) &&
           d1_text_fits(r->content_type);
}

static void write_row(struct plan *p, const struct tracker_plan_row *r)
{
    struct json_out *o = &p->out;
    const bool file =
        r->make_file_row && r->file_id != NULL && r->user_id != NULL && r->filename != NULL;

    json_out_object(o, NULL);
    json_out_integer(o, "n", p->sent++);
    json_out_string(o, "id", r->id);
    json_out_string(o, "batch", r->batch_id);
    json_out_string(o, "digest", r->key_digest);
    json_out_string(o, "file", r->file_id);
    json_out_string(o, "source", r->source_path);
    json_out_string(o, "key", r->target_key);
    json_out_string(o, "checksum", r->checksum);
    if (r->size >= 0)
        json_out_integer(o, "size", r->size);
    json_out_string(o, "type", r->content_type);
    json_out_integer(o, "make", file);
    if (file) {
        json_out_string(o, "name", r->filename);
        json_out_string(o, "user", r->user_id);
    }
    json_out_end(o);
}

static enum err_code add_row(struct plan *p, struct tracker_plan_row *r, struct err *e)
{
    char holder[BATCH_MAX], number[24];
    struct pending *k = &p->rows[p->n];

    r->refused = NULL;
    if (r->id == NULL || r->batch_id == NULL || r->key_digest == NULL)
        return err_set(e, ERR_GENERAL, "a planned row lacks its id, batch or key digest");
    if (!fits(r)) {
        err_set(e, ERR_DB, "a name of '%.300s' is not UTF-8", r->id);
        return err_hint(e, "D1 takes no other; rename the file, or plan into SQLite");
    }
    enum err_code code = enter_batch(p, r->batch_id, e);
    if (code != ERR_OK)
        return code;
    if (p->d->info.counted_id) { /* the database would count just so */
        (void)snprintf(number, sizeof number, "%lld", (long long)(p->first_id + p->sent));
        r->id = number;
    }
    if (!keep_row(p, r))
        return err_set(e, ERR_NOMEM, "out of memory");
    *k = (struct pending){.row = *r};
    p->n++;
    if (d1_keys_foreign(p->d, r->key_digest, holder, sizeof holder))
        k->why = reason(holder);
    else
        write_row(p, r);
    return p->n == ROWS || p->doc.len > DOC_GOAL ? flush(p, e) : ERR_OK;
}

static enum err_code stage_all(struct plan *p, tracker_plan_next_fn *next, struct err *e)
{
    bool more = true;

    for (;;) {
        struct tracker_plan_row row = {.size = -1};
        enum err_code code = next(p->user, &row, &more, e);
        if (code == ERR_OK && more)
            code = add_row(p, &row, e);
        if (code != ERR_OK || !more)
            return code == ERR_OK ? flush(p, e) : code;
    }
}

static void sweep(struct plan *p, struct d1_batch *b)
{
    char old[32];

    (void)snprintf(old, sizeof old, "%015lld", (long long)(clock_wall_ms() - OLD_MS));
    d1_batch_add(b, "DELETE FROM blobferry_planned WHERE plan = ?1 OR plan < ?2",
                 D1_TEXTS(p->id, old));
}

static enum err_code begin(struct plan *p, struct err *e)
{
    char uuid[CLOCK_UUID_SIZE];
    struct d1_batch b;
    struct d1_answer a = {0};
    enum err_code code = d1_schema_require(&p->d->base, e); /* it may have changed */

    clock_uuid(uuid);
    (void)snprintf(p->id, sizeof p->id, "%015lld-%s", (long long)clock_wall_ms(), uuid);
    timefmt_db(clock_wall_ms(), p->now);
    if (code == ERR_OK)
        code = d1_schema_write(p->d, e);
    if (code == ERR_OK)
        code = d1_keys_gather(p->d, e);
    d1_batch_init(&b);
    sweep(p, &b);
    d1_batch_add(&b, "SELECT coalesce(max(rowid), 0) + 1 FROM file_migrations", D1_NONE);
    if (code == ERR_OK)
        code = d1_batch_run(p->d, &b, &a, e);
    p->first_id = code == ERR_OK ? d1_row_number(d1_answer_rows(&a, 1), 0) : 0;
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

/* Best effort: what stays is swept up by the next plan. */
static void forget(struct plan *p)
{
    struct err ignored;
    struct d1_answer a;

    err_init(&ignored);
    d1_query(p->d, &a, "DELETE FROM blobferry_planned WHERE plan = ?1", D1_TEXTS(p->id), &ignored);
    d1_answer_release(&a);
}

enum err_code d1_plan(struct tracker *t, tracker_plan_next_fn *next, tracker_plan_done_fn *done,
                      void *user, const struct tracker_head *head, struct err *e)
{
    struct plan p = {.d = d1_of(t), .done = done, .user = user};
    enum err_code code = begin(&p, e);
    const bool begun = code == ERR_OK;

    p.rows = calloc(ROWS, sizeof *p.rows);
    if (code == ERR_OK && p.rows == NULL)
        code = err_set(e, ERR_NOMEM, "out of memory");
    arena_init(&p.mem, (size_t)64 << 20);
    buf_init(&p.doc, D1_DOC_MAX);
    begin_doc(&p);
    if (code == ERR_OK)
        code = stage_all(&p, next, e);
    if (code == ERR_OK)
        code = d1_publish(p.d, p.id, p.now, head, e);
    if (begun && code != ERR_OK)
        forget(&p);
    for (size_t i = 0; p.rows != NULL && i < p.n; i++)
        free(p.rows[i].why);
    free(p.rows);
    free(p.batch);
    arena_release(&p.mem);
    buf_release(&p.doc);
    return code;
}
