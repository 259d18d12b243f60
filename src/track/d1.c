/* d1: the driver's table, opening and closing. */
#include "track/d1.h"

#include "blobferry/base/str.h"
#include "blobferry/net/http.h"

#include <stdlib.h>
#include <string.h>

static void d1_close(struct tracker *t)
{
    struct d1 *d = d1_of(t);

    d1_keys_close(d);
    http_free(d->http);
    secret_release(&d->token);
    free(d->endpoint);
    free(d->database);
    free(d->base.name);
    free(d);
}

static enum err_code d1_open(struct tracker **out, const struct tracker_options *o,
                             const char *rest, struct err *e)
{
    struct d1 *d = calloc(1, sizeof *d);

    (void)rest;
    if (d == NULL)
        return err_set(e, ERR_NOMEM, "cannot open a database: out of memory");
    secret_init(&d->token);
    d->base.ops = &d1_ops;
    d->base.name = str_dup(o->url);
    d->read_only = o->read_only;
    enum err_code code =
        d->base.name != NULL ? d1_http_open(d, o, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK)
        code = d1_schema_look(d, e);
    if (code == ERR_OK)
        *out = &d->base;
    else
        d1_close(&d->base);
    return code;
}

const struct tracker_ops d1_ops = {
    .scheme = "d1://",
    .open = d1_open,
    .close = d1_close,
    .inspect = d1_schema_inspect,
    .require = d1_schema_require,
    .init = d1_schema_init,
    .prepare = d1_schema_prepare,
    .heads = d1_run_heads,
    .set_head = d1_run_set_head,
    .run_begin = d1_run_begin,
    .run_end = d1_run_end,
    .lock = d1_lock,
    .unlock = d1_lock_release,
    .plan = d1_plan,
    .key_holder = d1_keys_holder,
    .batch_exists = d1_files_batch_exists,
    .file_exists = d1_keys_file,
    .files_without_key = d1_files_without_key,
    .claim = d1_claim,
    .owners = d1_lease_owners,
    .workers = d1_workers,
    .renew = d1_lease_renew,
    .release = d1_lease_release,
    .set_upload = d1_lease_set_upload,
    .apply = d1_apply,
    .debts_paid = d1_apply_debts_paid,
    .shared_keys = d1_keys_shared,
    .refresh = d1_batches_refresh,
    .records = d1_read_records,
    .totals = d1_read_totals,
    .batches = d1_batches,
    .dump = d1_dump,
    .restore = d1_restore,
};
