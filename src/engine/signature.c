#include "blobferry/engine/signature.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 10)
#define RAW      ((size_t)32) /* bytes of a public key */
#define SIGNED   ((size_t)64) /* bytes of a signature */

struct signature {
    EVP_PKEY *key;
    char id[SIGNATURE_ID];
};

/* ---- files ------------------------------------------------------------------------------------------- */

/* An encrypted key would make OpenSSL ask at the terminal: there is nobody to answer. */
static int no_passphrase(char *dst, int size, int writing, void *user)
{
    (void)dst;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static enum err_code check_mode(const char *path, struct err *e)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot read key file '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE_TYPE, "key file '%s' is no regular file", path);
    if ((st.st_mode & (S_IWGRP | S_IRWXO)) == 0)
        return ERR_OK;
    err_set(e, ERR_CONFIG, "key file '%s' may be read or written by others", path);
    return err_hint(e, "chmod 600 '%s'", path);
}

/* The whole file in memory of OpenSSL's; NULL with e filled. */
static BIO *read_bio(const char *path, struct buf *text, struct err *e)
{
    BIO *bio;

    buf_init(text, FILE_MAX);
    if (fsio_read_file(path, text, e) != ERR_OK)
        return NULL;
    bio = BIO_new_mem_buf(text->data, (int)text->len);
    if (bio == NULL)
        err_set(e, ERR_NOMEM, "out of memory");
    return bio;
}

static enum err_code take_key(struct signature **out, EVP_PKEY *key, struct err *e)
{
    unsigned char raw[RAW], sum[DIGEST_SHA256_SIZE];
    size_t n = sizeof raw;
    struct signature *s;

    if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1 || n != RAW)
        return err_set(e, ERR_GENERAL, "cannot read an Ed25519 key");
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->key = key;
    digest_sha256(raw, sizeof raw, sum);
    text_hex(sum, (SIGNATURE_ID - 1) / 2, s->id);
    *out = s;
    return ERR_OK;
}

static enum err_code load(struct signature **out, const char *path, bool private_key, struct err *e)
{
    struct buf text;
    EVP_PKEY *key = NULL;
    BIO *bio;
    enum err_code code = ERR_OK;

    *out = NULL;
    bio = read_bio(path, &text, e);
    if (bio != NULL)
        key = private_key ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                          : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    if (bio == NULL) {
        code = e != NULL && e->code != ERR_OK ? e->code : ERR_FILE;
    } else if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        err_set(e, ERR_CONFIG, "'%s' holds no %s Ed25519 key in PEM form, or an encrypted one",
                path, private_key ? "private" : "public");
        code = err_hint(e, "make one with: blobferry audit keygen --key FILE");
    } else {
        code = take_key(out, key, e);
    }
    if (code != ERR_OK)
        EVP_PKEY_free(key);
    BIO_free(bio);
    buf_wipe(&text);
    return code;
}

enum err_code signature_load(struct signature **out, const char *path, struct err *e)
{
    enum err_code code = check_mode(path, e);

    *out = NULL;
    return code == ERR_OK ? load(out, path, true, e) : code;
}

enum err_code signature_load_public(struct signature **out, const char *path, struct err *e)
{
    return load(out, path, false, e);
}

void signature_free(struct signature *s)
{
    if (s == NULL)
        return;
    EVP_PKEY_free(s->key);
    free(s);
}

const char *signature_id(const struct signature *s)
{
    return s->id;
}

/* ---- making keys --------------------------------------------------------------------------------------- */

static enum err_code write_pem(const char *path, const EVP_PKEY *key, bool private_key, mode_t mode,
                               struct err *e)
{
    struct fsio_atomic file = {.fd = -1};
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long n = 0;
    bool good = bio != NULL &&
                (private_key ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                             : PEM_write_bio_PUBKEY(bio, key)) == 1;
    enum err_code code = ERR_OK;

    if (good)
        n = BIO_get_mem_data(bio, &text);
    if (n <= 0)
        code = err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK)
        code = fsio_atomic_begin(&file, path, mode, e);
    if (code == ERR_OK)
        code = fsio_atomic_write(&file, text, (size_t)n, e);
    if (code == ERR_OK)
        code = fsio_atomic_commit(&file, FSIO_NEW, e);
    fsio_atomic_abort(&file);
    if (text != NULL && n > 0)
        OPENSSL_cleanse(text, (size_t)n);
    BIO_free(bio);
    return code;
}

static enum err_code taken(const char *path, struct err *e)
{
    if (!fsio_exists(path))
        return ERR_OK;
    err_set(e, ERR_CONFLICT, "'%s' exists already", path);
    return err_hint(e, "a key is never replaced: give another name");
}

enum err_code signature_keygen(const char *path, char id[SIGNATURE_ID], struct err *e)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct signature *s = NULL;
    struct buf public_path;
    bool written = false;
    enum err_code code = ERR_OK;

    buf_init(&public_path, 8192);
    if (!buf_printf(&public_path, "%s.pub", path))
        code = err_set(e, ERR_LIMIT, "the key file's name is too long");
    else if (key == NULL)
        code = err_set(e, ERR_GENERAL, "cannot make an Ed25519 key: OpenSSL refuses");
    if (code == ERR_OK)
        code = taken(path, e);
    if (code == ERR_OK)
        code = taken(public_path.data, e);
    if (code == ERR_OK)
        code = write_pem(path, key, true, 0600, e);
    written = code == ERR_OK;
    if (code == ERR_OK)
        code = write_pem(public_path.data, key, false, 0644, e);
    if (code != ERR_OK && written)
        unlink(path);
    if (code == ERR_OK)
        code = signature_load(&s, path, e); /* what was written is what can be used */
    if (code == ERR_OK && id != NULL)
        str_copy(id, SIGNATURE_ID, s->id);
    signature_free(s);
    EVP_PKEY_free(key);
    buf_release(&public_path);
    return code;
}

/* ---- using them ------------------------------------------------------------------------------------------ */

enum err_code signature_sign(const struct signature *s, const void *p, size_t n,
                             char hex[SIGNATURE_HEX + 1], struct err *e)
{
    unsigned char raw[SIGNED];
    size_t len = sizeof raw;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = c != NULL && EVP_DigestSignInit(c, NULL, NULL, NULL, s->key) == 1 &&
                EVP_DigestSign(c, raw, &len, p, n) == 1 && len == sizeof raw;

    EVP_MD_CTX_free(c);
    if (!good)
        return err_set(e, ERR_GENERAL, "cannot sign with key %s", s->id);
    text_hex(raw, sizeof raw, hex);
    return ERR_OK;
}

bool signature_good(const struct signature *s, const void *p, size_t n, const char *hex,
                    size_t hex_len)
{
    unsigned char raw[SIGNED];
    EVP_MD_CTX *c;
    bool good;

    if (hex_len != SIGNATURE_HEX || !text_unhex(hex, hex_len, raw))
        return false;
    c = EVP_MD_CTX_new();
    good = c != NULL && EVP_DigestVerifyInit(c, NULL, NULL, NULL, s->key) == 1 &&
           EVP_DigestVerify(c, raw, sizeof raw, p, n) == 1;
    EVP_MD_CTX_free(c);
    return good;
}
