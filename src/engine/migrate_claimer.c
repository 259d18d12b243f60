/* The claimer: a thread that claims the next pages by a tracker of its own, while the main thread writes results by the other. Only where
 * the database has room for two that write (tracker_side_by_side), and only for work of more than a page. Its claims are those of the
 * main thread, which hands them over once and makes none itself from then on. */
#include "engine/migrate_job.h"

#include "blobferry/base/clock.h"
#include "engine/thread.h"

#define NAP_NS 200000000

/* Until lanes are running out of rows; false: there is nothing more to claim. Under the lock. */
static bool wait_for_hunger(struct migrate_job *j)
{
    struct migrate_desk *d = &j->desk;
    struct migrate_claimer *c = &j->claimer;

    while (!c->quit && d->order == MIGRATE_RUN && !j->exhausted &&
           (c->state != CLAIMER_CLAIMS || migrate_claim_waiting(j) >= j->low)) {
        const int64_t until = clock_mono_ns() + NAP_NS;

        d->hunger_below = c->state == CLAIMER_CLAIMS ? j->low : 0;
        pthread_cond_timedwait(
            &d->hunger, &d->lock,
            &(struct timespec){.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000});
    }
    d->hunger_below = 0;
    return !c->quit && d->order == MIGRATE_RUN && !j->exhausted;
}

static void *claim(void *job)
{
    struct migrate_job *j = job;
    struct migrate_claimer *c = &j->claimer;
    struct err e;

    err_init(&e);
    /* without a second connection everything is as right, and slower */
    if (c->tracker == NULL && j->g->tracker_open(j->g->tracker_user, &c->tracker, &e) != ERR_OK) {
        c->state = CLAIMER_ABSENT;
        return NULL;
    }
    c->state = CLAIMER_READY;
    pthread_mutex_lock(&j->desk.lock);
    while (wait_for_hunger(j)) {
        pthread_mutex_unlock(&j->desk.lock);
        const enum err_code code = migrate_claim_page(j, c->tracker, &e);
        pthread_mutex_lock(&j->desk.lock);
        if (code != ERR_OK)
            break;
    }
    pthread_mutex_unlock(&j->desk.lock);
    if (e.code != ERR_OK)
        migrate_lanes_fail(j, &e);
    else
        migrate_lanes_tell(j);
    return NULL;
}

bool migrate_claimer_claims(struct migrate_job *j)
{
    struct migrate_claimer *c = &j->claimer;

    if (c->state == CLAIMER_READY) {
        pthread_mutex_lock(&j->desk.lock);
        c->state = CLAIMER_CLAIMS;
        pthread_cond_signal(&j->desk.hunger);
        pthread_mutex_unlock(&j->desk.lock);
    }
    return c->state == CLAIMER_CLAIMS;
}

bool migrate_claimer_busy(const struct migrate_job *j)
{
    return j->claimer.state == CLAIMER_CLAIMS && !j->exhausted;
}

void migrate_claimer_start(struct migrate_job *j)
{
    struct migrate_claimer *c = &j->claimer;

    if (j->g->tracker_open == NULL || j->lane_count == 1 || c->state != CLAIMER_NONE)
        return;
    c->quit = false;
    c->state = CLAIMER_OPENS;
    c->running = thread_start(&c->thread, claim, j) == 0;
    if (!c->running)
        c->state = CLAIMER_ABSENT;
}

void migrate_claimer_stop(struct migrate_job *j)
{
    struct migrate_claimer *c = &j->claimer;

    if (!c->running)
        return;
    pthread_mutex_lock(&j->desk.lock);
    c->quit = true;
    pthread_cond_signal(&j->desk.hunger);
    pthread_mutex_unlock(&j->desk.lock);
    pthread_join(c->thread, NULL);
    c->running = false;
    if (c->state != CLAIMER_ABSENT)
        c->state = CLAIMER_NONE;
}

void migrate_claimer_close(struct migrate_job *j)
{
    tracker_close(j->claimer.tracker);
    j->claimer.tracker = NULL;
}
