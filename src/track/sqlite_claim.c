/* sqlite_claim: leasing rows: each candidate (sqlite_candidates.c) is moved by compare-and-set. */
#include "track/sqlite.h"

#include "blobferry/codec/timefmt.h"

/* Ours is nearly always there: a plain UPDATE checks no constraint and opens no index whose columns stay. */
static const char lease_sql[] =
    "UPDATE blobferry_records SET lease_owner = ?2, lease_until = ?3, attempts = attempts + 1"
    " WHERE record_id = ?1";
static const char lease_first_sql[] =
    "INSERT INTO blobferry_records (record_id, lease_owner, lease_until, attempts)"
    " VALUES (?1, ?2, ?3, 1) ON CONFLICT (record_id) DO UPDATE SET lease_owner = ?2,"
    " lease_until = ?3, attempts = attempts + 1";
/* A row that is migrated again begins anew: nothing of the object that was taken back may be believed of the next one. */
static const char lease_again_sql[] =
    "UPDATE blobferry_records SET lease_owner = ?2, lease_until = ?3, attempts = attempts + 1,"
    " etag = NULL, version_id = NULL, object_owner = NULL, pre_existed = 0, pointer_set = 0,"
    " prior_r2_key = NULL, prior_checksum = NULL, error_class = NULL WHERE record_id = ?1";

static enum err_code lease(struct sqlite *s, const struct tracker_claim *c, const char *id,
                           enum file_status from, struct err *e)
{
    const struct sqlite_arg args[] = {SQLITE_T(id), SQLITE_T(c->owner),
                                      SQLITE_I(c->now_ms + c->lease_ms)};
    const size_t n = sizeof args / sizeof *args;
    int64_t changes = 0;
    enum err_code code = sqlite_statement_run(
        s, from == FILE_ROLLED_BACK ? lease_again_sql : lease_sql, args, n, &changes, e);

    return code == ERR_OK && changes == 0
               ? sqlite_statement_run(s, lease_first_sql, args, n, NULL, e)
               : code;
}

static void patch(struct record *r, const struct sqlite_candidate *k, const char *owner,
                  int64_t until_ms, const char *now)
{
    r->taken_over = k->from == FILE_PROCESSING;
    r->status = FILE_PROCESSING;
    r->status_text = state_file_name(FILE_PROCESSING);
    r->attempts++;
    r->lease_owner = owner;
    r->lease_until_ms = until_ms;
    r->completed_at = NULL;
    if (r->started_at == NULL)
        r->started_at = now;
    if (k->from != FILE_ROLLED_BACK)
        return;
    r->etag = r->version_id = r->object_owner = r->prior_r2_key = r->prior_checksum = NULL;
    r->error_class = NULL;
    r->pre_existed = r->pointer_set = false;
}

/* Moves one row. *taken false: it cannot be written (a trigger, a value beyond all bounds) and stays as it is. */
static enum err_code take(struct sqlite *s, const struct tracker_claim *c,
                          const struct sqlite_candidate *k, const char *now, bool *taken,
                          struct err *e)
{
    int64_t changes = 0;
    enum err_code code = sqlite_statement_run(
        s,
        "UPDATE file_migrations SET status = 'processing', started_at = coalesce(started_at, ?3),"
        " completed_at = NULL WHERE id = ?1 AND status = ?2 COLLATE BINARY",
        SQLITE_ARGS(SQLITE_T(k->id), SQLITE_T(state_file_name(k->from)), SQLITE_T(now)), &changes,
        e);

    *taken = code == ERR_OK && changes == 1;
    if (code != ERR_OK && (sqlite3_errcode(s->db) & 0xff) == SQLITE_TOOBIG) {
        err_init(e);
        return ERR_OK;
    }
    if (!*taken)
        return code;
    return lease(s, c, k->id, k->from, e);
}

/* What every row that is taken gets; the texts live as long as the list. */
struct taking {
    const char *owner, *now;
    struct sqlite_batch_changes *changes;
};

static enum err_code take_record(struct sqlite *s, const struct tracker_claim *c,
                                 const struct sqlite_candidate *k, const struct taking *t,
                                 struct record *r, bool *taken, struct err *e)
{
    enum err_code code = take(s, c, k, t->now, taken, e);

    if (!*taken)
        return code;
    patch(r, k, t->owner, c->now_ms + c->lease_ms, t->now);
    return code == ERR_OK ? sqlite_batch_note(t->changes, r->batch_id, k->from, FILE_PROCESSING, e)
                          : code;
}

