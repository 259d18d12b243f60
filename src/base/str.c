/* str: small helpers on C strings. Numbers are read strictly: what is not exactly well-formed is
 * refused rather than half read. ASCII only and locale-free. */
#include "blobferry/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_copy(char *dst, size_t size, const char *src)
{
    const size_t n = strlen(src);
    if (size == 0)
        return false;
    const size_t fits = n < size ? n : size - 1;
    memmove(dst, src, fits);
    dst[fits] = '\0';
    return fits == n;
}

char *str_dup(const char *s)
{
    return s == NULL ? NULL : strdup(s);
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool str_empty(const char *s)
{
    return s == NULL || s[0] == '\0';
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    const size_t n = strlen(s);
    const size_t m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_ieq(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

/* Digits up to the first other byte; false without a digit or on overflow. */
static bool read_digits(const char **s, uint64_t *out)
{
    const char *p = *s;
    uint64_t value = 0;

    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *s = p;
    *out = value;
    return true;
}

bool str_to_u64(const char *s, uint64_t *out)
{
    uint64_t value;

    if (s == NULL || !read_digits(&s, &value) || *s != '\0')
        return false;
    *out = value;
    return true;
}

bool str_to_size(const char *s, uint64_t *out)
{
    static const char units[] = "kmgtpe";
    uint64_t value;
    unsigned shift = 0;

    if (s == NULL || !read_digits(&s, &value))
        return false;
    const char *unit = *s != '\0' ? strchr(units, lower(*s)) : NULL;
    if (unit != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        s++;
        if (lower(s[0]) == 'i' && lower(s[1]) == 'b')
            s++;
    }
    if (lower(*s) == 'b')
        s++;
    if (*s != '\0' || value > UINT64_MAX >> shift)
        return false;
    *out = value << shift;
    return true;
}

bool str_to_duration_ms(const char *s, int64_t *out)
{
    static const struct {
        const char *suffix;
        int64_t ms;
    } units[] = {{"", 1000},     {"ms", 1},       {"s", 1000},     {"m", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
    uint64_t value;

    if (s == NULL || !read_digits(&s, &value))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!str_eq(s, units[i].suffix))
            continue;
        if (value > (uint64_t)(INT64_MAX / units[i].ms))
            return false;
        *out = (int64_t)value * units[i].ms;
        return true;
    }
    return false;
}

const char *str_from_size(char *dst, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    if (bytes < 1024) {
        snprintf(dst, size, "%" PRIu64 " B", bytes);
        return dst;
    }
    unsigned unit = 0;
    while (unit < 5 && bytes >> (10 * (unit + 2)) != 0)
        unit++;
    const unsigned shift = 10 * (unit + 1);
    uint64_t whole = bytes >> shift;
    /* Ten bits of the fraction are enough for one digit, rounded half up. */
    const uint64_t fraction = bytes >> (shift - 10) & 1023;
    uint64_t tenths = (fraction * 10 + 512) / 1024;
    if (tenths == 10) {
        whole++;
        tenths = 0;
    }
    if (whole == 1024 && unit < 5) {
        whole = 1;
        unit++;
    }
    snprintf(dst, size, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[unit]);
    return dst;
}

size_t str_utf8_next(const char *s, size_t n, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s;
    size_t length;
    uint32_t value;

    if (n == 0)
        return 0;
    if (p[0] < 0x80) {
        *point = p[0];
        return 1;
    }
    if ((p[0] & 0xE0) == 0xC0) {
        length = 2;
        value = p[0] & 0x1Fu;
    } else if ((p[0] & 0xF0) == 0xE0) {
        length = 3;
        value = p[0] & 0x0Fu;
    } else if ((p[0] & 0xF8) == 0xF0) {
        length = 4;
        value = p[0] & 0x07u;
    } else {
        return 0;
    }
    if (n < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3Fu);
    }
    if (value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *point = value;
    return length;
}

bool str_utf8_valid(const char *s, size_t n)
{
    uint32_t point;

    while (n > 0) {
        if ((unsigned char)*s < 0x80) {
            s++;
            n--;
            continue;
        }
        const size_t used = str_utf8_next(s, n, &point);
        if (used == 0)
            return false;
        s += used;
        n -= used;
    }
    return true;
}

bool str_is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point <= 0x9F) || point == 0x61C || point == 0xFEFF ||
           (point >= 0x200E && point <= 0x200F) || (point >= 0x2028 && point <= 0x202E) ||
           (point >= 0x2066 && point <= 0x2069);
}

/* One character of s, escaped when it must be; returns the bytes consumed. */
static size_t printable_next(const char *s, size_t n, char unit[16], size_t *unit_len)
{
    uint32_t point = 0;
    const size_t used = str_utf8_next(s, n, &point);

    if (used == 0 || (used == 1 && str_is_control(point)))
        *unit_len = (size_t)snprintf(unit, 16, "\\x%02x", (unsigned)(unsigned char)s[0]);
    else if (str_is_control(point))
        *unit_len = (size_t)snprintf(unit, 16, "\\u{%04x}", (unsigned)point);
    else
        memcpy(unit, s, *unit_len = used);
    return used == 0 ? 1 : used;
}

const char *str_printable(char *dst, size_t size, const char *s)
{
    char unit[16];
    size_t unit_len;
    size_t len = 0;
    size_t safe = 0; /* the last place where "..." still fits */
    size_t left = s == NULL ? 0 : strlen(s);

    if (size == 0)
        return dst;
    while (left > 0) {
        const size_t used = printable_next(s, left, unit, &unit_len);
        if (len + unit_len >= size) {
            len = safe;
            for (int i = 0; i < 3 && len + 1 < size; i++)
                dst[len++] = '.';
            break;
        }
        memcpy(dst + len, unit, unit_len);
        len += unit_len;
        if (len + 3 < size)
            safe = len;
        s += used;
        left -= used;
    }
    dst[len] = '\0';
    return dst;
}
