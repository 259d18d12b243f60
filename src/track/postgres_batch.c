/* postgres_batch: the counters and the status of the batches that one transaction touches. Counters move by what really moved; the
 * status follows from which statuses occur at all, which an index tells in a few steps whatever the size of the batch. The row of the
 * batch is locked before that is asked: of two workers that end its last rows at the same moment, the second sees the first's. */
#include "track/postgres.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void postgres_batch_init(struct postgres_batch_changes *c)
{
    memset(c, 0, sizeof *c);
}

void postgres_batch_reset(struct postgres_batch_changes *c)
{
    for (size_t i = 0; i < c->len; i++)
        free(c->items[i].batch_id);
    c->len = 0;
}

void postgres_batch_release(struct postgres_batch_changes *c)
{
    postgres_batch_reset(c);
    free(c->items);
    memset(c, 0, sizeof *c);
}

static struct postgres_batch_change *change_of(struct postgres_batch_changes *c,
                                               const char *batch_id)
{
    for (size_t i = c->len; i > 0; i--) { /* the last one is nearly always the one */
        if (strcmp(c->items[i - 1].batch_id, batch_id) == 0)
            return &c->items[i - 1];
    }
    if (c->len == c->cap) {
        const size_t cap = c->cap == 0 ? 8 : c->cap * 2;
        struct postgres_batch_change *items = realloc(c->items, cap * sizeof *items);
        if (items == NULL)
            return NULL;
        c->items = items;
        c->cap = cap;
    }
    struct postgres_batch_change *n = &c->items[c->len];
    *n = (struct postgres_batch_change){.batch_id = str_dup(batch_id)};
    if (n->batch_id == NULL)
        return NULL;
    c->len++;
    return n;
}

/* What a status counts for: completed_files, verified_files, failed_files. */
static void count(struct postgres_batch_change *n, enum file_status s, int64_t by)
{
    n->completed += s == FILE_COMPLETED || s == FILE_VERIFIED ? by : 0;
    n->verified += s == FILE_VERIFIED ? by : 0;
    n->failed += s == FILE_FAILED ? by : 0;
}

enum err_code postgres_batch_note(struct postgres_batch_changes *c, const char *batch_id,
                                  enum file_status from, enum file_status to, struct err *e)
{
    if (batch_id == NULL)
        return ERR_OK; /* the row belongs to no batch that could count it */
    struct postgres_batch_change *n = change_of(c, batch_id);
    if (n == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    count(n, from, -1);
    count(n, to, 1);
    return ERR_OK;
}

/* Is there a row? ORDER BY keeps the planner to the index on (batch_id, status, id): else old statistics may make it think that any page of
 * the table will have one, and it reads the whole table to find none. */
static void any(struct buf *sql, const struct postgres *p, const char *condition)
{
    buf_printf(sql,
               "EXISTS (SELECT 1 FROM (SELECT 1 FROM file_migrations WHERE batch_id = $1::%s"
               " AND %s ORDER BY batch_id, status, id LIMIT 1) AS x)",
               postgres_column(p, POSTGRES_M_BATCH)->type, condition);
}

static bool is_enum(const struct postgres_column *c)
{
    return c->kind == POSTGRES_OTHER && strcmp(c->type, "bpchar") != 0;
}

/* Labels of an enum have an order of their own, but they can be listed. */
static void unknown_labels(struct buf *sql, const struct postgres *p)
{
    char condition[512];

    snprintf(condition, sizeof condition,
             "status = ANY (ARRAY(SELECT l FROM unnest(enum_range(NULL::%s)) AS l WHERE l::text NOT"
             " IN ('pending', 'processing', 'completed', 'verified', 'failed', 'rolled_back')))",
             postgres_column(p, POSTGRES_M_STATUS)->type);
    any(sql, p, "status IS NULL");
    buf_str(sql, " OR ");
    any(sql, p, condition);
}

/* One row of each status that occurs gives the same answer as counting them all. */
static void presence(struct buf *sql, const struct postgres *p)
{
    /* what is unknown lies between two neighbours of the known statuses, or beyond them, in whatever order texts are sorted */
    static const char *const unknown[] = {"status IS NULL",
                                          "status < 'completed'",
                                          "status > 'completed' AND status < 'failed'",
                                          "status > 'failed' AND status < 'pending'",
                                          "status > 'pending' AND status < 'processing'",
                                          "status > 'processing' AND status < 'rolled_back'",
                                          "status > 'rolled_back' AND status < 'verified'",
                                          "status > 'verified'"};

    buf_str(sql, "SELECT ");
    for (int i = 0; i < FILE_UNKNOWN; i++) {
        char condition[64];
        snprintf(condition, sizeof condition, "status = '%s'",
                 state_file_name((enum file_status)i));
        any(sql, p, condition);
        buf_str(sql, ", ");
    }
    if (is_enum(postgres_column(p, POSTGRES_M_STATUS))) {
        unknown_labels(sql, p);
        return;
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        buf_str(sql, i == 0 ? "" : " OR ");
        any(sql, p, unknown[i]);
    }
}

static enum err_code derive(struct postgres *p, const char *batch_id, const char **status,
                            struct err *e)
{
    struct state_counts counts = {0};
    struct buf sql;

