/* limiter_window: how many requests at once: additive increase while throughput rises, multiplicative decrease. Pure, private to
 * src/net. */
#ifndef NET_LIMITER_WINDOW_H
#define NET_LIMITER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct limiter_window {
    double limit;
    int max, start;
    bool quick;    /* nothing has spoken against growth yet */
    bool filled;   /* the limit was reached in this window: it may be what holds us up */
    bool rising;   /* the limit has just been raised: is the throughput higher? */
    double before; /* work per millisecond before it was */
    double step;   /* by how much it was */
    int rest;      /* windows to go before growth is tried again */
    int resting;   /* how many it was at last */
    int64_t began_ms;
    int64_t ended; /* requests of this window */
    double work;   /* of this window: bytes, and a fixed price for each request */
};

void limiter_window_init(struct limiter_window *w, int start, int max);
bool limiter_window_has_room(struct limiter_window *w, int under_way);
void limiter_window_success(struct limiter_window *w, uint64_t bytes, int64_t now_ms);
/* At most once a round trip; not below `least`, which the pace that was learned needs. */
void limiter_window_decrease(struct limiter_window *w, double least, int64_t now_ms);
void limiter_window_restart(struct limiter_window *w,
                            int64_t now_ms); /* few again, and quick growth */

#endif
