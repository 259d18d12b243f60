/* digest: hashes over OpenSSL EVP (reused contexts) and the CRCs that S3 uses.
 *
 *     struct digest d;
 *     digest_init(&d, DIGEST_SHA256, e);
 *     digest_update(&d, p, n);  ...
 *     digest_final(&d, out);             (and the context may be restarted with digest_restart)
 *     digest_release(&d);
 */
#ifndef BLOBFERRY_CODEC_DIGEST_H
#define BLOBFERRY_CODEC_DIGEST_H

#include "blobferry/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum digest_kind {
    DIGEST_NONE,
    DIGEST_MD5,
    DIGEST_SHA1,
    DIGEST_SHA256,
    DIGEST_CRC32,
    DIGEST_CRC32C,
    DIGEST_CRC64NVME
};
#define DIGEST_MAX         32
#define DIGEST_SHA256_SIZE 32
#define DIGEST_SHA256_HEX  65

struct digest {
    enum digest_kind kind;
    void *evp; /* EVP_MD_CTX, owned */
    uint64_t crc;
};

enum err_code digest_init(struct digest *d, enum digest_kind kind, struct err *e);
void digest_restart(struct digest *d);
void digest_update(struct digest *d, const void *p, size_t n);
/* Writes digest_size(kind) bytes; CRCs big-endian as S3 sends them. */
void digest_final(struct digest *d, unsigned char out[DIGEST_MAX]);
void digest_release(struct digest *d);

size_t digest_size(enum digest_kind kind);
const char *digest_name(enum digest_kind kind); /* "sha256" ... */
/* One call. */
void digest_sha256(const void *p, size_t n, unsigned char out[DIGEST_SHA256_SIZE]);
void digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX]);
void digest_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
                        unsigned char out[DIGEST_SHA256_SIZE]);

#endif
