/* One lane: rows in, transfers on, outcomes out. */
#include "engine/migrate_lane.h"

#include "blobferry/base/clock.h"
#include "engine/migrate_job.h"

#include <time.h>

#define HASH_PER_TURN                                                                              \
    ((uint64_t)8 << 20) /* bytes read and hashed between two looks at the network */
#define TAKE_MAX 16     /* rows taken between two looks at it */
#define TURN_MS  200    /* longest wait: leases and orders are looked at, whatever else fails */
#define ABORT_MS 1200   /* for aborting uploads in parts when the run stops */

/* ---- rows in ------------------------------------------------------------------------------------------------ */

/* Few rows are shared out, so that one lane does not take all the big files while another one starts. */
static size_t share_of(const struct migrate_lane *l)
{
    const struct migrate_desk *d = &l->j->desk;
    const size_t n = d->in_flight + atomic_load(&d->waiting), lanes = l->j->lane_count;
    const size_t allowed = atomic_load(&l->allowed), share = (n + lanes - 1) / lanes;

    return share < allowed ? share : allowed;
}

static void take_rows(struct migrate_lane *l)
{
    struct migrate_desk *d = &l->j->desk;
    struct migrate_page *pages[TAKE_MAX];
    const struct record *rows[TAKE_MAX];
    size_t n = 0;

    l->t.hash_budget = HASH_PER_TURN;
    if (l->busy >= atomic_load(&l->allowed))
        return;
    pthread_mutex_lock(&d->lock);
    while (d->order <= MIGRATE_DRAIN && n < TAKE_MAX && l->busy + n < share_of(l)) {
        rows[n] = migrate_claim_next(l->j, &pages[n]);
        if (rows[n] == NULL)
            break;
        d->in_flight++;
        n++;
    }
    l->hungry = n < TAKE_MAX;
    if (migrate_claim_waiting(l->j) < d->hunger_below)
        pthread_cond_signal(&d->hunger);
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < n; i++) {
        struct transfer *t = &l->slots[l->free_slots[l->slot_count - 1 - l->busy]];
        transfer_begin(t, &l->t, pages[i], rows[i]);
        l->busy++;
    }
}

/* ---- transfers on ------------------------------------------------------------------------------------------- */

/* The first two files that are being hashed. */
static void hash_two(struct migrate_lane *l)
{
    struct transfer *first = NULL;

    for (size_t i = 0; i < l->slot_count; i++) {
        struct transfer *t = &l->slots[i];

        if (t->r == NULL || !t->hashing || t->ended)
            continue;
        if (first != NULL) {
            transfer_hash_two(first, t);
            break;
        }
        first = t;
    }
}

static void step(struct migrate_lane *l)
{
    const bool stopping = l->j->desk.order >= MIGRATE_STOP;
    const int64_t now = clock_mono_ms();

    if (!stopping)
        hash_two(l);
    for (size_t i = 0; i < l->slot_count; i++) {
        struct transfer *t = &l->slots[i];

        if (t->r == NULL || t->ended || t->waiting)
            continue;
        if (stopping && (t->hashing || t->wake_ms > now))
            transfer_cancel(t); /* nothing is under way for it */
        else if (t->wake_ms <= now && t->then != NULL)
            t->then(t);
    }
}

/* ---- outcomes out ------------------------------------------------------------------------------------------- */

static void tell_fatal(struct migrate_lane *l)
{
    if (l->t.fatal.code == ERR_OK || l->fatal_told)
        return;
    if (l->j->desk.fatal.code == ERR_OK)
        l->j->desk.fatal = l->t.fatal;
    l->fatal_told = true;
}

/* What has ended, as far as there is room for it: the others keep their slots until the main thread has come by. `last`: it comes
 * once more, to a desk that has room for all. */
