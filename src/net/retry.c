#include "blobferry/net/retry.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stddef.h>

#define MAX_RETRIES_DEFAULT 3
#define BASE_MS_DEFAULT     100
#define CAP_MS_DEFAULT      20000
#define DEADLINE_MS_DEFAULT 300000
#define SECOND_MS           1000

static uint64_t real_random(void)
{
    uint64_t v;

    clock_random(&v, sizeof v);
    return v;
}

static uint64_t (*random_source)(void) = real_random;

void retry_set_random_for_tests(uint64_t (*fn)(void))
{
    random_source = fn != NULL ? fn : real_random;
}

void retry_defaults(struct retry_policy *p)
{
    *p = (struct retry_policy){.max_retries = MAX_RETRIES_DEFAULT,
                               .base_ms = BASE_MS_DEFAULT,
                               .cap_ms = CAP_MS_DEFAULT,
                               .deadline_ms = DEADLINE_MS_DEFAULT};
}

/* base * 2^doublings, at most cap. */
static int64_t ceiling(int64_t base_ms, int64_t cap_ms, int doublings)
{
    int64_t v = base_ms;

    while (doublings-- > 0 && v < cap_ms)
        v = v > cap_ms / 2 ? cap_ms : v * 2;
    return v < cap_ms ? v : cap_ms;
}

/* Uniform in [0, limit]. */
static int64_t jitter(int64_t limit)
{
    return (int64_t)(random_source() % ((uint64_t)limit + 1));
}

int64_t retry_after_ms(const char *retry_after, int64_t now_wall_ms, int64_t cap_ms)
{
    uint64_t seconds;
    int64_t at_ms;
    bool digits = !str_empty(retry_after);

    for (const char *p = retry_after; digits && *p != '\0'; p++)
        digits = *p >= '0' && *p <= '9';
    if (digits) { /* too many of them is a long time, not garbage */
        const bool fits = str_to_u64(retry_after, &seconds);
        return fits && seconds < (uint64_t)(cap_ms / SECOND_MS) ? (int64_t)seconds * SECOND_MS
                                                                : cap_ms;
    }
    if (str_empty(retry_after) || !timefmt_parse_http(retry_after, &at_ms) || at_ms <= now_wall_ms)
        return 0;
    return at_ms - now_wall_ms < cap_ms ? at_ms - now_wall_ms : cap_ms;
}

bool retry_next(const struct retry_policy *p, const struct retry_state *s, int64_t now_mono_ms,
                int64_t now_wall_ms, const char *retry_after, int64_t *delay_ms)
{
    const int64_t base = p->base_ms > 0 ? p->base_ms : BASE_MS_DEFAULT;
    const int64_t cap = p->cap_ms > 0 ? p->cap_ms : CAP_MS_DEFAULT;
    const int64_t deadline = p->deadline_ms > 0 ? p->deadline_ms : DEADLINE_MS_DEFAULT;
    const int64_t elapsed = now_mono_ms > s->started_ms ? now_mono_ms - s->started_ms : 0;
    const int doublings = s->attempts > 0 ? s->attempts - 1 : 0;
    int64_t delay, least;

    *delay_ms = 0;
    if (s->attempts > p->max_retries)
        return false;
    delay = jitter(ceiling(base, cap, doublings));
    least = retry_after_ms(retry_after, now_wall_ms, cap);
    if (delay < least)
        delay = least;
    if (elapsed >= deadline || delay > deadline - elapsed)
        return false; /* it would begin too late: say so now instead of waiting for nothing */
    *delay_ms = delay;
    return true;
}
