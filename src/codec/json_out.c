/* json_out: writing. What leaves here is pure in every reader: no raw control character, line
 * separator or bidi mark (F2), and bytes that are no text say so instead of being bent into it. */
#include "blobferry/base/plain.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <stdint.h>
#include <string.h>

#define PIECE ((size_t)192) /* bytes in one go: whole triples, only the last is padded */

void json_out_init(struct json_out *o, struct buf *b, int indent)
{
    memset(o, 0, sizeof *o);
    o->b = b;
    o->indent = indent;
}

/* Misuse, or nesting over the maximum: shows in buf_ok, so that nothing half-made is used. */
static void spoil(struct json_out *o)
{
    o->b->failed = true;
}

static void new_line(struct json_out *o)
{
    if (o->indent <= 0)
        return;
    (void)buf_char(o->b, '\n');
    for (int i = 0; i < o->depth * o->indent; i++)
        (void)buf_char(o->b, ' ');
}

/* Bytes of the character at p that must be written as \u, or 0; *c is its number. As in
 * str_printable: C0, DEL, C1, U+2028/9, U+200E/F, U+202A-E, U+2066-9. p is valid UTF-8. */
static size_t must_escape(const unsigned char *p, size_t n, unsigned *c)
{
    *c = p[0];
    if (p[0] < 0x20 || p[0] == 0x7f)
        return 1;
    if (n >= 2 && p[0] == 0xc2 && p[1] < 0xa0) {
        *c = p[1];
        return 2;
    }
    if (n < 3 || p[0] != 0xe2)
        return 0;
    *c = 0x2000U | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
    const bool mark = *c == 0x200e || *c == 0x200f || (*c >= 0x2028 && *c <= 0x202e) ||
                      (*c >= 0x2066 && *c <= 0x2069);
    return mark ? 3 : 0;
}

/* Of n bytes that all stand for themselves. */
static void quote_plain(struct buf *b, const char *s, size_t n)
{
    if (!buf_reserve(b, n + 2))
        return;
    char *at = b->data + b->len;
    *at++ = '"';
    if (n > 0)
        memcpy(at, s, n);
    at[n] = '"';
    at[n + 1] = '\0';
    b->len += n + 2;
}

static void quote(struct buf *b, const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0;
    (void)buf_char(b, '"');
    while (i < n) {
        const size_t plain = i;
        unsigned c = 0;
        size_t bytes = 0;
        while (i < n && p[i] != '"' && p[i] != '\\') {
            if (p[i] >= 0x20 && p[i] < 0x7f) {
                i++;
                continue;
            }
            bytes = must_escape(p + i, n - i, &c);
            if (bytes > 0)
                break;
            i++;
        }
        if (i > plain)
            (void)buf_append(b, s + plain, i - plain);
        if (i == n)
            break;
        if (bytes > 0) {
            (void)buf_printf(b, "\\u%04x", c);
            i += bytes;
        } else {
            (void)buf_char(b, '\\');
            (void)buf_char(b, s[i++]);
        }
    }
    (void)buf_char(b, '"');
}

/* Comma, new line and name: whatever comes before a value. */
static void lead(struct json_out *o, const char *name)
{
    if (o->depth == 0) {
        if (name != NULL)
            spoil(o);
        return;
    }
    if (o->depth > JSON_DEPTH_MAX)
        return; /* spoilt when it was opened */
    const int level = o->depth - 1;
    const size_t n = name == NULL ? 0 : strlen(name);
    const bool plain = plain_length(name, n, '"') == n;
    if ((name == NULL) != o->array[level] || (!plain && !str_utf8_valid(name, n))) {
        spoil(o);
        return;
    }
    if (!o->first[level])
        (void)buf_char(o->b, ',');
    o->first[level] = false;
    new_line(o);
    if (name == NULL)
        return;
    if (plain)
        quote_plain(o->b, name, n);
    else
        quote(o->b, name, n);
    (void)buf_char(o->b, ':');
    if (o->indent > 0)
        (void)buf_char(o->b, ' ');
}

static void open_level(struct json_out *o, const char *name, bool array)
{
    lead(o, name);
    if (o->depth >= JSON_DEPTH_MAX) {
        spoil(o);
    } else {
        o->first[o->depth] = true;
        o->array[o->depth] = array;
        (void)buf_char(o->b, array ? '[' : '{');
    }
    o->depth++;
}

void json_out_object(struct json_out *o, const char *name)
{
    open_level(o, name, false);
}

void json_out_array(struct json_out *o, const char *name)
{
    open_level(o, name, true);
}

void json_out_end(struct json_out *o)
{
    if (o->depth == 0) {
        spoil(o);
        return;
    }
    const int level = --o->depth;
    if (level >= JSON_DEPTH_MAX)
        return;
    if (!o->first[level])
        new_line(o);
    (void)buf_char(o->b, o->array[level] ? ']' : '}');
}

void json_out_string(struct json_out *o, const char *name, const char *value)
{
    if (value == NULL)
        json_out_null(o, name);
    else
        json_out_bytes(o, name, value, strlen(value));
}

void json_out_bytes(struct json_out *o, const char *name, const void *p, size_t n)
{
    if (plain_length(p, n, '"') == n) {
        lead(o, name);
        quote_plain(o->b, p, n);
        return;
    }
    if (memchr(p, '\0', n) == NULL && str_utf8_valid(p, n)) {
        lead(o, name);
        quote(o->b, p, n);
        return;
    }
    const unsigned char *bytes = p;
    char piece[PIECE / 3 * 4 + 1];
    lead(o, name);
    (void)buf_str(o->b, o->indent > 0 ? "{\"b64\": \"" : "{\"b64\":\"");
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t take = n - i < PIECE ? n - i : PIECE;
        if (!text_base64(bytes + i, take, piece, sizeof piece) || !buf_str(o->b, piece)) {
            spoil(o);
            return;
        }
    }
    (void)buf_str(o->b, "\"}");
}

void json_out_integer(struct json_out *o, const char *name, int64_t value)
{
    char room[PLAIN_INTEGER];
    size_t n;
    const char *digits = plain_integer(room, value, &n);

    lead(o, name);
    (void)buf_append(o->b, digits, n);
}

void json_out_boolean(struct json_out *o, const char *name, bool value)
{
    lead(o, name);
    (void)buf_str(o->b, value ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *name)
{
    lead(o, name);
    (void)buf_str(o->b, "null");
}
