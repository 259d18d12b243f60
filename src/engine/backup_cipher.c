#include "engine/backup_cipher.h"

#include "blobferry/codec/digest.h"
#include "blobferry/codec/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define NONCE   12
#define INFO    "blobferry backup, file key"
#define INFO_ID "blobferry backup, key id"

static bool raw_key(const struct secret *key, unsigned char raw[BACKUP_CIPHER_KEY])
{
    return key->len == 2 * BACKUP_CIPHER_KEY && text_unhex(secret_peek(key), key->len, raw);
}

bool backup_cipher_key_id(const struct secret *key, char dst[BACKUP_CIPHER_ID])
{
    unsigned char sum[DIGEST_SHA256_SIZE], raw[BACKUP_CIPHER_KEY];

    if (!raw_key(key, raw))
        return false;
    digest_hmac_sha256(raw, sizeof raw, INFO_ID, sizeof INFO_ID - 1, sum);
    text_hex(sum, (BACKUP_CIPHER_ID - 1) / 2, dst);
    OPENSSL_cleanse(raw, sizeof raw);
    return true;
}

/* HKDF-SHA-256 (RFC 5869) of one block: extract with the salt, expand with INFO and the header's SHA-256. */
static void derive(unsigned char dst[BACKUP_CIPHER_KEY], const unsigned char raw[BACKUP_CIPHER_KEY],
                   const unsigned char *salt, const char *header, size_t header_len)
{
    unsigned char middle[DIGEST_SHA256_SIZE], info[sizeof INFO - 1 + DIGEST_SHA256_SIZE + 1];

    digest_hmac_sha256(salt, BACKUP_CIPHER_SALT, raw, BACKUP_CIPHER_KEY, middle);
    memcpy(info, INFO, sizeof INFO - 1);
    digest_sha256(header, header_len, info + sizeof INFO - 1);
    info[sizeof info - 1] = 1;
    digest_hmac_sha256(middle, sizeof middle, info, sizeof info, dst);
    OPENSSL_cleanse(middle, sizeof middle);
}

enum err_code backup_cipher_init(struct backup_cipher *c, const struct secret *key,
                                 const unsigned char salt[BACKUP_CIPHER_SALT], const char *header,
                                 size_t header_len, struct err *e)
{
    unsigned char raw[BACKUP_CIPHER_KEY];

    memset(c, 0, sizeof *c);
    if (!raw_key(key, raw))
        return err_set(e, ERR_CONFIG, "the backup key is not 32 bytes in hex");
    c->evp = EVP_CIPHER_CTX_new();
    if (c->evp != NULL)
        derive(c->key, raw, salt, header, header_len);
    OPENSSL_cleanse(raw, sizeof raw);
    return c->evp != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

void backup_cipher_release(struct backup_cipher *c)
{
    EVP_CIPHER_CTX_free(c->evp);
    OPENSSL_cleanse(c, sizeof *c);
}

static void next_nonce(struct backup_cipher *c, bool last, unsigned char nonce[NONCE])
{
    uint64_t n = c->chunk++;

    memset(nonce, 0, NONCE);
    for (int i = NONCE - 2; i > 2; i--, n >>= 8)
        nonce[i] = (unsigned char)(n & 0xff);
    nonce[NONCE - 1] = last;
}

enum err_code backup_cipher_seal(struct backup_cipher *c, bool last, const unsigned char *plain,
                                 size_t n, unsigned char *dst, struct err *e)
{
    unsigned char nonce[NONCE];
    int written = 0, rest = 0;

    if (n > BACKUP_CIPHER_CHUNK)
        return err_set(e, ERR_GENERAL, "a chunk of a backup is too long");
    next_nonce(c, last, nonce);
    if (EVP_EncryptInit_ex(c->evp, EVP_aes_256_gcm(), NULL, c->key, nonce) != 1 ||
        EVP_EncryptUpdate(c->evp, dst, &written, plain, (int)n) != 1 ||
        EVP_EncryptFinal_ex(c->evp, dst + written, &rest) != 1 || written + rest != (int)n ||
        EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, BACKUP_CIPHER_TAG, dst + n) != 1)
        return err_set(e, ERR_GENERAL, "cannot encrypt a backup: OpenSSL refuses AES-256-GCM");
    return ERR_OK;
}

bool backup_cipher_open(struct backup_cipher *c, bool last, const unsigned char *sealed, size_t n,
                        unsigned char *dst)
{
    unsigned char nonce[NONCE], tag[BACKUP_CIPHER_TAG];
    int written = 0, rest = 0;
    bool good = false;

    if (n < BACKUP_CIPHER_TAG || n > BACKUP_CIPHER_CHUNK + BACKUP_CIPHER_TAG)
        return false;
    n -= BACKUP_CIPHER_TAG;
    memcpy(tag, sealed + n, sizeof tag);
    next_nonce(c, last, nonce);
    good = EVP_DecryptInit_ex(c->evp, EVP_aes_256_gcm(), NULL, c->key, nonce) == 1 &&
           EVP_DecryptUpdate(c->evp, dst, &written, sealed, (int)n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, BACKUP_CIPHER_TAG, tag) == 1 &&
           EVP_DecryptFinal_ex(c->evp, dst + written, &rest) == 1 && written + rest == (int)n;
    if (!good)
        OPENSSL_cleanse(dst, n); /* unproven bytes are nobody's business */
    return good;
}
