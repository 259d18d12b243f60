/* sqlite_lock: a batch is migrated by many at once, or rolled back by one. */
#include "track/lock.h"
#include "track/sqlite.h"

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"

/* The first lock of somebody else that stands in the way of this one. */
static enum err_code find_holder(struct sqlite *s, const struct tracker_lock *l,
                                 const char *batch_id, char *holder, size_t size, char *mode,
                                 size_t mode_size, struct err *e)
{
    bool row = false;
    sqlite3_stmt *q = sqlite_statement_query(
        s,
        "SELECT owner, mode FROM blobferry_locks WHERE (batch_id = ?1 OR batch_id = '*'"
        " OR ?1 = '*') AND owner <> ?2 AND lease_until > ?3 AND (mode = 'rollback' OR ?4)"
        " ORDER BY lease_until DESC LIMIT 1",
        SQLITE_ARGS(SQLITE_T(batch_id), SQLITE_T(l->owner), SQLITE_I(l->now_ms),
                    SQLITE_I(l->mode == TRACKER_LOCK_ROLLBACK)),
        e);

    holder[0] = '\0';
    if (q == NULL)
        return sqlite_code(e);
    enum err_code code = sqlite_statement_next(s, q, &row, e);
    if (row) {
        const char *owner = (const char *)sqlite3_column_text(q, 0);
        const char *what = (const char *)sqlite3_column_text(q, 1);
        str_copy(holder, size, owner != NULL ? owner : "?");
        str_copy(mode, mode_size, what != NULL ? what : "?");
    }
    sqlite_statement_done(q);
    return code;
}

/* Takes over the locks of the dead, one after the other, until none or a living one is in the way. */
static enum err_code make_way(struct sqlite *s, const struct tracker_lock *l, const char *batch_id,
                              struct err *e)
{
    char holder[LOCK_OWNER_MAX], mode[32];

    for (;;) {
        enum err_code code =
            find_holder(s, l, batch_id, holder, sizeof holder, mode, sizeof mode, e);
        if (code != ERR_OK || holder[0] == '\0')
            return code;
        if (!process_owner_is_dead(holder))
            return lock_refuse(batch_id, holder, mode, e);
        code = sqlite_statement_run(s, "DELETE FROM blobferry_locks WHERE owner = ?1",
                                    SQLITE_ARGS(SQLITE_T(holder)), NULL, e);
        if (code != ERR_OK)
            return code;
    }
}

static enum err_code take(struct sqlite *s, const struct tracker_lock *l, struct err *e)
{
    enum err_code code = sqlite_statement_run(
        s, "DELETE FROM blobferry_locks WHERE lease_until <= ?1 AND owner <> ?2",
        SQLITE_ARGS(SQLITE_I(l->now_ms), SQLITE_T(l->owner)), NULL, e);

    for (size_t i = 0; code == ERR_OK && i < l->batch_count; i++) {
        code = make_way(s, l, l->batch_ids[i], e);
        if (code == ERR_OK)
            code = sqlite_statement_run(
                s,
                "INSERT INTO blobferry_locks (batch_id, owner, mode, lease_until)"
                " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (batch_id, owner)"
                " DO UPDATE SET mode = ?3, lease_until = ?4",
                SQLITE_ARGS(SQLITE_T(l->batch_ids[i]), SQLITE_T(l->owner),
                            SQLITE_T(lock_mode_name(l->mode)), SQLITE_I(l->now_ms + l->lease_ms)),
                NULL, e);
    }
    return code;
}

enum err_code sqlite_lock(struct tracker *t, const struct tracker_lock *l, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_statement_begin(s, e);

    /* One refusal takes all of it back: all of the batches or none. */
    return code == ERR_OK ? sqlite_statement_end(s, take(s, l, e), e) : code;
}

enum err_code sqlite_lock_release(struct tracker *t, const char *owner, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_statement_begin(s, e);

    if (code == ERR_OK)
        code = sqlite_statement_end(
            s,
            sqlite_statement_run(s, "DELETE FROM blobferry_locks WHERE owner = ?1",
                                 SQLITE_ARGS(SQLITE_T(owner)), NULL, e),
            e);
    return code;
}
