/* s3_parts: the parts of one object, several at once, all equal but the last. They are begun in order, so that the SHA-256 of
 * the whole can be checked on the way when the caller gives none of its parts. */
#include "s3_put.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS_DEFAULT 4
#define PIECE         ((size_t)256 << 10)

enum err_code s3_parts_init(struct s3_put *p, struct err *e)
{
    const int wanted = p->in.part_concurrency > 0 ? p->in.part_concurrency : SLOTS_DEFAULT;

    p->parts = (size_t)((p->in.size + p->in.part_size - 1) / p->in.part_size);
    p->slot_count = wanted < S3_SLOTS_MAX ? (size_t)wanted : S3_SLOTS_MAX;
    if (p->slot_count > p->parts)
        p->slot_count = p->parts;
    p->etags = calloc(p->parts, sizeof *p->etags);
    p->slots = calloc(p->slot_count, sizeof *p->slots);
    if (p->etags == NULL || p->slots == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (p->in.part_sha256 == NULL) {
        const enum err_code code = digest_init(&p->whole, DIGEST_SHA256, e);
        if (code != ERR_OK)
            return code;
        p->whole_on = true;
    }
    for (size_t i = 0; i < p->slot_count; i++) {
        const enum err_code code = digest_init(&p->slots[i].tap, DIGEST_SHA256, e);
        if (code != ERR_OK)
            return code;
        p->slots[i].put = p;
    }
    return ERR_OK;
}

void s3_parts_release(struct s3_put *p)
{
    for (size_t i = 0; p->slots != NULL && i < p->slot_count; i++)
        digest_release(&p->slots[i].tap);
    for (size_t i = 0; p->etags != NULL && i < p->parts; i++)
        free(p->etags[i]);
    if (p->whole_on)
        digest_release(&p->whole);
    free(p->slots);
    free(p->etags);
}

static uint64_t offset_of(const struct s3_put *p, size_t part)
{
    return (uint64_t)part * p->in.part_size;
}

uint64_t s3_parts_length(const struct s3_put *p, size_t part)
{
    const uint64_t left = p->in.size - offset_of(p, part);
    return left < p->in.part_size ? left : p->in.part_size;
}

static struct s3_body body_of(const struct s3_slot *slot)
{
    const struct s3_put *p = slot->put;
    return (struct s3_body){.data = p->in.data,
                            .fd = p->in.fd,
                            .offset = offset_of(p, slot->part),
                            .length = s3_parts_length(p, slot->part),
                            .sha256 = slot->sha256};
}

/* ---- hashing ------------------------------------------------------------------------------------------- */

static bool fail_read(struct s3_put *p, int errnum)
{
    struct objstore_result *r = &p->task.result;

    r->outcome = OBJSTORE_LOCAL;
    if (errnum == 0)
        err_set(&r->err, ERR_FILE_CHANGED, "the source of '%s' became shorter while it was sent",
                driver_shown(p->task.key).text);
    else
        err_set_errno(&r->err, ERR_FILE, errnum, "cannot read the source of '%s'",
                      driver_shown(p->task.key).text);
    return false;
}

/* One pass over the part for both digests. */
static bool hash_file_part(struct s3_put *p, size_t part, struct digest *own)
{
    const uint64_t offset = offset_of(p, part), length = s3_parts_length(p, part);
    uint64_t at = 0;
    char *piece = malloc(PIECE);
    int errnum = 0;

    while (piece != NULL && at < length) {
        const size_t want = length - at < PIECE ? (size_t)(length - at) : PIECE;
        const ssize_t n = pread(p->in.fd, piece, want, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errnum = n < 0 ? errno : 0;
            break;
        }
        digest_update(own, piece, (size_t)n);
        digest_update(&p->whole, piece, (size_t)n);
        at += (uint64_t)n;
    }
    if (piece == NULL)
        errnum = ENOMEM;
    free(piece);
    return at == length ? true : fail_read(p, errnum);
}

/* slot->sha256, given or made. False with the result filled. */
static bool hash_part(struct s3_slot *slot)
{
    struct s3_put *p = slot->put;
    unsigned char raw[DIGEST_MAX];

    if (p->in.part_sha256 != NULL) {
        text_hex(p->in.part_sha256[slot->part], DIGEST_SHA256_SIZE, slot->sha256);
        return true;
    }
    digest_restart(&slot->tap);
    if (p->in.data != NULL) {
        const char *bytes = (const char *)p->in.data + offset_of(p, slot->part);
        const size_t n = (size_t)s3_parts_length(p, slot->part);
        digest_update(&slot->tap, bytes, n);
        digest_update(&p->whole, bytes, n);
    } else if (!hash_file_part(p, slot->part, &slot->tap)) {
        return false;
    }
    digest_final(&slot->tap, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, slot->sha256);
    if (slot->part + 1 < p->parts)
        return true;
    digest_final(&p->whole, raw);
    char hex[DIGEST_SHA256_HEX];
    text_hex(raw, DIGEST_SHA256_SIZE, hex);
    if (str_eq(hex, p->sha256))
        return true;
    s3_put_source_changed(p); /* P1: these are not the bytes that were hashed as a whole */
    return false;
}

/* ---- one part ------------------------------------------------------------------------------------------- */

static void tap(void *user, const void *bytes, size_t n)
{
    struct s3_slot *slot = user;

    if (bytes == NULL && n == 0)
        digest_restart(&slot->tap);
    else
        digest_update(&slot->tap, bytes, n);
}

static bool tap_differs(struct s3_slot *slot)
{
    unsigned char raw[DIGEST_MAX];
    char hex[DIGEST_SHA256_HEX];

    if (!slot->tap_on)
        return false;
    digest_final(&slot->tap, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, hex);
    return !str_eq(hex, slot->sha256);
}

static bool may_retry(void *user, const struct s3_answer *a)
{
    struct s3_slot *slot = user;
    const struct s3_body body = body_of(slot);
    char hex[DIGEST_SHA256_HEX];

    if (slot->put->task.result.outcome != OBJSTORE_DONE)
        return false; /* another part has failed for good: nobody waits for this one */
    if (!s3_put_digest_refused(a) || (s3_echo_sha256(&body, hex) && str_eq(hex, slot->sha256)))
        return true;
    slot->put->changed = true;
    return false;
}

static enum s3_verdict read_part(void *user, const struct http_response *r, struct err *e)
{
    struct s3_slot *slot = user;
    struct s3_put *p = slot->put;
    const struct s3_body body = body_of(slot);
    const char *raw = http_response_header(r, "ETag");
    char etag[OBJINFO_ETAG_MAX];
    bool weak;

