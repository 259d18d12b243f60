/* postgres_run: runs, and the head of the audit chain that every state change carries. */
#include "track/postgres.h"
#include "track/row.h"

/* Several processes share one audit file: the head never goes back. */
enum err_code postgres_run_put_head(struct postgres *p, const struct tracker_head *h, struct err *e)
{
    if (h == NULL)
        return ERR_OK;
    return postgres_statement_run(
        p,
        "INSERT INTO blobferry_heads AS h (log_id, run_id, seq, hash)"
        " VALUES ($1::text, $2::text, $3::bigint, $4::text)"
        " ON CONFLICT (log_id) DO UPDATE SET run_id = excluded.run_id, seq = excluded.seq,"
        " hash = excluded.hash WHERE excluded.seq > h.seq",
        POSTGRES_ARGS(POSTGRES_T(h->log_id), POSTGRES_T(h->run_id), POSTGRES_I(h->seq),
                      POSTGRES_T(h->hash)),
        NULL, e);
}

static enum err_code set_head(struct postgres *p, void *user, struct err *e)
{
    return postgres_run_put_head(p, user, e);
}

enum err_code postgres_run_set_head(struct tracker *t, const struct tracker_head *h, struct err *e)
{
    struct tracker_head head = *h;
    return postgres_transaction(postgres_of(t),
                                &(struct postgres_work){.run = set_head, .user = &head}, e);
}

enum err_code postgres_run_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = p->info.schema.own ? ERR_OK : postgres_look(p, e);

    if (code != ERR_OK || !p->info.schema.own)
        return code;
    PGresult *q = postgres_statement_query(
        p, "SELECT log_id, run_id, seq, hash FROM blobferry_heads ORDER BY log_id", POSTGRES_NONE,
        e);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; code == ERR_OK && i < PQntuples(q); i++) {
        struct tracker_head h = {
            .log_id = postgres_statement_text(q, i, 0),
            .run_id = postgres_statement_text(q, i, 1),
            .seq = postgres_statement_integer(q, i, 2),
        };
        row_hash(&h, postgres_statement_text(q, i, 3));
        code = fn(user, &h, e);
    }
    PQclear(q);
    return code;
}

/* One statement as a transaction. */
struct one {
    const char *sql;
    const struct postgres_arg *args;
    size_t n;
};

static enum err_code run_one(struct postgres *p, void *user, struct err *e)
{
    const struct one *o = user;
    return postgres_statement_run(p, o->sql, o->args, o->n, NULL, e);
}

static enum err_code put_run(struct tracker *t, const char *sql, const struct postgres_arg *args,
                             size_t n, struct err *e)
{
    struct one o = {.sql = sql, .args = args, .n = n};
    return postgres_transaction(postgres_of(t), &(struct postgres_work){.run = run_one, .user = &o},
                                e);
}

enum err_code postgres_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    return put_run(t,
                   "INSERT INTO blobferry_runs (id, command, owner, started_ms, summary)"
                   " VALUES ($1::text, $2::text, $3::text, $4::bigint, $5::text)"
                   " ON CONFLICT (id) DO UPDATE SET command = excluded.command,"
                   " owner = excluded.owner, started_ms = excluded.started_ms,"
                   " summary = excluded.summary",
                   POSTGRES_ARGS(POSTGRES_T(r->id), POSTGRES_T(r->command), POSTGRES_T(r->owner),
                                 POSTGRES_I(r->started_ms), POSTGRES_T(r->summary)),
                   e);
}

enum err_code postgres_run_end(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    return put_run(t,
                   "INSERT INTO blobferry_runs AS o (id, command, owner, started_ms, ended_ms,"
                   " exit_code, summary) VALUES ($1::text, $2::text, $3::text, $4::bigint,"
                   " $5::bigint, $6::integer, $7::text)"
                   " ON CONFLICT (id) DO UPDATE SET ended_ms = excluded.ended_ms,"
                   " exit_code = excluded.exit_code,"
                   " summary = coalesce(excluded.summary, o.summary)",
                   POSTGRES_ARGS(POSTGRES_T(r->id), POSTGRES_T(r->command), POSTGRES_T(r->owner),
                                 POSTGRES_I(r->started_ms), POSTGRES_I(r->ended_ms),
                                 POSTGRES_I(r->exit_code), POSTGRES_T(r->summary)),
                   e);
}
