#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "engine/audit_walk.h"

#include <stdlib.h>
#include <string.h>

#define TIME_AT  (sizeof "{\"v\":1,\"time\":\"" - 1)
#define TIME_LEN ((size_t)24)
#define RUNS_MAX ((size_t)10000)

/* The newest runs: a ring, in the order in which they began. */
struct runs {
    struct audit_run *items;
    size_t cap, len, next; /* next: where the next one goes */
    char gone
        [AUDIT_NAME]; /* a run that was looked for in vain: its other lines need not look again */
};

static bool is_run(const struct audit_run *r, const struct journal_line *l)
{
    return strlen(r->run) == l->run_len && memcmp(r->run, l->run, l->run_len) == 0;
}

/* Lines of a run mostly follow each other, and those of runs at one time are near the end. */
static struct audit_run *find(struct runs *all, const struct journal_line *l)
{
    if (strlen(all->gone) == l->run_len && memcmp(all->gone, l->run, l->run_len) == 0)
        return NULL;
    for (size_t i = 1; i <= all->len; i++) {
        struct audit_run *r = &all->items[(all->next + all->cap - i) % all->cap];
        if (is_run(r, l))
            return r;
    }
    audit_walk_copy(all->gone, sizeof all->gone, l->run, l->run_len);
    return NULL;
}

static struct audit_run *begin(struct runs *all, const struct journal_line *l)
{
    struct audit_run *r = &all->items[all->next];

    all->next = (all->next + 1) % all->cap;
    all->len += all->len < all->cap;
    all->gone[0] = '\0';
    memset(r, 0, sizeof *r);
    audit_walk_copy(r->run, sizeof r->run, l->run, l->run_len);
    audit_walk_copy(r->begun, sizeof r->begun, l->text + TIME_AT, TIME_LEN);
    return r;
}

/* A string member, or one inside an object that is a member. */
static void take(const struct journal_line *l, const char *name, const char *inside, char *dst,
                 size_t size)
{
    size_t n = 0;
    const char *raw = journal_line_member(l, name, &n);
    struct json *value = raw != NULL ? json_parse(raw, n, NULL) : NULL;
    const char *text = json_string(inside != NULL ? json_get(value, inside) : value);

    str_printable(dst, size, text != NULL ? text : "");
    json_free(value);
}

static bool is_true(const struct journal_line *l, const char *name)
{
    size_t n = 0;
    const char *raw = journal_line_member(l, name, &n);

    return raw != NULL && n == 4 && memcmp(raw, "true", 4) == 0;
}

static void end(struct audit_run *r, const struct journal_line *l)
{
    int64_t took = journal_line_integer(l, "duration_ms");

    r->ended = true;
    r->success = is_true(l, "success");
    r->duration_ms = took > 0 ? took : 0;
    take(l, "extra", "result", r->result, sizeof r->result);
    if (r->result[0] == '\0')
        str_copy(r->result, sizeof r->result, r->success ? "ok" : "failed");
    take(l, "key", NULL, r->key, sizeof r->key);
}

static bool ends_with(const struct journal_line *l, const char *suffix)
{
    const size_t n = strlen(suffix);

    return l->action_len > n && memcmp(l->action + l->action_len - n, suffix, n) == 0;
}

static enum err_code on_line(void *user, const struct journal_line *l, int64_t number,
                             const char *previous, struct err *e)
{
    struct runs *all = user;
    const bool begins = journal_line_is(l, "run_begin");
    struct audit_run *r = begins ? NULL : find(all, l);
    size_t n = 0;
    (void)number;
    (void)previous;
    (void)e;

    if (begins) {
        r = begin(all, l);
        take(l, "detail", NULL, r->command, sizeof r->command);
    }
    if (r == NULL) /* of a run that began before the ones that are kept */
        return ERR_OK;
    r->lines++;
    audit_walk_copy(r->last, sizeof r->last, l->text + TIME_AT, TIME_LEN);
    if (journal_line_is(l, "run_end")) {
        end(r, l);
    } else if (ends_with(l, "_refused")) {
        r->refused++;
    } else if (ends_with(l, "_outcome") && journal_line_member(l, "record_id", &n) != NULL &&
               journal_line_member(l, "success", &n) != NULL) {
        r->succeeded += is_true(l, "success");
        r->failed += !is_true(l, "success");
    }
    return ERR_OK;
}

enum err_code audit_list(const char *dir, size_t limit, audit_run_fn *fn, void *user,
                         struct audit_tally *out, struct err *e)
{
    struct runs all = {.cap = limit == 0 || limit > RUNS_MAX ? RUNS_MAX : limit};
    enum err_code code;

    memset(out, 0, sizeof *out);
    all.items = calloc(all.cap, sizeof *all.items);
    if (all.items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = audit_walk(dir, on_line, &all, &out->damaged, e);
    for (size_t i = 1; code == ERR_OK && i <= all.len; i++) {
        const struct audit_run *r = &all.items[(all.next + all.cap - i) % all.cap];
        out->lines += r->lines;
        code = fn(user, r, e);
    }
    free(all.items);
    return code;
}
