/* source: opening and reading. The file is read by position, so that its offset stays the sender's. */
#include "blobferry/engine/source.h"

#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "engine/source_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- root ----------------------------------------------------------------------------------------------- */

enum err_code source_root_open(struct source_root *r, const char *path, struct err *e)
{
    enum err_code code = ERR_OK;

    *r = (struct source_root){.fd = -1, .absolute_only = path == NULL};
    if (path == NULL)
        path = "/";
    r->given = str_dup(path);
    r->path = realpath(path, NULL);
    if (r->given == NULL)
        code = err_set(e, ERR_NOMEM, "out of memory");
    else if (r->path == NULL)
        code = err_set_errno(e, ERR_FILE, errno, "cannot open source root '%s'", path);
    if (code == ERR_OK) {
        r->fd = fsio_open_root(r->path, e);
        if (r->fd < 0) {
            code = e != NULL ? e->code : ERR_FILE;
            (void)err_wrap(e, "source root '%s'", path);
        }
    }
    if (code != ERR_OK)
        source_root_close(r);
    return code;
}

void source_root_close(struct source_root *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->path);
    free(r->given);
    *r = (struct source_root){.fd = -1};
}

/* ---- opening -------------------------------------------------------------------------------------------- */

/* An absolute path may be written with the root's name as it was given (a symlink of the operator's) or as it
 * is; the kernel confines what comes out of it. */
static const char *base_of(const struct source_root *root, const char *path)
{
    const size_t n = strlen(root->given);

    return n > 1 && strncmp(path, root->given, n) == 0 && (path[n] == '/' || path[n - 1] == '/')
               ? root->given
               : root->path;
}

static int open_path(const struct source_root *root, const char *path, struct stat *st,
                     enum err_code *code, struct err *e)
{
    struct err local;
    int fd;

    err_init(&local);
    if (str_empty(path)) {
        *code = err_set(e, ERR_FILE_MISSING, "no source path is recorded");
        return -1;
    }
    if (path[0] != '/' && root->absolute_only) {
        *code = err_set(e, ERR_FILE_OUTSIDE, "'%s' is relative, and there is no source root", path);
        (void)err_hint(e, "give --source-root DIR");
        return -1;
    }
    fd = fsio_open_stat_beneath(root->fd, base_of(root, path), path, st, &local);
    *code = fd >= 0 ? ERR_OK : local.code;
    if (fd < 0 && e != NULL)
        *e = local;
    return fd;
}

static struct source_identity identity_of(const struct stat *st)
{
    return (struct source_identity){
        .device = (uint64_t)st->st_dev,
        .inode = (uint64_t)st->st_ino,
        .size = (int64_t)st->st_size,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec};
}

enum err_code source_open(struct source *s, const struct source_root *root, const char *path,
                          const char *expected_checksum, struct err *e)
{
    struct stat st;
    enum err_code code = ERR_OK;

    memset(s, 0, sizeof *s);
    s->fd = open_path(root, path, &st, &code, e);
    if (s->fd < 0)
        return code;
    s->identity = identity_of(&st);
    code = checksum_parse(expected_checksum, &s->expected, e);
    if (code != ERR_OK) {
        (void)err_wrap(e, "recorded checksum of '%s'", path);
        source_close(s);
        return code;
    }
    return ERR_OK;
}

void source_close(struct source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->data);
    free(s->part_sha256);
    free(s->twin);
    digest_release(&s->whole);
    digest_release(&s->part);
    digest_release(&s->other);
    memset(s, 0, sizeof *s);
    s->fd = -1;
}

/* ---- hashing -------------------------------------------------------------------------------------------- */

enum err_code source_changed(struct err *e, const char *what)
{
    err_set(e, ERR_FILE_CHANGED, "the source %s while it was read", what);
    if (e != NULL)
        e->retryable = true;
    return ERR_FILE_CHANGED;
}

/* Exactly n bytes at `offset`. */
enum err_code source_read_at(const struct source *s, void *to, size_t n, uint64_t offset,
                             struct err *e)
{
    char *next = to;

