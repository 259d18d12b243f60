#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

enum err_code rollback_pages_open(struct rollback_job *j, const struct engine *g,
                                  const struct rollback_options *o, struct rollback_result *out,
                                  struct err *e)
{
    memset(j, 0, sizeof *j);
    j->g = g;
    j->o = o;
    j->out = out;
    j->root.fd = -1;
    record_list_init(&j->list, 0);
    j->items = calloc(ROLLBACK_PAGE, sizeof *j->items);
    if (j->items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (g->store == NULL ||
        o->database_only) /* nothing will be deleted: no original is asked for */
        return ERR_OK;
    return source_root_open(&j->root, g->source_root, e);
}

void rollback_pages_close(struct rollback_job *j)
{
    rollback_report_release(j);
    if (j->root.fd >= 0)
        source_root_close(&j->root);
    record_list_release(&j->list);
    free(j->items);
    j->items = NULL;
}

/* A page's rows in rounds, so that no round has a key twice: else each of two rows would see that the other still needs the
 * object, both would go back, and it would stay for ever. Rows that found the object there go before the one that wrote it. */
struct rounds {
    uint32_t hash[ROLLBACK_PAGE];
    unsigned round[ROLLBACK_PAGE];
    const struct record *row[ROLLBACK_PAGE];
    size_t n;
    unsigned last;
};

static uint32_t hash_of(const char *key)
{
    uint32_t h = 2166136261u;

    for (; key != NULL && *key != '\0'; key++)
        h = (h ^ (unsigned char)*key) * 16777619u;
    return h;
}

static void set_rounds(struct rounds *s)
{
    s->last = 0;
    for (size_t i = 0; i < s->n; i++)
        s->hash[i] = hash_of(s->row[i]->target_key);
    for (size_t i = 0; i < s->n; i++) {
        bool late = !s->row[i]->pre_existed;

        s->round[i] = 0;
        for (size_t k = 0; k < s->n; k++) {
            bool other_late = !s->row[k]->pre_existed;
            bool before = other_late == late ? k < i : late;
            s->round[i] += k != i && before && s->hash[k] == s->hash[i] &&
                           str_eq(s->row[k]->target_key, s->row[i]->target_key);
        }
        if (s->round[i] > s->last)
            s->last = s->round[i];
    }
}

static enum err_code run_rounds(struct rollback_job *j, struct rounds *s, rollback_page_fn *fn,
                                void *user, struct err *e)
{
    enum err_code code = ERR_OK;

    set_rounds(s);
    for (unsigned round = 0; code == ERR_OK && round <= s->last; round++) {
        j->n = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (s->round[i] != round)
                continue;
            memset(&j->items[j->n], 0, sizeof j->items[j->n]);
            j->items[j->n++].record = s->row[i];
        }
        if (j->n > 0)
            code = fn(j, user, e);
        if (code == ERR_OK && engine_stopping(j->g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    return code;
}

/* The rows of the page that are to be dealt with. */
static void take_rows(struct rollback_job *j, struct rounds *s, int64_t limit, int64_t *taken)
{
    s->n = 0;
    for (size_t i = 0; i < j->list.len && (limit == 0 || *taken < limit); i++) {
        const struct record *r = &j->list.items[i];

        if (!j->paying_debts && !rollback_select_takes(j->o, r)) {
            if (j->out != NULL)
                j->out->skipped++;
            continue;
        }
        s->row[s->n++] = r;
        ++*taken;
    }
}

enum err_code rollback_pages_each(struct rollback_job *j, const struct tracker_filter *f,
                                  rollback_page_fn *fn, void *user, struct err *e)
{
    struct rounds *s = calloc(1, sizeof *s);
    char *after = NULL;
    int64_t taken = 0, limit = j->paying_debts ? 0 : j->o->limit;
    enum err_code code = ERR_OK;

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (code == ERR_OK && (limit == 0 || taken < limit)) {
        code = tracker_records(j->g->tracker, f, after, ROLLBACK_PAGE, &j->list, e);
        if (code != ERR_OK || j->list.len == 0)
            break;
        free(after);
        after = str_dup(j->list.items[j->list.len - 1].id);
        if (after == NULL) {
            code = err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        take_rows(j, s, limit, &taken);
        code = run_rounds(j, s, fn, user, e);
    }
    free(after);
    free(s);
    return code;
}
