/* http_pace: a token bucket that all uploads of one loop share, private to src/net. */
#ifndef NET_HTTP_PACE_H
#define NET_HTTP_PACE_H

#include <stddef.h>
#include <stdint.h>

struct http_pace {
    uint64_t rate;     /* bytes per second; 0: no limit */
    uint64_t grain;    /* least number of bytes that is worth a write */
    uint64_t tokens;   /* bytes that may be sent now */
    uint64_t fraction; /* of a byte, in millionths */
    int64_t last_us;   /* when tokens were counted */
};

void http_pace_init(struct http_pace *p, uint64_t rate, int64_t now_us);
void http_pace_change(struct http_pace *p, uint64_t rate,
                      int64_t now_us); /* what was saved up stays */
/* Bytes out of `want` that may be sent now; 0: wait. */
size_t http_pace_take(struct http_pace *p, size_t want, int64_t now_us);
/* How many grains are there now, for as many waiting uploads. */
size_t http_pace_ready(struct http_pace *p, int64_t now_us);
/* Milliseconds until there will be a grain; 0: now. */
int http_pace_wait_ms(struct http_pace *p, int64_t now_us);

#endif
