#include "limiter_pace.h"

#include <string.h>

#define SLOT_MS      50
#define SECOND_MS    1000
#define RATE_MIN     1.0
#define RATE_BEGIN   25.0
#define RATE_MAX     100000.0 /* beyond that a pace is no pace: it is switched off */
#define NEAR         0.98     /* of the ceiling: here it stays … */
#define HOLD_MIN_MS  2000     /* … for so long, before it tries for more … */
#define HOLD_ASKED   15000    /* … if that may cost a pause … */
#define HOLD_MAX_MS  60000    /* … and longer each time that this was in vain */
#define QUICK_MS     50       /* steps of growth where no ceiling is known: double in 0.3 s … */
#define QUICK        1.12
#define QUICK_LATE   200 /* steps that are due for longer are lost */
#define STEADY_MS    500 /* … and below a known one */
#define STEADY       1.04
#define BEYOND       0.04 /* steps beyond the old ceiling: of it, twice of it, … */
#define TOOK         0.9
#define LOWER        0.94
#define AGAIN        0.7
#define HALF         0.5
#define SURE         0.95
#define FAR          0.8 /* what it took is that far from what it was given: it takes less than it did */
#define CONFIDENT_MS 600  /* a measurement over less time than that says little */
#define PROOF_MS     150  /* successes of less time than that prove nothing */
#define ROUNDING     0.5  /* of a success: on average half of one more would have been taken */
#define BURST_S      0.04 /* what may be made up for when we were late, in seconds */
#define BURST_MS     100  /* what takes longer is no burst */
#define BURST_SMALL  0.25 /* of what is taken in a second: such a burst blurs no measurement */
#define BURST_LARGE  10   /* such a burst is made use of after a pause … */
#define SALVO        0.95
#define SALVO_LESS   0.75 /* … but less each time that a refusal comes soon */

void limiter_pace_init(struct limiter_pace *p)
{
    memset(p, 0, sizeof *p);
    p->first_ms = -1;
    for (int i = 0; i < LIMITER_PACE_SLOTS; i++)
        p->ring[i].slot = -1;
}

/* ---- what the server takes ------------------------------------------------------------------------------ */

static int64_t at_most_ms(int64_t v, int64_t high)
{
    return v > high ? high : v;
}

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
    if (now_ms >= p->since_ms) {
        p->taken++;
    } else if (p->first) { /* was taken before the first refusal */
        p->burst++;
        p->burst_ms = at_most_ms(now_ms - p->first_ms, BURST_MS);
    }
    p->last_ms = now_ms;
}

/* Successes of the last `slots` slots. */
static double taken_in(const struct limiter_pace *p, int64_t now_ms, int slots)
{
    const int64_t slot = now_ms / SLOT_MS;
    int64_t n = 0;

    for (int i = 0; i < LIMITER_PACE_SLOTS; i++) {
        if (p->ring[i].slot > slot - slots && p->ring[i].slot <= slot)
            n += p->ring[i].n;
    }
    return (double)n;
}

/* Successes of the last second; the second is counted whole although it may just have begun: a server that lets the first ones
 * through at once has said nothing of what it takes in the long run. */
static double last_second(const struct limiter_pace *p, int64_t now_ms)
{
    return taken_in(p, now_ms, LIMITER_PACE_SLOTS);
}

/* The rate that successes prove, at a refusal: over any time the server takes what it takes in the long run and, at most, its
 * burst. For the time in which we were faster than that it is exact, so the most that any time proves is what it takes. */
static double proven(const struct limiter_pace *p, int64_t now_ms)
{
    const int64_t elapsed = now_ms - p->since_ms;
    double most = 0;

    if (elapsed >= PROOF_MS && p->rested)
        most = (p->taken + ROUNDING - p->burst) / (double)(elapsed - p->burst_ms);
    else if (elapsed >= PROOF_MS)
        most = (p->taken + ROUNDING - 1) / (double)elapsed;
    for (int k = PROOF_MS / SLOT_MS + 1; k <= LIMITER_PACE_SLOTS; k++) {
        const int64_t since = (now_ms / SLOT_MS - k + 1) * SLOT_MS;
        const int64_t ms = now_ms - since - p->burst_ms; /* that long the burst was refilled, too */
        const double rate = (taken_in(p, now_ms, k) + ROUNDING - p->burst) / (double)ms;
        most = rate > most ? rate : most;
    }
    return most * SECOND_MS;
}

/* ---- slower and faster ------------------------------------------------------------------------------------ */

static double at_least(double v, double low)
{
    return v < low ? low : v;
}

static double at_most(double v, double high)
{
    return v > high ? high : v;
}

