#include "blobferry/base/lines.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_MIN ((size_t)256 << 10)

enum err_code lines_open(struct lines *l, const char *path, size_t max_line, struct err *e)
{
    struct stat st;

    memset(l, 0, sizeof *l);
    l->cap = max_line > WINDOW_MIN ? max_line : WINDOW_MIN;
    l->path = str_dup(path);
    l->data = malloc(l->cap);
    l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (l->fd < 0) {
        err_set_errno(e, ERR_FILE, errno, "cannot open '%s'", path);
    } else if (l->path == NULL || l->data == NULL) {
        err_set(e, ERR_NOMEM, "out of memory");
    } else if (fstat(l->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        err_set(e, ERR_FILE_TYPE, "'%s' is no regular file", path);
    } else {
        return ERR_OK;
    }
    lines_close(l);
    return e != NULL ? e->code : ERR_FILE;
}

/* More bytes behind what is left of the window; false at the end of the file. */
static enum err_code fill(struct lines *l, struct err *e)
{
    ssize_t n;

    if (l->at > 0) {
        memmove(l->data, l->data + l->at, l->have - l->at);
        l->have -= l->at;
        l->at = 0;
    }
    do
        n = read(l->fd, l->data + l->have, l->cap - l->have);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", l->path);
    l->eof = n == 0;
    l->have += (size_t)n;
    return ERR_OK;
}

/* The rest of an over-long line: read and dropped up to its LF, while its beginning stays in the window. */
static enum err_code drop_rest(struct lines *l, struct err *e)
{
    char piece[16384];

    for (;;) {
        ssize_t n = read(l->fd, piece, sizeof piece);
        const char *lf;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", l->path);
        if (n == 0) {
            l->eof = l->torn = true;
            return ERR_OK;
        }
        lf = memchr(piece, '\n', (size_t)n);
        if (lf == NULL)
            continue;
        /* hand back what follows the LF */
        if (lseek(l->fd, (off_t)(lf + 1 - (piece + n)), SEEK_CUR) < 0)
            return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", l->path);
        return ERR_OK;
    }
}

enum err_code lines_next(struct lines *l, bool *more, struct err *e)
{
    size_t searched = 0;

    l->too_long = l->torn = false;
    *more = true;
    for (;;) {
        char *from = l->data + l->at;
        char *lf = memchr(from + searched, '\n', l->have - l->at - searched);
        enum err_code code;

        if (lf != NULL) {
            l->line = from;
            l->len = (size_t)(lf - from);
            l->at += l->len + 1;
            break;
        }
        searched = l->have - l->at;
        if (l->eof) {
            *more = l->torn = searched > 0;
            l->line = from;
            l->len = searched;
            l->at = l->have;
            break;
        }
        if (searched == l->cap) {
            l->line = l->data;
            l->len = l->have;
            l->too_long = true;
            l->at = l->have;
            code = drop_rest(l, e);
            if (code != ERR_OK)
                return code;
            break;
        }
        code = fill(l, e);
        if (code != ERR_OK)
            return code;
    }
    l->number += *more;
    return ERR_OK;
}

void lines_close(struct lines *l)
{
    if (l->fd >= 0 && l->data != NULL)
        close(l->fd);
    free(l->path);
    free(l->data);
    memset(l, 0, sizeof *l);
    l->fd = -1;
}
