/* bandwidth: bytes per second by the time of day, as rclone's --bwlimit (https://rclone.org/docs/#bwlimit-bandwidth-spec):
 * "10M", or a timetable "08:00,512K 12:00,10M 18:00,30M 23:00,off", or with days "Mon-08:00,512K Fri-23:59,10M Sun-20:00,off"
 * (an entry without a day is of every day). Local time. A plain number is bytes per second (not KiB, as in
 * rclone: who forgets the suffix is too slow, and not without a limit); suffixes B, K, M, G are binary. Pure.
 *
 *     struct bandwidth b;  bandwidth_parse(&b, text, e);
 *     rate = bandwidth_rate(&b, &local_time);
 */
#ifndef BLOBFERRY_NET_BANDWIDTH_H
#define BLOBFERRY_NET_BANDWIDTH_H

#include "blobferry/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define BANDWIDTH_SLOTS 168 /* as many as a week has hours */

struct bandwidth {
    struct {
        int minute;          /* of the week, from Sunday 00:00 */
        uint64_t rate;       /* bytes per second; 0: no limit */
    } slot[BANDWIDTH_SLOTS]; /* by minute */
    size_t n;                /* 0: never a limit; 1: always the same */
};

/* NULL or "": no limit. ERR_USAGE with a hint. */
enum err_code bandwidth_parse(struct bandwidth *b, const char *text, struct err *e);
/* In bytes per second, 0: no limit. local: as from localtime_r. */
uint64_t bandwidth_rate(const struct bandwidth *b, const struct tm *local);

#endif
