#include "http_timer.h"

#include <stdlib.h>

struct http_timer {
    struct http_timer *next;
    int64_t due_ms;
    void (*fn)(void *user, bool cancelled);
    void *user;
};

enum err_code http_timer_add(struct http_timers *t, int64_t due_ms,
                             void (*fn)(void *user, bool cancelled), void *user, struct err *e)
{
    struct http_timer **at = &t->first;
    struct http_timer *added = malloc(sizeof *added);

    if (added == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (*at != NULL && (*at)->due_ms <= due_ms)
        at = &(*at)->next;
    *added = (struct http_timer){.next = *at, .due_ms = due_ms, .fn = fn, .user = user};
    *at = added;
    t->count++;
    return ERR_OK;
}

int64_t http_timer_wait_ms(const struct http_timers *t, int64_t now_ms, int64_t otherwise)
{
    if (t->first == NULL)
        return otherwise;
    const int64_t wait = t->first->due_ms - now_ms;
    return wait < 0 ? 0 : wait < otherwise ? wait : otherwise;
}

static struct http_timer *pop(struct http_timers *t)
{
    struct http_timer *first = t->first;

    t->first = first->next;
    t->count--;
    return first;
}

size_t http_timer_fire(struct http_timers *t, int64_t now_ms)
{
    size_t due = 0;
    size_t fired = 0;

    for (const struct http_timer *p = t->first; p != NULL && p->due_ms <= now_ms; p = p->next)
        due++;
    while (fired < due && t->first != NULL && t->first->due_ms <= now_ms) {
        struct http_timer *now = pop(t); /* callbacks may add, or cancel all */
        now->fn(now->user, false);
        free(now);
        fired++;
    }
    return fired;
}

void http_timer_cancel(struct http_timers *t)
{
    struct http_timers all = *t; /* what callbacks add stays */

    *t = (struct http_timers){0};
    while (all.first != NULL) {
        struct http_timer *now = pop(&all);
        now->fn(now->user, true);
        free(now);
    }
}
