/* The row and its source: everything that can be refused is refused before a byte is sent. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"
#include "engine/transfer.h"

#include <string.h>

#define HASH_SLICE ((uint64_t)4 << 20) /* bytes per step: the loop stays alive */

const char *transfer_filename(const struct record *r)
{
    const char *slash;

    if (!str_empty(r->filename))
        return r->filename;
    slash = r->source_path != NULL ? strrchr(r->source_path, '/') : NULL;
    return slash != NULL ? slash + 1 : r->source_path;
}

static enum err_code check_key(const struct transfer *t, struct err *e)
{
    const struct record *r = t->r;
    const char *prefix = objstore_prefix(t->lane->store);

    if (str_empty(r->target_key))
        return err_set(e, ERR_PARSE, "the row names no object key");
    if (objkey_check(r->target_key, e) != ERR_OK)
        return err_wrap(e, "key '%s'", r->target_key);
    if (!str_starts(r->target_key, prefix))
        return err_set(e, ERR_REFUSED, "key '%s' is outside of the target's prefix '%s'",
                       r->target_key, prefix);
    return ERR_OK;
}

static enum err_code check_row(const struct transfer *t, struct err *e)
{
    const struct record *r = t->r;

    if (r->defect != NULL)
        return err_set(e, ERR_PARSE, "the row cannot be used: %s", r->defect);
    if (str_empty(r->source_path))
        return err_set(e, ERR_FILE_MISSING, "the row names no source file");
    if (check_key(t, e) != ERR_OK)
        return e->code;
    if (r->file_row && !str_empty(r->file_r2_key) && !str_eq(r->file_r2_key, r->target_key)) {
        err_set(e, ERR_CONFLICT, "the application's row points at '%s' already", r->file_r2_key);
        return err_hint(e, "files.r2_key must be empty, or the key of this migration");
    }
    return ERR_OK;
}

static enum err_code check_size(struct transfer *t, struct err *e)
{
    int64_t size = t->source.identity.size;

    if (t->r->file_size >= 0 && t->r->file_size != size)
        return err_set(e, ERR_FILE_CHANGED, "'%s' has %lld bytes, its record says %lld",
                       t->r->source_path, (long long)size, (long long)t->r->file_size);
    return objstore_layout((uint64_t)size, t->lane->o->part_size, &t->layout, e);
}

static void has_been_read(struct transfer *t)
{
    struct err e;

    err_init(&e);
    t->hashing = false;
    if (t->source.expected.kind != DIGEST_NONE && !t->source.matches) {
        err_set(&e, ERR_FILE_CHANGED, "'%s' does not have its recorded checksum '%s'",
                t->r->source_path, t->r->original_checksum);
        transfer_fail(t, &e);
        return;
    }
    str_copy(t->outcome.sha256, sizeof t->outcome.sha256, t->source.sha256);
    transfer_store(t);
}

static void hash_slice(struct transfer *t)
{
    uint64_t slice = t->lane->hash_budget < HASH_SLICE ? t->lane->hash_budget : HASH_SLICE;
    bool done = false;
    struct err e;

    if (slice == 0)
        return; /* the next turn of the loop */
    err_init(&e);
    t->lane->hash_budget -= slice;
    if (source_hash_step(&t->source, slice, &done, &e) != ERR_OK)
        transfer_fail(t, &e);
    else if (done)
        has_been_read(t);
}

void transfer_hash_two(struct transfer *a, struct transfer *b)
{
    uint64_t slice = a->lane->hash_budget / 2;

    slice = slice < HASH_SLICE ? slice : HASH_SLICE;
    a->lane->hash_budget -= 2 * source_hash_two(&a->source, &b->source, slice);
}

static void read_source(struct transfer *t)
{
    uint64_t *budget = &t->lane->hash_budget, size = (uint64_t)t->source.identity.size;
    const bool small = t->layout.part_size == 0 && size <= t->lane->load_max &&
                       size <= t->lane->load_all - t->lane->loaded;
    struct err e;

    err_init(&e);
    if (small) {
        t->loaded = (size_t)size;
        t->lane->loaded += t->loaded;
    }
    if (small ? source_load(&t->source, t->lane->load_max, &e) != ERR_OK
              : source_hash_begin(&t->source, t->layout.part_size, &e) != ERR_OK) {
        transfer_fail(t, &e);
        return;
    }
    if (small && t->source.cold) {
        atomic_fetch_add(&t->lane->cold->seen, 1);
        atomic_store(&t->lane->cold->last_ms, clock_mono_ms());
    }
    if (small) {
        *budget -= size < *budget ? size : *budget;
        has_been_read(t);
        return;
    }
    t->hashing = true;
    t->then = hash_slice;
}

void transfer_begin(struct transfer *t, struct transfer_lane *lane, struct migrate_page *page,
                    const struct record *r)
{
    struct err e;

    err_init(&e);
    memset(t, 0, sizeof *t);
    t->source.fd = -1;
    t->lane = lane;
    t->page = page;
    t->r = r;
    t->began_ms = clock_mono_ms();
    t->outcome.page = page;
    t->outcome.r = r;
    if (check_row(t, &e) != ERR_OK) {
        transfer_fail(t, &e);
        return;
    }
    if (source_open(&t->source, lane->root, r->source_path, r->original_checksum, &e) != ERR_OK) {
        transfer_fail(t, &e);
        return;
    }
    t->opened = true;
    t->outcome.has_source = true;
    t->outcome.source = t->source.identity;
    if (check_size(t, &e) != ERR_OK) {
        transfer_fail(t, &e);
        return;
    }
    read_source(t);
}
