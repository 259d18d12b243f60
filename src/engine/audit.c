#include "blobferry/engine/audit.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/timefmt.h"
#include "engine/audit_walk.h"

#include <string.h>

#define TIME_AT  (sizeof "{\"v\":1,\"time\":\"" - 1)
#define TIME_LEN ((size_t)24)

/* ---- which run is meant ---------------------------------------------------------------------------------- */

struct wanted {
    const char *prefix;
    char first[AUDIT_NAME], second[AUDIT_NAME]; /* runs that begin so */
    bool exact;                                 /* one is called so */
};

static enum err_code look_for(void *user, const struct journal_line *l, int64_t number,
                              const char *previous, struct err *e)
{
    struct wanted *w = user;
    const size_t n = strlen(w->prefix);
    (void)number;
    (void)previous;
    (void)e;

    if (l->run_len < n || memcmp(l->run, w->prefix, n) != 0)
        return ERR_OK;
    if (l->run_len == n)
        w->exact = true;
    else if (w->first[0] == '\0')
        audit_walk_copy(w->first, sizeof w->first, l->run, l->run_len);
    else if (strlen(w->first) != l->run_len || memcmp(w->first, l->run, l->run_len) != 0)
        audit_walk_copy(w->second, sizeof w->second, l->run, l->run_len);
    return ERR_OK;
}

static enum err_code find_run(const char *dir, const char *prefix, char run[AUDIT_NAME],
                              struct err *e)
{
    struct wanted w = {.prefix = prefix};
    int64_t damaged;
    enum err_code code = audit_walk(dir, look_for, &w, &damaged, e);

    if (code != ERR_OK)
        return code;
    if (w.exact)
        str_copy(w.first, sizeof w.first, prefix);
    if (w.first[0] == '\0') {
        err_set(e, ERR_NOTFOUND, "no run '%s' in the audit trail", prefix);
        return err_hint(e, "see: blobferry audit list");
    }
    if (!w.exact && w.second[0] != '\0') {
        err_set(e, ERR_CONFLICT, "several runs begin with '%s': '%s', '%s'", prefix, w.first,
                w.second);
        return err_hint(e, "give more of it");
    }
    str_copy(run, AUDIT_NAME, w.first);
    return ERR_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

struct selection {
    char run[AUDIT_NAME]; /* "" any */
    char from[TIMEFMT_SIZE], to[TIMEFMT_SIZE];
    audit_line_fn *fn;
    void *user;
    struct audit_tally *out;
};

/* Times of one form and one length: their bytes are in the order of the instants. */
static bool selected(const struct selection *s, const struct journal_line *l)
{
    const char *time = l->text + TIME_AT;

    if (s->run[0] != '\0' &&
        (strlen(s->run) != l->run_len || memcmp(s->run, l->run, l->run_len) != 0))
        return false;
    return (s->from[0] == '\0' || memcmp(time, s->from, TIME_LEN) >= 0) &&
           (s->to[0] == '\0' || memcmp(time, s->to, TIME_LEN) <= 0);
}

static enum err_code give_line(void *user, const struct journal_line *l, int64_t number,
                               const char *previous, struct err *e)
{
    struct selection *s = user;
    struct audit_line line = {.text = l->text, .len = l->len, .seq = l->seq};
    (void)number;
    (void)previous;

    if (!selected(s, l))
        return ERR_OK;
    audit_walk_copy(line.time, sizeof line.time, l->text + TIME_AT, TIME_LEN);
    audit_walk_copy(line.run, sizeof line.run, l->run, l->run_len);
    audit_walk_copy(line.action, sizeof line.action, l->action, l->action_len);
    s->out->lines++;
    return s->fn(s->user, &line, e);
}

enum err_code audit_lines(const char *dir, const struct audit_filter *f, audit_line_fn *fn,
                          void *user, struct audit_tally *out, struct err *e)
{
    struct selection s = {.fn = fn, .user = user, .out = out};
    enum err_code code = ERR_OK;

    memset(out, 0, sizeof *out);
    if (f->run != NULL)
        code = find_run(dir, f->run, s.run, e);
    if (f->has_from)
        timefmt_iso(f->from_ms, s.from);
    if (f->has_to)
        timefmt_iso(f->to_ms, s.to);
    return code == ERR_OK ? audit_walk(dir, give_line, &s, &out->damaged, e) : code;
}

/* The text of a long one that was cut, or of one that is no UTF-8, is inside an object. */
static const char *string_of(const struct json *value)
{
    const char *text = json_string(value);

    if (text == NULL)
        text = json_string(json_get(value, "cut"));
    return text;
}

const char *audit_field(const struct audit_line *l, const char *name, char *dst, size_t size)
{
    struct journal_line j;
    const char *why, *raw = NULL;
    struct json *value = NULL;
    size_t n = 0;
    struct buf text;

    dst[0] = '\0';
    if (journal_line_scan(l->text, l->len, &j, &why))
        raw = journal_line_member(&j, name, &n);
    if (raw == NULL)
        return dst;
    value = json_parse(raw, n, NULL);
    buf_init(&text, JOURNAL_LINE_MAX + 1);
    if (string_of(value) != NULL)
        str_printable(dst, size, string_of(value));
    else if (buf_append(&text, raw, n))
        str_printable(dst, size, buf_cstr(&text));
    buf_release(&text);
    json_free(value);
    return dst;
}
