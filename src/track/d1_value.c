/* d1_value: values by type and bytes. JSON knows neither 64-bit integers nor bytes, and JavaScript in between bends what is no
 * UTF-8: so every value that matters travels as a letter and a text that is plain ASCII or UTF-8 of ours.
 */
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "track/d1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void d1_value_sql(struct buf *b, const char *x, int kept)
{
    char text[160], bytes[160]; /* substr() of a text would end at a NUL */

    if (kept > 0) {
        (void)snprintf(text, sizeof text, "substr(%s, 1, %d)", x, kept);
        (void)snprintf(bytes, sizeof bytes, "substr(CAST(%s AS BLOB), 1, %d)", x, kept);
    } else {
        str_copy(text, sizeof text, x);
        str_copy(bytes, sizeof bytes, x);
    }
    buf_printf(b,
               "CASE typeof(%s) WHEN 'text' THEN CASE WHEN %s NOT GLOB '*[^ -~]*'"
               " AND instr(%s, char(0)) = 0 THEN 't' || %s ELSE 'u' || hex(%s) END"
               " WHEN 'integer' THEN 'i' || %s WHEN 'real' THEN 'r' || quote(%s)"
               " WHEN 'blob' THEN ",
               x, x, x, text, bytes, x, x);
    if (kept > 0)
        buf_str(b, "'b' END");
    else
        buf_printf(b, "'b' || hex(%s) END", x);
}

void d1_value_back_sql(struct buf *b, const char *x)
{
    buf_printf(b,
               "CASE substr(%s, 1, 1) WHEN 't' THEN substr(%s, 2)"
               " WHEN 'u' THEN CAST(unhex(substr(%s, 2)) AS TEXT)"
               " WHEN 'i' THEN CAST(substr(%s, 2) AS INTEGER)"
               " WHEN 'r' THEN CAST(substr(%s, 2) AS REAL)"
               " WHEN 'b' THEN unhex(substr(%s, 2)) END",
               x, x, x, x, x, x);
}

static bool unhex(const char *hex, struct tracker_value *v, struct arena *mem)
{
    const size_t n = strlen(hex);
    char *bytes = arena_alloc(mem, n / 2 + 1);

    if (bytes == NULL || !text_unhex(hex, n, bytes))
        return false;
    v->bytes = bytes;
    v->len = n / 2;
    return true;
}

bool d1_value_read(const struct json *item, struct tracker_value *v, struct arena *mem)
{
    const char *text = json_string(item);
    char *end = NULL;

    v->type = TRACKER_NULL;
    v->integer = 0;
    v->real = 0;
    v->bytes = "";
    v->len = 0;
    if (text == NULL)
        return json_is_null(item);
    switch (text[0]) {
    case 'i':
        v->type = TRACKER_INTEGER;
        v->integer = strtoll(text + 1, &end, 10);
        return true;
    case 'r':
        v->type = TRACKER_REAL;
        v->real = strtod(text + 1, &end);
        return true;
    case 't':
        v->type = TRACKER_TEXT;
        v->bytes = text + 1;
        v->len = strlen(text + 1);
        return true;
    case 'u':
        v->type = TRACKER_TEXT;
        return unhex(text + 1, v, mem);
    case 'b':
        v->type = TRACKER_BLOB;
        return unhex(text + 1, v, mem);
    default:
        return false;
    }
}

static bool plain(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] < ' ' || p[i] > '~')
            return false;
    }
    return true;
}

bool d1_value_write(struct buf *b, const struct tracker_value *v)
{
    char pair[3];

    switch (v->type) {
    case TRACKER_INTEGER:
        return buf_printf(b, "i%lld", (long long)v->integer);
    case TRACKER_REAL:
        return buf_printf(b, "r%.17g", v->real);
    case TRACKER_TEXT:
    case TRACKER_BLOB:
        if (v->type == TRACKER_TEXT && plain(v->bytes, v->len))
            return buf_char(b, 't') && buf_append(b, v->bytes, v->len);
        buf_char(b, v->type == TRACKER_TEXT ? 'u' : 'b');
        for (size_t i = 0; i < v->len; i++) {
            text_hex(v->bytes + i, 1, pair);
            buf_append(b, pair, 2);
        }
        return buf_ok(b);
    case TRACKER_NULL:
        break;
    }
    return buf_ok(b);
}

void d1_value_usable_sql(struct buf *b, const char *x, bool numeric)
{
    buf_char(b, '(');
    if (numeric)
        buf_printf(b, "typeof(%s) = 'integer' OR ", x);
    buf_printf(b,
               "(typeof(%s) = 'text' AND length(CAST(%s AS BLOB)) <= %d"
               " AND instr(%s, char(0)) = 0))",
               x, x, (int)SQLITE_TEXT_MAX, x);
}

/* What timefmt_parse() reads, but for zones without minutes: those count as not readable here. */
void d1_value_ms_sql(struct buf *b, const char *x)
{
    buf_printf(
        b,
        "CASE WHEN typeof(%s) NOT IN ('text', 'integer') THEN NULL"
        " WHEN %s NOT GLOB '*[^0-9]*' AND length(%s) = 10 THEN CAST(%s AS INTEGER) * 1000"
        " WHEN %s NOT GLOB '*[^0-9]*' AND length(%s) = 13 THEN CAST(%s AS INTEGER)"
        " WHEN %s GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"
        " AND substr(%s, 12, 2) <> '24' AND substr(%s, 1, 10) = date(substr(%s, 1, 10), '+0 days')"
        " THEN CAST(round((julianday(%s) - 2440587.5) * 86400000.0) AS INTEGER) END",
        x, x, x, x, x, x, x, x, x, x, x, x);
}
