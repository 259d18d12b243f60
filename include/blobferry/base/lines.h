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
    size_t cap, at, have;
    bool eof;
    const char *line; /* current line without its LF; not NUL-terminated */
    size_t len;
    int64_t number; /* from 1 */
    bool too_long;  /* the line was longer than the maximum: line holds its beginning */
    bool torn;      /* the last line, without an LF */
};

/* ERR_FILE_*; max_line in bytes. */
enum err_code lines_open(struct lines *l, const char *path, size_t max_line, struct err *e);
enum err_code lines_next(struct lines *l, bool *more, struct err *e);
void lines_close(struct lines *l); /* harmless after a failed open */

#endif
