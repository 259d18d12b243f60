/* What it came to, told truthfully (P9): 0 only when every file of the selection is completed. */
#include "engine/migrate_job.h"

static enum err_code tell_left(const struct migrate_job *j, const struct tracker_totals *left,
                               struct err *e)
{
    const int64_t *by = left->counts.by;

    if (j->skipped_batches > 0) {
        if (e != NULL)
            *e = j->skipped_why;
        return ERR_CONFLICT;
    }
    if (by[FILE_PROCESSING] > 0) {
        err_set(e, ERR_PARTIAL, "%lld files are still in the hands of other workers",
                (long long)by[FILE_PROCESSING]);
        return err_hint(e, "run it again when they have ended, or their leases");
    }
    if (by[FILE_PENDING] > 0) {
        err_set(e, ERR_PARTIAL, "%lld files are still pending", (long long)by[FILE_PENDING]);
        return err_hint(e, "their batch may be missing, or an object is still to be deleted: see "
                           "blobferry status, blobferry rollback");
    }
    if (by[FILE_UNKNOWN] > 0) {
        err_set(e, ERR_PARTIAL, "%lld files have a status that is not known",
                (long long)by[FILE_UNKNOWN]);
        return err_hint(e, "pending, processing, completed, verified, failed and rolled_back are");
    }
    if (j->o.again && left->owed > 0) {
        err_set(e, ERR_PARTIAL, "%lld objects of a rollback are still to be deleted",
                (long long)left->owed);
        return err_hint(e, "run that rollback again first");
    }
    if (!j->o.again && by[FILE_ROLLED_BACK] > 0 &&
        by[FILE_ROLLED_BACK] == state_counts_total(&left->counts)) {
        err_set(e, ERR_NOTFOUND, "nothing to migrate: all %lld files are rolled back",
                (long long)by[FILE_ROLLED_BACK]);
        return err_hint(e, "migrate them once more with --again");
    }
    return ERR_OK;
}

enum err_code migrate_verdict(struct migrate_job *j, struct err *e)
{
    struct tracker_totals left;
    int64_t failed;
    enum err_code code = migrate_work_left(j, &left, e);

    if (code != ERR_OK)
        return code;
    failed = left.counts.by[FILE_FAILED];
    j->out->elsewhere = left.counts.by[FILE_PROCESSING];
    if (j->limited) {
        err_set(e, ERR_PARTIAL, "stopped after %lld failed files", (long long)j->out->failed);
        return err_hint(e, "see why in: blobferry status; the rest is pending");
    }
    if (engine_stopping(j->g)) {
        err_set(e, ERR_CANCELLED, "stopped by a signal, %lld files are pending",
                (long long)left.counts.by[FILE_PENDING]);
        return err_hint(e, "run it again to go on");
    }
    if (failed > 0) {
        err_set(e, ERR_PARTIAL, "%lld of %lld files are failed, %lld of them in this run",
                (long long)failed, (long long)state_counts_total(&left.counts),
                (long long)j->out->failed);
        if (j->o.batch_count == 1)
            return err_hint(e,
                            "see: blobferry status --batch-id %s; then: blobferry migrate "
                            "--batch-id %s --retry-failed",
                            j->o.batch_ids[0], j->o.batch_ids[0]);
        return err_hint(e, "see: blobferry status; then: blobferry migrate --all --retry-failed");
    }
    return tell_left(j, &left, e);
}
