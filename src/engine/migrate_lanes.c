/* All lanes, as the main thread sees them: how many there are, their threads, their orders, and what they hand over. */
#include "blobferry/base/clock.h"
#include "engine/migrate_job.h"
#include "engine/thread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LANES_AUTO 4 /* at most, unless more are asked for */
#define DESK_ROOM                                                                                  \
    512 /* outcomes that wait to be gathered, or a group of them; above it lanes wait */
#define DESK_MANY    128                 /* … and so many are worth getting up for */
#define LOAD_MAX     ((size_t)256 << 10) /* bytes of one file in memory … */
#define LOAD_ALL     ((size_t)8 << 20)   /* … and of all of them (P10) */
#define BOOKS_NAP_NS 50000
#define AHEAD        4 /* files that wait for the limiter, at least */

/* ---- open and close ------------------------------------------------------------------------------------------ */

/* One for each processor; a store that cannot be opened twice, or a single file, needs one only. */
static size_t count_lanes(const struct migrate_job *j)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = processors > LANES_AUTO ? LANES_AUTO : processors < 1 ? 1 : (size_t)processors;

    if (j->o.loops > 0)
        n = (size_t)j->o.loops < MIGRATE_LANES_MAX ? (size_t)j->o.loops : MIGRATE_LANES_MAX;
    if (n > j->slot_total)
        n = j->slot_total;
    return j->g->store_open == NULL || n < 1 ? 1 : n;
}

