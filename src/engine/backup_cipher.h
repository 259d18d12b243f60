/* backup_cipher: the encryption of a backup: AES-256-GCM over chunks, in the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár
 * (https://eprint.iacr.org/2015/189), as age uses it (https://age-encryption.org/v1). docs/backup.md says it byte by byte.
 *
 * A file has its own key, derived from the operator's key, 32 random bytes and the header; a chunk's nonce is its number (11 bytes,
 * big-endian) and 1 for the last chunk, 0 for all others. So nothing can be cut off, left out, swapped or put in from another backup.
 */
#ifndef BLOBFERRY_SRC_ENGINE_BACKUP_CIPHER_H
#define BLOBFERRY_SRC_ENGINE_BACKUP_CIPHER_H

#include "blobferry/base/err.h"
#include "blobferry/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKUP_CIPHER_KEY  ((size_t)32) /* bytes of a key */
#define BACKUP_CIPHER_SALT ((size_t)32) /* bytes */
#define BACKUP_CIPHER_CHUNK                                                                        \
    ((size_t)65536)                    /* bytes of plain text; only the last chunk is shorter */
#define BACKUP_CIPHER_TAG ((size_t)16) /* bytes after each chunk */
#define BACKUP_CIPHER_ID  17           /* 16 hex digits that tell keys apart, and NUL */

struct backup_cipher {
    void *evp; /* EVP_CIPHER_CTX, owned */
    unsigned char key[BACKUP_CIPHER_KEY];
    uint64_t chunk; /* number of the next one */
};

/* Names a key without revealing anything of it; false when it is none. Keys are 64 hex digits, as backup_key_load leaves them. */
bool backup_cipher_key_id(const struct secret *key, char dst[BACKUP_CIPHER_ID]);
/* header: the whole first line of the file with its LF; it is bound to the key of the file. ERR_CONFIG when key is none. */
enum err_code backup_cipher_init(struct backup_cipher *c, const struct secret *key,
                                 const unsigned char salt[BACKUP_CIPHER_SALT], const char *header,
                                 size_t header_len, struct err *e);
void backup_cipher_release(struct backup_cipher *c); /* wipes */
/* n bytes, at most a chunk, into dst (n + BACKUP_CIPHER_TAG bytes). */
enum err_code backup_cipher_seal(struct backup_cipher *c, bool last, const unsigned char *plain,
                                 size_t n, unsigned char *dst, struct err *e);
/* n bytes with the tag into dst (n - BACKUP_CIPHER_TAG bytes); false when they are not what was sealed: then dst is wiped. */
bool backup_cipher_open(struct backup_cipher *c, bool last, const unsigned char *sealed, size_t n,
                        unsigned char *dst);

#endif
