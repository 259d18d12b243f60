/* postgres_type: ids and times in the types that the application has chosen. A text stands for a value only in the one form in which
 * the server itself would write it, so that ids compare exactly ('07' is not 7) and no cast can fail. */
#include "track/postgres.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_uuid(const char *s)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    for (size_t i = 0; i < sizeof shape; i++) {
        if (shape[i] == 'x' ? s[i] == '\0' || strchr("0123456789abcdef", s[i]) == NULL
                            : s[i] != shape[i])
            return false;
    }
    return true;
}

static bool is_integer(const char *s, int64_t least, int64_t most)
{
    char back[24];
    const int64_t n = strtoll(s, NULL, 10);

    snprintf(back, sizeof back, "%lld", (long long)n);
    return strcmp(back, s) == 0 && n >= least && n <= most;
}

const char *postgres_type_id(const struct postgres_column *c, const char *text)
{
    bool fits = text != NULL && str_utf8_valid(text, strlen(text));

    if (!fits)
        return NULL;
    switch (c->kind) {
    case POSTGRES_UUID:
        fits = is_uuid(text);
        break;
    case POSTGRES_INT2:
        fits = is_integer(text, INT16_MIN, INT16_MAX);
        break;
    case POSTGRES_INT4:
        fits = is_integer(text, INT32_MIN, INT32_MAX);
        break;
    case POSTGRES_INT8:
        fits = is_integer(text, INT64_MIN, INT64_MAX);
        break;
    default:
        break;
    }
    return fits ? text : NULL;
}

const char *postgres_type_time(const struct postgres_column *c, int64_t ms,
                               char dst[POSTGRES_TIME_SIZE])
{
    char text[TIMEFMT_SIZE];

    timefmt_db(ms, text);
    snprintf(dst, POSTGRES_TIME_SIZE, "%s%s", text, c->kind == POSTGRES_STAMPTZ ? "+00" : "");
    return dst;
}

void postgres_type_show_time(struct buf *sql, const struct postgres_column *c, const char *expr)
{
    /* to_char() of infinity is NULL: then its own text is shown. */
    if (c->kind == POSTGRES_STAMPTZ)
        buf_printf(sql,
                   "coalesce(to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), %s::text)",
                   expr, expr);
    else if (c->kind == POSTGRES_STAMP)
        buf_printf(sql, "coalesce(to_char(%s, 'YYYY-MM-DD HH24:MI:SS'), %s::text)", expr, expr);
    else
        buf_printf(sql, "%s::text", expr);
}

void postgres_type_time_ms(struct buf *sql, const struct postgres_column *c, const char *expr)
{
    if (c->kind == POSTGRES_STAMPTZ || c->kind == POSTGRES_STAMP)
        buf_printf(sql,
                   "CASE WHEN isfinite(%s) THEN floor(extract(epoch FROM %s%s) * 1000)::bigint END",
                   expr, expr, c->kind == POSTGRES_STAMP ? " AT TIME ZONE 'UTC'" : "");
    else
        buf_str(sql, "NULL::bigint");
}

static bool is_number(enum postgres_kind k)
{
    return k == POSTGRES_INT2 || k == POSTGRES_INT4 || k == POSTGRES_INT8;
}

void postgres_type_as(struct buf *sql, const char *expr, const struct postgres_column *from,
                      const struct postgres_column *to)
{
    if (from->kind == to->kind || (is_number(from->kind) && is_number(to->kind)))
        buf_str(sql, expr);
    else if (to->kind == POSTGRES_UUID)
        buf_printf(sql,
                   "CASE WHEN %s::text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
                   " THEN %s::text::uuid END",
                   expr, expr);
    else if (is_number(to->kind)) /* an int8 is compared with an int2 or int4 by the same index */
        buf_printf(sql,
                   "CASE WHEN %s::text ~ '^(0|-?[1-9][0-9]{0,17})$' THEN %s::text::bigint"
                   " WHEN %s::text ~ '^-?[1-9][0-9]{18}$' THEN CASE WHEN %s::text::numeric BETWEEN"
                   " -9223372036854775808 AND 9223372036854775807 THEN %s::text::bigint END END",
                   expr, expr, expr, expr, expr);
    else
        buf_printf(sql, "%s::text", expr);
}
