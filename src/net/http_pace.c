#include "http_pace.h"

#define SECOND_US INT64_C(1000000)
#define GRAIN_MIN UINT64_C(1024)
#define GRAIN_MAX UINT64_C(65536)
#define RATE_MAX  UINT64_C(1000000000000) /* keeps rate * SECOND_US within 64 bits */

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

void http_pace_init(struct http_pace *p, uint64_t rate, int64_t now_us)
{
    *p = (struct http_pace){.rate = clamp(rate, 0, RATE_MAX), .last_us = now_us};
    p->grain = clamp(p->rate / 50, GRAIN_MIN, GRAIN_MAX);
}

/* A tenth of a second may be saved up, so that the limit holds over any longer time. */
static void refill(struct http_pace *p, int64_t now_us)
{
    const uint64_t room = p->grain + p->rate / 10;
    int64_t elapsed = now_us - p->last_us;

    if (elapsed <= 0)
        return;
    elapsed = elapsed < SECOND_US ? elapsed : SECOND_US;
    const uint64_t credit = (uint64_t)elapsed * p->rate + p->fraction;
    p->last_us = now_us;
    p->fraction = credit % (uint64_t)SECOND_US; /* no part of a byte is lost or won */
    p->tokens = clamp(p->tokens + credit / (uint64_t)SECOND_US, 0, room);
}

void http_pace_change(struct http_pace *p, uint64_t rate, int64_t now_us)
{
    const uint64_t tokens = p->tokens;

    if (clamp(rate, 0, RATE_MAX) == p->rate)
        return;
    http_pace_init(p, rate, now_us);
    p->tokens = clamp(tokens, 0, p->grain);
}

size_t http_pace_take(struct http_pace *p, size_t want, int64_t now_us)
{
    if (p->rate == 0)
        return want;
    refill(p, now_us);
    if (p->tokens < want && p->tokens < p->grain)
        return 0;
    const size_t n = (size_t)clamp(want, 0, p->tokens);
    p->tokens -= n;
    return n;
}

size_t http_pace_ready(struct http_pace *p, int64_t now_us)
{
    if (p->rate == 0)
        return SIZE_MAX;
    refill(p, now_us);
    return (size_t)(p->tokens / p->grain);
}

int http_pace_wait_ms(struct http_pace *p, int64_t now_us)
{
    refill(p, now_us);
    if (p->rate == 0 || p->tokens >= p->grain)
        return 0;
    const uint64_t us = (p->grain - p->tokens) * (uint64_t)SECOND_US / p->rate;
    return (int)(clamp(us, 0, (uint64_t)SECOND_US) / 1000) + 1;
}
