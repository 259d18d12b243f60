/* postgres_lease: who holds which rows: renewing, giving back, and the multipart upload that a row has under way. Whoever changes the
 * owner of a lease holds the lock of its row in file_migrations. */
#include "track/postgres.h"

#include "blobferry/base/clock.h"

#include <string.h>

/* A row that is held is 'processing': these are few and have an index, whereas an index of the owners would need an entry for every claim
 * (0014). What the application took out of 'processing' behind our back keeps the name of its owner: nobody asks for it, a claim
 * overwrites it, and whoever held the row finds its status changed. Set to 'processing' again, it is held until the lease ends.
 * OFFSET 0: else the planner may begin with all of blobferry_records. */
#define UNDER_WAY                                                                                  \
    "(SELECT m.id FROM file_migrations AS m WHERE m.status = 'processing' OFFSET 0) AS m"

enum err_code postgres_lease_owners(struct tracker *t, const char *me, tracker_owner_fn *fn,
                                    void *user, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK || !p->info.schema.own)
        return code;
    PGresult *q = postgres_statement_query(
        p,
        "SELECT r.lease_owner, count(*), max(r.lease_until)"
        " FROM file_migrations AS m CROSS JOIN " POSTGRES_LEASES
        " WHERE m.status = 'processing' AND r.lease_owner <> coalesce($1::text, '')"
        " GROUP BY r.lease_owner",
        POSTGRES_ARGS(POSTGRES_T(me)), e);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; code == ERR_OK && i < PQntuples(q); i++)
        code = fn(user, PQgetvalue(q, i, 0), postgres_statement_integer(q, i, 1),
                  postgres_statement_integer(q, i, 2), e);
    PQclear(q);
    return code;
}

/* ---- renew ---------------------------------------------------------------------------------------------- */

struct renewal {
    const char *owner;
    int64_t until_ms;
};

static enum err_code renew(struct postgres *p, void *user, struct err *e)
{
    const struct renewal *r = user;
    enum err_code code = postgres_statement_run(
        p,
        "UPDATE blobferry_records AS r SET lease_until = $2::bigint FROM " UNDER_WAY
        " WHERE " POSTGRES_RECORDS_ON " AND r.lease_owner = $1::text",
        POSTGRES_ARGS(POSTGRES_T(r->owner), POSTGRES_I(r->until_ms)), NULL, e);

    if (code == ERR_OK)
        code = postgres_statement_run(
            p, "UPDATE blobferry_locks SET lease_until = $2::bigint WHERE owner = $1::text",
            POSTGRES_ARGS(POSTGRES_T(r->owner), POSTGRES_I(r->until_ms)), NULL, e);
    return code;
}

enum err_code postgres_lease_renew(struct tracker *t, const char *owner, int64_t until_ms,
                                   struct err *e)
{
    struct renewal r = {.owner = owner, .until_ms = until_ms};
    return postgres_transaction(
        postgres_of(t), &(struct postgres_work){.run = renew, .user = &r, .by_index = true}, e);
}

/* Leases of owners that are known to be dead end now. */
enum err_code postgres_lease_bury(struct postgres *p, const struct tracker_claim *c, struct err *e)
{
    struct postgres_array owners;

    if (c->dead_count == 0)
        return ERR_OK;
    postgres_array_init(&owners);
    for (size_t i = 0; i < c->dead_count; i++)
        postgres_array_text(&owners, c->dead_owners[i]);
    enum err_code code = postgres_statement_run(
        p,
        "UPDATE blobferry_records AS r SET lease_until = 0 FROM " UNDER_WAY
        " WHERE " POSTGRES_RECORDS_ON " AND r.lease_owner = ANY ($1::text[]) AND r.lease_until > 0",
        POSTGRES_ARGS(POSTGRES_T(postgres_array_end(&owners))), NULL, e);
    postgres_array_release(&owners);
    return code;
}

enum err_code postgres_lease_take(struct postgres *p, const struct tracker_claim *c,
                                  const char *ids, size_t n, struct err *e)
{
    const int64_t until = c->now_ms + c->lease_ms;
    int64_t found = 0;
    enum err_code code = postgres_statement_run(
        p,
        "UPDATE blobferry_records AS r SET lease_owner = $2::text, lease_until = $3::bigint,"
        " attempts = r.attempts + 1 FROM unnest($1::text[]) AS a (id) WHERE r.record_id = a.id",
        POSTGRES_ARGS(POSTGRES_T(ids), POSTGRES_T(c->owner), POSTGRES_I(until)), &found, e);

    /* Rows of another tool have none of ours yet. Nobody else makes it now: the row of file_migrations is locked. */
    if (code == ERR_OK && found != (int64_t)n)
        code = postgres_statement_run(
            p,
            "INSERT INTO blobferry_records (record_id, lease_owner, lease_until, attempts)"
            " SELECT a.id, $2::text, $3::bigint, 1 FROM unnest($1::text[]) AS a (id)"
            " ON CONFLICT (record_id) DO NOTHING",
            POSTGRES_ARGS(POSTGRES_T(ids), POSTGRES_T(c->owner), POSTGRES_I(until)), NULL, e);
    return code;
}

