/* d1_lock: a batch is migrated by many at once, or rolled back by one. One batch takes all or none and tells who is in the way. */
#include "track/d1.h"
#include "track/lock.h"

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCHES "(SELECT value FROM json_each(?1))"

/* Locks of others that stand in the way of any of the batches. */
#define IN_THE_WAY                                                                                 \
    " FROM blobferry_locks AS k WHERE k.owner <> ?2 AND k.lease_until > %lld"                      \
    " AND (k.mode = 'rollback' OR ?3 = 'rollback') AND (k.batch_id = '*' OR k.batch_id "           \
    "IN " BATCHES " OR '*' IN " BATCHES ")"

struct holder {
    char batch[300], owner[LOCK_OWNER_MAX], mode[32];
};

static char *batch_list(const struct tracker_lock *l)
{
    struct buf b;
    struct json_out o;

    buf_init(&b, D1_DOC_MAX);
    json_out_init(&o, &b, 0);
    json_out_array(&o, NULL);
    for (size_t i = 0; i < l->batch_count; i++)
        json_out_string(&o, NULL, l->batch_ids[i]);
    json_out_end(&o);
    return buf_steal(&b);
}

/* dead: an owner whose locks go first; "" none. holder->owner is "" when the locks are ours. */
static enum err_code take(struct d1 *d, const struct tracker_lock *l, const char *batches,
                          const char *dead, struct holder *h, struct err *e)
{
    const char *mode = lock_mode_name(l->mode);
    const long long now = (long long)l->now_ms,
                    until = (long long)l->now_ms + (long long)l->lease_ms;
    char sql[1000];
    struct d1_batch b;
    struct d1_answer a;

    d1_batch_init(&b);
    (void)snprintf(sql, sizeof sql,
                   "DELETE FROM blobferry_locks WHERE owner <> ?1 AND (lease_until <= %lld"
                   " OR owner = ?2)",
                   now);
    d1_batch_add(&b, sql, D1_TEXTS(l->owner, dead));
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO blobferry_locks (batch_id, owner, mode, lease_until)"
        " SELECT value, ?2, ?3, %lld FROM json_each(?1) WHERE NOT EXISTS (SELECT 1" IN_THE_WAY
        ") ON CONFLICT (batch_id, owner)"
        " DO UPDATE SET mode = ?3, lease_until = %lld",
        until, now, until);
    d1_batch_add(&b, sql, D1_TEXTS(batches, l->owner, mode));
    (void)snprintf(sql, sizeof sql,
                   "SELECT CASE WHEN k.batch_id = '*' OR '*' IN " BATCHES
                   " THEN (SELECT value FROM json_each(?1) LIMIT 1) ELSE k.batch_id END,"
                   " k.owner, k.mode" IN_THE_WAY " ORDER BY k.lease_until DESC LIMIT 1",
                   now);
    d1_batch_add(&b, sql, D1_TEXTS(batches, l->owner, mode));
    enum err_code code = d1_batch_run(d, &b, &a, e);
    const struct json *row = code == ERR_OK ? d1_answer_rows(&a, 2) : NULL;
    const char *found[3] = {d1_row_plain(row, 0), d1_row_plain(row, 1), d1_row_plain(row, 2)};
    str_copy(h->batch, sizeof h->batch, found[0] != NULL ? found[0] : "?");
    str_copy(h->owner, sizeof h->owner, row == NULL ? "" : found[1] != NULL ? found[1] : "?");
    str_copy(h->mode, sizeof h->mode, found[2] != NULL ? found[2] : "?");
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

enum err_code d1_lock(struct tracker *t, const struct tracker_lock *l, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct holder h = {.owner = ""};
    char dead[LOCK_OWNER_MAX];
    char *batches = batch_list(l);
    enum err_code code = d1_schema_write(d, e);

    if (batches == NULL)
        code = err_set(e, ERR_LIMIT, "too many batches for one lock");
    do { /* the locks of the dead give way, one owner after the other */
        str_copy(dead, sizeof dead, h.owner);
        if (code == ERR_OK)
            code = take(d, l, batches, dead, &h, e);
        if (code == ERR_OK && h.owner[0] != '\0' && !process_owner_is_dead(h.owner))
            code = lock_refuse(h.batch, h.owner, h.mode, e);
    } while (code == ERR_OK && h.owner[0] != '\0');
    free(batches);
    return code;
}

enum err_code d1_lock_release(struct tracker *t, const char *owner, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    enum err_code code = d1_schema_write(d, e);

    if (code == ERR_OK)
        code = d1_query(d, &a, "DELETE FROM blobferry_locks WHERE owner = ?1", D1_TEXTS(owner), e);
    d1_answer_release(&a);
    return code;
}
