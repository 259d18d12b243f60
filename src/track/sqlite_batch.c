/* sqlite_batch: the counters and the status of the batches that one transaction touches. Counters move by what really moved;
 * the status follows from which statuses occur at all, which an index tells in a few steps whatever the size of the batch.
 */
#include "track/sqlite.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stdlib.h>
#include <string.h>

void sqlite_batch_init(struct sqlite_batch_changes *c)
{
    memset(c, 0, sizeof *c);
}

void sqlite_batch_release(struct sqlite_batch_changes *c)
{
    for (size_t i = 0; i < c->len; i++)
        free(c->items[i].batch_id);
    free(c->items);
    memset(c, 0, sizeof *c);
}

static struct sqlite_batch_change *change_of(struct sqlite_batch_changes *c, const char *batch_id)
{
    for (size_t i = c->len; i > 0; i--) { /* the last one is nearly always the one */
        if (strcmp(c->items[i - 1].batch_id, batch_id) == 0)
            return &c->items[i - 1];
    }
    if (c->len == c->cap) {
        const size_t cap = c->cap == 0 ? 8 : c->cap * 2;
        struct sqlite_batch_change *items = realloc(c->items, cap * sizeof *items);
        if (items == NULL)
            return NULL;
        c->items = items;
        c->cap = cap;
    }
    struct sqlite_batch_change *n = &c->items[c->len];
    *n = (struct sqlite_batch_change){.batch_id = str_dup(batch_id)};
    if (n->batch_id == NULL)
        return NULL;
    c->len++;
    return n;
}

/* What a status counts for: completed_files, verified_files, failed_files. */
static void count(struct sqlite_batch_change *n, enum file_status s, int64_t by)
{
    n->completed += s == FILE_COMPLETED || s == FILE_VERIFIED ? by : 0;
    n->verified += s == FILE_VERIFIED ? by : 0;
    n->failed += s == FILE_FAILED ? by : 0;
}

enum err_code sqlite_batch_note(struct sqlite_batch_changes *c, const char *batch_id,
                                enum file_status from, enum file_status to, struct err *e)
{
    if (batch_id == NULL)
        return ERR_OK; /* the row belongs to no batch that could count it */
    struct sqlite_batch_change *n = change_of(c, batch_id);
    if (n == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    count(n, from, -1);
    count(n, to, 1);
    return ERR_OK;
}

/* Does any row of the batch lie between two neighbours of the known statuses (or beyond them)? Then it is unknown. */
#define ANY(condition)                                                                             \
    "EXISTS (SELECT 1 FROM file_migrations WHERE batch_id = ?1 AND " condition ")"
#define BETWEEN(a, b) ANY("status > '" a "' AND status < '" b "'")

static const char presence[] =
    "SELECT " ANY("status = 'pending'") ", " ANY(
        "status = 'processing'") ", " ANY("status = "
                                          "'completed'") ", " ANY("status = 'verified'") ", " ANY("status = 'failed'") ", " ANY("status = 'rolled_back'") ", " ANY("status IS NULL") " OR " ANY("status < 'completed'") " OR " BETWEEN("completed", "failed") " OR " BETWEEN("failed", "pending") " OR " BETWEEN("pending",
                                                                                                                                                                                                                                                                                                                 "processing") " OR " BETWEEN("processin"
                                                                                                                                                                                                                                                                                                                                              "g",
                                                                                                                                                                                                                                                                                                                                              "rolled_"
                                                                                                                                                                                                                                                                                                                                              "back") " O"
                                                                                                                                                                                                                                                                                                                                                      "R"
                                                                                                                                                                                                                                                                                                                                                      " " BETWEEN(
                                                                                                                                                                                                                                                                                                                                                          "rolled_back",
                                                                                                                                                                                                                                                                                                                                                          "verified") " OR " ANY("status > 'verified'");

/* NULL when it is not cheap to say. state_batch_derive() only asks which statuses occur and whether they are all of the rows: one row
 * of each that occurs gives the same answer. */
static enum err_code derive(struct sqlite *s, const char *batch_id, const char **status,
                            struct err *e)
{
    struct state_counts counts = {0};
    bool row = false;

    if (!s->info.batch_index)
        return ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(s, presence, SQLITE_ARGS(SQLITE_T(batch_id)), e);
    if (q == NULL)
        return sqlite_code(e);
    enum err_code code = sqlite_statement_next(s, q, &row, e);
    for (int i = 0; row && i < FILE_STATUS_COUNT; i++)
        counts.by[i] = sqlite3_column_int(q, i);
    sqlite_statement_done(q);
    if (code == ERR_OK)
        *status = state_batch_name(state_batch_derive(&counts));
    return code;
}

enum err_code sqlite_batch_settle(struct sqlite *s, const struct sqlite_batch_changes *c,
                                  const char *fallback, int64_t now_ms, struct err *e)
{
    /* ?5 status, NULL: leave it; ?6 now; ?7 whether that status is an end. started_at is set by the first row that starts,
     * completed_at when the batch ends, and cleared when it is opened again. */
    static const char sql[] =
        "UPDATE migration_batches SET"
        " completed_files = max(coalesce(completed_files, 0) + ?2, 0),"
        " verified_files = max(coalesce(verified_files, 0) + ?3, 0),"
        " failed_files = max(coalesce(failed_files, 0) + ?4, 0),"
        " status = coalesce(?5, status),"
        " started_at = CASE WHEN ?5 IS NULL OR ?5 = 'pending' THEN started_at"
        "              ELSE coalesce(started_at, ?6) END,"
        " completed_at = CASE WHEN ?5 IS NULL THEN completed_at"
        "                WHEN ?7 THEN coalesce(completed_at, ?6) END"
        " WHERE batch_id = ?1 AND (?2 <> 0 OR ?3 <> 0 OR ?4 <> 0 OR ?5 IS NOT NULL AND"
        "  (status IS NOT ?5 OR (completed_at IS NULL) = ?7))";
    char now[TIMEFMT_SIZE];
    enum err_code code = ERR_OK;

    timefmt_db(now_ms, now);
    for (size_t i = 0; code == ERR_OK && i < c->len; i++) {
        const struct sqlite_batch_change *b = &c->items[i];
        const char *status = fallback;

        code = derive(s, b->batch_id, &status, e);
        if (code != ERR_OK)
            break;
        const bool ended =
            status != NULL && strcmp(status, "pending") != 0 && strcmp(status, "processing") != 0;
        code = sqlite_statement_run(s, sql,
                                    SQLITE_ARGS(SQLITE_T(b->batch_id), SQLITE_I(b->completed),
                                                SQLITE_I(b->verified), SQLITE_I(b->failed),
                                                SQLITE_T(status), SQLITE_T(now), SQLITE_I(ended)),
                                    NULL, e);
    }
    return code;
}
