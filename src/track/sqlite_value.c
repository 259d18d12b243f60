/* sqlite_value: values as they are stored, type and bytes. */
#include "track/sqlite.h"

#include <string.h>

void sqlite_value_read(sqlite3_stmt *q, int column, struct tracker_value *v)
{
    static const enum tracker_value_type types[] = {[SQLITE_INTEGER] = TRACKER_INTEGER,
                                                    [SQLITE_FLOAT] = TRACKER_REAL,
                                                    [SQLITE_TEXT] = TRACKER_TEXT,
                                                    [SQLITE_BLOB] = TRACKER_BLOB,
                                                    [SQLITE_NULL] = TRACKER_NULL};

    v->type = types[sqlite3_column_type(q, column)];
    v->integer = v->type == TRACKER_INTEGER ? sqlite3_column_int64(q, column) : 0;
    v->real = v->type == TRACKER_REAL ? sqlite3_column_double(q, column) : 0;
    v->bytes = v->type == TRACKER_TEXT   ? (const char *)sqlite3_column_text(q, column)
               : v->type == TRACKER_BLOB ? sqlite3_column_blob(q, column)
                                         : "";
    v->len = v->type == TRACKER_TEXT || v->type == TRACKER_BLOB
                 ? (size_t)sqlite3_column_bytes(q, column)
                 : 0;
    if (v->bytes == NULL && v->len == 0)
        v->bytes = ""; /* an empty BLOB has no address */
}

bool sqlite_value_same(const struct tracker_value *a, const struct tracker_value *b)
{
    uint64_t x, y;

    if (a->type != b->type)
        return false;
    switch (a->type) {
    case TRACKER_INTEGER:
        return a->integer == b->integer;
    case TRACKER_REAL:
        memcpy(&x, &a->real, sizeof x); /* bit by bit: a NaN is itself, and -0.0 is not 0.0 */
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

int sqlite_value_bind(sqlite3_stmt *q, int at, const struct tracker_value *v)
{
    switch (v->type) {
    case TRACKER_INTEGER:
        return sqlite3_bind_int64(q, at, v->integer);
    case TRACKER_REAL:
        return sqlite3_bind_double(q, at, v->real);
    case TRACKER_TEXT:
        return sqlite3_bind_text64(q, at, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8);
    case TRACKER_BLOB: /* a NULL address would bind NULL */
        return sqlite3_bind_blob64(q, at, v->len > 0 ? v->bytes : "", v->len, SQLITE_STATIC);
    case TRACKER_NULL:
        break;
    }
    return sqlite3_bind_null(q, at);
}
