/* The event loop: rows in, transfers on, outcomes out, until the window is drained or the run halts. One thread, one store; further
 * loops would share pages (claim) and results, and nothing else. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/migrate_job.h"

#include <time.h>

#define HASH_PER_TURN                                                                              \
    ((uint64_t)8 << 20)    /* bytes read and hashed between two looks at the network */
#define TURN_MS        200 /* longest wait: signals and leases are looked at */
#define PROGRESS_MS    100
#define GRACE_MS       8000 /* of 10 s: for what is in flight when a signal comes */
#define GRACE_PARTS_MS 2000 /* … when only uploads in parts are left, which will not end soon */
#define ABORT_MS       1200 /* for aborting them */

/* ---- rows in ----------------------------------------------------------------------------------------------- */

static enum err_code feed(struct migrate_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    j->lane.hash_budget = HASH_PER_TURN;
    if (j->halted)
        return ERR_OK;
    if (!j->exhausted && migrate_claim_waiting(j) < j->slot_count)
        code = migrate_claim_page(j, e);
    while (code == ERR_OK && j->busy < j->slot_count && j->lane.hash_budget > 0) {
        struct migrate_page *page = NULL;
        const struct record *r = migrate_claim_next(j, &page);

        if (r == NULL)
            break;
        transfer_begin(&j->slots[j->free_slots[j->slot_count - 1 - j->busy]], &j->lane, page, r);
        j->busy++;
    }
    return code;
}

/* ---- transfers on --------------------------------------------------------------------------------------------- */

static void step(struct migrate_job *j, bool stopping)
{
    int64_t now = clock_mono_ms();

    for (size_t i = 0; i < j->slot_count; i++) {
        struct transfer *t = &j->slots[i];

        if (t->r == NULL || t->ended || t->waiting)
            continue;
        if (stopping && (t->hashing || t->wake_ms > now))
            transfer_cancel(t); /* nothing is under way for it */
        else if (t->wake_ms <= now && t->then != NULL)
            t->then(t);
    }
}

/* ---- outcomes out --------------------------------------------------------------------------------------------- */

static enum err_code collect(struct migrate_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->slot_count; i++) {
        struct transfer *t = &j->slots[i];

        if (t->r == NULL || !t->ended)
            continue;
        code = results_add(&j->results, &t->outcome, e);
        if (code != ERR_OK)
            break;
        transfer_free(t);
        j->busy--;
        j->free_slots[j->slot_count - 1 - j->busy] = i;
    }
    if (code == ERR_OK && (results_due(&j->results, clock_mono_ms()) || j->busy == 0))
        code = results_flush(&j->results, e);
    if (code == ERR_OK)
        migrate_claim_tidy(j);
    return code;
}

static enum err_code store_is_dead(struct migrate_job *j, struct err *e)
{
    const struct results *w = &j->results;

    if (e != NULL && w->held_len > 0)
        *e = w->held[w->held_len - 1].err;
    else
        err_set(e, ERR_STORE_UNAVAILABLE, "no answer");
    err_wrap(e, "%s does not answer any more", objstore_name(j->lane.store));
    if (e != NULL)
        e->code = ERR_STORE_UNAVAILABLE;
    return ERR_STORE_UNAVAILABLE;
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void check_limits(struct migrate_job *j)
{
    const struct migrate_result *r = j->out;
    int64_t ended = r->completed + r->failed;
    bool many = j->o.max_failures >= 0 && r->failed > 0 && r->failed >= j->o.max_failures;
    bool share = j->o.max_failure_percent > 0 && ended >= 20 &&
                 r->failed * 100 >= ended * j->o.max_failure_percent;

    if (j->halted)
        return;
    j->limited = many || share;
    j->halted = j->limited || engine_stopping(j->g);
    if (j->halted)
        j->halted_ms = clock_mono_ms();
}

/* After a signal: is what is still in flight given up? */
static bool grace_is_over(const struct migrate_job *j)
{
    int64_t waited = clock_mono_ms() - j->halted_ms;
    bool parts_only = true;

    for (size_t i = 0; i < j->slot_count; i++)
        parts_only = parts_only && (j->slots[i].r == NULL || j->slots[i].layout.part_size > 0);
    return waited >= GRACE_MS || (parts_only && waited >= GRACE_PARTS_MS);
}

static enum err_code keep_leases(struct migrate_job *j, struct err *e)
{
    int64_t now = clock_mono_ms(), since = now - j->renew_ms;
    enum err_code code;

    if (since < j->o.lease_ms / 3)
        return ERR_OK;
    code = tracker_renew(j->g->tracker, j->g->owner, clock_wall_ms() + j->o.lease_ms, e);
    if (code == ERR_DB_BUSY && since < j->o.lease_ms * 2 / 3) {
        err_init(e);
        return ERR_OK; /* tried again in the next turn, as long as the lease holds */
    }
    if (code == ERR_OK)
        j->renew_ms = now;
    return code;
}

/* Completed files, or, while a big one is on its way, what has gone over the wire. */
static int64_t bytes_so_far(const struct migrate_job *j)
{
    struct objstore_requests r;
    int64_t wire;

    objstore_requests(j->lane.store, &r);
    wire = (int64_t)(r.bytes_sent - j->bytes_sent_before);
    if (j->bytes_total >= 0 && wire > j->bytes_total)
        wire = j->bytes_total; /* what was sent again counts once */
    return wire > j->results.bytes_done ? wire : j->results.bytes_done;
}

void migrate_loop_progress(struct migrate_job *j, bool force)
{
    int64_t now = clock_mono_ms();

    if (!force && now - j->progress_ms < PROGRESS_MS)
        return;
    j->progress_ms = now;
    engine_emit(j->g, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                             .files_done = j->out->completed,
                                             .files_failed = j->out->failed,
                                             .files_total = j->files_total,
                                             .bytes_done = bytes_so_far(j),
                                             .bytes_total = j->bytes_total});
}

