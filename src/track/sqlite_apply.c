/* sqlite_apply: state moves, each guarded by itself, all in one transaction with the audit head. */
#include "track/sqlite.h"

#include "blobferry/codec/timefmt.h"

#include <string.h>

/* What happens to completed_at. */
enum ending { ENDING_KEEP, ENDING_NOW, ENDING_CLEAR };

static enum ending ending_of(enum file_status to)
{
    if (to == FILE_COMPLETED || to == FILE_FAILED)
        return ENDING_NOW;
    return to == FILE_PENDING ? ENDING_CLEAR : ENDING_KEEP;
}

/* The moves after which what the move says of the object is stored. */
static bool tells_object(const struct tracker_move *m)
{
    return m->to == FILE_COMPLETED || m->to == FILE_VERIFIED || m->to == FILE_FAILED;
}

/* The compare-and-set that decides. */
static enum err_code move_row(struct sqlite *s, const struct tracker_move *m, bool *moved,
                              struct err *e)
{
    static const char sql[] =
        "UPDATE file_migrations SET status = ?3, error_message = ?4,"
        " migrated_checksum = coalesce(?5, migrated_checksum),"
        " file_size = coalesce(file_size, ?6),"
        " completed_at = CASE ?7 WHEN 1 THEN ?8 WHEN 2 THEN NULL ELSE completed_at END"
        " WHERE id = ?1 AND status = ?2 COLLATE BINARY AND (?9 IS NULL OR batch_id IS ?9)"
        " AND (?10 IS NULL OR EXISTS (SELECT 1 FROM blobferry_records WHERE record_id = ?1"
        "  AND lease_owner = ?10))";
    const bool tells = tells_object(m);
    char now[TIMEFMT_SIZE];
    int64_t changes = 0;
    struct sqlite_arg size = SQLITE_T(NULL);

    if (tells && m->size >= 0)
        size = (struct sqlite_arg)SQLITE_I(m->size);
    timefmt_db(m->now_ms, now);
    enum err_code code = sqlite_statement_run(
        s, sql,
        SQLITE_ARGS(SQLITE_T(m->id), SQLITE_T(state_file_name(m->from)),
                    SQLITE_T(state_file_name(m->to)), SQLITE_T(m->error_message),
                    SQLITE_T(tells ? m->migrated_checksum : NULL), size, SQLITE_I(ending_of(m->to)),
                    SQLITE_T(now), SQLITE_T(m->batch_id),
                    SQLITE_T(m->from == FILE_PROCESSING ? m->owner : NULL)),
        &changes, e);
    *moved = code == ERR_OK && changes == 1;
    return code;
}

/* A number, or NULL when there is none to store. */
static struct sqlite_arg number(bool there, uint64_t n)
{
    struct sqlite_arg arg = SQLITE_T(NULL);

    if (there)
        arg = (struct sqlite_arg)SQLITE_I((int64_t)n);
    return arg;
}

/* Leaving processing ends lease and upload; the rest replaces what is stored only where the move says something. With
 * keep_prior, what files holds now is kept by SQL itself, type and all, before the pointer is set. */
static enum err_code upsert_own(struct sqlite *s, const struct tracker_move *m, bool keep_prior,
                                struct err *e)
{
    static const char sql[] =
        "INSERT INTO blobferry_records (record_id, error_class, etag, version_id, object_owner,"
        " pre_existed, delete_owed, source_device, source_inode, source_size, source_mtime_ns,"
        " source_ctime_ns, pointer_set, prior_r2_key, prior_checksum)"
        " VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, 0), coalesce(?7, 0), ?8, ?9, ?10, ?11, ?12,"
        " ?14, (SELECT r2_key FROM files WHERE id = ?15), (SELECT checksum FROM files"
        " WHERE id = ?15))"
        " ON CONFLICT (record_id) DO UPDATE SET error_class = ?2, etag = coalesce(?3, etag),"
        " version_id = coalesce(?4, version_id), object_owner = coalesce(?5, object_owner),"
        " pre_existed = coalesce(?6, pre_existed), delete_owed = coalesce(?7, delete_owed),"
        " source_device = coalesce(?8, source_device),"
        " source_inode = coalesce(?9, source_inode), source_size = coalesce(?10, source_size),"
        " source_mtime_ns = coalesce(?11, source_mtime_ns),"
        " source_ctime_ns = coalesce(?12, source_ctime_ns),"
        " lease_owner = NULL, lease_until = 0,"
        " upload_id = CASE WHEN ?13 THEN NULL ELSE upload_id END,"
        " part_size = CASE WHEN ?13 THEN 0 ELSE part_size END,"
        " pointer_set = CASE WHEN ?14 THEN 1 ELSE pointer_set END,"
        " prior_r2_key = CASE WHEN ?14 THEN excluded.prior_r2_key ELSE prior_r2_key END,"
        " prior_checksum = CASE WHEN ?14 THEN excluded.prior_checksum ELSE prior_checksum END";
    static const struct source_identity none;
    const bool tells = tells_object(m), known = tells && m->source != NULL;
    const struct source_identity *src = known ? m->source : &none;

