/* http_timer: what is to be called later, soonest first; private to src/net. */
#ifndef NET_HTTP_TIMER_H
#define NET_HTTP_TIMER_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_timer;
struct http_timers {
    struct http_timer *first;
    size_t count;
};

enum err_code http_timer_add(struct http_timers *t, int64_t due_ms,
                             void (*fn)(void *user, bool cancelled), void *user, struct err *e);
/* Milliseconds from now_ms to the first, at least 0; `otherwise` when there is none. */
int64_t http_timer_wait_ms(const struct http_timers *t, int64_t now_ms, int64_t otherwise);
/* Call those that are due; what they add waits for the next time. Returns how many. */
size_t http_timer_fire(struct http_timers *t, int64_t now_ms);
/* Call all with cancelled true. */
void http_timer_cancel(struct http_timers *t);

#endif
