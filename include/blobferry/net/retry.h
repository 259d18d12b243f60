/* retry: when and how long to wait: exponential backoff with full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), Retry-After honoured and capped, a total
 * deadline, an attempt cap. Pure but for the random number, which tests can inject. */
#ifndef BLOBFERRY_NET_RETRY_H
#define BLOBFERRY_NET_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_policy {
    int max_retries;     /* after the first attempt; default 3 */
    int64_t base_ms;     /* default 100 */
    int64_t cap_ms;      /* default 20000 */
    int64_t deadline_ms; /* total since the first attempt; default 300000; 0: default */
};
void retry_defaults(struct retry_policy *p);

struct retry_state {
    int attempts;       /* made so far */
    int64_t started_ms; /* monotonic */
};
/* May another attempt be made now, and after which delay? retry_after is the header's text or NULL (seconds or HTTP date;
 * capped at cap_ms; garbage ignored). now_wall_ms is used for dates. */
bool retry_next(const struct retry_policy *p, struct retry_state *s, int64_t now_mono_ms,
                int64_t now_wall_ms, const char *retry_after, int64_t *delay_ms);
void retry_set_random_for_tests(uint64_t (*fn)(void));

#endif
