#include "engine/recover.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "engine/upload_mark.h"

#include <stdlib.h>
#include <string.h>

#define CLOCKS_DIFFER_MS 300000 /* what the store's clock and ours may be apart */
#define PAGE             200

/* ---- the dead ------------------------------------------------------------------------------------------- */

void recover_owners_init(struct recover_owners *o)
{
    memset(o, 0, sizeof *o);
}

void recover_owners_release(struct recover_owners *o)
{
    for (size_t i = 0; i < o->dead_count; i++)
        free(o->dead[i]);
    memset(o, 0, sizeof *o);
}

static enum err_code see_owner(void *user, const char *owner, int64_t rows, int64_t lease_until_ms,
                               struct err *e)
{
    struct recover_owners *o = user;

    (void)rows;
    (void)lease_until_ms;
    if (o->dead_count == RECOVER_OWNERS_MAX || !process_owner_is_dead(owner))
        return ERR_OK; /* more of them: found when these are buried */
    o->dead[o->dead_count] = str_dup(owner);
    if (o->dead[o->dead_count] == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->dead_count++;
    return ERR_OK;
}

enum err_code recover_owners_find(struct recover_owners *o, const struct engine *g, struct err *e)
{
    recover_owners_release(o);
    return tracker_owners(g->tracker, g->owner, see_owner, o, e);
}

static bool is_free(const struct recover_owners *o, const struct record *r, const char *me,
                    int64_t now)
{
    if (r->lease_owner == NULL)
        return true;
    if (str_eq(r->lease_owner, me))
        return false;
    for (size_t i = 0; i < o->dead_count; i++) {
        if (str_eq(r->lease_owner, o->dead[i]))
            return true;
    }
    return r->lease_until_ms <= now;
}

enum err_code recover_rows(const struct recover_owners *o, const struct engine *g,
                           const char *batch_id, bool *claimable, int64_t *elsewhere, struct err *e)
{
    struct tracker_filter f = {.batch_id = batch_id, .statuses = TRACKER_STATUS(FILE_PROCESSING)};
    int64_t now = clock_wall_ms();
    struct record_list list;
    enum err_code code = ERR_OK;
    char *after = NULL;

    *claimable = false;
    *elsewhere = 0;
    record_list_init(&list, (size_t)8 << 20);
    while (code == ERR_OK) {
        code = tracker_records(g->tracker, &f, after, PAGE, &list, e);
        if (code != ERR_OK || list.len == 0)
            break;
        for (size_t i = 0; i < list.len; i++) {
            bool is = is_free(o, &list.items[i], g->owner, now);
            *claimable = *claimable || is;
            *elsewhere += !is;
        }
        free(after);
        after = str_dup(list.items[list.len - 1].id);
        if (after == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
    }
    free(after);
    record_list_release(&list);
    return code;
}

/* ---- uploads that an earlier attempt left (P11) ------------------------------------------------------------ */

static void list_page(struct transfer *t);

static bool go_on(const struct transfer *t)
{
    return t->result.outcome != OBJSTORE_CANCELLED;
}

static void recovered(struct transfer *t)
{
    transfer_step_fn *next = t->after_recovery;

    t->after_recovery = NULL;
    next(t);
}

static void abort_next(struct transfer *t)
{
    struct err e;

    if (!go_on(t)) {
        transfer_cancel(t);
        return;
    }
    err_init(&e);
    if (t->stale_len == 0) {
        if (t->list_token != NULL)
            list_page(t);
        else
            recovered(t);
        return;
    }
    char *id = t->stale[--t->stale_len];
    enum err_code code = objstore_abort(t->lane->store, t->r->target_key, id, transfer_done, t, &e);
    free(id);
    transfer_wait(t, code, &e, abort_next);
}

/* Begun since this row was first claimed: nobody else has business at its key. */
static bool is_stale(const struct transfer *t, const struct objstore_entry *entry)
{
    int64_t since;

    return t->r->started_at != NULL && timefmt_parse(t->r->started_at, &since) &&
           entry->last_modified_ms >= since - CLOCKS_DIFFER_MS;
}

static void got_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct transfer *t = user;
    size_t key_len = strlen(t->r->target_key);
    bool beyond = false;

    transfer_done(t, r);
    free(t->list_token);
    t->list_token = NULL;
    for (size_t i = 0; page != NULL && i < page->n && !beyond; i++) {
        const struct objstore_entry *entry = &page->entries[i];

        if (entry->key_len != key_len || memcmp(entry->key, t->r->target_key, key_len) != 0)
            beyond = true; /* in the store's order the key itself comes before those it begins */
        else if (entry->upload_id != NULL && !str_eq(entry->upload_id, t->resume_id) &&
                 is_stale(t, entry) && t->stale_len < TRANSFER_UPLOADS_MAX &&
                 (t->stale[t->stale_len] = str_dup(entry->upload_id)) != NULL)
            t->stale_len++;
    }
    if (page != NULL && page->next != NULL && !beyond && t->stale_len < TRANSFER_UPLOADS_MAX)
        t->list_token = str_dup(page->next);
}

/* A store that lists no uploads, or does not let us: the recorded one has been aborted, the PUT will tell the rest. */
static void list_page(struct transfer *t)
{
    struct err e;
    char *token = t->list_token;

    err_init(&e);
    enum err_code code = objstore_list_uploads(
        t->lane->store,
        &(struct objstore_list){.prefix = t->r->target_key, .token = token, .max = 100}, got_page,
        t, &e);
    transfer_wait(t, code, &e, abort_next);
}

static void recorded_aborted(struct transfer *t)
{
    switch (t->result.outcome) {
    case OBJSTORE_CANCELLED:
        transfer_cancel(t);
        return;
    case OBJSTORE_DENIED:
        transfer_stop(t, &t->result.err);
        return;
    case OBJSTORE_UNAVAILABLE: /* nothing new is begun beside it */
        transfer_answered(t);
        return;
    default:
        break;
    }
    if (t->layout.part_size > 0)
        list_page(t);
    else
        recovered(t);
}

/* Begun for the very bytes that the source has now, with the part size it would have now: the PUT continues it, and looks at the
 * key itself before it does. What that overwrites is first copied aside, which a PUT that only continues knows nothing of. */
static bool may_continue(const struct transfer *t)
{
    const struct record *r = t->r;

    return t->layout.part_size > 0 && (uint64_t)r->part_size == t->layout.part_size &&
           upload_mark_is_of(r->upload_id, t->source.sha256) && objstore_resumes(t->lane->store) &&
           t->lane->o->if_exists != MIGRATE_OVERWRITE;
}

void recover_uploads(struct transfer *t, transfer_step_fn *then)
{
    char *id = upload_mark_id(t->r->upload_id);
    enum err_code code = ERR_OK;
    struct err e;

    err_init(&e);
    t->after_recovery = then;
    if (t->r->upload_id == NULL) {
        list_page(t);
    } else if (id == NULL) {
        err_set(&e, ERR_NOMEM, "out of memory");
        transfer_fail(t, &e);
    } else if (may_continue(t)) {
        t->resume_id = id;
        t->upload_id = str_dup(id); /* this attempt's from now on: whatever fails aborts it */
        t->after_recovery = transfer_put_new;
        list_page(t);
        return;
    } else {
        code = objstore_abort(t->lane->store, t->r->target_key, id, transfer_done, t, &e);
        transfer_wait(t, code, &e, recorded_aborted);
    }
    free(id);
}

/* ---- a run that stops ---------------------------------------------------------------------------------------- */

struct ending {
    const struct transfer *t;
    struct transfer_lane *lane;
    size_t *under_way;
    bool gone;
};

static void upload_gone(void *user, const struct objstore_result *r)
{
    struct ending *x = user;

    (*x->under_way)--;
    x->gone = r->outcome == OBJSTORE_DONE || r->outcome == OBJSTORE_ABSENT;
}

void recover_abort(struct transfer_lane *lane, struct transfer *slots, size_t n, int64_t budget_ms)
{
    struct ending *x = calloc(n + 1, sizeof *x);
    int64_t until = clock_mono_ms() + budget_ms;
    size_t under_way = 0;

    if (x == NULL)
        return; /* they stay recorded: the next worker aborts them */
    for (size_t i = 0; i < n; i++) {
        x[i] = (struct ending){.t = &slots[i], .lane = lane, .under_way = &under_way};
        if (slots[i].upload_id != NULL &&
            objstore_abort(lane->store, slots[i].r->target_key, slots[i].upload_id, upload_gone,
                           &x[i], NULL) == ERR_OK)
            under_way++;
    }
    while (under_way > 0 && clock_mono_ms() < until) {
        if (objstore_run(lane->store, 50, NULL) != ERR_OK)
            break;
    }
    if (under_way > 0)
        objstore_cancel_all(lane->store);
    while (under_way > 0 && objstore_active(lane->store) > 0) {
        if (objstore_run(lane->store, 10, NULL) != ERR_OK)
            break;
    }
    transfer_books_take(lane->books);
    for (size_t i = 0; i < n; i++) {
        if (x[i].gone)
            tracker_set_upload(lane->g->tracker, slots[i].r->id, lane->g->owner, NULL, 0, NULL);
    }
    transfer_books_give(lane->books);
    if (under_way == 0) /* else leaked on purpose: a callback may still come */
        free(x);
}
