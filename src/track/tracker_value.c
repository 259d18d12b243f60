#include "blobferry/track/tracker_value.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "blobferry/codec/timefmt.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UUID_LEN 36

const char *tracker_kind_name(enum tracker_kind k)
{
    static const char *const names[TRACKER_KINDS] = {"any",  "text", "integer", "real", "boolean",
                                                     "time", "uuid", "bytes",   "other"};
    return (unsigned)k < TRACKER_KINDS ? names[k] : "other";
}

/* ---- times -------------------------------------------------------------------------------------------- */

static bool two_digits(const char *s, int low, int high)
{
    const int value = (s[0] - '0') * 10 + s[1] - '0';
    return s[0] >= '0' && s[0] <= '9' && s[1] >= '0' && s[1] <= '9' && value >= low &&
           value <= high;
}

/* The common form already? Only days that every month has: for the others the calendar is asked. */
static bool is_common_time(const char *s, size_t n)
{
    if (n < 19 || n == 20 || n > 26 || s[4] != '-' || s[7] != '-' || s[10] != ' ' || s[13] != ':' ||
        s[16] != ':' || !two_digits(s, 1, 99) || !two_digits(s + 2, 0, 99) ||
        !two_digits(s + 5, 1, 12) || !two_digits(s + 8, 1, 28) || !two_digits(s + 11, 0, 23) ||
        !two_digits(s + 14, 0, 59) || !two_digits(s + 17, 0, 59))
        return false;
    if (n == 19)
        return true;
    for (size_t i = 20; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
    }
    return s[19] == '.' && s[n - 1] != '0';
}

/* Digits four to six after the point: timefmt counts in milliseconds. */
static int microseconds(const char *s)
{
    const char *point = strchr(s, '.');
    int digits[3] = {0};

    if (point == NULL)
        return 0;
    for (int i = 1; i <= 6 && point[i] >= '0' && point[i] <= '9'; i++) {
        if (i > 3)
            digits[i - 4] = point[i] - '0';
    }
    return digits[0] * 100 + digits[1] * 10 + digits[2];
}

static bool add_time(struct buf *b, const struct tracker_value *v)
{
    char text[80], out[TIMEFMT_SIZE];
    int64_t ms;

    if (v->type == TRACKER_TEXT && is_common_time(v->bytes, v->len))
        return b == NULL || buf_append(b, v->bytes, v->len);
    if (v->type == TRACKER_INTEGER)
        snprintf(text, sizeof text, "%" PRId64, v->integer);
    else if (v->type != TRACKER_TEXT || v->len >= sizeof text ||
             memchr(v->bytes, 0, v->len) != NULL)
        return false;
    else
        snprintf(text, sizeof text, "%.*s", (int)v->len, v->bytes);
    if (!timefmt_parse(text, &ms))
        return false;
    if (b == NULL)
        return true;
    const int fraction = (int)((ms % 1000 + 1000) % 1000) * 1000 +
                         (v->type == TRACKER_TEXT ? microseconds(text) : 0);
    timefmt_db(ms - (ms % 1000 + 1000) % 1000, out);
    buf_str(b, out);
    if (fraction != 0) {
        snprintf(text, sizeof text, ".%06d", fraction);
        size_t n = strlen(text);
        while (text[n - 1] == '0')
            n--;
        buf_append(b, text, n);
    }
    return true;
}

/* ---- the other kinds: each adds the common form, or says false ---------------------------------------------- */

static bool add_text(struct buf *b, const struct tracker_value *v)
{
    if (v->type == TRACKER_INTEGER)
        return b == NULL || buf_printf(b, "%" PRId64, v->integer);
    if (v->type == TRACKER_REAL)
        return b == NULL || buf_printf(b, "%.17g", v->real);
    return v->type == TRACKER_TEXT && (b == NULL || buf_append(b, v->bytes, v->len));
}

static bool add_integer(struct buf *b, const struct tracker_value *v)
{
    const bool sign = v->type == TRACKER_TEXT && v->len > 1 && v->bytes[0] == '-';

    if (v->type == TRACKER_INTEGER)
        return b == NULL || buf_printf(b, "%" PRId64, v->integer);
    /* '007' would come back as 7 */
    if (v->type != TRACKER_TEXT || v->len == 0 || v->len > 19 ||
        (v->bytes[sign] == '0' && v->len > 1))
        return false;
    for (size_t i = sign; i < v->len; i++) {
        if (v->bytes[i] < '0' || v->bytes[i] > '9')
            return false;
    }
    return b == NULL || buf_append(b, v->bytes, v->len);
}