/* ---- a turn -------------------------------------------------------------------------------------------------------- */

/* How long may the network be waited for? */
static int patience(const struct migrate_job *j)
{
    int64_t now = clock_mono_ms(), ms = TURN_MS;

    if (j->results.len > 0) {
        int64_t left = j->results.oldest_ms + RESULTS_DELAY_MS - now;
        ms = left < ms ? left : ms;
    }
    for (size_t i = 0; i < j->slot_count && ms > 0; i++) {
        const struct transfer *t = &j->slots[i];

        if (t->r == NULL || t->waiting)
            continue;
        if (t->wake_ms > now)
            ms = t->wake_ms - now < ms ? t->wake_ms - now : ms;
        else
            ms = 0; /* it has something to do */
    }
    if (!j->halted && j->busy < j->slot_count && migrate_claim_waiting(j) > 0)
        ms = 0;
    return ms > 0 ? (int)ms : 0;
}

static enum err_code wait_for_network(struct migrate_job *j, struct err *e)
{
    int ms = patience(j);

    if (objstore_active(j->lane.store) > 0)
        return objstore_run(j->lane.store, ms, e);
    if (ms > 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
    return ERR_OK;
}

static enum err_code turn(struct migrate_job *j, struct err *e)
{
    bool stopping = engine_stopping(j->g);
    enum err_code code;

    check_limits(j);
    code = feed(j, e);
    if (code != ERR_OK)
        return code;
    step(j, stopping);
    code = collect(j, e);
    if (code != ERR_OK)
        return code;
    if (j->lane.fatal.code != ERR_OK) {
        if (e != NULL)
            *e = j->lane.fatal;
        return j->lane.fatal.code;
    }
    if (j->results.dead)
        return store_is_dead(j, e);
    if (stopping && j->busy > 0 && grace_is_over(j))
        return err_set(e, ERR_CANCELLED, "stopped by a signal");
    migrate_loop_progress(j, false);
    code = keep_leases(j, e);
    return code == ERR_OK && j->busy > 0 ? wait_for_network(j, e) : code;
}

static bool has_more(const struct migrate_job *j)
{
    if (j->busy > 0)
        return true;
    return !j->halted && (!j->exhausted || migrate_claim_waiting(j) > 0);
}

/* Nothing more can be done: what is under way is cancelled, what has been done is recorded if that is still possible (A7: if
 * not, nothing is marked done), what was claimed is on record as released. */
static void abandon(struct migrate_job *j)
{
    objstore_cancel_all(j->lane.store);
    for (int i = 0; i < 100 && objstore_active(j->lane.store) > 0; i++) {
        if (objstore_run(j->lane.store, 10, NULL) != ERR_OK)
            break;
    }
    for (size_t i = 0; i < j->slot_count; i++) {
        if (j->slots[i].r != NULL)
            transfer_cancel(&j->slots[i]);
    }
    recover_abort(&j->lane, j->slots, j->slot_count, ABORT_MS);
    j->halted = true;
    results_settle_held(&j->results, true, NULL);
    if (collect(j, NULL) == ERR_OK && migrate_claim_release(j, NULL) == ERR_OK)
        results_flush(&j->results, NULL);
    for (size_t i = 0; i < j->slot_count; i++) { /* whatever could not be recorded */
        if (j->slots[i].r != NULL)
            transfer_free(&j->slots[i]);
    }
    j->busy = 0;
}

/* Files without an answer, and none after them that would tell whether the store is dead: it is asked. */
static enum err_code settle_held(struct migrate_job *j, struct err *e)
{
    struct objstore_result r;
    enum err_code code;

    if (j->results.held_len == 0)
        return ERR_OK;
    code = objstore_ping_wait(j->lane.store, &r, e);
    if (code == ERR_OK && r.outcome != OBJSTORE_DONE)
        return store_is_dead(j, e);
    return code == ERR_OK ? results_settle_held(&j->results, false, e) : code;
}

enum err_code migrate_loop_run(struct migrate_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    j->exhausted = false;
    for (size_t i = 0; i < j->slot_count; i++)
        j->free_slots[i] = i;
    while (code == ERR_OK && has_more(j))
        code = turn(j, e);
    if (code == ERR_OK)
        code = settle_held(j, e);
    if (code == ERR_OK && j->halted)
        code = migrate_claim_release(j, e);
    if (code == ERR_OK)
        code = results_flush(&j->results, e);
    if (code != ERR_OK)
        abandon(j);
    migrate_claim_tidy(j);
    return code;
}
