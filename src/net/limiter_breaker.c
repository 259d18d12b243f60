#include "limiter_breaker.h"

#include <string.h>

#define PAUSE_MIN_MS 250
#define PAUSE_MAX_MS 5000
#define PROBED_MS    50

void limiter_breaker_init(struct limiter_breaker *b, int silent_keys, int64_t dead_ms)
{
    memset(b, 0, sizeof *b);
    b->keys_max = silent_keys < 1                      ? 1
                  : silent_keys > LIMITER_BREAKER_KEYS ? LIMITER_BREAKER_KEYS
                                                       : silent_keys;
    b->dead_ms = dead_ms;
}

static void open_circuit(struct limiter_breaker *b, int64_t now_ms)
{
    b->pause_ms = b->circuit == LIMITER_CLOSED     ? PAUSE_MIN_MS
                  : b->pause_ms * 2 < PAUSE_MAX_MS ? b->pause_ms * 2
                                                   : PAUSE_MAX_MS;
    b->circuit = LIMITER_OPEN;
    b->next_probe_ms = now_ms + b->pause_ms;
}

enum limiter_verdict limiter_breaker_admit(struct limiter_breaker *b, bool *probe, int64_t now_ms,
                                           int64_t *wait_ms)
{
    const int64_t left = b->opened_ms + b->dead_ms - now_ms;

    *probe = false;
    *wait_ms = 0;
    if (b->circuit == LIMITER_CLOSED)
        return LIMITER_GO;
    if (left <= 0)
        return LIMITER_DEAD; /* a probe that is still under way may bring it back to life */
    if (b->circuit ==
        LIMITER_HALF_OPEN) { /* the probe may be another loop's, whose answer wakes nobody here */
        *wait_ms = left < PROBED_MS ? left : PROBED_MS;
        return LIMITER_WAIT;
    }
    if (now_ms < b->next_probe_ms) {
        *wait_ms = b->next_probe_ms - now_ms < left ? b->next_probe_ms - now_ms : left;
        return LIMITER_WAIT;
    }
    b->circuit = LIMITER_HALF_OPEN;
    *probe = true;
    return LIMITER_GO;
}

void limiter_breaker_answered(struct limiter_breaker *b)
{
    b->circuit = LIMITER_CLOSED;
    b->count = 0;
}

static bool is_new(struct limiter_breaker *b, uint64_t key)
{
    for (int i = 0; i < b->count; i++) {
        if (b->keys[i] == key)
            return false;
    }
    return true;
}

void limiter_breaker_silent(struct limiter_breaker *b, uint64_t key, bool probe, int64_t now_ms)
{
    if (b->circuit != LIMITER_CLOSED) {
        if (probe)
            open_circuit(b, now_ms);
        return;
    }
    if (is_new(b, key))
        b->keys[b->count++] = key;
    if (b->count < b->keys_max)
        return;
    b->opened_ms = now_ms;
    open_circuit(b, now_ms);
}

void limiter_breaker_unsent(struct limiter_breaker *b, bool probe, int64_t now_ms)
{
    if (!probe || b->circuit != LIMITER_HALF_OPEN)
        return;
    b->circuit = LIMITER_OPEN; /* it was no probe after all: the next one is */
    b->next_probe_ms = now_ms;
}
