#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

#define SLICE ((uint64_t)32 << 20) /* bytes hashed between two looks at the lock and at signals */

static void refuse(struct rollback_item *it, enum rollback_refusal why, enum err_code code,
                   const char *message)
{
    it->refusal = why;
    it->remove = false;
    err_set(&it->why, code, "%s", message);
}

static bool uses_store(const struct rollback_job *j)
{
    return j->g->store != NULL && !j->o->database_only;
}

/* ---- the row ------------------------------------------------------------------------------------- */

/* NULL and '' both mean: no pointer. */
static bool same_pointer(const char *a, const char *b)
{
    return str_eq(a != NULL ? a : "", b != NULL ? b : "");
}

/* The application's pointer must be the one that was set, or back at what it was before; else the row is the application's
 * business now. A pointer at the key that it has set itself keeps the object. */
static void check_pointer(struct rollback_item *it)
{
    const struct record *r = it->record;
    bool at_target = str_eq(r->file_r2_key, r->target_key);

    if (!r->file_row)
        return;
    if (r->pointer_set && !at_target && !same_pointer(r->file_r2_key, r->prior_r2_key))
        refuse(it, ROLLBACK_POINTER_CHANGED, ERR_CONFLICT,
               "the application has changed files.r2_key since");
    else if (!r->pointer_set && at_target && r->attempts > 0)
        refuse(it, ROLLBACK_SHARED, ERR_REFUSED, "the application itself points at the object");
}

static void check_row(const struct rollback_job *j, struct rollback_item *it)
{
    const struct record *r = it->record;

    if (r->defect != NULL) {
        refuse(it, ROLLBACK_UNPROVEN, ERR_DB, r->defect);
    } else if (str_empty(r->target_key)) {
        refuse(it, ROLLBACK_UNPROVEN, ERR_DB, "the row names no object key");
    } else if (uses_store(j) && !str_starts(r->target_key, objstore_prefix(j->g->store))) {
        /* docs/decisions/0001: the prefix is a fence */
        it->refusal = ROLLBACK_UNPROVEN;
        err_set(&it->why, ERR_REFUSED, "the key does not begin with the target's prefix '%s'",
                objstore_prefix(j->g->store));
    } else if (!j->paying_debts) {
        check_pointer(it);
    }
}

/* ---- the object ------------------------------------------------------------------------------------ */

struct look {
    struct rollback_job *job;
    struct rollback_item *item;
};

static void on_stat(void *user, const struct objstore_result *r)
{
    struct look *look = user;

    look->item->outcome = r->outcome;
    look->item->info = r->info;
    if (r->outcome != OBJSTORE_DONE && r->outcome != OBJSTORE_ABSENT)
        look->item->why = r->err;
    if (r->outcome == OBJSTORE_DENIED && look->job->store_fault.code == ERR_OK)
        look->job->store_fault = r->err;
    look->job->in_flight--;
}

/* Rows whose object matters are looked at, many at once. */
static bool wants_look(const struct rollback_job *j, const struct rollback_item *it)
{
    return it->refusal == ROLLBACK_OK && uses_store(j);
}

/* Submit further looks while there is room. */
static enum err_code submit_looks(struct rollback_job *j, struct look *looks, size_t *next,
                                  struct err *e)
{
    size_t limit = j->o->concurrency > 0 ? (size_t)j->o->concurrency : 16;
    enum err_code code = ERR_OK;

    for (; code == ERR_OK && *next < j->n && j->in_flight < limit; (*next)++) {
        struct rollback_item *it = &j->items[*next];

        if (it->listed || !wants_look(j, it))
            continue;
        looks[*next] = (struct look){j, it};
        code = objstore_stat(j->g->store, it->record->target_key, on_stat, &looks[*next], e);
        j->in_flight += code == ERR_OK;
    }
    return code;
}

static enum err_code look_at_objects(struct rollback_job *j, struct err *e)
{
    struct look *looks = calloc(ROLLBACK_PAGE, sizeof *looks);
    size_t next = 0;
    enum err_code code = ERR_OK;

