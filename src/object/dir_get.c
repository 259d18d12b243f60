/* dir_get: stat and GET. */
#include "dir.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool dir_get_look(struct dir_store *s, int parent, const char *leaf, const char *key,
                  struct objstore_result *r)
{
    struct stat st;

    if (fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            dir_absent(r, key);
        else
            dir_fault(r, errno, "look at", key);
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        dir_absent(r, key);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        dir_reject(r, key, "is no regular file in the target directory");
        return false;
    }
    dir_meta_read(s, key, &st, &r->info);
    return true;
}

static bool stat_step(struct dir_store *s, struct dir_job *j)
{
    struct dir_op *op = (struct dir_op *)j;
    const char *leaf;
    const int parent = dir_path_parent(s, op->key, false, &leaf, &op->result);

    s->counts.head++;
    if (parent >= 0) {
        (void)dir_get_look(s, parent, leaf, op->key, &op->result);
        close(parent);
    }
    return dir_op_end(op);
}

enum err_code dir_get_stat(struct objstore *store, const char *key, objstore_done_fn *done,
                           void *user, struct err *e)
{
    struct dir_op *op = dir_op_new(sizeof *op, key, NULL, done, user, e);

    if (op == NULL)
        return ERR_NOMEM;
    op->job.step = stat_step;
    dir_submit((struct dir_store *)store, &op->job);
    return ERR_OK;
}

/* ---- GET ------------------------------------------------------------------------------------------ */

struct get {
    struct dir_op op;
    objstore_sink_fn *sink;
    void *sink_user;
    uint64_t at, left; /* bytes */
    int fd;            /* -1 before the first step */
};

/* The object as a descriptor, checked against the condition. */
static bool open_object(struct dir_store *s, struct get *g)
{
    struct objstore_result *r = &g->op.result;
    const char *leaf;
    struct stat st;
    const int parent = dir_path_parent(s, g->op.key, false, &leaf, r);

    s->counts.get++;
    if (parent < 0)
        return false;
    if (dir_get_look(s, parent, leaf, g->op.key, r)) {
        g->fd = openat(parent, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (g->fd < 0 || fstat(g->fd, &st) != 0)
            dir_fault(r, errno, "open", g->op.key);
        else if (!S_ISREG(st.st_mode)) /* swapped since we looked */
            dir_reject(r, g->op.key, "is no regular file in the target directory");
        else
            dir_meta_read(s, g->op.key, &st, &r->info);
    }
    close(parent);
    if (r->outcome == OBJSTORE_DONE && g->op.extra != NULL && !str_eq(g->op.extra, r->info.etag)) {
        r->outcome = OBJSTORE_PRECONDITION;
        err_set(&r->err, ERR_CONFLICT, "'%s' is not the object meant: its ETag differs",
                driver_shown(g->op.key).text);
    }
    return r->outcome == OBJSTORE_DONE;
}

static bool set_range(struct get *g)
{
    struct objstore_result *r = &g->op.result;
    const uint64_t size = (uint64_t)r->info.size;

    if (g->at > size || (g->at == size && g->left > 0 && size > 0)) {
        dir_reject(r, g->op.key, "is shorter than the range asked for");
        return false;
    }
    if (g->left == 0 || g->left > size - g->at)
        g->left = size - g->at;
    return true;
}

static bool get_step(struct dir_store *s, struct dir_job *j)
{
    struct get *g = (struct get *)j;
    struct objstore_result *r = &g->op.result;
    size_t want;
    ssize_t n;

    if (g->fd < 0 && (!open_object(s, g) || !set_range(g)))
        return dir_op_end(&g->op);
    if (g->left == 0)
        return dir_op_end(&g->op);
    want = g->left < DIR_SLICE ? (size_t)g->left : DIR_SLICE;
    do {
        n = pread(g->fd, s->slice, want, (off_t)g->at);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        dir_fault(r, errno, "read", g->op.key);
        return dir_op_end(&g->op);
    }
    if (n == 0) {
        r->outcome = OBJSTORE_CORRUPT;
        err_set(&r->err, ERR_STORE_CORRUPT, "'%s' became shorter while it was read",
                driver_shown(g->op.key).text);
        return dir_op_end(&g->op);
    }
    g->at += (uint64_t)n;
    g->left -= (uint64_t)n;
    r->bytes += (uint64_t)n;
    s->counts.bytes_received += (uint64_t)n;
    if (!g->sink(g->sink_user, s->slice, (size_t)n)) {
        r->outcome = OBJSTORE_CANCELLED;
        err_set(&r->err, ERR_CANCELLED, "the reader of '%s' stopped", driver_shown(g->op.key).text);
        return dir_op_end(&g->op);
    }
    return g->left == 0 ? dir_op_end(&g->op) : false;
}

static void get_release(struct dir_job *j)
{
    struct get *g = (struct get *)j;
    if (g->fd >= 0)
        close(g->fd);
    dir_op_release(j);
}

enum err_code dir_get_start(struct objstore *store, const struct objstore_get *in,
                            objstore_done_fn *done, void *user, struct err *e)
{
    struct get *g = dir_op_new(sizeof *g, in->key, in->if_match, done, user, e);

    if (g == NULL)
        return ERR_NOMEM;
    g->op.job.step = get_step;
    g->op.job.release = get_release;
    g->sink = in->sink;
    g->sink_user = in->sink_user;
    g->at = in->offset;
    g->left = in->length;
    g->fd = -1;
    dir_submit((struct dir_store *)store, &g->op.job);
    return ERR_OK;
}