/* What a rate that was too high is lowered to. */
static double lowered(const struct limiter_pace *p, int64_t now_ms)
{
    const int64_t elapsed = now_ms - p->since_ms;
    const double took = last_second(p, now_ms), proof = proven(p, now_ms);

    if (p->ceiling == 0) /* growing without knowing the limit went beyond it */
        return at_most(at_least(at_least(took * TOOK, p->rate * HALF), proof), p->rate);
    if (p->burst < p->rate * BURST_SMALL && elapsed >= PROOF_MS)
        return at_most(at_least(proof * SURE, p->rate * HALF), p->rate * NEAR);
    if (elapsed < CONFIDENT_MS) /* again at once: well below, but not below what was taken */
        return at_least(p->rate * AGAIN, at_most(took, p->rate));
    if (elapsed >= SECOND_MS && took < p->rate * FAR)
        return at_least(took, p->rate * HALF);
    return at_least(p->rate * LOWER, at_most(proof, p->rate * NEAR));
}

static void begin(struct limiter_pace *p, int64_t now_ms)
{
    const double took = last_second(p, now_ms);

    p->on = p->first = true;
    p->rate = at_least(took, RATE_BEGIN);
    p->burst = at_least(took, 1);
    p->burst_ms = at_most_ms(p->last_ms - p->first_ms, BURST_MS);
    p->salvo = took * SALVO;
    p->hold_ms = HOLD_MIN_MS;
    p->ceiling = p->first_ms >= 0 && now_ms - p->first_ms >= SECOND_MS ? p->rate / NEAR : 0;
}

static void lower(struct limiter_pace *p, int64_t now_ms)
{
    const bool known = p->ceiling > 0, soon = now_ms - p->since_ms < CONFIDENT_MS;
    const double refused = p->rate;

    p->rate = at_least(lowered(p, now_ms), RATE_MIN);
    if (known && refused > p->ceiling)
        p->hold_ms = p->hold_ms * 2 < HOLD_MAX_MS ? p->hold_ms * 2 : HOLD_MAX_MS;
    p->ceiling = known && soon ? refused : p->rate / NEAR;
    p->salvo *= soon ? SALVO_LESS : 1;
    p->first = false;
}

void limiter_pace_slower(struct limiter_pace *p, int64_t now_ms)
{
    if (p->on)
        lower(p, now_ms);
    else
        begin(p, now_ms);
    p->tokens = p->taken = 0;
    p->rested = false;
    p->counted_ms = p->grown_ms = p->held_ms = p->since_ms = now_ms;
}

void limiter_pace_pause(struct limiter_pace *p, int64_t until_ms)
{
    if (!p->on || until_ms <= p->since_ms)
        return;
    p->rested = true;
    p->hold_ms = p->hold_ms > HOLD_ASKED ? p->hold_ms : HOLD_ASKED;
    p->tokens = p->burst >= BURST_LARGE ? p->salvo : 0;
    p->counted_ms = p->grown_ms = p->held_ms = p->since_ms = until_ms;
}

/* Steps that are due, but few of them: a rate that nobody asks for is not tried. */
static void grow_quickly(struct limiter_pace *p, int64_t now_ms)
{
    if (now_ms - p->grown_ms > QUICK_LATE)
        p->grown_ms = now_ms - QUICK_LATE;
    for (; now_ms - p->grown_ms >= QUICK_MS; p->grown_ms += QUICK_MS)
        p->rate *= QUICK;
}

static void grow_steadily(struct limiter_pace *p, int64_t now_ms)
{
    const double near = p->ceiling * NEAR;
    const int64_t over_ms = now_ms - p->held_ms - p->hold_ms;

    if (now_ms - p->grown_ms < STEADY_MS)
        return;
    p->grown_ms = now_ms;
    if (p->rate < near) {
        p->rate = at_most(p->rate * STEADY, near);
        p->held_ms = now_ms;
    } else if (over_ms >= 0) {
        p->rate *= 1 + BEYOND * (1 + (double)over_ms / STEADY_MS);
        if (p->rate > p->ceiling * 1.5)
            p->ceiling = 0; /* the server has more to give than it had: no ceiling is known */
    }
}

static void grow(struct limiter_pace *p, int64_t now_ms)
{
    if (p->ceiling > 0)
        grow_steadily(p, now_ms);
    else
        grow_quickly(p, now_ms);
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
    room = 1.0 + at_least(at_most(p->rate * BURST_S, p->burst / 2 - 1), 0);
    if (now_ms > p->counted_ms && p->tokens < room) /* a salvo is more than there is room for */
        p->tokens =
            at_most(p->tokens + (double)(now_ms - p->counted_ms) * p->rate / SECOND_MS, room);
    p->counted_ms = now_ms > p->counted_ms ? now_ms : p->counted_ms;
    if (!p->on || p->tokens >= 1.0)
        return 0;
    return (int64_t)((1.0 - p->tokens) * SECOND_MS / p->rate + 0.999);
}

void limiter_pace_take(struct limiter_pace *p)
{
    if (p->on)
        p->tokens -= 1.0;
}
