#include "engine/results.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

enum err_code results_init(struct results *w, const struct engine *g, struct migrate_result *out,
                           int concurrency, struct err *e)
{
    size_t limit = (size_t)concurrency * 2;

    memset(w, 0, sizeof *w);
    w->g = g;
    w->out = out;
    w->held_limit = limit < 10 ? 10 : limit > RESULTS_HELD_MAX ? RESULTS_HELD_MAX : limit;
    w->group = tracker_rows_at_once(g->tracker);
    w->items = calloc(w->group, sizeof *w->items);
    w->moves = calloc(w->group, sizeof *w->moves);
    w->of = calloc(w->group, sizeof *w->of);
    w->held = calloc(RESULTS_HELD_MAX, sizeof *w->held);
    if (w->items != NULL && w->moves != NULL && w->of != NULL && w->held != NULL)
        return ERR_OK;
    results_release(w);
    return err_set(e, ERR_NOMEM, "out of memory");
}

void results_release(struct results *w)
{
    free(w->items);
    free(w->moves);
    free(w->of);
    free(w->held);
    memset(w, 0, sizeof *w);
}

/* ---- audit lines ---------------------------------------------------------------------------------- */

static struct journal_entry line_of(const struct outcome *o)
{
    const struct record *r = o->r;
    struct journal_entry entry = {.action = "upload_outcome",
                                  .file_id = r->file_id,
                                  .record_id = r->id,
                                  .batch_id = r->batch_id,
                                  .filename = r->filename,
                                  .target_key = r->target_key,
                                  .source_path = r->source_path,
                                  .from = state_file_name(FILE_PROCESSING),
                                  .detail = str_empty(o->detail) ? NULL : o->detail};

    if (o->end == OUTCOME_LOST) { /* its outcome is told by whoever holds the row now */
        entry.action = "lease_lost";
        entry.from = NULL;
        return entry;
    }
    if (o->err.code != ERR_OK) {
        entry.error = o->err.message;
        entry.error_class = err_code_name(o->err.code);
    }
    entry.to = state_file_name(o->end == OUTCOME_COMPLETED ? FILE_COMPLETED
                               : o->end == OUTCOME_FAILED  ? FILE_FAILED
                                                           : FILE_PENDING);
    if (o->end == OUTCOME_RELEASED)
        return entry;
    entry.etag = str_empty(o->etag) ? NULL : o->etag;
    entry.version_id = str_empty(o->version_id) ? NULL : o->version_id;
    entry.sha256 = str_empty(o->sha256) ? NULL : o->sha256;
    entry.has_size = o->has_source;
    entry.size = o->source.size;
    entry.has_duration = true;
    entry.duration_ms = o->duration_ms;
    entry.has_success = true;
    entry.success = o->end == OUTCOME_COMPLETED;
    return entry;
}

