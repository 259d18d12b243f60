/* sqlite_busy: waiting for a database that another process writes to. SQLite's own handler sleeps up to 100 ms at a time: with 16
 * workers whose transactions take 3 ms each, the lock then lies idle most of the time, and the luckless wait ever longer. Here everybody
 * looks again within a few milliseconds, at random, however long he has waited: all are served alike.
 */
#include "track/sqlite.h"

#include "blobferry/base/clock.h"

#include <time.h>

#define SHORTEST_US 300
#define LONGEST_US  6000

/* How long to sleep before look number `count`: longer after the first few, with full jitter. */
int64_t sqlite_busy_pause_us(int count, uint32_t random)
{
    const int64_t most = count >= 10 ? LONGEST_US : SHORTEST_US + count * 570;

    return SHORTEST_US + (int64_t)random % (most - SHORTEST_US + 1);
}

static int wait_a_little(void *user, int count)
{
    struct sqlite *s = user;
    const int64_t now = clock_mono_ms();
    uint32_t random;

    if (count == 0)
        s->busy_since_ms = now;
    if (now - s->busy_since_ms >= s->busy_limit_ms)
        return 0; /* SQLITE_BUSY */
    clock_random(&random, sizeof random);
    nanosleep(&(struct timespec){.tv_nsec = (long)sqlite_busy_pause_us(count, random) * 1000},
              NULL);
    return 1;
}

void sqlite_busy_wait(struct sqlite *s, int limit_ms)
{
    s->busy_limit_ms = limit_ms;
    sqlite3_busy_handler(s->db, wait_a_little, s);
}
