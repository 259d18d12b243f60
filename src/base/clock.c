/* clock: time and randomness. No lock anywhere, so that all of it may be called from any thread. */
#include "blobferry/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static _Atomic int64_t fixed_wall_ms = -1;
static _Atomic int64_t skew_ms;
static _Atomic uint64_t last_uuid; /* 48 bits of milliseconds, 12 bits of counter */

static int64_t read_clock_ns(clockid_t id)
{
    struct timespec ts = {0};
    clock_gettime(id, &ts); /* cannot fail for these clocks */
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_wall_ms(void)
{
    const int64_t fixed = atomic_load(&fixed_wall_ms);
    if (fixed >= 0)
        return fixed;
    return read_clock_ns(CLOCK_REALTIME) / 1000000 + atomic_load(&skew_ms);
}

void clock_adopt_skew_ms(int64_t ms)
{
    atomic_store(&skew_ms, ms);
}

int64_t clock_mono_ms(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t clock_mono_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

void clock_set_wall_for_tests(int64_t ms)
{
    atomic_store(&fixed_wall_ms, ms);
}

void clock_random(void *dst, size_t n)
{
    unsigned char *p = dst;

    while (n > 0) {
        const ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* a predictable id or token would be worse than no process */
        p += got;
        n -= (size_t)got;
    }
}

/* RFC 9562 section 6.2, method 1: the counter starts at random with its top bit clear, counts up
 * within a millisecond, and borrows from the next one when it is full or the clock went back. */
static uint64_t next_stamp(uint64_t seed)
{
    const int64_t wall = clock_wall_ms();
    const uint64_t ms = wall > 0 ? (uint64_t)wall & UINT64_C(0xFFFFFFFFFFFF) : 0;
    const uint64_t fresh = ms << 12 | (seed & 0x7FF);
    uint64_t last = atomic_load(&last_uuid);
    uint64_t next;

    do {
        next = fresh > last ? fresh : last + 1;
    } while (!atomic_compare_exchange_weak(&last_uuid, &last, next));
    return next;
}

void clock_uuid(char dst[CLOCK_UUID_SIZE])
{
    uint64_t random[2];

    clock_random(random, sizeof random);
    const uint64_t stamp = next_stamp(random[0]);
    snprintf(dst, CLOCK_UUID_SIZE,
             "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
             stamp >> 28 & 0xFFFFFFFF, stamp >> 12 & 0xFFFF, stamp & 0xFFF,
             (random[0] >> 16 & 0x3FFF) | 0x8000, random[1] & UINT64_C(0xFFFFFFFFFFFF));
}
