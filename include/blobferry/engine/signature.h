/* signature: Ed25519 (RFC 8032) over the closing line of each run in the audit trail. Keys are PEM files as OpenSSL writes them:
 * PKCS#8 for the private one, SubjectPublicKeyInfo for the public one, so that `openssl pkeyutl -verify -rawin` agrees.
 *
 *     signature_keygen("audit.key", id, e);                     (audit.key and audit.key.pub)
 *     signature_load(&s, "audit.key", e);  signature_sign(s, p, n, hex, e);  signature_free(s);
 *     signature_load_public(&s, "audit.key.pub", e);  signature_good(s, p, n, hex, 128);
 */
#ifndef BLOBFERRY_ENGINE_SIGNATURE_H
#define BLOBFERRY_ENGINE_SIGNATURE_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SIGNATURE_HEX ((size_t)128) /* digits of a signature */
#define SIGNATURE_ID  17            /* 16 hex digits that tell keys apart, and NUL */

struct signature; /* one key */

/* Makes both files, the private one 0600; neither may be there (ERR_CONFLICT). id may be NULL. */
enum err_code signature_keygen(const char *path, char id[SIGNATURE_ID], struct err *e);
/* Refuses a private key that others may write or read. ERR_CONFIG when it is no such key or is encrypted. */
enum err_code signature_load(struct signature **out, const char *path, struct err *e);
enum err_code signature_load_public(struct signature **out, const char *path, struct err *e);
void signature_free(struct signature *s); /* NULL is harmless */
/* The first 8 bytes of the SHA-256 of the public key's 32 bytes. */
const char *signature_id(const struct signature *s);

enum err_code signature_sign(const struct signature *s, const void *p, size_t n,
                             char hex[SIGNATURE_HEX + 1], struct err *e);
bool signature_good(const struct signature *s, const void *p, size_t n, const char *hex,
                    size_t hex_len);

#endif