    return sqlite_statement_run(
        s, sql,
        SQLITE_ARGS(SQLITE_T(m->id), SQLITE_T(m->error_class), SQLITE_T(tells ? m->etag : NULL),
                    SQLITE_T(tells ? m->version_id : NULL),
                    SQLITE_T(tells ? m->object_owner : NULL),
                    number(m->to == FILE_COMPLETED, m->pre_existed),
                    number(m->to == FILE_ROLLED_BACK, m->delete_owed), number(known, src->device),
                    number(known, src->inode), number(known, (uint64_t)src->size),
                    number(known, (uint64_t)src->mtime_ns), number(known, (uint64_t)src->ctime_ns),
                    SQLITE_I(m->from == FILE_PROCESSING), SQLITE_I(keep_prior),
                    SQLITE_T(keep_prior ? m->file_id : NULL)),
        NULL, e);
}

/* What upsert_own does where a row of ours is there already, as it is after every claim, and the move leaves processing: a plain
 * UPDATE checks no constraint and opens no index whose columns stay. */
#define LANDED_SQL(prior)                                                                          \
    "UPDATE blobferry_records SET error_class = ?2, etag = coalesce(?3, etag),"                    \
    " version_id = coalesce(?4, version_id), object_owner = coalesce(?5, object_owner),"           \
    " pre_existed = coalesce(?6, pre_existed), source_device = coalesce(?7, source_device),"       \
    " source_inode = coalesce(?8, source_inode), source_size = coalesce(?9, source_size),"         \
    " source_mtime_ns = coalesce(?10, source_mtime_ns),"                                           \
    " source_ctime_ns = coalesce(?11, source_ctime_ns), lease_owner = NULL, lease_until = 0,"      \
    " upload_id = NULL, part_size = 0" prior " WHERE record_id = ?1"

static enum err_code update_own(struct sqlite *s, const struct tracker_move *m, bool keep_prior,
                                bool *there, struct err *e)
{
    static const char landed[] = LANDED_SQL("");
    static const char landed_prior[] =
        LANDED_SQL(", pointer_set = 1, (prior_r2_key, prior_checksum) ="
                   " (SELECT r2_key, checksum FROM files WHERE id = ?12)");
    static const struct source_identity none;
    const bool tells = tells_object(m), known = tells && m->source != NULL;
    const struct source_identity *src = known ? m->source : &none;
    const struct sqlite_arg args[] = {
        SQLITE_T(m->id),
        SQLITE_T(m->error_class),
        SQLITE_T(tells ? m->etag : NULL),
        SQLITE_T(tells ? m->version_id : NULL),
        SQLITE_T(tells ? m->object_owner : NULL),
        number(m->to == FILE_COMPLETED, m->pre_existed),
        number(known, src->device),
        number(known, src->inode),
        number(known, (uint64_t)src->size),
        number(known, (uint64_t)src->mtime_ns),
        number(known, (uint64_t)src->ctime_ns),
        SQLITE_T(m->file_id),
    };
    const size_t n = sizeof args / sizeof *args;
    int64_t changes = 0;

    enum err_code code = sqlite_statement_run(s, keep_prior ? landed_prior : landed, args,
                                              keep_prior ? n : n - 1, &changes, e);
    *there = changes > 0;
    return code;
}

static enum err_code store_own(struct sqlite *s, const struct tracker_move *m, bool keep_prior,
                               struct err *e)
{
    bool there = false;
    enum err_code code = ERR_OK;

