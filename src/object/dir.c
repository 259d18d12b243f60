/* dir: the queue of the directory driver, and its table. Work is done in objstore_run, one job after the other, so that
 * descriptors stay few however many jobs wait. */
#include "dir.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR_FEATURES                                                                               \
    (OBJSTORE_IF_NONE_MATCH | OBJSTORE_IF_NONE_MATCH_MPU | OBJSTORE_DELETE_IF_MATCH |              \
     OBJSTORE_BULK_DELETE | OBJSTORE_BULK_DELETE_ETAG | OBJSTORE_CHECKS_PAYLOAD |                  \
     OBJSTORE_STORES_SHA256)

/* ---- open and close ----------------------------------------------------------------------------- */

/* The rest of file:///dir is a URL's path: %20 is a space (RFC 8089). */
static enum err_code parse(const char *rest, struct driver_target *t, struct err *e)
{
    struct buf path;
    bool ok;

    buf_init(&path, 4096);
    ok = rest[0] == '/' && text_uri_decode(&path, rest, strlen(rest), false) &&
         strlen(buf_cstr(&path)) == path.len;
    while (ok && path.len > 1 && path.data[path.len - 1] == '/')
        path.data[--path.len] = '\0';
    if (!ok) {
        buf_release(&path);
        err_set(e, ERR_CONFIG, "'file://%s' names no absolute directory", rest);
        return err_hint(e, "give a target like file:///srv/objects; '%%' is written %%25");
    }
    t->place = buf_steal(&path);
    t->prefix = str_dup("");
    if (t->place == NULL || t->prefix == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    return ERR_OK;
}

static enum err_code open_store(struct objstore **out, const struct driver_target *t,
                                const struct objstore_options *o, struct err *e)
{
    struct dir_store *s = calloc(1, sizeof *s);
    struct objstore_result r;

    (void)o;
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->root_fd = -1;
    s->jobs_end = &s->jobs;
    s->base.profile = OBJSTORE_OTHER;
    s->base.features = DIR_FEATURES;
    s->path = str_dup(t->place);
    s->slice = malloc(DIR_SLICE);
    if (asprintf(&s->base.name, "file://%s", t->place) < 0)
        s->base.name = NULL;
    if (s->path == NULL || s->slice == NULL || s->base.name == NULL) {
        free(s->path);
        free(s->slice);
        free(s->base.name);
        free(s);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    (void)dir_path_root(s, false, &r); /* may come later; whoever needs it says so */
    *out = &s->base;
    return ERR_OK;
}

static void cancel_all(struct objstore *store)
{
    struct dir_store *s = (struct dir_store *)store;
    struct dir_job *j = s->jobs;

    s->jobs = NULL;
    s->jobs_end = &s->jobs;
    s->job_count = 0;
    while (j != NULL) {
        struct dir_job *next = j->next;
        j->cancel(j);
        j->release(j);
        j = next;
    }
}

static void close_store(struct objstore *store)
{
    struct dir_store *s = (struct dir_store *)store;

    cancel_all(store);
    dir_window_forget(s);
    if (s->root_fd >= 0)
        close(s->root_fd);
    free(s->path);
    free(s->slice);
    free(s);
}

/* ---- jobs ----------------------------------------------------------------------------------------- */

void dir_submit(struct dir_store *s, struct dir_job *j)
{
    j->next = NULL;
    *s->jobs_end = j;
    s->jobs_end = &j->next;
    s->job_count++;
}

static void put_back(struct dir_store *s, struct dir_job *j)
{
    j->next = s->jobs;
    if (s->jobs == NULL)
        s->jobs_end = &j->next;
    s->jobs = j;
    s->job_count++;
}

static enum err_code run(struct objstore *store, int timeout_ms, struct err *e)
{
    struct dir_store *s = (struct dir_store *)store;
    const int64_t deadline = clock_mono_ms() + timeout_ms;
    size_t turns = s->job_count; /* what callbacks add is for the next run */

    (void)e;
    while (s->jobs != NULL && turns > 0) {
        struct dir_job *j = s->jobs;
        /* Out of the queue while it runs: its callback may submit, or cancel all the others. */
        s->jobs = j->next;
        s->job_count--;
        if (s->jobs == NULL)
            s->jobs_end = &s->jobs;
        if (j->step(s, j)) {
            j->release(j);
            turns--;
        } else {
            put_back(s, j);
        }
        if (clock_mono_ms() >= deadline)
            break;
    }
    return ERR_OK;
}

static size_t active(const struct objstore *store)
{
    return ((const struct dir_store *)store)->job_count;
}

static void requests(const struct objstore *store, struct objstore_requests *out)
{
    *out = ((const struct dir_store *)store)->counts;
}

void *dir_op_new(size_t size, const char *key, const char *extra, objstore_done_fn *done,
                 void *user, struct err *e)
{
    struct dir_op *op = calloc(1, size);

    if (op == NULL)
        goto fail;
    op->done = done;
    op->user = user;
    op->key = str_dup(key);
    op->extra = str_dup(extra);
    op->result.info.size = -1;
    op->result.attempts = 1;
    op->job.cancel = dir_op_cancel;
    op->job.release = dir_op_release;
    if ((key != NULL && op->key == NULL) || (extra != NULL && op->extra == NULL))
        goto fail;
    return op;
fail:
    if (op != NULL)
        dir_op_release(&op->job);
    err_set(e, ERR_NOMEM, "out of memory");
    return NULL;
}

void dir_op_release(struct dir_job *j)
{
    struct dir_op *op = (struct dir_op *)j;
    free(op->key);
    free(op->extra);
    free(op);
}

bool dir_op_end(struct dir_op *op)
{
    op->done(op->user, &op->result);
    return true;
}

void dir_op_cancel(struct dir_job *j)
{
    struct dir_op *op = (struct dir_op *)j;
    op->result.outcome = OBJSTORE_CANCELLED;
    err_set(&op->result.err, ERR_CANCELLED, "cancelled");
    op->done(op->user, &op->result);
}

/* ---- results -------------------------------------------------------------------------------------- */

void dir_fault(struct objstore_result *r, int errnum, const char *what, const char *key)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOSPC:
    case EDQUOT:
        r->outcome = OBJSTORE_DENIED; /* the next file would fare no better */
        err_set_errno(&r->err, ERR_STORE_DENIED, errnum, "cannot %s '%s'", what,
                      driver_shown(key).text);
        err_hint(&r->err, "check the rights and the free space of the target directory");
        break;
    case ENAMETOOLONG:
        dir_reject(r, key, "has more than 255 bytes between two '/', which no directory can hold");
        break;
    default:
        r->outcome = OBJSTORE_UNAVAILABLE;
        err_set_errno(&r->err, ERR_STORE_UNAVAILABLE, errnum, "cannot %s '%s'", what,
                      driver_shown(key).text);
        break;
    }
}

