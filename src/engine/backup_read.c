#include "engine/backup_read.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW    ((size_t)256 << 10)
#define VALUE_MAX ((size_t)64 << 20) /* bytes of one row's text: what json_parse takes */

static const char begins[] = "{\"format\":\"blobferry-backup\",\"version\":1,";

static enum err_code damaged(const struct backup_read *r, struct err *e)
{
    return err_set(e, ERR_CONFLICT, "backup '%s' is truncated or has been altered", r->source.path);
}

/* ---- the window --------------------------------------------------------------------------------------- */

/* More bytes behind `end`; none at the end of the file is damage, for the end is never asked for. */
static enum err_code fill(struct backup_read *r, struct err *e)
{
    size_t got = 0;
    enum err_code code;

    memmove(r->data, r->data + r->kept, r->end - r->kept);
    r->at -= r->kept;
    r->end -= r->kept;
    r->kept = 0;
    if (r->end == r->cap) {
        char *grown = r->cap <= VALUE_MAX ? realloc(r->data, r->cap * 2) : NULL;
        if (grown == NULL)
            return err_set(e, ERR_LIMIT, "a row of backup '%s' is too large", r->source.path);
        r->data = grown;
        r->cap *= 2;
    }
    code = backup_source_read(&r->source, r->data + r->end, r->cap - r->end, &got, e);
    r->end += got;
    return code == ERR_OK && got == 0 ? damaged(r, e) : code;
}

/* What is parsed belongs to the hashed text and is not needed any more. */
static void settle(struct backup_read *r)
{
    digest_update(&r->digest, r->data + r->kept, r->at - r->kept);
    r->kept = r->at;
}

static enum err_code peek(struct backup_read *r, char *c, struct err *e)
{
    enum err_code code = r->at == r->end ? fill(r, e) : ERR_OK;

    *c = code == ERR_OK ? r->data[r->at] : '\0';
    return code;
}

static enum err_code expect(struct backup_read *r, const char *literal, struct err *e)
{
    enum err_code code = ERR_OK;
    char c;

    for (; code == ERR_OK && *literal != '\0'; literal++) {
        code = peek(r, &c, e);
        if (code == ERR_OK && c != *literal)
            code = damaged(r, e);
        r->at += code == ERR_OK;
    }
    return code;
}

struct scan {
    int depth;
    bool in_string, escaped;
};

/* Past one character; true when the value ended before it (a number) or with it (*with). */
static bool ends_value(struct scan *s, char c, bool *with)
{
    *with = true;
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
        return !s->in_string && s->depth == 0;
    }
    if (c == '"') {
        s->in_string = true;
        return false;
    }
    if (c == '{' || c == '[') {
        s->depth++;
        return false;
    }
    if ((c == '}' || c == ']') && s->depth > 0)
        return --s->depth == 0;
    *with = false;
    return s->depth == 0 && (c == ',' || c == '}' || c == ']' || c == ':');
}

/* One whole JSON value; borrowed until the next call that reads. */
static enum err_code take_value(struct backup_read *r, const char **text, size_t *n, struct err *e)
{
    struct scan s = {0};
    bool ended = false, with = false;
    size_t seen = 0;

    while (!ended) {
        enum err_code code = r->at + seen == r->end ? fill(r, e) : ERR_OK;

        if (code != ERR_OK)
            return code;
        while (!ended && r->at + seen < r->end) {
            ended = ends_value(&s, r->data[r->at + seen], &with);
            seen += !ended || with;
        }
        if (seen > VALUE_MAX)
            return err_set(e, ERR_LIMIT, "a row of backup '%s' is too large", r->source.path);
    }
    *text = r->data + r->at;
    *n = seen;
    r->at += seen;
    return seen > 0 ? ERR_OK : damaged(r, e);
}

/* A member's name and its colon; the name is copied. */
static enum err_code take_name(struct backup_read *r, char *name, size_t size, struct err *e)
{
    const char *text = "";
    size_t n = 0;
    struct json *value;
    enum err_code code = take_value(r, &text, &n, e);

    if (code != ERR_OK)
        return code;
    value = json_parse(text, n, NULL);
    if (json_string(value) == NULL || !str_copy(name, size, json_string(value)))
        code = damaged(r, e);
    json_free(value);
    return code == ERR_OK ? expect(r, ":", e) : code;
}

static enum err_code take_parsed(struct backup_read *r, struct json **value, struct err *e)
{
    const char *text = "";
    size_t n = 0;
    enum err_code code = take_value(r, &text, &n, e);

    *value = code == ERR_OK ? json_parse(text, n, NULL) : NULL;
    return code == ERR_OK && *value == NULL ? damaged(r, e) : code;
}

/* ---- before the rows ------------------------------------------------------------------------------------ */

static enum err_code read_head(struct backup_read *r, struct err *e)
{
    char name[128] = "";
    enum err_code code = ERR_OK;

    while (code == ERR_OK) {
        struct json *value = NULL;

        code = take_name(r, name, sizeof name, e);
        if (code != ERR_OK || str_eq(name, "tables"))
            break;
        code = take_parsed(r, &value, e);
        if (code == ERR_OK)
            backup_head_take(&r->head, name, value);
        json_free(value);
        if (code == ERR_OK)
            code = expect(r, ",", e);
    }
    return code == ERR_OK ? expect(r, "{", e) : code;
}

static enum err_code look_at_beginning(struct backup_read *r, struct err *e)
{
    size_t n = sizeof begins - 1;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && r->end < n)
        code = fill(r, e);
    if (code != ERR_OK && (r->source.sealed || code != ERR_CONFLICT))
        return code;
    if (code != ERR_OK || memcmp(r->data, begins, n) != 0) {
        err_set(e, ERR_PARSE, "'%s' is no backup of blobferry's", r->source.path);
        return err_hint(e, "or of a newer version, or cut off at its very beginning");
    }
    r->at = n;
    return ERR_OK;
}

