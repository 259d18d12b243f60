#include "engine/analyze_line.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/timefmt.h"
#include "engine/journal_line.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TIME_LEN     ((size_t)24)
#define AUDIT_BEGINS "{\"v\":1,\"time\":\""

/* The first of several fields for one thing is taken. */
static void copy(char *dst, size_t size, const char *s)
{
    if (s != NULL && dst[0] == '\0')
        str_printable(dst, size, s);
}

static bool number(const char *value, int64_t *out)
{
    uint64_t n;

    if (!str_to_u64(value, &n) || n > INT64_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

/* An exit code says which kind of fault ended a run. */
static void take_exit_code(struct analyze_line *l, const char *value)
{
    int64_t n;

    if (!number(value, &n))
        return;
    l->success = n == 0;
    if (n == 3)
        copy(l->error_class, sizeof l->error_class, "database");
    if (n == 4)
        copy(l->error_class, sizeof l->error_class, "store");
}

/* A field by its name, as text; numbers come as text too. */
static void take(struct analyze_line *l, const char *name, const char *value)
{
    static const char *const names[] = {"filename", "target_key", "target_r2_key",
                                        "key",      "source",     "source_path"};

    if (str_eq(name, "run") || (str_eq(name, "id") && str_eq(l->event, "run_begin"))) {
        copy(l->run, sizeof l->run, value);
    } else if (str_eq(name, "error_class")) {
        copy(l->error_class, sizeof l->error_class, value);
    } else if (str_eq(name, "size") || str_eq(name, "bytes")) {
        (void)number(value, &l->bytes);
    } else if (str_eq(name, "duration_ms")) {
        (void)number(value, &l->duration_ms);
    } else if (str_eq(name, "exit_code")) {
        take_exit_code(l, value);
    } else {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (str_eq(name, names[i]))
                copy(l->name, sizeof l->name, value);
        }
    }
}

/* ---- JSON logs -------------------------------------------------------------------------------------- */

static void take_member(struct analyze_line *l, const struct json *m)
{
    char digits[24];
    int64_t n;

    if (json_string(m) != NULL) {
        take(l, json_name(m), json_string(m));
    } else if (json_integer(m, &n) && n >= 0) {
        snprintf(digits, sizeof digits, "%lld", (long long)n);
        take(l, json_name(m), digits);
    }
}

static bool parse_json(const char *line, size_t n, struct analyze_line *l)
{
    struct json *root = json_parse(line, n, NULL);
    const char *time = json_string(json_get(root, "time"));
    const char *event = json_string(json_get(root, "event"));
    const char *level = json_string(json_get(root, "level"));
    bool ours = time != NULL && event != NULL && level != NULL &&
                json_string(json_get(root, "command")) != NULL;

    if (ours) {
        copy(l->time, sizeof l->time, time);
        copy(l->event, sizeof l->event, event);
        copy(l->level, sizeof l->level, level);
        for (const struct json *m = json_first(root); m != NULL; m = json_next(m))
            take_member(l, m);
    }
    json_free(root);
    return ours;
}

/* ---- the audit: of a million lines only the outcomes are looked into, and without a tree -------------- */

static void copy_part(char *dst, size_t size, const char *s, size_t n)
{
    if (n >= size)
        n = size - 1;
    memcpy(dst, s, n);
    dst[n] = '\0';
}

/* A member that is a string, or an object with one. */
static void take_string(const struct journal_line *j, const char *name, const char *inside,
                        char *dst, size_t size)
{
    size_t n = 0;
    const char *raw = journal_line_member(j, name, &n);
    struct json *value = raw != NULL ? json_parse(raw, n, NULL) : NULL;

    copy(dst, size, json_string(inside != NULL ? json_get(value, inside) : value));
    json_free(value);
}

static void take_outcome(struct analyze_line *l, const struct journal_line *j)
{
    size_t n = 0;
    const char *success = journal_line_member(j, "success", &n);

    if (success != NULL && n == 4 && memcmp(success, "true", 4) == 0)
        l->success = 1;
    if (success != NULL && n == 5 && memcmp(success, "false", 5) == 0)
        l->success = 0;
    l->bytes = journal_line_integer(j, "size");
    l->duration_ms = journal_line_integer(j, "duration_ms");
    take_string(j, "filename", NULL, l->name, sizeof l->name);
    if (l->name[0] == '\0')
        take_string(j, "target_key", NULL, l->name, sizeof l->name);
    take_string(j, "error_class", NULL, l->error_class, sizeof l->error_class);
}

static bool parse_audit(const char *line, size_t n, struct analyze_line *l)
{
    struct journal_line j;
    const char *why;

    if (!journal_line_scan(line, n, &j, &why))
        return false;
    l->audit = true;
    copy_part(l->time, sizeof l->time, line + strlen(AUDIT_BEGINS), TIME_LEN);
    copy_part(l->event, sizeof l->event, j.action, j.action_len);
    copy_part(l->run, sizeof l->run, j.run, j.run_len);
    if (str_ends(l->event, "_outcome") || str_ends(l->event, "_refused") ||
        str_eq(l->event, "run_end"))
        take_outcome(l, &j);
    if (str_eq(l->event, "run_end") && l->success == 0)
        take_string(&j, "extra", "result", l->error_class, sizeof l->error_class);
    return true;
}

/* ---- text logs --------------------------------------------------------------------------------------- */

/* Next blank-separated word into dst; false at the end or when it does not fit. */
static bool word(const char **p, const char *end, char *dst, size_t size)
{
    size_t n = 0;

    while (*p < end && **p == ' ')
        (*p)++;
    while (*p + n < end && (*p)[n] != ' ')
        n++;
    if (n == 0 || n >= size || memchr(*p, '\0', n) != NULL)
        return false;
    memcpy(dst, *p, n);
    dst[n] = '\0';
    *p += n;
    return true;
}

/* A value in single quotes. \' and \\ are undone; \xNN and \u{…} stand for what must not be shown and stay. */
static bool quoted(const char **p, const char *end, char *dst, size_t size)
{
    size_t n = 0;

    for ((*p)++; *p < end && **p != '\''; (*p)++) {
        if (**p == '\\' && *p + 1 < end && ((*p)[1] == '\'' || (*p)[1] == '\\'))
            (*p)++;
        if (n + 1 < size)
            dst[n++] = **p;
    }
    dst[n] = '\0';
    return *p < end && *(*p)++ == '\'';
}

/* name=value, with value a number, null, or quoted. */
static bool field(const char **p, const char *end, struct analyze_line *l)
{
    char name[64], value[512];
    size_t n = 0;

    while (*p < end && **p != '=' && **p != ' ' && n + 1 < sizeof name)
        name[n++] = *(*p)++;
    name[n] = '\0';
    if (n == 0 || *p == end || *(*p)++ != '=')
        return false;
    if (*p < end && **p == '\'') {
        if (!quoted(p, end, value, sizeof value))
            return false;
    } else if (!word(p, end, value, sizeof value)) {
        return false;
    }
    if (!str_eq(value, "null"))
        take(l, name, value);
    return true;
}

static bool parse_text(const char *line, size_t n, struct analyze_line *l)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const char *p = line, *end = line + n;
    bool known = false;

    if (!word(&p, end, l->time, sizeof l->time) || !word(&p, end, l->level, sizeof l->level) ||
        !word(&p, end, l->event, sizeof l->event))
        return false;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        known = known || str_eq(l->level, levels[i]);
    while (known && p < end) {
        if (*p == ' ')
            p++;
        else
            known = field(&p, end, l);
    }
    return known;
}

