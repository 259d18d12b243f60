/* postgres_lock: a batch is migrated by many at once, or rolled back by one. Whoever takes a lock holds an advisory lock of the
 * transaction meanwhile: two that look at the same moment would each see none in the way. */
#include "track/lock.h"
#include "track/postgres.h"

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"

/* The first lock of somebody else that stands in the way of this one. */
static enum err_code find_holder(struct postgres *p, const struct tracker_lock *l,
                                 const char *batch_id, char *holder, size_t size, char *mode,
                                 size_t mode_size, struct err *e)
{
    PGresult *q = postgres_statement_query(
        p,
        "SELECT owner, mode FROM blobferry_locks WHERE (batch_id = $1::text OR batch_id = '*'"
        " OR $1 = '*') AND owner <> $2::text AND lease_until > $3::bigint"
        " AND (mode = 'rollback' OR $4::integer = 1) ORDER BY lease_until DESC LIMIT 1",
        POSTGRES_ARGS(POSTGRES_T(batch_id), POSTGRES_T(l->owner), POSTGRES_I(l->now_ms),
                      POSTGRES_I(l->mode == TRACKER_LOCK_ROLLBACK)),
        e);

    holder[0] = '\0';
    if (q == NULL)
        return postgres_code(e);
    if (PQntuples(q) > 0) {
        str_copy(holder, size, PQgetvalue(q, 0, 0));
        str_copy(mode, mode_size, PQgetvalue(q, 0, 1));
    }
    PQclear(q);
    return ERR_OK;
}

/* Takes over the locks of the dead, one after the other, until none or a living one is in the way. */
static enum err_code make_way(struct postgres *p, const struct tracker_lock *l,
                              const char *batch_id, struct err *e)
{
    char holder[LOCK_OWNER_MAX], mode[32];

    for (;;) {
        enum err_code code =
            find_holder(p, l, batch_id, holder, sizeof holder, mode, sizeof mode, e);
        if (code != ERR_OK || holder[0] == '\0')
            return code;
        if (!process_owner_is_dead(holder))
            return lock_refuse(batch_id, holder, mode, e);
        code = postgres_statement_run(p, "DELETE FROM blobferry_locks WHERE owner = $1::text",
                                      POSTGRES_ARGS(POSTGRES_T(holder)), NULL, e);
        if (code != ERR_OK)
            return code;
    }
}

static enum err_code take(struct postgres *p, void *user, struct err *e)
{
    const struct tracker_lock *l = user;
    enum err_code code = postgres_statement_run(
        p, "SELECT pg_advisory_xact_lock(hashtextextended('blobferry locks', 0))", POSTGRES_NONE,
        NULL, e);

    if (code == ERR_OK)
        code = postgres_statement_run(
            p, "DELETE FROM blobferry_locks WHERE lease_until <= $1::bigint AND owner <> $2::text",
            POSTGRES_ARGS(POSTGRES_I(l->now_ms), POSTGRES_T(l->owner)), NULL, e);
    for (size_t i = 0; code == ERR_OK && i < l->batch_count; i++) {
        code = make_way(p, l, l->batch_ids[i], e);
        if (code == ERR_OK)
            code = postgres_statement_run(
                p,
                "INSERT INTO blobferry_locks (batch_id, owner, mode, lease_until)"
                " VALUES ($1::text, $2::text, $3::text, $4::bigint) ON CONFLICT (batch_id, owner)"
                " DO UPDATE SET mode = excluded.mode, lease_until = excluded.lease_until",
                POSTGRES_ARGS(POSTGRES_T(l->batch_ids[i]), POSTGRES_T(l->owner),
                              POSTGRES_T(lock_mode_name(l->mode)),
                              POSTGRES_I(l->now_ms + l->lease_ms)),
                NULL, e);
    }
    return code;
}

enum err_code postgres_lock(struct tracker *t, const struct tracker_lock *l, struct err *e)
{
    struct tracker_lock lock = *l;

    /* One refusal takes all of it back: all of the batches or none. */
    return postgres_transaction(postgres_of(t), &(struct postgres_work){.run = take, .user = &lock},
                                e);
}

struct release {
    const char *owner;
};

static enum err_code release(struct postgres *p, void *user, struct err *e)
{
    const struct release *r = user;
    return postgres_statement_run(p, "DELETE FROM blobferry_locks WHERE owner = $1::text",
                                  POSTGRES_ARGS(POSTGRES_T(r->owner)), NULL, e);
}

enum err_code postgres_lock_release(struct tracker *t, const char *owner, struct err *e)
{
    struct release r = {.owner = owner};
    return postgres_transaction(postgres_of(t), &(struct postgres_work){.run = release, .user = &r},
                                e);
}
