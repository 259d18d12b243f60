#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "engine/rollback_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_AT    ((size_t)64 << 10)
#define NAMES_TRIED 100

static enum err_code flush(struct rollback_report *r, size_t above, struct err *e)
{
    enum err_code code;

    if (!buf_ok(&r->text))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (r->text.len <= above)
        return ERR_OK;
    code = fsio_atomic_write(&r->file, r->text.data, r->text.len, e);
    buf_reset(&r->text);
    return code;
}

static void put_config(struct json_out *w, const struct rollback_options *o)
{
    json_out_object(w, "config");
    json_out_string(w, "batch_id", o->scope.batch_id);
    json_out_string(w, "user_id", o->scope.user_id);
    if (o->scope.has_from)
        json_out_integer(w, "start_ms", o->scope.from_ms);
    if (o->scope.has_to)
        json_out_integer(w, "end_ms", o->scope.to_ms);
    json_out_boolean(w, "failed_only", o->failed_only);
    json_out_boolean(w, "full_rollback", o->full);
    json_out_boolean(w, "database_only", o->database_only);
    json_out_boolean(w, "r2_only", o->r2_only);
    json_out_boolean(w, "no_backup", o->no_backup);
    json_out_boolean(w, "allow_missing_source", o->allow_missing_source);
    json_out_boolean(w, "trust_unmarked", o->trust_unmarked);
    json_out_integer(w, "limit", o->limit);
    json_out_end(w);
}

/* logs/rollback_audit_<time>.json, with -2, -3 … when it is taken. */
static enum err_code choose_path(const struct rollback_job *j, char *path, size_t size,
                                 struct err *e)
{
    const char *log = journal_path(j->g->journal);
    const char *slash = strrchr(log, '/');
    char stamp[TIMEFMT_SIZE];

    timefmt_stamp(clock_wall_ms(), stamp);
    for (int i = 1; i <= NAMES_TRIED; i++) {
        char suffix[16] = "";
        if (i > 1)
            snprintf(suffix, sizeof suffix, "-%d", i);
        if (snprintf(path, size, "%.*srollback_audit_%s%s.json",
                     slash != NULL ? (int)(slash - log + 1) : 0, log, stamp, suffix) >= (int)size)
            return err_set(e, ERR_CONFIG, "the log folder's name is too long");
        if (!fsio_exists(path))
            return ERR_OK;
    }
    return err_set(e, ERR_CONFLICT, "too many rollback reports in one second");
}

enum err_code rollback_report_begin(struct rollback_job *j, struct err *e)
{
    struct rollback_report *r = &j->report;
    char path[4000];
    enum err_code code = choose_path(j, path, sizeof path, e);

    timefmt_iso(clock_wall_ms(), r->started);
    if (code == ERR_OK)
        code = fsio_atomic_begin(&r->file, path, 0600, e);
    if (code != ERR_OK)
        return err_wrap(e, "rollback report");
    r->open = true;
    buf_init(&r->text, (size_t)4 << 20);
    json_out_init(&r->json, &r->text, 1);
    json_out_object(&r->json, NULL);
    json_out_string(&r->json, "timestamp", r->started);
    json_out_string(&r->json, "run", j->g->run_id);
    put_config(&r->json, j->o);
    json_out_array(&r->json, "operations");
    return ERR_OK;
}

/* What was done to the file, in the guide's words. */
static const char *action(const struct rollback_job *j, const struct rollback_item *it)
{
    if (j->paying_debts)
        return "pay_debt";
    if (it->moved && it->removed)
        return "rollback";
    if (it->moved)
        return "database_rollback";
    if (it->removed)
        return "r2_delete";
    return rollback_act_row_goes(it) && !it->lost ? "none" : "refused";
}

enum err_code rollback_report_item(struct rollback_job *j, const struct rollback_item *it,
                                   struct err *e)
{
    struct json_out *w = &j->report.json;
    const struct record *r = it->record;
    bool success = it->done && !it->lost &&
                   (rollback_act_row_goes(it) || it->moved ||
                    (j->paying_debts && it->refusal == ROLLBACK_NOT_OURS));
    char now[TIMEFMT_SIZE];