/* ---- both -------------------------------------------------------------------------------------------- */

bool analyze_line_parse(const char *line, size_t n, struct analyze_line *out)
{
    bool known;

    memset(out, 0, sizeof *out);
    out->bytes = out->duration_ms = out->success = -1;
    if (n == 0)
        return false;
    if (n > strlen(AUDIT_BEGINS) && memcmp(line, AUDIT_BEGINS, strlen(AUDIT_BEGINS)) == 0)
        known = parse_audit(line, n, out);
    else
        known = line[0] == '{' ? parse_json(line, n, out) : parse_text(line, n, out);
    if (!known)
        return false;
    return strlen(out->time) == TIME_LEN && out->time[TIME_LEN - 1] == 'Z' &&
           timefmt_parse(out->time, &out->time_ms);
}

bool analyze_line_is_older(const char *line, size_t n, const char *from)
{
    static const char *const before[] = {AUDIT_BEGINS, "{\"time\":\"", ""};

    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        const size_t skip = strlen(before[i]);
        if (n < skip + TIME_LEN || memcmp(line, before[i], skip) != 0)
            continue;
        /* of one form and one length, so that the order of the bytes is that of the instants */
        return isdigit((unsigned char)line[skip]) && line[skip + TIME_LEN - 1] == 'Z' &&
               memcmp(line + skip, from, TIME_LEN) < 0;
    }
    return false;
}
