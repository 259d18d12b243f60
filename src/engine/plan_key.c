#include "engine/plan_key.h"

#include "blobferry/base/str.h"

#include <string.h>

static const char *const names[PLAN_KEY_FIELDS] = {
    [PLAN_KEY_USER_ID] = "user_id",   [PLAN_KEY_FILE_ID] = "file_id",
    [PLAN_KEY_FILENAME] = "filename", [PLAN_KEY_PATH] = "path",
    [PLAN_KEY_SHA256] = "sha256",     [PLAN_KEY_EXT] = "ext",
};

/* The placeholder that begins at `at` (a brace), and where it ends; PLAN_KEY_FIELDS when it is none. */
static enum plan_key_field field_at(const char *at, const char **end)
{
    const char *close = strchr(at, '}');
    int field = 0;

    *end = close != NULL ? close + 1 : at + strlen(at);
    if (close == NULL)
        return PLAN_KEY_FIELDS;
    while (field < PLAN_KEY_FIELDS && !(strlen(names[field]) == (size_t)(close - at - 1) &&
                                        strncmp(names[field], at + 1, strlen(names[field])) == 0))
        field++;
    return (enum plan_key_field)field;
}

static void list_allowed(unsigned allowed, struct buf *b)
{
    for (int i = 0; i < PLAN_KEY_FIELDS; i++)
        if ((allowed & PLAN_KEY_BIT(i)) != 0)
            (void)buf_printf(b, "%s{%s}", b->len > 0 ? " " : "", names[i]);
}

enum err_code plan_key_check(const char *template, unsigned allowed, unsigned *used, struct err *e)
{
    const char *end;
    struct buf known;

    *used = 0;
    for (const char *at = strchr(template, '{'); at != NULL; at = strchr(end, '{')) {
        const enum plan_key_field field = field_at(at, &end);
        if (field == PLAN_KEY_FIELDS || (allowed & PLAN_KEY_BIT(field)) == 0) {
            buf_init(&known, 256);
            list_allowed(allowed, &known);
            err_set(e, ERR_USAGE, "'%.*s' is no placeholder of the template '%s'", (int)(end - at),
                    at, template);
            (void)err_hint(e, "known here: %s", buf_cstr(&known));
            buf_release(&known);
            return ERR_USAGE;
        }
        *used |= PLAN_KEY_BIT(field);
    }
    return ERR_OK;
}

enum err_code plan_key_expand(struct buf *b, const char *template,
                              const struct plan_key_values *values, struct err *e)
{
    const char *at = template, *end;

    while (*at != '\0') {
        const size_t plain = strcspn(at, "{");
        (void)buf_append(b, at, plain);
        at += plain;
        if (*at == '\0')
            break;
        const enum plan_key_field field = field_at(at, &end);
        if (field == PLAN_KEY_FIELDS || str_empty(values->of[field]))
            return err_set(e, ERR_NOTFOUND, "the row has no value for %.*s of the template",
                           (int)(end - at), at);
        (void)buf_str(b, values->of[field]);
        at = end;
    }
    return buf_status(b, ERR_LIMIT, "the template makes too long a text", e);
}
