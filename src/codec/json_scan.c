/* json_scan: the grammar of RFC 8259, checked with one bit of memory for each level. */
#include "json_scan.h"

#include "blobferry/base/str.h"

#include <string.h>

#define NUMBER_MAX  60 /* characters; cJSON 1.7 cuts a number after 63 */
#define EXACT_LIMIT (INT64_C(1) << 53)

struct scan {
    const char *at, *end;
    int depth;
    uint64_t arrays; /* bit per level: 1 array, 0 object */
    size_t values;
    const char *why; /* the first fault */
    bool limit;      /* it is a bound of ours */
};

static bool fault(struct scan *s, const char *why)
{
    if (s->why == NULL)
        s->why = why;
    return false;
}

static bool over_limit(struct scan *s, const char *why)
{
    s->limit = true;
    return fault(s, why);
}

static int peek(const struct scan *s)
{
    return s->at < s->end ? (unsigned char)*s->at : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool expect(struct scan *s, char c, const char *why)
{
    if (peek(s) != c)
        return fault(s, why);
    s->at++;
    return true;
}

static int hex_digit(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool four_hex(struct scan *s, int *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(peek(s));
        if (digit < 0)
            return fault(s, "malformed \\u");
        *unit = *unit << 4 | digit;
        s->at++;
    }
    return true;
}

/* After a backslash. */
static bool escape(struct scan *s)
{
    int unit, low;
    const int c = peek(s);
    if (c < 0 || c == 0 || strchr("\"\\/bfnrtu", c) == NULL)
        return fault(s, "unknown escape");
    s->at++;
    if (c != 'u')
        return true;
    if (!four_hex(s, &unit))
        return false;
    if (unit == 0)
        return fault(s, "\\u0000"); /* every string of ours ends at a NUL */
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return fault(s, "lone surrogate");
    if (unit < 0xd800 || unit > 0xdbff)
        return true;
    if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
        return fault(s, "lone surrogate");
    s->at += 2;
    if (!four_hex(s, &low))
        return false;
    return low >= 0xdc00 && low <= 0xdfff ? true : fault(s, "lone surrogate");
}

static bool string(struct scan *s)
{
    s->at++;
    for (;;) {
        const int c = peek(s);
        if (c < 0)
            return fault(s, "string not closed");
        if (c < 0x20)
            return fault(s, "control character in a string");
        s->at++;
        if (c == '"')
            return true;
        if (c == '\\' && !escape(s))
            return false;
    }
}

static bool digits(struct scan *s)
{
    if (!is_digit(peek(s)))
        return fault(s, "malformed number");
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

static bool number(struct scan *s)
{
    const char *begin = s->at;
    if (peek(s) == '-')
        s->at++;
    if (peek(s) == '0') {
        s->at++;
        if (is_digit(peek(s)))
            return fault(s, "number with a leading zero");
    } else if (!digits(s)) {
        return false;
    }
    if (peek(s) == '.') {
        s->at++;
        if (!digits(s))
            return false;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (!digits(s))
            return false;
    }
    return s->at - begin <= NUMBER_MAX ? true : over_limit(s, "number too long");
}

static bool literal(struct scan *s, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return fault(s, "value expected");
    s->at += n;
    return true;
}

/* "name" : */
static bool member_name(struct scan *s)
{
    skip_blanks(s);
    if (peek(s) != '"')
        return fault(s, "name expected");
    if (!string(s))
        return false;
    skip_blanks(s);
    return expect(s, ':', "':' expected");
}

static bool in_array(const struct scan *s)
{
    return (s->arrays >> (s->depth - 1) & 1) != 0;
}

/* After '{' or '['. *empty: it closed at once. */
static bool enter(struct scan *s, bool array, bool *empty)
{
    *empty = false;
    if (s->depth == JSON_SCAN_LEVELS)
        return over_limit(s, "nested too deep");
    const uint64_t bit = UINT64_C(1) << s->depth++;
    s->arrays = array ? s->arrays | bit : s->arrays & ~bit;
    skip_blanks(s);
    if (peek(s) == (array ? ']' : '}')) {
        s->at++;
        s->depth--;
        *empty = true;
        return true;
    }
    return array || member_name(s);
}

/* A whole scalar or an empty container sets *whole; else the first value inside comes next. */
static bool begin_value(struct scan *s, bool *whole)
{
    skip_blanks(s);
    if (++s->values > JSON_SCAN_VALUES)
        return over_limit(s, "too many values");
    const int c = peek(s);
    *whole = true;
    switch (c) {
    case '{':
    case '[':
        s->at++;
        return enter(s, c == '[', whole);
    case '"':
        return string(s);
    case 't':
        return literal(s, "true");
    case 'f':
        return literal(s, "false");
    case 'n':
        return literal(s, "null");
    default:
        return c == '-' || is_digit(c) ? number(s) : fault(s, "value expected");
    }
}

/* After a value: closes what ends here; *next when a comma asks for another value. */
static bool after_value(struct scan *s, bool *next)
{
    *next = false;
    while (s->depth > 0) {
        skip_blanks(s);
        if (peek(s) == ',') {
            s->at++;
            *next = true;
            return in_array(s) || member_name(s);
        }
        if (!expect(s, in_array(s) ? ']' : '}', "',' or the end of an array or object expected"))
            return false;
        s->depth--;
    }
    return true;
}

enum err_code json_scan_check(const char *text, size_t n, struct err *e)
{
    struct scan s = {.at = text, .end = n == 0 ? text : text + n};
    bool more = true;
    if (n > 0 && !str_utf8_valid(text, n))
        return err_set(e, ERR_PARSE, "malformed JSON: not valid UTF-8");
    while (more) {
        bool whole;
        if (!begin_value(&s, &whole))
            goto bad;
        if (whole && !after_value(&s, &more))
            goto bad;
    }
    skip_blanks(&s);
    if (s.at < s.end) {
        (void)fault(&s, "more text after the value");
        goto bad;
    }
    return ERR_OK;
bad:
    return err_set(e, s.limit ? ERR_LIMIT : ERR_PARSE, "malformed JSON at byte %zu: %s",
                   (size_t)(s.at - text), s.why);
}

static const char *past_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\')
            p++;
    }
    return p + 1;
}

bool json_scan_number(const char **at, const char *end, bool *exact, int64_t *value)
{
    const char *p = *at;
    while (p < end && *p != '-' && !is_digit(*p))
        p = *p == '"' ? past_string(p, end) : p + 1;
    if (p >= end)
        return false;
    const bool negative = *p == '-';
    if (negative)
        p++;
    int64_t v = 0;
    *exact = true;
    for (; p < end && is_digit(*p); p++) {
        v = v <= EXACT_LIMIT ? v * 10 + (*p - '0') : v;
        if (v > EXACT_LIMIT)
            *exact = false;
    }
    for (; p < end && *p != '\0' && strchr(".eE+-0123456789", *p) != NULL; p++)
        *exact = false;
    *value = negative ? -v : v;
    *at = p;
    return true;
}
