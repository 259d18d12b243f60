/* limiter: the four of them together, under one lock. */
#include "blobferry/net/limiter.h"

#include "limiter_breaker.h"
#include "limiter_keys.h"
#include "limiter_pace.h"
#include "limiter_window.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define START_DEFAULT       16
#define SILENT_KEYS_DEFAULT 4
#define DEAD_MS_DEFAULT     30000
#define PAUSE_MAX_MS        60000 /* a server that asks for more is asked again after that */
#define AGAIN_MS            10 /* how soon to ask again when only the end of another request can help */

struct limiter {
    pthread_mutex_t lock;
    int owners;
    struct limiter_client *clients;
    int under_way;
    int64_t key_spacing_ms, paused_until_ms;
    uint64_t epoch; /* of the last decrease: requests that began before it say nothing new */
    uint64_t throttled;
    double latency_ms; /* of answers, smoothed */
    struct limiter_window window;
    struct limiter_pace pace;
    struct limiter_breaker breaker;
    struct limiter_keys *keys; /* NULL: writes are not spaced */
};

uint64_t limiter_key(const char *key)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

    if (key == NULL)
        return 0;
    for (; *key != '\0'; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
    return h != 0 ? h : 1;
}

/* ---- life ------------------------------------------------------------------------------------------- */

enum err_code limiter_new(struct limiter **out, const struct limiter_options *o, struct err *e)
{
    struct limiter *l = calloc(1, sizeof *l);
    const int max = o->max > 0 ? o->max : LIMITER_MAX;
    const int start = o->start > 0 ? o->start : START_DEFAULT;

    *out = NULL;
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->owners = 1;
    l->key_spacing_ms = o->key_spacing_ms > 0 ? o->key_spacing_ms : 0;
    limiter_window_init(&l->window, start < max ? start : max, max);
    limiter_pace_init(&l->pace);
    limiter_breaker_init(&l->breaker, o->silent_keys > 0 ? o->silent_keys : SILENT_KEYS_DEFAULT,
                         o->dead_ms > 0 ? o->dead_ms : DEAD_MS_DEFAULT);
    if (l->key_spacing_ms > 0) {
        l->keys = limiter_keys_new();
        if (l->keys == NULL) {
            free(l);
            return err_set(e, ERR_NOMEM, "out of memory");
        }
    }
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return ERR_OK;
}

struct limiter *limiter_share(struct limiter *l)
{
    pthread_mutex_lock(&l->lock);
    l->owners++;
    pthread_mutex_unlock(&l->lock);
    return l;
}

void limiter_free(struct limiter *l)
{
    bool last;

    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    last = --l->owners == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&l->lock);
    limiter_keys_free(l->keys);
    free(l);
}

void limiter_join(struct limiter *l, struct limiter_client *c)
{
    pthread_mutex_lock(&l->lock);
    *c = (struct limiter_client){.next = l->clients};
    l->clients = c;
    pthread_mutex_unlock(&l->lock);
}

void limiter_leave(struct limiter *l, struct limiter_client *c)
{
    pthread_mutex_lock(&l->lock);
    for (struct limiter_client **at = &l->clients; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            l->under_way -= c->under_way;
            break;
        }
    }
    pthread_mutex_unlock(&l->lock);
}

int limiter_clients(struct limiter *l)
{
    int n = 0;

    pthread_mutex_lock(&l->lock);
    for (const struct limiter_client *c = l->clients; c != NULL; c = c->next)
        n++;
    pthread_mutex_unlock(&l->lock);
    return n;
}

void limiter_waiting(struct limiter *l, struct limiter_client *c, bool waiting)
{
    pthread_mutex_lock(&l->lock);
    c->waiting = waiting;
    pthread_mutex_unlock(&l->lock);
}

/* ---- admission ----------------------------------------------------------------------------------------- */

/* While others wait, nobody takes more than an equal share. */
static bool within_share(const struct limiter *l, const struct limiter_client *c)
{
    int busy = 0;

    for (const struct limiter_client *other = l->clients; other != NULL; other = other->next)
        busy += other == c || other->waiting || other->under_way > 0;
    if (busy <= 1)
        return true;
    const int share = ((int)l->window.limit + busy - 1) / busy;
    if (c->under_way < share)
        return true;
    for (const struct limiter_client *other = l->clients; other != NULL; other = other->next) {
        if (other != c && other->waiting && other->under_way < share)
            return false;
    }
    return true;
}

static enum limiter_verdict admit(struct limiter *l, struct limiter_client *c,
                                  struct limiter_ticket *t, int64_t now_ms, int64_t *wait_ms)
{
    const bool closed = l->breaker.circuit == LIMITER_CLOSED;
    enum limiter_verdict v;

