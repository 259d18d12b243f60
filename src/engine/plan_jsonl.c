/* plan_jsonl: one JSON object per line. Ids and sizes may be strings or integers; null is the same as absent. */
#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "engine/plan_input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_MAX  32 /* names that are told of */
#define UNKNOWN_SIZE 64

struct reader {
    struct plan_job *j;
    FILE *in;
    const char *name;
    int64_t line;
    struct buf text;
    char unknown[UNKNOWN_MAX][UNKNOWN_SIZE]; /* told of already */
    size_t unknown_len;
    char numbers[PLAN_INPUT_COLUMNS][24];
};

static enum err_code fault(const struct reader *r, const char *what, struct err *e)
{
    return err_set(e, ERR_PARSE, "'%s' line %" PRId64 ": %s", r->name, r->line, what);
}

/* The next line without its end; *more false at the end of the file. */
static enum err_code read_line(struct reader *r, bool *more, struct err *e)
{
    int ch;

    buf_reset(&r->text);
    r->line++;
    errno = 0;
    while ((ch = getc_unlocked(r->in)) != EOF && ch != '\n') {
        if (buf_char(&r->text, (char)ch))
            continue;
        return r->text.len >= PLAN_LINE_MAX ? fault(r, "the line is longer than 1 MiB", e)
                                            : err_set(e, ERR_NOMEM, "out of memory");
    }
    if (ferror(r->in))
        return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", r->name);
    *more = ch != EOF || r->text.len > 0;
    if (r->line == 1 && str_starts(buf_cstr(&r->text), "\xef\xbb\xbf")) {
        r->text.len -= 3; /* a byte order mark */
        memmove(r->text.data, r->text.data + 3, r->text.len + 1);
    }
    return ERR_OK;
}

static bool is_blank(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if (b->data[i] != ' ' && b->data[i] != '\t' && b->data[i] != '\r')
            return false;
    return true;
}

static void note_unknown(struct reader *r, const char *name)
{
    char shown[UNKNOWN_SIZE];

    str_copy(shown, sizeof shown, name);
    for (size_t i = 0; i < r->unknown_len; i++)
        if (str_eq(r->unknown[i], shown))
            return;
    if (r->unknown_len == UNKNOWN_MAX)
        return;
    str_copy(r->unknown[r->unknown_len++], UNKNOWN_SIZE, shown);
    plan_input_note_unknown(r->j, name);
}

static enum err_code read_member(struct reader *r, const struct json *member,
                                 const char *values[PLAN_INPUT_COLUMNS], struct err *e)
{
    const enum plan_input_column at = plan_input_find(json_name(member));
    int64_t number = 0;
    char what[128];

    if (at == PLAN_INPUT_COLUMNS) {
        note_unknown(r, json_name(member));
        return ERR_OK;
    }
    values[at] = json_string(member);
    if (values[at] != NULL || json_is_null(member))
        return ERR_OK;
    if ((at == PLAN_INPUT_FILE_ID || at == PLAN_INPUT_USER_ID || at == PLAN_INPUT_SIZE) &&
        json_integer(member, &number)) {
        snprintf(r->numbers[at], sizeof r->numbers[at], "%" PRId64, number);
        values[at] = r->numbers[at];
        return ERR_OK;
    }
    snprintf(what, sizeof what, "'%s' is neither text nor null%s", json_name(member),
             at == PLAN_INPUT_SIZE ? " nor an integer" : "");
    return fault(r, what, e);
}

static enum err_code take_line(struct reader *r, struct err *e)
{
    const char *values[PLAN_INPUT_COLUMNS] = {NULL};
    struct err why;
    struct json *object;
    enum err_code code = ERR_OK;

    err_init(&why);
    object = json_parse(r->text.data, r->text.len, &why);
    if (object == NULL)
        return why.code == ERR_NOMEM ? err_set(e, ERR_NOMEM, "out of memory")
                                     : fault(r, why.message, e);
    if (!json_is_object(object))
        code = fault(r, "this is no JSON object", e);
    for (const struct json *m = json_first(object); code == ERR_OK && m != NULL; m = json_next(m))
        code = read_member(r, m, values, e);
    if (code == ERR_OK)
        code = plan_input_take(r->j, values, r->line, e);
    json_free(object);
    return code;
}

enum err_code plan_jsonl_read(struct plan_job *j, struct err *e)
{
    struct reader *r = calloc(1, sizeof *r);
    bool more = true;
    enum err_code code;

    if (r == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->j = j;
    buf_init(&r->text, PLAN_LINE_MAX);
    code = plan_input_open(j->o->input, &r->in, &r->name, e);
    while (code == ERR_OK && more) {
        code = read_line(r, &more, e);
        if (code == ERR_OK && more && !is_blank(&r->text))
            code = take_line(r, e);
    }
    plan_input_close(r->in);
    buf_release(&r->text);
    free(r);
    return code;
}
