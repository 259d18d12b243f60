/* postgres_value: values as a backup keeps them: whole numbers, floating point and bytes as such, all else as the text that the
 * server reads back to the very same value, whatever the session says about formats and zones. */
#include "track/postgres_restore.h"

#include "blobferry/codec/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Types that the server has had for ever: https://www.postgresql.org/docs/current/catalog-pg-type.html */
enum type {
    T_BYTEA = 17,
    T_INT8 = 20,
    T_INT2 = 21,
    T_INT4 = 23,
    T_OID = 26,
    T_FLOAT4 = 700,
    T_FLOAT8 = 701
};

enum err_code postgres_value_formats(struct postgres *p, struct err *e)
{
    return postgres_statement_run(
        p,
        "SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),"
        " set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '3', "
        "true),"
        " set_config('bytea_output', 'hex', true)",
        POSTGRES_NONE, NULL, e);
}

/* '\x00ff' */
static bool read_bytes(const char *hex, size_t n, struct arena *mem, struct tracker_value *v)
{
    char *bytes = n >= 2 ? arena_alloc(mem, (n - 2) / 2 + 1) : NULL;

    if (bytes == NULL || !text_unhex(hex + 2, n - 2, bytes))
        return false;
    v->type = TRACKER_BLOB;
    v->bytes = bytes;
    v->len = (n - 2) / 2;
    return true;
}

bool postgres_value_read(const PGresult *q, int row, int column, struct arena *mem,
                         struct tracker_value *v)
{
    const char *text = postgres_statement_text(q, row, column);
    const size_t n = (size_t)PQgetlength(q, row, column);

    v->type = TRACKER_NULL;
    v->integer = 0;
    v->real = 0;
    v->bytes = "";
    v->len = 0;
    if (text == NULL)
        return true;
    switch ((enum type)PQftype(q, column)) {
    case T_INT8:
    case T_INT2:
    case T_INT4:
    case T_OID:
        v->type = TRACKER_INTEGER;
        v->integer = strtoll(text, NULL, 10);
        return true;
    case T_FLOAT4:
    case T_FLOAT8:
        v->real = strtod(text, NULL);
        if (isfinite(v->real)) {
            v->type = TRACKER_REAL;
            return true;
        }
        break;
    case T_BYTEA:
        return read_bytes(text, n, mem, v);
    default:
        break;
    }
    v->type = TRACKER_TEXT;
    v->bytes = text;
    v->len = n;
    return true;
}

bool postgres_value_same(const struct tracker_value *a, const struct tracker_value *b)
{
    uint64_t x, y;

    if (a->type != b->type)
        return false;
    switch (a->type) {
    case TRACKER_INTEGER:
        return a->integer == b->integer;
    case TRACKER_REAL:
        memcpy(&x, &a->real, sizeof x); /* bit by bit: -0.0 is not 0.0 */
        memcpy(&y, &b->real, sizeof y);
        return x == y;
    case TRACKER_TEXT:
    case TRACKER_BLOB:
        return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
    case TRACKER_NULL:
        break;
    }
    return true;
}

enum err_code postgres_value_text(const struct tracker_value *v, struct arena *mem,
                                  const char **out, struct err *e)
{
    char number[40];
    char *text = NULL;

    *out = NULL;
    switch (v->type) {
    case TRACKER_NULL:
        return ERR_OK;
    case TRACKER_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)v->integer);
        text = arena_strdup(mem, number);
        break;
    case TRACKER_REAL:
        snprintf(number, sizeof number, "%.17g", v->real);
        text = arena_strdup(mem, number);
        break;
    case TRACKER_BLOB:
        text = arena_alloc(mem, 2 * v->len + 3);
        if (text != NULL) {
            memcpy(text, "\\x", 2);
            text_hex(v->bytes, v->len, text + 2);
        }
        break;
    case TRACKER_TEXT:
        if (memchr(v->bytes, 0, v->len) != NULL)
            return err_set(e, ERR_DB,
                           "column '%s' in the backup holds a NUL byte, which PostgreSQL"
                           " cannot store in a text",
                           v->column);
        text = arena_strndup(mem, v->bytes, v->len);
        break;
    }
    *out = text;
    return text != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}
