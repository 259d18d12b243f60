#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

static void refuse(struct rollback_item *it, enum rollback_refusal why, enum err_code code,
                   const char *message)
{
    it->refusal = why;
    it->remove = false;
    err_set(&it->why, code, "%s", message);
}

struct look {
    struct rollback_job *job;
    struct rollback_item *item;
};

static void on_stat(void *user, const struct objstore_result *r)
{
    struct look *look = user;

    look->item->outcome = r->outcome;
    look->item->info = r->info;
    look->item->why = r->err;
    if (r->outcome == OBJSTORE_DENIED && look->job->store_fault.code == ERR_OK)
        look->job->store_fault = r->err;
    look->job->in_flight--;
}

/* Rows whose object matters are looked at, many at once. */
static bool wants_look(const struct rollback_job *j, const struct rollback_item *it)
{
    return it->refusal == ROLLBACK_OK && !j->o->database_only && j->g->store != NULL;
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
    enum err_code code = looks != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    j->in_flight = 0;
    while (code == ERR_OK && (next < j->n || j->in_flight > 0)) {
        code = submit_looks(j, looks, &next, e);
        if (code == ERR_OK && j->in_flight > 0)
            code = objstore_run(j->g->store, 200, e);
        if (code == ERR_OK && engine_stopping(j->g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    if (code != ERR_OK && j->in_flight > 0)
        objstore_cancel_all(j->g->store);
    while (j->in_flight > 0 && objstore_active(j->g->store) > 0) {
        if (objstore_run(j->g->store, 200, NULL) != ERR_OK)
            break;
    }
    free(looks);
    return code;
}

/* The object's bytes against the record, for objects that carry no metadata of ours (another tool's). */
static bool unmarked_is_ours(const struct rollback_job *j, struct rollback_item *it)
{
    const struct record *r = it->record;
    struct objstore_result look;

    if (!j->o->trust_unmarked || r->migrated_checksum == NULL)
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

/* P4's other half: the original is there, with the bytes that the object has. */
static void prove_source(struct rollback_job *j, struct rollback_item *it)
{
    const struct record *r = it->record;
    const char *sha = r->migrated_checksum != NULL ? r->migrated_checksum : it->info.sha256;
    enum err_code code;

    if (str_empty(sha)) {
        refuse(it, ROLLBACK_UNPROVEN, ERR_REFUSED, "no checksum is recorded for the object");
        return;
    }
    code = r->source_path != NULL
               ? source_prove(&j->root, r->source_path, sha, it->info.size, &it->why)
               : err_set(&it->why, ERR_FILE_MISSING, "the row names no source");
    if (code == ERR_OK || (code == ERR_FILE_MISSING && j->o->allow_missing_source)) {
        err_init(&it->why);
        return;
    }
    it->refusal = code == ERR_FILE_CHANGED ? ROLLBACK_SOURCE_ALTERED : ROLLBACK_SOURCE_MISSING;
    it->remove = false;
}

/* The application's pointer must still be the one that was set; else the row is the application's business now. */
static void check_pointer(struct rollback_item *it)
{
    const struct record *r = it->record;

    if (r->pointer_set && r->file_row && !str_eq(r->file_r2_key, r->target_key))
        refuse(it, ROLLBACK_POINTER_CHANGED, ERR_CONFLICT,
               "the application has changed files.r2_key since");
}

enum err_code rollback_prove_page(struct rollback_job *j, struct err *e)
{
    enum err_code code;

    for (size_t i = 0; i < j->n; i++) {
        struct rollback_item *it = &j->items[i];

        if (it->record->defect != NULL)
            refuse(it, ROLLBACK_UNPROVEN, ERR_DB, it->record->defect);
        else if (str_empty(it->record->target_key))
            refuse(it, ROLLBACK_UNPROVEN, ERR_DB, "the row names no object key");
        else if (!j->paying_debts)
            check_pointer(it);
    }
    code = !j->o->database_only && j->g->store != NULL ? rollback_list_page(j, e) : ERR_OK;
    if (code == ERR_OK)
        code = look_at_objects(j, e);
    if (code != ERR_OK)
        return code;
    if (j->store_fault.code !=
        ERR_OK) { /* refused by the store as a whole: nothing has been changed */
        if (e != NULL)
            *e = j->store_fault;
        return j->store_fault.code;
    }
    for (size_t i = 0; i < j->n; i++) {
        if (wants_look(j, &j->items[i]))
            judge(j, &j->items[i]);
    }
    code = find_shared(j, e);
    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        if (j->items[i].remove)
            prove_source(j, &j->items[i]);
        if (engine_stopping(j->g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    return code;
}
