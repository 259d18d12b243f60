/* postgres_guard: the rows of a group of moves are locked, then looked at by a statement of its own, whose snapshot is younger than the
 * locks: nothing that it sees can change before COMMIT. */
#include "track/postgres_apply.h"

#include <string.h>

static enum err_code lock_rows(struct postgres *p, const char *ids, const char *files,
                               struct err *e)
{
    struct buf sql;

    buf_init(&sql, 4096);
    /* in one order everywhere, so that two groups cannot wait for each other; both are counted so that both are run */
    buf_printf(&sql,
               "WITH m AS MATERIALIZED (SELECT 1 FROM file_migrations WHERE id = ANY ($1::%s[])"
               "  ORDER BY id FOR NO KEY UPDATE),"
               " f AS MATERIALIZED (SELECT 1 FROM files WHERE id = ANY ($2::%s[])"
               "  ORDER BY id FOR NO KEY UPDATE)"
               " SELECT (SELECT count(*) FROM m), (SELECT count(*) FROM f)",
               postgres_column(p, POSTGRES_M_ID)->type, postgres_column(p, POSTGRES_F_ID)->type);
    enum err_code code = postgres_statement_run(
        p, buf_cstr(&sql), POSTGRES_ARGS(POSTGRES_T(ids), POSTGRES_T(files)), NULL, e);
    buf_release(&sql);
    return code;
}

enum column { C_ID, C_FROM, C_OWNER, C_BATCH, C_FILE, C_KEY, C_EXPECTED, C_COUNT };

static const char look_sql[] =
    "SELECT a.i, (m.status::text = a.status AND (a.owner IS NULL"
    "  OR r.lease_owner IS NOT DISTINCT FROM a.owner)) IS TRUE,"
    " a.batch IS NULL OR (m.batch_id = a.batch) IS TRUE, r.record_id IS NOT NULL,"
    " f.id IS NOT NULL, f.r2_key IS NOT DISTINCT FROM a.key,"
    " coalesce(f.r2_key, '') = coalesce(a.expected, ''),"
    " coalesce(f.r2_key, '') = coalesce(r.prior_r2_key, ''),"
    " r.prior_r2_key IS NOT DISTINCT FROM a.key, coalesce(r.pointer_set, 0) <> 0,"
    " coalesce(r.attempts, 0) > 0"
    " FROM unnest($1::%s[], $2::text[], $3::text[], $4::%s[], $5::%s[], $6::text[], $7::text[])"
    "  WITH ORDINALITY AS a (id, status, owner, batch, file, key, expected, i)"
    " JOIN file_migrations AS m ON m.id = a.id"
    " LEFT JOIN blobferry_records AS r ON " POSTGRES_RECORDS_ON
    " LEFT JOIN files AS f ON f.id = a.file";

static void see(struct postgres_moves *g, const PGresult *q)
{
    for (int i = 0; i < PQntuples(q); i++) {
        const int64_t at = postgres_statement_integer(q, i, 0);
        if (at < 1 || (uint64_t)at > g->n)
            continue;
        g->look[at - 1] = (struct postgres_look){
            .there = postgres_statement_truth(q, i, 1),
            .in_batch = postgres_statement_truth(q, i, 2),
            .recorded = postgres_statement_truth(q, i, 3),
            .pointer = {.there = postgres_statement_truth(q, i, 4),
                        .is_target = postgres_statement_truth(q, i, 5),
                        .is_expected = postgres_statement_truth(q, i, 6),
                        .is_prior = postgres_statement_truth(q, i, 7),
                        .prior_is_target = postgres_statement_truth(q, i, 8),
                        .set = postgres_statement_truth(q, i, 9),
                        .claimed = postgres_statement_truth(q, i, 10)},
        };
    }
}

static enum err_code look(struct postgres *p, struct postgres_moves *g,
                          struct postgres_array a[C_COUNT], struct err *e)
{
    struct postgres_arg args[C_COUNT];
    struct buf sql;

    for (int i = 0; i < C_COUNT; i++)
        args[i] = (struct postgres_arg)POSTGRES_T(postgres_array_end(&a[i]));
    enum err_code code = lock_rows(p, args[C_ID].text, args[C_FILE].text, e);
    if (code != ERR_OK)
        return code;
    buf_init(&sql, 8192);
    buf_printf(&sql, look_sql, postgres_column(p, POSTGRES_M_ID)->type,
               postgres_column(p, POSTGRES_M_BATCH)->type, postgres_column(p, POSTGRES_F_ID)->type);
    PGresult *q = postgres_statement_query(p, buf_cstr(&sql), args, C_COUNT, e);
    buf_release(&sql);
    if (q == NULL)
        return postgres_code(e);
    see(g, q);
    PQclear(q);
    return ERR_OK;
}

static void gather(const struct postgres *p, const struct tracker_move *m,
                   struct postgres_array a[C_COUNT])
{
    const struct postgres_column *batch = postgres_column(p, POSTGRES_M_BATCH);
    const struct postgres_column *file = postgres_column(p, POSTGRES_F_ID);
    const char *id = postgres_type_id(postgres_column(p, POSTGRES_M_ID), m->id);

    /* A batch that no row can have is not the same as none: then no row is meant. */
    if (m->batch_id != NULL && postgres_type_id(batch, m->batch_id) == NULL)
        id = NULL;
    postgres_array_text(&a[C_ID], id);
    postgres_array_text(&a[C_FROM], state_file_name(m->from));
    postgres_array_text(&a[C_OWNER], m->from == FILE_PROCESSING ? m->owner : NULL);
    postgres_array_text(&a[C_BATCH], postgres_type_id(batch, m->batch_id));
    postgres_array_text(
        &a[C_FILE], m->pointer != TRACKER_POINTER_KEEP ? postgres_type_id(file, m->file_id) : NULL);
    postgres_array_text(&a[C_KEY], m->target_key);
    postgres_array_text(&a[C_EXPECTED], m->expected_r2_key);
}

enum err_code postgres_guard(struct postgres *p, struct postgres_moves *g, struct err *e)
{
    struct postgres_array a[C_COUNT];

    memset(g->look, 0, sizeof g->look);
    for (int i = 0; i < C_COUNT; i++)
        postgres_array_init(&a[i]);
    for (size_t i = 0; i < g->n; i++)
        gather(p, &g->moves[i], a);
    enum err_code code = look(p, g, a, e);
    for (int i = 0; i < C_COUNT; i++)
        postgres_array_release(&a[i]);
    for (size_t i = 0; code == ERR_OK && i < g->n; i++) {
        struct postgres_look *l = &g->look[i];
        struct tracker_move *m = &g->moves[i];
        l->act = pointer_decide(m, &l->pointer);
        /* A refused pointer refuses the move, unless the row itself is lost. */
        m->applied = l->there && l->act == POINTER_REFUSED ? TRACKER_POINTER_CHANGED : TRACKER_LOST;
    }
    return code;
}
