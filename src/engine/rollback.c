#include "blobferry/engine/rollback.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- preview ---------------------------------------------------------------------------------------- */

static enum err_code nothing_found(struct err *e)
{
    err_set(e, ERR_NOTFOUND, "No migration records found");
    return err_hint(e, "see: blobferry status");
}

static enum err_code survey(const struct engine *g, const struct rollback_options *o,
                            struct rollback_preview *out, struct err *e)
{
    enum err_code code = rollback_lock_scoped(o, e);

    if (code == ERR_OK)
        code = rollback_select_survey(g, o, out, e);
    return code == ERR_OK && out->files == 0 && out->debts == 0 ? nothing_found(e) : code;
}

/* Rows that say they have an object, and not one of them was found: more likely a wrong target than a lost bucket. */
static void warn_of_target(const struct engine *g)
{
    engine_emit(g, &(struct engine_event){
                       .kind = ENGINE_NOTE,
                       .message = "not one of the objects was found: is the target right?"});
}

static enum err_code preview_page(struct rollback_job *j, void *user, struct err *e)
{
    struct rollback_preview *out = user;
    enum err_code code = rollback_prove_page(j, e);

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];

        out->refused[it->refusal]++;
        out->absent += rollback_prove_missing(it);
        j->seen++;
        if (rollback_act_row_goes(it))
            continue;
        j->seen_bad++;
        engine_emit(j->g, &(struct engine_event){
                              .kind = ENGINE_FILE_REFUSED, .record = it->record, .err = &it->why});
    }
    engine_emit(j->g, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                             .files_done = j->seen - j->seen_bad,
                                             .files_failed = j->seen_bad,
                                             .files_total = out->files,
                                             .bytes_total = -1});
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
    code = rollback_pages_open(&j, g, o, NULL, e);
    if (code == ERR_OK)
        code = rollback_pages_each(&j, &f, preview_page, out, e);
    if (code == ERR_OK && out->absent > 0 && out->absent == j.seen)
        warn_of_target(g);
    rollback_pages_close(&j);
    return code;
}

/* ---- run ---------------------------------------------------------------------------------------------- */

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

static enum engine_event_kind kind_of(const struct rollback_item *it)
{
    if (it->lost)
        return ENGINE_FILE_SKIPPED;
    if (!rollback_act_row_goes(it) && !(it->moved && it->done))
        return ENGINE_FILE_REFUSED;
    return it->remove && !it->done ? ENGINE_FILE_FAILED : ENGINE_FILE_DONE;
}

static void tell_progress(const struct rollback_job *j)
{
    const struct rollback_result *r = j->out;

    for (size_t i = 0; i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];

        engine_emit(j->g, &(struct engine_event){
                              .kind = kind_of(it), .record = it->record, .err = &it->why});
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
    code = rollback_lock_keep(j, e);
    if (code == ERR_OK)
        code = rollback_prove_page(j, e);
    if (code == ERR_OK)
        code = rollback_lock_keep(j, e);
    if (code == ERR_OK) {
        code = rollback_act_page(j, e);
        tell_progress(j); /* also of a page that broke off: its outcomes are as they are */
    }
    return code;
}

/* Debts first: deletes whose rows went back in an earlier run that did not end. */
static enum err_code pay_debts(struct rollback_job *j, struct err *e)
{
    struct tracker_filter f = rollback_select_debts(j->o);
    enum err_code code;

    if (j->g->store == NULL || j->o->database_only)
        return ERR_OK;
    j->paying_debts = true;
    code = rollback_pages_each(j, &f, run_page, NULL, e);
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

/* The bucket answers, and to us. */
static enum err_code check_store(const struct rollback_job *j, struct err *e)
{
    struct objstore_result ping;
    enum err_code code;

    if (j->g->store == NULL || j->o->database_only)
        return ERR_OK;
    code = objstore_ping_wait(j->g->store, &ping, e);
    if (code != ERR_OK || ping.outcome == OBJSTORE_DONE)
        return code;
    if (e != NULL)
        *e = ping.err;
    return ping.err.code;
}

/* An interrupted rollback gets its report as well. Counters follow the rows in each transaction; the batch that was named is
 * counted once more, for the application may have changed rows under it. Others are not ours to touch. */
static enum err_code finish(struct rollback_job *j, enum err_code code, struct err *e)
{
    struct err *own = code == ERR_OK ? e : NULL;
    struct tracker_head head;
    enum err_code ended = ERR_OK;

    if (j->o->scope.batch_id != NULL && j->out->database_rollbacks > 0)
        ended = tracker_refresh(j->g->tracker, j->o->scope.batch_id, NULL, own);
    if (ended == ERR_OK)
        ended = journal_commit(j->g->journal, true, &head, own);
    if (ended == ERR_OK)
        ended = rollback_report_end(j, &head, own);
    return code != ERR_OK ? code : ended;
}

static enum err_code work(struct rollback_job *j, struct err *e)
{
    struct tracker_filter f = rollback_select_filter(j->o);
    enum err_code code = check_store(j, e);

    if (code == ERR_OK)
        code = make_backup(j, e);
    if (code == ERR_OK)
        code = rollback_report_begin(j, e);
    if (code != ERR_OK)
        return code;
    code = pay_debts(j, e);
    if (code == ERR_OK)
        code = rollback_pages_each(j, &f, run_page, NULL, e);
    if (j->g->store != NULL)
        objstore_requests(j->g->store, &j->out->requests);
    if (j->missing > 0 && j->out->r2_deletions == 0 && j->out->kept_objects == 0 &&
        j->out->refused == 0)
        warn_of_target(j->g);
    return finish(j, code, e);
}

enum err_code rollback_run(const struct engine *g, const struct rollback_options *o,
                           struct rollback_result *out, struct err *e)
{
    int64_t started = clock_mono_ms();
    struct rollback_preview now;
    struct rollback_job j;
    enum err_code code;

    memset(out, 0, sizeof *out);
    rollback_preview_init(&now);
    code = rollback_pages_open(&j, g, o, out, e);
    if (code == ERR_OK)
        code = rollback_lock_scoped(
            o, e); /* before the lock: a scope that is none must not lock all */
    if (code == ERR_OK)
        code = rollback_lock_take(&j, e);
    if (code == ERR_OK)
        code = rollback_doubt_settle(&j, e);
    if (code == ERR_OK)
        code = check_plan(g, o, &now, e);
    if (code == ERR_OK) {
        j.total = now.files;
        code = work(&j, e);
    }
    rollback_lock_drop(&j);
    out->elapsed_ms = clock_mono_ms() - started;
    if (code == ERR_OK)
        code = verdict(out, e);
    rollback_pages_close(&j);
    rollback_preview_release(&now);
    return code;
}