    while (n > 0) {
        const ssize_t got = pread(s->fd, next, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(e, ERR_FILE, errno, "cannot read the source");
        if (got == 0)
            return source_changed(e, "became shorter");
        next += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return ERR_OK;
}

enum err_code source_ends_there(const struct source *s, struct err *e)
{
    char one;
    ssize_t got;

    do
        got = pread(s->fd, &one, 1, (off_t)s->identity.size);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot read the source");
    return got == 0 ? ERR_OK : source_changed(e, "became longer");
}

/* The whole file into s->data, which has room for one byte more: the end is seen in the same read. */
static enum err_code read_whole(struct source *s, size_t size, struct err *e)
{
    const struct iovec all = {.iov_base = s->data, .iov_len = size + 1};
    ssize_t got = preadv2(s->fd, &all, 1, 0, RWF_NOWAIT); /* not every file system can say */

    s->cold = got < 0 ? errno == EAGAIN : (size_t)got < size;
    while (got < 0) {
        got = pread(s->fd, s->data, size + 1, 0);
        if (got < 0 && errno != EINTR)
            break;
    }
    if (got < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot read the source");
    if ((size_t)got > size)
        return source_changed(e, "became longer");
    if ((size_t)got == size)
        return ERR_OK; /* exactly its bytes, though one more was asked for */
    /* interrupted, or shorter by now */
    const enum err_code code =
        source_read_at(s, s->data + got, size - (size_t)got, (uint64_t)got, e);
    return code == ERR_OK ? source_ends_there(s, e) : code;
}

/* A recorded SHA-256 is compared with the one that is made anyway; MD5 and SHA-1 need a digest of their own. */
static enum err_code digest_loaded(struct source *s, size_t size, struct err *e)
{
    const enum digest_kind kind = s->expected.kind;
    unsigned char whole[DIGEST_SHA256_SIZE], other[DIGEST_MAX];

    digest_sha256(s->data, size, whole);
    text_hex(whole, sizeof whole, s->sha256);
    s->hashed = size;
    if (kind == DIGEST_NONE || kind == DIGEST_SHA256) {
        s->matches = kind == DIGEST_NONE || checksum_equal(&s->expected, whole);
        return ERR_OK;
    }
    const enum err_code code = digest_init(&s->other, kind, e);
    if (code == ERR_OK) {
        digest_update(&s->other, s->data, size);
        digest_final(&s->other, other);
        s->matches = checksum_equal(&s->expected, other);
    }
    digest_release(&s->other);
    return code;
}

enum err_code source_load(struct source *s, size_t max, struct err *e)
{
    const size_t size = (size_t)s->identity.size;
    enum err_code code;

    if ((uint64_t)s->identity.size > max)
        return err_set(e, ERR_LIMIT, "the source has %lld bytes, more than %zu",
                       (long long)s->identity.size, max);
    s->part_size = 0;
    free(s->data);
    s->data = malloc(size + 1);
    if (s->data == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = read_whole(s, size, e);
    s->data[size] = '\0';
    return code == ERR_OK ? digest_loaded(s, size, e) : code;
}

/* ---- proof ---------------------------------------------------------------------------------------------- */

enum err_code source_unchanged(const struct source *s, const struct source_root *root,
                               const char *path, struct err *e)
{
    const struct source_identity *was = &s->identity;
    struct source_identity now;
    struct stat st;

    /* The file that we hold open cannot give its inode away: what the name leads to is this very file, or another one. */
    if (!fsio_stat_beneath(root->fd, base_of(root, path), path, &st))
        return source_changed(e, "was removed or renamed");
    now = identity_of(&st);
    if (now.device != was->device || now.inode != was->inode)
        return source_changed(e, "was replaced");
    if (now.size != was->size)
        return source_changed(e, now.size < was->size ? "became shorter" : "became longer");
    if (now.mtime_ns != was->mtime_ns || now.ctime_ns != was->ctime_ns)
        return source_changed(e, "was touched");
    return ERR_OK;
}

enum err_code source_prove(const struct source_root *root, const char *path, const char *sha256,
                           int64_t size, struct err *e)
{
    struct source s;
    bool done = false;
    enum err_code code = source_open(&s, root, path, sha256, e);

    if (code != ERR_OK)
        return code;
    if (s.expected.kind == DIGEST_NONE)
        code = err_set(e, ERR_REFUSED, "no checksum is recorded to compare '%s' with", path);
    else if (size >= 0 && s.identity.size != size)
        code = err_set(e, ERR_FILE_CHANGED, "'%s' has %lld bytes, recorded are %lld", path,
                       (long long)s.identity.size, (long long)size);
    if (code == ERR_OK)
        code = source_hash_begin(&s, 0, e);
    while (code == ERR_OK && !done)
        code = source_hash_step(&s, UINT64_MAX, &done, e);
    if (code == ERR_OK && !s.matches)
        code = err_set(e, ERR_FILE_CHANGED, "'%s' is not what was migrated: SHA-256 %s", path,
                       s.sha256);
    if (code == ERR_OK)
        code = source_unchanged(&s, root, path, e);
    source_close(&s);
    return code;
}
