/* d1_restore: not yet. A backup of a remote D1 is restored into SQLite, or by Cloudflare's own Time Travel. */
#include "track/d1.h"

enum err_code d1_restore(struct tracker *t, const struct tracker_restore *r,
                         struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e)
{
    struct d1 *d = d1_of(t);

    (void)r;
    (void)counts;
    err_set(e, ERR_DB, "a backup cannot be restored into '%s' yet", d->base.name);
    return err_hint(e, "see: wrangler d1 time-travel restore");
}
