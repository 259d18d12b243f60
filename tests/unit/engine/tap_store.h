/* tap_store: an object store that hands everything to another one and lets a test look, refuse, or lie: the faults that a
 * directory does not have. Counts what passes. */
#ifndef BLOBFERRY_TESTS_TAP_STORE_H
#define BLOBFERRY_TESTS_TAP_STORE_H

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "object/driver.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum tap_op { TAP_STAT, TAP_GET, TAP_PUT, TAP_REMOVE, TAP_ABORT, TAP_UPLOADS, TAP_PING, TAP_OPS };

struct tap;
/* Before the operation: true means that *r is its result and the inner store is not asked. */
typedef bool tap_before_fn(struct tap *t, enum tap_op op, const char *key,
                           struct objstore_result *r);
/* After it: *r may be changed (an answer that is lost, or wrong). */
typedef void tap_after_fn(struct tap *t, enum tap_op op, const char *key,
                          struct objstore_result *r);

struct tap_call {
    struct tap_call *next;
    struct tap *tap;
    enum tap_op op;
    char *key;
    objstore_done_fn *done;
    objstore_page_fn *page;
    void *user;
    struct objstore_result result;
};
struct tap {
    struct objstore base;
    struct objstore *inner; /* the test's own */
    tap_before_fn *before;
    tap_after_fn *after;
    void *user;
    int counts[TAP_OPS];
    struct tap_call *answers; /* results of `before`, to be delivered by run */
    size_t answer_count;
    bool hold_parts; /* uploads in parts begin, as "held", and never end … */
    int held_signal; /* … and then the process is told to stop */
    struct tap_call *held;
    /* uploads that list_uploads tells of */
    const struct objstore_entry *uploads;
    size_t upload_count;
};

static inline struct tap *tap_of(struct objstore *s)
{
    return (struct tap *)(void *)s;
}

static inline void tap_call_free(struct tap_call *c)
{
    free(c->key);
    free(c);
}

static inline struct tap_call *tap_begin(struct objstore *s, enum tap_op op, const char *key,
                                         objstore_done_fn *done, void *user)
{
    struct tap_call *c = calloc(1, sizeof *c);
    *c = (struct tap_call){.tap = tap_of(s), .op = op, .done = done, .user = user};
    c->key = str_dup(key != NULL ? key : "");
    c->tap->counts[op]++;
    return c;
}

/* Answered by the test? Then it is queued. */
static inline bool tap_answered(struct tap_call *c)
{
    c->result.info.size = -1;
    c->result.attempts = 1;
    if (c->tap->before == NULL || !c->tap->before(c->tap, c->op, c->key, &c->result))
        return false;
    c->next = c->tap->answers;
    c->tap->answers = c;
    c->tap->answer_count++;
    return true;
}

static inline void tap_on_done(void *user, const struct objstore_result *r)
{
    struct tap_call *c = user;
    c->result = *r;
    if (c->tap->after != NULL)
        c->tap->after(c->tap, c->op, c->key, &c->result);
    c->done(c->user, &c->result);
    tap_call_free(c);
}

static inline enum err_code tap_pass(struct tap_call *c, enum err_code code)
{
    if (code != ERR_OK)
        tap_call_free(c);
    return code;
}

static inline enum err_code tap_stat(struct objstore *s, const char *key, objstore_done_fn *done,
                                     void *user, struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_STAT, key, done, user);
    return tap_answered(c) ? ERR_OK
                           : tap_pass(c, objstore_stat(c->tap->inner, key, tap_on_done, c, e));
}

static inline enum err_code tap_get(struct objstore *s, const struct objstore_get *g,
                                    objstore_done_fn *done, void *user, struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_GET, g->key, done, user);
    return tap_answered(c) ? ERR_OK
                           : tap_pass(c, objstore_get(c->tap->inner, g, tap_on_done, c, e));
}

static inline enum err_code tap_put(struct objstore *s, const struct objstore_put *p,
                                    objstore_done_fn *done, void *user, struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_PUT, p->key, done, user);
    if (c->tap->hold_parts && p->part_size > 0) {
        c->next = c->tap->held;
        c->tap->held = c;
        if (c->tap->held_signal != 0)
            process_stop_for_tests(c->tap->held_signal);
        return p->on_upload(p->upload_user, "held", p->part_size, e);
    }
    return tap_answered(c) ? ERR_OK
                           : tap_pass(c, objstore_put(c->tap->inner, p, tap_on_done, c, e));
}

