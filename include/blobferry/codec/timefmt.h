/* timefmt: the time formats of databases, HTTP and S3. All UTC; no locale, no time zone of the machine. */
#ifndef BLOBFERRY_CODEC_TIMEFMT_H
#define BLOBFERRY_CODEC_TIMEFMT_H

#include <stdbool.h>
#include <stdint.h>

#define TIMEFMT_SIZE 40
/* Years 1 to 9999; instants outside are written as the first or the last of them. */
void timefmt_iso(int64_t ms, char dst[TIMEFMT_SIZE]);   /* 2026-11-21T12:00:00.123Z */
void timefmt_db(int64_t ms, char dst[TIMEFMT_SIZE]);    /* 2026-11-21 12:00:00 */
void timefmt_amz(int64_t ms, char dst[TIMEFMT_SIZE]);   /* 20261121T120000Z */
void timefmt_stamp(int64_t ms, char dst[TIMEFMT_SIZE]); /* 20261121_120000, for file names */

/* 'YYYY-MM-DD', 'YYYY-MM-DD HH:MM[:SS[.fff…]]' with ' ' or 'T', optional Z or ±HH[:MM]; epoch seconds (10 digits) or
 * milliseconds (13 digits). Without a zone: UTC; fractions are cut to milliseconds. False for
 * everything else, including 2024-02-30 and :60. */
bool timefmt_parse(const char *s, int64_t *ms);
/* Exactly YYYY-MM-DD, a real day; *ms is its first instant. The last is *ms + 86400000 - 1. */
bool timefmt_parse_day(const char *s, int64_t *ms);
bool timefmt_parse_http(const char *s,
                        int64_t *ms); /* RFC 9110 IMF-fixdate, and the obsolete forms */

#endif
