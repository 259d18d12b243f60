/* sqlite_plan: batches and their rows, in one transaction: all of it or nothing. */
#include "track/sqlite.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 1024

struct plan {
    struct sqlite *s;
    char now[TIMEFMT_SIZE];
    char *batch;  /* of the row before; owned */
    bool made;    /* its row is there, made by this plan */
    int64_t rows; /* of it, not yet in total_files */
    char refused[BATCH_MAX + 64];
    char counted[24]; /* the id that the database gave */
};

/* Rows come batch by batch, but nothing forbids that one comes back: those made here are remembered on the side. */
static enum err_code remember_none(struct sqlite *s, struct err *e)
{
    if (sqlite3_exec(s->db,
                     "CREATE TEMP TABLE IF NOT EXISTS blobferry_planned (batch_id TEXT PRIMARY KEY)"
                     " WITHOUT ROWID; DELETE FROM temp.blobferry_planned",
                     NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "plan");
    return ERR_OK;
}

static enum err_code flush_total(struct plan *p, struct err *e)
{
    const int64_t rows = p->rows;

    p->rows = 0;
    if (rows == 0)
        return ERR_OK;
    return sqlite_statement_run(
        p->s, "UPDATE migration_batches SET total_files = total_files + ?2 WHERE batch_id = ?1",
        SQLITE_ARGS(SQLITE_T(p->batch), SQLITE_I(rows)), NULL, e);
}

/* The row's batch becomes the current one. It must be new, or of this plan. */
static enum err_code enter_batch(struct plan *p, const char *batch_id, struct err *e)
{
    int64_t ours = 0, exists = 0;

    if (p->batch != NULL && strcmp(p->batch, batch_id) == 0)
        return ERR_OK;
    enum err_code code = flush_total(p, e);
    if (code == ERR_OK)
        code = sqlite_statement_number(
            p->s, "SELECT EXISTS (SELECT 1 FROM temp.blobferry_planned WHERE batch_id = ?1)",
            SQLITE_ARGS(SQLITE_T(batch_id)), &ours, e);
    if (code == ERR_OK && ours == 0)
        code = sqlite_statement_number(
            p->s, "SELECT EXISTS (SELECT 1 FROM migration_batches WHERE batch_id = ?1)",
            SQLITE_ARGS(SQLITE_T(batch_id)), &exists, e);
    if (code != ERR_OK)
        return code;
    if (exists != 0) {
        err_set(e, ERR_CONFLICT, "batch '%s' exists already", batch_id);
        return err_hint(e, "choose another --batch-id (see: blobferry status)");
    }
    free(p->batch);
    p->batch = str_dup(batch_id);
    p->made = ours != 0;
    return p->batch != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code make_batch(struct plan *p, struct err *e)
{
    char id[CLOCK_UUID_SIZE];

    if (p->made)
        return ERR_OK;
    clock_uuid(id);
    enum err_code code = sqlite_statement_run(
        p->s,
        "INSERT INTO migration_batches (id, batch_id, total_files, completed_files, failed_files,"
        " verified_files, status, created_at) VALUES (?1, ?2, 0, 0, 0, 0, 'pending', ?3)",
        SQLITE_ARGS(SQLITE_T(p->s->info.counted_batch_id ? NULL : id), SQLITE_T(p->batch),
                    SQLITE_T(p->now)),
        NULL, e);
    if (code == ERR_OK)
        code =
            sqlite_statement_run(p->s, "INSERT INTO temp.blobferry_planned (batch_id) VALUES (?1)",
                                 SQLITE_ARGS(SQLITE_T(p->batch)), NULL, e);
    p->made = code == ERR_OK;
    return code;
}

/* A row of the application for a file that it does not know yet. Nothing is invented: without a user, none is made. */
static enum err_code make_file_row(struct plan *p, const struct tracker_plan_row *r, struct err *e)
{
    const struct sqlite_info *info = &p->s->info;
    const char *sql =
        info->files_created_at && info->files_updated_at
            ? "INSERT INTO files (id, filename, user_id, created_at, updated_at)"
              " SELECT ?1, ?2, ?3, ?4, ?4 WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = ?1)"
        : info->files_created_at
            ? "INSERT INTO files (id, filename, user_id, created_at)"
              " SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = ?1)"
        : info->files_updated_at
            ? "INSERT INTO files (id, filename, user_id, updated_at)"
              " SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = ?1)"
            : "INSERT INTO files (id, filename, user_id)"
              " SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM files WHERE id = ?1)";
    const struct sqlite_arg args[] = {SQLITE_T(r->file_id), SQLITE_T(r->filename),
                                      SQLITE_T(r->user_id), SQLITE_T(p->now)};
    const bool dated = info->files_created_at || info->files_updated_at;

