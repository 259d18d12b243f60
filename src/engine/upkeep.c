#include "blobferry/engine/upkeep.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>

static enum err_code note(const struct engine *g, const struct journal_entry *entry, bool store,
                          struct err *e)
{
    struct tracker_head head;
    enum err_code code = journal_add(g->journal, entry, e);

    if (code == ERR_OK)
        code = journal_commit(g->journal, true, &head, e);
    return code == ERR_OK && store ? tracker_set_head(g->tracker, &head, e) : code;
}

/* ---- check ------------------------------------------------------------------------------------------------- */

static enum err_code on_counters(void *user, const struct tracker_finding *f, struct err *e)
{
    int64_t *differ = user;

    (void)e;
    if (str_eq(f->name, "counters"))
        *differ = f->count;
    return ERR_OK;
}

/* Nothing is written, not even the run's row, unless something differs (P7). */
static enum err_code fix_counters(const struct engine *g, int64_t *fixed, struct err *e)
{
    struct tracker_check_totals totals;
    struct journal_entry entry = {.action = "counters_intent"};
    char detail[100];
    int64_t differ = 0;
    enum err_code code = tracker_check(g->tracker, on_counters, &differ, &totals, e), ended;

    if (code != ERR_OK || differ == 0)
        return code;
    code = engine_run_record(g, e);
    snprintf(detail, sizeof detail, "counters and status of %lld batches are counted anew",
             (long long)differ);
    entry.detail = detail;
    if (code == ERR_OK)
        code = note(g, &entry, false, e);
    if (code != ERR_OK)
        return code;
    code = tracker_refresh(g->tracker, NULL, fixed, e);
    snprintf(detail, sizeof detail, "counters and status of %lld batches were counted anew",
             (long long)*fixed);
    entry.action = "counters_outcome";
    entry.has_success = true;
    entry.success = code == ERR_OK;
    entry.error = code != ERR_OK && e != NULL ? e->message : NULL;
    entry.error_class = code != ERR_OK ? err_code_name(code) : NULL;
    ended = note(g, &entry, true, code == ERR_OK ? e : NULL);
    return code != ERR_OK ? code : ended;
}

enum err_code upkeep_check(const struct engine *g, bool fix, tracker_finding_fn *fn, void *user,
                           struct upkeep_check_result *out, struct err *e)
{
    enum err_code code = ERR_OK;

    memset(out, 0, sizeof *out);
    if (fix)
        code = fix_counters(g, &out->fixed, e);
    if (code == ERR_OK)
        code = tracker_check(g->tracker, fn, user, &out->totals, e);
    if (code != ERR_OK)
        return code;
    if (out->totals.batches + out->totals.migrations + out->totals.files == 0) {
        err_set(e, ERR_NOTFOUND, "nothing was checked: the three tables hold no rows");
        return err_hint(e, "is this the right database? '%s'", tracker_name(g->tracker));
    }
    if (out->totals.problems == 0)
        return ERR_OK;
    err_set(e, ERR_PARTIAL, "%lld of %d checks found something", (long long)out->totals.problems,
            out->totals.checks);
    return err_hint(e, "each is listed above with the SQL that shows it");
}

/* ---- upgrade --------------------------------------------------------------------------------------------------- */

struct steps {
    const struct engine *g;
    tracker_step_fn *fn;
    void *user;
    struct upkeep_upgrade_result *out;
};

static enum err_code on_step(void *user, const struct tracker_step *s, struct err *e)
{
    struct steps *w = user;
    char detail[400];

    w->out->done += s->done;
    w->out->missing += !s->done;
    if (s->kind == TRACKER_STEP_TABLES)
        snprintf(detail, sizeof detail, "blobferry_* tables to version %d", s->version);
    else
        str_copy(detail, sizeof detail, s->sql);
    if (s->done) {
        struct journal_entry entry = {
            .action = "upgrade", .detail = detail, .has_success = true, .success = true};
        enum err_code code = journal_add(w->g->journal, &entry, e);
        if (code != ERR_OK)
            return code;
    }
    return w->fn != NULL ? w->fn(w->user, s, e) : ERR_OK;
}

enum err_code upkeep_upgrade(const struct engine *g, const struct tracker_upgrade *o,
                             tracker_step_fn *fn, void *user, struct upkeep_upgrade_result *out,
                             struct err *e)
{
    struct steps w = {.g = g, .fn = fn, .user = user, .out = out};
    struct tracker_head head;
    enum err_code code;

    memset(out, 0, sizeof *out);
    code = tracker_upgrade(g->tracker, o, on_step, &w, e);
    if (code != ERR_OK || out->done == 0)
        return code;
    code = engine_run_record(g, e); /* only now: before, there may have been no table for it */
    if (code == ERR_OK)
        code = journal_commit(g->journal, true, &head, e);
    return code == ERR_OK ? tracker_set_head(g->tracker, &head, e) : code;
}
