/* postgres_refresh: counters and status of the batches as they follow from their rows. */
#include "track/postgres.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

enum column {
    B_BATCH,
    B_STATUS,
    B_TOTAL,
    B_COMPLETED,
    B_FAILED,
    B_VERIFIED,
    B_OPEN, /* completed_at is NULL */
    B_COUNTS
};

/* $1 the batch in the type of migration_batches, $2 in that of file_migrations; NULL: all. */
static PGresult *query(struct postgres *p, const char *batch_id, struct err *e)
{
    const struct postgres_column *b = postgres_column(p, POSTGRES_B_BATCH);
    const struct postgres_column *m = postgres_column(p, POSTGRES_M_BATCH);
    const bool one = batch_id != NULL;
    struct buf sql;

    buf_init(&sql, 8192);
    buf_printf(&sql,
               "WITH given AS (SELECT $1::%s, $2::%s), n AS (SELECT m.batch_id AS batch, count(*)"
               " AS total",
               b->type, m->type);
    for (int i = 0; i < FILE_UNKNOWN; i++)
        buf_printf(&sql, ", count(*) FILTER (WHERE m.status::text = '%s') AS s%d",
                   state_file_name((enum file_status)i), i);
    buf_printf(&sql, " FROM file_migrations AS m%s GROUP BY m.batch_id)",
               one ? " WHERE m.batch_id = $2" : "");
    buf_str(&sql, " SELECT b.batch_id::text, b.status::text, b.total_files, b.completed_files,"
                  " b.failed_files, b.verified_files, b.completed_at IS NULL");
    for (int i = 0; i < FILE_UNKNOWN; i++)
        buf_printf(&sql, ", n.s%d", i);
    buf_str(&sql, ", n.total FROM migration_batches AS b LEFT JOIN n ON b.batch_id = ");
    postgres_type_as(&sql, "n.batch", m, b);
    buf_str(&sql, one ? " WHERE b.batch_id = $1" : "");
    PGresult *q = postgres_statement_query(p, buf_cstr(&sql),
                                           POSTGRES_ARGS(POSTGRES_T(postgres_type_id(b, batch_id)),
                                                         POSTGRES_T(postgres_type_id(m, batch_id))),
                                           e);
    buf_release(&sql);
    return q;
}

static void counts_of(const PGresult *q, int row, struct state_counts *c)
{
    int64_t known = 0;

    for (int i = 0; i < FILE_UNKNOWN; i++) {
        c->by[i] = postgres_statement_integer(q, row, B_COUNTS + i);
        known += c->by[i];
    }
    c->by[FILE_UNKNOWN] = postgres_statement_integer(q, row, B_COUNTS + FILE_UNKNOWN) - known;
}

static bool ended(enum batch_status s)
{
    return s != BATCH_PENDING && s != BATCH_PROCESSING;
}

/* Does what is stored differ from what follows from the rows? */
static bool differs(const PGresult *q, int row, const struct state_counts *c)
{
    const enum batch_status status = state_batch_derive(c);

    return postgres_statement_integer(q, row, B_TOTAL) != state_counts_total(c) ||
           postgres_statement_integer(q, row, B_COMPLETED) != state_counts_completed(c) ||
           postgres_statement_integer(q, row, B_FAILED) != c->by[FILE_FAILED] ||
           postgres_statement_integer(q, row, B_VERIFIED) != c->by[FILE_VERIFIED] ||
           !str_eq(postgres_statement_text(q, row, B_STATUS), state_batch_name(status)) ||
           postgres_statement_truth(q, row, B_OPEN) == ended(status);
}

static enum err_code store(struct postgres *p, const char *batch_id, const struct state_counts *c,
                           struct err *e)
{
    const struct postgres_column *completed = postgres_column(p, POSTGRES_B_COMPLETED);
    const enum batch_status status = state_batch_derive(c);
    char now[POSTGRES_TIME_SIZE];
    struct buf sql;

    buf_init(&sql, 4096);
    buf_printf(&sql,
               "UPDATE migration_batches SET total_files = $2::bigint, completed_files ="
               " $3::bigint, failed_files = $4::bigint, verified_files = $5::bigint,"
               " status = $6::%s, completed_at = CASE WHEN $7::integer = 1"
               "  THEN coalesce(completed_at, $8::%s) END WHERE batch_id = $1::%s",
               postgres_column(p, POSTGRES_B_STATUS)->type, completed->type,
               postgres_column(p, POSTGRES_B_BATCH)->type);
    enum err_code code = postgres_statement_run(
        p, buf_cstr(&sql),
        POSTGRES_ARGS(POSTGRES_T(batch_id), POSTGRES_I(state_counts_total(c)),
                      POSTGRES_I(state_counts_completed(c)), POSTGRES_I(c->by[FILE_FAILED]),
                      POSTGRES_I(c->by[FILE_VERIFIED]), POSTGRES_T(state_batch_name(status)),
                      POSTGRES_I(ended(status)),
                      POSTGRES_T(postgres_type_time(completed, clock_wall_ms(), now))),
        NULL, e);
    buf_release(&sql);
    return code;
}

/* The batch is locked, then counted: nobody who moves its rows can settle it meanwhile. */
enum err_code postgres_refresh_one(struct postgres *p, const char *batch_id, int64_t *changed,
                                   struct err *e)
{
    const char *id = postgres_type_id(postgres_column(p, POSTGRES_B_BATCH), batch_id);
    struct state_counts counts = {0};
    struct buf sql;

    if (id == NULL)
        return ERR_OK;
    buf_init(&sql, 1024);
    buf_printf(&sql, "SELECT 1 FROM migration_batches WHERE batch_id = $1::%s FOR NO KEY UPDATE",
               postgres_column(p, POSTGRES_B_BATCH)->type);
    enum err_code code =
        postgres_statement_run(p, buf_cstr(&sql), POSTGRES_ARGS(POSTGRES_T(id)), NULL, e);
    buf_release(&sql);
    PGresult *q = code == ERR_OK ? query(p, id, e) : NULL;
    if (q == NULL)
        return postgres_code(e);
    if (PQntuples(q) > 0) {
        counts_of(q, 0, &counts);
        if (differs(q, 0, &counts)) {
            code = store(p, id, &counts, e);
            *changed += code == ERR_OK;
        }
    }
    PQclear(q);
    return code;
}

struct refreshing {
    const char *batch_id;
    int64_t changed;
};

static enum err_code refresh(struct postgres *p, void *user, struct err *e)
{
    struct refreshing *r = user;

    r->changed = 0;
    return postgres_refresh_one(p, r->batch_id, &r->changed, e);
}

enum err_code postgres_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                               struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = postgres_schema_need(p, e);

    if (code == ERR_OK && batch_id != NULL &&
        postgres_type_id(postgres_column(p, POSTGRES_B_BATCH), batch_id) == NULL)
        return ERR_OK; /* no batch can have that name */
    PGresult *q = code == ERR_OK ? query(p, batch_id, e) : NULL;
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; code == ERR_OK && i < PQntuples(q); i++) {
        struct refreshing r = {.batch_id = postgres_statement_text(q, i, B_BATCH)};
        struct state_counts counts = {0};
        counts_of(q, i, &counts);
        if (r.batch_id == NULL || !differs(q, i, &counts))
            continue; /* P7: nothing differs, nothing is written */
        code = postgres_transaction(p, &(struct postgres_work){.run = refresh, .user = &r}, e);
        *changed += code == ERR_OK ? r.changed : 0;
    }
    PQclear(q);
    return code;
}
