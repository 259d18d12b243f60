#include "blobferry/engine/rollback.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

#define LEASE_MS 120000

const char *rollback_refusal_name(enum rollback_refusal r)
{
    static const char *const names[ROLLBACK_REFUSALS] = {
        [ROLLBACK_OK] = "none",
        [ROLLBACK_SOURCE_MISSING] = "source_missing",
        [ROLLBACK_SOURCE_ALTERED] = "source_altered",
        [ROLLBACK_NOT_OURS] = "object_not_ours",
        [ROLLBACK_PRE_EXISTED] = "object_pre_existed",
        [ROLLBACK_SHARED] = "object_shared",
        [ROLLBACK_LOCKED] = "object_locked",
        [ROLLBACK_POINTER_CHANGED] = "pointer_changed",
        [ROLLBACK_UNPROVEN] = "unproven",
    };
    return (unsigned)r < ROLLBACK_REFUSALS ? names[r] : "unproven";
}

void rollback_preview_init(struct rollback_preview *p)
{
    memset(p, 0, sizeof *p);
    record_list_init(&p->first, 0);
}

void rollback_preview_release(struct rollback_preview *p)
{
    record_list_release(&p->first);
}

/* ---- pages ---------------------------------------------------------------------------------------- */

static enum err_code job_open(struct rollback_job *j, const struct engine *g,
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
    return source_root_open(&j->root, g->source_root, e);
}

static void job_close(struct rollback_job *j)
{
    rollback_report_release(j);
    if (j->root.fd >= 0)
        source_root_close(&j->root);
    record_list_release(&j->list);
    free(j->items);
}

typedef enum err_code page_fn(struct rollback_job *j, void *user, struct err *e);

