/* s3_multipart: create, complete, abort. An upload is recorded by its owner before the first part is sent, and aborted on every
 * failure but a lost answer to Complete, which may have succeeded, and a cancellation, whose uploads the next run aborts (P11).
 */
#include "s3_put.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/xml.h"
#include "provenance.h"
#include "s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX ((size_t)1 << 20) /* Complete sends blanks for as long as it works */

bool s3_multipart_leaf(const struct buf *body, const char *root, const char *name, char *dst,
                       size_t size)
{
    struct xml x;
    bool right = false, found = false;

    xml_init(&x, body->data, body->len, size);
    while (xml_next(&x)) {
        if (x.event == XML_OPEN && x.depth == 1)
            right = str_eq(x.name, root);
        if (x.event == XML_CLOSE && x.depth == 2 && x.leaf && right && str_eq(x.name, name))
            found = str_copy(dst, size, buf_cstr(&x.text));
    }
    right = right && !x.failed;
    xml_release(&x);
    return right && found;
}

/* ---- create -------------------------------------------------------------------------------------------- */

static enum s3_verdict read_created(void *user, const struct http_response *r, struct err *e)
{
    struct s3_put *p = user;
    char id[S3_UPLOAD_ID_MAX];

    free(p->upload_id);
    p->upload_id = NULL;
    if (!s3_multipart_leaf(&r->body, "InitiateMultipartUploadResult", "UploadId", id, sizeof id) ||
        id[0] == '\0') {
        err_set(e, ERR_STORE_UNAVAILABLE, "the answer names no upload");
        return S3_RETRY; /* an upload may exist all the same: s3_lost */
    }
    p->upload_id = str_dup(id);
    if (p->upload_id != NULL)
        return S3_OK;
    err_set(e, ERR_NOMEM, "out of memory");
    return S3_LOCAL;
}

static void on_created(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;
    struct objstore_result *r = &p->task.result;

    if (a->is.verdict == S3_RETRY && a->is.unknown) {
        p->lost = *a;
        p->lost.response = NULL;
        s3_lost_find(p);
        return;
    }
    if (a->is.verdict != S3_OK) {
        s3_put_fail(p, a, &p->request);
        return;
    }
    r->attempts = p->request.retry.attempts;
    if (p->in.on_upload != NULL &&
        p->in.on_upload(p->in.upload_user, p->upload_id, p->in.part_size, &r->err) != ERR_OK) {
        r->outcome = OBJSTORE_LOCAL; /* P11: an upload that is not recorded must not stay */
        s3_multipart_abandon(p);
        return;
    }
    s3_parts_run(p);
}

enum err_code s3_multipart_create(struct s3_put *p, struct err *e)
{
    struct s3_request *r = &p->request;

    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_CREATE,
                             .key = p->task.key,
                             .look_first = true,
                             .read = read_created,
                             .done = on_created,
                             .user = p};
    s3_request_query(r, "uploads", "");
    s3_request_header(r, "content-type", provenance_content_type(p->in.meta.content_type));
    s3_request_header(r, "x-amz-meta-blobferry-id", p->meta.id.len > 0 ? p->meta.id.data : NULL);
    s3_request_header(r, "x-amz-meta-blobferry-batch",
                      p->meta.batch.len > 0 ? p->meta.batch.data : NULL);
    s3_request_header(r, "x-amz-meta-blobferry-name",
                      p->meta.name.len > 0 ? p->meta.name.data : NULL);
    s3_request_header(r, "x-amz-meta-blobferry-sha256", p->sha256);
    p->sent = true;
    return s3_request_send(r, 0, e);
}

/* ---- complete ------------------------------------------------------------------------------------------- */

static bool make_document(struct s3_put *p)
{
    struct buf *b = &p->document;

    buf_reset(b);
    buf_str(b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < p->parts; i++) {
        buf_printf(b, "<Part><PartNumber>%zu</PartNumber>", i + 1);
        s3_xml_element(b, "ETag", p->etags[i]);
        buf_str(b, "</Part>");
    }
    buf_str(b, "</CompleteMultipartUpload>");
    if (!buf_ok(b))
        return false;
    digest_sha256_hex(b->data, b->len, p->document_sha256);
    return true;
}

