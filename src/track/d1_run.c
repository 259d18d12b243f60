/* d1_run: runs, and the head of the audit chain that every state change carries. */
#include "track/d1.h"
#include "track/row.h"

#include <stdio.h>

static enum err_code run(struct d1 *d, struct d1_batch *b, struct err *e)
{
    struct d1_answer a;
    enum err_code code = d1_batch_run(d, b, &a, e);

    d1_answer_release(&a);
    return code;
}

/* Several processes share one audit file: the head never goes back. */
void d1_run_put_head(struct d1_batch *b, const struct tracker_head *h)
{
    char sql[400];

    if (h == NULL)
        return;
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO blobferry_heads (log_id, run_id, seq, hash)"
                   " VALUES (?1, ?2, %lld, ?3) ON CONFLICT (log_id) DO UPDATE SET run_id = ?2,"
                   " seq = %lld, hash = ?3 WHERE %lld > seq",
                   (long long)h->seq, (long long)h->seq, (long long)h->seq);
    d1_batch_add(b, sql, D1_TEXTS(h->log_id, h->run_id, h->hash));
}

enum err_code d1_run_set_head(struct tracker *t, const struct tracker_head *h, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_batch b;
    enum err_code code = d1_schema_write(d, e);

    d1_batch_init(&b);
    d1_run_put_head(&b, h);
    if (code == ERR_OK)
        code = run(d, &b, e);
    d1_batch_release(&b);
    return code;
}

enum err_code d1_run_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    enum err_code code = d1_schema_look(d, e);

    if (code != ERR_OK || !d->info.schema.own)
        return code;
    code = d1_query(d, &a, "SELECT log_id, run_id, seq, hash FROM blobferry_heads ORDER BY log_id",
                    D1_NONE, e);
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        struct tracker_head h = {
            .log_id = d1_row_plain(r, 0), .run_id = d1_row_plain(r, 1), .seq = d1_row_number(r, 2)};
        row_hash(&h, d1_row_plain(r, 3));
        code = fn(user, &h, e);
    }
    d1_answer_release(&a);
    return code;
}

static enum err_code put_run(struct tracker *t, const char *sql, const struct tracker_run *r,
                             struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_batch b;
    enum err_code code = d1_schema_write(d, e);

    d1_batch_init(&b);
    d1_batch_add(&b, sql, D1_TEXTS(r->id, r->command, r->owner, r->summary));
    if (code == ERR_OK)
        code = run(d, &b, e);
    d1_batch_release(&b);
    return code;
}

enum err_code d1_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    char sql[400];

    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO blobferry_runs (id, command, owner, started_ms, summary)"
                   " VALUES (?1, ?2, ?3, %lld, ?4) ON CONFLICT (id) DO UPDATE SET command = ?2,"
                   " owner = ?3, started_ms = %lld, summary = ?4",
                   (long long)r->started_ms, (long long)r->started_ms);
    return put_run(t, sql, r, e);
}

enum err_code d1_run_end(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    char sql[500];

    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO blobferry_runs (id, command, owner, started_ms, ended_ms,"
                   " exit_code, summary) VALUES (?1, ?2, ?3, %lld, %lld, %d, ?4)"
                   " ON CONFLICT (id) DO UPDATE SET ended_ms = %lld, exit_code = %d,"
                   " summary = coalesce(?4, summary)",
                   (long long)r->started_ms, (long long)r->ended_ms, r->exit_code,
                   (long long)r->ended_ms, r->exit_code);
    return put_run(t, sql, r, e);
}
