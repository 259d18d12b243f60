/* retry: when and how long to wait: exponential backoff with full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), Retry-After honoured and capped, a total
 * deadline, an attempt cap. Pure but for the random number, which tests can inject.
 *
 *     struct retry_state s = {.started_ms = clock_mono_ms()};
 *     again: s.attempts++;
 *     if (attempt() failed and may be retried &&
 *         retry_next(&policy, &s, clock_mono_ms(), clock_wall_ms(), retry_after, &delay_ms))
 *         wait delay_ms (http_after) and goto again;
 */
#ifndef BLOBFERRY_NET_RETRY_H
#define BLOBFERRY_NET_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_policy {
    int max_retries;     /* after the first attempt; 0: none; retry_defaults: 3 */
    int64_t base_ms;     /* 0: 100 */
    int64_t cap_ms;      /* of one wait; 0: 20000 */
    int64_t deadline_ms; /* total since the first attempt; 0: 300000 */
    int64_t
        patience_ms; /* how long "too fast" is no failed attempt; kept by the caller; 0: 600000, -1: it is one */
};
void retry_defaults(struct retry_policy *p);

struct retry_state {
    int attempts;       /* made so far, counted by the caller; the one that just failed included */
    int64_t started_ms; /* monotonic, when the first one began */
};
/* May another attempt be made, and after which delay? A random time in [0, min(cap, base * 2^(attempts - 1))], but not less
 * than Retry-After, which is given as the header's text or NULL (seconds or HTTP date; capped at cap_ms; garbage and the past
 * are ignored; now_wall_ms is for dates). False when the attempts are used up or the delay would end after the deadline. */
bool retry_next(const struct retry_policy *p, const struct retry_state *s, int64_t now_mono_ms,
                int64_t now_wall_ms, const char *retry_after, int64_t *delay_ms);
/* What a Retry-After header asks for: seconds or an HTTP date; capped; 0 for NULL, garbage and the past. */
int64_t retry_after_ms(const char *retry_after, int64_t now_wall_ms, int64_t cap_ms);
void retry_set_random_for_tests(uint64_t (*fn)(void)); /* NULL: the real one */

#endif
