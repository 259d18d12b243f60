/* digest: OpenSSL's algorithms are fetched once for the process and contexts are reused, so that
 * hashing a small file costs the hash and little else. */
#include "blobferry/codec/digest.h"

#include "blobferry/codec/text.h"
#include "crc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HMAC_BLOCK 64

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MD *fetched[DIGEST_SHA256 + 1]; /* live as long as the process */

/* The one-call functions cannot report that memory is short: each thread has a context of its own,
 * and one made at the start is shared under a lock by threads that could not get theirs. */
static pthread_key_t own_key;
static bool have_key;
static EVP_MD_CTX *shared;
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

static void free_own(void *p)
{
    EVP_MD_CTX_free(p);
}

static EVP_MD_CTX *new_context(const EVP_MD *md)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static void fetch(void)
{
    fetched[DIGEST_MD5] = EVP_MD_fetch(NULL, "MD5", NULL); /* absent under FIPS */
    fetched[DIGEST_SHA1] = EVP_MD_fetch(NULL, "SHA1", NULL);
    fetched[DIGEST_SHA256] = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (fetched[DIGEST_SHA256] != NULL)
        shared = new_context(fetched[DIGEST_SHA256]);
    have_key = pthread_key_create(&own_key, free_own) == 0;
}

static bool is_crc(enum digest_kind kind)
{
    return kind == DIGEST_CRC32 || kind == DIGEST_CRC32C || kind == DIGEST_CRC64NVME;
}

/* A context that is ready fails only when the library is broken, or, as OpenSSL 3.0 allocates a
 * hundred bytes in every restart, when not even those are left. To go on would record a wrong
 * checksum as if it were the file's (P1); to stop dead is what every promise already survives. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

enum err_code digest_init(struct digest *d, enum digest_kind kind, struct err *e)
{
    d->kind = kind;
    d->evp = NULL;
    d->crc = 0;
    if (is_crc(kind)) {
        d->crc = crc_start(kind);
        return ERR_OK;
    }
    (void)pthread_once(&fetch_once, fetch);
    if (kind <= DIGEST_NONE || kind > DIGEST_SHA256 || fetched[kind] == NULL)
        return err_set(e, ERR_GENERAL, "digest '%s' is not available here", digest_name(kind));
    d->evp = new_context(fetched[kind]);
    if (d->evp == NULL)
        return err_set(e, ERR_NOMEM, "no memory for digest '%s'", digest_name(kind));
    return ERR_OK;
}

void digest_restart(struct digest *d)
{
    if (is_crc(d->kind))
        d->crc = crc_start(d->kind);
    else if (d->evp != NULL)
        must(EVP_DigestInit_ex2(d->evp, NULL, NULL)); /* NULL: the same algorithm */
}

void digest_update(struct digest *d, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (is_crc(d->kind))
        d->crc = crc_update(d->kind, d->crc, p, n);
    else
        must(EVP_DigestUpdate(d->evp, p, n));
}

void digest_final(struct digest *d, unsigned char out[DIGEST_MAX])
{
    if (!is_crc(d->kind)) {
        must(EVP_DigestFinal_ex(d->evp, out, NULL));
        return;
    }
    const size_t size = digest_size(d->kind);
    const uint64_t value = crc_finish(d->kind, d->crc);
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
}

void digest_release(struct digest *d)
{
    EVP_MD_CTX_free(d->evp);
    d->evp = NULL;
    d->kind = DIGEST_NONE;
}

size_t digest_size(enum digest_kind kind)
{
    switch (kind) {
    case DIGEST_MD5:
        return 16;
    case DIGEST_SHA1:
        return 20;
    case DIGEST_SHA256:
        return DIGEST_SHA256_SIZE;
    case DIGEST_CRC32:
    case DIGEST_CRC32C:
        return 4;
    case DIGEST_CRC64NVME:
        return 8;
    case DIGEST_NONE:
        break;
    }
    return 0;
}

const char *digest_name(enum digest_kind kind)
{
    switch (kind) {
    case DIGEST_MD5:
        return "md5";
    case DIGEST_SHA1:
        return "sha1";
    case DIGEST_SHA256:
        return "sha256";
    case DIGEST_CRC32:
        return "crc32";
    case DIGEST_CRC32C:
        return "crc32c";
    case DIGEST_CRC64NVME:
        return "crc64nvme";
    case DIGEST_NONE:
        break;
    }
    return "none";
}

/* This thread's SHA-256 context, restarted; *locked tells give_back that it is the shared one. */
static EVP_MD_CTX *borrow(bool *locked)
{
    (void)pthread_once(&fetch_once, fetch);
    EVP_MD_CTX *ctx = have_key ? pthread_getspecific(own_key) : NULL;
    *locked = false;
    if (ctx == NULL && have_key && fetched[DIGEST_SHA256] != NULL) {
        ctx = new_context(fetched[DIGEST_SHA256]);
        if (ctx != NULL && pthread_setspecific(own_key, ctx) != 0) {
            EVP_MD_CTX_free(ctx);
            ctx = NULL;
        }
    }
    if (ctx == NULL) {
        must(shared != NULL);
        must(pthread_mutex_lock(&shared_lock) == 0);
        *locked = true;
        ctx = shared;
    }
    must(EVP_DigestInit_ex2(ctx, NULL, NULL));
    return ctx;
}

static void give_back(bool locked)
{
    if (locked)
        must(pthread_mutex_unlock(&shared_lock) == 0);
}

void digest_sha256(const void *p, size_t n, unsigned char out[DIGEST_SHA256_SIZE])
{
    bool locked;
    EVP_MD_CTX *ctx = borrow(&locked);
    must(n == 0 || EVP_DigestUpdate(ctx, p, n) == 1);
    must(EVP_DigestFinal_ex(ctx, out, NULL));
    give_back(locked);
}

void digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX])
{
    unsigned char raw[DIGEST_SHA256_SIZE];
    digest_sha256(p, n, raw);
    text_hex(raw, sizeof raw, out);
}

/* RFC 2104, written out so that it runs on the reused context: a signature needs five of them. */
void digest_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
                        unsigned char out[DIGEST_SHA256_SIZE])
{
    unsigned char block[HMAC_BLOCK] = {0};
    bool locked;

    if (key_len > HMAC_BLOCK)
        digest_sha256(key, key_len, block);
    else if (key_len > 0)
        memcpy(block, key, key_len);

    EVP_MD_CTX *ctx = borrow(&locked);
    for (size_t i = 0; i < HMAC_BLOCK; i++)
        block[i] ^= 0x36;
    must(EVP_DigestUpdate(ctx, block, HMAC_BLOCK));
    must(n == 0 || EVP_DigestUpdate(ctx, p, n) == 1);
    must(EVP_DigestFinal_ex(ctx, out, NULL));

    must(EVP_DigestInit_ex2(ctx, NULL, NULL));
    for (size_t i = 0; i < HMAC_BLOCK; i++)
        block[i] ^= 0x36 ^ 0x5c;
    must(EVP_DigestUpdate(ctx, block, HMAC_BLOCK));
    must(EVP_DigestUpdate(ctx, out, DIGEST_SHA256_SIZE));
    must(EVP_DigestFinal_ex(ctx, out, NULL));
    give_back(locked);
    OPENSSL_cleanse(block, sizeof block); /* P8: derived from a key */
}