static enum err_code desk_init(struct migrate_job *j, struct err *e)
{
    struct migrate_desk *d = &j->desk;
    pthread_condattr_t monotonic;

    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->books.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->more, &monotonic);
    pthread_cond_init(&d->news, &monotonic);
    pthread_cond_init(&d->ahead, &monotonic);
    pthread_cond_init(&d->hunger, &monotonic);
    pthread_condattr_destroy(&monotonic);
    d->ready = true;
    d->out_max = (j->results.group > DESK_ROOM ? j->results.group : DESK_ROOM) + j->slot_total;
    d->out = calloc(d->out_max, sizeof *d->out);
    return d->out != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code lane_open(struct migrate_job *j, struct migrate_lane *l, size_t lanes,
                               size_t slots, struct err *e)
{
    l->j = j;
    l->slot_count = slots;
    atomic_store(&l->allowed, slots);
    l->slots = calloc(slots, sizeof *l->slots);
    l->free_slots = calloc(slots, sizeof *l->free_slots);
    if (l->slots == NULL || l->free_slots == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->t = (struct transfer_lane){.g = j->g,
                                  .o = &j->o,
                                  .root = &j->root,
                                  .store = j->g->store,
                                  .books = &j->desk.books,
                                  .cold = &j->desk.cold,
                                  .load_max = LOAD_MAX,
                                  .load_all = LOAD_ALL / lanes};
    err_init(&l->t.fatal);
    return ERR_OK;
}

/* Its own store, which knows what the first one has found out. */
static enum err_code lane_store(struct migrate_job *j, struct migrate_lane *l, struct err *e)
{
    enum err_code code = j->g->store_open(j->g->store_user, (int)l->slot_count, &l->t.store, e);

    if (code != ERR_OK)
        return code;
    l->own_store = true;
    objstore_set_features(l->t.store, objstore_features(j->g->store));
    return ERR_OK;
}

enum err_code migrate_lanes_open(struct migrate_job *j, struct err *e)
{
    const size_t n = count_lanes(j);
    enum err_code code;

    if (j->lanes != NULL)
        return ERR_OK;
    code = desk_init(j, e);
    if (code != ERR_OK)
        return code;
    j->lanes = calloc(n, sizeof *j->lanes);
    if (j->lanes == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        code = lane_open(j, &j->lanes[i], n, j->slot_total / n + (i < j->slot_total % n), e);
        j->lane_count++;
        if (code == ERR_OK && n > 1)
            code = lane_store(j, &j->lanes[i], e);
    }
    j->bytes_sent_before = 0;
    if (code == ERR_OK && n == 1) {
        struct objstore_requests r;
        objstore_requests(j->g->store, &r);
        j->bytes_sent_before = r.bytes_sent;
    }
    return code;
}

void migrate_lanes_close(struct migrate_job *j)
{
    struct migrate_desk *d = &j->desk;

    for (size_t i = 0; i < j->lane_count; i++) {
        if (j->lanes[i].own_store)
            objstore_close(j->lanes[i].t.store);
        free(j->lanes[i].slots);
        free(j->lanes[i].free_slots);
    }
    free(j->lanes);
    j->lanes = NULL;
    j->lane_count = 0;
    free(d->out);
    d->out = NULL;
    if (!d->ready)
        return;
    pthread_cond_destroy(&d->more);
    pthread_cond_destroy(&d->news);
    pthread_cond_destroy(&d->ahead);
    pthread_cond_destroy(&d->hunger);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->books.lock);
    d->ready = false;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

enum err_code migrate_lanes_start(struct migrate_job *j, struct err *e)
{
    int rc = 0;

    j->desk.order = MIGRATE_RUN;
    for (size_t i = 0; i < j->lane_count; i++) {
        struct migrate_lane *l = &j->lanes[i];
        for (size_t k = 0; k < l->slot_count; k++)
            l->free_slots[k] = k;
    }
    if (j->lane_count == 1)
        return ERR_OK;
    for (size_t i = 0; rc == 0 && i < j->lane_count; i++) {
        struct migrate_lane *l = &j->lanes[i];
        rc = thread_start(&l->thread, migrate_lane_main, l);
        l->running = rc == 0;
    }
    if (rc == 0) {
        scribe_start(&j->scribe);
        migrate_prefetch_start(j);
    }
    return rc == 0 ? ERR_OK : err_set_errno(e, ERR_GENERAL, rc, "cannot start a thread");
}

void migrate_lanes_join(struct migrate_job *j)
{
    migrate_prefetch_stop(j);
    for (size_t i = 0; i < j->lane_count; i++) {
        struct migrate_lane *l = &j->lanes[i];
        if (l->running)
            pthread_join(l->thread, NULL);
        else if (j->desk.order == MIGRATE_ABANDON)
            migrate_lane_abandon(l);
        l->running = false;
    }
}

void migrate_lanes_wake(struct migrate_job *j)
{
    struct migrate_desk *d = &j->desk;
    const bool order = d->order != MIGRATE_RUN;

    if (j->lane_count == 1)
        return;
    pthread_mutex_lock(&d->lock);
    pthread_cond_broadcast(&d->more);
    for (size_t i = 0; i < j->lane_count; i++) {
        struct migrate_lane *l = &j->lanes[i];
        if (l->running && (l->hungry || order))
            objstore_wakeup(l->t.store);
        l->hungry = false;
    }
    pthread_mutex_unlock(&d->lock);
}

void migrate_lanes_order(struct migrate_job *j, enum migrate_order order)
{
    int now = atomic_load(&j->desk.order);

    while (now < (int)order && !atomic_compare_exchange_weak(&j->desk.order, &now, (int)order))
        ;
    if (now < (int)order)
        migrate_lanes_wake(j);
}

void migrate_lanes_allow(struct migrate_job *j)
{
    struct limiter *limiter = objstore_limiter(j->g->store);
    struct limiter_state now;
    size_t all;

    if (limiter == NULL)
        return;
    limiter_look(limiter, &now);
    all = now.limit > 0 ? (size_t)now.limit : 1;
    all += all / 4 + AHEAD;
    for (size_t i = 0; i < j->lane_count; i++) {
        struct migrate_lane *l = &j->lanes[i];
        const size_t share = all / j->lane_count + 1;
        atomic_store(&l->allowed, share < l->slot_count ? share : l->slot_count);
    }
}

/* ---- what they say ----------------------------------------------------------------------------------------------- */

size_t migrate_lanes_gather(struct migrate_job *j, struct outcome *to, size_t max)
{
    struct migrate_desk *d = &j->desk;
    size_t n;

    pthread_mutex_lock(&d->lock);
    n = d->out_len < max ? d->out_len : max;
    memcpy(to, d->out, n * sizeof *to);
    d->out_len -= n;
    memmove(d->out, d->out + n, d->out_len * sizeof *to);
    pthread_mutex_unlock(&d->lock);
    return n;
}

bool migrate_lanes_idle(struct migrate_job *j)
{
    struct migrate_desk *d = &j->desk;
    bool idle;

    pthread_mutex_lock(&d->lock);
    idle = d->in_flight == 0 && d->out_len == 0;
    pthread_mutex_unlock(&d->lock);
    return idle;
}

enum err_code migrate_lanes_fault(struct migrate_job *j, struct err *e)
{
    struct migrate_desk *d = &j->desk;
    enum err_code code;

    pthread_mutex_lock(&d->lock);
    code = d->fatal.code;
    if (code != ERR_OK && e != NULL)
        *e = d->fatal;
    pthread_mutex_unlock(&d->lock);
    return code;
}

void migrate_lanes_fail(struct migrate_job *j, const struct err *e)
{
    struct migrate_desk *d = &j->desk;

    pthread_mutex_lock(&d->lock);
    if (d->fatal.code == ERR_OK)
        d->fatal = *e;
    pthread_cond_signal(&d->news);
    pthread_mutex_unlock(&d->lock);
}

void migrate_lanes_tell(void *job)
{
    struct migrate_job *j = job;

    pthread_mutex_lock(&j->desk.lock);
    pthread_cond_signal(&j->desk.news);
    pthread_mutex_unlock(&j->desk.lock);
}

void migrate_lanes_forget(struct migrate_job *j)
{
    for (size_t i = 0; i < j->lane_count; i++) {
        struct migrate_lane *l = &j->lanes[i];
        for (size_t k = 0; k < l->slot_count; k++) {
            if (l->slots[k].r != NULL)
                transfer_free(&l->slots[k]);
        }
        l->busy = 0;
    }
    j->desk.out_len = j->desk.in_flight = 0;
}

static void wait_inline(struct migrate_job *j, int ms)
{
    struct migrate_lane *l = &j->lanes[0];
    struct err e;

    if (l->busy < atomic_load(&l->allowed) && j->desk.waiting > 0 && j->desk.order <= MIGRATE_DRAIN)
        ms = 0;
    ms = migrate_lane_patience(l, ms);
    err_init(&e);
    if (objstore_active(l->t.store) == 0) {
        if (ms > 0)
            nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
    } else if (objstore_run(l->t.store, ms, &e) != ERR_OK && j->desk.fatal.code == ERR_OK) {
        j->desk.fatal = e;
    }
}

void migrate_lanes_wait(struct migrate_job *j, int ms, size_t low)
{
    struct migrate_desk *d = &j->desk;
    const int64_t until_ns = clock_mono_ns() + (int64_t)ms * 1000000;
    const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                   .tv_nsec = until_ns % 1000000000};

    if (j->lane_count == 1) {
        wait_inline(j, ms);
        return;
    }
    pthread_mutex_lock(&d->lock);
    d->low = low;
    d->many = DESK_MANY;
    if (ms > 0 && d->out_len < d->many && d->fatal.code == ERR_OK && !results_ready(&j->results) &&
        migrate_claim_waiting(j) >= low &&
        (d->in_flight + migrate_claim_waiting(j) > 0 || migrate_claimer_busy(j))) {
        d->listening = true;
        pthread_cond_timedwait(&d->news, &d->lock, &until);
        d->listening = false;
    }
    pthread_mutex_unlock(&d->lock);
    /* a lane that wants a word with tracker or journal gets it now */
    if (atomic_load(&d->books.wanted) > 0)
        nanosleep(&(struct timespec){.tv_nsec = BOOKS_NAP_NS}, NULL);
}

void migrate_lanes_turn(struct migrate_job *j)
{
    if (j->lane_count == 1)
        migrate_lane_work(&j->lanes[0]);
}

bool migrate_lanes_only_parts(const struct migrate_job *j)
{
    size_t whole = 0;

    for (size_t i = 0; i < j->lane_count; i++)
        whole += atomic_load(&j->lanes[i].whole);
    return whole == 0;
}

uint64_t migrate_lanes_bytes(const struct migrate_job *j)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < j->lane_count; i++)
        sum += atomic_load(&j->lanes[i].bytes_sent);
    return sum > j->bytes_sent_before ? sum - j->bytes_sent_before : 0;
}
