/* migrate_lane: an event loop that moves files. It has a store, slots and a hash budget of its own and shares two things with the
 * others: the queue of claimed rows, and the way out for what became of them. The main thread claims, writes audit lines and
 * results, and looks at signals; the lanes read, hash and send.
 *
 *     migrate_lanes_open(&j, e);                   (once: how many, their stores)
 *     migrate_lanes_start(&j, e);                  (per window; a single lane has no thread and is driven by the caller)
 *     … migrate_lanes_offer, migrate_lanes_gather, migrate_lanes_wait …
 *     migrate_lanes_order(&j, MIGRATE_DRAIN);  migrate_lanes_join(&j);
 *     migrate_lanes_close(&j);
 */
#ifndef BLOBFERRY_SRC_ENGINE_MIGRATE_LANE_H
#define BLOBFERRY_SRC_ENGINE_MIGRATE_LANE_H

#include "engine/results.h"
#include "engine/transfer.h"

#include <pthread.h>
#include <stdatomic.h>

#define MIGRATE_LANES_MAX 16

struct migrate_job;

/* What the lanes are to do; only ever goes up, until the next start. */
enum migrate_order {
    MIGRATE_RUN,    /* take rows */
    MIGRATE_DRAIN,  /* … and end when there are none */
    MIGRATE_HALT,   /* no new rows: end what is under way */
    MIGRATE_STOP,   /* a signal: … and let go of what is not on its way to the store yet */
    MIGRATE_ABANDON /* cancel everything */
};

/* Between the main thread and the lanes; all of it under `lock` unless it is atomic. */
struct migrate_desk {
    pthread_mutex_t lock;
    pthread_cond_t more;   /* lanes: rows, or another order */
    pthread_cond_t ahead;  /* the prefetcher: to end */
    pthread_cond_t hunger; /* the claimer: rows are running out, or to end */
    pthread_cond_t news;   /* main: outcomes, or rows are running out */
    bool ready;            /* those above are to be destroyed */
    _Atomic int order;
    atomic_size_t coming;  /* claimed rows whose intents are not durable yet */
    atomic_size_t waiting; /* claimed rows that no lane has taken; written under the lock */
    size_t in_flight;      /* taken, and their outcome not handed over yet */
    struct outcome *out;   /* handed over, not gathered yet */
    size_t out_len, out_max;
    size_t hunger_below; /* with fewer rows waiting the claimer wants to know */
    size_t low;          /* with fewer rows waiting the main thread wants to know … */
    size_t many;         /* … or with so many outcomes */
    bool listening;      /* it waits for news */
    bool no_prefetch;
    struct transfer_cold cold;
    struct err fatal;            /* of the first thread that cannot go on */
    struct transfer_books books; /* the main thread's, and for a moment a lane's */
};

struct migrate_lane {
    struct transfer_lane t;
    struct migrate_job *j;
    struct transfer *slots;
    size_t *free_slots; /* numbers of those that are free */
    size_t slot_count, busy;
    /* Most files that may be under way here now, at most slot_count: a limiter's word. */
    atomic_size_t allowed;
    bool own_store;
    pthread_t thread;
    bool running;       /* there is a thread */
    atomic_bool hungry; /* has room and found no row; written under the desk's lock */
    bool fatal_told;
    atomic_size_t whole;         /* busy with files that do not go in parts */
    _Atomic uint64_t bytes_sent; /* over the wire, by its store */
};

enum err_code migrate_lanes_open(struct migrate_job *j, struct err *e);
void migrate_lanes_close(struct migrate_job *j);
enum err_code migrate_lanes_start(struct migrate_job *j, struct err *e);
/* Returns when every lane has ended what it was to end. */
void migrate_lanes_join(struct migrate_job *j);
void migrate_lanes_order(struct migrate_job *j, enum migrate_order order);
/* Rows have come: whoever has room takes them. */
void migrate_lanes_wake(struct migrate_job *j);
/* As many files under way as the store's limiter lets requests be, and a few that wait for it: what is read and not sent only
 * takes memory. */
void migrate_lanes_allow(struct migrate_job *j);
/* One turn of a lane that has no thread. */
void migrate_lanes_turn(struct migrate_job *j);
/* Outcomes that were handed over: at most `max` into `to`, returns how many. */
size_t migrate_lanes_gather(struct migrate_job *j, struct outcome *to, size_t max);
/* For news, at most ms: outcomes, a fault, or fewer than `low` rows left to take. */
void migrate_lanes_wait(struct migrate_job *j, int ms, size_t low);
/* The fault of a lane, or of another thread, after which nothing goes on. */
enum err_code migrate_lanes_fault(struct migrate_job *j, struct err *e);
void migrate_lanes_fail(struct migrate_job *j,
                        const struct err *e); /* … is this; the first counts */
/* The main thread is to look again. As results.told. */
void migrate_lanes_tell(void *job);
/* After abandon: transfers that could not be handed over, and what was never gathered. */
void migrate_lanes_forget(struct migrate_job *j);
bool migrate_lanes_idle(struct migrate_job *j); /* nothing under way, nothing to gather */
bool migrate_lanes_only_parts(const struct migrate_job *j);
uint64_t migrate_lanes_bytes(const struct migrate_job *j);

/* ---- migrate_prefetch.c */
void migrate_prefetch_start(struct migrate_job *j);
void migrate_prefetch_stop(struct migrate_job *j);

/* ---- migrate_lane.c: what a lane does in a turn */
void migrate_lane_work(struct migrate_lane *l); /* rows in, transfers on, outcomes out */
int migrate_lane_patience(const struct migrate_lane *l, int ms);
void migrate_lane_abandon(struct migrate_lane *l);
void *migrate_lane_main(void *lane);

#endif
