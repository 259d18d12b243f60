/* buf: a growing byte buffer with a maximum.
 *
 *     struct buf b;
 *     buf_init(&b, 1 << 20);
 *     buf_str(&b, "a="); buf_printf(&b, "%d", 7);
 *     if (!buf_ok(&b)) ...            (sticky: too large, or out of memory)
 *     use(b.data, b.len);             (always NUL-terminated when len > 0; see buf_cstr)
 *     buf_release(&b);
 */
#ifndef BLOBFERRY_BASE_BUF_H
#define BLOBFERRY_BASE_BUF_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* owned; NULL until something is added */
    size_t len; /* bytes, without the terminating NUL */
    size_t cap;
    size_t max;     /* bytes; growth beyond it fails */
    bool failed;    /* sticky until buf_reset */
    bool no_memory; /* … and why: memory, not the maximum */
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* frees; the buffer may be used again */
void buf_wipe(struct buf *b);    /* OPENSSL_cleanse-like wipe, then release */
void buf_reset(struct buf *b);   /* len = 0, failed = false, keeps memory */
bool buf_ok(const struct buf *b);
/* ERR_OK; ERR_NOMEM when there was no memory; else `code` with `message`: what is too long. */
enum err_code buf_status(const struct buf *b, enum err_code code, const char *message,
                         struct err *e);
bool buf_reserve(struct buf *b, size_t more); /* room, so that what follows need not grow it */
bool buf_append(struct buf *b, const void *p, size_t n);
bool buf_str(struct buf *b, const char *s);
bool buf_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *buf_cstr(const struct buf *b); /* borrowed, "" when empty */
char *buf_steal(struct buf *b); /* owned NUL-terminated string, NULL if failed; b is empty */

#endif
