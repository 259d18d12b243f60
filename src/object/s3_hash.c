/* s3_hash: reads an object back and hashes it, in constant memory. */
#include "blobferry/codec/text.h"
#include "s3.h"

#include <string.h>

static bool take(void *user, const void *p, size_t n)
{
    struct s3_hash *h = user;
    digest_update(&h->digest, p, n);
    h->size += n;
    return true;
}

static void on_answer(void *user, const struct s3_answer *a)
{
    struct s3_hash *h = user;
    unsigned char raw[DIGEST_MAX];

    /* A broken answer has spoilt the digest: the owner of the retry is here, since bytes begin again. */
    if (a->is.verdict == S3_RETRY) {
        digest_restart(&h->digest);
        h->size = 0;
        if (s3_request_again(&h->request, -1))
            return;
    }
    if (a->is.verdict == S3_OK) {
        digest_final(&h->digest, raw);
        text_hex(raw, DIGEST_SHA256_SIZE, h->sha256);
    }
    digest_release(&h->digest);
    h->done(h->user, h, a);
}

static enum s3_verdict read_status(void *user, const struct http_response *r, struct err *e)
{
    (void)user;
    if (r->status == 200)
        return S3_OK;
    err_set(e, ERR_STORE_CORRUPT, "HTTP %d for a whole object", r->status);
    return S3_CORRUPT;
}

enum err_code s3_hash_start(struct s3_hash *h, struct s3_store *s, const char *key,
                            s3_hash_fn *done, void *user, struct err *e)
{
    enum err_code code;

    memset(h, 0, sizeof *h);
    h->done = done;
    h->user = user;
    h->request = (struct s3_request){.store = s,
                                     .op = S3_GET,
                                     .key = key,
                                     .sink = take,
                                     .io_user = h,
                                     .look_first = true,
                                     .read = read_status,
                                     .done = on_answer,
                                     .user = h};
    code = digest_init(&h->digest, DIGEST_SHA256, e);
    if (code != ERR_OK)
        return code;
    code = s3_request_send(&h->request, 0, e);
    if (code != ERR_OK)
        digest_release(&h->digest);
    return code;
}
