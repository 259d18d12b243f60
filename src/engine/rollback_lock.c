#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#define LEASE_MS 120000

enum err_code rollback_lock_scoped(const struct rollback_options *o, struct err *e)
{
    const struct tracker_filter *f = &o->scope;

    if (str_empty(f->batch_id) != (f->batch_id == NULL) ||
        str_empty(f->user_id) != (f->user_id == NULL))
        return err_set(e, ERR_USAGE, "an empty id names nothing");
    if (f->batch_id != NULL || f->user_id != NULL || f->has_from || f->has_to || o->failed_only ||
        o->full)
        return ERR_OK;
    return err_set(e, ERR_USAGE, "no scope is given");
}

enum err_code rollback_lock_take(struct rollback_job *j, struct err *e)
{
    const char *batch = j->o->scope.batch_id != NULL ? j->o->scope.batch_id : "*";
    enum err_code code = tracker_lock(j->g->tracker,
                                      &(struct tracker_lock){.batch_ids = &batch,
                                                             .batch_count = 1,
                                                             .mode = TRACKER_LOCK_ROLLBACK,
                                                             .owner = j->g->owner,
                                                             .now_ms = clock_wall_ms(),
                                                             .lease_ms = LEASE_MS},
                                      e);

    j->locked = j->locked || code == ERR_OK;
    j->renewed_ms = clock_mono_ms();
    return code;
}

enum err_code rollback_lock_keep(struct rollback_job *j, struct err *e)
{
    if (!j->locked || clock_mono_ms() - j->renewed_ms < LEASE_MS / 3)
        return ERR_OK;
    return rollback_lock_take(j, e);
}

void rollback_lock_drop(struct rollback_job *j)
{
    if (j->locked)
        tracker_unlock(j->g->tracker, j->g->owner, NULL);
    j->locked = false;
}
