#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

#define TURN_MS  200
#define GRACE_MS 5000 /* for what is under way when a signal comes */

enum err_code rollback_store_turn(struct rollback_job *j, struct err *e)
{
    enum err_code code = objstore_run(j->g->store, TURN_MS, e);

    if (code == ERR_OK)
        code = rollback_lock_keep(j, e);
    if (code == ERR_OK && engine_stopping(j->g)) {
        int64_t now = clock_mono_ms();

        if (j->stop_seen_ms == 0)
            j->stop_seen_ms = now;
        if (now - j->stop_seen_ms >= GRACE_MS)
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    return code;
}

enum err_code rollback_store_finish(struct rollback_job *j, enum err_code code, struct err *e)
{
    while (code == ERR_OK && j->in_flight > 0)
        code = rollback_store_turn(j, e);
    if (j->in_flight > 0)
        objstore_cancel_all(j->g->store);
    return code;
}

/* ---- outcomes ------------------------------------------------------------------------------------ */

static void settle(struct rollback_item *it, enum objstore_outcome outcome, bool locked,
                   const char *message)
{
    it->outcome = outcome;
    switch (outcome) {
    case OBJSTORE_DONE:
    case OBJSTORE_ABSENT:
        it->removed = it->done = true;
        break;
    case OBJSTORE_PRECONDITION: /* replaced since it was looked at: ours is gone, theirs stays */
        it->done = true;
        it->refusal = ROLLBACK_NOT_OURS;
        err_set(&it->why, ERR_CONFLICT, "the object was replaced by somebody else meanwhile");
        break;
    default:
        if (locked)
            it->refusal = ROLLBACK_LOCKED;
        err_set(&it->why, ERR_STORE, "the object could not be deleted: %s", message);
        break;
    }
}

struct removal {
    struct rollback_job *job;
    struct rollback_item *item;
    struct rollback_item **many;
    size_t n;
};

static void note_denied(struct rollback_job *j, const struct objstore_result *r)
{
    if (r->outcome == OBJSTORE_DENIED && j->store_fault.code == ERR_OK)
        j->store_fault = r->err;
}

static void on_removed(void *user, const struct objstore_result *r)
{
    struct removal *m = user;

    settle(m->item, r->outcome, r->locked, r->err.message);
    note_denied(m->job, r);
    m->job->in_flight--;
}

static void on_removed_many(void *user, const struct objstore_result *whole,
                            const struct objstore_bulk_result *each, size_t n)
{
    struct removal *m = user;

    for (size_t i = 0; i < m->n; i++) {
        if (each != NULL && i < n)
            settle(m->many[i], each[i].outcome, each[i].locked, each[i].message);
        else
            settle(m->many[i],
                   whole->outcome == OBJSTORE_DONE ? OBJSTORE_UNAVAILABLE : whole->outcome, false,
                   whole->err.message);
    }
    note_denied(m->job, whole);
    m->job->in_flight--;
}

/* ---- requests ------------------------------------------------------------------------------------- */

/* Bulk, unless single deletes can be made conditional and bulk ones cannot: the condition closes the gap between look and
 * delete. */
static bool use_bulk(const struct rollback_job *j)
{
    unsigned f = objstore_features(j->g->store);

    return (f & OBJSTORE_BULK_DELETE) != 0 &&
           ((f & OBJSTORE_BULK_DELETE_ETAG) != 0 || (f & OBJSTORE_DELETE_IF_MATCH) == 0);
}

static enum err_code remove_bulk(struct rollback_job *j, struct rollback_item **items, size_t n,
                                 struct err *e)
{
    struct objstore_bulk_item *keys = calloc(n, sizeof *keys);
    struct removal m = {j, NULL, items, n};
    enum err_code code;

    if (keys == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        keys[i] = (struct objstore_bulk_item){items[i]->record->target_key, items[i]->info.etag};
    code = objstore_remove_many(j->g->store, keys, n, on_removed_many, &m, e);
    j->in_flight += code == ERR_OK;
    code = rollback_store_finish(j, code, e);
    free(keys);
    return code;
}

static enum err_code remove_single(struct rollback_job *j, struct rollback_item **items, size_t n,
                                   struct err *e)
{
    bool conditional = (objstore_features(j->g->store) & OBJSTORE_DELETE_IF_MATCH) != 0;
    size_t limit = j->o->concurrency > 0 ? (size_t)j->o->concurrency : 16;
    struct removal *m = calloc(n, sizeof *m);
    enum err_code code = ERR_OK;

    if (m == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    /* what is not begun when a signal comes, or when the store refuses, stays owed */
    for (size_t i = 0;
         code == ERR_OK && i < n && j->store_fault.code == ERR_OK && !engine_stopping(j->g); i++) {
        const char *etag = items[i]->info.etag;

        m[i] = (struct removal){j, items[i], NULL, 0};
        code = objstore_remove(j->g->store, items[i]->record->target_key,
                               conditional && etag[0] != '\0' ? etag : NULL, on_removed, &m[i], e);
        j->in_flight += code == ERR_OK;
        while (code == ERR_OK && j->in_flight >= limit)
            code = rollback_store_turn(j, e);
    }
    code = rollback_store_finish(j, code, e);
    free(m);
    return code;
}

/* An endpoint of unknown make is not probed here: a rollback writes nothing into the store. Without known features
 * objects go one by one, each looked at before (--store-profile says what it is, and allows bulk). */
enum err_code rollback_store_remove(struct rollback_job *j, struct err *e)
{
    struct rollback_item **items = calloc(j->n + 1, sizeof(struct rollback_item *));
    size_t n = 0;
    enum err_code code = ERR_OK;

    if (items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < j->n; i++) {
        struct rollback_item *it = &j->items[i];

        if (!it->remove) {
            it->done = it->moved || rollback_act_row_goes(it) || it->refusal == ROLLBACK_NOT_OURS;
            continue;
        }
        err_set(&it->why, ERR_CANCELLED, "the object has not been deleted yet");
        items[n++] = it;
    }
    j->in_flight = 0;
    if (n > 0)
        code = use_bulk(j) ? remove_bulk(j, items, n, e) : remove_single(j, items, n, e);
    for (size_t i = 0; i < n; i++) {
        if (items[i]->removed)
            err_init(&items[i]->why);
    }
    free(items);
    if (code == ERR_OK && j->store_fault.code != ERR_OK) {
        if (e != NULL)
            *e = j->store_fault;
        code = j->store_fault.code;
    }
    return code;
}
