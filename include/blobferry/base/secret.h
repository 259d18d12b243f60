/* secret: bytes that must never be printed (P8). Locked out of core files by process_harden(),
 * wiped on release, registered with the log's redaction. There is on purpose no way to format one. */
#ifndef BLOBFERRY_BASE_SECRET_H
#define BLOBFERRY_BASE_SECRET_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct secret {
    char *bytes; /* owned, NUL-terminated; touch it only through secret_peek */
    size_t len;
};

void secret_init(struct secret *s);
enum err_code secret_set(struct secret *s, const char *bytes, size_t n, struct err *e);
enum err_code secret_copy(struct secret *dst, const struct secret *src, struct err *e);
/* First line of a file, at most 64 KiB; refuses a file that others may write. */
enum err_code secret_from_file(struct secret *s, const char *path, struct err *e);
bool secret_is_set(const struct secret *s);
const char *
secret_peek(const struct secret *s); /* borrowed, "" when unset: for signing and libpq only */
bool secret_equal(const struct secret *s, const char *bytes,
                  size_t n);           /* constant time over SHA-256 */
void secret_release(struct secret *s); /* wipes */

/* Replace every registered secret of at least 6 bytes in text[0..len) by '*' in place. */
void secret_redact(char *text, size_t len);
/* Would it change anything? */
bool secret_within(const char *text, size_t len);

#endif