static void hand_over(struct migrate_lane *l, bool last)
{
    struct migrate_desk *d = &l->j->desk;
    const size_t room = last ? d->out_max : d->out_max - l->j->slot_total;
    size_t ended[TAKE_MAX], n, whole = 0;

    do {
        n = 0;
        for (size_t i = 0; i < l->slot_count && n < TAKE_MAX; i++) {
            if (l->slots[i].r != NULL && l->slots[i].ended)
                ended[n++] = i;
        }
        if (n == 0 && (l->t.fatal.code == ERR_OK || l->fatal_told))
            break;
        pthread_mutex_lock(&d->lock);
        n = n < room - d->out_len ? n : room - d->out_len;
        for (size_t i = 0; i < n; i++)
            d->out[d->out_len++] = l->slots[ended[i]].outcome;
        d->in_flight -= n;
        tell_fatal(l);
        if (d->listening && (d->out_len >= d->many || d->fatal.code != ERR_OK ||
                             migrate_claim_waiting(l->j) < d->low || d->in_flight == 0))
            pthread_cond_signal(&d->news);
        pthread_mutex_unlock(&d->lock);
        for (size_t i = 0; i < n; i++) {
            transfer_free(&l->slots[ended[i]]);
            l->busy--;
            l->free_slots[l->slot_count - 1 - l->busy] = ended[i];
        }
    } while (n == TAKE_MAX);
    for (size_t i = 0; i < l->slot_count; i++)
        whole += l->slots[i].r != NULL && l->slots[i].layout.part_size == 0;
    atomic_store(&l->whole, whole);
}

static void publish_bytes(struct migrate_lane *l)
{
    struct objstore_requests r;

    objstore_requests(l->t.store, &r);
    atomic_store(&l->bytes_sent, r.bytes_sent);
}

/* ---- a turn -------------------------------------------------------------------------------------------------- */

void migrate_lane_work(struct migrate_lane *l)
{
    take_rows(l);
    step(l);
    hand_over(l, false);
    publish_bytes(l);
}

int migrate_lane_patience(const struct migrate_lane *l, int ms)
{
    const int64_t now = clock_mono_ms();

    for (size_t i = 0; i < l->slot_count && ms > 0; i++) {
        const struct transfer *t = &l->slots[i];

        if (t->r == NULL || t->waiting || t->ended)
            continue;
        if (t->wake_ms > now)
            ms = t->wake_ms - now < ms ? (int)(t->wake_ms - now) : ms;
        else
            ms = 0; /* it has something to do */
    }
    return ms;
}

/* Rows, or an order: for a lane with nothing under way. */
static void rest(struct migrate_lane *l)
{
    struct migrate_desk *d = &l->j->desk;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&d->lock);
    if (d->order == MIGRATE_RUN && (d->waiting == 0 || share_of(l) == 0))
        pthread_cond_timedwait(&d->more, &d->lock, &until);
    pthread_mutex_unlock(&d->lock);
}

static void wait_for_network(struct migrate_lane *l)
{
    int ms = TURN_MS;
    struct err e;

    for (size_t i = 0; i < l->slot_count; i++) {
        if (l->slots[i].r != NULL && l->slots[i].ended)
            ms = 5; /* no room for its outcome just now */
    }
    ms = migrate_lane_patience(l, ms);
    if (!l->hungry && l->busy < atomic_load(&l->allowed))
        ms = 0; /* there may be more rows */
    err_init(&e);
    if (objstore_active(l->t.store) == 0) {
        if (ms > 0)
            nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
    } else if (objstore_run(l->t.store, ms, &e) != ERR_OK && l->t.fatal.code == ERR_OK) {
        l->t.fatal = e;
    }
}

void migrate_lane_abandon(struct migrate_lane *l)
{
    objstore_cancel_all(l->t.store);
    for (int i = 0; i < 100 && objstore_active(l->t.store) > 0; i++) {
        if (objstore_run(l->t.store, 10, NULL) != ERR_OK)
            break;
    }
    for (size_t i = 0; i < l->slot_count; i++) {
        if (l->slots[i].r != NULL)
            transfer_cancel(&l->slots[i]);
    }
    recover_abort(&l->t, l->slots, l->slot_count, ABORT_MS);
    hand_over(l, true);
}

void *migrate_lane_main(void *lane)
{
    struct migrate_lane *l = lane;
    struct migrate_desk *d = &l->j->desk;

    for (;;) {
        const int order = d->order;

        if (order == MIGRATE_ABANDON) {
            migrate_lane_abandon(l);
            break;
        }
        migrate_lane_work(l);
        if (l->busy > 0)
            wait_for_network(l);
        else if (order >= MIGRATE_HALT || (order == MIGRATE_DRAIN && d->waiting == 0))
            break;
        else
            rest(l);
    }
    return NULL;
}
