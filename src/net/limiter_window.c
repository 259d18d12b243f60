#include "limiter_window.h"

#include <string.h>

#define PRICE       32768.0 /* a request costs as much as so many bytes */
#define WINDOW_MS   100     /* a window lasts at least so long … */
#define ROUNDS      2       /* … and as many requests as are under way, so many times */
#define BETTER      1.05    /* so much more throughput is worth more connections */
#define REST_MIN    8
#define REST_MAX    256
#define DECREASE    0.7
#define AFTER_BREAK 4

void limiter_window_init(struct limiter_window *w, int start, int max)
{
    memset(w, 0, sizeof *w);
    w->max = max;
    w->start = start;
    w->limit = start;
    w->quick = true;
    w->resting = REST_MIN;
}

bool limiter_window_has_room(struct limiter_window *w, int under_way)
{
    if (under_way < (int)w->limit)
        return true;
    w->filled = true;
    return false;
}

static void begin(struct limiter_window *w, int64_t now_ms)
{
    w->began_ms = now_ms;
    w->ended = 0;
    w->work = 0;
    w->filled = false;
}

static void raise_limit(struct limiter_window *w, double throughput)
{
    if ((int)w->limit >= w->max)
        return;
    w->step = w->quick ? w->limit : w->limit / 8 > 1 ? w->limit / 8 : 1;
    if (w->limit + w->step > w->max)
        w->step = w->max - w->limit;
    w->limit += w->step;
    w->before = throughput;
    w->rising = true;
}

/* A window has ended in which the limit was what held us up. */
static void judge(struct limiter_window *w, double throughput)
{
    if (w->rising && throughput < w->before * BETTER) {
        /* no better for it: back, and a longer rest each time */
        w->limit -= w->step;
        w->rising = w->quick = false;
        w->rest = w->resting;
        w->resting = w->resting * 2 < REST_MAX ? w->resting * 2 : REST_MAX;
    } else if (w->rising) {
        w->rising = false;
        w->resting = REST_MIN;
        raise_limit(w, throughput);
    } else if (w->rest > 0) {
        w->rest--;
    } else {
        raise_limit(w, throughput);
    }
}

void limiter_window_success(struct limiter_window *w, uint64_t bytes, int64_t now_ms)
{
    if (w->began_ms == 0)
        begin(w, now_ms);
    w->ended++;
    w->work += PRICE + (double)bytes;
    if (now_ms - w->began_ms < WINDOW_MS || w->ended < (int64_t)w->limit * ROUNDS)
        return;
    if (w->filled)
        judge(w, w->work / (double)(now_ms - w->began_ms));
    begin(w, now_ms);
}

void limiter_window_decrease(struct limiter_window *w, double least, int64_t now_ms)
{
    const double lower = w->limit * DECREASE;

    least = least < 1 ? 1 : least < w->limit ? least : w->limit;
    w->limit = lower < least ? least : lower;
    w->quick = w->rising = false;
    w->rest = w->resting = REST_MIN;
    begin(w, now_ms);
}

void limiter_window_restart(struct limiter_window *w, int64_t now_ms)
{
    const int few = w->start < AFTER_BREAK ? w->start : AFTER_BREAK;

    limiter_window_init(w, w->start, w->max);
    w->limit = few;
    begin(w, now_ms);
}