static enum err_code take_all(struct sqlite *s, const struct tracker_claim *c,
                              const struct sqlite_candidates *found, const struct taking *t,
                              struct record_list *out, struct err *e)
{
    enum err_code code = ERR_OK;
    bool full = false;

    for (size_t i = 0; code == ERR_OK && !full && i < found->len; i++) {
        bool there = false, taken = false;

        code = sqlite_read_one(s, found->items[i].id, out, &there, &full, e);
        if (code != ERR_OK || !there)
            continue;
        code = take_record(s, c, &found->items[i], t, &out->items[out->len - 1], &taken, e);
        out->len -= !taken;
    }
    return code;
}

/* The rows that cannot be taken leave the list. */
static enum err_code take_whole(struct sqlite *s, const struct tracker_claim *c,
                                const struct taking *t, struct record_list *out, struct err *e)
{
    enum err_code code = ERR_OK;
    size_t kept = 0;

    for (size_t i = 0; code == ERR_OK && i < out->len; i++) {
        struct record *r = &out->items[i];
        const struct sqlite_candidate k = {.id = r->id, .from = r->status};
        bool taken = false;

        code = take_record(s, c, &k, t, r, &taken, e);
        if (taken && kept != i)
            out->items[kept] = *r;
        kept += taken;
    }
    out->len = kept;
    return code;
}

/* One round: *after_id becomes the last candidate, NULL when there is none. */
static enum err_code claim_some(struct sqlite *s, const struct tracker_claim *c,
                                const struct taking *t, struct sqlite_candidates *found,
                                struct record_list *out, const char **after_id, struct err *e)
{
    bool whole = false;
    enum err_code code = sqlite_candidates_records(s, c, *after_id, out, &whole, e);

    if (code != ERR_OK)
        return code;
    if (whole) {
        *after_id = out->len > 0 ? out->items[out->len - 1].id : NULL;
        return take_whole(s, c, t, out, e);
    }
    code = sqlite_candidates_find(s, c, *after_id, found, e);
    *after_id = found->len > 0 ? found->items[found->len - 1].id : NULL;
    return code == ERR_OK ? take_all(s, c, found, t, out, e) : code;
}

/* Leases of owners that are known to be dead end now. */
static enum err_code bury(struct sqlite *s, const struct tracker_claim *c, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < c->dead_count; i++)
        code = sqlite_statement_run(s,
                                    "UPDATE blobferry_records SET lease_until = 0"
                                    " WHERE lease_owner = ?1 AND lease_until > 0",
                                    SQLITE_ARGS(SQLITE_T(c->dead_owners[i])), NULL, e);
    return code;
}

static enum err_code claim(struct sqlite *s, const struct tracker_claim *c,
                           struct sqlite_candidates *found, struct record_list *out,
                           struct sqlite_batch_changes *changes, struct err *e)
{
    char text[TIMEFMT_SIZE];
    const char *after_id = c->after_id;

    timefmt_db(c->now_ms, text);
    const struct taking t = {.owner = arena_strdup(&out->mem, c->owner),
                             .now = arena_strdup(&out->mem, text),
                             .changes = changes};
    if (t.owner == NULL || t.now == NULL)
        return err_set(e, ERR_LIMIT, "the list of claimed rows is full");
    enum err_code code = bury(s, c, e);
    /* An empty list means that nothing is left: rows that cannot be taken are passed over. */
    do {
        if (code == ERR_OK)
            code = claim_some(s, c, &t, found, out, &after_id, e);
    } while (code == ERR_OK && out->len == 0 && after_id != NULL);
    if (code == ERR_OK)
        code = sqlite_batch_settle(s, changes, state_batch_name(BATCH_PROCESSING), c->now_ms, e);
    return code;
}

enum err_code sqlite_claim(struct tracker *t, const struct tracker_claim *c,
                           struct record_list *out, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_candidates found = {0};
    struct sqlite_batch_changes changes;

    arena_init(&found.mem, (size_t)64 << 20);
    sqlite_batch_init(&changes);
    enum err_code code = sqlite_statement_begin(s, e);
    if (code == ERR_OK)
        code = sqlite_statement_end(s, claim(s, c, &found, out, &changes, e), e);
    if (code != ERR_OK)
        record_list_reset(out);
    sqlite_batch_release(&changes);
    arena_release(&found.mem);
    return code;
}