    buf_init(&sql, 16384);
    presence(&sql, p);
    PGresult *q =
        postgres_statement_query(p, buf_cstr(&sql), POSTGRES_ARGS(POSTGRES_T(batch_id)), e);
    buf_release(&sql);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; i < FILE_STATUS_COUNT; i++)
        counts.by[i] = postgres_statement_truth(q, 0, i);
    PQclear(q);
    *status = state_batch_name(state_batch_derive(&counts));
    return ERR_OK;
}

static enum err_code lock_row(struct postgres *p, const char *batch_id, struct err *e)
{
    struct buf sql;

    buf_init(&sql, 1024);
    buf_printf(&sql, "SELECT 1 FROM migration_batches WHERE batch_id = $1::%s FOR NO KEY UPDATE",
               postgres_column(p, POSTGRES_B_BATCH)->type);
    enum err_code code =
        postgres_statement_run(p, buf_cstr(&sql), POSTGRES_ARGS(POSTGRES_T(batch_id)), NULL, e);
    buf_release(&sql);
    return code;
}

/* started_at is set by the first row that starts, completed_at when the batch ends, and cleared when it is opened again. */
static enum err_code store(struct postgres *p, const struct postgres_batch_change *b,
                           const char *batch_id, const char *status, int64_t now_ms, struct err *e)
{
    const struct postgres_column *started = postgres_column(p, POSTGRES_B_STARTED);
    const struct postgres_column *completed = postgres_column(p, POSTGRES_B_COMPLETED);
    const char *type = postgres_column(p, POSTGRES_B_STATUS)->type;
    const bool ended =
        status != NULL && strcmp(status, "pending") != 0 && strcmp(status, "processing") != 0;
    char start[POSTGRES_TIME_SIZE], end[POSTGRES_TIME_SIZE];
    struct buf sql;

    buf_init(&sql, 4096);
    buf_printf(
        &sql,
        "UPDATE migration_batches SET"
        " completed_files = greatest(coalesce(completed_files, 0) + $2::bigint, 0),"
        " verified_files = greatest(coalesce(verified_files, 0) + $3::bigint, 0),"
        " failed_files = greatest(coalesce(failed_files, 0) + $4::bigint, 0),"
        " status = coalesce($5::text::%s, status),"
        " started_at = CASE WHEN $5::text IS NULL OR $5::text = 'pending' THEN started_at"
        "  ELSE coalesce(started_at, $6::%s) END,"
        " completed_at = CASE WHEN $5::text IS NULL THEN completed_at"
        "  WHEN $8::integer = 1 THEN coalesce(completed_at, $7::%s) END"
        " WHERE batch_id = $1::%s AND ($2::bigint <> 0 OR $3::bigint <> 0 OR $4::bigint <> 0"
        "  OR $5::text IS NOT NULL AND"
        "  (status::text IS DISTINCT FROM $5::text OR (completed_at IS NULL) = ($8::integer = 1)))",
        type, started->type, completed->type, postgres_column(p, POSTGRES_B_BATCH)->type);
    enum err_code code = postgres_statement_run(
        p, buf_cstr(&sql),
        POSTGRES_ARGS(POSTGRES_T(batch_id), POSTGRES_I(b->completed), POSTGRES_I(b->verified),
                      POSTGRES_I(b->failed), POSTGRES_T(status),
                      POSTGRES_T(postgres_type_time(started, now_ms, start)),
                      POSTGRES_T(postgres_type_time(completed, now_ms, end)), POSTGRES_I(ended)),
        NULL, e);
    buf_release(&sql);
    return code;
}

static int by_name(const void *a, const void *b)
{
    const struct postgres_batch_change *x = a, *y = b;
    return strcmp(x->batch_id, y->batch_id);
}

enum err_code postgres_batch_settle(struct postgres *p, struct postgres_batch_changes *c,
                                    const char *status, int64_t now_ms, struct err *e)
{
    enum err_code code = ERR_OK;

    /* in one order everywhere, so that two transactions cannot wait for each other */
    if (c->len > 1)
        qsort(c->items, c->len, sizeof *c->items, by_name);
    for (size_t i = 0; code == ERR_OK && i < c->len; i++) {
        const struct postgres_batch_change *b = &c->items[i];
        const char *id = postgres_type_id(postgres_column(p, POSTGRES_B_BATCH), b->batch_id);
        const char *rows = postgres_type_id(postgres_column(p, POSTGRES_M_BATCH), b->batch_id);
        const char *now = status;

        if (id == NULL)
            continue;
        if (now == NULL && p->info.batch_index) {
            code = lock_row(p, id, e);
            if (code == ERR_OK)
                code = derive(p, rows, &now, e);
        }
        if (code == ERR_OK)
            code = store(p, b, id, now, now_ms, e);
    }
    return code;
}
