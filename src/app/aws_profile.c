#include "app/aws_profile.h"

#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* "my profile" and 'my profile' are my profile. */
static struct span unquote(struct span s)
{
    if (s.n >= 2 && (*s.p == '"' || *s.p == '\'') && s.p[s.n - 1] == *s.p)
        return (struct span){s.p + 1, s.n - 2};
    return s;
}

/* "[profile x]" in config, "[x]" in credentials; botocore takes [x] for default alone in config. */
static bool section_is(struct span s, enum aws_profile_file file, const char *profile)
{
    if (file == AWS_PROFILE_CONFIG && s.n > 8 && memcmp(s.p, "profile", 7) == 0 &&
        isspace((unsigned char)s.p[7]))
        return span_is(unquote(trim(s.p + 8, s.n - 8)), profile);
    return span_is(unquote(s), profile) &&
           (file == AWS_PROFILE_CREDENTIALS || str_eq(profile, "default"));
}

static bool name_is(struct span s, const char *name)
{
    return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

/* Where in the file we are. Python's configparser, which the AWS tools use, takes a line that is indented deeper than the
 * option before it for more of that option's value ("s3 =" and what follows). */
struct place {
    bool inside;   /* the section asked for */
    bool option;   /* there was one in this section */
    size_t indent; /* its */
};

/* The value, when this line is `name` in the section asked for. */
static bool take_line(struct place *at, struct span line, size_t indent, enum aws_profile_file file,
                      const char *profile, const char *name, bool *section, struct span *value)
{
    const char *mark;

    if (*line.p == '[' && indent == 0 && (mark = memchr(line.p, ']', line.n)) != NULL) {
        at->inside = section_is(trim(line.p + 1, (size_t)(mark - line.p - 1)), file, profile);
        at->option = false;
        *section = *section || at->inside;
        return false;
    }
    if (at->option && indent > at->indent)
        return false;
    at->option = true;
    at->indent = indent;
    mark = memchr(line.p, '=', line.n);
    if (!at->inside || mark == NULL || !name_is(trim(line.p, (size_t)(mark - line.p)), name))
        return false;
    *value = trim(mark + 1, (size_t)(line.p + line.n - mark - 1));
    return true;
}

static bool scan(const struct buf *text, enum aws_profile_file file, const char *profile,
                 const char *name, bool *section, struct buf *out)
{
    const char *p = buf_cstr(text), *end = p + text->len;
    struct place at = {0};

    if (text->len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
        p += 3;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = eol != NULL ? (size_t)(eol - p) : (size_t)(end - p);
        struct span line = trim(p, n), value;
        size_t indent = (size_t)(line.p - p);

        p += n + (eol != NULL);
        if (line.n == 0 || *line.p == '#' || *line.p == ';')
            continue;
        if (take_line(&at, line, indent, file, profile, name, section, &value))
            return buf_append(out, value.p, value.n);
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
        else
            code = ERR_CONFIG;
        if (code != ERR_OK && e != NULL)
            e->code = code;
    }
    buf_wipe(&text);
    buf_release(&path);
    return code;
}
