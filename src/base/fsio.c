#include "blobferry/base/fsio.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err_code fsio_write_all(int fd, const void *p, size_t n, const char *name, struct err *e)
{
    const char *at = p;

    while (n > 0) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return err_set_errno(e, ERR_FILE, k < 0 ? errno : ENOSPC, "cannot write '%s'", name);
        at += k;
        n -= (size_t)k;
    }
    return ERR_OK;
}

enum err_code fsio_read_file(const char *path, struct buf *b, struct err *e)
{
    char piece[16384];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    enum err_code code = ERR_OK;
    ssize_t k = 0;

    if (fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot open '%s'", path);
    while (code == ERR_OK &&
           ((k = read(fd, piece, sizeof piece)) > 0 || (k < 0 && errno == EINTR))) {
        if (k > 0 && !buf_append(b, piece, (size_t)k))
            code = err_set(e, ERR_LIMIT, "'%s' is larger than %zu bytes", path, b->max);
    }
    if (code == ERR_OK && k < 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", path);
    explicit_bzero(piece, sizeof piece);
    close(fd);
    return code;
}

enum err_code fsio_mkdirs(const char *path, mode_t mode, struct err *e)
{
    char *copy = str_dup(path);
    struct stat st;
    enum err_code code = ERR_OK;

    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (char *p = copy + (*copy == '/'); code == ERR_OK; p++) {
        char end = *p;
        if (end != '/' && end != '\0')
            continue;
        *p = '\0';
        if (*copy != '\0' && mkdir(copy, mode) != 0 && errno != EEXIST) {
            /* read-only parents of a folder that is there are no fault */
            int saved = errno;
            if (stat(copy, &st) != 0)
                code = err_set_errno(e, ERR_FILE, saved, "cannot create folder '%s'", copy);
        }
        *p = end;
        if (end == '\0')
            break;
    }
    if (code == ERR_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        code = err_set(e, ERR_FILE_TYPE, "'%s' is no folder", path);
    free(copy);
    return code;
}

enum err_code fsio_sync_dir(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err_code code = ERR_OK;

    if (fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot open folder '%s'", path);
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        code = err_set_errno(e, ERR_FILE, errno, "cannot sync folder '%s'", path);
    close(fd);
    return code;
}

enum err_code fsio_sync_parent(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char *dir;
    enum err_code code;

    if (slash == NULL)
        return fsio_sync_dir(".", e);
    dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (dir == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = fsio_sync_dir(dir, e);
    free(dir);
    return code;
}

bool fsio_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- atomic files ------------------------------------------------------------------------------ */

enum err_code fsio_atomic_begin(struct fsio_atomic *a, const char *path, mode_t mode, struct err *e)
{
    char random[CLOCK_UUID_SIZE];
    size_t size = strlen(path) + sizeof random + 8;

    a->fd = -1;
    a->path = str_dup(path);
    a->temporary = malloc(size);
    if (a->path == NULL || a->temporary == NULL) {
        fsio_atomic_abort(a);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    clock_uuid(random);
    snprintf(a->temporary, size, "%s.%s.tmp", path, random);
    a->fd = open(a->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (a->fd < 0) {
        enum err_code code = err_set_errno(e, ERR_FILE, errno, "cannot create '%s'", path);
        free(a->temporary);
        a->temporary = NULL;
        fsio_atomic_abort(a);
        return code;
    }
    return ERR_OK;
}

enum err_code fsio_atomic_write(struct fsio_atomic *a, const void *p, size_t n, struct err *e)
{
    return fsio_write_all(a->fd, p, n, a->path, e);
}

enum err_code fsio_atomic_commit(struct fsio_atomic *a, enum fsio_mode mode, struct err *e)
{
    enum err_code code = ERR_OK;
    int fd = a->fd;

    a->fd = -1;
    /* a failed fsync is final for this descriptor: what it could not write is gone (A7) */
    if (fsync(fd) != 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot sync '%s'", a->path);
    if (close(fd) != 0 && code == ERR_OK)
        code = err_set_errno(e, ERR_FILE, errno, "cannot close '%s'", a->path);
    if (code == ERR_OK && mode == FSIO_NEW && link(a->temporary, a->path) != 0) {
        code = errno == EEXIST ? err_set(e, ERR_CONFLICT, "'%s' exists already", a->path)
                               : err_set_errno(e, ERR_FILE, errno, "cannot create '%s'", a->path);
    } else if (code == ERR_OK && mode == FSIO_REPLACE) {
        if (rename(a->temporary, a->path) != 0) {
            code = err_set_errno(e, ERR_FILE, errno, "cannot replace '%s'", a->path);
        } else {
            free(a->temporary);
            a->temporary = NULL;
        }
    }
    if (a->temporary != NULL)
        unlink(a->temporary);
    if (code == ERR_OK)
        code = fsio_sync_parent(a->path, e);
    free(a->temporary);
    a->temporary = NULL;
    fsio_atomic_abort(a);
    return code;
}

void fsio_atomic_abort(struct fsio_atomic *a)
{
    if (a->fd >= 0)
        close(a->fd);
    if (a->temporary != NULL)
        unlink(a->temporary);
    free(a->temporary);
    free(a->path);
    *a = (struct fsio_atomic){.fd = -1};
}
