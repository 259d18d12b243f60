#include "engine/analyze_line.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/timefmt.h"

#include <stdio.h>
#include <string.h>

static void copy(char *dst, size_t size, const char *s)
{
    if (s != NULL && dst[0] == '\0')
        str_printable(dst, size, s);
}

/* A field by its name, as text; numbers come as text too. */
static void take(struct analyze_line *l, const char *name, const char *value)
{
    static const char *const names[] = {"filename", "key",         "target_key", "target_r2_key",
                                        "source",   "source_path", "file"};
    uint64_t n;

    if (str_eq(name, "run")) {
        copy(l->run, sizeof l->run, value);
    } else if (str_eq(name, "error_class") || str_eq(name, "class")) {
        copy(l->class_, sizeof l->class_, value);
    } else if ((str_eq(name, "size") || str_eq(name, "bytes")) && str_to_u64(value, &n)) {
        l->bytes = (int64_t)(n & INT64_MAX);
    } else if ((str_eq(name, "duration_ms") || str_eq(name, "elapsed_ms")) &&
               str_to_u64(value, &n)) {
        l->duration_ms = (int64_t)(n & INT64_MAX);
    } else {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (str_eq(name, names[i]))
                copy(l->name, sizeof l->name, value);
        }
    }
}

static bool parse_json(const char *line, size_t n, struct analyze_line *l)
{
    struct json *root = json_parse(line, n, NULL);
    const struct json *m;
    const char *time = json_string(json_get(root, "time"));
    const char *action = json_string(json_get(root, "action"));
    const char *event = json_string(json_get(root, "event"));
    bool ours = json_is_object(root) && time != NULL && (action != NULL || event != NULL);

    if (ours) {
        bool success;
        l->audit = action != NULL;
        copy(l->time, sizeof l->time, time);
        copy(l->event, sizeof l->event, action != NULL ? action : event);
        copy(l->level, sizeof l->level, json_string(json_get(root, "level")));
        if (json_boolean(json_get(root, "success"), &success))
            l->success = success;
        for (m = json_first(root); m != NULL; m = json_next(m)) {
            int64_t number;
            char digits[24];
            if (json_string(m) != NULL) {
                take(l, json_name(m), json_string(m));
            } else if (json_integer(m, &number) && number >= 0) {
                snprintf(digits, sizeof digits, "%lld", (long long)number);
                take(l, json_name(m), digits);
            }
        }
    }
    json_free(root);
    return ours;
}

/* Next blank-separated word into dst; false at the end or when it does not fit. */
static bool word(const char **p, const char *end, char *dst, size_t size)
{
    size_t n = 0;

    while (*p < end && **p == ' ')
        (*p)++;
    while (*p + n < end && (*p)[n] != ' ')
        n++;
    if (n == 0 || n >= size)
        return false;
    memcpy(dst, *p, n);
    dst[n] = '\0';
    *p += n;
    return true;
}

/* name=value with value a number, null, or quoted with backslashes. */
static bool field(const char **p, const char *end, struct analyze_line *l)
{
    char name[48], value[512];
    size_t n = 0;

    while (*p < end && **p == ' ')
        (*p)++;
    if (*p == end)
        return false;
    while (*p < end && **p != '=' && n + 1 < sizeof name)
        name[n++] = *(*p)++;
    name[n] = '\0';
    if (*p == end || **p != '=')
        return false;
    (*p)++;
    n = 0;
    if (*p < end && **p == '\'') {
        for ((*p)++; *p < end && **p != '\''; (*p)++) {
            if (**p == '\\' && *p + 1 < end)
                (*p)++;
            if (n + 1 < sizeof value)
                value[n++] = **p;
        }
        if (*p == end)
            return false;
        (*p)++;
    } else {
        while (*p < end && **p != ' ') {
            if (n + 1 < sizeof value)
                value[n++] = **p;
            (*p)++;
        }
    }
    value[n] = '\0';
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
    for (size_t i = 0; i < 4; i++)
        known = known || str_eq(l->level, levels[i]);
    while (known && field(&p, end, l)) {
    }
    return known;
}

bool analyze_line_parse(const char *line, size_t n, struct analyze_line *out)
{
    memset(out, 0, sizeof *out);
    out->bytes = out->duration_ms = out->success = -1;
    if (n == 0)
        return false;
    if (!(line[0] == '{' ? parse_json(line, n, out) : parse_text(line, n, out)))
        return false;
    return strlen(out->time) >= 20 && timefmt_parse(out->time, &out->time_ms);
}