static void in_doubt(struct s3_put *p, const struct s3_answer *a)
{
    int64_t pause = 0;

    p->lost = *a;
    p->lost.response = NULL;
    p->may_repeat = s3_request_backoff(&p->request, &pause);
    if (a->is.verdict == S3_ABSENT) {
        p->may_repeat = false; /* NoSuchUpload: completed, or aborted by somebody */
        pause = 0;
    } else if (pause < p->task.store->retry.base_ms) {
        pause = p->task.store->retry.base_ms;
    }
    s3_settle_look(p, S3_LOOK_LOST, pause);
}

/* Between two attempts somebody may have come: without the store's own condition, HEAD decides again. */
static bool may_retry(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;

    (void)a;
    return p->in.condition == OBJSTORE_OVERWRITE ||
           s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH_MPU);
}

static void on_completed(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;
    int64_t pause;

    p->task.result.attempts = p->request.retry.attempts;
    if (a->is.verdict == S3_OK) {
        /* Ceph names no ETag in its answer, others one that is not the object's: HEAD tells. */
        free(p->upload_id);
        p->upload_id = NULL;
        s3_settle_look(p, S3_LOOK_AFTER, 0);
    } else if ((a->is.verdict == S3_RETRY && (a->is.unknown || !may_retry(p, a))) ||
               a->is.verdict == S3_ABSENT) {
        in_doubt(p, a);
    } else if (a->is.verdict == S3_PRECONDITION) {
        p->lost = *a;
        p->lost.response = NULL;
        p->may_repeat = s3_request_backoff(&p->request, &pause);
        s3_settle_look(p, S3_LOOK_CONFLICT, 0);
    } else {
        s3_put_fail(p, a, &p->request);
    }
}

enum err_code s3_multipart_complete(struct s3_put *p, struct err *e)
{
    struct s3_request *r = &p->request;

    if (!make_document(p))
        return err_set(e, ERR_NOMEM, "out of memory");
    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_COMPLETE,
                             .key = p->task.key,
                             .body = p->document.data,
                             .length = p->document.len,
                             .payload_sha256 = p->document_sha256,
                             .body_max = ANSWER_MAX,
                             .look_first = true,
                             .may_retry = may_retry,
                             .done = on_completed,
                             .user = p};
    s3_request_query(r, "uploadId", p->upload_id);
    s3_request_header(r, "content-type", "application/xml");
    if (s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH_MPU))
        s3_request_header(r, "if-none-match", "*");
    return s3_request_send(r, 0, e);
}

void s3_multipart_parts_done(struct s3_put *p)
{
    struct err e;

    if (p->in.condition == OBJSTORE_IF_ABSENT &&
        !s3_put_if_none_match(p, OBJSTORE_IF_NONE_MATCH_MPU))
        s3_settle_look(p, S3_LOOK_LAST, 0);
    else if (s3_multipart_complete(p, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

/* ---- abort ----------------------------------------------------------------------------------------------- */

static void on_aborted(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;
    struct objstore_result *r = &p->task.result;
    const bool gone = a->is.verdict == S3_OK || a->is.verdict == S3_ABSENT;

    if (a->is.verdict == S3_CANCELLED)
        s3_result_cancelled(r);
    else if (!gone && r->outcome != OBJSTORE_DONE && r->err.hint[0] == '\0')
        err_hint(&r->err, "its multipart upload could not be aborted; the next run tries again");
    if (r->outcome == OBJSTORE_DONE) { /* resolved by a look: the bytes are still to be proved */
        free(p->upload_id);
        p->upload_id = NULL;
        s3_settle_written(p);
        return;
    }
    s3_put_end(p);
}

void s3_multipart_abandon(struct s3_put *p)
{
    struct s3_request *r = &p->request;
    struct err e;

    *r = (struct s3_request){
        .store = p->task.store, .op = S3_ABORT, .key = p->task.key, .done = on_aborted, .user = p};
    s3_request_query(r, "uploadId", p->upload_id);
    if (s3_request_send(r, 0, &e) == ERR_OK)
        return;
    err_hint(&p->task.result.err, "its multipart upload was not aborted; the next run does it");
    s3_put_end(p);
}

void s3_multipart_release(struct s3_put *p)
{
    s3_resume_release(p);
    s3_parts_release(p);
    free(p->upload_id);
    buf_release(&p->document);
    for (size_t i = 0; i < p->stray_count; i++)
        free(p->strays[i]);
}