    if (m->from == FILE_PROCESSING && m->to != FILE_ROLLED_BACK)
        code = update_own(s, m, keep_prior, &there, e);
    if (code == ERR_OK && !there)
        code = upsert_own(s, m, keep_prior, e);
    if (code != ERR_OK || m->from != FILE_ROLLED_BACK)
        return code;
    /* To be migrated anew: nothing of the object that was taken back may be believed of the next one. */
    return sqlite_statement_run(s,
                                "UPDATE blobferry_records SET etag = NULL, version_id = NULL,"
                                " object_owner = NULL, pre_existed = 0, pointer_set = 0,"
                                " prior_r2_key = NULL, prior_checksum = NULL WHERE record_id = ?1",
                                SQLITE_ARGS(SQLITE_T(m->id)), NULL, e);
}

/* A refused pointer refuses the move, unless the row itself is lost. */
static enum err_code refuse(struct sqlite *s, struct tracker_move *m, struct err *e)
{
    int64_t there = 0;
    enum err_code code = sqlite_statement_number(
        s,
        "SELECT EXISTS (SELECT 1 FROM file_migrations WHERE id = ?1 AND status = ?2 COLLATE BINARY"
        " AND (?3 IS NULL OR EXISTS (SELECT 1 FROM blobferry_records WHERE record_id = ?1"
        "  AND lease_owner = ?3)))",
        SQLITE_ARGS(SQLITE_T(m->id), SQLITE_T(state_file_name(m->from)),
                    SQLITE_T(m->from == FILE_PROCESSING ? m->owner : NULL)),
        &there, e);

    m->applied = there != 0 ? TRACKER_POINTER_CHANGED : TRACKER_LOST;
    return code;
}

/* First all guards are read, then the row is moved by compare-and-set, then what follows from it is written: in a write transaction
 * nothing that was seen can change, so a refused move has written nothing and no savepoint (which would copy every page) is needed. */
static enum err_code move_one(struct sqlite *s, struct tracker_move *m, struct err *e)
{
    enum pointer_act act = POINTER_NONE;
    bool moved = false;
    enum err_code code = sqlite_pointer_decide(s, m, &act, e);

    m->applied = TRACKER_LOST;
    if (code == ERR_OK && act == POINTER_REFUSED)
        return refuse(s, m, e);
    if (code == ERR_OK)
        code = move_row(s, m, &moved, e);
    if (code != ERR_OK || !moved)
        return code;
    code = store_own(s, m, act == POINTER_SET, e);
    if (code == ERR_OK && act != POINTER_NONE)
        code = sqlite_pointer_write(s, m, act, e);
    m->applied = TRACKER_APPLIED;
    return code;
}

static enum err_code apply(struct sqlite *s, struct tracker_move *moves, size_t n,
                           const struct tracker_head *head, struct sqlite_batch_changes *changes,
                           struct err *e)
{
    enum err_code code = ERR_OK;
    int64_t now_ms = 0;

    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        struct tracker_move *m = &moves[i];
        code = move_one(s, m, e);
        if (code != ERR_OK)
            err_wrap(e, "row '%s'", m->id);
        else if (m->applied == TRACKER_APPLIED)
            code = sqlite_batch_note(changes, m->batch_id, m->from, m->to, e);
        now_ms = m->now_ms > now_ms ? m->now_ms : now_ms;
    }
    if (code == ERR_OK)
        code = sqlite_batch_settle(s, changes, NULL, now_ms, e);
    return code == ERR_OK ? sqlite_run_put_head(s, head, e) : code;
}

enum err_code sqlite_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                           const struct tracker_head *head, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_batch_changes changes;

    if (n == 0 && head == NULL)
        return ERR_OK;
    sqlite_batch_init(&changes);
    enum err_code code = sqlite_statement_begin(s, e);
    if (code == ERR_OK)
        code = sqlite_statement_end(s, apply(s, moves, n, head, &changes, e), e);
    for (size_t i = 0; code != ERR_OK && i < n; i++)
        moves[i].applied = TRACKER_LOST; /* nothing was changed at all */
    sqlite_batch_release(&changes);
    return code;
}

enum err_code sqlite_apply_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                      const struct tracker_head *head, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_statement_begin(s, e);

    if (code != ERR_OK)
        return code;
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        code = sqlite_statement_run(s,
                                    "UPDATE blobferry_records SET delete_owed = 0"
                                    " WHERE record_id = ?1 AND delete_owed = 1",
                                    SQLITE_ARGS(SQLITE_T(ids[i])), NULL, e);
    if (code == ERR_OK)
        code = sqlite_run_put_head(s, head, e);
    return sqlite_statement_end(s, code, e);
}
