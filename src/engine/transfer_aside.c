/* --if-exists=overwrite: the object that is replaced is first copied, whole and durably, to <backups>/overwritten. */
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"
#include "blobferry/codec/timefmt.h"
#include "engine/rollback_aside.h"
#include "engine/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 100
#define PATH_SIZE 4096

struct transfer_aside {
    struct fsio_atomic file;
    bool open;
    char path[PATH_SIZE]; /* without ".bin" */
    struct err fault;     /* of writing */
};

void transfer_aside_free(struct transfer *t)
{
    if (t->aside != NULL && t->aside->open)
        fsio_atomic_abort(&t->aside->file);
    free(t->aside);
    t->aside = NULL;
}

static enum err_code choose_path(struct transfer *t, struct err *e)
{
    struct transfer_aside *a = t->aside;
    char whole[PATH_SIZE + 8];
    int n;

    n = snprintf(whole, sizeof whole, "%s/overwritten", t->lane->g->backup_dir);
    if (n < 0 || (size_t)n >= sizeof whole - 128)
        return err_set(e, ERR_LIMIT, "the backup folder's name is too long");
    if (fsio_mkdirs(whole, 0700, e) != ERR_OK)
        return e->code;
    for (int i = 1; i <= NAMES_MAX; i++) {
        if (!rollback_aside_path(t->lane->g, t->r->id, i, a->path, sizeof a->path))
            break;
        snprintf(whole, sizeof whole, "%s.bin", a->path);
        if (!fsio_exists(whole))
            return fsio_atomic_begin(&a->file, whole, 0600, e);
    }
    return err_set(e, ERR_LIMIT, "no free name for a copy of '%s' in '%s/overwritten'", t->r->id,
                   t->lane->g->backup_dir);
}

static bool write_slice(void *user, const void *p, size_t n)
{
    struct transfer *t = user;
    struct transfer_aside *a = t->aside;

    if (p != NULL)
        return fsio_atomic_write(&a->file, p, n, &a->fault) == ERR_OK;
    if (ftruncate(a->file.fd, 0) == 0 && lseek(a->file.fd, 0, SEEK_SET) == 0)
        return true;
    err_set(&a->fault, ERR_FILE, "cannot begin '%s.bin' again", a->path);
    return false;
}

/* What it was, beside it. */
static enum err_code write_description(struct transfer *t, const char *sha256, struct err *e)
{
    const struct objinfo *info = &t->seen;
    char path[PATH_SIZE + 8], modified[TIMEFMT_SIZE];
    struct fsio_atomic file;
    struct json_out o;
    struct buf b;
    enum err_code code;

    buf_init(&b, 64 << 10);
    json_out_init(&o, &b, 2);
    json_out_object(&o, NULL);
    json_out_string(&o, "format", "blobferry-overwritten");
    json_out_integer(&o, "version", 1);
    json_out_string(&o, "record_id", t->r->id);
    json_out_string(&o, "batch_id", t->r->batch_id);
    json_out_string(&o, "store", objstore_name(t->lane->store));
    json_out_string(&o, "key", t->r->target_key);
    json_out_string(&o, "etag", info->etag);
    json_out_string(&o, "version_id", info->version_id);
    json_out_integer(&o, "size", t->hash.bytes);
    json_out_string(&o, "sha256", sha256);
    json_out_string(&o, "content_type", info->content_type);
    json_out_string(&o, "content_encoding", info->content_encoding);
    if (info->last_modified_ms > 0) {
        timefmt_iso(info->last_modified_ms, modified);
        json_out_string(&o, "last_modified", modified);
    }
    json_out_string(&o, "object_record_id", info->record_id);
    json_out_end(&o);
    buf_char(&b, '\n');
    snprintf(path, sizeof path, "%s.json", t->aside->path);
    code = buf_ok(&b) ? fsio_atomic_begin(&file, path, 0600, e)
                      : err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK) {
        code = fsio_atomic_write(&file, b.data, b.len, e);
        if (code == ERR_OK)
            code = fsio_atomic_commit(&file, FSIO_REPLACE, e);
        fsio_atomic_abort(&file);
    }
    buf_release(&b);
    return code;
}

