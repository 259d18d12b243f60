#include "engine/verify_page.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <string.h>

#define TURN_MS     200
#define PROGRESS_MS 100
#define SILENT_MAX  5

static void tell_progress(struct verify_job *j)
{
    const struct verify_result *r = j->out;
    int64_t now = clock_mono_ms();

    if (now - j->progress_ms < PROGRESS_MS)
        return;
    j->progress_ms = now;
    engine_emit(j->g, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                             .files_done = r->verified,
                                             .files_failed = r->missing + r->different + r->errors,
                                             .files_total = j->total,
                                             .bytes_done = r->bytes,
                                             .bytes_total = -1});
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

static void watch_faults(struct verify_job *j, const struct verify_item *it)
{
    j->silent_run = it->silent ? j->silent_run + 1 : 0;
    if (j->fatal.code != ERR_OK)
        return;
    if (it->denied) {
        j->fatal = it->why;
    } else if (j->silent_run >= SILENT_MAX) {
        j->fatal = it->why;
        err_wrap(&j->fatal, "%s does not answer any more", objstore_name(j->g->store));
        j->fatal.code = ERR_STORE_UNAVAILABLE;
    }
}

static void end_item(struct verify_job *j, struct verify_item *it)
{
    struct verify_end *end = &j->ends[it->r - j->list.items];
    /* what a stop of the whole run has cut short is not this file's fault */
    bool cut = it->result.outcome == OBJSTORE_CANCELLED || it->denied;

    watch_faults(j, it);
    j->out->bytes += it->bytes_read;
    if (!cut)
        *end = (struct verify_end){it->verdict, it->why, it->duration_ms};
    verify_item_release(it);
    j->busy--;
}

static void fill(struct verify_job *j)
{
    for (size_t i = 0; i < j->slot_count && j->next < j->list.len; i++) {
        struct verify_item *it = &j->slots[i];

        while (it->r == NULL && j->next < j->list.len) {
            verify_item_begin(it, j->g->store, &j->list.items[j->next++], j->o->deep);
            j->busy++;
            if (!it->waiting)
                end_item(j, it);
        }
    }
}

static void step(struct verify_job *j)
{
    for (size_t i = 0; i < j->slot_count; i++) {
        struct verify_item *it = &j->slots[i];

        if (it->r == NULL || it->waiting)
            continue;
        verify_item_step(it);
        if (!it->waiting)
            end_item(j, it);
    }
}

static void give_up(struct verify_job *j)
{
    objstore_cancel_all(j->g->store);
    for (int i = 0; i < 100 && objstore_active(j->g->store) > 0; i++) {
        if (objstore_run(j->g->store, 10, NULL) != ERR_OK)
            break;
    }
    for (size_t i = 0; i < j->slot_count; i++) {
        if (j->slots[i].r != NULL)
            verify_item_release(&j->slots[i]);
    }
    j->busy = 0;
}

/* The originals too: the object may be as recorded and the source another one by now. */
static void prove_sources(struct verify_job *j)
{
    for (size_t i = 0; i < j->list.len && !engine_stopping(j->g); i++) {
        const struct record *r = &j->list.items[i];
        struct verify_end *end = &j->ends[i];

        if (end->verdict != VERIFY_GOOD)
            continue;
        if (str_empty(r->source_path) || r->migrated_checksum == NULL)
            err_set(&end->why, ERR_FILE_MISSING, "the row names no source, or no checksum for it");
        else if (source_prove(&j->root, r->source_path, r->migrated_checksum, r->file_size,
                              &end->why) == ERR_OK)
            continue;
        end->verdict = VERIFY_ERROR;
    }
}

enum err_code verify_page_look(struct verify_job *j, struct err *e)
{
    enum err_code code = ERR_OK;
    bool stop = false;

    memset(j->ends, 0, VERIFY_PAGE * sizeof *j->ends);
    j->next = j->busy = 0;
    while (code == ERR_OK && !stop && (j->next < j->list.len || j->busy > 0)) {
        fill(j);
        if (j->busy > 0)
            code = objstore_run(j->g->store, TURN_MS, e);
        if (code == ERR_OK)
            step(j);
        tell_progress(j);
        stop = j->fatal.code != ERR_OK || engine_stopping(j->g);
    }
    if (code != ERR_OK || stop)
        give_up(j);
    if (code == ERR_OK && !stop && j->o->sources)
        prove_sources(j);
    return code;
}

/* ---- recording ----------------------------------------------------------------------------------------------- */

static bool is_bad(const struct verify_end *end)
{
    return end->verdict == VERIFY_MISSING || end->verdict == VERIFY_DIFFERENT;
}

static bool moves(const struct record *r, const struct verify_end *end)
{
    return is_bad(end) || (end->verdict == VERIFY_GOOD && r->status == FILE_COMPLETED);
}

static enum err_code write_line(struct verify_job *j, const struct record *r,
                                const struct verify_end *end, struct err *e)
{
    bool good = end->verdict == VERIFY_GOOD;
    struct journal_entry entry = {
        .action = "verify_outcome",
        .file_id = r->file_id,
        .record_id = r->id,
        .batch_id = r->batch_id,
        .filename = r->filename,
        .target_key = r->target_key,
        .etag = r->etag,
        .sha256 = r->migrated_checksum,
        .from = r->status_text,
        .to = good ? state_file_name(FILE_VERIFIED)
                   : (is_bad(end) ? state_file_name(FILE_FAILED) : NULL),
        .detail = j->o->deep ? "read and hashed" : NULL,
        .error = good ? NULL : end->why.message,
        .error_class = good ? NULL : err_code_name(end->why.code),
        .has_size = r->file_size >= 0,
        .size = r->file_size,
        .has_duration = true,
        .duration_ms = end->duration_ms,
        .has_success = true,
        .success = good,
    };

    return journal_add(j->g->journal, &entry, e);
}

