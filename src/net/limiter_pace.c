#include "limiter_pace.h"

#include <string.h>

#define SLOT_MS      100
#define SECOND_MS    1000
#define RATE_MIN     1.0
#define RATE_BEGIN   5.0
#define RATE_MAX     100000.0 /* beyond that a pace is no pace: it is switched off */
#define NEAR         0.98     /* of the ceiling: here it stays … */
#define HOLD_MIN_MS  15000    /* … for so long, before it tries for more … */
#define HOLD_MAX_MS  60000    /* … and longer each time that this was in vain */
#define QUICK_MS     200      /* steps of growth where no ceiling is known … */
#define QUICK        1.25
#define STEADY_MS    500 /* … and below a known one */
#define STEADY       1.04
#define BEYOND       1.04 /* steps beyond the old ceiling */
#define MOMENT_SLOTS 5
#define FOUND        0.9
#define PERHAPS      0.75
#define LOWER        0.94
#define AGAIN        0.7
#define HALF         0.5
#define FAR          0.8 /* what it took is that far from what it was given: it takes less than it did */
#define CONFIDENT_MS 600  /* a measurement over less time than that says little */
#define BURST_S      0.04 /* what may be made up for when we were late, in seconds */

void limiter_pace_init(struct limiter_pace *p)
{
    memset(p, 0, sizeof *p);
    p->first_ms = -1;
    for (int i = 0; i < LIMITER_PACE_SLOTS; i++)
        p->ring[i].slot = -1;
}

/* ---- what the server takes ------------------------------------------------------------------------------ */

void limiter_pace_success(struct limiter_pace *p, int64_t now_ms)
{
    const int64_t slot = now_ms / SLOT_MS;
    const int i = (int)(slot % LIMITER_PACE_SLOTS);

    if (p->first_ms < 0)
        p->first_ms = now_ms;
    if (p->ring[i].slot != slot) {
        p->ring[i].slot = slot;
        p->ring[i].n = 0;
    }
    p->ring[i].n++;
}

/* Successes of the last `slots` tenths of a second. */
static int64_t taken_in(const struct limiter_pace *p, int64_t now_ms, int slots)
{
    const int64_t slot = now_ms / SLOT_MS;
    int64_t n = 0;

    for (int i = 0; i < LIMITER_PACE_SLOTS; i++) {
        if (p->ring[i].slot > slot - slots && p->ring[i].slot <= slot)
            n += p->ring[i].n;
    }
    return n;
}

/* Successes of the last second; the second is counted whole although it may just have begun: a server that lets the first ones
 * through at once has said nothing of what it takes in the long run. */
static double last_second(const struct limiter_pace *p, int64_t now_ms)
{
    return (double)taken_in(p, now_ms, LIMITER_PACE_SLOTS);
}

/* ---- slower and faster ------------------------------------------------------------------------------------ */

static double at_least(double v, double low)
{
    return v < low ? low : v;
}

/* Growing without knowing the limit went beyond it: what was taken a moment ago, with what had been saved up over there, is a
 * little more than the server takes in the long run. */
static double found(const struct limiter_pace *p, int64_t now_ms)
{
    const double took =
        (double)taken_in(p, now_ms, MOMENT_SLOTS) * LIMITER_PACE_SLOTS / MOMENT_SLOTS;
    const double last_good = p->rate / QUICK;

    return took * FOUND < last_good ? took * FOUND : last_good;
}

/* The rate that was too high, and what it is lowered to. */
static double lowered(const struct limiter_pace *p, int64_t now_ms)
{
    const int64_t elapsed = now_ms - p->since_ms;
    const double took = last_second(p, now_ms);
    double rate;

    if (elapsed <
        CONFIDENT_MS) { /* refused again at once: well below, but not below what was taken */
        rate = p->rate * AGAIN;
        return at_least(rate, took < p->rate ? took : p->rate);
    }
    rate = p->ceiling > 0 ? p->rate * LOWER : found(p, now_ms);
    if (elapsed >= SECOND_MS && p->ceiling > 0 && took < p->rate * FAR)
        rate = at_least(took, p->rate * HALF);
    return rate;
}

void limiter_pace_slower(struct limiter_pace *p, int64_t now_ms)
{
    const bool known = p->on && p->ceiling > 0;
    const double refused = p->rate;

    if (!p->on) {
        p->rate = at_least(last_second(p, now_ms), RATE_BEGIN);
        p->ceiling = p->first_ms >= 0 && now_ms - p->first_ms >= SECOND_MS ? p->rate / NEAR : 0;
        p->hold_ms = HOLD_MIN_MS;
        p->on = true;
    } else {
        p->rate = at_least(lowered(p, now_ms), RATE_MIN);
        if (known && refused > p->ceiling)
            p->hold_ms = p->hold_ms * 2 < HOLD_MAX_MS ? p->hold_ms * 2 : HOLD_MAX_MS;
        if (now_ms - p->since_ms < CONFIDENT_MS)
            p->ceiling = refused;
        else if (known)
            p->ceiling = p->rate / NEAR;
        else /* a refusal may cost a second's pause, a little patience less */
            p->ceiling = at_least(p->rate / FOUND, refused * PERHAPS);
    }
    p->tokens = 0;
    p->counted_ms = p->grown_ms = p->held_ms = p->since_ms = now_ms;
}

void limiter_pace_pause(struct limiter_pace *p, int64_t until_ms)
{
    if (p->on && until_ms > p->since_ms)
        p->counted_ms = p->grown_ms = p->held_ms = p->since_ms = until_ms;
}

static void grow(struct limiter_pace *p, int64_t now_ms)
{
    const bool steady = p->ceiling > 0;
    const int64_t step_ms = steady ? STEADY_MS : QUICK_MS;

    if (now_ms - p->grown_ms < step_ms)
        return;
    p->grown_ms = now_ms;
    if (!steady) {
        p->rate *= QUICK;
    } else if (p->rate < p->ceiling * NEAR) {
        p->rate = p->rate * STEADY < p->ceiling * NEAR ? p->rate * STEADY : p->ceiling * NEAR;
        p->held_ms = now_ms;
    } else if (now_ms - p->held_ms >= p->hold_ms) {
        p->rate *= BEYOND;
        if (p->rate > p->ceiling * 1.5)
            p->ceiling = 0; /* the server has more to give than it had: no ceiling is known */
    }
    if (p->rate > RATE_MAX)
        p->on = false;
}

/* ---- admission ---------------------------------------------------------------------------------------------- */

int64_t limiter_pace_wait_ms(struct limiter_pace *p, int64_t now_ms)
{
    double room;

    if (!p->on)
        return 0;
    grow(p, now_ms);
    room = 1.0 + p->rate * BURST_S;
    if (now_ms > p->counted_ms) {
        p->tokens += (double)(now_ms - p->counted_ms) * p->rate / SECOND_MS;
        p->counted_ms = now_ms;
        if (p->tokens > room)
            p->tokens = room;
    }
    if (!p->on || p->tokens >= 1.0)
        return 0;
    return (int64_t)((1.0 - p->tokens) * SECOND_MS / p->rate + 0.999);
}

void limiter_pace_take(struct limiter_pace *p)
{
    if (p->on)
        p->tokens -= 1.0;
}
