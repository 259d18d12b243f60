#include "blobferry/net/bandwidth.h"

#include "blobferry/base/str.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MINUTES  1440
#define WEEK_MINUTES (7 * DAY_MINUTES)
#define RATE_MAX     (UINT64_C(1) << 50)
#define WORD_MAX     64

/* ---- one rate ------------------------------------------------------------------------------------------- */

static int shift_of(char suffix)
{
    switch (suffix) {
    case 'B':
    case 'b':
        return 0;
    case 'K':
    case 'k':
        return 10;
    case 'M':
    case 'm':
        return 20;
    case 'G':
    case 'g':
        return 30;
    default:
        return -1;
    }
}

static double power_of_two(int shift)
{
    return (double)(UINT64_C(1) << shift);
}

/* "512K", "1.5M", "10MiB", "off"; a plain number is in bytes. */
static bool parse_rate(const char *text, uint64_t *rate)
{
    const char *p = text;
    double value = 0, place = 1;
    bool digits = false;
    int shift = 0;

    if (str_ieq(text, "off")) {
        *rate = 0;
        return true;
    }
    for (; *p >= '0' && *p <= '9' && value < 1e15; p++, digits = true)
        value = value * 10 + (*p - '0');
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++, digits = true) {
            place /= 10;
            value += place * (*p - '0');
        }
    }
    if (!digits)
        return false;
    if (*p != '\0') {
        shift = shift_of(*p++);
        if (shift > 0 && (*p == 'i' || *p == 'I') && (p[1] == 'B' || p[1] == 'b'))
            p += 2;
    }
    if (shift < 0 || *p != '\0' || value * power_of_two(shift) > (double)RATE_MAX)
        return false;
    *rate = (uint64_t)(value * power_of_two(shift));
    return *rate > 0 || value <= 0; /* "0" is off, as in rclone; 0.1 of a byte is a mistake */
}

/* ---- one entry of a timetable ------------------------------------------------------------------------------- */

/* "Mon-" or "Monday-" at *text, which then moves on; -1: no day. */
static int parse_day(const char **text)
{
    static const char *const names[] = {"sunday",   "monday", "tuesday", "wednesday",
                                        "thursday", "friday", "saturday"};
    const char *dash = strchr(*text, '-');
    const size_t n = dash == NULL ? 0 : (size_t)(dash - *text);

    for (int d = 0; n >= 3 && d < 7; d++) {
        if ((n == 3 || n == strlen(names[d])) && strncasecmp(*text, names[d], n) == 0) {
            *text = dash + 1;
            return d;
        }
    }
    return -1;
}

static bool two_digits(const char *p, int below, int *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    return *out < below;
}

static bool insert(struct bandwidth *b, int minute, uint64_t rate)
{
    size_t at = 0;

    while (at < b->n && b->slot[at].minute < minute)
        at++;
    if (at < b->n && b->slot[at].minute == minute) { /* the later entry counts, as in rclone */
        b->slot[at].rate = rate;
        return true;
    }
    if (b->n == BANDWIDTH_SLOTS)
        return false;
    memmove(&b->slot[at + 1], &b->slot[at], (b->n - at) * sizeof b->slot[0]);
    b->slot[at].minute = minute;
    b->slot[at].rate = rate;
    b->n++;
    return true;
}

static bool parse_entry(struct bandwidth *b, const char *word)
{
    const int day = parse_day(&word);
    int hour, minute;
    uint64_t rate;
    bool room = true;

    if (strlen(word) < 7 || !two_digits(word, 24, &hour) || word[2] != ':' ||
        !two_digits(word + 3, 60, &minute) || word[5] != ',' || !parse_rate(word + 6, &rate))
        return false;
    for (int d = 0; d < 7 && room; d++) {
        if (day < 0 || day == d)
            room = insert(b, d * DAY_MINUTES + hour * 60 + minute, rate);
    }
    return room;
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

static enum err_code refuse(const char *text, struct err *e)
{
    err_set(e, ERR_USAGE, "'%s' is no bandwidth limit", text);
    return err_hint(e, "a rate such as 10M or off, or a timetable such as "
                       "'08:00,512K 18:00,30M Sat-00:00,off'");
}

static bool next_word(const char **at, char word[WORD_MAX], bool *fits)
{
    size_t n;

    *at += strspn(*at, " \t;");
    n = strcspn(*at, " \t;");
    *fits = n < WORD_MAX;
    if (n == 0 || !*fits)
        return n > 0;
    memcpy(word, *at, n);
    word[n] = '\0';
    *at += n;
    return true;
}

enum err_code bandwidth_parse(struct bandwidth *b, const char *text, struct err *e)
{
    const char *at = text;
    char word[WORD_MAX];
    uint64_t rate;
    bool fits;

    memset(b, 0, sizeof *b);
    if (str_empty(text))
        return ERR_OK;
    if (parse_rate(text, &rate)) {
        insert(b, 0, rate);
        return ERR_OK;
    }
    while (next_word(&at, word, &fits)) {
        if (!fits || !parse_entry(b, word)) {
            memset(b, 0, sizeof *b);
            return refuse(text, e);
        }
    }
    return b->n > 0 ? ERR_OK : refuse(text, e);
}

uint64_t bandwidth_rate(const struct bandwidth *b, const struct tm *local)
{
    const int now =
        (local->tm_wday * DAY_MINUTES + local->tm_hour * 60 + local->tm_min) % WEEK_MINUTES;
    size_t at;

    if (b->n == 0)
        return 0;
    at = b->n - 1; /* before the first entry of the week the last one holds */
    for (size_t i = 0; i < b->n && b->slot[i].minute <= now; i++)
        at = i;
    return b->slot[at].rate;
}
