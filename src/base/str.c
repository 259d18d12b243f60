#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool str_copy(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src);

    if (size == 0)
        return false;
    if (n >= size) {
        memcpy(dst, src, size - 1);
        dst[size - 1] = '\0';
        return false;
    }
    memcpy(dst, src, n + 1);
    return true;
}

char *str_dup(const char *s)
{
    return s != NULL ? strdup(s) : NULL;
}

bool str_eq(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

bool str_empty(const char *s)
{
    return s == NULL || *s == '\0';
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_ieq(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    while (*a != '\0' && lower(*a) == lower(*b))
        a++, b++;
    return lower(*a) == lower(*b);
}

/* Digits at the front; false when there are none or they overflow. */
static bool leading_u64(const char **s, uint64_t *out)
{
    uint64_t v = 0;
    const char *p = *s;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return false;
    }
    if (p == *s)
        return false;
    *s = p;
    *out = v;
    return true;
}

bool str_to_u64(const char *s, uint64_t *out)
{
    uint64_t v;

    if (s == NULL || !leading_u64(&s, &v) || *s != '\0')
        return false;
    *out = v;
    return true;
}

bool str_to_size(const char *s, uint64_t *out)
{
    static const char letters[] = "kmgtp";
    uint64_t v;
    unsigned shift = 0;

    if (s == NULL || !leading_u64(&s, &v))
        return false;
    if (*s != '\0' && lower(*s) != 'b') {
        const char *at = strchr(letters, lower(*s));
        if (at == NULL)
            return false;
        shift = 10u * (unsigned)(at - letters + 1);
        s++;
        if (lower(*s) == 'i' && lower(s[1]) == 'b')
            s++;
    }
    if (lower(*s) == 'b')
        s++;
    if (*s != '\0' || (shift > 0 && v > UINT64_MAX >> shift))
        return false;
    *out = v << shift;
    return true;
}

bool str_to_duration_ms(const char *s, int64_t *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"", 1000},     {"s", 1000},     {"ms", 1},       {"m", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
    uint64_t v;
    int64_t ms;

    if (s == NULL || !leading_u64(&s, &v) || v > INT64_MAX)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(s, units[i].unit) == 0) {
            if (__builtin_mul_overflow((int64_t)v, units[i].ms, &ms))
                return false;
            *out = ms;
            return true;
        }
    }
    return false;
}

const char *str_from_size(char *dst, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    size_t u = 0;

    while (v >= 1023.95 && u + 1 < sizeof units / sizeof *units) {
        v /= 1024;
        u++;
    }
    snprintf(dst, size, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return dst;
}

/* One UTF-8 sequence: its length, 0 when invalid (RFC 3629). */
static size_t decode(const unsigned char *p, size_t n, uint32_t *cp)
{
    size_t len;
    uint32_t v;

    if (n == 0)
        return 0;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    v = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3fu);
    }
    if ((len == 3 && v < 0x800) || (len == 4 && (v < 0x10000 || v > 0x10ffff)) ||
        (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *cp = v;
    return len;
}

bool str_utf8_valid(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    uint32_t cp;

    while (n > 0) {
        size_t k = decode(p, n, &cp);
        if (k == 0)
            return false;
        p += k;
        n -= k;
    }
    return true;
}

static bool unsafe(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029 ||
           (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200e ||
           cp == 0x200f || cp == 0x061c || cp == 0xfeff;
}

const char *str_printable(char *dst, size_t size, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = strlen(s), at = 0;

    if (size == 0)
        return dst;
    while (n > 0) {
        char piece[16];
        uint32_t cp = 0;
        size_t k = decode(p, n, &cp), len;

        if (k == 0 || (unsafe(cp) && cp < 0x80)) {
            k = 1;
            len = (size_t)snprintf(piece, sizeof piece, "\\x%02x", *p);
        } else if (unsafe(cp)) {
            len = (size_t)snprintf(piece, sizeof piece, "\\u{%04x}", (unsigned)cp);
        } else {
            len = k;
            memcpy(piece, p, k);
        }
        if (at + len + (n > k ? 4 : 1) > size) {
            size_t dots = size - 1 - at < 3 ? size - 1 - at : 3;
            memcpy(dst + at, "...", dots);
            at += dots;
            break;
        }
        memcpy(dst + at, piece, len);
        at += len;
        p += k;
        n -= k;
    }
    dst[at] = '\0';
    return dst;
}
