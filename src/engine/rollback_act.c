#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

/* May the row go back although its object stays? */
static bool row_goes(const struct rollback_item *it)
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
                                  .sha256 = r->migrated_checksum,
                                  .from = r->status_text,
                                  .has_size = r->file_size >= 0,
                                  .size = r->file_size};
}

/* P6: what is about to be done to each file, durable before anything is. */
static enum err_code write_intents(struct rollback_job *j, struct tracker_head *head, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        struct journal_entry entry;

        if (!row_goes(it)) {
            entry = entry_of(it, "rollback_refused");
            entry.error = it->why.message;
            entry.error_class = rollback_refusal_name(it->refusal);
        } else {
            entry = entry_of(it, j->paying_debts ? "delete_intent" : "rollback_intent");
            entry.detail = it->remove                   ? "delete object"
                           : it->refusal == ROLLBACK_OK ? "no object to delete"
                                                        : it->why.message;
        }
        code = journal_add(j->g->journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(j->g->journal, true, head, e) : code;
}

/* Pointer first: rows go back, with the delete owed, in one transaction (P3). */
static enum err_code move_rows(struct rollback_job *j, const struct tracker_head *head,
                               struct err *e)
{
    struct tracker_move *moves = calloc(j->n + 1, sizeof *moves);
    size_t *of = calloc(j->n + 1, sizeof *of), n = 0;
    enum err_code code =
        moves != NULL && of != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        const struct record *r = it->record;
        bool pointed =
            r->file_row && r->file_r2_key != NULL && str_eq(r->file_r2_key, r->target_key);

        if (!row_goes(it))
            continue;
        of[n] = i;
        moves[n++] = (struct tracker_move){
            .id = r->id,
            .batch_id = r->batch_id,
            .from = r->status,
            .to = FILE_ROLLED_BACK,
            .now_ms = clock_wall_ms(),
            .pointer = pointed ? TRACKER_POINTER_RESTORE : TRACKER_POINTER_KEEP,
            .file_id = r->file_id,
            .target_key = r->target_key,
            .size = -1,
            .delete_owed = it->remove,
        };
    }
    if (code == ERR_OK && n > 0)
        code = tracker_apply(j->g->tracker, moves, n, head, e);
    for (size_t k = 0; code == ERR_OK && k < n; k++) {
        struct rollback_item *it = &j->items[of[k]];

        it->moved = moves[k].applied == TRACKER_APPLIED;
        if (it->moved)
            continue;
        it->remove = false;
        it->refusal = ROLLBACK_POINTER_CHANGED;
        err_set(&it->why, ERR_CONFLICT,
                moves[k].applied == TRACKER_LOST
                    ? "the row has been changed by somebody else meanwhile"
                    : "the application has changed files.r2_key since");
    }
    free(moves);
    free(of);
    return code;
}

/* ---- objects ------------------------------------------------------------------------------------ */

static void settle(struct rollback_item *it, enum objstore_outcome outcome, bool locked,
                   const char *message)
{
    it->outcome = outcome;
    if (outcome == OBJSTORE_DONE || outcome == OBJSTORE_ABSENT) {
        it->removed = it->done = true;
        return;
    }
    if (outcome ==
        OBJSTORE_PRECONDITION) { /* replaced since it was looked at: ours is gone, theirs stays */
        it->done = true;
        it->refusal = ROLLBACK_NOT_OURS;
        err_set(&it->why, ERR_CONFLICT, "the object was replaced by somebody else meanwhile");
        return;
    }
    if (locked)
        it->refusal = ROLLBACK_LOCKED;
    err_set(&it->why, ERR_STORE, "the object could not be deleted: %s", message);
}

struct removal {
    struct rollback_job *job;
    struct rollback_item *item;
    struct rollback_item **many;
};

static void on_removed(void *user, const struct objstore_result *r)
{
    struct removal *m = user;

    settle(m->item, r->outcome, r->locked, r->err.message);
    m->job->in_flight--;
}

