#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC)

int fsio_open_root(const char *path, struct err *e)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        err_set_errno(e, ERR_FILE, errno, "cannot open folder '%s'", path);
        err_hint(e, "it must be an existing folder");
    }
    return fd;
}

/* For kernels before 5.6 and sandboxes without openat2: component by component, following nothing. */
static int walk(int root_fd, const char *rel)
{
    char name[NAME_MAX + 1];
    int dir = root_fd, fd = -1;

    for (;;) {
        size_t n = strcspn(rel, "/");
        bool last = rel[n + strspn(rel + n, "/")] == '\0';
        int next;

        if (n > NAME_MAX) {
            errno = ENAMETOOLONG;
            break;
        }
        memcpy(name, rel, n);
        name[n] = '\0';
        if (strcmp(name, "..") == 0) {
            errno = EXDEV;
            break;
        }
        if (last) {
            fd = openat(dir, n > 0 ? name : ".", OPEN_FLAGS);
            break;
        }
        next = openat(dir, n > 0 ? name : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir != root_fd) {
            int saved = errno;
            close(dir);
            errno = saved;
        }
        dir = next;
        if (dir < 0)
            return -1;
        rel += n + strspn(rel + n, "/");
    }
    if (dir != root_fd) {
        int saved = errno;
        close(dir);
        errno = saved;
    }
    return fd;
}

static int open_confined(int root_fd, const char *rel)
{
    struct open_how how = {.flags = OPEN_FLAGS,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd;

    for (int tries = 0; tries < 64; tries++) {
        fd = syscall(SYS_openat2, root_fd, rel, &how, sizeof how);
        /* EAGAIN: a rename raced with the resolution of ".." (openat2(2)) */
        if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* seccomp says EPERM */
        return walk(root_fd, rel);
    return (int)fd;
}

/* The part of an absolute path below root_path; NULL when it is not below. */
static const char *relative(const char *root_path, const char *path)
{
    size_t n = root_path != NULL ? strlen(root_path) : 0;

    if (path[0] != '/')
        return path;
    if (n == 0)
        return NULL;
    while (n > 0 && root_path[n - 1] == '/')
        n--;
    if (strncmp(path, root_path, n) != 0 || path[n] != '/')
        return NULL;
    path += n;
    while (*path == '/')
        path++;
    return path;
}

int fsio_open_beneath(int root_fd, const char *root_path, const char *path, struct err *e)
{
    const char *rel = relative(root_path, path);
    struct stat st;
    int fd;

    if (rel == NULL || strlen(path) >= PATH_MAX) {
        err_set(e, ERR_FILE_OUTSIDE, "source '%s' lies outside the source root '%s'", path,
                root_path != NULL ? root_path : "");
        err_hint(e, "set --source-root to a folder that holds all sources");
        return -1;
    }
    if (*rel == '\0') {
        err_set(e, ERR_FILE_TYPE, "source '%s' is no regular file", path);
        return -1;
    }
    fd = open_confined(root_fd, rel);
    if (fd < 0) {
        int fault = errno;
        if (fault == EXDEV)
            err_set(e, ERR_FILE_OUTSIDE, "source '%s' leaves the source root", path);
        else if (fault == ELOOP)
            err_set(e, ERR_FILE_TYPE, "source '%s' is or passes through a symbolic link", path);
        else if (fault == ENXIO || fault == ENODEV)
            err_set(e, ERR_FILE_TYPE, "source '%s' is no regular file", path);
        else
            err_set_errno(e, ERR_FILE, fault, "cannot open source '%s'", path);
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        err_set(e, ERR_FILE_TYPE, "source '%s' is no regular file", path);
        return -1;
    }
    return fd;
}
