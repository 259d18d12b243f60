/* postgres_plan: batches and their rows, in one transaction: all of it or nothing. Plans go one after another (an advisory lock of the
 * transaction), so that what one of them sees of the keys stays so until it is done.
 */
#include "track/postgres_plan.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 1024
#define PLAN_LOCK "SELECT pg_advisory_xact_lock(1651273574, 1)" /* 'blobf', plans */

struct plan {
    struct postgres *p;
    tracker_plan_next_fn *next;
    tracker_plan_done_fn *done;
    void *user;
    const struct tracker_head *head;
    struct postgres_group group;
    char *batch;  /* of the row before; owned */
    bool made;    /* its row is there, made by this plan */
    int64_t rows; /* of it, not yet in total_files */
    char refused[BATCH_MAX + 256];
};

static enum err_code flush_total(struct plan *w, struct err *e)
{
    const struct postgres_column *c = postgres_column(w->p, POSTGRES_B_BATCH);
    const int64_t rows = w->rows;
    char sql[256];

    w->rows = 0;
    if (rows == 0)
        return ERR_OK;
    snprintf(sql, sizeof sql,
             "UPDATE migration_batches SET total_files = total_files + $2::bigint"
             " WHERE batch_id = $1::%s",
             c->type);
    return postgres_statement_run(w->p, sql, POSTGRES_ARGS(POSTGRES_T(w->batch), POSTGRES_I(rows)),
                                  NULL, e);
}

static enum err_code check_batch_id(struct plan *w, const char *batch_id, struct err *e)
{
    static const enum postgres_name columns[] = {POSTGRES_B_BATCH, POSTGRES_M_BATCH};

    for (size_t i = 0; i < 2; i++) {
        const struct postgres_column *c = postgres_column(w->p, columns[i]);
        if (postgres_type_id(c, batch_id) != NULL)
            continue;
        err_set(e, ERR_CONFIG, "batch id '%s' cannot be stored: the database keeps it as %s",
                batch_id, c->type);
        return err_hint(e, "choose a --batch-id that is one");
    }
    return ERR_OK;
}

/* The row's batch becomes the current one. It must be new, or of this plan. */
static enum err_code enter_batch(struct plan *w, const char *batch_id, struct err *e)
{
    bool ours = false, exists = false;

    if (w->batch != NULL && strcmp(w->batch, batch_id) == 0)
        return ERR_OK;
    enum err_code code = flush_total(w, e);
    if (code == ERR_OK)
        code = check_batch_id(w, batch_id, e);
    if (code == ERR_OK)
        code = postgres_held_has_batch(w->p->held, batch_id, &ours, e);
    if (code == ERR_OK && !ours)
        code = postgres_files_batch_exists(&w->p->base, batch_id, &exists, e);
    if (code != ERR_OK)
        return code;
    if (exists) {
        err_set(e, ERR_CONFLICT, "batch '%s' exists already", batch_id);
        return err_hint(e, "choose another --batch-id (see: blobferry status)");
    }
    free(w->batch);
    w->batch = str_dup(batch_id);
    w->made = ours;
    return w->batch != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* Its id is ours to give, unless the database counts or makes them in a type that a UUID does not fit. */
static enum err_code make_batch(struct plan *w, struct err *e)
{
    const struct postgres_column *id = postgres_column(w->p, POSTGRES_B_ID);
    const struct postgres_column *created = postgres_column(w->p, POSTGRES_B_CREATED);
    const bool given =
        id->kind == POSTGRES_INT2 || id->kind == POSTGRES_INT4 || id->kind == POSTGRES_INT8;
    char uuid[CLOCK_UUID_SIZE], now[POSTGRES_TIME_SIZE], sql[1024];
    enum err_code code;

