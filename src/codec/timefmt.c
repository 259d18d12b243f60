/* timefmt: days and civil dates by arithmetic alone (Hinnant's algorithms, proleptic Gregorian), so
 * that no locale, time zone or 32-bit time_t has a say. Years 1 to 9999. */
#include "blobferry/codec/timefmt.h"

#include "blobferry/base/clock.h"

#include <string.h>

#define DAY_MS    INT64_C(86400000)
#define HOUR_MS   INT64_C(3600000)
#define MINUTE_MS INT64_C(60000)
#define FIRST_MS  INT64_C(-62135596800000) /* 0001-01-01T00:00:00.000Z */
#define LAST_MS   INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

struct moment {
    int64_t year;
    int month, day, hour, minute, second, ms;
};

static int64_t days_from_civil(int64_t year, int month, int day)
{
    if (month <= 2)
        year--;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, struct moment *m)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted = (5 * day_of_year + 2) / 153;
    m->day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    m->month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    m->year = year_of_era + era * 400 + (m->month <= 2 ? 1 : 0);
}

static void split(int64_t ms, struct moment *m)
{
    if (ms < FIRST_MS)
        ms = FIRST_MS;
    if (ms > LAST_MS)
        ms = LAST_MS;
    int64_t days = ms / DAY_MS;
    int64_t rest = ms % DAY_MS;
    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    civil_from_days(days, m);
    m->hour = (int)(rest / HOUR_MS);
    m->minute = (int)(rest / MINUTE_MS % 60);
    m->second = (int)(rest / 1000 % 60);
    m->ms = (int)(rest % 1000);
}

static bool leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* False unless every member is in its range; `last_second` is 59, or 60 where leap seconds may be
 * written. */
static bool join(const struct moment *m, int last_second, int64_t *ms)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (m->year < 1 || m->year > 9999 || m->month < 1 || m->month > 12 || m->day < 1)
        return false;
    if (m->day > lengths[m->month - 1] + (m->month == 2 && leap(m->year) ? 1 : 0))
        return false;
    if (m->hour > 23 || m->minute > 59 || m->second > last_second)
        return false;
    *ms = days_from_civil(m->year, m->month, m->day) * DAY_MS + m->hour * HOUR_MS +
          m->minute * MINUTE_MS + m->second * INT64_C(1000) + m->ms;
    return true;
}

