/* dir_path: from names to descriptors, one segment after the other, none of them a symbolic link: whatever somebody puts
 * into the directory, blobferry stays inside it. */
#include "dir.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool dir_path_root(struct dir_store *s, bool create, struct objstore_result *r)
{
    if (s->root_fd >= 0)
        return true;
    if (create && mkdir(s->path, 0700) != 0 && errno != EEXIST && errno != ENOENT) {
        dir_fault(r, errno, "create the target directory", s->path);
        return false;
    }
    /* Links in the root's own path are the operator's. */
    s->root_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->root_fd >= 0)
        return true;
    /* No directory is no proof that an object is absent: perhaps a disk is not mounted. */
    r->outcome = OBJSTORE_DENIED;
    err_set_errno(&r->err, ERR_STORE_DENIED, errno, "cannot open the target directory '%s'",
                  s->path);
    err_hint(&r->err, "create it: mkdir -p '%s'", s->path);
    return false;
}

/* Why a folder on the way to `key` could not be opened. */
static void explain(int fd, const char *name, const char *key, bool create, int errnum,
                    struct objstore_result *r)
{
    struct stat st;

    if (errnum == ENOENT && !create) {
        dir_absent(r, key);
    } else if ((errnum == ENOTDIR || errnum == ELOOP) &&
               fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISLNK(st.st_mode))
            dir_reject(r, key, "passes through a symbolic link in the target directory");
        else if (create)
            dir_reject(r, key, "needs a folder where there is an object");
        else
            dir_absent(r, key);
    } else {
        dir_fault(r, errnum, "open the folder of", key);
    }
}

/* `name` inside the folder fd, made durably when it is not there. Closes fd. */
static int descend(int fd, const char *name, const char *key, bool create,
                   struct objstore_result *r)
{
    int next = openat(fd, name, FOLDER_FLAGS);

    if (next < 0 && errno == ENOENT && create) {
        const bool made = mkdirat(fd, name, 0700) == 0;
        if (made && fsync(fd) != 0) {
            dir_fault(r, errno, "make durable the folder of", key);
            close(fd);
            return -1;
        }
        if (made || errno == EEXIST)
            next = openat(fd, name, FOLDER_FLAGS);
    }
    if (next < 0)
        explain(fd, name, key, create, errno, r);
    close(fd);
    return next;
}

static bool is_private(const char *segment, size_t n)
{
    return n == strlen(DIR_PRIVATE) && memcmp(segment, DIR_PRIVATE, n) == 0;
}

int dir_path_parent(struct dir_store *s, const char *key, bool create, const char **leaf,
                    struct objstore_result *r)
{
    char name[NAME_MAX + 1];
    int fd;

    if (!dir_path_root(s, create, r))
        return -1;
    if (is_private(key, strcspn(key, "/"))) {
        dir_reject(r, key, "lies in the folder '" DIR_PRIVATE "', which is blobferry's own");
        return -1;
    }
    fd = fcntl(s->root_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        dir_fault(r, errno, "open the folder of", key);
    *leaf = key;
    for (const char *slash = strchr(key, '/'); fd >= 0 && slash != NULL;
         slash = strchr(*leaf, '/')) {
        const size_t n = (size_t)(slash - *leaf);
        if (n > NAME_MAX) {
            dir_fault(r, ENAMETOOLONG, "open", key);
            close(fd);
            return -1;
        }
        memcpy(name, *leaf, n);
        name[n] = '\0';
        fd = descend(fd, name, key, create, r);
        *leaf = slash + 1;
    }
    if (fd >= 0 && strlen(*leaf) > NAME_MAX) {
        dir_fault(r, ENAMETOOLONG, "open", key);
        close(fd);
        return -1;
    }
    return fd;
}

int dir_path_private(struct dir_store *s, const char *name, struct objstore_result *r)
{
    char segment[NAME_MAX + 1];
    int fd;

    if (!dir_path_root(s, true, r))
        return -1;
    fd = fcntl(s->root_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        dir_fault(r, errno, "open", DIR_PRIVATE);
    else
        fd = descend(fd, DIR_PRIVATE, DIR_PRIVATE, true, r);
    while (fd >= 0 && *name != '\0') {
        const size_t n = strcspn(name, "/");
        memcpy(segment, name, n);
        segment[n] = '\0';
        fd = descend(fd, segment, DIR_PRIVATE, true, r);
        name += n + (name[n] == '/');
    }
    return fd;
}

void dir_path_prune(struct dir_store *s, const char *key)
{
    struct objstore_result ignored;
    const char *leaf;
    char *folder = str_dup(key);
    char *slash = folder == NULL ? NULL : strrchr(folder, '/');

    for (; slash != NULL; slash = strrchr(folder, '/')) {
        *slash = '\0';
        const int fd = dir_path_parent(s, folder, false, &leaf, &ignored);
        if (fd < 0)
            break;
        /* Fails, and that is all right, unless the folder is empty. */
        const bool gone = unlinkat(fd, leaf, AT_REMOVEDIR) == 0;
        close(fd);
        if (!gone)
            break;
    }
    free(folder);
}
