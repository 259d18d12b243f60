/* objstore: the front. It checks what every driver would have to check, and dispatches. */
#include "blobferry/object/objstore.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"
#include "driver.h"

#include <stdlib.h>
#include <string.h>

static const struct objstore_ops *const drivers[] = {&s3_ops, &dir_ops};

/* ---- open and close --------------------------------------------------------------------------- */

static const struct objstore_ops *driver_of(const char *target)
{
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (str_starts(target, drivers[i]->scheme))
            return drivers[i];
    }
    return NULL;
}

enum err_code objstore_open(struct objstore **out, const struct objstore_options *o, struct err *e)
{
    struct driver_target target = {NULL, NULL};
    const struct objstore_ops *ops = o->target == NULL ? NULL : driver_of(o->target);
    enum err_code code;

    *out = NULL;
    if (ops == NULL) {
        err_set(e, ERR_CONFIG, "'%s' is no object store", o->target == NULL ? "" : o->target);
        return err_hint(e, "give a target like s3://BUCKET[/PREFIX] or file:///DIR");
    }
    code = ops->parse(o->target + strlen(ops->scheme), &target, e);
    if (code == ERR_OK)
        code = ops->open(out, &target, o, e);
    if (code == ERR_OK) {
        struct objstore *s = *out;
        s->ops = ops;
        s->prefix = target.prefix;
        target.prefix = NULL;
        s->deferred_end = &s->deferred;
    }
    free(target.place);
    free(target.prefix);
    return code;
}

unsigned objstore_features(const struct objstore *s)
{
    return s->features;
}

void objstore_set_features(struct objstore *s, unsigned features)
{
    s->features = features;
    s->probed = true;
}

enum objstore_profile objstore_kind(const struct objstore *s)
{
    return s->profile;
}

bool objstore_needs_probe(const struct objstore *s)
{
    const bool told =
        s->profile == OBJSTORE_AWS || s->profile == OBJSTORE_R2 || s->profile == OBJSTORE_CEPH;
    return !told && !s->probed && s->ops->probe != NULL;
}

const char *objstore_prefix(const struct objstore *s)
{
    return s->prefix;
}

const char *objstore_name(const struct objstore *s)
{
    return s->name;
}

bool objstore_lead_ms(const struct objstore *s, int64_t *ms)
{
    return s->ops->lead_ms != NULL && s->ops->lead_ms(s, ms);
}

struct limiter *objstore_limiter(struct objstore *s)
{
    return s == NULL || s->ops->limiter == NULL ? NULL : s->ops->limiter(s);
}

bool objstore_resumes(const struct objstore *s)
{
    return s->ops->resumes;
}

int64_t objstore_skew_ms(const struct objstore *s)
{
    return s->ops->skew_ms == NULL ? 0 : s->ops->skew_ms(s);
}

enum err_code objstore_probe(struct objstore *s, unsigned *features, struct err *e)
{
    enum err_code code = ERR_OK;
    unsigned found = s->features;

    if (s->ops->probe != NULL)
        code = s->ops->probe(s, &found, e);
    if (code == ERR_OK) {
        *features = found;
        objstore_set_features(s, found);
    }
    return code;
}

/* ---- results that are known at once and told later --------------------------------------------- */

struct driver_deferred {
    struct driver_deferred *next;
    objstore_done_fn *done;
    void *user;
    struct objstore_result result;
};

/* A callback that is told CANCELLED by objstore_close may not begin anew. */
static enum err_code check_open(const struct objstore *s, struct err *e)
{
    return s->closing ? err_set(e, ERR_CANCELLED, "the object store is being closed") : ERR_OK;
}

