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

/* ERR_NOMEM, or ERR_GENERAL when OpenSSL has no such algorithm (MD5 under FIPS). On failure
 * digest_release is harmless and the other calls are not allowed. */
enum err_code digest_init(struct digest *d, enum digest_kind kind, struct err *e);
/* The calls below cannot report a failure of OpenSSL; there is none in a sound process, and should one
 * occur (OpenSSL 3.0 allocates about 100 bytes in a restart) they abort rather than give a wrong
 * digest (P1). */
void digest_restart(struct digest *d);
void digest_update(struct digest *d, const void *p, size_t n);
/* Writes digest_size(kind) bytes; CRCs big-endian as S3 sends them. */
void digest_final(struct digest *d, unsigned char out[DIGEST_MAX]);
void digest_release(struct digest *d);

size_t digest_size(enum digest_kind kind);
const char *digest_name(enum digest_kind kind); /* "sha256" ... */
/* One call, on a context that each thread keeps; p may be NULL when n is 0. */
void digest_sha256(const void *p, size_t n, unsigned char out[DIGEST_SHA256_SIZE]);
void digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX]);
void digest_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
                        unsigned char out[DIGEST_SHA256_SIZE]);

#endif
