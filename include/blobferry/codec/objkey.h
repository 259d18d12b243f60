/* objkey: what may be an object key, decided before any request is made. */
#ifndef BLOBFERRY_CODEC_OBJKEY_H
#define BLOBFERRY_CODEC_OBJKEY_H

#include "blobferry/base/err.h"

#include <stddef.h>

#define OBJKEY_MAX 1024

/* ERR_OK or ERR_PARSE with what is wrong: empty, over 1,024 bytes, not UTF-8, control characters (C0, DEL, C1), a '.' or '..'
 * segment, leading '/', trailing '/', an empty segment '//' (Ceph, R2 and file systems disagree on them), U+FFFE/FFFF. */
enum err_code objkey_check(const char *key, struct err *e);
/* Its NFC form (utf8proc), owned by the caller; NULL when it is no UTF-8 or memory is short. R2 normalises keys to NFC, so two keys with one
 * NFC form are one object there. */
char *objkey_nfc(const char *key);

#endif