    if (!s3_headers_etag(raw, etag, &weak)) {
        err_set(e, ERR_STORE_UNAVAILABLE, "part %zu came back without an ETag", slot->part + 1);
        return S3_RETRY;
    }
    free(p->etags[slot->part]);
    p->etags[slot->part] = str_dup(raw); /* Complete wants it as it was written */
    if (p->etags[slot->part] == NULL) {
        err_set(e, ERR_NOMEM, "out of memory");
        return S3_LOCAL;
    }
    return s3_echo_check(r, &body, e);
}

static void on_part(void *user, const struct s3_answer *a)
{
    struct s3_slot *slot = user;
    struct s3_put *p = slot->put;
    struct objstore_result *r = &p->task.result;

    slot->busy = false;
    p->busy--;
    r->bytes += slot->request.bytes_sent;
    if (a->is.verdict == S3_CANCELLED) {
        s3_result_cancelled(r);
    } else if (r->outcome == OBJSTORE_DONE) {
        if (p->changed || (a->is.verdict == S3_OK && tap_differs(slot)))
            s3_put_source_changed(p);
        else if (a->is.verdict == S3_OK)
            p->parts_done++;
        else
            s3_result_take(r, a, &slot->request);
        /* NoSuchUpload says nothing of the object. */
        if (r->outcome == OBJSTORE_ABSENT) {
            r->outcome = OBJSTORE_UNAVAILABLE;
            err_wrap(&r->err, "the upload of '%s' is gone", driver_shown(p->task.key).text);
        }
    }
    s3_parts_run(p);
}

static bool send_part(struct s3_slot *slot)
{
    struct s3_put *p = slot->put;
    struct s3_request *r = &slot->request;
    struct err e;

    if (!hash_part(slot))
        return false;
    const struct s3_body body = body_of(slot);
    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_PART,
                             .key = p->task.key,
                             .body =
                                 body.data == NULL ? NULL : (const char *)body.data + body.offset,
                             .fd = body.fd,
                             .has_fd = body.data == NULL,
                             .offset = body.data == NULL ? body.offset : 0,
                             .length = body.length,
                             .payload_sha256 = slot->sha256,
                             .io_user = slot,
                             .read = read_part,
                             .may_retry = may_retry,
                             .done = on_part,
                             .user = slot};
    slot->tap_on = (p->task.store->base.features & OBJSTORE_CHECKS_PAYLOAD) == 0;
    r->tap = slot->tap_on ? tap : NULL;
    (void)snprintf(slot->number, sizeof slot->number, "%zu", slot->part + 1);
    s3_request_query(r, "partNumber", slot->number);
    s3_request_query(r, "uploadId", p->upload_id);
    if (s3_request_send(r, 0, &e) != ERR_OK) {
        struct s3_answer a;
        s3_result_unsent(&a, &e);
        s3_result_take(&p->task.result, &a, r);
        return false;
    }
    slot->busy = true;
    p->busy++;
    return true;
}

void s3_parts_run(struct s3_put *p)
{
    const struct objstore_result *r = &p->task.result;

    for (size_t i = 0; i < p->slot_count && r->outcome == OBJSTORE_DONE; i++) {
        struct s3_slot *slot = &p->slots[i];
        while (p->next_part < p->parts && p->etags[p->next_part] != NULL)
            p->next_part++; /* an earlier process has sent it */
        if (slot->busy || p->next_part == p->parts)
            continue;
        slot->part = p->next_part++;
        if (!send_part(slot))
            break;
    }
    if (p->busy > 0)
        return;
    if (r->outcome != OBJSTORE_DONE)
        s3_put_stop(p);
    else if (p->parts_done == p->parts)
        s3_multipart_parts_done(p);
}
