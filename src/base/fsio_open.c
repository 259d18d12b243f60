/* fsio_open: the user's files are opened below one root, read-only, and never through a link (P2, B4,
 * B5). openat2(2) confines in the kernel; where it is missing, each component is opened by itself. */
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int fsio_open_root(const char *path, struct err *e)
{
    const int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err_set_errno(e, ERR_FILE, errno, "cannot open directory '%s'", path);
    return fd;
}

static bool has_dot_dot(const char *path)
{
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        if (*p == '/')
            p++;
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
            return true;
    }
    return false;
}

/* What follows root in path, without leading slashes; NULL when path does not lie below root. */
static const char *strip_root(const char *path, const char *root)
{
    size_t n = strlen(root);

    while (n > 0 && root[n - 1] == '/')
        n--;
    if (strncmp(path, root, n) != 0 || path[n] != '/')
        return NULL;
    path += n;
    return path + strspn(path, "/");
}

/* An absolute path made relative; NULL when it is outside. Only text is compared here: the kernel
 * confines whatever comes out of it. */
static const char *relative_part(const char *root_path, const char *path)
{
    const char *rest = strip_root(path, root_path);
    if (rest != NULL)
        return rest;
    char *resolved =
        realpath(root_path, NULL); /* the root may be given relative, or by a symlink */
    if (resolved != NULL)
        rest = strip_root(path, resolved);
    free(resolved);
    return rest;
}

/* openat2's promises kept by hand: one component at a time, none of them a link. */
static int walk(int root_fd, const char *rel, int flags)
{
    char name[NAME_MAX + 1];
    struct stat st;
    int dir = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    int fd = dir;

    while (dir >= 0) {
        const size_t n = strcspn(rel, "/");
        const char *next = rel + n + strspn(rel + n, "/");
        if (n > NAME_MAX) {
            errno = ENAMETOOLONG;
            fd = -1;
        } else {
            memcpy(name, rel, n);
            name[n] = '\0';
            fd = openat(dir, name, (*next == '\0' ? flags : O_PATH) | O_NOFOLLOW | O_CLOEXEC);
        }
        const int reason = errno;
        close(dir);
        errno = reason;
        if (fd < 0 || *next == '\0')
            break;
        if (fstat(fd, &st) != 0 || S_ISLNK(st.st_mode)) {
            close(fd);
            errno = ELOOP;
            return -1;
        }
        dir = fd;
        rel = next;
    }
    return fd;
}

static int open_confined(int root_fd, const char *rel, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    const long fd = syscall(SYS_openat2, root_fd, rel, &how, sizeof how);

    /* EPERM: sandboxes answer so to calls they do not know. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return walk(root_fd, rel, flags);
    return (int)fd;
}

static const char *kind(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* Files that the kernel makes up as they are read have no content to migrate. */
static bool is_pseudo(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0)
        return false;
    switch ((unsigned long)fs.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case BPF_FS_MAGIC:
        return true;
    default:
        return false;
    }
}

static int fail_open(int reason, const char *rel, struct err *e)
{
    switch (reason) {
    case EXDEV:
        err_set(e, ERR_FILE_OUTSIDE, "'%s' leaves the source root", rel);
        break;
    case ELOOP:
        err_set(e, ERR_FILE_TYPE, "'%s' is a symbolic link, or passes through one", rel);
        break;
    case ENOTDIR:
        err_set_errno(e, ERR_FILE_MISSING, reason, "cannot open '%s'", rel);
        break;
    default:
        err_set_errno(e, ERR_FILE, reason, "cannot open '%s'", rel);
        break;
    }
    return -1;
}

static int refuse_type(int fd, mode_t mode, const char *rel, struct err *e)
{
    if (S_ISREG(mode))
        err_set(e, ERR_FILE_TYPE, "'%s' lies on a file system of the kernel's own", rel);
    else
        err_set(e, ERR_FILE_TYPE, "'%s' is %s, not a regular file", rel, kind(mode));
    close(fd);
    return -1;
}

/* A device that is known to hold files: the thread's last one. Its number cannot belong to a file system of the kernel's own as
 * long as it is mounted. */
static _Thread_local dev_t known_device;
static _Thread_local bool have_known_device;

/* Look first, through a descriptor that opens nothing: opening a device may already act on it. */
static bool look(int root_fd, const char *part, const char *rel, struct err *e)
{
    struct stat st;
    int fd;

    /* A name is enough to tell a regular file of a known file system; the open that follows confines, and looks again. */
    if (have_known_device &&
        fstatat(root_fd, part, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
        S_ISREG(st.st_mode) && st.st_dev == known_device)
        return true;
    fd = open_confined(root_fd, part, O_PATH);
    if (fd < 0 || fstat(fd, &st) != 0) {
        fail_open(errno, rel, e);
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (!S_ISREG(st.st_mode) || is_pseudo(fd)) {
        refuse_type(fd, st.st_mode, rel, e);
        return false;
    }
    known_device = st.st_dev;
    have_known_device = true;
    close(fd);
    return true;
}

/* The name below the root; NULL with e filled. */
static const char *part_of(const char *root_path, const char *rel, struct err *e)
{
    const char *part = rel;

    if (rel[0] == '/')
        part = relative_part(root_path, rel);
    if (part == NULL || has_dot_dot(part)) {
        err_set(e, ERR_FILE_OUTSIDE, "'%s' leaves the source root", rel);
        err_hint(e, "paths must lie below '%s' and contain no '..'", root_path);
        return NULL;
    }
    if (part[0] == '\0' && part != rel)
        part = ".";
    if (str_ends(part, "/")) {
        err_set(e, ERR_FILE_TYPE, "'%s' names a directory", rel);
        return NULL;
    }
    return part;
}

int fsio_open_stat_beneath(int root_fd, const char *root_path, const char *rel, struct stat *st,
                           struct err *e)
{
    const char *part = part_of(root_path, rel, e);

    if (part == NULL || !look(root_fd, part, rel, e))
        return -1;
    const int fd = open_confined(root_fd, part, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, st) != 0) {
        fail_open(errno, rel, e);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!S_ISREG(st->st_mode)) /* swapped since we looked */
        return refuse_type(fd, st->st_mode, rel, e);
    return fd;
}

int fsio_open_beneath(int root_fd, const char *root_path, const char *rel, struct err *e)
{
    struct stat st;

    return fsio_open_stat_beneath(root_fd, root_path, rel, &st, e);
}

bool fsio_stat_beneath(int root_fd, const char *root_path, const char *rel, struct stat *st)
{
    const char *part = part_of(root_path, rel, NULL);

    return part != NULL && fstatat(root_fd, part, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0;
}
