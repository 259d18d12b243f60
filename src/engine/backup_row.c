#include "engine/backup_row.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX                                                                                 \
    ((size_t)96 << 20) /* a row's text is 64 MiB at most, three quarters of it as bytes */

void backup_row_init(struct backup_row *r)
{
    memset(r, 0, sizeof *r);
    arena_init(&r->mem, MEMORY_MAX);
}

void backup_row_release(struct backup_row *r)
{
    json_free(r->tree);
    free(r->values);
    arena_release(&r->mem);
    memset(r, 0, sizeof *r);
}

/* {"real":"0.5"} and {"integer":"9223372036854775807"}: what JSON numbers do not carry exactly. */
static bool parse_number(const char *text, struct tracker_value *v)
{
    char *end = NULL;

    if (str_empty(text) || strlen(text) > 60 || strchr(" \t\n\v\f\r", text[0]) != NULL)
        return false;
    errno = 0;
    if (v->type == TRACKER_INTEGER)
        v->integer = strtoll(text, &end, 10);
    else
        v->real = strtod(text, &end); /* LC_NUMERIC is never set: the point is a point */
    return *end == '\0' && (errno == 0 || (v->type == TRACKER_REAL && errno == ERANGE));
}

static bool parse_bytes(struct backup_row *r, const char *text, struct tracker_value *v)
{
    size_t n = strlen(text), room = n / 4 * 3;
    char *bytes = arena_alloc(&r->mem, room + 1);

    if (bytes == NULL || !text_unbase64(text, n, bytes, &room))
        return false;
    v->bytes = bytes;
    v->len = room;
    return true;
}

static bool parse_object(struct backup_row *r, const struct json *m, struct tracker_value *v)
{
    static const struct {
        const char *name;
        enum tracker_value_type type;
    } forms[] = {{"b64", TRACKER_TEXT},
                 {"blob", TRACKER_BLOB},
                 {"real", TRACKER_REAL},
                 {"integer", TRACKER_INTEGER}};
    const struct json *only = json_first(m);
    const char *text = json_string(only);

    if (!json_is_object(m) || text == NULL || json_length(m) != 1)
        return false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!str_eq(json_name(only), forms[i].name))
            continue;
        v->type = forms[i].type;
        return v->type == TRACKER_TEXT || v->type == TRACKER_BLOB ? parse_bytes(r, text, v)
                                                                  : parse_number(text, v);
    }
    return false;
}

static bool parse_value(struct backup_row *r, const struct json *m, struct tracker_value *v)
{
    *v = (struct tracker_value){.column = json_name(m), .bytes = ""};
    if (json_is_null(m)) {
        v->type = TRACKER_NULL;
    } else if (json_string(m) != NULL) {
        v->type = TRACKER_TEXT;
        v->bytes = json_string(m);
        v->len = strlen(v->bytes);
    } else if (json_integer(m, &v->integer)) {
        v->type = TRACKER_INTEGER;
    } else {
        return parse_object(r, m, v);
    }
    return true;
}

enum err_code backup_row_parse(struct backup_row *r, const char *text, size_t n, struct err *e)
{
    size_t columns;

    json_free(r->tree);
    r->n = 0;
    arena_reset(&r->mem);
    r->tree = json_parse(text, n, e);
    if (r->tree == NULL)
        return e != NULL ? e->code : ERR_PARSE;
    columns = json_length(r->tree);
    if (!json_is_object(r->tree))
        return err_set(e, ERR_PARSE, "a row of the backup is no object");
    if (columns > r->cap) {
        struct tracker_value *grown = reallocarray(r->values, columns, sizeof *grown);
        if (grown == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        r->values = grown;
        r->cap = columns;
    }
    for (const struct json *m = json_first(r->tree); m != NULL; m = json_next(m)) {
        if (!parse_value(r, m, &r->values[r->n]))
            return err_set(e, ERR_PARSE, "the value of '%s' in a row of the backup is malformed",
                           json_name(m));
        r->n++;
    }
    return ERR_OK;
}
