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

/* One row of files must have changed: a trigger of the application may have prevented it. */
static enum err_code update(struct sqlite *s, const char *with, const char *without,
                            const struct sqlite_arg *args, size_t n, bool *ok, struct err *e)
{
    int64_t changes = 0;
    enum err_code code =
        sqlite_statement_run(s, s->info.files_updated_at ? with : without, args, n, &changes, e);
    *ok = code == ERR_OK && changes == 1;
    return code;
}

#define SET_SQL(updated)                                                                           \
    "UPDATE files SET r2_key = ?2, checksum = coalesce(?3, checksum)" updated " WHERE id = ?1"

static enum err_code set(struct sqlite *s, const struct tracker_move *m, const struct look *l,
                         const char *now, bool *ok, struct err *e)
{
    /* Written before by this same migration: what was there before that is what counts. */
    const bool keep_prior = l->set && l->is_target;
    enum err_code code = ERR_OK;

    *ok = l->is_expected || keep_prior;
    if (!*ok)
        return ERR_OK;
    if (!keep_prior)
        code = sqlite_statement_run(
            s,
            "INSERT INTO blobferry_records (record_id, pointer_set, prior_r2_key, prior_checksum)"
            " SELECT ?1, 1, r2_key, checksum FROM files WHERE id = ?2"
            " ON CONFLICT (record_id) DO UPDATE SET pointer_set = 1,"
            " prior_r2_key = excluded.prior_r2_key, prior_checksum = excluded.prior_checksum",
            SQLITE_ARGS(SQLITE_T(m->id), SQLITE_T(m->file_id)), NULL, e);
    if (code != ERR_OK)
        return code;
    const struct sqlite_arg args[] = {SQLITE_T(m->file_id), SQLITE_T(m->target_key),
                                      SQLITE_T(m->migrated_checksum), SQLITE_T(now)};
    return update(s, SET_SQL(", updated_at = ?4"), SET_SQL(""), args,
                  s->info.files_updated_at ? 4 : 3, ok, e);
}

/* ?3: even the prior value may not stay, for it is the key whose object is about to go (P3). */
#define RESTORE_SQL(updated)                                                                       \
    "UPDATE files SET (r2_key, checksum) = (SELECT iif(?3, NULL, prior_r2_key), prior_checksum"    \
    " FROM blobferry_records WHERE record_id = ?1)" updated " WHERE id = ?2"

/* Another tool has set it, and nothing is known of what was there before: the checksum goes if it was that tool's. */
#define CLEAR_SQL(updated)                                                                         \
    "UPDATE files SET r2_key = NULL, checksum = CASE WHEN checksum IS (SELECT migrated_checksum"   \
    " FROM file_migrations WHERE id = ?1) THEN NULL ELSE checksum END" updated " WHERE id = ?2"

static enum err_code restore(struct sqlite *s, const struct tracker_move *m, const struct look *l,
                             const char *now, bool *ok, struct err *e)
{
    const bool dated = s->info.files_updated_at;
    const struct sqlite_arg args[] = {SQLITE_T(m->id), SQLITE_T(m->file_id),
                                      SQLITE_I(m->delete_owed && l->prior_is_target),
                                      SQLITE_T(now)};
    const struct sqlite_arg clear[] = {SQLITE_T(m->id), SQLITE_T(m->file_id), SQLITE_T(now)};
    enum err_code code;

    *ok = true;
    if (l->set && !l->is_target) {
        *ok = l->is_prior; /* put back already, by whomever; anything else is the application's */
        code = ERR_OK;
    } else if (l->set) {
        code = update(s, RESTORE_SQL(", updated_at = ?4"), RESTORE_SQL(""), args, dated ? 4 : 3, ok,
                      e);
    } else if (!l->is_target) {
        code = ERR_OK; /* never ours, and it does not point at the object */
    } else if (l->claimed) {
        *ok = !m->delete_owed; /* the application's own pointer at that key: its object must stay */
        code = ERR_OK;
    } else {
        code =
            update(s, CLEAR_SQL(", updated_at = ?3"), CLEAR_SQL(""), clear, dated ? 3 : 2, ok, e);
    }
    if (code != ERR_OK || !*ok)
        return code;
    return sqlite_statement_run(s,
                                "UPDATE blobferry_records SET pointer_set = 0, prior_r2_key = NULL,"
                                " prior_checksum = NULL WHERE record_id = ?1",
                                SQLITE_ARGS(SQLITE_T(m->id)), NULL, e);
}

enum err_code sqlite_pointer_move(struct sqlite *s, const struct tracker_move *m, bool *ok,
                                  struct err *e)
{
    struct look l = {0};
    char now[TIMEFMT_SIZE];

    *ok = true;
    if (m->pointer == TRACKER_POINTER_KEEP || m->file_id == NULL)
        return ERR_OK;
    enum err_code code = look(s, m, &l, e);
    if (code != ERR_OK || !l.there)
        return code; /* an orphan: there is no row to point from */
    timefmt_db(m->now_ms, now);
    return m->pointer == TRACKER_POINTER_SET ? set(s, m, &l, now, ok, e)
                                             : restore(s, m, &l, now, ok, e);
}
