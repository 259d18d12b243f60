#include "app/config_file.h"

#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <ini.h>
#include <string.h>

#define FILE_MAX       ((size_t)1 << 20)
#define LINE_MAX_BYTES 190 /* inih's buffer has 200, and it would cut a longer line in two */

struct reader {
    struct config *c;
    struct err *e;
    const char *at, *end;
    int line;           /* last one handed to inih */
    enum err_code code; /* of the first fault */
};

/* fgets for inih, with two differences: a line that does not fit is an error and not two lines, and blanks in front of it are
 * dropped, for inih would take an indented line for more of the value before. */
static char *next_line(char *dst, int size, void *stream)
{
    struct reader *r = stream;
    const char *p = r->at, *eol;
    size_t n;

    if (r->code != ERR_OK || p >= r->end)
        return NULL;
    r->line++;
    eol = memchr(p, '\n', (size_t)(r->end - p));
    r->at = eol != NULL ? eol + 1 : r->end;
    n = (size_t)((eol != NULL ? eol : r->end) - p);
    while (n > 0 && (*p == ' ' || *p == '\t'))
        p++, n--;
    if (memchr(p, '\0', n) != NULL) {
        r->code = err_set(r->e, ERR_CONFIG, "a NUL byte");
        return NULL;
    }
    if (n > LINE_MAX_BYTES || n + 2 > (size_t)size) {
        r->code = err_set(r->e, ERR_CONFIG, "longer than %d bytes", LINE_MAX_BYTES);
        err_hint(r->e, "long values fit into the environment or a flag");
        return NULL;
    }
    memcpy(dst, p, n);
    dst[n] = '\n';
    dst[n + 1] = '\0';
    return dst;
}

static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    const struct config_setting *s = config_find(name);

    if (r->code != ERR_OK) /* inih goes on after a fault; what we say is the first one */
        return 0;
    if (!str_empty(section) && !str_eq(section, "blobferry"))
        r->code = err_set(r->e, ERR_CONFIG, "unknown section '[%s]'", section);
    else if (s == NULL)
        r->code = err_set(r->e, ERR_CONFIG, "unknown setting '%s'", name);
    else if (r->c->value[s->key] != NULL && r->c->origin[s->key] == r->c->path)
        r->code = err_set(r->e, ERR_CONFIG, "'%s' is set twice", name);
    else
        r->code = config_set(r->c, name, value, r->c->path, r->e);
    return r->code == ERR_OK;
}

enum err_code config_file_load(struct config *c, struct err *e)
{
    struct reader r = {.c = c, .e = e};
    struct buf text;
    enum err_code code;
    int first_bad;

    buf_init(&text, FILE_MAX);
    code = fsio_read_file(c->path, &text, e);
    if (code != ERR_OK) {
        err_hint(e, "see --config, or write one by: blobferry init");
        goto out;
    }
    r.at = buf_cstr(&text);
    r.end = r.at + text.len;
    first_bad = ini_parse_stream(next_line, &r, on_pair, &r);
    if (r.code == ERR_OK && first_bad != 0) {
        r.code = err_set(e, ERR_CONFIG, "neither a setting nor a comment");
        r.line = first_bad;
    }
    code = r.code;
    if (code != ERR_OK)
        err_wrap(e, "'%s' line %d", c->path, r.line);
out:
    buf_release(&text);
    if (code != ERR_OK && code != ERR_NOMEM) {
        code = ERR_CONFIG;
        if (e != NULL)
            e->code = code;
    }
    return code;
}
