/* limiter: how many requests may be under way, and how fast they may begin: AIMD concurrency, a pace learned from the server's
 * refusals, a pause on Retry-After, a pause between two writes of one key, and a circuit breaker for an endpoint that answers
 * nobody. Decides only: it reads no clock (now_ms is monotonic and passed in), sleeps never and sends nothing. One object is shared
 * by all event loops of a process: every call is thread-safe and short.
 *
 *     struct limiter *l;  limiter_new(&l, &(struct limiter_options){.max = 64}, e);
 *     limiter_join(l, &client);                                        (one client per event loop)
 *     if (limiter_admit(l, &client, &ticket, now, &wait_ms) == LIMITER_GO) … send …
 *     … answer …;  limiter_done(l, &client, &ticket, &(struct limiter_report){…}, now);
 *     limiter_leave(l, &client);  limiter_free(l);
 */
#ifndef BLOBFERRY_NET_LIMITER_H
#define BLOBFERRY_NET_LIMITER_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests under way at once, as far as their number may grow by itself. */
#define LIMITER_MAX 128

struct limiter_options {
    int max;   /* requests under way at once; 0: LIMITER_MAX */
    int start; /* … to begin with; 0: 16, at most max */
    int64_t
        key_spacing_ms; /* least time between the beginnings of two writes of one key; 0: none (R2: 1000) */
    int silent_keys; /* the breaker opens when requests for so many different keys in a row got no answer; 0: 4 */
    int64_t dead_ms; /* … and after so long without any answer the endpoint is dead; 0: 30 s */
};

struct limiter;
enum err_code limiter_new(struct limiter **out, const struct limiter_options *o, struct err *e);
struct limiter *limiter_share(struct limiter *l); /* one more owner; returns l */
void limiter_free(struct limiter *l);             /* the last owner frees; NULL is harmless */

/* An event loop's share; private to the limiter. */
struct limiter_client {
    int under_way;
    bool waiting;
    struct limiter_client *next;
};
void limiter_join(struct limiter *l, struct limiter_client *c);
void limiter_leave(struct limiter *l, struct limiter_client *c);
int limiter_clients(struct limiter *l); /* that have joined */
/* Does this loop have requests that wait for admission? While it has, no other one takes more than an equal share. */
void limiter_waiting(struct limiter *l, struct limiter_client *c, bool waiting);

struct limiter_ticket {
    uint64_t key; /* limiter_key(); 0: of no object */
    bool writes;  /* makes, replaces or removes the object */
    /* the limiter's own */
    bool probe;
    uint64_t epoch;
    int64_t admitted_ms;
};
uint64_t limiter_key(const char *key); /* a hash, never 0 for a key; NULL: 0 */

enum limiter_verdict {
    LIMITER_GO,   /* send it; limiter_done must follow */
    LIMITER_WAIT, /* nothing may be sent now: ask again after *wait_ms, or when a request has ended */
    LIMITER_WAIT_KEY, /* not this one yet; others may */
    LIMITER_DEAD      /* the endpoint has not answered for dead_ms: give up */
};
enum limiter_verdict limiter_admit(struct limiter *l, struct limiter_client *c,
                                   struct limiter_ticket *t, int64_t now_ms, int64_t *wait_ms);

enum limiter_outcome {
    LIMITER_ANSWERED,  /* whatever it said */
    LIMITER_THROTTLED, /* 429, SlowDown: nothing was done, too fast */
    LIMITER_OVERLOAD,  /* 503 and the like: trouble over there, which fewer requests may ease */
    LIMITER_SILENT,    /* no status at all: refused, timed out, broken off */
    LIMITER_UNSENT     /* cancelled, or a fault of our own: says nothing of the server */
};
struct limiter_report {
    enum limiter_outcome outcome;
    int64_t retry_after_ms; /* as asked for, 0 none; no new request begins before */
    uint64_t bytes;         /* moved either way */
};
/* Returns true when the request is to be sent again without counting as one of its attempts: it was a probe of an endpoint that
 * does not answer anybody, or it was throttled. */
bool limiter_done(struct limiter *l, struct limiter_client *c, const struct limiter_ticket *t,
                  const struct limiter_report *r, int64_t now_ms);

/* For reports and tests. */
enum limiter_circuit { LIMITER_CLOSED, LIMITER_OPEN, LIMITER_HALF_OPEN };
struct limiter_state {
    int limit; /* requests that may be under way */
    int under_way;
    double per_second; /* 0: no pace was learned */
    enum limiter_circuit circuit;
    uint64_t throttled; /* requests, in all */
    int64_t paused_until_ms;
};
void limiter_look(struct limiter *l, struct limiter_state *out);

#endif
