/* The main thread's loop over one window of batches: claims and their intents, outcomes and their groups, leases, limits, signals.
 * The files are the lanes' (migrate_lane). */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/migrate_job.h"

#define TURN_MS        200 /* longest wait: signals and leases are looked at … */
#define THREADS_MS     20 /* … and outcomes that are too few to be told of, when lanes have threads */
#define PROGRESS_MS    100
#define GRACE_MS       8000 /* of 10 s: for what is in flight when a signal comes */
#define GRACE_PARTS_MS 2000 /* … when only uploads in parts are left, which will not end soon */

/* ---- the tracker: every use of it is between these two ------------------------------------------------------- */

static void open_books(struct migrate_job *j)
{
    pthread_mutex_lock(&j->desk.books.lock);
}

static void close_books(struct migrate_job *j)
{
    pthread_mutex_unlock(&j->desk.books.lock);
}

/* ---- rows in ------------------------------------------------------------------------------------------------ */

static enum err_code feed(struct migrate_job *j, struct err *e)
{
    enum err_code code;

    if (j->halted || j->exhausted || migrate_claimer_claims(j) ||
        migrate_claim_waiting(j) >= j->low)
        return ERR_OK;
    open_books(j);
    code = migrate_claim_page(j, j->g->tracker, e);
    close_books(j);
    if (code == ERR_OK && !j->exhausted && j->claimed_rows >= MIGRATE_PAGE)
        migrate_claimer_start(j);
    return code;
}

/* ---- outcomes out ------------------------------------------------------------------------------------------- */

static enum err_code collect(struct migrate_job *j, struct err *e)
{
    enum err_code code = ERR_OK;
    size_t n;

    open_books(j);
    do {
        n = migrate_lanes_gather(j, j->gathered, MIGRATE_GATHER);
        for (size_t i = 0; code == ERR_OK && i < n; i++)
            code = results_add(&j->results, &j->gathered[i], e);
    } while (code == ERR_OK && n > 0);
    if (code == ERR_OK)
        code = results_turn(&j->results, migrate_lanes_idle(j), e);
    close_books(j);
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
    err_wrap(e, "%s does not answer any more", objstore_name(j->g->store));
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
    if (j->halted) {
        j->halted_ms = clock_mono_ms();
        migrate_lanes_order(j, MIGRATE_HALT);
    }
}

/* After a signal: is what is still in flight given up? */
static bool grace_is_over(const struct migrate_job *j)
{
    const int64_t waited = clock_mono_ms() - j->halted_ms;

    return waited >= GRACE_MS || (waited >= GRACE_PARTS_MS && migrate_lanes_only_parts(j));
}

static enum err_code keep_leases(struct migrate_job *j, struct err *e)
{
    int64_t now = clock_mono_ms(), since = now - j->renew_ms;
    enum err_code code;

    if (since < j->o.lease_ms / 3)
        return ERR_OK;
    open_books(j);
    code = tracker_renew(j->g->tracker, j->g->owner, clock_wall_ms() + j->o.lease_ms, e);
    close_books(j);
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
    int64_t wire = (int64_t)migrate_lanes_bytes(j);

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

static int patience(const struct migrate_job *j)
{
    return results_patience(&j->results, j->lane_count > 1 ? THREADS_MS : TURN_MS);
}

static enum err_code turn(struct migrate_job *j, struct err *e)
{
    const bool stopping = engine_stopping(j->g);
    enum err_code code;

    check_limits(j);
    if (stopping)
        migrate_lanes_order(j, MIGRATE_STOP);
    migrate_lanes_allow(j);
    code = feed(j, e);
    if (code != ERR_OK)
        return code;
    migrate_lanes_turn(j);
    code = collect(j, e);
    if (code != ERR_OK)
        return code;
    code = migrate_lanes_fault(j, e);
    if (code != ERR_OK)
        return code;
    if (j->results.dead)
        return store_is_dead(j, e);
    if (stopping && !migrate_lanes_idle(j) && grace_is_over(j))
        return err_set(e, ERR_CANCELLED, "stopped by a signal");
    migrate_loop_progress(j, false);
    code = keep_leases(j, e);
    const bool claimer = migrate_claimer_claims(j);
    if (code == ERR_OK &&
        (!migrate_lanes_idle(j) || migrate_claim_waiting(j) > 0 || migrate_claimer_busy(j)))
        migrate_lanes_wait(j, patience(j), j->halted || j->exhausted || claimer ? 0 : j->low);
    return code;
}

static bool has_more(struct migrate_job *j)
{
    if (!migrate_lanes_idle(j))
        return true;
    return !j->halted && (!j->exhausted || migrate_claim_waiting(j) > 0);
}

/* Nothing more can be done: what is under way is cancelled, what has been done is recorded if that is still possible (A7: if
 * not, nothing is marked done), what was claimed is on record as released. */
static void abandon(struct migrate_job *j)
{
    j->halted = true;
    migrate_lanes_order(j, MIGRATE_ABANDON);
    migrate_claimer_stop(j);
    scribe_stop(&j->scribe);
    migrate_lanes_join(j);
    open_books(j);
    results_settle_held(&j->results, true, NULL);
    close_books(j);
    if (collect(j, NULL) == ERR_OK) {
        open_books(j);
        if (migrate_claim_release(j, NULL) == ERR_OK)
            results_flush(&j->results, NULL);
        close_books(j);
    }
    migrate_lanes_forget(j); /* whatever could not be recorded */
}

/* Files without an answer, and none after them that would tell whether the store is dead: it is asked. */
static enum err_code settle_held(struct migrate_job *j, struct err *e)
{
    struct objstore_result r;
    enum err_code code;

    if (j->results.held_len == 0)
        return ERR_OK;
    code = objstore_ping_wait(j->g->store, &r, e);
    if (code == ERR_OK && r.outcome != OBJSTORE_DONE)
        return store_is_dead(j, e);
    return code == ERR_OK ? results_settle_held(&j->results, false, e) : code;
}

/* What is left to be done once the lanes have ended. */
static enum err_code finish(struct migrate_job *j, struct err *e)
{
    enum err_code code;

    open_books(j);
    code = settle_held(j, e);
    if (code == ERR_OK && j->halted)
        code = migrate_claim_release(j, e);
    if (code == ERR_OK)
        code = results_flush(&j->results, e);
    close_books(j);
    return code;
}

enum err_code migrate_loop_run(struct migrate_job *j, struct err *e)
{
    enum err_code code = migrate_lanes_open(j, e);

    j->exhausted = false;
    j->low = j->slot_total;
    j->page = MIGRATE_PAGE;
    j->claimed_ms = 0;
    if (code != ERR_OK)
        return code;
    code = migrate_lanes_start(j, e);
    while (code == ERR_OK && has_more(j))
        code = turn(j, e);
    migrate_claimer_stop(j);
    scribe_stop(&j->scribe);
    if (code == ERR_OK) {
        migrate_lanes_order(j, MIGRATE_DRAIN);
        migrate_lanes_join(j);
        code = finish(j, e);
    }
    if (code != ERR_OK)
        abandon(j);
    migrate_claim_tidy(j);
    return code;
}
