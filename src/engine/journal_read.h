/* journal_read: the audit file read forward in pieces, in constant memory. Private to the journal.
 *
 *     journal_read_init(&r, fd, path, from, limit, e);
 *     while (journal_read_next(&r, &piece, e) == ERR_OK && piece.len > 0) …
 *     journal_read_release(&r);
 */
#ifndef BLOBFERRY_SRC_ENGINE_JOURNAL_READ_H
#define BLOBFERRY_SRC_ENGINE_JOURNAL_READ_H

#include "engine/journal_line.h"

struct journal_read {
    int fd; /* borrowed */
    const char *path;
    int64_t next;  /* file offset of the next byte to read */
    int64_t limit; /* bytes from there on are not looked at */
    char *data;
    size_t begin, end;
    bool in_line; /* the next piece goes on with a line already begun */
};

/* A line with its LF; or, where it has none or is over-long, a part of one. */
struct journal_piece {
    const char *text; /* borrowed until the next call */
    size_t len;       /* with the LF; 0: the end */
    int64_t offset;
    bool begins; /* at a line's first byte */
    bool ends;   /* with a LF */
};

enum err_code journal_read_init(struct journal_read *r, int fd, const char *path, int64_t from,
                                int64_t limit, struct err *e);
void journal_read_release(struct journal_read *r);
enum err_code journal_read_next(struct journal_read *r, struct journal_piece *p, struct err *e);
/* A whole line in form? */
bool journal_read_line(const struct journal_piece *p, struct journal_line *l, const char **why);

/* Lock of the file between processes, with bounded waiting; how: LOCK_SH or LOCK_EX. */
enum err_code journal_read_lock(int fd, int how, const char *path, struct err *e);

/* Where the chain stands. */
struct journal_tail {
    int64_t end; /* bytes of whole lines */
    int64_t seq; /* of the last of them */
    char hash[DIGEST_SHA256_HEX];
    int64_t torn; /* bytes after them */
    char torn_sha256[DIGEST_SHA256_HEX];
};
/* Look at [from, size) for the last whole line. `from` begins a line whose chain stands as *t says on the way in; with
 * `anywhere` it may lie inside a line and *t says nothing yet. Torn is what follows the last audit line; and what follows a NUL,
 * for that is a block which a power cut kept from the disk, and later lines chain over what it held. */
enum err_code journal_read_tail(int fd, const char *path, int64_t from, int64_t size, bool anywhere,
                                struct journal_tail *t, struct err *e);

#endif
