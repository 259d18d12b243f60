/* sqlite_pointer: files.r2_key and files.checksum, written only where they are what they are believed to be (P3). What stood there
 * before is kept beside the record, type and all, by SQL itself: no value passes through our hands.
 */
#include "track/sqlite.h"

#include "blobferry/codec/timefmt.h"

static enum err_code look(struct sqlite *s, const struct tracker_move *m, struct pointer_look *l,
                          struct err *e)
{
    bool row = false;
    sqlite3_stmt *q = sqlite_statement_query(
        s,
        "SELECT f.r2_key IS ?3 COLLATE BINARY, coalesce(f.r2_key, '') = coalesce(?4, ''),"
        " coalesce(f.r2_key, '') = coalesce(r.prior_r2_key, ''), r.prior_r2_key IS ?3,"
        " coalesce(r.pointer_set, 0), coalesce(r.attempts, 0) > 0"
        " FROM files AS f LEFT JOIN blobferry_records AS r ON r.record_id = ?1 WHERE f.id = ?2",
        SQLITE_ARGS(SQLITE_T(m->id), SQLITE_T(m->file_id), SQLITE_T(m->target_key),
                    SQLITE_T(m->expected_r2_key)),
        e);

    if (q == NULL)
        return sqlite_code(e);
    enum err_code code = sqlite_statement_next(s, q, &row, e);
    if (row) {
        *l = (struct pointer_look){
            .there = true,
            .is_target = sqlite3_column_int(q, 0) != 0,
            .is_expected = sqlite3_column_int(q, 1) != 0,
            .is_prior = sqlite3_column_int(q, 2) != 0,
            .prior_is_target = sqlite3_column_int(q, 3) != 0,
            .set = sqlite3_column_int(q, 4) != 0,
            .claimed = sqlite3_column_int(q, 5) != 0,
        };
    }
    sqlite_statement_done(q);
    return code;
}

enum err_code sqlite_pointer_decide(struct sqlite *s, const struct tracker_move *m,
                                    enum pointer_act *act, struct err *e)
{
    struct pointer_look l = {0};

    *act = POINTER_NONE;
    if (m->pointer == TRACKER_POINTER_KEEP || m->file_id == NULL)
        return ERR_OK;
    enum err_code code = look(s, m, &l, e);
    if (code == ERR_OK)
        *act = pointer_decide(m, &l);
    return code;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static enum err_code forget_prior(struct sqlite *s, const struct tracker_move *m, struct err *e)
{
    return sqlite_statement_run(s,
                                "UPDATE blobferry_records SET pointer_set = 0, prior_r2_key = NULL,"
                                " prior_checksum = NULL WHERE record_id = ?1",
                                SQLITE_ARGS(SQLITE_T(m->id)), NULL, e);
}

/* ?1 record, ?2 file, ?3 target key, ?4 checksum, ?5 now; each act uses what it needs. */
#define SET_SQL(updated)                                                                           \
    "UPDATE files SET r2_key = ?3, checksum = coalesce(?4, checksum)" updated " WHERE id = ?2"
#define RESTORE_SQL(value, updated)                                                                \
    "UPDATE files SET (r2_key, checksum) = (SELECT " value ", prior_checksum"                      \
    " FROM blobferry_records WHERE record_id = ?1)" updated " WHERE id = ?2"
/* Another tool has set it, and nothing is known of what was there before: the checksum goes if it was that tool's. */
#define CLEAR_SQL(updated)                                                                         \
    "UPDATE files SET r2_key = NULL, checksum = CASE WHEN checksum IS (SELECT migrated_checksum"   \
    " FROM file_migrations WHERE id = ?1) THEN NULL ELSE checksum END" updated " WHERE id = ?2"
#define DATED ", updated_at = ?5"

static const char *files_sql(enum pointer_act act, bool dated)
{
    switch (act) {
    case POINTER_SET:
    case POINTER_SET_AGAIN:
        return dated ? SET_SQL(DATED) : SET_SQL("");
    case POINTER_RESTORE:
        return dated ? RESTORE_SQL("prior_r2_key", DATED) : RESTORE_SQL("prior_r2_key", "");
    case POINTER_EMPTY:
        return dated ? RESTORE_SQL("NULL", DATED) : RESTORE_SQL("NULL", "");
    case POINTER_CLEAR:
        return dated ? CLEAR_SQL(DATED) : CLEAR_SQL("");
    default:
        return NULL;
    }
}

/* How many values the statement for this act takes. */
static size_t files_args(enum pointer_act act, bool dated)
{
    if (dated)
        return 5;
    return act == POINTER_SET || act == POINTER_SET_AGAIN ? 4 : 2;
}

enum err_code sqlite_pointer_write(struct sqlite *s, const struct tracker_move *m,
                                   enum pointer_act act, struct err *e)
{
    const bool dated = s->info.files_updated_at;
    const char *sql = files_sql(act, dated);
    enum err_code code = ERR_OK;
    int64_t changes = 1;
    char now[TIMEFMT_SIZE];

    timefmt_db(m->now_ms, now);
    const struct sqlite_arg args[] = {SQLITE_T(m->id), SQLITE_T(m->file_id),
                                      SQLITE_T(m->target_key), SQLITE_T(m->migrated_checksum),
                                      SQLITE_T(now)};
    if (sql != NULL)
        code = sqlite_statement_run(s, sql, args, files_args(act, dated), &changes, e);
    if (code == ERR_OK && changes != 1) { /* P3, P6: a half-done move must not be committed */
        err_set(e, ERR_DB, "the row of files '%s' cannot be changed in '%s'", m->file_id, s->path);
        return err_hint(e, "a trigger on files ignores the change; nothing was written");
    }
    if (code == ERR_OK && act != POINTER_SET && act != POINTER_SET_AGAIN)
        code = forget_prior(s, m, e);
    return code;
}