/* A key that no store may see fails its file, not the run. */
static enum err_code reject(struct objstore *s, const struct err *why, objstore_done_fn *done,
                            void *user, struct err *e)
{
    struct driver_deferred *d = calloc(1, sizeof *d);

    if (d == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    d->done = done;
    d->user = user;
    d->result.outcome = OBJSTORE_REJECTED;
    d->result.err = *why;
    d->result.info.size = -1;
    *s->deferred_end = d;
    s->deferred_end = &d->next;
    s->deferred_count++;
    return ERR_OK;
}

static bool deliver(struct objstore *s, bool cancelled)
{
    struct driver_deferred *d = s->deferred;
    const bool any = d != NULL;

    /* Callbacks may add to a new queue, which is for the next run. */
    s->deferred = NULL;
    s->deferred_end = &s->deferred;
    while (d != NULL) {
        struct driver_deferred *next = d->next;
        if (cancelled) {
            d->result.outcome = OBJSTORE_CANCELLED;
            err_set(&d->result.err, ERR_CANCELLED, "cancelled");
        }
        s->deferred_count--;
        d->done(d->user, &d->result);
        free(d);
        d = next;
    }
    return any;
}

void objstore_close(struct objstore *s)
{
    if (s == NULL)
        return;
    s->closing = true;
    deliver(s, true);
    char *prefix = s->prefix;
    char *name = s->name;
    s->ops->close(s);
    free(prefix);
    free(name);
}

/* ---- operations --------------------------------------------------------------------------------- */

enum err_code objstore_stat(struct objstore *s, const char *key, objstore_done_fn *done, void *user,
                            struct err *e)
{
    struct err bad;

    if (check_open(s, e) != ERR_OK)
        return ERR_CANCELLED;
    if (objkey_check(key, &bad) != ERR_OK)
        return reject(s, &bad, done, user, e);
    return s->ops->stat(s, key, done, user, e);
}

enum err_code objstore_get(struct objstore *s, const struct objstore_get *g, objstore_done_fn *done,
                           void *user, struct err *e)
{
    struct err bad;

    if (check_open(s, e) != ERR_OK)
        return ERR_CANCELLED;
    if (g->sink == NULL || (g->length > 0 && g->offset + g->length < g->offset))
        return err_set(e, ERR_GENERAL, "GET without a sink, or of an impossible range");
    if (objkey_check(g->key, &bad) != ERR_OK)
        return reject(s, &bad, done, user, e);
    return s->ops->get(s, g, done, user, e);
}

static bool is_sha256(const char *hex)
{
    return hex != NULL && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* What would be wrong with the call itself. */
static enum err_code check_put(const struct objstore_put *p, struct err *e)
{
    if (!is_sha256(p->sha256))
        return err_set(e, ERR_GENERAL, "PUT of '%s' without its SHA-256",
                       driver_shown(p->key).text);
    if (p->data == NULL && p->size > 0 && p->fd < 0)
        return err_set(e, ERR_GENERAL, "PUT of '%s' without a body", driver_shown(p->key).text);
    if (p->part_size > 0 && p->part_size < p->size && p->part_size < OBJSTORE_PART_MIN)
        return err_set(e, ERR_LIMIT, "parts of %llu bytes are smaller than 5 MiB",
                       (unsigned long long)p->part_size);
    if (p->part_size > 0 && p->size / p->part_size >= OBJSTORE_PARTS_MAX &&
        p->size > p->part_size * OBJSTORE_PARTS_MAX)
        return err_set(e, ERR_LIMIT, "'%s' would have more than %d parts",
                       driver_shown(p->key).text, OBJSTORE_PARTS_MAX);
    return ERR_OK;
}

/* What would be wrong with this object in any store. */
static enum err_code check_object(const struct objstore_put *p, struct err *e)
{
    const uint64_t single_max = OBJSTORE_PART_MAX;

    if (objkey_check(p->key, e) != ERR_OK)
        return e->code;
    if (p->size > OBJSTORE_SIZE_MAX || (p->part_size == 0 && p->size > single_max) ||
        p->part_size > OBJSTORE_PART_MAX)
        return err_set(e, ERR_LIMIT, "'%s' is too large for one PUT", driver_shown(p->key).text);
    if ((p->meta.record_id != NULL && strlen(p->meta.record_id) >= OBJINFO_ID_MAX) ||
        (p->meta.batch_id != NULL && strlen(p->meta.batch_id) >= OBJINFO_ID_MAX))
        return err_set(e, ERR_LIMIT, "an id of '%s' has more than %d bytes",
                       driver_shown(p->key).text, OBJINFO_ID_MAX - 1);
    return ERR_OK;
}

enum err_code objstore_put(struct objstore *s, const struct objstore_put *p, objstore_done_fn *done,
                           void *user, struct err *e)
{
    struct err bad;
    enum err_code code = check_open(s, e);

    if (code == ERR_OK)
        code = check_put(p, e);
    if (code != ERR_OK)
        return code;
    err_init(&bad);
    if (check_object(p, &bad) != ERR_OK)
        return reject(s, &bad, done, user, e);
    return s->ops->put(s, p, done, user, e);
}

enum err_code objstore_remove(struct objstore *s, const char *key, const char *if_match,
                              objstore_done_fn *done, void *user, struct err *e)
{
    struct err bad;

    if (check_open(s, e) != ERR_OK)
        return ERR_CANCELLED;
    if (objkey_check(key, &bad) != ERR_OK)
        return reject(s, &bad, done, user, e);
    return s->ops->remove(s, key, if_match, done, user, e);
}

enum err_code objstore_remove_many(struct objstore *s, const struct objstore_bulk_item *items,
                                   size_t n, objstore_bulk_fn *done, void *user, struct err *e)
{
    if (check_open(s, e) != ERR_OK)
        return ERR_CANCELLED;
    if (n == 0 || n > OBJSTORE_BULK_MAX)
        return err_set(e, ERR_LIMIT, "%zu keys in one bulk removal, not 1 to %d", n,
                       OBJSTORE_BULK_MAX);
    return s->ops->remove_many(s, items, n, done, user, e);
}

enum err_code objstore_abort(struct objstore *s, const char *key, const char *upload_id,
                             objstore_done_fn *done, void *user, struct err *e)
{
    struct err bad;

    if (check_open(s, e) != ERR_OK)
        return ERR_CANCELLED;
    err_init(&bad);
    if (str_empty(upload_id))
        err_set(&bad, ERR_PARSE, "the upload id is empty");
    if (bad.code != ERR_OK || objkey_check(key, &bad) != ERR_OK)
        return reject(s, &bad, done, user, e);
    return s->ops->abort(s, key, upload_id, done, user, e);
}

/* Pages are of 1 to 1000 entries, in every store. */
static struct objstore_list bounded(const struct objstore_list *l)
{
    struct objstore_list out = *l;

    if (out.max <= 0 || out.max > 1000)
        out.max = 1000;
    if (out.prefix == NULL)
        out.prefix = "";
    return out;
}

enum err_code objstore_list(struct objstore *s, const struct objstore_list *l,
                            objstore_page_fn *done, void *user, struct err *e)
{
    const struct objstore_list page = bounded(l);
    return check_open(s, e) != ERR_OK ? ERR_CANCELLED : s->ops->list(s, &page, done, user, e);
}

enum err_code objstore_list_uploads(struct objstore *s, const struct objstore_list *l,
                                    objstore_page_fn *done, void *user, struct err *e)
{
    const struct objstore_list page = bounded(l);
    return check_open(s, e) != ERR_OK ? ERR_CANCELLED
                                      : s->ops->list_uploads(s, &page, done, user, e);
}

enum err_code objstore_ping(struct objstore *s, objstore_done_fn *done, void *user, struct err *e)
{
    return check_open(s, e) != ERR_OK ? ERR_CANCELLED : s->ops->ping(s, done, user, e);
}

/* ---- the loop ----------------------------------------------------------------------------------- */

enum err_code objstore_run(struct objstore *s, int timeout_ms, struct err *e)
{
    return s->ops->run(s, deliver(s, false) ? 0 : timeout_ms, e);
}

void objstore_wakeup(struct objstore *s)
{
    if (s->ops->wakeup != NULL)
        s->ops->wakeup(s);
}

size_t objstore_active(const struct objstore *s)
{
    return s->deferred_count + s->ops->active(s);
}

void objstore_cancel_all(struct objstore *s)
{
    deliver(s, true);
    s->ops->cancel_all(s);
}

void objstore_requests(const struct objstore *s, struct objstore_requests *out)
{
    memset(out, 0, sizeof *out);
    s->ops->requests(s, out);
}