static inline enum err_code tap_remove(struct objstore *s, const char *key, const char *if_match,
                                       objstore_done_fn *done, void *user, struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_REMOVE, key, done, user);
    return tap_answered(c)
               ? ERR_OK
               : tap_pass(c, objstore_remove(c->tap->inner, key, if_match, tap_on_done, c, e));
}

static inline enum err_code tap_abort(struct objstore *s, const char *key, const char *upload_id,
                                      objstore_done_fn *done, void *user, struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_ABORT, upload_id, done, user);
    return tap_answered(c)
               ? ERR_OK
               : tap_pass(c, objstore_abort(c->tap->inner, key, upload_id, tap_on_done, c, e));
}

static inline enum err_code tap_ping(struct objstore *s, objstore_done_fn *done, void *user,
                                     struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_PING, NULL, done, user);
    return tap_answered(c) ? ERR_OK : tap_pass(c, objstore_ping(c->tap->inner, tap_on_done, c, e));
}

/* Always told by the test: tap.uploads. */
static inline enum err_code tap_uploads(struct objstore *s, const struct objstore_list *l,
                                        objstore_page_fn *done, void *user, struct err *e)
{
    struct tap_call *c = tap_begin(s, TAP_UPLOADS, l->prefix, NULL, user);
    (void)e;
    c->page = done;
    c->next = c->tap->answers;
    c->tap->answers = c;
    c->tap->answer_count++;
    return ERR_OK;
}

static inline enum err_code tap_list(struct objstore *s, const struct objstore_list *l,
                                     objstore_page_fn *done, void *user, struct err *e)
{
    return objstore_list(tap_of(s)->inner, l, done, user, e);
}

static inline void tap_deliver(struct tap *t, bool cancelled)
{
    struct tap_call **from = cancelled && t->answers == NULL ? &t->held : &t->answers;

    while (*from != NULL) {
        struct tap_call *c = *from;
        *from = c->next;
        t->answer_count -= from == &t->answers;
        if (cancelled) {
            c->result.outcome = OBJSTORE_CANCELLED;
            err_set(&c->result.err, ERR_CANCELLED, "cancelled");
        }
        if (c->page != NULL)
            c->page(c->user, &c->result,
                    &(struct objstore_page){.entries = t->uploads,
                                            .n = cancelled ? 0 : t->upload_count});
        else
            c->done(c->user, &c->result);
        tap_call_free(c);
    }
}

static inline enum err_code tap_run(struct objstore *s, int timeout_ms, struct err *e)
{
    tap_deliver(tap_of(s), false);
    if (tap_of(s)->held != NULL) /* as a network would */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return objstore_run(tap_of(s)->inner, timeout_ms, e);
}

static inline size_t tap_active(const struct objstore *s)
{
    const struct tap *t = (const struct tap *)(const void *)s;
    return t->answer_count + (t->held != NULL) + objstore_active(t->inner);
}

static inline void tap_cancel_all(struct objstore *s)
{
    tap_deliver(tap_of(s), true); /* the answers … */
    tap_deliver(tap_of(s), true); /* … and what is held */
    objstore_cancel_all(tap_of(s)->inner);
}

static inline void tap_requests(const struct objstore *s, struct objstore_requests *out)
{
    objstore_requests(((const struct tap *)(const void *)s)->inner, out);
}

static inline void tap_close(struct objstore *s)
{
    tap_cancel_all(s);
    free(s);
}

static const struct objstore_ops tap_ops = {
    .scheme = "tap:",
    .close = tap_close,
    .stat = tap_stat,
    .get = tap_get,
    .put = tap_put,
    .remove = tap_remove,
    .abort = tap_abort,
    .list = tap_list,
    .list_uploads = tap_uploads,
    .ping = tap_ping,
    .run = tap_run,
    .active = tap_active,
    .cancel_all = tap_cancel_all,
    .requests = tap_requests,
};

/* objstore_close frees it and leaves `inner` alone. */
static inline struct tap *tap_new(struct objstore *inner)
{
    struct tap *t = calloc(1, sizeof *t);
    t->inner = inner;
    t->base.ops = &tap_ops;
    t->base.profile = OBJSTORE_OTHER;
    t->base.features = objstore_features(inner);
    t->base.probed = true;
    t->base.prefix = str_dup(objstore_prefix(inner));
    t->base.name = str_dup("tap store");
    t->base.deferred_end = &t->base.deferred;
    return t;
}

#endif
