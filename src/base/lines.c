#include "blobferry/base/lines.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_MIN ((size_t)256 << 10)
#define SPARE                                                                                      \
    ((size_t)64 << 10) /* behind the longest line: over-long ones are read over in pieces */

static enum err_code open_regular(struct lines *l, const char *path, struct err *e)
{
    struct stat st;

    l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (l->fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot open '%s'", path);
    if (fstat(l->fd, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot look at '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE_TYPE, "'%s' is no regular file", path);
    return ERR_OK;
}

enum err_code lines_open(struct lines *l, const char *path, size_t max_line, struct err *e)
{
    enum err_code code;

    memset(l, 0, sizeof *l);
    l->fd = -1;
    l->max = max_line;
    l->cap = max_line + SPARE < WINDOW_MIN ? WINDOW_MIN : max_line + SPARE;
    l->path = str_dup(path);
    l->data = malloc(l->cap);
    code = l->path != NULL && l->data != NULL ? open_regular(l, path, e)
                                              : err_set(e, ERR_NOMEM, "out of memory");
    if (code != ERR_OK)
        lines_close(l);
    return code;
}

static enum err_code read_some(struct lines *l, char *dst, size_t room, size_t *got, struct err *e)
{
    ssize_t n;

    do
        n = read(l->fd, dst, room);
    while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    l->eof = n <= 0; /* a fault ends it too: what stands behind it is not known */
    return n >= 0 ? ERR_OK : err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", l->path);
}

/* More bytes behind what is left of the window. */
static enum err_code fill(struct lines *l, struct err *e)
{
    size_t got;
    enum err_code code;

    memmove(l->data, l->data + l->at, l->have - l->at);
    l->have -= l->at;
    l->at = 0;
    code = read_some(l, l->data + l->have, l->cap - l->have, &got, e);
    l->have += got;
    return code;
}

/* A line that fills the window: its beginning stays at the front, the rest is read over up to its LF; what
 * follows that is moved behind the beginning. */
static enum err_code read_over(struct lines *l, struct err *e)
{
    char *rest = l->data + l->max, *lf = NULL;
    size_t got = 0;

    while (lf == NULL && !l->eof) {
        enum err_code code = read_some(l, rest, l->cap - l->max, &got, e);
        if (code != ERR_OK)
            return code;
        lf = memchr(rest, '\n', got);
    }
    l->torn = lf == NULL;
    l->at = lf != NULL ? (size_t)(lf + 1 - l->data) : l->max;
    l->have = l->max + got;
    return ERR_OK;
}

static void take(struct lines *l, size_t len, size_t with_lf)
{
    l->line = l->data + l->at;
    l->too_long = len > l->max;
    l->len = l->too_long ? l->max : len;
    l->at += with_lf;
}

enum err_code lines_next(struct lines *l, bool *more, struct err *e)
{
    size_t searched = 0;
    enum err_code code = ERR_OK;

    l->too_long = l->torn = false;
    l->line = "";
    l->len = 0;
    *more = false;
    for (;;) {
        const char *from = l->data + l->at;
        size_t left = l->have - l->at;
        const char *lf = memchr(from + searched, '\n', left - searched);

        if (lf != NULL) {
            take(l, (size_t)(lf - from), (size_t)(lf - from) + 1);
            break;
        }
        if (l->eof && left == 0)
            return ERR_OK;
        if (l->eof) {
            take(l, left, left);
            l->torn = true;
            break;
        }
        if (left == l->cap) { /* then at is 0 */
            code = read_over(l, e);
            l->line = l->data;
            l->len = l->max;
            l->too_long = true;
            break;
        }
        searched = left;
        code = fill(l, e);
        if (code != ERR_OK)
            break;
    }
    if (code != ERR_OK)
        l->at = l->have = 0;
    *more = code == ERR_OK;
    l->number += *more;
    return code;
}

void lines_close(struct lines *l)
{
    if (l->data != NULL && l->fd >= 0)
        close(l->fd);
    free(l->path);
    free(l->data);
    memset(l, 0, sizeof *l);
    l->fd = -1;
}
