/* s3_put: submit, and the single PUT. One pass over the bytes has given their SHA-256, which is signed: a store that checks it
 * takes these bytes or none (P1). Where it is not known to check, the bytes are hashed as they leave and read back. */
#include "s3_put.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "provenance.h"

#include <stdlib.h>
#include <string.h>

/* ---- ending -------------------------------------------------------------------------------------------- */

static void release(struct s3_put *p)
{
    for (size_t i = 0; i < sizeof p->strings / sizeof p->strings[0]; i++)
        free(p->strings[i]);
    s3_headers_meta_release(&p->meta);
    s3_multipart_release(p);
    digest_release(&p->tap);
    s3_task_free(&p->task);
}

void s3_put_end(struct s3_put *p)
{
    s3_task_leave(&p->task);
    if (p->task.result.outcome == OBJSTORE_DONE)
        err_init(&p->task.result.err);
    p->task.done(p->task.user, &p->task.result);
    release(p);
}

void s3_put_stop(struct s3_put *p)
{
    if (p->upload_id != NULL && p->task.result.outcome != OBJSTORE_CANCELLED)
        s3_multipart_abandon(p);
    else
        s3_put_end(p);
}

void s3_put_fail(struct s3_put *p, const struct s3_answer *a, const struct s3_request *r)
{
    s3_result_take(&p->task.result, a, r);
    s3_put_stop(p);
}

void s3_put_fail_unsent(struct s3_put *p, const struct err *e)
{
    struct s3_answer a;

    s3_result_unsent(&a, e);
    s3_put_fail(p, &a, &p->request);
}

void s3_put_source_changed(struct s3_put *p)
{
    p->changed = true;
    p->task.result.outcome = OBJSTORE_LOCAL;
    err_set(&p->task.result.err, ERR_FILE_CHANGED, "the source of '%s' changed while it was sent",
            driver_shown(p->task.key).text);
}

/* ---- the request ---------------------------------------------------------------------------------------- */

bool s3_put_if_none_match(const struct s3_put *p, unsigned feature)
{
    return p->in.condition == OBJSTORE_IF_ABSENT && (p->task.store->base.features & feature) != 0;
}

static void tap(void *user, const void *bytes, size_t n)
{
    struct s3_put *p = user;

    if (bytes == NULL && n == 0)
        digest_restart(&p->tap);
    else
        digest_update(&p->tap, bytes, n);
}

static struct s3_body body_of(const struct s3_put *p)
{
    return (struct s3_body){
        .data = p->in.data, .fd = p->in.fd, .length = p->in.size, .sha256 = p->sha256};
}

bool s3_put_digest_refused(const struct s3_answer *a)
{
    const char *code = a->is.error.code;
    return str_eq(code, "XAmzContentSHA256Mismatch") || str_eq(code, "BadDigest") ||
           str_eq(code, "XAmzContentChecksumMismatch");
}

static bool source_is_same(struct s3_put *p)
{
    const struct s3_body body = body_of(p);
    char hex[DIGEST_SHA256_HEX];

    return s3_echo_sha256(&body, hex) && str_eq(hex, p->sha256);
}

/* Where only HEAD keeps us from overwriting, HEAD comes before each PUT (P5). */
static bool may_retry(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;

    if (s3_put_digest_refused(a) && !source_is_same(p)) {
        p->changed = true;
        return false;
    }
    return p->in.condition == OBJSTORE_OVERWRITE || s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH);
}

static enum s3_verdict read_answer(void *user, const struct http_response *r, struct err *e)
{
    struct s3_put *p = user;
    const struct s3_body body = body_of(p);
    struct objinfo *info = &p->task.result.info;
    const char *version = http_response_header(r, "x-amz-version-id");

    memset(info, 0, sizeof *info);
    info->size = (int64_t)p->in.size;
    s3_headers_etag(http_response_header(r, "ETag"), info->etag, &info->weak_etag);
    str_copy(p->etag, sizeof p->etag, info->etag);
    str_copy(info->version_id, sizeof info->version_id, version == NULL ? "" : version);
    return s3_echo_check(r, &body, e);
}

/* The tap's digest, once the body has gone out. */
static bool tap_differs(struct s3_put *p)
{
    unsigned char raw[DIGEST_MAX];
    char hex[DIGEST_SHA256_HEX];

    if (!p->tap_on)
        return false;
    digest_final(&p->tap, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, hex);
    return !str_eq(hex, p->sha256);
}

/* To look first, or to write at once? A multipart upload is worth a look before its first byte, whatever the store honours. */
static enum err_code begin(struct s3_put *p, struct err *e)
{
    if (p->in.condition == OBJSTORE_IF_ABSENT &&
        (p->parts > 0 || !s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH)))
        return s3_settle_start(p, S3_LOOK_BEFORE, 0, e);
    return p->parts > 0 ? s3_multipart_create(p, e) : s3_put_send(p, e);
}