static void on_removed_many(void *user, const struct objstore_result *whole,
                            const struct objstore_bulk_result *each, size_t n)
{
    struct removal *m = user;

    for (size_t i = 0; i < n; i++) {
        if (each != NULL)
            settle(m->many[i], each[i].outcome, each[i].locked, each[i].message);
        else
            settle(m->many[i], whole->outcome, false, whole->err.message);
    }
    m->job->in_flight--;
}

/* Bulk, unless single deletes can be made conditional and bulk ones cannot: the condition closes the gap between look and
 * delete. */
static bool use_bulk(const struct rollback_job *j)
{
    unsigned f = objstore_features(j->g->store);

    return (f & OBJSTORE_BULK_DELETE) != 0 &&
           ((f & OBJSTORE_BULK_DELETE_ETAG) != 0 || (f & OBJSTORE_DELETE_IF_MATCH) == 0);
}

/* Runs the loop until nothing is under way; after a fault of the loop everything is cancelled, for nobody may call back
 * into memory that is gone. */
static enum err_code finish_in_flight(struct rollback_job *j, enum err_code code, struct err *e)
{
    while (code == ERR_OK && j->in_flight > 0)
        code = objstore_run(j->g->store, 200, e);
    if (code != ERR_OK && j->in_flight > 0) {
        objstore_cancel_all(j->g->store);
        while (j->in_flight > 0 && objstore_run(j->g->store, 200, NULL) == ERR_OK) {
        }
    }
    return code;
}

static enum err_code remove_bulk(struct rollback_job *j, struct rollback_item **items, size_t n,
                                 struct err *e)
{
    struct objstore_bulk_item *keys = calloc(n, sizeof *keys);
    struct removal m = {j, NULL, items};
    enum err_code code = keys != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    for (size_t i = 0; code == ERR_OK && i < n; i++)
        keys[i] = (struct objstore_bulk_item){items[i]->record->target_key, items[i]->info.etag};
    if (code == ERR_OK)
        code = objstore_remove_many(j->g->store, keys, n, on_removed_many, &m, e);
    j->in_flight += code == ERR_OK;
    code = finish_in_flight(j, code, e);
    free(keys);
    return code;
}

static enum err_code remove_single(struct rollback_job *j, struct rollback_item **items, size_t n,
                                   struct err *e)
{
    bool conditional = (objstore_features(j->g->store) & OBJSTORE_DELETE_IF_MATCH) != 0;
    size_t limit = j->o->concurrency > 0 ? (size_t)j->o->concurrency : 16;
    struct removal *m = calloc(n, sizeof *m);
    enum err_code code = m != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        m[i] = (struct removal){j, items[i], NULL};
        code = objstore_remove(j->g->store, items[i]->record->target_key,
                               conditional ? items[i]->info.etag : NULL, on_removed, &m[i], e);
        j->in_flight += code == ERR_OK;
        while (code == ERR_OK && j->in_flight >= limit)
            code = objstore_run(j->g->store, 200, e);
    }
    code = finish_in_flight(j, code, e);
    free(m);
    return code;
}

static enum err_code remove_objects(struct rollback_job *j, struct err *e)
{
    struct rollback_item **items = calloc(j->n + 1, sizeof(struct rollback_item *));
    size_t n = 0;
    enum err_code code = items != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        struct rollback_item *it = &j->items[i];

        if (!it->remove)
            it->done = it->moved || row_goes(it) || it->refusal == ROLLBACK_NOT_OURS;
        else
            items[n++] = it;
    }
    j->in_flight = 0;
    if (code == ERR_OK && n > 0)
        code = use_bulk(j) ? remove_bulk(j, items, n, e) : remove_single(j, items, n, e);
    free(items);
    return code;
}

