#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/rollback_aside.h"
#include "engine/upload_mark.h"

#include <stdlib.h>
#include <string.h>

bool rollback_act_row_goes(const struct rollback_item *it)
{
    return it->refusal == ROLLBACK_OK || it->refusal == ROLLBACK_PRE_EXISTED ||
           it->refusal == ROLLBACK_SHARED;
}

static struct journal_entry entry_of(const struct rollback_item *it, const char *action)
{
    const struct record *r = it->record;

    return (struct journal_entry){.action = action,
                                  .file_id = r->file_id,
                                  .record_id = r->id,
                                  .batch_id = r->batch_id,
                                  .filename = r->filename,
                                  .target_key = r->target_key,
                                  .etag = r->etag,
                                  .version_id = r->version_id,
                                  .sha256 = r->migrated_checksum,
                                  .from = r->status_text,
                                  .has_size = r->file_size >= 0,
                                  .size = r->file_size};
}

/* ---- uploads ------------------------------------------------------------------------------------- */

static enum err_code abort_upload(struct rollback_job *j, const struct record *r,
                                  struct objstore_result *result, struct err *e)
{
    char *id = upload_mark_id(r->upload_id);
    enum err_code code = ERR_NOMEM;

    if (id == NULL)
        err_set(e, ERR_NOMEM, "out of memory");
    else
        code = objstore_abort_wait(j->g->store, r->target_key, id, result, e);
    free(id);
    return code;
}

/* Multipart uploads that a row left behind go before the row does, for nobody would look for them afterwards (P11). */
static enum err_code abort_uploads(struct rollback_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        struct rollback_item *it = &j->items[i];
        const struct record *r = it->record;
        struct objstore_result result = {.outcome = OBJSTORE_UNAVAILABLE};
        struct journal_entry entry;

        if (r->upload_id == NULL || !rollback_act_row_goes(it) || j->paying_debts)
            continue;
        if (j->g->store == NULL || j->o->database_only) {
            it->refusal = ROLLBACK_UNPROVEN;
            it->remove = false;
            err_set(&it->why, ERR_REFUSED, "an upload of the row is still to be aborted");
            err_hint(&it->why, "roll it back without --database-only");
            continue;
        }
        entry = entry_of(it, "upload_abort");
        entry.detail = r->upload_id;
        code = journal_add(j->g->journal, &entry, e);
        if (code == ERR_OK)
            code = abort_upload(j, r, &result, e);
        if (code == ERR_OK && result.outcome != OBJSTORE_DONE &&
            result.outcome != OBJSTORE_ABSENT) {
            it->refusal = ROLLBACK_UNPROVEN;
            it->remove = false;
            it->why = result.err;
            err_wrap(&it->why, "an upload of the row could not be aborted");
        }
    }
    return code;
}

/* ---- intents ------------------------------------------------------------------------------------- */

static const char *intention(const struct rollback_job *j, const struct rollback_item *it)
{
    if (it->remove && it->unsourced)
        return "delete object; its original is missing, as --allow-missing-source allows";
    if (it->remove && j->o->trust_unmarked && it->info.record_id[0] == '\0')
        return "delete object; it carries no metadata of ours, as --trust-unmarked allows";
    if (it->remove)
        return "delete object";
    if (it->refusal != ROLLBACK_OK)
        return it->why.message;
    return it->absent ? "no object to delete" : "keep object";
}

