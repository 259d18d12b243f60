/* checksum: file checksums as applications store them, recognised by their shape:
 * SHA-256 hex (64) or base64 (44), MD5 hex (32) or base64 (24, Rails), SHA-1 hex (40), any case;
 * blanks around it are ignored; empty or NULL means none. */
#ifndef BLOBFERRY_CODEC_CHECKSUM_H
#define BLOBFERRY_CODEC_CHECKSUM_H

#include "blobferry/base/err.h"
#include "blobferry/codec/digest.h"

#include <stdbool.h>

struct checksum {
    enum digest_kind kind; /* DIGEST_NONE: none recorded */
    unsigned char bytes[DIGEST_MAX];
};

/* ERR_PARSE when the text is not empty and of no known shape. */
enum err_code checksum_parse(const char *text, struct checksum *out, struct err *e);
/* `digest` holds digest_size(a->kind) bytes; false when none is recorded. */
bool checksum_equal(const struct checksum *a, const unsigned char *digest);

#endif
