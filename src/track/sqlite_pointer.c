/* sqlite_pointer: files.r2_key and files.checksum, written only where they are what they are believed to be (P3). What stood there
 * before is kept beside the record, type and all, by SQL itself: no value passes through our hands.
 */
#include "track/sqlite.h"

#include "blobferry/codec/timefmt.h"

/* What the guards need to know of a record and its files row. */
struct look {
    bool there;       /* the files row */
    bool is_target;   /* files.r2_key is the move's target_key */
    bool is_expected; /* … is what was seen at claim (NULL and '' alike) */
    bool is_prior;    /* … is what it was before us (NULL and '' alike) */
    bool prior_is_target;
    bool set;     /* we have written it */
    bool claimed; /* we have worked on this record at all */
};

static enum err_code look(struct sqlite *s, const struct tracker_move *m, struct look *l,
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
        *l = (struct look){
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

static enum sqlite_pointer_act decide_set(const struct look *l)
{
    /* Written before by this same migration: what was there before that is what counts. */
    if (l->set && l->is_target)
        return SQLITE_POINTER_SET_AGAIN;
    return l->is_expected ? SQLITE_POINTER_SET : SQLITE_POINTER_REFUSED;
}

static enum sqlite_pointer_act decide_restore(const struct tracker_move *m, const struct look *l)
{
    if (l->set && l->is_target) /* P3: not even the prior value may point at what is about to go */
        return m->delete_owed && l->prior_is_target ? SQLITE_POINTER_EMPTY : SQLITE_POINTER_RESTORE;
    if (l->set) /* put back already, by whomever; anything else is the application's */
        return l->is_prior ? SQLITE_POINTER_FORGET : SQLITE_POINTER_REFUSED;
    if (!l->is_target)
        return SQLITE_POINTER_NONE; /* never ours, and it does not point at the object */
    if (l->claimed) /* the application's own pointer at that key: its object must stay */
        return m->delete_owed ? SQLITE_POINTER_REFUSED : SQLITE_POINTER_NONE;
    return SQLITE_POINTER_CLEAR;
}

enum err_code sqlite_pointer_decide(struct sqlite *s, const struct tracker_move *m,
                                    enum sqlite_pointer_act *act, struct err *e)
{
    struct look l = {0};

    *act = SQLITE_POINTER_NONE;
    if (m->pointer == TRACKER_POINTER_KEEP || m->file_id == NULL)
        return ERR_OK;
    enum err_code code = look(s, m, &l, e);
    if (code == ERR_OK && l.there) /* else an orphan: there is no row to point from */
        *act = m->pointer == TRACKER_POINTER_SET ? decide_set(&l) : decide_restore(m, &l);
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

static const char *files_sql(enum sqlite_pointer_act act, bool dated)
{
    switch (act) {
    case SQLITE_POINTER_SET:
    case SQLITE_POINTER_SET_AGAIN:
        return dated ? SET_SQL(DATED) : SET_SQL("");
    case SQLITE_POINTER_RESTORE:
        return dated ? RESTORE_SQL("prior_r2_key", DATED) : RESTORE_SQL("prior_r2_key", "");
    case SQLITE_POINTER_EMPTY:
        return dated ? RESTORE_SQL("NULL", DATED) : RESTORE_SQL("NULL", "");
    case SQLITE_POINTER_CLEAR:
        return dated ? CLEAR_SQL(DATED) : CLEAR_SQL("");
    default:
        return NULL;
    }
}

/* How many values the statement for this act takes. */
static size_t files_args(enum sqlite_pointer_act act, bool dated)
{
    if (dated)
        return 5;
    return act == SQLITE_POINTER_SET || act == SQLITE_POINTER_SET_AGAIN ? 4 : 2;
}

enum err_code sqlite_pointer_write(struct sqlite *s, const struct tracker_move *m,
                                   enum sqlite_pointer_act act, struct err *e)
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
    if (code == ERR_OK && act != SQLITE_POINTER_SET && act != SQLITE_POINTER_SET_AGAIN)
        code = forget_prior(s, m, e);
    return code;
}