    timefmt_iso(clock_wall_ms(), now);
    json_out_object(w, NULL);
    json_out_string(w, "timestamp", now);
    json_out_string(w, "record_id", r->id);
    json_out_string(w, "file_id", r->file_id);
    json_out_string(w, "batch_id", r->batch_id);
    json_out_string(w, "filename", r->filename);
    json_out_string(w, "target_r2_key", r->target_key);
    json_out_string(w, "action", action(j, it));
    json_out_string(w, "reason",
                    it->lost                     ? "row_changed"
                    : it->refusal != ROLLBACK_OK ? rollback_refusal_name(it->refusal)
                                                 : NULL);
    json_out_boolean(w, "success", success);
    json_out_string(w, "error", success || it->why.code == ERR_OK ? NULL : it->why.message);
    json_out_boolean(w, "dry_run", false);
    json_out_end(w);
    return flush(&j->report, FLUSH_AT, e);
}

static void put_stats(struct json_out *w, const struct rollback_result *r, const char *started)
{
    char now[TIMEFMT_SIZE];

    timefmt_iso(clock_wall_ms(), now);
    json_out_object(w, "stats");
    json_out_integer(w, "total_files", r->total_files);
    json_out_integer(w, "database_rollbacks", r->database_rollbacks);
    json_out_integer(w, "r2_deletions", r->r2_deletions);
    json_out_integer(w, "already_absent", r->already_absent);
    json_out_integer(w, "kept_objects", r->kept_objects);
    json_out_integer(w, "debts_paid", r->debts_paid);
    json_out_integer(w, "failures", r->failures);
    json_out_integer(w, "skipped", r->skipped);
    json_out_integer(w, "refused", r->refused);
    json_out_integer(w, "bytes_freed", r->bytes_freed);
    json_out_object(w, "requests");
    json_out_integer(w, "get", (int64_t)r->requests.get);
    json_out_integer(w, "head", (int64_t)r->requests.head);
    json_out_integer(w, "put", (int64_t)r->requests.put);
    json_out_integer(w, "post", (int64_t)r->requests.post);
    json_out_integer(w, "delete", (int64_t)r->requests.delete_);
    json_out_end(w);
    json_out_string(w, "start_time", started);
    json_out_string(w, "end_time", now);
    json_out_end(w);
}

/* Another rollback may have taken the name meanwhile: what this one has done must not go unreported for that. */
static enum err_code commit(struct rollback_job *j, struct err *e)
{
    struct rollback_report *r = &j->report;
    char path[4000];
    enum err_code code = ERR_OK;

    if (fsio_exists(r->file.path)) {
        code = choose_path(j, path, sizeof path, e);
        if (code == ERR_OK) {
            free(r->file.path);
            r->file.path = str_dup(path);
            if (r->file.path == NULL)
                code = err_set(e, ERR_NOMEM, "out of memory");
        }
    }
    if (code == ERR_OK) {
        str_copy(j->out->audit_path, sizeof j->out->audit_path, r->file.path);
        code = fsio_atomic_commit(&r->file, FSIO_NEW, e);
    }
    return code;
}

enum err_code rollback_report_end(struct rollback_job *j, const struct tracker_head *head,
                                  struct err *e)
{
    struct json_out *w = &j->report.json;
    bool backup = j->out->backup.path[0] != '\0';
    enum err_code code;

    json_out_end(w); /* operations */
    put_stats(w, j->out, j->report.started);
    json_out_string(w, "backup", backup ? j->out->backup.path : NULL);
    json_out_string(w, "backup_sha256", backup ? j->out->backup.sha256 : NULL);
    json_out_object(w, "chain_head");
    json_out_string(w, "log", head->log_id);
    json_out_integer(w, "seq", head->seq);
    json_out_string(w, "hash", head->hash);
    json_out_end(w);
    json_out_end(w);
    buf_char(&j->report.text, '\n');
    code = flush(&j->report, 0, e);
    if (code == ERR_OK)
        code = commit(j, e);
    j->report.open = code != ERR_OK;
    return code != ERR_OK ? err_wrap(e, "rollback report") : ERR_OK;
}

void rollback_report_release(struct rollback_job *j)
{
    if (j->report.open) {
        fsio_atomic_abort(&j->report.file);
        if (j->out != NULL)
            j->out->audit_path[0] = '\0';
    }
    j->report.open = false;
    buf_release(&j->report.text);
}
