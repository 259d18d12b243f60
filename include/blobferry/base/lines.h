/* lines: a text file line by line in constant memory; over-long lines are told and skipped, never cut silently.
 *
 *     struct lines l;
 *     lines_open(&l, "logs/audit.jsonl", 1 << 20, e);
 *     while (lines_next(&l, &more, e) == ERR_OK && more) use(l.line, l.len, l.number);
 *     lines_close(&l);
 */
#ifndef BLOBFERRY_BASE_LINES_H
#define BLOBFERRY_BASE_LINES_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines {
    int fd;
    char *path; /* owned, for messages */
    char *data; /* owned window */
    size_t max; /* bytes of the longest line that is given whole */
    size_t cap, at, have;
    bool eof;
    const char
        *line; /* current line without its LF; borrowed until the next call; not NUL-terminated */
    size_t len;
    int64_t number; /* from 1; lines that are too long count as well */
    bool too_long;  /* the line was longer than the maximum: line holds its first bytes */
    bool torn;      /* the last line, without an LF */
};

/* A regular file, read without writing to it; FIFOs and devices are refused without blocking. max_line in
 * bytes, without the LF. ERR_FILE_*, ERR_NOMEM. */
enum err_code lines_open(struct lines *l, const char *path, size_t max_line, struct err *e);
/* *more false at the end; what is appended after that is not seen. After a fault nothing more is read. */
enum err_code lines_next(struct lines *l, bool *more, struct err *e);
void lines_close(struct lines *l); /* harmless after a failed open, and twice */

#endif
