#include "engine/results.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool groups_init(struct results *w)
{
    for (size_t i = 0; i < 2; i++) {
        w->groups[i].of = w;
        w->groups[i].items = calloc(w->group, sizeof *w->groups[i].items);
    }
    w->gathering = &w->groups[0];
    w->sent = &w->groups[1];
    return w->groups[0].items != NULL && w->groups[1].items != NULL;
}

enum err_code results_init(struct results *w, const struct engine *g, struct migrate_result *out,
                           struct scribe *scribe, int concurrency, struct err *e)
{
    size_t limit = (size_t)concurrency * 2;

    memset(w, 0, sizeof *w);
    w->g = g;
    w->out = out;
    w->scribe = scribe;
    w->held_limit = limit < 10 ? 10 : limit > RESULTS_HELD_MAX ? RESULTS_HELD_MAX : limit;
    w->group = tracker_rows_at_once(g->tracker);
    w->moves = calloc(w->group, sizeof *w->moves);
    w->of = calloc(w->group, sizeof *w->of);
    w->held = calloc(RESULTS_HELD_MAX, sizeof *w->held);
    if (groups_init(w) && w->moves != NULL && w->of != NULL && w->held != NULL)
        return ERR_OK;
    results_release(w);
    return err_set(e, ERR_NOMEM, "out of memory");
}

void results_release(struct results *w)
{
    for (size_t i = 0; i < 2; i++)
        free(w->groups[i].items);
    free(w->moves);
    free(w->of);
    free(w->held);
    memset(w, 0, sizeof *w);
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
    entry = outcome_line(o);
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

static void write_lines(struct scribe_job *job)
{
    struct results_group *group =
        (struct results_group *)((char *)job - offsetof(struct results_group, job));
    struct results *w = group->of;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < group->len; i++) {
        struct journal_entry entry = outcome_line(&group->items[i]);
        code = journal_add(w->g->journal, &entry, &group->err);
    }
    if (code == ERR_OK)
        (void)journal_commit(w->g->journal, true, &group->head, &group->err);
    atomic_store(&group->written, true);
    if (w->told != NULL)
        w->told(w->user);
}

/* Released rows move all together at the end, those of others not at all. */
static bool moves_row(const struct outcome *o)
{
    return o->end != OUTCOME_RELEASED && o->end != OUTCOME_LOST;
}

static void tell_unmoved(struct results *w, struct results_group *group)
{
    for (size_t i = 0; i < group->len; i++) {
        struct outcome *o = &group->items[i];

        if (moves_row(o))
            continue;
        if (o->end == OUTCOME_LOST)
            tell_lost(w, o, true, NULL);
        o->page->open--;
    }
}

/* What is written of the moved rows once they have moved. Those that were demoted stay in the group: *again of them. */
static enum err_code tell_moved(struct results *w, struct results_group *group, size_t n,
                                size_t *again, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t k = 0; code == ERR_OK && k < n; k++) {
        struct outcome *o = &group->items[w->of[k]];

        if (w->moves[k].applied == TRACKER_POINTER_CHANGED) {
            demote(o);
            if (*again != w->of[k])
                group->items[*again] = *o;
            ++*again;
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
    return code;
}

static enum err_code apply(struct results *w, struct results_group *group, struct err *e)
{
    size_t n = 0, again = 0;
    enum err_code code;

    for (size_t i = 0; i < group->len; i++) {
        if (!moves_row(&group->items[i]))
            continue;
        w->of[n] = i;
        w->moves[n++] = outcome_move(&group->items[i], w->g->owner);
    }
    code = n > 0 ? tracker_apply(w->g->tracker, w->moves, n, &group->head, e)
                 : tracker_set_head(w->g->tracker, &group->head, e);
    log_hold(w->g->log);
    if (code == ERR_OK)
        tell_unmoved(w, group);
    if (code == ERR_OK)
        code = tell_moved(w, group, n, &again, e);
    log_unhold(w->g->log);
    if (code == ERR_OK)
        group->len = again;
    return code;
}

static void send(struct results *w)
{
    atomic_store(&w->sent->written, false);
    err_init(&w->sent->err);
    w->sent->job.run = write_lines;
    scribe_hand(w->scribe, &w->sent->job);
}

/* What is gathered goes to the scribe, who has nothing of ours. */
static void hand_over(struct results *w)
{
    struct results_group *done = w->sent;

    w->sent = w->gathering;
    w->gathering = done;
    send(w);
}

/* Rows whose lines are durable. */
static enum err_code land(struct results *w, struct err *e)
{
    enum err_code code = w->sent->err.code;

    if (code != ERR_OK && e != NULL)
        *e = w->sent->err;
    if (code == ERR_OK)
        code = apply(w, w->sent, e);
    /* a second time only for rows whose pointer has changed: they are failed now, and move without it */
    if (code == ERR_OK && w->sent->len > 0)
        send(w);
    return code;
}

static enum err_code land_all(struct results *w, struct err *e)
{
    enum err_code code = ERR_OK;

    while (code == ERR_OK && w->sent->len > 0) {
        scribe_await(w->scribe);
        code = land(w, e);
    }
    return code;
}

enum err_code results_flush(struct results *w, struct err *e)
{
    enum err_code code = land_all(w, e);

    if (code != ERR_OK || w->gathering->len == 0)
        return code;
    hand_over(w);
    return land_all(w, e);
}

bool results_ready(const struct results *w)
{
    return w->sent->len > 0 && atomic_load(&w->sent->written);
}

static bool is_due(const struct results *w, bool idle)
{
    const size_t n = w->gathering->len;

    return n > 0 && (idle || n >= w->group || clock_mono_ms() - w->oldest_ms >= RESULTS_DELAY_MS);
}

enum err_code results_turn(struct results *w, bool idle, struct err *e)
{
    enum err_code code = ERR_OK;

    do {
        if (results_ready(w))
            code = land(w, e);
        if (code == ERR_OK && w->sent->len == 0 && is_due(w, idle))
            hand_over(w);
    } while (code == ERR_OK && results_ready(w));
    return code;
}

int results_patience(const struct results *w, int ms)
{
    if (w->gathering->len == 0 || w->sent->len > 0)
        return ms;
    const int64_t left = w->oldest_ms + RESULTS_DELAY_MS - clock_mono_ms();
    return left >= ms ? ms : left > 0 ? (int)left : 0;
}

static enum err_code push(struct results *w, const struct outcome *o, struct err *e)
{
    enum err_code code = ERR_OK;

    if (w->gathering->len == w->group) {
        code = land_all(w, e);
        if (code == ERR_OK)
            hand_over(w);
    }
    if (code != ERR_OK)
        return code;
    if (w->gathering->len == 0)
        w->oldest_ms = clock_mono_ms();
    w->gathering->items[w->gathering->len++] = *o;
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
    last = code == ERR_OK ? &w->gathering->items[w->gathering->len - 1] : NULL;
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
