#include "blobferry/engine/copy.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/copy_job.h"

#include <stdio.h>
#include <string.h>

/* ---- what is there ---------------------------------------------------------------------------------------- */

static enum err_code on_owner(void *user, const char *owner, int64_t rows, int64_t lease_until_ms,
                              struct err *e)
{
    struct copy_report *r = user;

    (void)owner;
    (void)e;
    r->in_hand += lease_until_ms > clock_wall_ms() ? rows : 0;
    return ERR_OK;
}

/* P9: a copy of nothing is no success. */
static enum err_code judge(const struct copy_job *j, struct err *e)
{
    const struct copy_report *r = j->out;

    if (r->rows == 0) {
        err_set(e, ERR_NOTFOUND, "the source '%s' holds no rows", r->source);
        return err_hint(e, "is it the right one?");
    }
    if (r->target_rows > 0 && !j->o->replace) {
        err_set(e, ERR_REFUSED, "the target '%s' holds %lld rows already", r->target,
                (long long)r->target_rows);
        return err_hint(e, "--replace removes them first, after a backup");
    }
    return ERR_OK;
}

static enum err_code judge_problems(const struct copy_job *j, struct err *e)
{
    const struct copy_report *r = j->out;

    if (r->problems == 0)
        return ERR_OK;
    err_set(e, ERR_REFUSED, "%lld values of the source cannot be held by the target: %s",
            (long long)r->problems, r->problem[0]);
    return err_hint(e, "nothing was written: correct them in the source first");
}

static enum err_code begin(struct copy_job *j, struct err *e)
{
    struct copy_report *r = j->out;
    enum err_code code;

    memset(r, 0, sizeof *r);
    str_printable(r->source, sizeof r->source, tracker_name(j->source));
    str_printable(r->target, sizeof r->target,
                  j->g->tracker != NULL ? tracker_name(j->g->tracker) : j->o->target);
    if (str_eq(r->source, r->target))
        return err_set(e, ERR_USAGE, "source and target are one database: '%s'", r->source);
    code = copy_job_init(j, e);
    if (code == ERR_OK)
        code = tracker_require(j->source, e);
    if (code == ERR_OK)
        code = copy_job_look(j, e);
    if (code == ERR_OK)
        code = tracker_owners(j->source, NULL, on_owner, r, e);
    return code == ERR_OK ? judge(j, e) : code;
}

enum err_code copy_preview(const struct engine *g, struct tracker *source,
                           const struct copy_options *o, struct copy_report *out, struct err *e)
{
    struct copy_job j = {.g = g, .source = source, .o = o, .out = out};
    const int64_t started = clock_mono_ms();
    enum err_code code = begin(&j, e);

    out->dry_run = true;
    if (code == ERR_OK)
        code = copy_job_rules(&j, e);
    if (code == ERR_OK)
        code = copy_scan(&j, e);
    if (code == ERR_OK)
        code = judge_problems(&j, e);
    copy_job_release(&j);
    out->elapsed_ms = clock_mono_ms() - started;
    return code;
}

/* ---- run ------------------------------------------------------------------------------------------------------ */

static enum err_code audit(const struct engine *g, const struct journal_entry *entry,
                           struct tracker_head *head, struct err *e)
{
    enum err_code code = journal_add(g->journal, entry, e);

    return code == ERR_OK ? journal_commit(g->journal, true, head, e) : code;
}

static enum err_code backup_before(struct copy_job *j, struct err *e)
{
    const struct tracker_filter everything = {.everything = true};
    struct journal_entry entry = {.action = "backup", .has_success = true, .success = true};
    struct copy_report *r = j->out;
    struct tracker_head head;
    enum err_code code = ERR_OK;

    if (r->target_rows == 0)
        return ERR_OK;
    if (j->o->no_backup) {
        entry.detail = "none, as asked by --no-backup";
    } else {
        code = backup_create(j->g, &everything, &r->before, e);
        entry.detail = r->before.path;
        entry.sha256 = r->before.sha256;
        entry.has_size = true;
        entry.size = r->before.bytes;
    }
    return code == ERR_OK ? audit(j->g, &entry, &head, e) : code;
}

static void describe(const struct copy_report *r, struct buf *b)
{
    struct json_out w;

    json_out_init(&w, b, 0);
    json_out_object(&w, NULL);
    copy_report_json(&w, r);
    json_out_end(&w);
}

/* The transaction between its intent and its outcome (P6). */
static enum err_code move(struct copy_job *j, struct err *e)
{
    struct journal_entry entry = {.action = "copy_intent"};
    struct tracker_head head;
    char detail[2200];
    struct buf extra;
    enum err_code code, ended;

    buf_init(&extra, 256 << 10);
    snprintf(detail, sizeof detail, "%s to %s%s", j->out->source, j->out->target,
             j->out->target_rows > 0 ? ", whose rows are removed" : "");
    entry.detail = detail;
    code = audit(j->g, &entry, &head, e);
    if (code == ERR_OK) {
        code = copy_move(j, &head, e);
        j->out->done = code == ERR_OK;
        describe(j->out, &extra);
        entry.action = "copy_outcome";
        entry.has_success = true;
        entry.success = code == ERR_OK;
        entry.error = code != ERR_OK && e != NULL ? e->message : NULL;
        entry.error_class = code != ERR_OK ? err_code_name(code) : NULL;
        entry.extra_json = buf_ok(&extra) ? buf_cstr(&extra) : NULL;
        ended = audit(j->g, &entry, &head, code == ERR_OK ? e : NULL);
        code = code != ERR_OK ? code : ended;
    }
    buf_release(&extra);
    return code;
}

static enum err_code work(struct copy_job *j, struct err *e)
{
    enum err_code code = begin(j, e);

    if (code == ERR_OK)
        code = copy_job_rules(j, e);
    if (code == ERR_OK && tracker_copy_strict(j->g->tracker))
        code = copy_scan(j, e);
    if (code == ERR_OK)
        code = judge_problems(j, e);
    if (code == ERR_OK)
        code = backup_before(j, e);
    if (code == ERR_OK && engine_stopping(j->g))
        code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    return code == ERR_OK ? move(j, e) : code;
}

enum err_code copy_run(const struct engine *g, struct tracker *source, const struct copy_options *o,
                       struct copy_report *out, struct err *e)
{
    struct copy_job j = {.g = g, .source = source, .o = o, .out = out};
    const int64_t started = clock_mono_ms();
    enum err_code code = work(&j, e);

    out->elapsed_ms = clock_mono_ms() - started;
    copy_job_release(&j);
    if (o->report_dir != NULL && out->rows > 0) {
        enum err_code written = copy_report_write(out, o->report_dir, code == ERR_OK ? e : NULL);
        code = code != ERR_OK ? code : written;
    }
    return code;
}
