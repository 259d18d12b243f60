/* postgres_array: an array literal, so that one parameter carries the values of many rows.
 * https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
#include "track/postgres.h"

#include <stdio.h>
#include <string.h>

#define ARRAY_MAX ((size_t)256 << 20)

void postgres_array_init(struct postgres_array *a)
{
    buf_init(&a->text, ARRAY_MAX);
    a->n = 0;
}

void postgres_array_release(struct postgres_array *a)
{
    buf_release(&a->text);
    a->n = 0;
}

void postgres_array_reset(struct postgres_array *a)
{
    buf_reset(&a->text);
    a->n = 0;
}

static void begin(struct postgres_array *a)
{
    buf_char(&a->text, a->n++ == 0 ? '{' : ',');
}

void postgres_array_null(struct postgres_array *a)
{
    begin(a);
    buf_str(&a->text, "NULL");
}

void postgres_array_text(struct postgres_array *a, const char *value)
{
    if (value == NULL) {
        postgres_array_null(a);
        return;
    }
    begin(a);
    buf_char(&a->text, '"');
    for (const char *p = value; *p != '\0';) {
        const size_t plain = strcspn(p, "\"\\");
        buf_append(&a->text, p, plain);
        p += plain;
        if (*p != '\0') {
            buf_char(&a->text, '\\');
            buf_char(&a->text, *p++);
        }
    }
    buf_char(&a->text, '"');
}

void postgres_array_integer(struct postgres_array *a, int64_t value)
{
    begin(a);
    buf_printf(&a->text, "%lld", (long long)value);
}

const char *postgres_array_end(struct postgres_array *a)
{
    if (a->n == 0)
        buf_char(&a->text, '{');
    buf_char(&a->text, '}');
    /* Never NULL, which would stand for no values at all: a literal that the server refuses. */
    return buf_ok(&a->text) ? buf_cstr(&a->text) : "{memory is short";
}
