#include "engine/verify_item.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"

#include <string.h>

static void decide(struct verify_item *it, enum verify_verdict v)
{
    it->verdict = v;
    it->duration_ms = clock_mono_ms() - it->began_ms;
}

static void on_done(void *user, const struct objstore_result *r)
{
    struct verify_item *it = user;

    it->result = *r;
    it->waiting = false;
}

static void cannot(struct verify_item *it, const struct err *why)
{
    it->why = *why;
    decide(it, VERIFY_ERROR);
}

static void look(struct verify_item *it)
{
    struct err e;

    err_init(&e);
    it->waiting = objstore_stat(it->store, it->r->target_key, on_done, it, &e) == ERR_OK;
    if (!it->waiting)
        cannot(it, &e);
}

static void read_bytes(struct verify_item *it)
{
    struct verify_hash_options o = {.key = it->r->target_key, .kind = it->expected.kind};
    struct err e;

    err_init(&e);
    if (it->expected.kind == DIGEST_NONE) {
        err_set(&e, ERR_REFUSED, "no checksum is recorded that would prove the object at '%s'",
                it->r->target_key);
        cannot(it, &e);
        return;
    }
    it->reading = true;
    it->waiting = verify_hash_start(&it->hash, it->store, &o, on_done, it, &e) == ERR_OK;
    if (!it->waiting)
        cannot(it, &e);
}

/* ---- verdicts --------------------------------------------------------------------------------------------- */

static void different(struct verify_item *it, int64_t size)
{
    if (it->r->file_size >= 0 && size >= 0 && size != it->r->file_size)
        err_set(&it->why, ERR_STORE_CORRUPT, "the object at '%s' has %lld bytes, its row says %lld",
                it->r->target_key, (long long)size, (long long)it->r->file_size);
    else
        err_set(&it->why, ERR_STORE_CORRUPT, "the object at '%s' does not have the recorded bytes",
                it->r->target_key);
    decide(it, VERIFY_DIFFERENT);
}

static void judge_bytes(struct verify_item *it)
{
    unsigned char sum[DIGEST_MAX];
    int64_t size = it->hash.bytes;

    it->bytes_read += size;
    verify_hash_final(&it->hash, sum);
    verify_hash_release(&it->hash);
    if (!checksum_equal(&it->expected, sum) || (it->r->file_size >= 0 && it->r->file_size != size))
        different(it, size);
    else
        decide(it, VERIFY_GOOD);
}

/* Is it, by the store's words, the very object that was recorded? Then its bytes are the recorded ones. */
static bool is_recorded_object(const struct record *r, const struct objinfo *info)
{
    if (r->etag == NULL || !str_eq(r->etag, info->etag) || r->file_size != info->size)
        return false;
    if (r->object_owner == NULL)
        return r->pre_existed; /* not of blobferry: nothing more to compare */
    return str_eq(info->record_id, r->object_owner) &&
           str_ieq(info->sha256, r->migrated_checksum != NULL ? r->migrated_checksum : "");
}

static bool stored_checksum_says_so(const struct verify_item *it, const struct objinfo *info)
{
    return (objstore_features(it->store) & OBJSTORE_STORES_SHA256) != 0 &&
           it->r->migrated_checksum != NULL && info->stored_sha256[0] != '\0' &&
           it->r->file_size == info->size && str_ieq(info->stored_sha256, it->r->migrated_checksum);
}

static void judge_look(struct verify_item *it)
{
    const struct objinfo *info = &it->result.info;

    if (it->r->file_size >= 0 && info->size >= 0 && info->size != it->r->file_size)
        different(it, info->size);
    else if (is_recorded_object(it->r, info) || stored_checksum_says_so(it, info))
        decide(it, VERIFY_GOOD);
    else
        read_bytes(it); /* another ETag, no metadata: the bytes decide (P1) */
}

void verify_item_step(struct verify_item *it)
{
    switch (it->result.outcome) {
    case OBJSTORE_DONE:
        if (it->reading)
            judge_bytes(it);
        else
            judge_look(it);
        break;
    case OBJSTORE_ABSENT:
        err_set(&it->why, ERR_NOTFOUND, "the object at '%s' is gone", it->r->target_key);
        decide(it, VERIFY_MISSING);
        break;
    case OBJSTORE_CORRUPT: /* the answer, again and again, is not what it says it is */
        it->why = it->result.err;
        decide(it, VERIFY_DIFFERENT);
        break;
    default:
        it->denied = it->result.outcome == OBJSTORE_DENIED;
        it->silent = it->result.outcome == OBJSTORE_UNAVAILABLE && it->result.status == 0;
        cannot(it, &it->result.err);
        break;
    }
}

void verify_item_begin(struct verify_item *it, struct objstore *store, const struct record *r,
                       bool deep)
{
    struct err e;

    memset(it, 0, sizeof *it);
    err_init(&e);
    it->r = r;
    it->store = store;
    it->deep = deep;
    it->began_ms = clock_mono_ms();
    if (r->defect != NULL) {
        err_set(&e, ERR_PARSE, "the row cannot be used: %s", r->defect);
        cannot(it, &e);
        return;
    }
    if (str_empty(r->target_key) || objkey_check(r->target_key, &e) != ERR_OK) {
        err_set(&e, ERR_PARSE, "the row names no object key that can be asked for");
        cannot(it, &e);
        return;
    }
    /* what was sent; for rows of another tool without it, what the source had */
    if (checksum_parse(r->migrated_checksum, &it->expected, &e) != ERR_OK ||
        (it->expected.kind == DIGEST_NONE &&
         checksum_parse(r->original_checksum, &it->expected, &e) != ERR_OK)) {
        cannot(it, &e);
        return;
    }
    if (deep)
        read_bytes(it);
    else
        look(it);
}

void verify_item_release(struct verify_item *it)
{
    verify_hash_release(&it->hash);
    it->r = NULL;
}
