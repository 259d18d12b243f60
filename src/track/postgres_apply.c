/* postgres_apply: state moves, each guarded by itself, all in one transaction with the audit head. Moves go in groups of a few
 * statements each, however many rows they have: the time of a transaction is that of its round trips. */
#include "track/postgres_apply.h"

#include "blobferry/base/str.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Texts that have been met: a hash table that is never more than half full. */
#define SEEN_SLOTS 2048
_Static_assert(POSTGRES_MOVES_MAX * 2 <= SEEN_SLOTS, "a group fits twice");
struct seen {
    const char *slots[SEEN_SLOTS];
};

struct applying {
    struct tracker_move *moves;
    size_t n;
    const struct tracker_head *head;
    struct postgres_batch_changes changes;
    struct postgres_moves *group; /* these are owned; too large for a stack */
    struct seen *rows, *files;
};

/* Is it in the set already? Else it is now. */
static bool met(struct seen *s, const char *text)
{
    uint32_t at = 2166136261; /* FNV-1a */

    for (const char *p = text; *p != '\0'; p++)
        at = (at ^ (unsigned char)*p) * 16777619;
    for (at %= SEEN_SLOTS; s->slots[at] != NULL; at = (at + 1) % SEEN_SLOTS) {
        if (strcmp(s->slots[at], text) == 0)
            return true;
    }
    s->slots[at] = text;
    return false;
}

/* How many of the first n moves make a group? One that acts on what another has changed has to look after it. */
static size_t group_size(struct applying *a, const struct tracker_move *moves, size_t n)
{
    const size_t most = n < POSTGRES_MOVES_MAX ? n : POSTGRES_MOVES_MAX;

    memset(a->rows, 0, sizeof *a->rows);
    memset(a->files, 0, sizeof *a->files);
    for (size_t i = 0; i < most; i++) {
        const bool points = moves[i].pointer != TRACKER_POINTER_KEEP && moves[i].file_id != NULL;
        if (met(a->rows, moves[i].id) || (points && met(a->files, moves[i].file_id)))
            return i;
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
        a->group->n = group_size(a, a->moves + done, a->n - done);
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
    a.rows = calloc(1, sizeof *a.rows);
    a.files = calloc(1, sizeof *a.files);
    postgres_batch_init(&a.changes);
    enum err_code code =
        a.group == NULL || a.rows == NULL || a.files == NULL
            ? err_set(e, ERR_NOMEM, "out of memory")
            : postgres_transaction(
                  postgres_of(t),
                  &(struct postgres_work){.run = apply, .user = &a, .by_index = true}, e);
    for (size_t i = 0; code != ERR_OK && i < n; i++)
        moves[i].applied = TRACKER_LOST; /* nothing was changed at all */
    postgres_batch_release(&a.changes);
    free(a.group);
    free(a.rows);
    free(a.files);
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
