/* d1_plan: batches and their rows. Which keys are held is gathered first, for every row is told of at once. Rows are staged in
 * blobferry_planned, some hundreds a request, where nobody else sees them; the last batch moves all of them into their tables at once,
 * unless another plan was faster. A plan that breaks off leaves only staged rows, which the next one sweeps up.
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

struct plan {
    struct d1 *d;
    tracker_plan_done_fn *done;
    void *user;
    char id[64]; /* time first: old ones are found by it */
    char now[TIMEFMT_SIZE];
    char *batch; /* of the row before; owned */
    int64_t sent, first_id;
    size_t n; /* rows in doc */
    struct buf doc;
    struct json_out out;
    char refused[BATCH_MAX + 64];
    char counted[24]; /* the id that the database will give */
};

static void begin_doc(struct plan *p)
{
    buf_reset(&p->doc);
    json_out_init(&p->out, &p->doc, 0);
    json_out_array(&p->out, NULL);
    p->n = 0;
}

static enum err_code flush(struct plan *p, struct err *e)
{
    struct d1_answer a = {0};
    enum err_code code = ERR_OK;

    json_out_end(&p->out);
    if (!buf_ok(&p->doc))
        code = err_set(e, ERR_LIMIT, "a planned row is too large for one request");
    else if (p->n > 0)
        code = d1_query(p->d, &a,
                        "INSERT OR IGNORE INTO blobferry_planned (plan, n, key_digest, batch_id,"
                        " doc) SELECT ?1, j.value ->> '$.n', j.value ->> '$.digest',"
                        " j.value ->> '$.batch', j.value FROM json_each(?2) AS j",
                        D1_TEXTS(p->id, buf_cstr(&p->doc)), e);
    d1_answer_release(&a);
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
    char holder[BATCH_MAX];

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
        const int64_t id = p->first_id + p->sent;
        (void)snprintf(p->counted, sizeof p->counted, "%lld", (long long)id);
        r->id = p->counted;
    }
    if (d1_keys_held(p->d, r->key_digest, holder, sizeof holder)) {
        (void)snprintf(p->refused, sizeof p->refused, "target key is planned already in batch '%s'",
                       holder);
        r->refused = p->refused;
    } else {
        code = d1_keys_hold(p->d, r->key_digest, r->batch_id, e);
        write_row(p, r);
        p->n++;
    }
    if (code == ERR_OK && p->done != NULL)
        p->done(p->user, r);
    return code == ERR_OK && (p->n == ROWS || p->doc.len > DOC_GOAL) ? flush(p, e) : code;
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
    enum err_code code = d1_schema_again(p->d, e); /* it may have changed */

    clock_uuid(uuid);
    (void)snprintf(p->id, sizeof p->id, "%015lld-%s", (long long)clock_wall_ms(), uuid);
    timefmt_db(clock_wall_ms(), p->now);
    if (code == ERR_OK)
        code = d1_schema_write(p->d, e);
    if (code == ERR_OK)
        code = d1_keys_gather(p->d, e);
    d1_batch_init(&b);
    sweep(p, &b);
    d1_batch_add(&b,
                 p->d->info.counted_id ? "SELECT coalesce(max(id), 0) + 1 FROM file_migrations"
                                       : "SELECT 0",
                 D1_NONE);
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

    buf_init(&p.doc, D1_DOC_MAX);
    begin_doc(&p);
    if (code == ERR_OK)
        code = stage_all(&p, next, e);
    if (code == ERR_OK)
        code = d1_publish(p.d, p.id, p.now, head, e);
    if (begun && code != ERR_OK)
        forget(&p);
    d1_keys_close(p.d); /* it knows of rows that may not be */
    free(p.batch);
    buf_release(&p.doc);
    return code;
}
