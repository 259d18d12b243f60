/* postgres_apply: state moves, each guarded by itself, all in one transaction with the audit head. Moves go in groups of a few
 * statements each, however many rows they have: the time of a transaction is that of its round trips. */
#include "track/postgres_apply.h"

#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

struct applying {
    struct tracker_move *moves;
    size_t n;
    const struct tracker_head *head;
    struct postgres_batch_changes changes;
    struct postgres_moves *group; /* owned; too large for a stack */
};

/* Would b act on what a has changed? Then it has to look after a. */
static bool depends(const struct tracker_move *a, const struct tracker_move *b)
{
    return strcmp(a->id, b->id) == 0 ||
           (a->pointer != TRACKER_POINTER_KEEP && b->pointer != TRACKER_POINTER_KEEP &&
            a->file_id != NULL && str_eq(a->file_id, b->file_id));
}

/* How many of the first n moves make a group? */
static size_t group_size(const struct tracker_move *moves, size_t n)
{
    const size_t most = n < POSTGRES_MOVES_MAX ? n : POSTGRES_MOVES_MAX;

    for (size_t i = 1; i < most; i++) {
        for (size_t j = 0; j < i; j++) {
            if (depends(&moves[j], &moves[i]))
                return i;
        }
    }
    return most;
}

static enum err_code apply_group(struct postgres *p, struct applying *a, struct err *e)
{
    struct postgres_moves *g = a->group;
    enum err_code code = postgres_guard(p, g, e);

    if (code == ERR_OK)
        code = postgres_store_moves(p, g, e);
    if (code == ERR_OK)
        code = postgres_store_own(p, g, e);
    if (code == ERR_OK)
        code = postgres_pointer_write(p, g, e);
    for (size_t i = 0; code == ERR_OK && i < g->n; i++) {
        const struct tracker_move *m = &g->moves[i];
        if (m->applied == TRACKER_APPLIED)
            code = postgres_batch_note(&a->changes, m->batch_id, m->from, m->to, e);
    }
    return code;
}

static enum err_code apply(struct postgres *p, void *user, struct err *e)
{
    struct applying *a = user;
    enum err_code code = ERR_OK;
    int64_t now_ms = 0;

    postgres_batch_reset(&a->changes);
    for (size_t i = 0; i < a->n; i++) {
        a->moves[i].applied = TRACKER_LOST;
        now_ms = a->moves[i].now_ms > now_ms ? a->moves[i].now_ms : now_ms;
    }
    for (size_t done = 0; code == ERR_OK && done < a->n; done += a->group->n) {
        a->group->moves = a->moves + done;
        a->group->n = group_size(a->moves + done, a->n - done);
        code = apply_group(p, a, e);
    }
    if (code == ERR_OK)
        code = postgres_batch_settle(p, &a->changes, NULL, now_ms, e);
    return code == ERR_OK ? postgres_run_put_head(p, a->head, e) : code;
}

enum err_code postgres_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                             const struct tracker_head *head, struct err *e)
{
    struct applying a = {.moves = moves, .n = n, .head = head};

    if (n == 0 && head == NULL)
        return ERR_OK;
    a.group = calloc(1, sizeof *a.group);
    if (a.group == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    postgres_batch_init(&a.changes);
    enum err_code code = postgres_transaction(
        postgres_of(t), &(struct postgres_work){.run = apply, .user = &a, .by_index = true}, e);
    for (size_t i = 0; code != ERR_OK && i < n; i++)
        moves[i].applied = TRACKER_LOST; /* nothing was changed at all */
    postgres_batch_release(&a.changes);
    free(a.group);
    return code;
}

/* ---- debts ------------------------------------------------------------------------------------------------------ */

struct debts {
    const char *const *ids;
    size_t n;
    const struct tracker_head *head;
};

static enum err_code pay(struct postgres *p, void *user, struct err *e)
{
    const struct debts *d = user;
    struct postgres_array ids;

    postgres_array_init(&ids);
    for (size_t i = 0; i < d->n; i++)
        postgres_array_text(&ids, d->ids[i]);
    enum err_code code =
        postgres_statement_run(p,
                               "UPDATE blobferry_records SET delete_owed = 0"
                               " WHERE record_id = ANY ($1::text[]) AND delete_owed = 1",
                               POSTGRES_ARGS(POSTGRES_T(postgres_array_end(&ids))), NULL, e);
    postgres_array_release(&ids);
    return code == ERR_OK ? postgres_run_put_head(p, d->head, e) : code;
}

enum err_code postgres_apply_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                        const struct tracker_head *head, struct err *e)
{
    struct debts d = {.ids = ids, .n = n, .head = head};
    return postgres_transaction(
        postgres_of(t), &(struct postgres_work){.run = pay, .user = &d, .by_index = true}, e);
}