/* P6: on record, with where the copy is, before the object is replaced; the row's upload_intent is still open. */
static enum err_code intend(struct transfer *t, const char *sha256, struct err *e)
{
    struct journal_entry entry = {.action = "overwrite",
                                  .file_id = t->r->file_id,
                                  .record_id = t->r->id,
                                  .batch_id = t->r->batch_id,
                                  .target_key = t->r->target_key,
                                  .etag = t->seen.etag,
                                  .sha256 = sha256,
                                  .has_size = true,
                                  .size = t->hash.bytes,
                                  .detail = t->aside->path};

    return transfer_note(t, &entry, true, e);
}

/* Still the object that was copied? Stores know no condition for this on PUT that all of them honour. */
static void looked_before_overwriting(struct transfer *t)
{
    bool same;

    if (!transfer_answered(t))
        return;
    same = t->result.outcome == OBJSTORE_DONE && str_eq(t->result.info.etag, t->seen.etag);
    if (same)
        transfer_put(t, OBJSTORE_OVERWRITE);
    else
        transfer_look_first(t);
}

static void keep_copy(struct transfer *t, const char *sha256)
{
    struct transfer_aside *a = t->aside;
    struct err e;
    enum err_code code;

    err_init(&e);
    code = fsio_atomic_commit(&a->file, FSIO_NEW, &e);
    a->open = code != ERR_OK;
    if (code == ERR_OK)
        code = write_description(t, sha256, &e);
    if (code == ERR_OK)
        code = intend(t, sha256, &e);
    if (code !=
        ERR_OK) { /* what cannot be kept is not replaced, neither here nor for the next file */
        transfer_stop(t, &e);
        return;
    }
    snprintf(t->outcome.detail, sizeof t->outcome.detail, "the replaced object is kept in '%.200s'",
             a->path);
    transfer_look(t, looked_before_overwriting);
}

static void copied(struct transfer *t)
{
    unsigned char sum[DIGEST_MAX];
    char hex[DIGEST_SHA256_HEX];

    if (t->aside->fault.code != ERR_OK) {
        transfer_stop(t, &t->aside->fault);
        return;
    }
    if (!transfer_answered(t))
        return;
    if (t->result.outcome != OBJSTORE_DONE) {
        transfer_aside_free(t);
        transfer_look_first(t);
        return;
    }
    verify_hash_final(&t->hash, sum);
    verify_hash_release(&t->hash);
    text_hex(sum, DIGEST_SHA256_SIZE, hex);
    if (t->hash.bytes == t->source.identity.size && str_eq(hex, t->source.sha256)) {
        /* nothing to replace: the same bytes are there */
        transfer_aside_free(t);
        transfer_accept(t, &t->seen, t->seen.record_id[0] != '\0' ? t->seen.record_id : NULL, true);
        return;
    }
    keep_copy(t, hex);
}

void transfer_aside_begin(struct transfer *t)
{
    struct verify_hash_options o = {.key = t->r->target_key,
                                    .if_match = t->seen.etag[0] != '\0' ? t->seen.etag : NULL,
                                    .tee = write_slice,
                                    .tee_user = t};
    struct err e;

    err_init(&e);
    transfer_aside_free(t);
    t->aside = calloc(1, sizeof *t->aside);
    if (t->aside == NULL) {
        err_set(&e, ERR_NOMEM, "out of memory");
        transfer_stop(t, &e);
        return;
    }
    if (choose_path(t, &e) != ERR_OK) {
        transfer_stop(t, &e);
        return;
    }
    t->aside->open = true;
    transfer_wait(t, verify_hash_start(&t->hash, t->lane->store, &o, transfer_done, t, &e), &e,
                  copied);
}
