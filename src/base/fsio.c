/* fsio: whole reads and writes, folders, and fsync that is asked for once. */
#include "blobferry/base/fsio.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err_code fsio_write_all(int fd, const void *p, size_t n, const char *name, struct err *e)
{
    const char *next = p;

    while (n > 0) {
        const ssize_t put = write(fd, next, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) /* nothing taken and no reason given: the device is full */
            return err_set_errno(e, ERR_FILE, put < 0 ? errno : ENOSPC, "cannot write '%s'", name);
        next += put;
        n -= (size_t)put;
    }
    return ERR_OK;
}

enum err_code fsio_read_file(const char *path, struct buf *b, struct err *e)
{
    char chunk[16384];
    enum err_code code = ERR_OK;
    ssize_t got;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", path);
    buf_reset(b);
    do {
        got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", path);
        else if (!buf_append(b, chunk, (size_t)got) && b->max - b->len < (size_t)got)
            code = err_set(e, ERR_LIMIT, "'%s' is larger than %zu bytes", path, b->max);
        else if (!buf_ok(b))
            code = err_set(e, ERR_NOMEM, "out of memory reading '%s'", path);
    } while (code == ERR_OK && got != 0);
    OPENSSL_cleanse(chunk, sizeof chunk); /* configuration may hold credentials (P8) */
    close(fd);
    return code;
}

bool fsio_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

enum err_code fsio_sync_dir(const char *path, struct err *e)
{
    enum err_code code = ERR_OK;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot open directory '%s'", path);
    /* EINVAL: the file system has no such thing as syncing a directory. */
    if (fsync(fd) != 0 && errno != EINVAL)
        code = err_set_errno(e, ERR_FILE, errno, "cannot make directory '%s' durable", path);
    close(fd);
    return code;
}

/* Where the folder part of path ends: 0 when the name stands alone. */
static size_t parent_length(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

enum err_code fsio_sync_parent(const char *path, struct err *e)
{
    const size_t n = parent_length(path);
    char *parent = n == 0 ? str_dup(".") : strndup(path, n);
    enum err_code code;

    if (parent == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = fsio_sync_dir(parent, e);
    free(parent);
    return code;
}

/* One level; what exists must be a directory, and what is made is made durable. */
static enum err_code make_dir(const char *path, mode_t mode, struct err *e)
{
    struct stat st;
    int reason;

    if (mkdir(path, mode) == 0)
        return fsio_sync_parent(path, e);
    reason = errno;
    /* On a read-only parent, mkdir may not say EEXIST of a directory that is there. */
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return ERR_OK;
        reason = ENOTDIR;
    }
    return err_set_errno(e, ERR_FILE, reason, "cannot create directory '%s'", path);
}

enum err_code fsio_mkdirs(const char *path, mode_t mode, struct err *e)
{
    enum err_code code = ERR_OK;
    char *text;

    if (path[0] == '\0')
        return err_set_errno(e, ERR_FILE, ENOENT, "cannot create directory ''");
    text = str_dup(path);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (char *p = text + 1; code == ERR_OK && *p != '\0'; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        code = make_dir(text, mode, e);
        *p = '/';
    }
    if (code == ERR_OK)
        code = make_dir(text, mode, e);
    free(text);
    return code;
}
