#include "track/lock.h"

#include <string.h>

const char *lock_mode_name(enum tracker_lock_mode m)
{
    return m == TRACKER_LOCK_ROLLBACK ? "rollback" : "migrate";
}

enum err_code lock_refuse(const char *batch_id, const char *holder, const char *mode, struct err *e)
{
    if (strcmp(batch_id, "*") == 0)
        err_set(e, ERR_CONFLICT, "a %s by '%s' is under way", mode, holder);
    else
        err_set(e, ERR_CONFLICT, "batch '%s' is in use: a %s by '%s' is under way", batch_id, mode,
                holder);
    if (e != NULL)
        e->retryable = true;
    return err_hint(e,
                    "wait until it has ended; the lock of a process that has died is taken over");
}
