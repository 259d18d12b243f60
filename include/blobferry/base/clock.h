/* clock: the only place that asks for the time and for randomness; injectable for tests. */
#ifndef BLOBFERRY_BASE_CLOCK_H
#define BLOBFERRY_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01T00:00:00Z */
/* The server's clock minus ours (RequestTimeTooSkewed), added from now on; 0 forgets it. */
void clock_adopt_skew_ms(int64_t ms);
int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, for durations and timeouts */
int64_t clock_mono_ns(void);

/* Tests: fixed wall time in ms, without the skew; a negative value returns to the real clock. */
void clock_set_wall_for_tests(int64_t ms);

/* Random bytes from getrandom(2); aborts only if the kernel has none. */
void clock_random(void *dst, size_t n);
/* RFC 9562 version 7 UUID, lower case: sorts by creation time, and strictly increasing in one process. */
#define CLOCK_UUID_SIZE 37
void clock_uuid(char dst[CLOCK_UUID_SIZE]);

#endif
