/* s3_resume: an upload that an earlier process began. What it has sent is not believed: ListParts tells sizes and ETags, and a part
 * is kept only if the source's bytes, read again here, have both the SHA-256 of that part and, as MD5, the ETag that the store
 * gives it (P1). Where ETags are no MD5 nothing matches, and every part is sent again. One piece is read per turn of the loop. */
#include "s3_put.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "s3_part_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_MAX   ((size_t)1 << 20)
#define PIECE      ((size_t)256 << 10)
#define TURN_BYTES ((uint64_t)4 << 20)
#define MD5_SIZE   16
#define MD5_HEX    ((size_t)32)

struct s3_resume {
    struct s3_put *put;
    struct digest md5, sha256;
    char *piece;
    size_t part;     /* being read */
    uint64_t at;     /* bytes of it that have been */
    uint64_t marker; /* page of the list */
    char number[24];
    bool listed; /* some page has come */
};

static void release(struct s3_put *p)
{
    struct s3_resume *m = p->resume;

    if (m == NULL)
        return;
    digest_release(&m->md5);
    digest_release(&m->sha256);
    free(m->piece);
    free(m);
    p->resume = NULL;
}

void s3_resume_release(struct s3_put *p)
{
    release(p);
}

/* ---- giving the old upload up --------------------------------------------------------------------------------- */

static void forget_parts(struct s3_put *p)
{
    for (size_t i = 0; i < p->parts; i++) {
        free(p->etags[i]);
        p->etags[i] = NULL;
    }
    p->parts_done = 0;
}

