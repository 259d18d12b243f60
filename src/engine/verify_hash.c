#include "engine/verify_hash.h"

#include <string.h>

static bool take(void *user, const void *p, size_t n)
{
    struct verify_hash *h = user;

    if (p == NULL) { /* the answer broke off and begins again */
        digest_restart(&h->digest);
        h->bytes = 0;
    } else {
        digest_update(&h->digest, p, n);
        h->bytes += (int64_t)n;
    }
    return h->tee == NULL || h->tee(h->tee_user, p, n);
}

enum err_code verify_hash_start(struct verify_hash *h, struct objstore *store,
                                const struct verify_hash_options *o, objstore_done_fn *done,
                                void *user, struct err *e)
{
    struct objstore_get get = {
        .key = o->key, .if_match = o->if_match, .sink = take, .sink_user = h};
    enum err_code code;

    verify_hash_release(h);
    memset(h, 0, sizeof *h);
    h->tee = o->tee;
    h->tee_user = o->tee_user;
    code = digest_init(&h->digest, o->kind == DIGEST_NONE ? DIGEST_SHA256 : o->kind, e);
    h->running = code == ERR_OK;
    if (code == ERR_OK)
        code = objstore_get(store, &get, done, user, e);
    if (code != ERR_OK)
        verify_hash_release(h);
    return code;
}

void verify_hash_final(struct verify_hash *h, unsigned char out[DIGEST_MAX])
{
    memset(out, 0, DIGEST_MAX);
    if (h->running)
        digest_final(&h->digest, out);
}

void verify_hash_release(struct verify_hash *h)
{
    if (h->running)
        digest_release(&h->digest);
    h->running = false;
}