/* Selected rows page by page in id order; rows that move leave the selection behind the cursor. */
static enum err_code each_page(struct rollback_job *j, const struct tracker_filter *f, page_fn *fn,
                               void *user, struct err *e)
{
    char after[1024] = "";
    int64_t taken = 0, limit = j->paying_debts ? 0 : j->o->limit;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && (limit == 0 || taken < limit)) {
        record_list_reset(&j->list);
        code = tracker_records(j->g->tracker, f, after[0] != '\0' ? after : NULL, ROLLBACK_PAGE,
                               &j->list, e);
        if (code != ERR_OK || j->list.len == 0)
            break;
        j->n = 0;
        for (size_t i = 0; i < j->list.len && (limit == 0 || taken < limit); i++) {
            const struct record *r = &j->list.items[i];
            if (!j->paying_debts && !rollback_select_takes(j->o, r))
                continue;
            memset(&j->items[j->n], 0, sizeof j->items[j->n]);
            j->items[j->n++].record = r;
            taken++;
        }
        if (!str_copy(after, sizeof after, j->list.items[j->list.len - 1].id))
            code = err_set(e, ERR_LIMIT, "an id is longer than 1023 bytes");
        if (code == ERR_OK && j->n > 0)
            code = fn(j, user, e);
        if (code == ERR_OK && engine_stopping(j->g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    return code;
}

/* ---- preview ---------------------------------------------------------------------------------------- */

static enum err_code nothing_found(struct err *e)
{
    err_set(e, ERR_NOTFOUND, "No migration records found");
    return err_hint(e, "see: blobferry status");
}

static enum err_code survey(const struct engine *g, const struct rollback_options *o,
                            struct rollback_preview *out, struct err *e)
{
    enum err_code code = rollback_select_survey(g, o, out, e);

    return code == ERR_OK && out->files == 0 && out->debts == 0 ? nothing_found(e) : code;
}

static enum err_code preview_page(struct rollback_job *j, void *user, struct err *e)
{
    struct rollback_preview *out = user;
    enum err_code code = rollback_prove_page(j, e);

    for (size_t i = 0; code == ERR_OK && i < j->n; i++)
        out->refused[j->items[i].refusal]++;
    return code;
}

enum err_code rollback_preview(const struct engine *g, const struct rollback_options *o, bool prove,
                               struct rollback_preview *out, struct err *e)
{
    struct tracker_filter f = rollback_select_filter(o);
    struct rollback_job j;
    enum err_code code = survey(g, o, out, e);

    if (code != ERR_OK || !prove)
        return code;
    code = job_open(&j, g, o, NULL, e);
    if (code == ERR_OK)
        code = each_page(&j, &f, preview_page, out, e);
    job_close(&j);
    return code;
}

/* ---- run ---------------------------------------------------------------------------------------------- */

static enum err_code lock_scope(const struct engine *g, const struct rollback_options *o,
                                struct err *e)
{
    const char *batch = o->scope.batch_id != NULL ? o->scope.batch_id : "*";

    return tracker_lock(g->tracker,
                        &(struct tracker_lock){.batch_ids = &batch,
                                               .batch_count = 1,
                                               .mode = TRACKER_LOCK_ROLLBACK,
                                               .owner = g->owner,
                                               .now_ms = clock_wall_ms(),
                                               .lease_ms = LEASE_MS},
                        e);
}

/* Under the lock: is it still what was shown? */
static enum err_code check_plan(const struct engine *g, const struct rollback_options *o,
                                struct rollback_preview *now, struct err *e)
{
    enum err_code code = survey(g, o, now, e);

    if (code == ERR_OK && o->plan_hash != NULL && !str_eq(o->plan_hash, now->plan_hash)) {
        err_set(e, ERR_CONFLICT, "the plan is not the previewed one any more (now %s)",
                now->plan_hash);
        code = err_hint(e, "look at the dry run again; nothing was done");
    }
    return code;
}

static enum err_code make_backup(struct rollback_job *j, struct err *e)
{
    struct tracker_filter f = j->o->scope;
    struct journal_entry entry = {.action = "backup", .has_success = true, .success = true};
    struct tracker_head head;
    enum err_code code = ERR_OK;

    f.statuses = TRACKER_ANY_STATUS;
    if (j->o->no_backup) {
        entry.detail = "none, as asked by --no-backup";
    } else {
        code = backup_create(j->g, &f, &j->out->backup, e);
        entry.detail = j->out->backup.path;
        entry.sha256 = j->out->backup.sha256;
        entry.has_size = true;
        entry.size = j->out->backup.bytes;
    }
    if (code == ERR_OK)
        code = journal_add(j->g->journal, &entry, e);
    return code == ERR_OK ? journal_commit(j->g->journal, true, &head, e) : code;
}

static void tell_progress(const struct rollback_job *j)
{
    const struct rollback_result *r = j->out;

    for (size_t i = 0; i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        bool kept = it->refusal == ROLLBACK_PRE_EXISTED || it->refusal == ROLLBACK_SHARED;
        struct engine_event ev = {.kind = ENGINE_FILE_DONE, .record = it->record, .err = &it->why};

        if (it->refusal != ROLLBACK_OK && !kept)
            ev.kind = ENGINE_FILE_REFUSED;
        else if (it->remove && !it->removed)
            ev.kind = ENGINE_FILE_FAILED;
        engine_emit(j->g, &ev);
    }
    engine_emit(j->g, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                             .files_done = r->database_rollbacks,
                                             .files_failed = r->refused + r->failures,
                                             .files_total = j->total,
                                             .bytes_done = r->bytes_freed,
                                             .bytes_total = -1});
}

static enum err_code run_page(struct rollback_job *j, void *user, struct err *e)
{
    enum err_code code;

    (void)user;
    code = lock_scope(j->g, j->o, e); /* renews */
    if (code == ERR_OK)
        code = rollback_prove_page(j, e);
    if (code == ERR_OK)
        code = rollback_act_page(j, e);
    if (code == ERR_OK)
        tell_progress(j);
    return code;
}

/* Debts first: deletes whose rows went back in an earlier run that did not end. */
static enum err_code pay_debts(struct rollback_job *j, struct err *e)
{
    struct tracker_filter f = j->o->scope;
    enum err_code code;

    if (j->g->store == NULL || j->o->database_only)
        return ERR_OK;
    f.statuses = TRACKER_STATUS(FILE_ROLLED_BACK);
    f.delete_owed = true;
    j->paying_debts = true;
    code = each_page(j, &f, run_page, NULL, e);
    j->paying_debts = false;
    return code;
}

static enum err_code verdict(const struct rollback_result *r, struct err *e)
{
    if (r->refused == 0 && r->failures == 0)
        return ERR_OK;
    err_set(e, ERR_PARTIAL, "%lld files were refused and %lld failed", (long long)r->refused,
            (long long)r->failures);
    return err_hint(e,
                    "refused files are untouched; a failed deletion is owed and paid by the next "
                    "rollback of this scope");
}

static enum err_code work(struct rollback_job *j, struct err *e)
{
    struct tracker_filter f = rollback_select_filter(j->o);
    struct objstore_result ping;
    struct tracker_head head;
    enum err_code code = ERR_OK, ended;

    if (j->g->store != NULL && !j->o->database_only)
        code = objstore_ping_wait(j->g->store, &ping, e);
    if (code == ERR_OK)
        code = make_backup(j, e);
    if (code == ERR_OK)
        code = rollback_report_begin(j, e);
    if (code != ERR_OK)
        return code;
    code = pay_debts(j, e);
    if (code == ERR_OK)
        code = each_page(j, &f, run_page, NULL, e);
    /* an interrupted rollback gets its report and true counters as well */
    ended = tracker_refresh(j->g->tracker, j->o->scope.batch_id, &(int64_t){0},
                            code == ERR_OK ? e : NULL);
    if (ended == ERR_OK)
        ended = journal_commit(j->g->journal, true, &head, code == ERR_OK ? e : NULL);
    if (ended == ERR_OK)
        ended = rollback_report_end(j, &head, code == ERR_OK ? e : NULL);
    return code != ERR_OK ? code : ended;
}

enum err_code rollback_run(const struct engine *g, const struct rollback_options *o,
                           struct rollback_result *out, struct err *e)
{
    int64_t started = clock_mono_ms();
    struct rollback_preview now;
    struct rollback_job j;
    bool locked = false;
    enum err_code code;

    memset(out, 0, sizeof *out);
    rollback_preview_init(&now);
    code = job_open(&j, g, o, out, e);
    if (code == ERR_OK)
        code = lock_scope(g, o, e);
    locked = code == ERR_OK;
    if (code == ERR_OK)
        code = check_plan(g, o, &now, e);
    if (code == ERR_OK) {
        j.total = now.files;
        code = work(&j, e);
    }
    if (locked)
        tracker_unlock(g->tracker, g->owner, NULL);
    out->elapsed_ms = clock_mono_ms() - started;
    if (code == ERR_OK)
        code = verdict(out, e);
    job_close(&j);
    rollback_preview_release(&now);
    return code;
}