/* P6: what is about to be done to each file, durable before anything is. */
static enum err_code write_intents(struct rollback_job *j, struct tracker_head *head, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        struct rollback_item *it = &j->items[i];
        struct journal_entry entry;

        it->intended = rollback_act_row_goes(it);
        if (!it->intended) {
            entry = entry_of(it, "rollback_refused");
            entry.error = it->why.message;
            entry.error_class = rollback_refusal_name(it->refusal);
        } else {
            entry = entry_of(it, j->paying_debts ? "delete_intent" : "rollback_intent");
            entry.detail = intention(j, it);
        }
        code = journal_add(j->g->journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(j->g->journal, true, head, e) : code;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

static struct tracker_move move_of(const struct rollback_item *it)
{
    const struct record *r = it->record;

    return (struct tracker_move){
        .id = r->id,
        .batch_id = r->batch_id,
        .from = r->status,
        .to = FILE_ROLLED_BACK,
        .now_ms = clock_wall_ms(),
        .pointer = r->file_row ? TRACKER_POINTER_RESTORE : TRACKER_POINTER_KEEP,
        .file_id = r->file_id,
        .target_key = r->target_key,
        .size = -1,
        .delete_owed = it->remove,
    };
}

/* The tracker has the last word: its guards ran inside the transaction. */
static void take_verdict(struct rollback_item *it, enum tracker_applied applied)
{
    it->moved = applied == TRACKER_APPLIED;
    if (it->moved)
        return;
    it->remove = false;
    if (applied == TRACKER_LOST) {
        it->lost = true;
        err_set(&it->why, ERR_CONFLICT, "the row has been changed by somebody else meanwhile");
        return;
    }
    it->refusal = ROLLBACK_POINTER_CHANGED;
    err_set(&it->why, ERR_CONFLICT, "the application has changed files.r2_key since");
}

/* Pointer first: rows go back, with the delete owed, in one transaction (P3). */
static enum err_code move_rows(struct rollback_job *j, const struct tracker_head *head,
                               struct err *e)
{
    struct tracker_move *moves = calloc(j->n + 1, sizeof *moves);
    size_t *of = calloc(j->n + 1, sizeof *of), n = 0;
    enum err_code code = ERR_OK;

    if (moves == NULL || of == NULL) {
        code = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        if (!rollback_act_row_goes(&j->items[i]))
            continue;
        of[n] = i;
        moves[n++] = move_of(&j->items[i]);
    }
    if (code == ERR_OK && n > 0)
        code = engine_run_record(j->g, e);
    if (code == ERR_OK && n > 0)
        code = tracker_apply(j->g->tracker, moves, n, head, e);
    for (size_t k = 0; code == ERR_OK && k < n; k++)
        take_verdict(&j->items[of[k]], moves[k].applied);
out:
    free(moves);
    free(of);
    return code;
}

/* ---- outcomes -------------------------------------------------------------------------------------- */

/* Has all that could be done to the file been done? */
static bool success(const struct rollback_job *j, const struct rollback_item *it)
{
    if (it->lost || !it->done)
        return false;
    return rollback_act_row_goes(it) || it->moved ||
           (j->paying_debts && it->refusal == ROLLBACK_NOT_OURS);
}

static void count(struct rollback_job *j, const struct rollback_item *it)
{
    struct rollback_result *out = j->out;
    const char *version =
        it->info.version_id[0] != '\0' ? it->info.version_id : it->record->version_id;
    bool versioned = !str_empty(version) && !str_eq(version, "null");

    if (!j->paying_debts)
        out->total_files++;
    out->database_rollbacks += it->moved;
    if (it->removed) {
        out->r2_deletions++;
        /* a bucket with versions keeps the bytes behind a delete marker (D15) */
        out->bytes_freed += it->info.size > 0 && !versioned ? it->info.size : 0;
    }
    out->already_absent += it->absent;
    j->missing += rollback_prove_missing(it);
    out->debts_paid += j->paying_debts && it->done;
    if (it->lost)
        out->skipped++;
    else if (it->refusal == ROLLBACK_PRE_EXISTED || it->refusal == ROLLBACK_SHARED ||
             (it->refusal == ROLLBACK_NOT_OURS && (it->moved || j->paying_debts)))
        out->kept_objects++; /* ours is gone or was never there: nothing is owed */
    else if (it->refusal != ROLLBACK_OK) {
        out->refused++;
        out->refused_by[it->refusal]++;
    } else if ((it->remove && !it->removed) || it->unrestored)
        out->failures++;
}

static const char *result_of(const struct rollback_item *it)
{
    if (it->restored)
        return "object deleted, the one it had replaced is back";
    if (it->removed)
        return "object deleted";
    if (it->absent)
        return "object was absent";
    return it->remove && it->done ? "object was replaced by somebody else: kept"
           : it->remove           ? "object could not be deleted: the deletion is owed"
                                  : "object kept";
}

/* Every intent gets its outcome, also that of a row which was found changed. */
static enum err_code write_outcomes(struct rollback_job *j, struct tracker_head *head,
                                    struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        struct journal_entry entry =
            entry_of(it, j->paying_debts ? "debt_outcome" : "rollback_outcome");
        bool good = success(j, it);

        if (!it->intended)
            continue; /* its refusal is on record */
        entry.to = it->moved ? state_file_name(FILE_ROLLED_BACK) : NULL;
        entry.detail = result_of(it);
        entry.has_success = true;
        entry.success = good;
        entry.error = good ? NULL : it->why.message;
        entry.error_class = good ? NULL : err_code_name(it->why.code);
        code = journal_add(j->g->journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(j->g->journal, true, head, e) : code;
}

static enum err_code clear_debts(struct rollback_job *j, const struct tracker_head *head,
                                 struct err *e)
{
    const char **ids = calloc(j->n + 1, sizeof(char *));
    size_t n = 0;
    enum err_code code = ERR_OK;

    if (ids == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        if (it->done && (j->paying_debts || (it->moved && it->remove)))
            ids[n++] = it->record->id;
    }
    if (code == ERR_OK && n > 0)
        code = engine_run_record(j->g, e);
    if (code == ERR_OK && n > 0) /* a page that changed nothing changes no row (P7) */
        code = tracker_debts_paid(j->g->tracker, ids, n, head, e);
    free(ids);
    return code;
}

static void write_log(const struct rollback_job *j, const struct rollback_item *it)
{
    const struct record *r = it->record;
    bool good = success(j, it);
    struct log_field fields[] = {
        {"record", LOG_TEXT, .text = r->id},
        {"batch", LOG_TEXT, .text = r->batch_id},
        {"key", LOG_TEXT, .text = r->target_key},
        {"bytes", LOG_INT, .integer = it->removed && it->info.size > 0 ? it->info.size : 0},
        {"result", LOG_TEXT, .text = result_of(it)},
        {good ? NULL : "error_class", LOG_TEXT,
         .text = it->refusal != ROLLBACK_OK ? rollback_refusal_name(it->refusal)
                                            : err_code_name(it->why.code)},
        {"error", LOG_TEXT, .text = it->why.message},
        {NULL, LOG_TEXT, .text = NULL},
    };

    log_event(j->g->log, good ? LOG_INFO : LOG_WARN, good ? "file_rolled_back" : "file_refused",
              fields);
}

enum err_code rollback_act_page(struct rollback_job *j, struct err *e)
{
    struct tracker_head head;
    enum err_code code = abort_uploads(j, e), removal;

    if (code == ERR_OK)
        code = write_intents(j, &head, e);
    if (code == ERR_OK && !j->paying_debts && !j->o->r2_only)
        code = move_rows(j, &head, e);
    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        if (j->items[i].remove) /* with --r2-only no row has been written before */
            code = engine_run_record(j->g, e);
    }
    if (code != ERR_OK)
        return code;
    removal = rollback_store_remove(j, e);
    if (removal == ERR_OK)
        removal = rollback_aside_put_back(j, e);
    for (size_t i = 0; i < j->n; i++) {
        count(j, &j->items[i]);
        write_log(j, &j->items[i]);
    }
    /* what has been done is told even if the store's loop broke: the rest stays owed */
    code = write_outcomes(j, &head, removal == ERR_OK ? e : NULL);
    if (code == ERR_OK)
        code = clear_debts(j, &head, removal == ERR_OK ? e : NULL);
    for (size_t i = 0; code == ERR_OK && i < j->n; i++)
        code = rollback_report_item(j, &j->items[i], removal == ERR_OK ? e : NULL);
    return removal != ERR_OK ? removal : code;
}