static bool add_real(struct buf *b, const struct tracker_value *v)
{
    if (v->type != TRACKER_REAL && v->type != TRACKER_INTEGER)
        return false;
    return b == NULL ||
           buf_printf(b, "%.17g", v->type == TRACKER_REAL ? v->real : (double)v->integer);
}

static bool add_boolean(struct buf *b, const struct tracker_value *v)
{
    static const char *const words[] = {"f", "t", "false", "true", "0", "1", "no", "yes"};

    if (v->type == TRACKER_INTEGER && (v->integer == 0 || v->integer == 1))
        return b == NULL || buf_char(b, v->integer == 1 ? 't' : 'f');
    for (size_t i = 0; v->type == TRACKER_TEXT && i < sizeof words / sizeof *words; i++) {
        if (v->len == strlen(words[i]) && strncasecmp(v->bytes, words[i], v->len) == 0)
            return b == NULL || buf_char(b, i % 2 == 1 ? 't' : 'f');
    }
    return false;
}

static bool add_uuid(struct buf *b, const struct tracker_value *v)
{
    char out[UUID_LEN];

    if (v->type != TRACKER_TEXT || v->len != UUID_LEN)
        return false;
    for (size_t i = 0; i < UUID_LEN; i++) {
        const char c = v->bytes[i];
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !isxdigit((unsigned char)c))
            return false;
        out[i] = (char)(c >= 'A' && c <= 'F' ? c + 32 : c);
    }
    return b == NULL || buf_append(b, out, sizeof out);
}

static bool add_bytes(struct buf *b, const struct tracker_value *v)
{
    char hex[3];

    if (v->type != TRACKER_BLOB && v->type != TRACKER_TEXT)
        return false;
    if (b == NULL)
        return true;
    buf_str(b, "\\x");
    for (size_t i = 0; i < v->len; i++) {
        text_hex(v->bytes + i, 1, hex);
        buf_append(b, hex, 2);
    }
    return true;
}

static bool add(struct buf *b, const struct tracker_value *v, enum tracker_kind k)
{
    switch (k) {
    case TRACKER_KIND_TIME:
        return add_time(b, v);
    case TRACKER_KIND_INTEGER:
        return add_integer(b, v);
    case TRACKER_KIND_REAL:
        return add_real(b, v);
    case TRACKER_KIND_BOOLEAN:
        return add_boolean(b, v);
    case TRACKER_KIND_UUID:
        return add_uuid(b, v);
    case TRACKER_KIND_BYTES:
        return add_bytes(b, v);
    default:
        return add_text(b, v);
    }
}

const char *tracker_value_defect(const struct tracker_value *v, enum tracker_kind k)
{
    static const char *const no[TRACKER_KINDS] = {
        [TRACKER_KIND_ANY] = "is no text",        [TRACKER_KIND_TEXT] = "is no text",
        [TRACKER_KIND_INTEGER] = "is no integer", [TRACKER_KIND_REAL] = "is no number",
        [TRACKER_KIND_BOOLEAN] = "is no boolean", [TRACKER_KIND_TIME] = "is no time",
        [TRACKER_KIND_UUID] = "is no UUID",       [TRACKER_KIND_BYTES] = "is no byte string",
        [TRACKER_KIND_OTHER] = "is no text",
    };

    if (v->type == TRACKER_NULL)
        return NULL;
    if (v->type == TRACKER_TEXT && k != TRACKER_KIND_BYTES) {
        if (v->len > 0 && memchr(v->bytes, 0, v->len) != NULL)
            return "holds a NUL byte";
        if (!str_utf8_valid(v->bytes, v->len))
            return "is not UTF-8";
    }
    return add(NULL, v, k) ? NULL : no[(unsigned)k < TRACKER_KINDS ? k : TRACKER_KIND_OTHER];
}

void tracker_value_common(struct buf *b, const struct tracker_value *v, enum tracker_kind k)
{
    if (v->type == TRACKER_NULL || add(b, v, k) || add_text(b, v))
        return;
    buf_append(b, v->bytes, v->len);
}
