/* limiter_pace: requests per second, learned from refusals, private to src/net. Unlimited until the server first says "too
 * fast"; then the rate that its successes prove, and slowly more. Pure. */
#ifndef NET_LIMITER_PACE_H
#define NET_LIMITER_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITER_PACE_SLOTS 20 /* of 50 ms each: the last second */

struct limiter_pace {
    bool on;
    double rate;    /* requests per second */
    double ceiling; /* the rate at which the server refused; 0: not known yet */
    double tokens;
    bool first;       /* one refusal so far: what was taken at once is still being counted */
    bool rested;      /* since_ms is the end of a pause: the server has saved up its burst again */
    double burst;     /* what the server takes at once, when it has been left alone */
    int64_t burst_ms; /* how long it took for that */
    int64_t last_ms;  /* the last success */
    double salvo;     /* what is sent at once after a pause, if the burst is large */
    double taken;     /* successes since since_ms */
    int64_t counted_ms; /* when tokens were counted */
    int64_t grown_ms;   /* when the rate was changed */
    int64_t hold_ms;    /* how long to stay below the ceiling before it is tried again */
    int64_t held_ms;    /* since when */
    int64_t first_ms;   /* the first success; -1 none */
    int64_t since_ms;   /* the rate was last lowered, or a pause has ended */
    struct {
        int64_t slot; /* number of the 50 ms */
        int64_t n;
    } ring[LIMITER_PACE_SLOTS];
};

void limiter_pace_init(struct limiter_pace *p);
/* Milliseconds until the next request may begin; 0: now. */
int64_t limiter_pace_wait_ms(struct limiter_pace *p, int64_t now_ms);
void limiter_pace_take(struct limiter_pace *p); /* a request begins */
void limiter_pace_success(struct limiter_pace *p, int64_t now_ms);
/* The server refused; at most once a round trip. */
void limiter_pace_slower(struct limiter_pace *p, int64_t now_ms);

/* Nothing begins before until_ms: no measure of what the server takes. */
void limiter_pace_pause(struct limiter_pace *p, int64_t until_ms);

#endif
