/* text: hex, base64 and percent-encoding. Strict in reading: what is not exactly well-formed is
 * refused, so that a damaged checksum is never taken for another one. */
#include "blobferry/codec/text.h"

#include <stdint.h>
#include <string.h>

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

void text_hex(const void *p, size_t n, char *dst)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++) {
        *dst++ = hex_lower[s[i] >> 4];
        *dst++ = hex_lower[s[i] & 15];
    }
    *dst = '\0';
}

bool text_unhex(const char *s, size_t n, void *dst)
{
    unsigned char *d = dst;
    if (n % 2 != 0)
        return false;
    for (size_t i = 0; i < n; i += 2) {
        const int high = hex_value(s[i]);
        const int low = hex_value(s[i + 1]);
        if (high < 0 || low < 0)
            return false;
        *d++ = (unsigned char)(high << 4 | low);
    }
    return true;
}

bool text_base64(const void *p, size_t n, char *dst, size_t size)
{
    const unsigned char *s = p;
    if (n / 3 >= SIZE_MAX / 4 - 2 || size < (n + 2) / 3 * 4 + 1)
        return false;
    for (; n > 0; s += 3) {
        const uint32_t v =
            (uint32_t)s[0] << 16 | (n > 1 ? (uint32_t)s[1] << 8 : 0) | (n > 2 ? (uint32_t)s[2] : 0);
        *dst++ = base64_digits[v >> 18];
        *dst++ = base64_digits[v >> 12 & 63];
        *dst++ = n > 1 ? base64_digits[v >> 6 & 63] : '=';
        *dst++ = n > 2 ? base64_digits[v & 63] : '=';
        n -= n > 2 ? 3 : n;
    }
    *dst = '\0';
    return true;
}

bool text_unbase64(const char *s, size_t n, void *dst, size_t *len)
{
    unsigned char *d = dst;
    if (n % 4 != 0)
        return false;
    if (n == 0) {
        *len = 0;
        return true;
    }
    const size_t padding = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
    const size_t bytes = n / 4 * 3 - padding;
    if (bytes > *len)
        return false;

    for (size_t i = 0, done = 0; i < n; i += 4) {
        const size_t digits = i + 4 == n ? 4 - padding : 4;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            const int digit = k < digits ? base64_value(s[i + k]) : 0;
            if (digit < 0)
                return false;
            v = v << 6 | (uint32_t)digit;
        }
        /* RFC 4648 section 3.5: the bits under the padding must be zero, or two texts would stand
         * for one value. */
        if ((digits == 3 && (v & 0xff) != 0) || (digits == 2 && (v & 0xffff) != 0))
            return false;
        for (int shift = 16; shift >= 0 && done < bytes; shift -= 8)
            d[done++] = (unsigned char)(v >> shift);
    }
    *len = bytes;
    return true;
}

static bool unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool text_uri_encode(struct buf *b, const void *p, size_t n, bool keep_slash)
{
    const unsigned char *s = p;
    size_t i = 0;
    while (i < n) {
        const size_t plain = i;
        while (i < n && (unreserved(s[i]) || (keep_slash && s[i] == '/')))
            i++;
        if (i > plain && !buf_append(b, s + plain, i - plain))
            return false;
        if (i == n)
            break;
        const char coded[3] = {'%', hex_upper[s[i] >> 4], hex_upper[s[i] & 15]};
        if (!buf_append(b, coded, sizeof coded))
            return false;
        i++;
    }
    return buf_ok(b);
}

bool text_uri_decode(struct buf *b, const char *s, size_t n, bool plus_is_space)
{
    /* Looked through first, so that a malformed text leaves the buffer as it was. */
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '%' && (n - i < 3 || hex_value(s[i + 1]) < 0 || hex_value(s[i + 2]) < 0))
            return false;
    }
    for (size_t i = 0; i < n;) {
        char c = s[i];
        if (c == '%') {
            c = (char)(hex_value(s[i + 1]) << 4 | hex_value(s[i + 2]));
            i += 3;
        } else {
            if (c == '+' && plus_is_space)
                c = ' ';
            i++;
        }
        if (!buf_char(b, c))
            return false;
    }
    return buf_ok(b);
}
