#include "blobferry/engine/migrate.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/net/limiter.h"
#include "engine/migrate_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEASE_MS     120000
#define WATCH_MS     1000 /* between two looks for new work … */
#define LISTEN_MS    5000 /* … where the database tells of plans: other tools insert rows too */
#define SLICE_MS     200  /* a signal that comes just before a sleep waits for its end */
#define ELSEWHERE_MS 250
#define IN_VAIN_MAX  4 /* rounds in a row that see work and get none */

/* ---- begin and end --------------------------------------------------------------------------------------- */

static enum err_code take_options(struct migrate_job *j, const struct migrate_options *o,
                                  struct err *e)
{
    size_t n = 0;

    j->o = *o;
    if (j->o.concurrency <= 0) /* files; of requests the store's limiter may allow fewer */
        j->o.concurrency = LIMITER_MAX;
    if (j->o.lease_ms <= 0)
        j->o.lease_ms = LEASE_MS;
    if (j->g->store == NULL || j->g->journal == NULL)
        return err_set(e, ERR_CONFIG, "migrate needs a target and an audit trail");
    if (j->o.if_exists == MIGRATE_OVERWRITE && str_empty(j->g->backup_dir)) {
        err_set(e, ERR_CONFIG, "no backup folder is set for the objects that are overwritten");
        return err_hint(e, "set BLOBFERRY_BACKUP_DIR, or do not overwrite");
    }
    j->named = calloc(o->batch_count + 1, sizeof *j->named);
    if (j->named == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < o->batch_count; i++) {
        bool twice = false;

        for (size_t k = 0; k < n; k++)
            twice = twice || str_eq(j->named[k], o->batch_ids[i]);
        if (!twice)
            j->named[n++] = o->batch_ids[i];
    }
    j->o.batch_ids = j->named;
    j->o.batch_count = n;
    return ERR_OK;
}

static enum err_code job_open(struct migrate_job *j, const struct engine *g,
                              const struct migrate_options *o, struct migrate_result *out,
                              struct err *e)
{
    enum err_code code;

    memset(j, 0, sizeof *j);
    j->g = g;
    j->out = out;
    j->root.fd = -1;
    j->first_round = true;
    recover_owners_init(&j->owners);
    scribe_init(&j->scribe);
    code = take_options(j, o, e);
    if (code != ERR_OK)
        return code;
    j->slot_total = (size_t)j->o.concurrency;
    j->gathered = calloc(MIGRATE_GATHER, sizeof *j->gathered);
    if (j->gathered == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = results_init(&j->results, g, out, &j->scribe, j->o.concurrency, e);
    j->results.told = migrate_lanes_tell;
    j->results.user = j;
    if (code == ERR_OK)
        code = source_root_open(&j->root, g->source_root, e);
    return code;
}

static void job_close(struct migrate_job *j)
{
    migrate_lanes_close(j);
    migrate_work_release(&j->work);
    migrate_claimer_close(j);
    migrate_claim_free(j);
    recover_owners_release(&j->owners);
    results_release(&j->results);
    scribe_release(&j->scribe);
    if (j->root.fd >= 0)
        source_root_close(&j->root);
    free(j->gathered);
    free(j->named);
}

/* ---- the store, before the first row is touched ------------------------------------------------------------ */

/* What an endpoint of unknown make honours. Where it cannot be found out nothing is taken for granted: every key is looked at
 * first, and every object is read back. */
static enum err_code probe(struct migrate_job *j, struct err *e)
{
    struct objstore *store = j->g->store;
    char text[64] = "nothing could be found out";
    struct journal_entry entry = {.action = "probe", .detail = text, .has_success = true};
    unsigned features = 0;
    struct err why;
    enum err_code code;

    if (!objstore_needs_probe(store))
        return ERR_OK;
    err_init(&why);
    code = objstore_probe(store, &features, &why);
    if (code == ERR_STORE_DENIED || code == ERR_CANCELLED || code == ERR_NOMEM) {
        if (e != NULL)
            *e = why;
        return err_wrap(e, "cannot find out what %s honours", objstore_name(store));
    }
    if (code == ERR_OK) {
        objstore_set_features(store, features);
        snprintf(text, sizeof text, "features 0x%x", features);
    } else {
        entry.error = why.message;
        entry.error_class = err_code_name(code);
        engine_emit(j->g, &(struct engine_event){.kind = ENGINE_NOTE, .message = why.message});
    }
    entry.success = code == ERR_OK;
    return journal_add(j->g->journal, &entry, e);
}

/* D1: a wrong secret or a missing bucket ends the run here, and every row is as it was. */
static enum err_code check_store(struct migrate_job *j, struct err *e)
{
    struct objstore_result r;
    enum err_code code;

