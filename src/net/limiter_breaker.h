/* limiter_breaker: a circuit breaker for an endpoint that answers nobody. Pure, private to src/net.
 *
 *     closed --(several keys in a row without an answer)--> open --(after a while)--> half-open: one probe
 *     half-open --(an answer)--> closed;  half-open --(none)--> open, a longer while;  not closed for dead_ms: dead */
#ifndef NET_LIMITER_BREAKER_H
#define NET_LIMITER_BREAKER_H

#include "blobferry/net/limiter.h"

#define LIMITER_BREAKER_KEYS 16

struct limiter_breaker {
    enum limiter_circuit circuit;
    int keys_max;
    int64_t dead_ms;
    uint64_t keys[LIMITER_BREAKER_KEYS]; /* of silent requests in a row, each once */
    int count;
    int64_t opened_ms; /* when it was closed last */
    int64_t next_probe_ms, pause_ms;
};

void limiter_breaker_init(struct limiter_breaker *b, int silent_keys, int64_t dead_ms);
/* GO (*probe: this one decides), WAIT or DEAD. */
enum limiter_verdict limiter_breaker_admit(struct limiter_breaker *b, bool *probe, int64_t now_ms,
                                           int64_t *wait_ms);
void limiter_breaker_answered(struct limiter_breaker *b); /* by anybody, whatever it said */
void limiter_breaker_silent(struct limiter_breaker *b, uint64_t key, bool probe, int64_t now_ms);
void limiter_breaker_unsent(struct limiter_breaker *b, bool probe, int64_t now_ms);

#endif