/* n digits of v. Each file has half a dozen of times made for it: printf would take as long as signing. */
static void digits(char *dst, int v, int n)
{
    while (n-- > 0) {
        dst[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

/* The moment in the places of a form that is all zeros; -1: the form has no such place. */
struct places {
    const char *form;
    int month, day, hour, minute, second, ms;
};

static void fill(int64_t ms, const struct places *at, char dst[TIMEFMT_SIZE])
{
    struct moment m;

    split(ms, &m);
    memcpy(dst, at->form, strlen(at->form) + 1);
    digits(dst, (int)m.year, 4);
    digits(dst + at->month, m.month, 2);
    digits(dst + at->day, m.day, 2);
    digits(dst + at->hour, m.hour, 2);
    digits(dst + at->minute, m.minute, 2);
    digits(dst + at->second, m.second, 2);
    if (at->ms >= 0)
        digits(dst + at->ms, m.ms, 3);
}

void timefmt_iso(int64_t ms, char dst[TIMEFMT_SIZE])
{
    static const struct places at = {"0000-00-00T00:00:00.000Z", 5, 8, 11, 14, 17, 20};
    fill(ms, &at, dst);
}

void timefmt_db(int64_t ms, char dst[TIMEFMT_SIZE])
{
    static const struct places at = {"0000-00-00 00:00:00", 5, 8, 11, 14, 17, -1};
    fill(ms, &at, dst);
}

void timefmt_amz(int64_t ms, char dst[TIMEFMT_SIZE])
{
    static const struct places at = {"00000000T000000Z", 4, 6, 9, 11, 13, -1};
    fill(ms, &at, dst);
}

void timefmt_stamp(int64_t ms, char dst[TIMEFMT_SIZE])
{
    static const struct places at = {"00000000_000000", 4, 6, 9, 11, 13, -1};
    fill(ms, &at, dst);
}

/* ---- reading: each take_* moves *s past what it took, or returns false ---------------------- */

static bool take_digits(const char **s, int count, int *out)
{
    int v = 0;
    for (int i = 0; i < count; i++) {
        const char c = (*s)[i];
        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (c - '0');
    }
    *s += count;
    *out = v;
    return true;
}

static bool take_char(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

static bool take_text(const char **s, const char *text)
{
    const size_t n = strlen(text);
    if (strncmp(*s, text, n) != 0)
        return false;
    *s += n;
    return true;
}

/* Index of the name that *s begins with, or -1. */
static int take_name(const char **s, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (take_text(s, names[i]))
            return i;
    }
    return -1;
}

static bool take_date(const char **s, struct moment *m)
{
    int year;
    if (!take_digits(s, 4, &year) || !take_char(s, '-') || !take_digits(s, 2, &m->month) ||
        !take_char(s, '-') || !take_digits(s, 2, &m->day))
        return false;
    m->year = year;
    return true;
}

static bool take_clock(const char **s, struct moment *m)
{
    return take_digits(s, 2, &m->hour) && take_char(s, ':') && take_digits(s, 2, &m->minute) &&
           take_char(s, ':') && take_digits(s, 2, &m->second);
}

/* .f or more digits; what is finer than a millisecond is cut off. */
static bool take_fraction(const char **s, int *ms)
{
    int scale = 100, digit, count = 0;
    for (; take_digits(s, 1, &digit); count++) {
        *ms += digit * scale;
        scale /= 10;
    }
    return count > 0;
}

/* Z, +HH, +HH:MM (PostgreSQL writes the short form); nothing is UTC. */
static bool take_zone(const char **s, int64_t *offset_ms)
{
    *offset_ms = 0;
    if (**s == '\0' || take_char(s, 'Z'))
        return true;
    const bool west = **s == '-';
    int hours, minutes = 0;
    if (!take_char(s, '-') && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || (take_char(s, ':') && !take_digits(s, 2, &minutes)))
        return false;
    if (hours > 23 || minutes > 59)
        return false;
    *offset_ms = hours * HOUR_MS + minutes * MINUTE_MS;
    if (west)
        *offset_ms = -*offset_ms;
    return true;
}

/* DATETIME has NUMERIC affinity in SQLite, so applications store epochs too: ten digits are
 * seconds (until 2286), thirteen milliseconds; other lengths are not guessed at. */
static bool parse_epoch(const char *s, int64_t *ms)
{
    const size_t n = strspn(s, "0123456789");
    if (s[n] != '\0' || (n != 10 && n != 13))
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (s[i] - '0');
    *ms = n == 10 ? v * 1000 : v;
    return true;
}

bool timefmt_parse(const char *s, int64_t *ms)
{
    struct moment m = {0};
    int64_t offset = 0, local;
    if (s == NULL)
        return false;
    if (parse_epoch(s, ms))
        return true;
    if (!take_date(&s, &m))
        return false;
    if (*s != '\0') {
        if (!take_char(&s, 'T') && !take_char(&s, ' '))
            return false;
        if (!take_digits(&s, 2, &m.hour) || !take_char(&s, ':') || !take_digits(&s, 2, &m.minute))
            return false;
        if (take_char(&s, ':')) {
            if (!take_digits(&s, 2, &m.second))
                return false;
            if (take_char(&s, '.') && !take_fraction(&s, &m.ms))
                return false;
        }
        if (!take_zone(&s, &offset) || *s != '\0')
            return false;
    }
    if (!join(&m, 59, &local) || local - offset < FIRST_MS || local - offset > LAST_MS)
        return false;
    *ms = local - offset;
    return true;
}

bool timefmt_parse_day(const char *s, int64_t *ms)
{
    struct moment m = {0};
    return s != NULL && take_date(&s, &m) && *s == '\0' && join(&m, 59, ms);
}

/* ---- HTTP dates (RFC 9110 section 5.6.7) ---------------------------------------------------- */

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const days_short[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char *const days_long[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};

static bool take_month(const char **s, struct moment *m)
{
    m->month = take_name(s, months, 12) + 1;
    return m->month > 0;
}

/* Two digits of a year: the one that is not more than 50 years ahead of now. */
static int64_t whole_year(int two_digits)
{
    struct moment now;
    split(clock_wall_ms(), &now);
    const int64_t year = now.year - now.year % 100 + two_digits;
    return year > now.year + 50 ? year - 100 : year;
}

/* 06 Nov 1994 08:49:37 GMT */
static bool take_imf(const char **s, struct moment *m)
{
    int year;
    if (!take_digits(s, 2, &m->day) || !take_char(s, ' ') || !take_month(s, m) ||
        !take_char(s, ' ') || !take_digits(s, 4, &year) || !take_char(s, ' '))
        return false;
    m->year = year;
    return take_clock(s, m) && take_text(s, " GMT");
}

/* 06-Nov-94 08:49:37 GMT */
static bool take_rfc850(const char **s, struct moment *m)
{
    int year;
    if (!take_digits(s, 2, &m->day) || !take_char(s, '-') || !take_month(s, m) ||
        !take_char(s, '-') || !take_digits(s, 2, &year) || !take_char(s, ' '))
        return false;
    m->year = whole_year(year);
    return take_clock(s, m) && take_text(s, " GMT");
}

/* Nov  6 08:49:37 1994 */
static bool take_asctime(const char **s, struct moment *m)
{
    int year;
    if (!take_month(s, m) || !take_char(s, ' '))
        return false;
    if (!take_digits(s, 2, &m->day) && !(take_char(s, ' ') && take_digits(s, 1, &m->day)))
        return false;
    if (!take_char(s, ' ') || !take_clock(s, m) || !take_char(s, ' ') || !take_digits(s, 4, &year))
        return false;
    m->year = year;
    return true;
}

bool timefmt_parse_http(const char *s, int64_t *ms)
{
    struct moment m = {0};
    bool taken = false;
    if (s == NULL)
        return false;
    if (take_name(&s, days_long, 7) >= 0)
        taken = take_text(&s, ", ") && take_rfc850(&s, &m);
    else if (take_name(&s, days_short, 7) >= 0)
        taken = take_text(&s, ", ") ? take_imf(&s, &m) : take_char(&s, ' ') && take_asctime(&s, &m);
    return taken && *s == '\0' && join(&m, 60, ms); /* :60 is the first instant after it */
}