/* Something optional that we sent is not implemented: do without it from now on. False: it was nothing of ours. */
static bool fall_back(struct s3_put *p, const struct s3_answer *a)
{
    unsigned *features = &p->task.store->base.features;
    const char *header = a->is.error.header;
    unsigned drop = OBJSTORE_IF_NONE_MATCH | OBJSTORE_STORES_SHA256;
    struct err e;

    if (str_starts(header, "x-amz-checksum") || str_starts(header, "x-amz-sdk-checksum"))
        drop = OBJSTORE_STORES_SHA256;
    else if (str_ieq(header, "If-None-Match"))
        drop = OBJSTORE_IF_NONE_MATCH;
    if ((*features & drop) == 0)
        return false;
    *features &= ~drop;
    p->sent = false;
    if (begin(p, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
    return true;
}

static void lost(struct s3_put *p, const struct s3_answer *a)
{
    int64_t pause = 0;

    p->lost = *a;
    p->lost.response = NULL; /* it is gone when we come back */
    p->may_repeat = s3_request_backoff(&p->request, &pause);
    if (pause < p->task.store->retry.base_ms)
        pause = p->task.store->retry.base_ms; /* the store may still be at it */
    s3_settle_look(p, S3_LOOK_LOST, pause);
}

static void on_put(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;
    struct objstore_result *r = &p->task.result;
    int64_t pause;

    r->bytes = p->request.bytes_sent;
    r->attempts = p->request.retry.attempts;
    r->status = p->request.status;
    if (p->changed) {
        s3_put_source_changed(p);
        s3_put_end(p);
    } else if (a->is.verdict == S3_OK && tap_differs(p)) {
        s3_put_source_changed(p);
        s3_settle_retract(p);
    } else if (a->is.verdict == S3_OK && (p->etag[0] == '\0' || r->info.weak_etag)) {
        s3_settle_look(p, S3_LOOK_AFTER, 0);
    } else if (a->is.verdict == S3_OK) {
        s3_settle_written(p);
    } else if (a->is.verdict == S3_CORRUPT ||
               (a->is.verdict == S3_LOCAL && a->err.code == ERR_FILE_CHANGED)) {
        s3_result_take(r, a, &p->request); /* of a 200: something stands there now */
        s3_settle_retract(p);
    } else if (a->is.verdict == S3_PRECONDITION) {
        p->lost = *a;
        p->lost.response = NULL;
        p->may_repeat = s3_request_backoff(&p->request, &pause);
        s3_settle_look(p, S3_LOOK_CONFLICT, 0);
    } else if (a->is.verdict == S3_RETRY &&
               (a->is.unknown || (p->in.condition == OBJSTORE_IF_ABSENT &&
                                  !s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH)))) {
        lost(p, a);
    } else if (a->is.verdict != S3_FALLBACK || !fall_back(p, a)) {
        s3_put_fail(p, a, &p->request);
    }
}

enum err_code s3_put_send(struct s3_put *p, struct err *e)
{
    const unsigned features = p->task.store->base.features;
    struct s3_request *r = &p->request;

    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_PUT,
                             .key = p->task.key,
                             .body = p->in.data,
                             .fd = p->in.fd,
                             .has_fd = p->in.data == NULL && p->in.size > 0,
                             .length = p->in.size,
                             .payload_sha256 = p->sha256,
                             .io_user = p,
                             .look_first = true,
                             .read = read_answer,
                             .may_retry = may_retry,
                             .done = on_put,
                             .user = p};
    p->tap_on = (features & OBJSTORE_CHECKS_PAYLOAD) == 0;
    if (p->tap_on) {
        const enum err_code code =
            p->tap.evp != NULL ? ERR_OK : digest_init(&p->tap, DIGEST_SHA256, e);
        if (code != ERR_OK)
            return code;
        r->tap = tap;
    }
    s3_request_header(r, "content-type", provenance_content_type(p->in.meta.content_type));
    s3_request_header(r, "x-amz-meta-blobferry-id", p->meta.id.len > 0 ? p->meta.id.data : NULL);
    s3_request_header(r, "x-amz-meta-blobferry-batch",
                      p->meta.batch.len > 0 ? p->meta.batch.data : NULL);
    s3_request_header(r, "x-amz-meta-blobferry-name",
                      p->meta.name.len > 0 ? p->meta.name.data : NULL);
    s3_request_header(r, "x-amz-meta-blobferry-sha256", p->sha256);
    if ((features & OBJSTORE_STORES_SHA256) != 0)
        s3_request_header(r, "x-amz-checksum-sha256", p->sha256_base64);
    if (s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH))
        s3_request_header(r, "if-none-match", "*");
    p->sent = true;
    return s3_request_send(r, 0, e);
}

/* ---- submitting ------------------------------------------------------------------------------------------ */

/* Copies of the strings that the caller may drop. */
static bool copy_input(struct s3_put *p, const struct objstore_put *in)
{
    const char **const fields[] = {&p->in.meta.record_id, &p->in.meta.batch_id,
                                   &p->in.meta.filename, &p->in.meta.content_type,
                                   &p->in.resume_upload};
    unsigned char raw[DIGEST_SHA256_SIZE];

    p->in = *in;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (*fields[i] == NULL)
            continue;
        p->strings[i] = str_dup(*fields[i]);
        if (p->strings[i] == NULL)
            return false;
        *fields[i] = p->strings[i];
    }
    str_copy(p->sha256, sizeof p->sha256, in->sha256);
    p->in.key = p->task.key;
    p->in.sha256 = p->in.meta.sha256 = p->sha256;
    p->in.fd = in->data == NULL ? in->fd : -1;
    return text_unhex(p->sha256, 64, raw) &&
           text_base64(raw, sizeof raw, p->sha256_base64, sizeof p->sha256_base64) &&
           s3_headers_meta_init(&p->meta, &p->in.meta);
}

enum err_code s3_put_start(struct objstore *store, const struct objstore_put *in,
                           objstore_done_fn *done, void *user, struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct s3_put *p = s3_task_new(sizeof *p, s, in->key, done, user, e);
    enum err_code code;

    if (p == NULL)
        return ERR_NOMEM;
    buf_init(&p->document, (size_t)4 << 20);
    code = copy_input(p, in) ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK && in->part_size > 0 && in->size > 0)
        code = s3_parts_init(p, e);
    if (code == ERR_OK)
        code = s3_resume_init(p, e);
    if (code == ERR_OK)
        code = begin(p, e);
    if (code != ERR_OK)
        release(p);
    return code;
}
