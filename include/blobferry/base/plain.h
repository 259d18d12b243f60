/* plain: what lines are made of: texts of which most stand for themselves inside quotes (ids, paths, keys, hashes), and numbers. */
#ifndef BLOBFERRY_BASE_PLAIN_H
#define BLOBFERRY_BASE_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The leading bytes of s[0..n) that are printable ASCII (0x20 to 0x7e) and neither `quote`, itself such a byte, nor a backslash.
 * Eight at a time: the highest bit of a byte of `odd` is set by one that is not plain. One such byte may set it in those above it,
 * never where all are plain, and which byte it was is asked one by one. */
static inline size_t plain_length(const char *s, size_t n, char quote)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
    size_t i = 0;

    for (; n - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t v;

        memcpy(&v, s + i, sizeof v);
        const uint64_t q = v ^ ones * (unsigned char)quote, b = v ^ ones * '\\';
        const uint64_t odd = v | (v + ones) | (v - ones * ' ') | (q - ones) | (b - ones);
        if ((odd & high) != 0)
            break;
    }
    while (i < n && s[i] >= ' ' && s[i] < 0x7f && s[i] != quote && s[i] != '\\')
        i++;
    return i;
}

#define PLAIN_INTEGER 20 /* bytes of the longest */

/* value in decimal, at the end of room; *n bytes, no NUL. */
static inline const char *plain_integer(char room[PLAIN_INTEGER], int64_t value, size_t *n)
{
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    size_t at = PLAIN_INTEGER;

    do {
        room[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        room[--at] = '-';
    *n = PLAIN_INTEGER - at;
    return &room[at];
}

#endif