    if (w->made)
        return ERR_OK;
    clock_uuid(uuid);
    snprintf(
        sql, sizeof sql,
        "INSERT INTO migration_batches (%sbatch_id, total_files, completed_files, failed_files,"
        " verified_files, status, created_at) SELECT %sa.batch_id, 0, 0, 0, 0,"
        " 'pending'::%s, $3::%s FROM (SELECT $1::%s AS id, $2::%s AS batch_id) AS a",
        given ? "" : "id, ", given ? "" : "a.id, ", postgres_column(w->p, POSTGRES_B_STATUS)->type,
        created->type, given ? "text" : id->type, postgres_column(w->p, POSTGRES_B_BATCH)->type);
    code = postgres_statement_run(
        w->p, sql,
        POSTGRES_ARGS(POSTGRES_T(uuid), POSTGRES_T(w->batch),
                      POSTGRES_T(postgres_type_time(created, w->group.now_ms, now))),
        NULL, e);
    if (code == ERR_OK)
        code = postgres_held_note_batch(w->p->held, w->batch, e);
    w->made = code == ERR_OK;
    return code;
}

static enum err_code insert(struct plan *w, struct tracker_plan_row *r, struct err *e)
{
    enum err_code code = make_batch(w, e);

    if (code == ERR_OK)
        code = postgres_group_add(&w->group, r, e);
    if (code == ERR_OK)
        code = postgres_held_add(w->p->held, r->key_digest, r->batch_id, e);
    if (code == ERR_OK && postgres_group_due(w->p, &w->group)) {
        code = postgres_group_flush(w->p, &w->group, e);
        if (w->group.given[0] != '\0')
            r->id = w->group.given;
    }
    w->rows += code == ERR_OK;
    return code;
}

static enum err_code plan_row(struct plan *w, struct tracker_plan_row *r, struct err *e)
{
    char holder[BATCH_MAX];
    bool held = false;

    r->refused = NULL;
    if (r->id == NULL || r->batch_id == NULL || r->key_digest == NULL)
        return err_set(e, ERR_GENERAL, "a planned row lacks its id, batch or key digest");
    enum err_code code = enter_batch(w, r->batch_id, e);
    if (code == ERR_OK)
        code = postgres_keys_lookup(w->p, r->key_digest, holder, sizeof holder, &held, e);
    if (code != ERR_OK)
        return code;
    if (held) {
        snprintf(w->refused, sizeof w->refused, "target key is planned already in batch '%s'",
                 holder);
        r->refused = w->refused;
        return ERR_OK;
    }
    if (!postgres_group_fits(w->p, r, w->refused, sizeof w->refused)) {
        r->refused = w->refused;
        return ERR_OK;
    }
    return insert(w, r, e);
}

static enum err_code plan_all(struct plan *w, struct err *e)
{
    bool more = true;

    for (;;) {
        struct tracker_plan_row row = {.size = -1};
        enum err_code code = w->next(w->user, &row, &more, e);
        if (code == ERR_OK && !more)
            code = postgres_group_flush(w->p, &w->group, e);
        if (code != ERR_OK || !more)
            return code == ERR_OK ? flush_total(w, e) : code;
        code = plan_row(w, &row, e);
        if (code != ERR_OK)
            return code;
        if (w->done != NULL)
            w->done(w->user, &row);
    }
}

static enum err_code run(struct postgres *p, void *user, struct err *e)
{
    struct plan *w = user;
    enum err_code code = postgres_statement_run(p, PLAN_LOCK, POSTGRES_NONE, NULL, e);

    if (code == ERR_OK)
        code = postgres_keys_gather(p, e);
    if (code == ERR_OK)
        code = plan_all(w, e);
    if (code == ERR_OK)
        code = postgres_wait_tell(p, e);
    return code == ERR_OK ? postgres_run_put_head(p, w->head, e) : code;
}

enum err_code postgres_plan(struct tracker *t, tracker_plan_next_fn *next,
                            tracker_plan_done_fn *done, void *user, const struct tracker_head *head,
                            struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct plan *w = calloc(1, sizeof *w);

    if (w == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    *w = (struct plan){.p = p, .next = next, .done = done, .user = user, .head = head};
    postgres_group_init(&w->group, clock_wall_ms());
    /* Its rows come from a stage that cannot be rewound halfway: it is run once, with the columns as they are now. */
    enum err_code code = postgres_look(p, e);
    if (code == ERR_OK)
        code = postgres_transaction(p, &(struct postgres_work){.run = run, .user = w, .once = true},
                                    e);
    postgres_held_free(p->held); /* it holds keys of rows that may have been rolled back */
    p->held = NULL;
    postgres_group_release(&w->group);
    free(w->batch);
    free(w);
    return code;
}