/* Multipart uploads that a failed row left behind (P11). */
static void abort_uploads(struct rollback_job *j)
{
    for (size_t i = 0; i < j->n; i++) {
        const struct record *r = j->items[i].record;
        struct objstore_result result;

        if (r->upload_id != NULL && j->items[i].moved && j->g->store != NULL)
            objstore_abort_wait(j->g->store, r->target_key, r->upload_id, &result, NULL);
    }
}

/* ---- outcome -------------------------------------------------------------------------------------- */

static void count(struct rollback_job *j, const struct rollback_item *it)
{
    struct rollback_result *out = j->out;

    if (!j->paying_debts)
        out->total_files++;
    out->database_rollbacks += it->moved;
    if (it->removed) {
        out->r2_deletions++;
        out->bytes_freed += it->info.size > 0 ? it->info.size : 0;
    }
    out->already_absent += it->absent;
    out->debts_paid += j->paying_debts && it->done;
    if (it->refusal == ROLLBACK_PRE_EXISTED || it->refusal == ROLLBACK_SHARED ||
        (j->paying_debts && it->refusal == ROLLBACK_NOT_OURS)) /* ours is gone: nothing is owed */
        out->kept_objects++;
    else if (it->refusal != ROLLBACK_OK) {
        out->refused++;
        out->refused_by[it->refusal]++;
    } else if (it->remove && !it->removed)
        out->failures++;
}

static enum err_code write_outcomes(struct rollback_job *j, struct tracker_head *head,
                                    struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        bool bad = it->why.code != ERR_OK && !(it->removed || (it->done && row_goes(it)));
        struct journal_entry entry =
            entry_of(it, j->paying_debts ? "debt_outcome" : "rollback_outcome");

        count(j, it);
        if (!it->moved && !j->paying_debts && !j->o->r2_only)
            continue; /* its refusal is on record */
        entry.to = it->moved ? state_file_name(FILE_ROLLED_BACK) : NULL;
        entry.detail = it->removed  ? "object deleted"
                       : it->absent ? "object was absent"
                       : it->remove ? "object could not be deleted"
                                    : "object kept";
        entry.has_success = true;
        entry.success = !bad;
        entry.error = bad ? it->why.message : NULL;
        entry.error_class = bad ? err_code_name(it->why.code) : NULL;
        code = journal_add(j->g->journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(j->g->journal, true, head, e) : code;
}

static enum err_code clear_debts(struct rollback_job *j, const struct tracker_head *head,
                                 struct err *e)
{
    const char **ids = calloc(j->n + 1, sizeof(char *));
    size_t n = 0;
    enum err_code code = ids != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        const struct rollback_item *it = &j->items[i];
        if (it->done && (j->paying_debts || (it->moved && it->remove)))
            ids[n++] = it->record->id;
    }
    if (code == ERR_OK)
        code = n > 0 ? tracker_debts_paid(j->g->tracker, ids, n, head, e)
                     : tracker_set_head(j->g->tracker, head, e);
    free(ids);
    return code;
}

enum err_code rollback_act_page(struct rollback_job *j, struct err *e)
{
    struct tracker_head head;
    enum err_code code = write_intents(j, &head, e), removal = ERR_OK;

    if (code == ERR_OK && !j->paying_debts && !j->o->r2_only)
        code = move_rows(j, &head, e);
    if (code != ERR_OK)
        return code;
    abort_uploads(j);
    removal = remove_objects(j, e);
    /* what has been done is told even if the store's loop broke: the rest stays owed */
    code = write_outcomes(j, &head, removal == ERR_OK ? e : NULL);
    if (code == ERR_OK)
        code = clear_debts(j, &head, removal == ERR_OK ? e : NULL);
    for (size_t i = 0; code == ERR_OK && i < j->n; i++)
        code = rollback_report_item(j, &j->items[i], removal == ERR_OK ? e : NULL);
    return removal != ERR_OK ? removal : code;
}