    *wait_ms = AGAIN_MS;
    if (closed && (!limiter_window_has_room(&l->window, l->under_way) || !within_share(l, c)))
        return LIMITER_WAIT;
    if (closed && now_ms < l->paused_until_ms) {
        *wait_ms = l->paused_until_ms - now_ms;
        return LIMITER_WAIT;
    }
    if (t->writes && t->key != 0 && l->keys != NULL) {
        *wait_ms = limiter_keys_wait_ms(l->keys, t->key, now_ms);
        if (*wait_ms > 0)
            return LIMITER_WAIT_KEY;
    }
    *wait_ms = limiter_pace_wait_ms(&l->pace, now_ms);
    if (closed && *wait_ms > 0)
        return LIMITER_WAIT;
    v = limiter_breaker_admit(&l->breaker, &t->probe, now_ms, wait_ms);
    if (v != LIMITER_GO)
        return v;
    limiter_pace_take(&l->pace);
    if (t->writes && t->key != 0 && l->keys != NULL)
        limiter_keys_block(l->keys, t->key, now_ms + l->key_spacing_ms, now_ms);
    t->epoch = l->epoch;
    t->admitted_ms = now_ms;
    l->under_way++;
    c->under_way++;
    return LIMITER_GO;
}

enum limiter_verdict limiter_admit(struct limiter *l, struct limiter_client *c,
                                   struct limiter_ticket *t, int64_t now_ms, int64_t *wait_ms)
{
    enum limiter_verdict v;

    pthread_mutex_lock(&l->lock);
    t->probe = false;
    v = admit(l, c, t, now_ms, wait_ms);
    pthread_mutex_unlock(&l->lock);
    return v;
}

/* ---- what came of it -------------------------------------------------------------------------------------- */

static void pause_until(struct limiter *l, int64_t retry_after_ms, int64_t now_ms)
{
    const int64_t ms = retry_after_ms < PAUSE_MAX_MS ? retry_after_ms : PAUSE_MAX_MS;

    if (ms <= 0 || now_ms + ms <= l->paused_until_ms)
        return;
    l->paused_until_ms = now_ms + ms;
    limiter_pace_pause(&l->pace, l->paused_until_ms);
}

/* Once a round trip: what began before the last decrease was too fast for the same reason. */
static void decrease(struct limiter *l, const struct limiter_ticket *t, bool throttled,
                     int64_t now_ms)
{
    double needed = 1;

    if (t->epoch != l->epoch)
        return;
    l->epoch++;
    if (throttled) {
        limiter_pace_slower(&l->pace, now_ms);
        needed = 1 + l->pace.rate * l->latency_ms / 1000 * 1.5;
    }
    limiter_window_decrease(&l->window, needed, now_ms);
}

static void succeeded(struct limiter *l, const struct limiter_ticket *t, uint64_t bytes,
                      int64_t now_ms)
{
    const double ms = (double)(now_ms - t->admitted_ms);

    l->latency_ms = l->latency_ms == 0 ? ms : l->latency_ms * 0.9 + ms * 0.1;
    limiter_window_success(&l->window, bytes, now_ms);
    limiter_pace_success(&l->pace, now_ms);
}

static bool done(struct limiter *l, const struct limiter_ticket *t, const struct limiter_report *r,
                 int64_t now_ms)
{
    struct limiter_breaker *b = &l->breaker;
    const bool was_closed = b->circuit == LIMITER_CLOSED;

    if (r->outcome == LIMITER_UNSENT) {
        limiter_breaker_unsent(b, t->probe, now_ms);
        return false;
    }
    if (r->outcome == LIMITER_SILENT) {
        limiter_breaker_silent(b, t->key, t->probe, now_ms);
        if (b->circuit == LIMITER_CLOSED)
            decrease(l, t, false, now_ms);
        return b->circuit != LIMITER_CLOSED;
    }
    limiter_breaker_answered(b);
    if (!was_closed)
        limiter_window_restart(&l->window, now_ms);
    if (r->outcome == LIMITER_ANSWERED) {
        succeeded(l, t, r->bytes, now_ms);
    } else {
        l->throttled += r->outcome == LIMITER_THROTTLED;
        decrease(l, t, r->outcome == LIMITER_THROTTLED, now_ms);
    }
    pause_until(l, r->retry_after_ms, now_ms);
    return r->outcome == LIMITER_THROTTLED;
}

bool limiter_done(struct limiter *l, struct limiter_client *c, const struct limiter_ticket *t,
                  const struct limiter_report *r, int64_t now_ms)
{
    bool again;

    pthread_mutex_lock(&l->lock);
    l->under_way--;
    c->under_way--;
    again = done(l, t, r, now_ms);
    pthread_mutex_unlock(&l->lock);
    return again;
}

void limiter_look(struct limiter *l, struct limiter_state *out)
{
    pthread_mutex_lock(&l->lock);
    *out = (struct limiter_state){.limit = (int)l->window.limit,
                                  .under_way = l->under_way,
                                  .per_second = l->pace.on ? l->pace.rate : 0,
                                  .circuit = l->breaker.circuit,
                                  .throttled = l->throttled,
                                  .paused_until_ms = l->paused_until_ms};
    pthread_mutex_unlock(&l->lock);
}
