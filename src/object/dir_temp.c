/* dir_temp: files that are being written. Each is locked by its writer for as long as that lives, so that what a killed
 * process left can be told from what another one is writing. */
#include "dir.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TEMP_FOLDER "tmp"

/* ---- sweeping ------------------------------------------------------------------------------------ */

static void sweep_one(int dir, const char *name)
{
    const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(dir, name, 0); /* its writer is dead */
    close(fd);
}

static void sweep(int dir)
{
    DIR *d = fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 0));

    if (d == NULL)
        return;
    for (const struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (entry->d_name[0] != '.')
            sweep_one(dir, entry->d_name);
    }
    closedir(d);
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* Create and lock. A sweeper may have come between the two: then the file has no name any more. */
static bool create_locked(struct dir_temp *t)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        struct stat st;
        t->fd =
            openat(t->dir_fd, t->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (t->fd < 0)
            return false;
        if (flock(t->fd, LOCK_EX) != 0 || fstat(t->fd, &st) != 0)
            return false;
        if (st.st_nlink > 0)
            return true;
        close(t->fd);
        t->fd = -1;
    }
    errno = EAGAIN;
    return false;
}

/* The key of an upload, whole and durable before the upload is there: written aside, where a killed writer's leavings are swept, and
 * renamed (P11). */
static bool write_key(struct dir_store *s, const struct dir_temp *t, const char *key,
                      struct objstore_result *r)
{
    struct dir_temp aside;
    char name[80];
    struct err e;
    int reason;
    bool ok;

    if (!dir_temp_open(s, key, false, &aside, r))
        return false;
    (void)snprintf(name, sizeof name, "%s%s", t->name, DIR_UPLOAD_KEY);
    ok = fsio_write_all(aside.fd, key, strlen(key), name, &e) == ERR_OK && fsync(aside.fd) == 0 &&
         renameat(aside.dir_fd, aside.name, t->dir_fd, name) == 0;
    reason = errno;
    dir_temp_close(&aside, ok);
    errno = reason;
    return ok;
}

bool dir_temp_open(struct dir_store *s, const char *key, bool upload, struct dir_temp *t,
                   struct objstore_result *r)
{
    char id[CLOCK_UUID_SIZE];

    memset(t, 0, sizeof *t);
    t->fd = -1;
    t->upload = upload;
    t->dir_fd = dir_path_private(s, upload ? DIR_UPLOAD_FOLDER : TEMP_FOLDER, r);
    if (t->dir_fd < 0)
        return false;
    if (!upload && !s->swept) {
        sweep(t->dir_fd);
        s->swept = true;
    }
    clock_uuid(id);
    (void)snprintf(t->name, sizeof t->name, "%s", id);
    if ((!upload || write_key(s, t, key, r)) && create_locked(t) &&
        (!upload || fsync(t->dir_fd) == 0))
        return true;
    dir_fault(r, errno, "write", key);
    dir_temp_close(t, false);
    return false;
}

void dir_temp_close(struct dir_temp *t, bool keep)
{
    if (!keep && t->dir_fd >= 0 && t->name[0] != '\0') {
        if (t->upload)
            dir_uploads_unlink(t->dir_fd, t->name);
        else
            (void)unlinkat(t->dir_fd, t->name, 0);
    }
    if (t->fd >= 0)
        close(t->fd);
    if (t->dir_fd >= 0)
        close(t->dir_fd);
    t->fd = t->dir_fd = -1;
}