    if (j->store_checked)
        return ERR_OK;
    code = objstore_ping_wait(j->g->store, &r, e);
    if (code == ERR_OK && r.outcome != OBJSTORE_DONE) {
        code = r.err.code != ERR_OK ? r.err.code : ERR_STORE;
        if (e != NULL)
            *e = r.err;
        if (e != NULL && e->code == ERR_OK)
            err_set(e, ERR_STORE, "%s cannot be used", objstore_name(j->g->store));
    }
    if (code == ERR_OK && r.err.code != ERR_OK)
        engine_emit(j->g, &(struct engine_event){.kind = ENGINE_NOTE, .message = r.err.message});
    if (code == ERR_OK)
        code = probe(j, e);
    j->store_checked = code == ERR_OK;
    return code;
}

/* ---- windows of batches -------------------------------------------------------------------------------------- */

static enum err_code lock(struct migrate_job *j, const char *const *ids, size_t n, struct err *e)
{
    return tracker_lock(j->g->tracker,
                        &(struct tracker_lock){.batch_ids = ids,
                                               .batch_count = n,
                                               .mode = TRACKER_LOCK_MIGRATE,
                                               .owner = j->g->owner,
                                               .now_ms = clock_wall_ms(),
                                               .lease_ms = j->o.lease_ms},
                        e);
}

/* All of them; or, when nobody has named them, those that no rollback is at work on. */
static enum err_code lock_window(struct migrate_job *j, const char **ids, size_t *n, struct err *e)
{
    size_t kept = 0;
    enum err_code code = lock(j, ids, *n, e);

    if (code != ERR_CONFLICT || (j->o.batch_count > 0 && !j->o.watch))
        return code;
    for (size_t i = 0; i < *n; i++) {
        struct err why;

        err_init(&why);
        code = lock(j, &ids[i], 1, &why);
        if (code == ERR_OK) {
            ids[kept++] = ids[i];
            continue;
        }
        if (code != ERR_CONFLICT) {
            if (e != NULL)
                *e = why;
            return code;
        }
        j->skipped_batches++;
        j->skipped_why = why;
        engine_emit(j->g, &(struct engine_event){.kind = ENGINE_NOTE, .message = why.message});
    }
    err_init(e);
    *n = kept;
    return ERR_OK;
}

/* Rows that are still ours go back, whatever has happened; the first fault is the one that is told. */
static enum err_code end_window(struct migrate_job *j, const char *const *ids, size_t n,
                                enum err_code code, struct err *e)
{
    struct err later;
    enum err_code ended = ERR_OK;

    err_init(&later);
    if (code != ERR_OK || j->halted)
        ended = results_release_rows(&j->results, &later);
    for (size_t i = 0; i < n && ended == ERR_OK && j->claimed > 0; i++)
        ended = tracker_refresh(j->g->tracker, ids[i], NULL, &later);
    if (tracker_unlock(j->g->tracker, j->g->owner, ended == ERR_OK ? &later : NULL) != ERR_OK &&
        ended == ERR_OK)
        ended = later.code;
    if (code == ERR_OK && ended != ERR_OK && e != NULL)
        *e = later;
    return code != ERR_OK ? code : ended;
}

static enum err_code run_window(struct migrate_job *j, const char *const *ids, size_t n,
                                struct err *e)
{
    const char *window[MIGRATE_WINDOW];
    enum err_code code;

    for (size_t i = 0; i < n; i++)
        window[i] = ids[i];
    code = lock_window(j, window, &n, e);
    if (code != ERR_OK || n == 0)
        return code;
    j->batches = window;
    j->batch_count = n;
    j->renew_ms = clock_mono_ms();
    free(j->after_id);
    j->after_id = NULL;
    code = migrate_loop_run(j, e);
    code = end_window(j, window, n, code, e);
    j->batches = NULL;
    return code;
}

/* The locks of the dead go with their rows. */
static enum err_code bury(struct migrate_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->owners.dead_count; i++)
        code = tracker_unlock(j->g->tracker, j->owners.dead[i], e);
    return code;
}

static enum err_code run_round(struct migrate_job *j, struct err *e)
{
    enum err_code code = migrate_work_find(j, e);