/* Also for files that could not be checked; a file that is verified already and still good changes nothing. */
static enum err_code write_lines(struct verify_job *j, size_t *lines, struct tracker_head *head,
                                 struct err *e)
{
    enum err_code code = ERR_OK;

    *lines = 0;
    for (size_t i = 0; code == ERR_OK && i < j->list.len; i++) {
        if (!moves(&j->list.items[i], &j->ends[i]) && j->ends[i].verdict != VERIFY_ERROR)
            continue;
        code = write_line(j, &j->list.items[i], &j->ends[i], e);
        (*lines)++;
    }
    return code == ERR_OK && *lines > 0 ? journal_commit(j->g->journal, true, head, e) : code;
}

static struct tracker_move move_of(const struct record *r, const struct verify_end *end,
                                   bool pointer)
{
    bool bad = is_bad(end);

    return (struct tracker_move){
        .id = r->id,
        .batch_id = r->batch_id,
        .from = r->status,
        .to = bad ? FILE_FAILED : FILE_VERIFIED,
        .now_ms = clock_wall_ms(),
        /* P3: no pointer to nothing, nor to other bytes */
        .pointer = bad && pointer && r->file_row ? TRACKER_POINTER_RESTORE : TRACKER_POINTER_KEEP,
        .file_id = r->file_row ? r->file_id : NULL,
        .target_key = r->target_key,
        .size = -1,
        .error_class = bad ? err_code_name(end->why.code) : NULL,
        .error_message = bad ? end->why.message : NULL,
    };
}

/* The application has changed the pointer itself: it is its own, and only the row moves. */
static enum err_code move_rest(struct verify_job *j, struct tracker_move *m, const size_t *of,
                               size_t n, const struct tracker_head *head, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t k = 0; code == ERR_OK && k < n; k++) {
        size_t i = of[k];

        if (m[k].applied == TRACKER_POINTER_CHANGED) {
            m[k] = move_of(&j->list.items[i], &j->ends[i], false);
            code = tracker_apply(j->g->tracker, &m[k], 1, head, e);
        }
        if (code == ERR_OK && m[k].applied == TRACKER_APPLIED) {
            j->moved++;
            j->out->newly_verified += m[k].to == FILE_VERIFIED;
        } else if (code == ERR_OK) {
            j->ends[i].verdict = VERIFY_ERROR;
            err_set(&j->ends[i].why, ERR_CONFLICT,
                    "the row has been changed by somebody else meanwhile");
        }
    }
    return code;
}

static enum err_code move_rows(struct verify_job *j, const struct tracker_head *head, struct err *e)
{
    struct tracker_move m[VERIFY_PAGE];
    size_t of[VERIFY_PAGE], n = 0;
    enum err_code code;

    for (size_t i = 0; i < j->list.len; i++) {
        if (!moves(&j->list.items[i], &j->ends[i]))
            continue;
        of[n] = i;
        m[n++] = move_of(&j->list.items[i], &j->ends[i], true);
    }
    if (n == 0)
        return tracker_set_head(j->g->tracker, head, e);
    code = tracker_apply(j->g->tracker, m, n, head, e);
    return code == ERR_OK ? move_rest(j, m, of, n, head, e) : code;
}

static void count(struct verify_job *j, const struct record *r, const struct verify_end *end)
{
    struct verify_result *out = j->out;
    bool good = end->verdict == VERIFY_GOOD;
    struct log_field fields[] = {
        {"record", LOG_TEXT, .text = r->id},
        {"batch", LOG_TEXT, .text = r->batch_id},
        {"key", LOG_TEXT, .text = r->target_key},
        {"bytes", LOG_INT, .integer = r->file_size > 0 ? r->file_size : 0},
        {"duration_ms", LOG_INT, .integer = end->duration_ms},
        {good ? NULL : "error_class", LOG_TEXT, .text = err_code_name(end->why.code)},
        {"error", LOG_TEXT, .text = end->why.message},
        {NULL, LOG_TEXT, .text = NULL},
    };

    if (end->verdict == VERIFY_UNDECIDED)
        return;
    out->checked++;
    out->verified += good;
    out->missing += end->verdict == VERIFY_MISSING;
    out->different += end->verdict == VERIFY_DIFFERENT;
    out->errors += end->verdict == VERIFY_ERROR;
    log_event(j->g->log, good ? LOG_INFO : LOG_ERROR, good ? "file_verified" : "file_verify_failed",
              fields);
    engine_emit(j->g, &(struct engine_event){.kind = good ? ENGINE_FILE_DONE : ENGINE_FILE_FAILED,
                                             .record = r,
                                             .err = good ? NULL : &end->why});
}

enum err_code verify_page_record(struct verify_job *j, struct err *e)
{
    struct tracker_head head;
    size_t lines = 0;
    enum err_code code = write_lines(j, &lines, &head, e);

    if (code == ERR_OK && lines > 0)
        code = engine_run_record(j->g, e);
    if (code == ERR_OK && lines > 0)
        code = move_rows(j, &head, e);
    for (size_t i = 0; code == ERR_OK && i < j->list.len; i++)
        count(j, &j->list.items[i], &j->ends[i]);
    return code;
}
