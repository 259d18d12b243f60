#include "blobferry/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static atomic_llong fixed_wall_ms = -1;

static int64_t read_clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_wall_ms(void)
{
    long long fixed = atomic_load(&fixed_wall_ms);
    return fixed >= 0 ? (int64_t)fixed : read_clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t clock_mono_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

void clock_set_wall_for_tests(int64_t ms)
{
    atomic_store(&fixed_wall_ms, ms);
}

void clock_random(void *dst, size_t n)
{
    unsigned char *p = dst;

    while (n > 0) {
        ssize_t k = getrandom(p, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            abort();
        p += k;
        n -= (size_t)k;
    }
}

void clock_uuid(char dst[CLOCK_UUID_SIZE])
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int64_t last_ms;
    static unsigned counter; /* 12 bits: rand_a as a counter (RFC 9562 6.2, method 1) */
    unsigned char r[8];
    int64_t now = clock_wall_ms();
    unsigned sequence;

    clock_random(r, sizeof r);
    pthread_mutex_lock(&lock);
    if (now > last_ms) {
        last_ms = now;
        counter = r[0] & 0x7fu; /* room above it for the rest of the millisecond */
    } else if (++counter > 0xfff) {
        last_ms++; /* time runs ahead rather than back */
        counter = 0;
    }
    now = last_ms;
    sequence = counter;
    pthread_mutex_unlock(&lock);
    snprintf(dst, CLOCK_UUID_SIZE, "%08x-%04x-7%03x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             (unsigned)((uint64_t)now >> 16 & 0xffffffffu), (unsigned)(now & 0xffff), sequence,
             (r[0] & 0x3fu) | 0x80u, r[1], r[2], r[3], r[4], r[5], r[6], r[7]);
}