    if (!r->make_file_row || r->file_id == NULL || r->user_id == NULL || r->filename == NULL)
        return ERR_OK;
    return sqlite_statement_run(p->s, sql, args, dated ? 4 : 3, NULL, e);
}

static enum err_code insert(struct plan *p, struct tracker_plan_row *r, struct err *e)
{
    const bool counted = p->s->info.counted_id;
    struct sqlite_arg size = SQLITE_T(NULL);

    if (r->size >= 0)
        size = (struct sqlite_arg)SQLITE_I(r->size);
    enum err_code code = make_batch(p, e);
    if (code == ERR_OK)
        code = sqlite_statement_run(
            p->s,
            "INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key,"
            " original_checksum, file_size, status, created_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8)",
            SQLITE_ARGS(SQLITE_T(counted ? NULL : r->id), SQLITE_T(r->batch_id),
                        SQLITE_T(r->file_id), SQLITE_T(r->source_path), SQLITE_T(r->target_key),
                        SQLITE_T(r->checksum), size, SQLITE_T(p->now)),
            NULL, e);
    if (code == ERR_OK && counted) {
        snprintf(p->counted, sizeof p->counted, "%lld",
                 (long long)sqlite3_last_insert_rowid(p->s->db));
        r->id = p->counted;
    }
    if (code == ERR_OK)
        code = sqlite_statement_run(
            p->s,
            "INSERT INTO blobferry_records (record_id, key_digest, content_type)"
            " VALUES (?1, ?2, ?3)",
            SQLITE_ARGS(SQLITE_T(r->id), SQLITE_T(r->key_digest), SQLITE_T(r->content_type)), NULL,
            e);
    if (code == ERR_OK)
        code = make_file_row(p, r, e);
    p->rows += code == ERR_OK;
    return code;
}

static enum err_code plan_row(struct plan *p, struct tracker_plan_row *r, struct err *e)
{
    char holder[BATCH_MAX];
    bool held = false;

    r->refused = NULL;
    if (r->id == NULL || r->batch_id == NULL || r->key_digest == NULL)
        return err_set(e, ERR_GENERAL, "a planned row lacks its id, batch or key digest");
    enum err_code code = enter_batch(p, r->batch_id, e);
    if (code == ERR_OK)
        code = sqlite_keys_lookup(p->s, r->key_digest, holder, sizeof holder, &held, e);
    if (code != ERR_OK)
        return code;
    if (held) {
        snprintf(p->refused, sizeof p->refused, "target key is planned already in batch '%s'",
                 holder);
        r->refused = p->refused;
        return ERR_OK;
    }
    code = insert(p, r, e);
    return code == ERR_OK
               ? code
               : err_wrap(e, "cannot plan '%s'", r->source_path != NULL ? r->source_path : r->id);
}

static enum err_code plan_all(struct plan *p, tracker_plan_next_fn *next,
                              tracker_plan_done_fn *done, void *user, struct err *e)
{
    bool more = true;

    for (;;) {
        struct tracker_plan_row row = {.size = -1};
        enum err_code code = next(user, &row, &more, e);
        if (code != ERR_OK || !more)
            return code == ERR_OK ? flush_total(p, e) : code;
        code = plan_row(p, &row, e);
        if (code != ERR_OK)
            return code;
        if (done != NULL)
            done(user, &row);
    }
}

enum err_code sqlite_plan(struct tracker *t, tracker_plan_next_fn *next, tracker_plan_done_fn *done,
                          void *user, const struct tracker_head *head, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct plan p = {.s = s};

    timefmt_db(clock_wall_ms(), p.now);
    enum err_code code = sqlite_schema_need(s, e);
    if (code == ERR_OK)
        code = sqlite_keys_gather(s, e);
    if (code == ERR_OK)
        code = remember_none(s, e);
    /* Digests fall anywhere into their index: without room for it every row would be a write to the disk. The stage of a
     * plan has 16 MiB besides, and 48 MiB are all there is (P10). */
    if (code == ERR_OK)
        sqlite3_exec(s->db, "PRAGMA cache_size = -12288", NULL, NULL, NULL);
    if (code == ERR_OK)
        code = sqlite_statement_begin(s, e);
    if (code == ERR_OK) {
        code = plan_all(&p, next, done, user, e);
        if (code == ERR_OK)
            code = sqlite_run_put_head(s, head, e);
        code = sqlite_statement_end(s, code, e);
    }
    free(p.batch);
    return code;
}
