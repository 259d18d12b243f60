/* fsio_atomic: a file that appears under its name only when it is whole and durable (P12).
 * The temporary lies in the same folder, so that the last step is one rename. */
#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *temporary_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const int folder = slash != NULL ? (int)(slash - path + 1) : 0;
    char *name = NULL;
    uint64_t random;

    clock_random(&random, sizeof random);
    /* The name does not contain the target's, which may already be as long as names can be. */
    if (asprintf(&name, "%.*s.blobferry-%016" PRIx64 ".tmp", folder, path, random) < 0)
        return NULL;
    return name;
}

static void forget(struct fsio_atomic *a)
{
    free(a->path);
    free(a->temporary);
    *a = (struct fsio_atomic){.fd = -1};
}

enum err_code fsio_atomic_begin(struct fsio_atomic *a, const char *path, mode_t mode, struct err *e)
{
    enum err_code code;

    *a = (struct fsio_atomic){.fd = -1, .path = str_dup(path), .temporary = temporary_name(path)};
    if (a->path == NULL || a->temporary == NULL) {
        code = err_set(e, ERR_NOMEM, "out of memory");
        goto fail;
    }
    a->fd = open(a->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (a->fd < 0) {
        code = err_set_errno(e, ERR_FILE, errno, "cannot create '%s'", path);
        goto fail;
    }
    return ERR_OK;
fail:
    forget(a);
    return code;
}

enum err_code fsio_atomic_write(struct fsio_atomic *a, const void *p, size_t n, struct err *e)
{
    if (a->fd < 0)
        return err_set(e, ERR_GENERAL, "cannot write to a file that is not open");
    return fsio_write_all(a->fd, p, n, a->path, e);
}

/* Give the temporary its name; 0, or an errno. EEXIST when FSIO_NEW found the name taken. */
static int publish(const struct fsio_atomic *a, enum fsio_mode mode)
{
    if (mode == FSIO_REPLACE)
        return rename(a->temporary, a->path) == 0 ? 0 : errno;
    if (renameat2(AT_FDCWD, a->temporary, AT_FDCWD, a->path, RENAME_NOREPLACE) == 0)
        return 0;
    /* File systems without RENAME_NOREPLACE, such as NFS, have link(2), which never overwrites. */
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return errno;
    if (link(a->temporary, a->path) != 0)
        return errno;
    unlink(a->temporary);
    return 0;
}

enum err_code fsio_atomic_commit(struct fsio_atomic *a, enum fsio_mode mode, struct err *e)
{
    enum err_code code = ERR_OK;
    int reason;

    if (a->fd < 0)
        return err_set(e, ERR_GENERAL, "cannot commit a file that is not open");
    /* Never a second fsync after a failed one: it may succeed without the lost pages (A7). */
    reason = fsync(a->fd) == 0 ? 0 : errno;
    if (close(a->fd) != 0 && reason == 0 && errno != EINTR)
        reason = errno;
    a->fd = -1;
    if (reason != 0) {
        code = err_set_errno(e, ERR_FILE, reason, "cannot make '%s' durable", a->path);
        goto fail;
    }
    reason = publish(a, mode);
    if (reason == EEXIST && mode == FSIO_NEW) {
        code = err_set(e, ERR_CONFLICT, "'%s' exists already", a->path);
        goto fail;
    }
    if (reason != 0) {
        code = err_set_errno(e, ERR_FILE, reason, "cannot create '%s'", a->path);
        goto fail;
    }
    code = fsio_sync_parent(a->path, e);
    forget(a);
    return code;
fail:
    fsio_atomic_abort(a);
    return code;
}

void fsio_atomic_abort(struct fsio_atomic *a)
{
    if (a->temporary == NULL)
        return;
    if (a->fd >= 0)
        close(a->fd);
    unlink(a->temporary);
    forget(a);
}
