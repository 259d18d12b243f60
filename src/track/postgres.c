/* postgres: the driver's table, opening and closing. */
#include "track/postgres_plan.h"

#include "blobferry/base/str.h"
#include "track/postgres_copy.h"

#include <stdlib.h>

static void postgres_close(struct tracker *t)
{
    struct postgres *p = postgres_of(t);

    PQfinish(p->connection);
    postgres_held_free(p->held);
    free(p->base.name);
    free(p);
}

static enum err_code postgres_open(struct tracker **out, const struct tracker_options *o,
                                   const char *rest, struct err *e)
{
    const int64_t wait = o->busy_timeout_ms > 0 ? o->busy_timeout_ms : POSTGRES_BUSY_MS;
    struct postgres *p = calloc(1, sizeof *p);

    (void)rest; /* libpq takes the URL as a whole */
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "cannot open the database: out of memory");
    p->base.ops = &postgres_ops;
    p->read_only = o->read_only;
    p->busy_ms = wait > 3600000 ? 3600000 : (int)wait;
    enum err_code code = postgres_connect(p, o, e);
    if (code == ERR_OK)
        code = postgres_look(p, e);
    if (code != ERR_OK) {
        postgres_close(&p->base);
        return code;
    }
    *out = &p->base;
    return ERR_OK;
}

#define POSTGRES_TABLE(name)                                                                       \
    {                                                                                              \
        .scheme = (name), .open = postgres_open, .close = postgres_close,                          \
        .inspect = postgres_schema_inspect, .require = postgres_schema_require,                    \
        .init = postgres_schema_init, .prepare = postgres_schema_prepare,                          \
        .heads = postgres_run_heads, .set_head = postgres_run_set_head,                            \
        .run_begin = postgres_run_begin, .run_end = postgres_run_end, .lock = postgres_lock,       \
        .unlock = postgres_lock_release, .plan = postgres_plan,                                    \
        .key_holder = postgres_keys_holder, .batch_exists = postgres_files_batch_exists,           \
        .file_exists = postgres_files_exists, .files_without_key = postgres_files_without_key,     \
        .claim = postgres_claim, .owners = postgres_lease_owners, .workers = postgres_workers,     \
        .wait = postgres_wait, .renew = postgres_lease_renew, .release = postgres_lease_release,   \
        .set_upload = postgres_lease_set_upload, .apply = postgres_apply,                          \
        .debts_paid = postgres_apply_debts_paid, .shared_keys = postgres_shared_keys,              \
        .refresh = postgres_refresh, .records = postgres_read_records,                             \
        .totals = postgres_read_totals, .batches = postgres_batches,                               \
        .open_batches = postgres_open_batches, .dump = postgres_dump, .restore = postgres_restore, \
        .check_begin = postgres_check_begin, .check_end = postgres_check_end,                      \
        .rows_at_once = TRACKER_ROWS_MAX, .side_by_side = true, .check_false = "false",            \
        .index_list = postgres_check_list, .missing_indexes = postgres_check_missing,              \
        .upgrade = postgres_check_upgrade, .ask = postgres_copy_ask, .strict = true,               \
        .columns = postgres_copy_columns, .copy_out = postgres_copy_out,                           \
        .copy_in = postgres_copy_in, .copy_put = postgres_copy_put,                                \
    }

/* Both schemes are libpq's. */
const struct tracker_ops postgres_ops = POSTGRES_TABLE("postgres://");
const struct tracker_ops postgres_long_ops = POSTGRES_TABLE("postgresql://");
