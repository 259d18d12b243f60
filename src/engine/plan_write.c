/* plan_write: from the stage into the database: one transaction, with the manifests prepared inside it and named after it.
 *
 * Order: audit lines "plan" (durable) -> rows, batches and audit head in one transaction -> manifests get their names ->
 * audit lines "plan_outcome". A crash in between leaves either nothing, or a planned batch that lacks only its manifest.
 */
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "engine/plan_job.h"
#include "engine/plan_manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    struct plan_job *j;
    struct plan_manifest manifest;  /* of the current batch */
    struct plan_prepared *prepared; /* of the batches before it */
    int64_t batches;                /* prepared ones */
    int64_t expected;
    int64_t in_batch; /* rows of the current batch */
    char batch_id[PLAN_BATCH_ID_SIZE];
    int64_t planned, bytes;
    struct err failure; /* of a callback that cannot return one */
};

/* ---- batches -------------------------------------------------------------------------------------------- */

void plan_write_batch_name(const struct plan_job *j, int64_t number, char dst[PLAN_BATCH_ID_SIZE])
{
    if (j->o->batch_size > 0)
        snprintf(dst, PLAN_BATCH_ID_SIZE, "%.*s-%03" PRId64, PLAN_BATCH_ID_MAX, j->batch_id,
                 number + 1);
    else
        str_copy(dst, PLAN_BATCH_ID_SIZE, j->batch_id);
}

int64_t plan_write_batches(const struct plan_job *j)
{
    const int64_t rows = stage_rows(j->stage);

    if (j->o->batch_size > 0)
        return (rows + j->o->batch_size - 1) / j->o->batch_size;
    return rows > 0 ? 1 : 0;
}

static const char *batch_dir(const struct plan_job *j)
{
    return str_empty(j->g->batch_dir) ? "batches" : j->g->batch_dir;
}

enum err_code plan_write_check_new(const struct plan_job *j, int64_t n, struct err *e)
{
    char batch_id[PLAN_BATCH_ID_SIZE];
    bool exists = false;
    enum err_code code = ERR_OK;

    for (int64_t i = 0; code == ERR_OK && i < n; i++) {
        plan_write_batch_name(j, i, batch_id);
        code = tracker_batch_exists(j->g->tracker, batch_id, &exists, e);
        if (code == ERR_OK && exists) {
            code = err_set(e, ERR_CONFLICT, "batch '%s' exists already", batch_id);
            (void)err_hint(e, "choose another --batch-id (see: blobferry status)");
        }
        if (code == ERR_OK) {
            char *path = plan_manifest_path(batch_dir(j), batch_id);
            if (path == NULL) {
                code = err_set(e, ERR_NOMEM, "out of memory");
            } else if (fsio_exists(path)) {
                code = err_set(e, ERR_CONFLICT, "manifest '%s' exists already", path);
                (void)err_hint(e, "choose another --batch-id");
            }
            free(path);
        }
    }
    return code;
}

/* ---- audit ---------------------------------------------------------------------------------------------- */

static const char *origin(const struct plan_job *j)
{
    static const char *const names[] = {[PLAN_FROM_DIR] = "directory",
                                        [PLAN_FROM_CSV] = "CSV file",
                                        [PLAN_FROM_JSONL] = "JSONL file",
                                        [PLAN_FROM_TABLE] = "table files"};

    return names[j->o->from];
}

static enum err_code note_intents(const struct writer *w, struct tracker_head *head, struct err *e)
{
    char batch_id[PLAN_BATCH_ID_SIZE], detail[1024];
    enum err_code code = ERR_OK;

    snprintf(detail, sizeof detail, "from %s '%.900s'", origin(w->j),
             w->j->o->input != NULL ? w->j->o->input : "");
    for (int64_t i = 0; code == ERR_OK && i < w->expected; i++) {
        plan_write_batch_name(w->j, i, batch_id);
        code = journal_add(
            w->j->g->journal,
            &(struct journal_entry){.action = "plan", .batch_id = batch_id, .detail = detail}, e);
    }
    return code == ERR_OK ? journal_commit(w->j->g->journal, true, head, e) : code;
}

/* `why` is what went wrong, if anything; without `planned` no row was written. */
static enum err_code note_outcomes(const struct writer *w, bool planned, const struct err *why,
                                   struct tracker_head *head, struct err *e)
{
    const int64_t n = planned ? w->batches : w->expected;
    char batch_id[PLAN_BATCH_ID_SIZE], extra[64];
    enum err_code code = ERR_OK;

