#include "engine/audit_walk.h"

#include "engine/journal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void audit_walk_copy(char *dst, size_t size, const char *s, size_t n)
{
    if (n >= size)
        n = size - 1;
    memcpy(dst, s, n);
    dst[n] = '\0';
}

/* Whole lines up to what there is now, under the lock of those who write. */
static enum err_code open_trail(const char *path, int *fd, int64_t *size, struct err *e)
{
    struct stat st;
    enum err_code code;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0) {
        code = err_set_errno(e, ERR_FILE, errno, "cannot open audit trail '%s'", path);
        err_hint(e, "see --log-dir");
        return code;
    }
    if (fstat(*fd, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot look at '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE_TYPE, "audit trail '%s' is no regular file", path);
    code = journal_read_lock(*fd, LOCK_SH, path, e);
    if (code == ERR_OK && fstat(*fd, &st) != 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot look at '%s'", path);
    *size = st.st_size;
    (void)flock(*fd, LOCK_UN);
    return code;
}

static enum err_code read_all(struct journal_read *r, audit_walk_fn *fn, void *user,
                              int64_t *damaged, struct err *e)
{
    char previous[DIGEST_SHA256_HEX] = JOURNAL_ZEROS;
    int64_t number = 0;
    struct journal_piece p;
    struct journal_line l;
    const char *why;
    enum err_code code = journal_read_next(r, &p, e);

    while (code == ERR_OK && p.len > 0) {
        number += p.begins;
        if (journal_read_line(&p, &l, &why)) {
            code = fn(user, &l, number, previous, e);
            memcpy(previous, l.hash, 64);
        } else {
            *damaged += p.begins;
        }
        if (code == ERR_OK)
            code = journal_read_next(r, &p, e);
    }
    return code;
}

enum err_code audit_walk(const char *dir, audit_walk_fn *fn, void *user, int64_t *damaged,
                         struct err *e)
{
    struct journal_read r = {0};
    char path[4096];
    int64_t size = 0;
    int fd = -1;
    enum err_code code;

    *damaged = 0;
    if (snprintf(path, sizeof path, "%s/audit.jsonl", dir) >= (int)sizeof path)
        return err_set(e, ERR_CONFIG, "the log folder's name is too long");
    code = open_trail(path, &fd, &size, e);
    if (code == ERR_OK)
        code = journal_read_init(&r, fd, path, 0, size, e);
    if (code == ERR_OK)
        code = read_all(&r, fn, user, damaged, e);
    journal_read_release(&r);
    if (fd >= 0)
        close(fd);
    return code;
}
