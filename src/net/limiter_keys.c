#include "limiter_keys.h"

#include <stddef.h>
#include <stdlib.h>

#define BUCKETS 512
#define WAYS    8

struct limiter_keys {
    struct {
        uint64_t key; /* 0: free */
        int64_t until_ms;
    } at[BUCKETS][WAYS];
};

struct limiter_keys *limiter_keys_new(void)
{
    return calloc(1, sizeof(struct limiter_keys));
}

void limiter_keys_free(struct limiter_keys *k)
{
    free(k);
}

int64_t limiter_keys_wait_ms(const struct limiter_keys *k, uint64_t key, int64_t now_ms)
{
    const size_t b = (size_t)(key % BUCKETS);

    for (size_t i = 0; i < WAYS; i++) {
        if (k->at[b][i].key == key && k->at[b][i].until_ms > now_ms)
            return k->at[b][i].until_ms - now_ms;
    }
    return 0;
}

void limiter_keys_block(struct limiter_keys *k, uint64_t key, int64_t until_ms, int64_t now_ms)
{
    const size_t b = (size_t)(key % BUCKETS);
    size_t best = 0;

    for (size_t i = 0; i < WAYS; i++) {
        if (k->at[b][i].key == key) {
            best = i;
            break;
        }
        if (k->at[b][i].until_ms < k->at[b][best].until_ms)
            best = i;
    }
    if (until_ms <= now_ms)
        return;
    k->at[b][best].key = key;
    k->at[b][best].until_ms = until_ms;
}