    j->claimed = j->skipped_batches = 0;
    if (code != ERR_OK || j->work.n == 0)
        return code;
    code = check_store(j, e);
    if (code == ERR_OK)
        code = engine_run_record(j->g, e);
    if (code == ERR_OK)
        code = bury(j, e);
    j->files_total = j->work.more ? -1 : j->out->completed + j->out->failed + j->work.files;
    if (j->first_round)
        j->bytes_total = j->work.bytes;
    for (size_t i = 0; code == ERR_OK && !j->halted && i < j->work.n; i += MIGRATE_WINDOW) {
        size_t n = j->work.n - i < MIGRATE_WINDOW ? j->work.n - i : MIGRATE_WINDOW;
        code = run_window(j, (const char *const *)&j->work.ids[i], n, e);
    }
    j->claimed_ever += j->claimed;
    return code;
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

/* Looking for work may cost more than a moment on a big database: it takes at most a twentieth of the time. */
static void doze(const struct migrate_job *j, int64_t ms)
{
    if (ms < j->round_ms * 20)
        ms = j->round_ms < 1500 ? j->round_ms * 20 : 30000;
    for (int64_t until = clock_mono_ms() + ms; clock_mono_ms() < until && !engine_stopping(j->g);)
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

/* --watch: until somebody may have planned something, or a signal. */
static enum err_code watch(const struct migrate_job *j, struct err *e)
{
    const int64_t began = clock_mono_ms();
    const int64_t cost = j->round_ms < 1500 ? j->round_ms * 20 : 30000; /* see doze */
    enum tracker_wait how = TRACKER_WAIT_SLEPT;
    enum err_code code = ERR_OK;
    bool waiting = true;

    while (code == ERR_OK && waiting && !engine_stopping(j->g)) {
        code = tracker_wait(j->g->tracker, SLICE_MS, &how, e);
        const int64_t least = how == TRACKER_WAIT_LISTENED ? LISTEN_MS : WATCH_MS;
        waiting =
            how != TRACKER_WAIT_TOLD && clock_mono_ms() - began < (cost > least ? cost : least);
    }
    return code;
}

/* Rows of other workers: they end them, or lose their lease and the rows come to us. Given up only when nothing at all has moved
 * for as long as a lease lasts: then they live, and are merely slow. */
static bool wait_for_others(struct migrate_job *j)
{
    int64_t now = clock_mono_ms();
    char text[96];

    if (j->work.elsewhere == 0)
        return false;
    j->in_vain = 0;
    if (j->wait_until_ms == 0) {
        snprintf(text, sizeof text, "waiting for %lld files that other workers hold",
                 (long long)j->work.elsewhere);
        engine_emit(j->g, &(struct engine_event){.kind = ENGINE_NOTE, .message = text});
    }
    if (j->wait_until_ms == 0 || j->wait_rows != j->work.elsewhere) {
        j->wait_until_ms = now + j->o.lease_ms + ELSEWHERE_MS;
        j->wait_rows = j->work.elsewhere;
    }
    if (now >= j->wait_until_ms)
        return false;
    doze(j, ELSEWHERE_MS);
    return true;
}

static enum err_code work(struct migrate_job *j, struct err *e)
{
    enum err_code code = migrate_work_check(j, e);

    while (code == ERR_OK && !engine_stopping(j->g)) {
        int64_t began = clock_mono_ms();

        code = run_round(j, e);
        j->round_ms = clock_mono_ms() - began;
        if (code != ERR_OK || j->halted)
            break;
        j->first_round = false;
        if (j->claimed > 0) {
            j->wait_until_ms = j->in_vain = 0;
            continue; /* until a round finds nothing */
        }
        if (j->o.watch)
            code = watch(j, e);
        else if (j->work.n > 0 && j->in_vain++ < IN_VAIN_MAX)
            doze(j, ELSEWHERE_MS); /* somebody was faster: are they his now? */
        else if (!wait_for_others(j))
            break;
    }
    return code;
}

enum err_code migrate_run(const struct engine *g, const struct migrate_options *o,
                          struct migrate_result *out, struct err *e)
{
    int64_t started = clock_mono_ms();
    struct migrate_job j;
    enum err_code code;

    memset(out, 0, sizeof *out);
    code = job_open(&j, g, o, out, e);
    if (code == ERR_OK) {
        code = work(&j, e);
        if (j.claimed_ever > 0)
            migrate_loop_progress(&j, true);
    }
    if (code == ERR_OK)
        code = migrate_verdict(&j, e);
    out->elapsed_ms = clock_mono_ms() - started;
    job_close(&j);
    return code;
}