static enum err_code write_lines(struct results *w, struct tracker_head *head, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < w->len; i++) {
        struct journal_entry entry = line_of(&w->items[i]);
        code = journal_add(w->g->journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(w->g->journal, true, head, e) : code;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

static struct tracker_move move_of(const struct results *w, const struct outcome *o)
{
    const struct record *r = o->r;
    bool good = o->end == OUTCOME_COMPLETED;
    struct tracker_move m = {.id = r->id,
                             .batch_id = r->batch_id,
                             .owner = w->g->owner,
                             .from = FILE_PROCESSING,
                             .to = good ? FILE_COMPLETED : FILE_FAILED,
                             .now_ms = clock_wall_ms(),
                             .target_key = r->target_key,
                             .expected_r2_key = r->file_r2_key,
                             .size = good ? o->source.size : -1};

    if (!good) {
        m.error_class = err_code_name(o->err.code);
        m.error_message = o->err.message;
    }
    if (good && r->file_row) { /* P3: in the same transaction as the proof */
        m.pointer = TRACKER_POINTER_SET;
        m.file_id = r->file_id;
    }
    if (good || o->etag[0] != '\0') { /* a failed row too says which object it left */
        m.migrated_checksum = o->sha256;
        m.etag = str_empty(o->etag) ? NULL : o->etag;
        m.version_id = str_empty(o->version_id) ? NULL : o->version_id;
        m.object_owner = str_empty(o->owner) ? NULL : o->owner;
        m.pre_existed = o->pre_existed;
        m.source = o->has_source ? &o->source : NULL;
    }
    return m;
}

/* ---- what people and progress see -------------------------------------------------------------------- */

static void tell(const struct results *w, const struct outcome *o)
{
    const struct record *r = o->r;
    bool good = o->end == OUTCOME_COMPLETED;
    struct engine_event ev = {.kind = !good     ? ENGINE_FILE_FAILED
                                      : o->sent ? ENGINE_FILE_DONE
                                                : ENGINE_FILE_SKIPPED,
                              .record = r,
                              .err = good ? NULL : &o->err,
                              .message = good && !o->sent ? "the same bytes were there" : NULL};
    struct log_field fields[] = {
        {"record", LOG_TEXT, .text = r->id},
        {"batch", LOG_TEXT, .text = r->batch_id},
        {"source", LOG_TEXT, .text = r->source_path},
        {"key", LOG_TEXT, .text = r->target_key},
        {"bytes", LOG_INT, .integer = o->has_source ? o->source.size : 0},
        {"duration_ms", LOG_INT, .integer = o->duration_ms},
        {"attempts", LOG_INT, .integer = o->attempts},
        {good ? NULL : "error_class", LOG_TEXT, .text = err_code_name(o->err.code)},
        {"error", LOG_TEXT, .text = o->err.message},
        {NULL, LOG_TEXT, .text = NULL},
    };

    log_event(w->g->log, good ? LOG_INFO : LOG_ERROR, good ? "file_completed" : "file_failed",
              fields);
    engine_emit(w->g, &ev);
}

/* `told`: its audit line is written; else an outcome has been, and this line takes it back. */
static enum err_code tell_lost(const struct results *w, struct outcome *o, bool told, struct err *e)
{
    struct journal_entry entry;

    log_event(w->g->log, LOG_WARN, "lease_lost",
              (struct log_field[]){{"record", LOG_TEXT, .text = o->r->id},
                                   {"batch", LOG_TEXT, .text = o->r->batch_id},
                                   {NULL, LOG_TEXT, .text = NULL}});
    engine_emit(w->g,
                &(struct engine_event){.kind = ENGINE_NOTE,
                                       .record = o->r,
                                       .message = "a file's lease was lost to another worker"});
    o->end = OUTCOME_LOST;
    entry = line_of(o);
    return told ? ERR_OK : journal_add(w->g->journal, &entry, e);
}

static void count(struct results *w, const struct outcome *o)
{
    if (o->end == OUTCOME_FAILED) {
        w->out->failed++;
        return;
    }
    w->out->completed++;
    w->bytes_done += o->source.size;
    if (o->sent)
        w->out->bytes_sent += o->source.size;
    else
        w->out->already_there++;
}

/* ---- groups --------------------------------------------------------------------------------------------- */

/* The application has put something else into files.r2_key since the claim: its will stands, the row fails and keeps the
 * object's identity, so that a rollback finds it. */
static void demote(struct outcome *o)
{
    o->end = OUTCOME_FAILED;
    err_set(&o->err, ERR_CONFLICT,
            "the application has changed files.r2_key while the file was sent");
    if (o->pre_existed) { /* not ours: nothing to find */
        o->etag[0] = '\0';
        o->owner[0] = '\0';
    }
}

static enum err_code apply(struct results *w, const struct tracker_head *head, struct err *e)
{
    size_t n = 0, again = 0;
    enum err_code code;

    for (size_t i = 0; i < w->len; i++) {
        struct outcome *o = &w->items[i];

        if (o->end == OUTCOME_RELEASED || o->end == OUTCOME_LOST) {
            if (o->end == OUTCOME_LOST)
                tell_lost(w, o, true, e);
            o->page->open--;
            continue;
        }
        w->of[n] = i;
        w->moves[n++] = move_of(w, o);
    }
    code = n > 0 ? tracker_apply(w->g->tracker, w->moves, n, head, e)
                 : tracker_set_head(w->g->tracker, head, e);
    log_hold(w->g->log);
    for (size_t k = 0; code == ERR_OK && k < n; k++) {
        struct outcome *o = &w->items[w->of[k]];

        if (w->moves[k].applied == TRACKER_POINTER_CHANGED) {
            demote(o);
            if (again != w->of[k])
                w->items[again] = *o;
            again++;
            continue;
        }
        if (w->moves[k].applied == TRACKER_LOST) {
            code = tell_lost(w, o, false, e);
        } else {
            count(w, o);
            tell(w, o);
        }
        o->page->open--;
    }
    log_unhold(w->g->log);
    if (code == ERR_OK)
        w->len = again;
    return code;
}

enum err_code results_flush(struct results *w, struct err *e)
{
    struct tracker_head head;
    enum err_code code = ERR_OK;

    /* a second time only for rows whose pointer has changed: they are failed now, and move without it */
    while (code == ERR_OK && w->len > 0) {
        code = write_lines(w, &head, e);
        if (code == ERR_OK)
            code = apply(w, &head, e);
    }
    return code;
}

bool results_due(const struct results *w, int64_t now_ms)
{
    return w->len >= w->group || (w->len > 0 && now_ms - w->oldest_ms >= RESULTS_DELAY_MS);
}

static enum err_code push(struct results *w, const struct outcome *o, struct err *e)
{
    enum err_code code = w->len == w->group ? results_flush(w, e) : ERR_OK;

    if (code != ERR_OK)
        return code;
    if (w->len == 0)
        w->oldest_ms = clock_mono_ms();
    w->items[w->len++] = *o;
    return ERR_OK;
}

enum err_code results_settle_held(struct results *w, bool dead, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < w->held_len; i++) {
        w->held[i].end = dead ? OUTCOME_RELEASED : OUTCOME_FAILED;
        code = push(w, &w->held[i], e);
    }
    w->held_len = w->silent_run = 0;
    return code;
}

enum err_code results_add(struct results *w, const struct outcome *o, struct err *e)
{
    enum err_code code = ERR_OK;
    struct outcome *last;

    if (o->end == OUTCOME_UNREACHED && w->held_len < RESULTS_HELD_MAX) {
        w->held[w->held_len++] = *o;
        w->silent_run = o->silent ? w->silent_run + 1 : 0;
        w->dead = w->dead || w->silent_run >= RESULTS_SILENT || w->held_len >= w->held_limit;
        return ERR_OK;
    }
    if (o->answered && !w->dead && w->held_len > 0)
        code = results_settle_held(w, false, e);
    if (code == ERR_OK)
        code = push(w, o, e);
    last = code == ERR_OK ? &w->items[w->len - 1] : NULL;
    if (last != NULL && last->end == OUTCOME_UNREACHED) /* no room: the store is known to be dead */
        last->end = OUTCOME_RELEASED;
    return code;
}

enum err_code results_release_rows(struct results *w, struct err *e)
{
    int64_t released = 0;
    enum err_code code = tracker_release(w->g->tracker, w->g->owner, &released, e);

    w->out->released += released;
    return code;
}
