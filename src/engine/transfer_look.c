/* What is at the key already, what became of a PUT whose answer was lost, and the removal of what must not stay. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "engine/transfer.h"

#include <string.h>

#define PAUSE_MS   2000 /* before looking for a PUT without an answer: it may still be under way */
#define ROUNDS_MAX 6

/* ---- whose object is it? -------------------------------------------------------------------------------- */

static bool of_this_row(const struct transfer *t, const struct objinfo *info)
{
    return str_eq(info->record_id, t->r->id) &&
           (info->batch_id[0] == '\0' || str_eq(info->batch_id, t->r->batch_id));
}

static bool same_size(const struct transfer *t, const struct objinfo *info)
{
    return info->size == t->source.identity.size;
}

/* Written by this row, and by its own words with these bytes. */
static bool says_same(const struct transfer *t, const struct objinfo *info)
{
    return of_this_row(t, info) && same_size(t, info) && str_ieq(info->sha256, t->source.sha256);
}

/* The very object that a failed attempt of this row recorded as its own. */
static bool recorded_leftover(const struct transfer *t, const struct objinfo *info)
{
    return t->r->etag != NULL && str_eq(t->r->etag, info->etag) && !t->r->pre_existed &&
           str_eq(t->r->object_owner, t->r->id) && of_this_row(t, info);
}

