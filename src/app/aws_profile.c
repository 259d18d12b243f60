#include "app/aws_profile.h"

#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)

/* Path of the file; false without a home. */
static bool file_path(enum aws_profile_file file, struct buf *path)
{
    bool credentials = file == AWS_PROFILE_CREDENTIALS;
    const char *given = getenv(credentials ? "AWS_SHARED_CREDENTIALS_FILE" : "AWS_CONFIG_FILE");
    const char *home = getenv("HOME");

    if (!str_empty(given))
        return buf_str(path, given);
    if (str_empty(home))
        return false;
    return buf_printf(path, "%s/.aws/%s", home, credentials ? "credentials" : "config");
}

struct span {
    const char *p;
    size_t n;
};

static struct span trim(const char *p, size_t n)
{
    while (n > 0 && isspace((unsigned char)*p))
        p++, n--;
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    return (struct span){p, n};
}

static bool span_is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* "[profile x]" in config, "[x]" in credentials; botocore takes [x] for default alone in config. */
static bool section_is(struct span s, enum aws_profile_file file, const char *profile)
{
    if (file == AWS_PROFILE_CONFIG && s.n > 8 && memcmp(s.p, "profile", 7) == 0 &&
        isspace((unsigned char)s.p[7]))
        return span_is(trim(s.p + 8, s.n - 8), profile);
    return span_is(s, profile) && (file == AWS_PROFILE_CREDENTIALS || str_eq(profile, "default"));
}

static bool scan(const struct buf *text, enum aws_profile_file file, const char *profile,
                 const char *name, bool *section, struct buf *out)
{
    const char *p = buf_cstr(text), *end = p + text->len;
    bool inside = false;

    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = eol != NULL ? (size_t)(eol - p) : (size_t)(end - p);
        struct span line = trim(p, n);
        bool nested = n > 0 && isspace((unsigned char)*p); /* "s3 =" and its indented lines */
        const char *equals;

        p += n + 1;
        if (line.n == 0 || *line.p == '#' || *line.p == ';')
            continue;
        if (*line.p == '[' && line.p[line.n - 1] == ']') {
            inside = section_is(trim(line.p + 1, line.n - 2), file, profile);
            *section = *section || inside;
            continue;
        }
        equals = memchr(line.p, '=', line.n);
        if (!inside || nested || equals == NULL ||
            !span_is(trim(line.p, (size_t)(equals - line.p)), name))
            continue;
        line = trim(equals + 1, (size_t)(line.p + line.n - equals - 1));
        return buf_append(out, line.p, line.n);
    }
    return false;
}

enum err_code aws_profile_get(enum aws_profile_file file, const char *profile, const char *name,
                              struct buf *out, bool *found, bool *section, struct err *e)
{
    struct buf path, text;
    enum err_code code = ERR_OK;

    *found = *section = false;
    buf_init(&path, 8192);
    buf_init(&text, FILE_MAX);
    if (file_path(file, &path) && fsio_exists(buf_cstr(&path))) {
        code = fsio_read_file(buf_cstr(&path), &text, e);
        if (code == ERR_OK)
            *found = scan(&text, file, profile, name, section, out);
        else if (e != NULL)
            code = e->code = ERR_CONFIG;
    }
    buf_wipe(&text);
    buf_release(&path);
    return code;
}