void dir_reject(struct objstore_result *r, const char *key, const char *why)
{
    r->outcome = OBJSTORE_REJECTED;
    err_set(&r->err, ERR_STORE, "'%s' %s", driver_shown(key).text, why);
}

void dir_absent(struct objstore_result *r, const char *key)
{
    r->outcome = OBJSTORE_ABSENT;
    err_set(&r->err, ERR_NOTFOUND, "no object '%s'", driver_shown(key).text);
}

/* ---- ping ------------------------------------------------------------------------------------------ */

static bool ping_step(struct dir_store *s, struct dir_job *j)
{
    struct dir_op *op = (struct dir_op *)j;
    char *slash;

    s->counts.get++;
    if (dir_path_root(s, false, &op->result)) {
        op->result.outcome = OBJSTORE_DONE;
        err_init(&op->result.err);
        return dir_op_end(op);
    }
    /* The first PUT will make the directory, if that is all there is to make. */
    slash = strrchr(op->key, '/');
    slash[slash == op->key ? 1 : 0] = '\0';
    if (op->result.outcome == OBJSTORE_DENIED && access(op->key, W_OK | X_OK) == 0) {
        op->result.outcome = OBJSTORE_DONE;
        err_init(&op->result.err);
    }
    return dir_op_end(op);
}

static enum err_code ping(struct objstore *store, objstore_done_fn *done, void *user, struct err *e)
{
    struct dir_store *s = (struct dir_store *)store;
    struct dir_op *op = dir_op_new(sizeof *op, s->path, NULL, done, user, e);

    if (op == NULL)
        return ERR_NOMEM;
    op->job.step = ping_step;
    dir_submit(s, &op->job);
    return ERR_OK;
}

const struct objstore_ops dir_ops = {
    .scheme = "file://",
    .parse = parse,
    .open = open_store,
    .close = close_store,
    .stat = dir_get_stat,
    .get = dir_get_start,
    .put = dir_put_start,
    .remove = dir_remove_start,
    .remove_many = dir_remove_many,
    .abort = dir_uploads_abort,
    .list = dir_list_start,
    .list_uploads = dir_uploads_list,
    .ping = ping,
    .run = run,
    .active = active,
    .cancel_all = cancel_all,
    .requests = requests,
};