/* ---- release ---------------------------------------------------------------------------------------------- */

struct giving {
    const char *owner;
    int64_t released;
    struct postgres_batch_changes changes;
};

/* P11: an upload that is under way stays recorded, so that whoever claims the row next finds it. coalesce: no index has that, so each
 * row is found by its id, and not all that are under way once more for each of them. */
static const char lock_sql[] =
    "SELECT count(*) FROM (SELECT 1 FROM file_migrations AS m CROSS JOIN " POSTGRES_LEASES
    " WHERE m.status = 'processing' AND r.lease_owner = $1::text ORDER BY m.id"
    " FOR NO KEY UPDATE OF m) AS x";
static const char release_sql[] =
    "WITH r AS (UPDATE blobferry_records AS r SET lease_owner = NULL, lease_until = 0,"
    "  attempts = greatest(r.attempts - 1, 0) FROM " UNDER_WAY " WHERE " POSTGRES_RECORDS_ON
    "  AND r.lease_owner = $1::text RETURNING r.record_id),"
    " u AS (UPDATE file_migrations AS m SET status = 'pending' FROM r WHERE %s"
    "  AND coalesce(m.status::text, '') = 'processing' RETURNING m.batch_id)"
    " SELECT batch_id::text, count(*) FROM u GROUP BY batch_id";

static enum err_code give_back(struct postgres *p, void *user, struct err *e)
{
    struct giving *g = user;
    struct buf sql;
    enum err_code code =
        postgres_statement_run(p, lock_sql, POSTGRES_ARGS(POSTGRES_T(g->owner)), NULL, e);

    g->released = 0;
    postgres_batch_reset(&g->changes);
    buf_init(&sql, 8192);
    buf_printf(&sql, release_sql, p->info.record_on);
    PGresult *q = code != ERR_OK ? NULL
                                 : postgres_statement_query(p, buf_cstr(&sql),
                                                            POSTGRES_ARGS(POSTGRES_T(g->owner)), e);
    buf_release(&sql);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; code == ERR_OK && i < PQntuples(q); i++) {
        g->released += postgres_statement_integer(q, i, 1);
        code = postgres_batch_note(&g->changes, postgres_statement_text(q, i, 0), FILE_PROCESSING,
                                   FILE_PENDING, e);
    }
    PQclear(q);
    if (code == ERR_OK)
        code = postgres_batch_settle(p, &g->changes, NULL, clock_wall_ms(), e);
    return code;
}

enum err_code postgres_lease_release(struct tracker *t, const char *owner, int64_t *released,
                                     struct err *e)
{
    struct giving g = {.owner = owner};

    postgres_batch_init(&g.changes);
    enum err_code code = postgres_transaction(
        postgres_of(t), &(struct postgres_work){.run = give_back, .user = &g, .by_index = true}, e);
    *released = code == ERR_OK ? g.released : 0;
    postgres_batch_release(&g.changes);
    return code;
}

/* ---- multipart uploads -------------------------------------------------------------------------------------- */

struct upload {
    const char *id, *owner, *upload_id;
    int64_t part_size;
};

static enum err_code put_upload(struct postgres *p, void *user, struct err *e)
{
    const struct upload *u = user;
    const struct postgres_column *id = postgres_column(p, POSTGRES_M_ID);
    int64_t changes = 0;
    struct buf sql;

    buf_init(&sql, 4096);
    buf_printf(&sql,
               "UPDATE blobferry_records AS r SET upload_id = $3::text, part_size = $4::bigint"
               " FROM file_migrations AS m WHERE r.record_id = $1::text"
               " AND r.lease_owner = $2::text AND m.id = $5::%s AND m.status = 'processing'",
               id->type);
    enum err_code code = postgres_statement_run(
        p, buf_cstr(&sql),
        POSTGRES_ARGS(POSTGRES_T(u->id), POSTGRES_T(u->owner), POSTGRES_T(u->upload_id),
                      POSTGRES_I(u->upload_id != NULL ? u->part_size : 0),
                      POSTGRES_T(postgres_type_id(id, u->id))),
        &changes, e);
    buf_release(&sql);
    if (code == ERR_OK && changes == 0)
        code = err_set(e, ERR_CONFLICT, "row '%s' is held by another worker now", u->id);
    return code;
}

enum err_code postgres_lease_set_upload(struct tracker *t, const char *id, const char *owner,
                                        const char *upload_id, int64_t part_size, struct err *e)
{
    struct upload u = {.id = id, .owner = owner, .upload_id = upload_id, .part_size = part_size};
    return postgres_transaction(
        postgres_of(t), &(struct postgres_work){.run = put_upload, .user = &u, .by_index = true},
        e);
}