    for (int64_t i = 0; code == ERR_OK && i < n; i++) {
        struct journal_entry entry = {.action = "plan_outcome",
                                      .batch_id = batch_id,
                                      .has_success = true,
                                      .success = planned};
        plan_write_batch_name(w->j, i, batch_id);
        if (why->code != ERR_OK) {
            entry.error = why->message;
            entry.error_class = err_code_name(why->code);
        }
        if (planned) {
            snprintf(extra, sizeof extra, "{\"files\":%" PRId64 "}", w->prepared[i].files);
            entry.extra_json = extra;
            entry.has_size = true;
            entry.size = w->prepared[i].bytes;
        }
        code = journal_add(w->j->g->journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(w->j->g->journal, true, head, e) : code;
}

/* ---- the transaction ------------------------------------------------------------------------------------ */

static enum err_code end_batch(struct writer *w, struct err *e)
{
    enum err_code code = ERR_OK;

    if (w->manifest.open) {
        code = plan_manifest_prepare(&w->manifest, &w->prepared[w->batches], e);
        w->batches += code == ERR_OK;
    }
    w->in_batch = 0;
    return code;
}

static enum err_code on_next(void *user, struct tracker_plan_row *row, bool *more, struct err *e)
{
    struct writer *w = user;
    enum err_code code = w->failure.code;

    *more = false;
    if (code != ERR_OK) {
        if (e != NULL)
            *e = w->failure;
        return code;
    }
    if (engine_stopping(w->j->g))
        return err_set(e, ERR_CANCELLED, "stopped; nothing is planned");
    if (w->j->o->batch_size > 0 && w->in_batch == w->j->o->batch_size)
        code = end_batch(w, e);
    if (code == ERR_OK)
        code = stage_next(w->j->stage, row, more, e);
    if (code == ERR_OK && !*more)
        return end_batch(w, e);
    plan_write_batch_name(w->j, w->batches, w->batch_id);
    row->batch_id = w->batch_id;
    return code;
}

/* Somebody else was faster with this key. */
static void count_refused(struct writer *w, const struct tracker_plan_row *row)
{
    struct err why;

    err_init(&why);
    err_set(&why, ERR_CONFLICT, "%s", row->refused);
    plan_row_refuse(w->j, row->source_path, row->target_key, 0, &why);
}

static void on_done(void *user, const struct tracker_plan_row *row)
{
    struct writer *w = user;
    enum err_code code = ERR_OK;

    if (row->refused != NULL) {
        count_refused(w, row);
        return;
    }
    if (!w->manifest.open)
        code = plan_manifest_begin(
            &w->manifest,
            &(struct plan_manifest_options){.dir = batch_dir(w->j),
                                            .batch_id = w->batch_id,
                                            .database = tracker_name(w->j->g->tracker),
                                            .target_prefix = w->j->o->key_prefix},
            &w->failure);
    if (code == ERR_OK)
        code = plan_manifest_row(&w->manifest, row, &w->failure);
    if (code != ERR_OK)
        return; /* on_next hands the failure on, and all is rolled back */
    w->in_batch++;
    w->planned++;
    w->bytes += row->size > 0 ? row->size : 0;
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

/* The rows are planned by now: every manifest is tried, and the first failure is told. */
static void publish(struct writer *w, struct err *first)
{
    struct err why;

    for (int64_t i = 0; i < w->batches; i++) {
        err_init(&why);
        if (plan_manifest_publish(&w->prepared[i], &why) == ERR_OK || first->code != ERR_OK)
            continue;
        *first = why;
        (void)err_wrap(first, "the files are planned, but the manifest is not written");
    }
}

static enum err_code transact(struct writer *w, const struct tracker_head *head, struct err *e)
{
    enum err_code code = stage_rewind(w->j->stage, e);

    if (code == ERR_OK)
        code = engine_run_record(w->j->g, e);
    if (code == ERR_OK)
        code = tracker_plan(w->j->g->tracker, on_next, on_done, w, head, e);
    return code;
}

static enum err_code write_batches(struct writer *w, struct err *e)
{
    const bool audited = w->j->g->journal != NULL;
    struct tracker_head head = {0};
    enum err_code code = ERR_OK;
    struct err why;
    bool planned;

    err_init(&why);
    if (audited)
        code = note_intents(w, &head, e);
    if (code != ERR_OK)
        return code;
    planned = transact(w, audited ? &head : NULL, &why) == ERR_OK;
    if (planned) {
        w->j->written = true;
        w->j->out->planned = w->planned;
        w->j->out->bytes = w->bytes;
        w->j->out->batches = w->batches;
        publish(w, &why);
    }
    if (audited)
        code = note_outcomes(w, planned, &why, &head, e);
    if (audited && planned && code == ERR_OK)
        code = tracker_set_head(w->j->g->tracker, &head, e);
    if (why.code != ERR_OK && e != NULL)
        *e = why;
    return why.code != ERR_OK ? why.code : code;
}

enum err_code plan_write_all(struct plan_job *j, struct err *e)
{
    struct writer w = {.j = j, .expected = plan_write_batches(j)};
    enum err_code code = fsio_mkdirs(batch_dir(j), 0700, e);

    err_init(&w.failure);
    if (code != ERR_OK)
        return code;
    w.prepared = calloc((size_t)w.expected, sizeof *w.prepared);
    if (w.prepared == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = write_batches(&w, e);
    plan_manifest_abort(&w.manifest);
    for (int64_t i = 0; i < w.batches; i++)
        plan_manifest_drop(&w.prepared[i]);
    free(w.prepared);
    return code;
}
