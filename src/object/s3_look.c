/* s3_look: HEAD. A bodyless 404 may also mean that the bucket, or the whole store, is another one (D2): as long as no answer
 * has proved that the bucket is there, a GET of one byte asks for the reason in words. */
#include "s3.h"
#include "s3_headers.h"

#include <string.h>

static enum s3_verdict read_head(void *user, const struct http_response *r, struct err *e)
{
    struct s3_look *l = user;

    if (s3_headers_info(r, &l->info))
        return S3_OK;
    err_set(e, ERR_STORE_CORRUPT, "'%s' has a checksum that is none",
            driver_shown(l->request.key).text);
    return S3_CORRUPT;
}

/* Nothing of the byte is wanted. */
static bool drop(void *user, const void *p, size_t n)
{
    (void)user;
    (void)p;
    (void)n;
    return true;
}

static enum s3_verdict read_byte(void *user, const struct http_response *r, struct err *e)
{
    struct s3_look *l = user;

    (void)r;
    err_set(e, ERR_STORE_UNAVAILABLE, "'%s' is there for GET and not for HEAD",
            driver_shown(l->request.key).text);
    return S3_RETRY;
}

static void on_confirmed(void *user, const struct s3_answer *a)
{
    struct s3_look *l = user;
    l->done(l->user, l, a);
}

static void on_head(void *user, const struct s3_answer *a)
{
    struct s3_look *l = user;
    struct s3_request *r = &l->request;
    struct err e;

    if (a->is.verdict != S3_ABSENT || r->store->bucket_seen) {
        l->done(l->user, l, a);
        return;
    }
    r->op = S3_GET;
    r->read = read_byte;
    r->sink = drop;
    r->done = on_confirmed;
    r->header_count = 0;
    s3_request_header(r, "range", "bytes=0-0");
    if (s3_request_send(r, 0, &e) != ERR_OK) {
        struct s3_answer failed;
        s3_result_unsent(&failed, &e);
        l->done(l->user, l, &failed);
    }
}

enum err_code s3_look_start(struct s3_look *l, struct s3_store *s, const struct s3_look_options *o,
                            struct err *e)
{
    memset(l, 0, sizeof *l);
    l->done = o->done;
    l->user = o->user;
    l->request = (struct s3_request){
        .store = s, .op = S3_HEAD, .key = o->key, .read = read_head, .done = on_head, .user = l};
    /* AWS tells stored checksums only when asked. */
    if ((s->base.features & OBJSTORE_STORES_SHA256) != 0)
        s3_request_header(&l->request, "x-amz-checksum-mode", "ENABLED");
    return s3_request_send(&l->request, o->delay_ms, e);
}