static bool has_feature(const struct transfer *t, enum objstore_feature f)
{
    return (objstore_features(t->lane->store) & (unsigned)f) != 0;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

void transfer_look(struct transfer *t, transfer_step_fn *then)
{
    struct err e;

    err_init(&e);
    transfer_wait(t, objstore_stat(t->lane->store, t->r->target_key, transfer_done, t, &e), &e,
                  then);
}

/* A failed row that has sent something says what: a rollback, or the next attempt, finds it. */
static void keep_identity(struct transfer *t)
{
    if (!t->sent)
        return;
    str_copy(t->outcome.etag, sizeof t->outcome.etag, t->seen.etag);
    str_copy(t->outcome.version_id, sizeof t->outcome.version_id, t->seen.version_id);
    str_copy(t->outcome.owner, sizeof t->outcome.owner, t->r->id);
}

/* What all lookers have in common: false when the transfer has gone on or ended. */
bool transfer_answered(struct transfer *t)
{
    switch (t->result.outcome) {
    case OBJSTORE_DONE:
    case OBJSTORE_ABSENT:
    case OBJSTORE_PRECONDITION:
        return true;
    case OBJSTORE_DENIED:
        transfer_stop(t, &t->result.err);
        return false;
    case OBJSTORE_CANCELLED:
        transfer_cancel(t);
        return false;
    case OBJSTORE_UNAVAILABLE:
        keep_identity(t);
        t->outcome.err = t->why.code != ERR_OK ? t->why : t->result.err;
        t->outcome.silent = t->result.status == 0;
        transfer_end(t, OUTCOME_UNREACHED);
        return false;
    default:
        keep_identity(t);
        transfer_fail(t, &t->result.err);
        return false;
    }
}

static void first_look(struct transfer *t)
{
    if (!transfer_answered(t))
        return;
    if (t->result.outcome == OBJSTORE_DONE)
        transfer_judge(t, &t->result.info);
    else
        transfer_put_new(t);
}

void transfer_look_first(struct transfer *t)
{
    struct err e;

    err_init(&e);
    if (++t->rounds > ROUNDS_MAX) {
        err_set(&e, ERR_CONFLICT, "the object at key '%s' keeps changing", t->r->target_key);
        transfer_fail(t, &e);
        return;
    }
    transfer_look(t, first_look);
}

/* ---- judging ------------------------------------------------------------------------------------------------- */

static void conflict(struct transfer *t, const struct objinfo *info)
{
    const char *key = t->r->target_key;
    struct err e;

    err_init(&e);
    if (info->size >= 0 && !same_size(t, info))
        err_set(&e, ERR_CONFLICT, "another object is at key '%s': %lld bytes, the file has %lld",
                key, (long long)info->size, (long long)t->source.identity.size);
    else if (t->lane->o->if_exists == MIGRATE_FAIL)
        err_set(&e, ERR_CONFLICT, "an object is at key '%s' already", key);
    else
        err_set(&e, ERR_CONFLICT, "another object is at key '%s': its bytes are not the file's",
                key);
    transfer_fail(t, &e);
}

/* P6: on record, durably, before an object goes. */
static enum err_code intend_removal(struct transfer *t, const struct objinfo *info, struct err *e)
{
    struct journal_entry entry = {.action = "delete_intent",
                                  .file_id = t->r->file_id,
                                  .record_id = t->r->id,
                                  .batch_id = t->r->batch_id,
                                  .target_key = t->r->target_key,
                                  .etag = info->etag,
                                  .version_id =
                                      info->version_id[0] != '\0' ? info->version_id : NULL,
                                  .sha256 = info->sha256[0] != '\0' ? info->sha256 : NULL,
                                  .detail = "an object of this row's own failed attempt"};

    return transfer_note(t, &entry, true, e);
}

static enum err_code tell_removal(struct transfer *t, struct err *e)
{
    bool gone = t->result.outcome == OBJSTORE_DONE || t->result.outcome == OBJSTORE_ABSENT;
    struct journal_entry entry = {.action = "delete_outcome",
                                  .file_id = t->r->file_id,
                                  .record_id = t->r->id,
                                  .batch_id = t->r->batch_id,
                                  .target_key = t->r->target_key,
                                  .error = gone ? NULL : t->result.err.message,
                                  .error_class = gone ? NULL : err_code_name(t->result.err.code),
                                  .has_success = true,
                                  .success = gone};

    return transfer_note(t, &entry, false, e);
}

static void leftover_removed(struct transfer *t)
{
    struct err e;

    err_init(&e);
    if (tell_removal(t, &e) != ERR_OK)
        transfer_stop(t, &e);
    else if (transfer_answered(t))
        transfer_look_first(t);
}

static void remove_ours(struct transfer *t, const struct objinfo *info, transfer_step_fn *then)
{
    const char *etag = has_feature(t, OBJSTORE_DELETE_IF_MATCH) ? info->etag : NULL;
    struct err e;

    err_init(&e);
    if (intend_removal(t, info, &e) != ERR_OK) {
        transfer_stop(t, &e);
        return;
    }
    transfer_wait(t, objstore_remove(t->lane->store, t->r->target_key, etag, transfer_done, t, &e),
                  &e, then);
}

void transfer_judge(struct transfer *t, const struct objinfo *info)
{
    bool trusted = has_feature(t, OBJSTORE_CHECKS_PAYLOAD);

    if (info != &t->seen)
        t->seen = *info;
    info = &t->seen;
    if (says_same(t, info)) {
        /* ours: it was checked when it was stored, or its bytes are looked at now (P1) */
        if (trusted)
            transfer_accept(t, info, t->r->id, false);
        else
            transfer_read_back(t, false);
    } else if (recorded_leftover(t, info)) {
        remove_ours(t, info, leftover_removed);
    } else if (t->lane->o->if_exists == MIGRATE_OVERWRITE) {
        transfer_aside_begin(t);
    } else if (t->lane->o->if_exists == MIGRATE_FAIL || (info->size >= 0 && !same_size(t, info))) {
        conflict(t, info);
    } else if (has_feature(t, OBJSTORE_STORES_SHA256) && info->stored_sha256[0] != '\0') {
        if (str_ieq(info->stored_sha256, t->source.sha256))
            transfer_accept(t, info, info->record_id[0] != '\0' ? info->record_id : NULL,
                            !of_this_row(t, info));
        else
            conflict(t, info);
    } else {
        transfer_read_back(t, false);
    }
}

/* ---- reading back ------------------------------------------------------------------------------------------ */

static bool bytes_are_same(struct transfer *t)
{
    unsigned char sum[DIGEST_MAX];
    char hex[DIGEST_SHA256_HEX];

    verify_hash_final(&t->hash, sum);
    text_hex(sum, DIGEST_SHA256_SIZE, hex);
    return t->hash.bytes == t->source.identity.size && str_eq(hex, t->source.sha256);
}

static void corrupt(struct transfer *t)
{
    struct err e;

    err_init(&e);
    err_set(&e, ERR_STORE_CORRUPT, "the store holds other bytes at key '%s' than were sent",
            t->r->target_key);
    transfer_withdraw(t, &e);
}

static void read_back(struct transfer *t)
{
    bool same;

    if (!transfer_answered(t))
        return;
    if (t->result.outcome != OBJSTORE_DONE) { /* gone, or another one by now */
        transfer_look_first(t);
        return;
    }
    same = bytes_are_same(t);
    verify_hash_release(&t->hash);
    if (t->seen.etag[0] == '\0')
        str_copy(t->seen.etag, sizeof t->seen.etag, t->result.info.etag);
    if (same && (t->hash_is_ours || of_this_row(t, &t->seen)))
        transfer_accept(t, &t->seen, t->r->id, false);
    else if (same)
        transfer_accept(t, &t->seen, t->seen.record_id[0] != '\0' ? t->seen.record_id : NULL, true);
    else if (t->hash_is_ours)
        corrupt(t);
    else
        conflict(t, &t->seen);
}

void transfer_read_back(struct transfer *t, bool ours)
{
    struct verify_hash_options o = {.key = t->r->target_key,
                                    .if_match = t->seen.etag[0] != '\0' ? t->seen.etag : NULL};
    struct err e;

    err_init(&e);
    t->hash_is_ours = ours;
    transfer_wait(t, verify_hash_start(&t->hash, t->lane->store, &o, transfer_done, t, &e), &e,
                  read_back);
}

/* ---- lost answers ---------------------------------------------------------------------------------------------- */

static void looked_again(struct transfer *t)
{
    if (!transfer_answered(t))
        return;
    if (t->result.outcome == OBJSTORE_ABSENT) {
        transfer_fail(t, &t->why);
        return;
    }
    t->sent = says_same(t, &t->result.info); /* it arrived after all */
    transfer_judge(t, &t->result.info);
}

static void look_again(struct transfer *t)
{
    t->wake_ms = 0;
    transfer_look(t, looked_again);
}

void transfer_unanswered(struct transfer *t)
{
    t->why = t->result.err;
    t->wake_ms = clock_mono_ms() + PAUSE_MS;
    t->then = look_again;
}

/* ---- withdrawal -------------------------------------------------------------------------------------------------- */

static void withdrawn(struct transfer *t)
{
    struct err e;

    err_init(&e);
    if (t->result.outcome != OBJSTORE_DONE && t->result.outcome != OBJSTORE_ABSENT)
        keep_identity(t);
    if (tell_removal(t, &e) != ERR_OK)
        transfer_stop(t, &e);
    else
        transfer_fail(t, &t->why);
}

static void withdraw_looked(struct transfer *t)
{
    const struct objinfo *info = &t->result.info;
    struct err why = t->why;

    if (t->result.outcome == OBJSTORE_CANCELLED) {
        transfer_cancel(t);
        return;
    }
    if (t->result.outcome == OBJSTORE_ABSENT) {
        transfer_fail(t, &why);
        return;
    }
    if (t->result.outcome != OBJSTORE_DONE) {
        keep_identity(t);
        transfer_fail(t, &why);
        return;
    }
    /* P4: only what this attempt has written, as far as anybody can tell */
    if (of_this_row(t, info) && str_ieq(info->sha256, t->source.sha256) &&
        (t->seen.etag[0] == '\0' || str_eq(t->seen.etag, info->etag))) {
        t->seen = *info;
        remove_ours(t, &t->seen, withdrawn);
    } else {
        transfer_fail(t, &why);
    }
}

void transfer_withdraw(struct transfer *t, const struct err *why)
{
    t->why = *why;
    transfer_look(t, withdraw_looked);
}
