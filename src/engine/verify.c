#include "blobferry/engine/verify.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/verify_page.h"

#include <stdlib.h>
#include <string.h>

#define CONCURRENCY 16
#define PAGE_BYTES  ((size_t)8 << 20)

static enum err_code job_open(struct verify_job *j, const struct engine *g,
                              const struct verify_options *o, struct verify_result *out,
                              struct err *e)
{
    memset(j, 0, sizeof *j);
    j->g = g;
    j->o = o;
    j->out = out;
    j->root.fd = -1;
    err_init(&j->fatal);
    record_list_init(&j->list, PAGE_BYTES);
    if (g->store == NULL || g->journal == NULL)
        return err_set(e, ERR_CONFIG, "verify needs a target and an audit trail");
    j->slot_count = o->concurrency > 0 ? (size_t)o->concurrency : CONCURRENCY;
    j->slots = calloc(j->slot_count, sizeof *j->slots);
    j->ends = calloc(VERIFY_PAGE, sizeof *j->ends);
    if (j->slots == NULL || j->ends == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    return o->sources ? source_root_open(&j->root, g->source_root, e) : ERR_OK;
}

static void job_close(struct verify_job *j)
{
    if (j->root.fd >= 0)
        source_root_close(&j->root);
    record_list_release(&j->list);
    free(j->slots);
    free(j->ends);
}

/* What there is to check; a batch that does not exist is not the same as one that is empty. */
static enum err_code survey(struct verify_job *j, struct err *e)
{
    struct tracker_filter f = {.batch_id = j->o->batch_id, .user_id = j->o->user_id};
    struct tracker_totals t;
    bool exists = true;
    enum err_code code = tracker_totals(j->g->tracker, &f, &t, e);

    if (code != ERR_OK)
        return code;
    const int64_t *by = t.counts.by;
    j->total = by[FILE_COMPLETED] + by[FILE_VERIFIED];
    j->out->in_doubt = by[FILE_PROCESSING];
    j->out->not_checked =
        by[FILE_PENDING] + by[FILE_FAILED] + by[FILE_ROLLED_BACK] + by[FILE_UNKNOWN];
    if (j->total > 0)
        return ERR_OK;
    if (j->o->batch_id != NULL && state_counts_total(&t.counts) == 0)
        code = tracker_batch_exists(j->g->tracker, j->o->batch_id, &exists, e);
    if (code != ERR_OK)
        return code;
    if (!exists)
        err_set(e, ERR_NOTFOUND, "batch '%s' not found", j->o->batch_id);
    else
        err_set(e, ERR_NOTFOUND, "nothing to verify: no file is completed");
    return err_hint(e, "see: blobferry status");
}

static enum err_code check_store(struct verify_job *j, struct err *e)
{
    struct objstore_result r;
    enum err_code code = objstore_ping_wait(j->g->store, &r, e);

    if (code != ERR_OK || r.outcome == OBJSTORE_DONE)
        return code;
    if (e != NULL)
        *e = r.err;
    return r.err.code != ERR_OK ? r.err.code : err_set(e, ERR_STORE, "the store cannot be used");
}

/* Rows leave the filter's statuses behind the cursor only, so that no row is met twice. */
static enum err_code each_page(struct verify_job *j, struct err *e)
{
    struct tracker_filter f = {
        .batch_id = j->o->batch_id,
        .user_id = j->o->user_id,
        .statuses = TRACKER_STATUS(FILE_COMPLETED) | TRACKER_STATUS(FILE_VERIFIED),
    };
    char *after = NULL;
    enum err_code code = ERR_OK;

    while (code == ERR_OK) {
        code = tracker_records(j->g->tracker, &f, after, VERIFY_PAGE, &j->list, e);
        if (code != ERR_OK || j->list.len == 0)
            break;
        free(after);
        after = str_dup(j->list.items[j->list.len - 1].id);
        if (after == NULL) {
            code = err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        code = verify_page_look(j, e);
        if (code == ERR_OK)
            code = verify_page_record(j, e);
        if (code == ERR_OK && j->fatal.code != ERR_OK) {
            if (e != NULL)
                *e = j->fatal;
            code = j->fatal.code;
        }
        if (code == ERR_OK && engine_stopping(j->g)) {
            err_set(e, ERR_CANCELLED, "stopped by a signal");
            code = err_hint(e, "run it again: what is verified stays so");
        }
    }
    free(after);
    return code;
}

static enum err_code verdict(const struct verify_result *r, struct err *e)
{
    int64_t bad = r->missing + r->different + r->errors;

    if (r->checked == 0) {
        err_set(e, ERR_NOTFOUND, "nothing was there to verify any more");
        return err_hint(e, "see: blobferry status");
    }
    if (bad > 0) {
        err_set(e, ERR_PARTIAL,
                "%lld of %lld files are not verified: %lld missing, %lld different, %lld could not "
                "be checked",
                (long long)bad, (long long)r->checked, (long long)r->missing,
                (long long)r->different, (long long)r->errors);
        return err_hint(e, "missing and different files are failed now; send them again with: "
                           "blobferry migrate --retry-failed");
    }
    if (r->in_doubt > 0) {
        err_set(e, ERR_PARTIAL,
                "%lld files are in doubt: they are being migrated, or their worker "
                "has died",
                (long long)r->in_doubt);
        return err_hint(e, "run migrate again: it looks at them");
    }
    return ERR_OK;
}

enum err_code verify_run(const struct engine *g, const struct verify_options *o,
                         struct verify_result *out, struct err *e)
{
    int64_t started = clock_mono_ms();
    struct verify_job j;
    struct err later;
    enum err_code code;

    memset(out, 0, sizeof *out);
    err_init(&later);
    code = job_open(&j, g, o, out, e);
    if (code == ERR_OK)
        code = survey(&j, e);
    if (code == ERR_OK)
        code = check_store(&j, e);
    if (code == ERR_OK)
        code = each_page(&j, e);
    if (j.moved > 0 && tracker_refresh(g->tracker, o->batch_id, NULL, &later) != ERR_OK &&
        code == ERR_OK) {
        code = later.code;
        if (e != NULL)
            *e = later;
    }
    if (code == ERR_OK)
        code = verdict(out, e);
    out->elapsed_ms = clock_mono_ms() - started;
    job_close(&j);
    return code;
}