    if (looks == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    j->in_flight = 0;
    while (code == ERR_OK && (next < j->n || j->in_flight > 0) && j->store_fault.code == ERR_OK) {
        code = submit_looks(j, looks, &next, e);
        if (code == ERR_OK && j->in_flight > 0)
            code = rollback_store_turn(j, e);
        if (code == ERR_OK && engine_stopping(j->g)) /* nothing has been done yet */
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    code = rollback_store_finish(j, code, e);
    free(looks);
    if (code == ERR_OK && j->store_fault.code != ERR_OK) {
        /* refused by the store as a whole: nothing has been changed */
        if (e != NULL)
            *e = j->store_fault;
        code = j->store_fault.code;
    }
    return code;
}

/* A store that answers for no object of a page may have gone; then the next page would fare no better (D5). */
static enum err_code check_reachable(const struct rollback_job *j, struct err *e)
{
    struct objstore_result ping;
    bool asked = false;
    enum err_code code;

    for (size_t i = 0; i < j->n; i++) {
        if (!wants_look(j, &j->items[i]))
            continue;
        asked = true;
        if (j->items[i].outcome != OBJSTORE_UNAVAILABLE)
            return ERR_OK;
    }
    if (!asked)
        return ERR_OK;
    code = objstore_ping_wait(j->g->store, &ping, e);
    if (code != ERR_OK || ping.outcome == OBJSTORE_DONE)
        return code;
    if (e != NULL)
        *e = ping.err;
    return ping.err.code;
}

/* The object's bytes against the record, for objects that carry no metadata of ours (another tool's). */
static bool unmarked_is_ours(const struct rollback_job *j, struct rollback_item *it)
{
    const struct record *r = it->record;
    struct objstore_result look;

    if (!j->o->trust_unmarked || r->migrated_checksum == NULL ||
        r->object_owner != NULL) /* ours was marked: this is another one */
        return false;
    if (str_ieq(it->info.stored_sha256, r->migrated_checksum))
        return true;
    return objstore_hash_wait(j->g->store, r->target_key, &look, NULL) == ERR_OK &&
           look.outcome == OBJSTORE_DONE && str_ieq(look.info.sha256, r->migrated_checksum);
}

/* P4: key, ETag, size and our metadata, all as recorded. */
static bool is_ours(const struct rollback_job *j, struct rollback_item *it)
{
    const struct record *r = it->record;
    const struct objinfo *info = &it->info;
    const char *owner = r->object_owner != NULL ? r->object_owner : r->id;

    if (it->listed) /* written by us, and still with the ETag and size of that write */
        return true;
    if (r->etag != NULL && !str_eq(r->etag, info->etag))
        return false;
    if (r->file_size >= 0 && info->size >= 0 && r->file_size != info->size)
        return false;
    if (info->record_id[0] == '\0')
        return unmarked_is_ours(j, it);
    if (info->batch_id[0] != '\0' && str_eq(owner, r->id) && !str_eq(info->batch_id, r->batch_id))
        return false;
    return str_eq(owner, info->record_id) &&
           (r->migrated_checksum == NULL || str_ieq(r->migrated_checksum, info->sha256));
}

static void judge(struct rollback_job *j, struct rollback_item *it)
{
    switch (it->outcome) {
    case OBJSTORE_ABSENT:
        it->absent = true;
        break;
    case OBJSTORE_DONE:
        if (it->record->pre_existed)
            refuse(it, ROLLBACK_PRE_EXISTED, ERR_REFUSED,
                   "the object was there before the migration");
        else if (is_ours(j, it))
            it->remove = true;
        else if (it->record->status == FILE_FAILED && it->record->etag == NULL)
            /* a failed row that never knew of an object of its own: somebody else's, kept */
            refuse(it, ROLLBACK_PRE_EXISTED, ERR_REFUSED, "the object is not of this migration");
        else
            refuse(
                it, ROLLBACK_NOT_OURS, ERR_REFUSED,
                "the object is not the one this migration wrote (ETag, size or metadata differ)");
        break;
    default:
        it->refusal = ROLLBACK_UNPROVEN;
        if (it->why.code == ERR_OK)
            err_set(&it->why, ERR_STORE, "the object could not be looked at");
        break;
    }
}

bool rollback_prove_missing(const struct rollback_item *it)
{
    return it->absent &&
           (it->record->status == FILE_COMPLETED || it->record->status == FILE_VERIFIED);
}

/* Others that need the same object keep it. */
static enum err_code find_shared(struct rollback_job *j, struct err *e)
{
    struct tracker_key_ref refs[ROLLBACK_PAGE];
    size_t of[ROLLBACK_PAGE];
    size_t n = 0;
    enum err_code code;

    for (size_t i = 0; i < j->n; i++) {
        const struct record *r = j->items[i].record;
        if (!j->items[i].remove)
            continue;
        refs[n] =
            (struct tracker_key_ref){.id = r->id, .file_id = r->file_id, .key = r->target_key};
        of[n++] = i;
    }
    if (n == 0)
        return ERR_OK;
    code = tracker_shared_keys(j->g->tracker, refs, n, e);
    for (size_t k = 0; code == ERR_OK && k < n; k++) {
        if (refs[k].shared)
            refuse(&j->items[of[k]], ROLLBACK_SHARED, ERR_REFUSED,
                   "another row needs the same object");
    }
    return code;
}

/* ---- the original --------------------------------------------------------------------------------- */

/* ERR_OK only if the file is there with exactly these bytes. *stop: the run must end, this is no verdict on the file. */
static enum err_code hash_original(struct rollback_job *j, const struct record *r, const char *sha,
                                   int64_t size, bool *stop, struct err *e)
{
    struct source s;
    bool done = false;
    enum err_code code;

    if (str_empty(r->source_path))
        return err_set(e, ERR_FILE_MISSING, "the row names no source");
    code = source_open(&s, &j->root, r->source_path, sha, e);
    if (code != ERR_OK)
        return code;
    if (size >= 0 && s.identity.size != size)
        code = err_set(e, ERR_FILE_CHANGED, "the original has %lld bytes, the object %lld",
                       (long long)s.identity.size, (long long)size);
    if (code == ERR_OK)
        code = source_hash_begin(&s, 0, e);
    while (code == ERR_OK && !done) {
        code = source_hash_step(&s, SLICE, &done, e);
        if (code != ERR_OK)
            break;
        code = rollback_lock_keep(j, e);
        if (code == ERR_OK && engine_stopping(j->g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
        *stop = code != ERR_OK;
    }
    if (code == ERR_OK && !s.matches)
        code = err_set(e, ERR_FILE_CHANGED, "the original is not what was migrated any more");
    if (code == ERR_OK)
        code = source_unchanged(&s, &j->root, r->source_path, e);
    source_close(&s);
    return code;
}

/* P4's other half: the original is there, with the bytes that the object has. */
static enum err_code prove_source(struct rollback_job *j, struct rollback_item *it, struct err *e)
{
    const struct record *r = it->record;
    const char *sha = r->migrated_checksum != NULL ? r->migrated_checksum : it->info.sha256;
    bool stop = false;
    enum err_code code;

    if (strlen(sha) != 64) { /* not a SHA-256: nothing that proves the bytes */
        refuse(it, ROLLBACK_UNPROVEN, ERR_REFUSED, "no SHA-256 is recorded for the object");
        return ERR_OK;
    }
    code = hash_original(j, r, sha, it->info.size, &stop, &it->why);
    if (stop) {
        if (e != NULL)
            *e = it->why;
        return code;
    }
    if (code == ERR_FILE_MISSING && j->o->allow_missing_source) {
        it->unsourced = true;
        code = ERR_OK;
    }
    if (code == ERR_OK) {
        err_init(&it->why);
        return ERR_OK;
    }
    it->remove = false;
    it->refusal = code == ERR_FILE_MISSING                            ? ROLLBACK_SOURCE_MISSING
                  : code == ERR_FILE_CHANGED || code == ERR_FILE_TYPE ? ROLLBACK_SOURCE_ALTERED
                                                                      : ROLLBACK_UNPROVEN;
    return ERR_OK;
}

enum err_code rollback_prove_page(struct rollback_job *j, struct err *e)
{
    enum err_code code;

    for (size_t i = 0; i < j->n; i++)
        check_row(j, &j->items[i]);
    code = uses_store(j) ? rollback_list_page(j, e) : ERR_OK;
    if (code == ERR_OK)
        code = look_at_objects(j, e);
    if (code == ERR_OK)
        code = check_reachable(j, e);
    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        if (wants_look(j, &j->items[i]))
            judge(j, &j->items[i]);
    }
    if (code == ERR_OK)
        code = find_shared(j, e);
    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        if (j->items[i].remove)
            code = prove_source(j, &j->items[i], e);
    }
    /* once more: hashing may have taken long */
    return code == ERR_OK ? find_shared(j, e) : code;
}
