/* objstore_wait: blocking helpers over the asynchronous interface. */
#include "blobferry/codec/digest.h"
#include "blobferry/codec/text.h"
#include "blobferry/object/objstore.h"

#include <string.h>

#define TURN_MS 100

struct wait {
    struct objstore_result *result;
    bool over;
};

static void on_done(void *user, const struct objstore_result *r)
{
    struct wait *w = user;
    *w->result = *r;
    w->over = true;
}

/* Drives the loop until `w` is over. Should the loop itself fail, everything under way is cancelled: nobody may call back
 * into a frame that is gone. */
static enum err_code finish(struct objstore *s, struct wait *w, enum err_code code, struct err *e)
{
    while (code == ERR_OK && !w->over)
        code = objstore_run(s, TURN_MS, e);
    if (code != ERR_OK && !w->over)
        objstore_cancel_all(s);
    return code;
}

enum err_code objstore_stat_wait(struct objstore *s, const char *key, struct objstore_result *r,
                                 struct err *e)
{
    struct wait w = {r, false};
    enum err_code code = objstore_stat(s, key, on_done, &w, e);
    if (code != ERR_OK)
        return code;
    return finish(s, &w, code, e);
}

enum err_code objstore_ping_wait(struct objstore *s, struct objstore_result *r, struct err *e)
{
    struct wait w = {r, false};
    enum err_code code = objstore_ping(s, on_done, &w, e);
    if (code != ERR_OK)
        return code;
    return finish(s, &w, code, e);
}

enum err_code objstore_remove_wait(struct objstore *s, const char *key, const char *if_match,
                                   struct objstore_result *r, struct err *e)
{
    struct wait w = {r, false};
    enum err_code code = objstore_remove(s, key, if_match, on_done, &w, e);
    if (code != ERR_OK)
        return code;
    return finish(s, &w, code, e);
}

enum err_code objstore_abort_wait(struct objstore *s, const char *key, const char *upload_id,
                                  struct objstore_result *r, struct err *e)
{
    struct wait w = {r, false};
    enum err_code code = objstore_abort(s, key, upload_id, on_done, &w, e);
    if (code != ERR_OK)
        return code;
    return finish(s, &w, code, e);
}

struct hashing {
    struct digest digest;
    int64_t size;
};

static bool take(void *user, const void *p, size_t n)
{
    struct hashing *h = user;

    if (p == NULL && n == 0) {
        digest_restart(&h->digest);
        h->size = 0;
        return true;
    }
    digest_update(&h->digest, p, n);
    h->size += (int64_t)n;
    return true;
}

enum err_code objstore_hash_wait(struct objstore *s, const char *key, struct objstore_result *r,
                                 struct err *e)
{
    struct hashing h = {.size = 0};
    unsigned char sha256[DIGEST_MAX];
    const struct objstore_get get = {.key = key, .sink = take, .sink_user = &h};
    struct wait w = {r, false};
    enum err_code code = digest_init(&h.digest, DIGEST_SHA256, e);

    if (code != ERR_OK)
        return code;
    code = objstore_get(s, &get, on_done, &w, e);
    if (code == ERR_OK)
        code = finish(s, &w, code, e);
    if (code == ERR_OK && r->outcome == OBJSTORE_DONE) {
        digest_final(&h.digest, sha256);
        text_hex(sha256, DIGEST_SHA256_SIZE, r->info.sha256);
        r->info.size = h.size;
    }
    digest_release(&h.digest);
    return code;
}