static void create(struct s3_put *p)
{
    struct err e;

    release(p);
    forget_parts(p);
    free(p->upload_id);
    p->upload_id = NULL;
    if (s3_multipart_create(p, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

static void on_old_aborted(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;

    if (a->is.verdict == S3_OK || a->is.verdict == S3_ABSENT) {
        create(p);
    } else { /* P11: nothing new is begun beside it; it stays recorded */
        release(p);
        s3_result_take(&p->task.result, a, &p->request);
        s3_put_end(p);
    }
}

/* It cannot be continued: another one in its place. */
static void start_anew(struct s3_put *p)
{
    struct s3_request *r = &p->request;
    struct err e;

    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_ABORT,
                             .key = p->task.key,
                             .done = on_old_aborted,
                             .user = p};
    s3_request_query(r, "uploadId", p->upload_id);
    if (s3_request_send(r, 0, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

/* ---- proving parts ---------------------------------------------------------------------------------------------- */

static void go_on(struct s3_put *p)
{
    p->task.result.parts_kept = p->parts_done;
    release(p);
    s3_parts_run(p);
}

static bool next_listed(struct s3_resume *m)
{
    while (m->part < m->put->parts && m->put->etags[m->part] == NULL)
        m->part++;
    return m->part < m->put->parts;
}

/* The part has been read. False: the source is not what was hashed. */
static bool judge_part(struct s3_resume *m)
{
    struct s3_put *p = m->put;
    unsigned char sha256[DIGEST_MAX], md5[DIGEST_MAX];
    char hex[2 * MD5_SIZE + 1], *etag = p->etags[m->part];

    digest_final(&m->sha256, sha256);
    digest_final(&m->md5, md5);
    if (memcmp(sha256, p->in.part_sha256[m->part], DIGEST_SHA256_SIZE) != 0)
        return false;
    text_hex(md5, MD5_SIZE, hex);
    if (strlen(etag) == MD5_HEX + 2 && strncmp(etag + 1, hex, MD5_HEX) == 0) {
        p->parts_done++;
    } else { /* other bytes, or no MD5: it is sent */
        free(etag);
        p->etags[m->part] = NULL;
    }
    return true;
}

static void on_turn(void *user, bool cancelled);

static void later(struct s3_put *p)
{
    struct err e;

    if (http_after(p->task.store->http, 0, on_turn, p, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

/* Up to TURN_BYTES of the open part; false when the source cannot be read. */
static bool read_some(struct s3_resume *m, uint64_t length)
{
    const struct s3_put *p = m->put;
    const uint64_t base = (uint64_t)m->part * p->in.part_size;
    uint64_t budget = TURN_BYTES;

    while (m->at < length && budget > 0) {
        const size_t want = length - m->at < PIECE ? (size_t)(length - m->at) : PIECE;
        const ssize_t n = pread(p->in.fd, m->piece, want, (off_t)(base + m->at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        digest_update(&m->md5, m->piece, (size_t)n);
        digest_update(&m->sha256, m->piece, (size_t)n);
        m->at += (uint64_t)n;
        budget = (uint64_t)n < budget ? budget - (uint64_t)n : 0;
    }
    return true;
}

static void on_turn(void *user, bool cancelled)
{
    struct s3_put *p = user;
    struct s3_resume *m = p->resume;
    uint64_t length;

    if (cancelled) {
        s3_result_cancelled(&p->task.result);
        s3_put_end(p);
        return;
    }
    if (!next_listed(m)) {
        go_on(p);
        return;
    }
    length = s3_parts_length(p, m->part);
    if (!read_some(m, length) || (m->at == length && !judge_part(m))) {
        s3_put_source_changed(p);
        s3_put_stop(p);
        return;
    }
    if (m->at == length) {
        m->part++;
        m->at = 0;
        digest_restart(&m->md5);
        digest_restart(&m->sha256);
    }
    later(p);
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */

static enum err_code on_listed(void *user, const struct s3_part_listed *part, struct err *e)
{
    struct s3_put *p = user;
    char **at;

    if (part->number > p->parts || part->etag[0] == '\0' ||
        (uint64_t)part->size != s3_parts_length(p, (size_t)part->number - 1))
        return ERR_OK; /* of no use; a part that is sent again takes its place */
    at = &p->etags[part->number - 1];
    free(*at);
    if (asprintf(at, "\"%s\"", part->etag) < 0) {
        *at = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

static enum s3_verdict read_page(void *user, const struct http_response *r, struct err *e)
{
    struct s3_put *p = user;
    struct s3_resume *m = p->resume;
    uint64_t next = 0;

    if (s3_part_list_parse(r->body.data, r->body.len, m->marker, on_listed, p, &next, e) != ERR_OK)
        return S3_RETRY;
    m->marker = next;
    return S3_OK;
}

static void list(struct s3_put *p);

static void on_page(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;

    switch (a->is.verdict) {
    case S3_OK:
        if (p->resume->marker > 0)
            list(p);
        else
            later(p);
        break;
    case S3_ABSENT: /* expired, or aborted by somebody */
        create(p);
        break;
    case S3_DENIED: /* rights to upload need not include the right to list */
    case S3_FALLBACK:
    case S3_REJECTED:
        start_anew(p);
        break;
    case S3_RETRY: /* in doubt: it stays as it is, and recorded */
    case S3_CANCELLED:
    default:
        s3_result_take(&p->task.result, a, &p->request);
        s3_put_end(p);
        break;
    }
}

static void list(struct s3_put *p)
{
    struct s3_resume *m = p->resume;
    struct s3_request *r = &p->request;
    struct err e;

    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_LIST_PARTS,
                             .key = p->task.key,
                             .body_max = PAGE_MAX,
                             .read = read_page,
                             .done = on_page,
                             .user = p};
    s3_request_query(r, "uploadId", p->upload_id);
    if (m->marker > 0) {
        (void)snprintf(m->number, sizeof m->number, "%llu", (unsigned long long)m->marker);
        s3_request_query(r, "part-number-marker", m->number);
    }
    if (s3_request_send(r, 0, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

/* ---- begin ----------------------------------------------------------------------------------------------------------- */

bool s3_resume_wanted(const struct s3_put *p)
{
    return p->resume != NULL;
}

enum err_code s3_resume_init(struct s3_put *p, struct err *e)
{
    struct s3_resume *m;
    enum err_code code;

    if (p->in.resume_upload == NULL || p->parts == 0 || p->in.data != NULL ||
        p->in.part_sha256 == NULL || p->in.condition != OBJSTORE_IF_ABSENT)
        return ERR_OK;
    m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->resume = m;
    m->put = p;
    p->upload_id = str_dup(p->in.resume_upload);
    m->piece = malloc(PIECE);
    if (p->upload_id == NULL || m->piece == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = digest_init(&m->sha256, DIGEST_SHA256, e);
    if (code == ERR_OK && digest_init(&m->md5, DIGEST_MD5, NULL) != ERR_OK)
        code =
            digest_init(&m->md5, DIGEST_SHA256, e); /* FIPS: nothing matches, all is sent again */
    return code;
}

void s3_resume_start(struct s3_put *p)
{
    list(p);
}
