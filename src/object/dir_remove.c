/* dir_remove: DELETE of one object and of many. */
#include "dir.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* r: DONE also when nothing was there; PRECONDITION when it is another object than the one meant. */
static void remove_object(struct dir_store *s, const char *key, const char *if_match,
                          struct objstore_result *r)
{
    const char *leaf;
    const int parent = dir_path_parent(s, key, false, &leaf, r);

    if (parent >= 0 && dir_get_look(s, parent, leaf, key, r)) {
        if (if_match != NULL && !str_eq(if_match, r->info.etag)) {
            r->outcome = OBJSTORE_PRECONDITION;
            err_set(&r->err, ERR_CONFLICT, "'%s' is not the object meant: its ETag differs",
                    driver_shown(key).text);
        } else if ((unlinkat(parent, leaf, 0) != 0 && errno != ENOENT) || fsync(parent) != 0) {
            dir_fault(r, errno, "remove", key);
        } else {
            s->changes++;
            dir_meta_remove(s, key, r->info.etag);
        }
    }
    if (parent >= 0)
        close(parent);
    if (r->outcome == OBJSTORE_DONE)
        dir_path_prune(s, key);
    if (r->outcome == OBJSTORE_ABSENT) {
        r->outcome = OBJSTORE_DONE;
        err_init(&r->err);
    }
}

static bool remove_step(struct dir_store *s, struct dir_job *j)
{
    struct dir_op *op = (struct dir_op *)j;

    s->counts.delete_++;
    remove_object(s, op->key, op->extra, &op->result);
    return dir_op_end(op);
}

enum err_code dir_remove_start(struct objstore *store, const char *key, const char *if_match,
                               objstore_done_fn *done, void *user, struct err *e)
{
    struct dir_op *op = dir_op_new(sizeof *op, key, if_match, done, user, e);

    if (op == NULL)
        return ERR_NOMEM;
    op->job.step = remove_step;
    dir_submit((struct dir_store *)store, &op->job);
    return ERR_OK;
}

/* ---- many ------------------------------------------------------------------------------------------ */

struct many {
    struct dir_job job;
    objstore_bulk_fn *done;
    void *user;
    size_t n, at;
    char **keys, **etags; /* owned */
    struct objstore_bulk_result *each;
};

static void remove_one(struct dir_store *s, struct many *m, size_t i)
{
    struct objstore_result r = {.info.size = -1};

    if (objkey_check(m->keys[i], &r.err) != ERR_OK)
        r.outcome = OBJSTORE_REJECTED;
    else
        remove_object(s, m->keys[i], m->etags[i], &r);
    m->each[i].outcome = r.outcome;
    if (r.outcome != OBJSTORE_DONE)
        str_copy(m->each[i].message, sizeof m->each[i].message, r.err.message);
}

static bool many_step(struct dir_store *s, struct dir_job *j)
{
    struct many *m = (struct many *)j;
    const struct objstore_result whole = {.info.size = -1, .attempts = 1};

    if (m->at == 0)
        s->counts.post++;
    remove_one(s, m, m->at++);
    if (m->at < m->n)
        return false;
    m->done(m->user, &whole, m->each, m->n);
    return true;
}

/* What was removed before stays told as such. */
static void many_cancel(struct dir_job *j)
{
    struct many *m = (struct many *)j;
    struct objstore_result whole = {.outcome = OBJSTORE_CANCELLED, .info.size = -1};

    err_set(&whole.err, ERR_CANCELLED, "cancelled");
    for (size_t i = m->at; i < m->n; i++) {
        m->each[i].outcome = OBJSTORE_CANCELLED;
        str_copy(m->each[i].message, sizeof m->each[i].message, "cancelled");
    }
    m->done(m->user, &whole, m->each, m->n);
}

static void many_release(struct dir_job *j)
{
    struct many *m = (struct many *)j;

    for (size_t i = 0; i < m->n; i++) {
        if (m->keys != NULL)
            free(m->keys[i]);
        if (m->etags != NULL)
            free(m->etags[i]);
    }
    free(m->keys);
    free(m->etags);
    free(m->each);
    free(m);
}

enum err_code dir_remove_many(struct objstore *store, const struct objstore_bulk_item *items,
                              size_t n, objstore_bulk_fn *done, void *user, struct err *e)
{
    struct many *m = calloc(1, sizeof *m);
    bool ok;

    if (m == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    m->job = (struct dir_job){.step = many_step, .cancel = many_cancel, .release = many_release};
    m->done = done;
    m->user = user;
    m->n = n;
    m->keys = calloc(n, sizeof *m->keys);
    m->etags = calloc(n, sizeof *m->etags);
    m->each = calloc(n, sizeof *m->each);
    ok = m->keys != NULL && m->etags != NULL && m->each != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        m->keys[i] = str_dup(items[i].key);
        m->etags[i] = str_dup(items[i].if_match);
        ok = m->keys[i] != NULL && (items[i].if_match == NULL || m->etags[i] != NULL);
    }
    if (!ok) {
        many_release(&m->job);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    dir_submit((struct dir_store *)store, &m->job);
    return ERR_OK;
}
