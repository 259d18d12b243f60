/* text: hex, base64, percent-encoding. */
#ifndef BLOBFERRY_CODEC_TEXT_H
#define BLOBFERRY_CODEC_TEXT_H

#include "blobferry/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

void text_hex(const void *p, size_t n, char *dst /* 2n + 1 */);
bool text_unhex(const char *s, size_t n,
                void *dst /* n / 2 */); /* any case; false when malformed */
/* With padding and NUL: needs (n + 2) / 3 * 4 + 1 bytes; false when `size` is less. */
bool text_base64(const void *p, size_t n, char *dst, size_t size);
/* Strict RFC 4648: padding, no blanks, zero bits under the padding. *len is the room in, the bytes
 * out; false when malformed or too small, then *len is unchanged. */
bool text_unbase64(const char *s, size_t n, void *dst, size_t *len);
/* RFC 3986 unreserved characters stay, all else becomes %XX upper case; '/' stays when keep_slash
 * (the encoding of SigV4's canonical URI for S3, applied once). */
bool text_uri_encode(struct buf *b, const void *p, size_t n, bool keep_slash);
/* Malformed % sequences fail and add nothing. plus_is_space for S3's encoding-type=url. Result may hold any byte. */
bool text_uri_decode(struct buf *b, const char *s, size_t n, bool plus_is_space);

#endif
