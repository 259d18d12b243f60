/*
 * blobferry whose tracking and audit cost nothing: the whole program, linked with --wrap for each function of the tracker
 * and the journal that writes (mk/bench.mk lists them). Rows are still read, once, to know what is to be sent; how long
 * that took is told on standard error, to be taken off. For `migrate` of one fresh batch, and for nothing else: it records
 * nothing.
 */
#include "blobferry/engine/journal.h"
#include "blobferry/track/tracker.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What the linker calls the real ones. */
enum err_code __real_tracker_totals(struct tracker *t, const struct tracker_filter *f,
                                    struct tracker_totals *out, struct err *e);
enum err_code __real_tracker_batches(struct tracker *t, const char *batch_id, size_t limit,
                                     struct batch_list *out, struct err *e);
void __real_tracker_close(struct tracker *t);

enum err_code __wrap_tracker_claim(struct tracker *t, const struct tracker_claim *c,
                                   struct record_list *out, struct err *e);
enum err_code __wrap_tracker_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                                   const struct tracker_head *head, struct err *e);
enum err_code __wrap_tracker_totals(struct tracker *t, const struct tracker_filter *f,
                                    struct tracker_totals *out, struct err *e);
enum err_code __wrap_tracker_batches(struct tracker *t, const char *batch_id, size_t limit,
                                     struct batch_list *out, struct err *e);
void __wrap_tracker_close(struct tracker *t);
enum err_code __wrap_tracker_set_head(struct tracker *t, const struct tracker_head *h,
                                      struct err *e);
enum err_code __wrap_tracker_run_begin(struct tracker *t, const struct tracker_run *r,
                                       struct err *e);
enum err_code __wrap_tracker_run_end(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code __wrap_tracker_lock(struct tracker *t, const struct tracker_lock *l, struct err *e);
enum err_code __wrap_tracker_unlock(struct tracker *t, const char *owner, struct err *e);
enum err_code __wrap_tracker_renew(struct tracker *t, const char *owner, int64_t until_ms,
                                   struct err *e);
enum err_code __wrap_tracker_release(struct tracker *t, const char *owner, int64_t *released,
                                     struct err *e);
enum err_code __wrap_tracker_set_upload(struct tracker *t, const char *id, const char *owner,
                                        const char *upload_id, int64_t part_size, struct err *e);
enum err_code __wrap_tracker_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                                     struct err *e);
enum err_code __wrap_journal_add(struct journal *j, const struct journal_entry *entry,
                                 struct err *e);
enum err_code __wrap_journal_commit(struct journal *j, bool durable, struct tracker_head *head,
                                    struct err *e);

static char cursor[128];  /* id of the last row that was handed out */
static int64_t completed; /* rows whose move to `completed` was asked for */
static double reading;    /* seconds */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The next rows in the order of their ids, whatever their status in the database, which never changes. */
enum err_code __wrap_tracker_claim(struct tracker *t, const struct tracker_claim *c,
                                   struct record_list *out, struct err *e)
{
    struct tracker_filter pending = {.batch_id = c->batch_count > 0 ? c->batch_ids[0] : NULL,
                                     .statuses = TRACKER_STATUS(FILE_PENDING)};
    double start = now();
    enum err_code code = tracker_records(t, &pending, *cursor ? cursor : NULL, c->limit, out, e);
    for (size_t i = 0; code == ERR_OK && i < out->len; i++) {
        struct record *r = &out->items[i];
        r->status = FILE_PROCESSING;
        r->attempts = 1;
        r->lease_owner = c->owner;
        r->lease_until_ms = c->now_ms + c->lease_ms;
        snprintf(cursor, sizeof cursor, "%s", r->id);
    }
    reading += now() - start;
    return code;
}

enum err_code __wrap_tracker_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                                   const struct tracker_head *head, struct err *e)
{
    (void)t, (void)head, (void)e;
    for (size_t i = 0; i < n; i++) {
        moves[i].applied = TRACKER_APPLIED;
        completed += moves[i].to == FILE_COMPLETED;
    }
    return ERR_OK;
}

/* As they would be, had the moves been written. `all`: completed rows are asked for, too. */
static void correct(struct state_counts *counts, bool all)
{
    int64_t *pending = &counts->by[FILE_PENDING];

    if (*pending < completed)
        return;
    *pending -= completed;
    counts->by[FILE_COMPLETED] += all ? completed : 0;
}

enum err_code __wrap_tracker_totals(struct tracker *t, const struct tracker_filter *f,
                                    struct tracker_totals *out, struct err *e)
{
    double start = now();
    enum err_code code = __real_tracker_totals(t, f, out, e);
    /* were there still something to do, migrate would wait for whoever does it */
    if (code == ERR_OK)
        correct(&out->counts, f == NULL || f->statuses == 0 ||
                                  (f->statuses & TRACKER_STATUS(FILE_COMPLETED)) != 0);
    reading += now() - start;
    return code;
}

enum err_code __wrap_tracker_batches(struct tracker *t, const char *batch_id, size_t limit,
                                     struct batch_list *out, struct err *e)
{
    double start = now();
    enum err_code code = __real_tracker_batches(t, batch_id, limit, out, e);
    for (size_t i = 0; code == ERR_OK && i < out->len; i++)
        correct(&out->items[i].counts, true);
    reading += now() - start;
    return code;
}

void __wrap_tracker_close(struct tracker *t)
{
    fprintf(stderr, "noop: reading %.6f completed %lld\n", reading, (long long)completed);
    __real_tracker_close(t);
}

enum err_code __wrap_tracker_set_head(struct tracker *t, const struct tracker_head *h,
                                      struct err *e)
{
    (void)t, (void)h, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_run_begin(struct tracker *t, const struct tracker_run *r,
                                       struct err *e)
{
    (void)t, (void)r, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_run_end(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    (void)t, (void)r, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_lock(struct tracker *t, const struct tracker_lock *l, struct err *e)
{
    (void)t, (void)l, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_unlock(struct tracker *t, const char *owner, struct err *e)
{
    (void)t, (void)owner, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_renew(struct tracker *t, const char *owner, int64_t until_ms,
                                   struct err *e)
{
    (void)t, (void)owner, (void)until_ms, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_release(struct tracker *t, const char *owner, int64_t *released,
                                     struct err *e)
{
    (void)t, (void)owner, (void)e;
    if (released != NULL)
        *released = 0;
    return ERR_OK;
}

enum err_code __wrap_tracker_set_upload(struct tracker *t, const char *id, const char *owner,
                                        const char *upload_id, int64_t part_size, struct err *e)
{
    (void)t, (void)id, (void)owner, (void)upload_id, (void)part_size, (void)e;
    return ERR_OK;
}

enum err_code __wrap_tracker_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                                     struct err *e)
{
    (void)t, (void)batch_id, (void)e;
    if (changed != NULL)
        *changed = 0;
    return ERR_OK;
}

enum err_code __wrap_journal_add(struct journal *j, const struct journal_entry *entry,
                                 struct err *e)
{
    (void)j, (void)entry, (void)e;
    return ERR_OK;
}

enum err_code __wrap_journal_commit(struct journal *j, bool durable, struct tracker_head *head,
                                    struct err *e)
{
    (void)j, (void)durable, (void)e;
    if (head != NULL)
        *head = (struct tracker_head){.log_id = "noop", .run_id = "noop", .hash = ""};
    return ERR_OK;
}