enum err_code backup_read_open(struct backup_read *r, const char *path, const struct secret *key,
                               struct err *e)
{
    enum err_code code;

    memset(r, 0, sizeof *r);
    backup_row_init(&r->row);
    code = backup_source_open(&r->source, path, key, e);
    if (code == ERR_OK)
        code = digest_init(&r->digest, DIGEST_SHA256, e);
    if (code != ERR_OK)
        return code;
    r->cap = WINDOW;
    r->data = malloc(r->cap);
    if (r->data == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = look_at_beginning(r, e);
    if (code == ERR_OK)
        code = read_head(r, e);
    return code;
}

void backup_read_close(struct backup_read *r)
{
    backup_source_close(&r->source);
    backup_row_release(&r->row);
    digest_release(&r->digest);
    free(r->data);
    backup_head_release(&r->head);
    memset(r, 0, sizeof *r);
    r->source.fd = -1;
}

/* ---- rows, and what follows them ---------------------------------------------------------------------------- */

/* "counts" must be what was counted. */
static enum err_code check_member(const struct backup_read *r, const char *name,
                                  const struct json *value, struct err *e)
{
    int64_t n = 0;

    if (str_eq(name, "rows") && (!json_integer(value, &n) || n != r->all_rows))
        return damaged(r, e);
    for (int t = 0; str_eq(name, "counts") && t < TRACKER_TABLES; t++) {
        n = 0;
        json_integer(json_get(value, tracker_table_name((enum tracker_table)t)), &n);
        if (n != r->rows[t])
            return damaged(r, e);
    }
    return ERR_OK;
}

/* The last member, then `}`, LF and nothing. */
static enum err_code check_sum(struct backup_read *r, struct err *e)
{
    unsigned char sum[DIGEST_MAX];
    char rest[64];
    size_t got = 0;
    struct json *value = NULL;
    enum err_code code = take_parsed(r, &value, e);

    digest_final(&r->digest, sum);
    text_hex(sum, DIGEST_SHA256_SIZE, r->sha256);
    if (code == ERR_OK && !str_eq(json_string(value), r->sha256))
        code = damaged(r, e);
    json_free(value);
    if (code == ERR_OK)
        code = expect(r, "}\n", e);
    if (code == ERR_OK)
        code = backup_source_read(&r->source, rest, sizeof rest, &got, e);
    if (code == ERR_OK && (got > 0 || r->at < r->end))
        code = damaged(r, e);
    r->ended = code == ERR_OK;
    return code;
}

static enum err_code read_end(struct backup_read *r, struct err *e)
{
    char name[128] = "";
    enum err_code code = expect(r, "}", e);

    while (code == ERR_OK) {
        struct json *value = NULL;

        settle(r); /* the sum covers all before the comma that stands before it */
        code = expect(r, ",", e);
        if (code == ERR_OK)
            code = take_name(r, name, sizeof name, e);
        if (code != ERR_OK || str_eq(name, "sha256"))
            break;
        code = take_parsed(r, &value, e);
        if (code == ERR_OK)
            code = check_member(r, name, value, e);
        json_free(value);
    }
    return code == ERR_OK ? check_sum(r, e) : code;
}

/* To the first row of the next table, or to the end. */
static enum err_code next_table(struct backup_read *r, struct err *e)
{
    char c, name[128];
    enum err_code code = peek(r, &c, e);

    if (code != ERR_OK || c == '}')
        return code != ERR_OK ? code : read_end(r, e);
    if (c == ',')
        code = expect(r, ",", e);
    if (code == ERR_OK)
        code = take_name(r, name, sizeof name, e);
    if (code == ERR_OK && !tracker_table_parse(name, &r->table))
        code = err_set(e, ERR_PARSE, "backup '%s' holds a table '%s', which is none of ours",
                       r->source.path, name);
    if (code == ERR_OK)
        code = expect(r, "[", e);
    r->in_table = r->first_row = code == ERR_OK;
    return code;
}

/* To the row after this one; *there false when the table has ended. */
static enum err_code next_in_table(struct backup_read *r, bool *there, struct err *e)
{
    char c;
    enum err_code code = peek(r, &c, e);

    *there = code == ERR_OK && c != ']';
    if (code == ERR_OK && c == ']') {
        r->in_table = false;
        return expect(r, "]", e);
    }
    if (code == ERR_OK && !r->first_row)
        code = expect(r, ",", e);
    r->first_row = false;
    return code;
}

enum err_code backup_read_next(struct backup_read *r, bool parse, bool *more, struct err *e)
{
    const char *text = "";
    size_t n = 0;
    bool there = false;
    enum err_code code = ERR_OK;

    *more = false;
    while (code == ERR_OK && !r->ended && !there) {
        settle(r);
        code = r->in_table ? next_in_table(r, &there, e) : next_table(r, e);
    }
    if (code != ERR_OK || !there)
        return code;
    code = take_value(r, &text, &n, e);
    if (code == ERR_OK && parse) {
        code = backup_row_parse(&r->row, text, n, e);
        if (code == ERR_PARSE)
            err_wrap(e, "backup '%s'", r->source.path);
    }
    r->rows[r->table]++;
    r->all_rows++;
    *more = code == ERR_OK;
    return code;
}

enum err_code backup_read_rest(struct backup_read *r, struct err *e)
{
    bool more = true;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && more)
        code = backup_read_next(r, false, &more, e);
    return code;
}
