/* limiter_keys: when each key may be written to again (R2: one write a second). Bounded; private to src/net. */
#ifndef NET_LIMITER_KEYS_H
#define NET_LIMITER_KEYS_H

#include <stdint.h>

struct limiter_keys;
struct limiter_keys *limiter_keys_new(void); /* NULL: out of memory */
void limiter_keys_free(struct limiter_keys *k);
/* Milliseconds until this key may be written to; 0: now. */
int64_t limiter_keys_wait_ms(const struct limiter_keys *k, uint64_t key, int64_t now_ms);
/* A write begins: the next one not before until_ms. Where too many keys are remembered, the one that is free soonest is
 * forgotten: its next write may come too early, and is then refused by the server and repeated. */
void limiter_keys_block(struct limiter_keys *k, uint64_t key, int64_t until_ms, int64_t now_ms);

#endif
