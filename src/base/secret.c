#include "blobferry/base/secret.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/fsio.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REGISTERED_MAX 64
#define REDACT_MIN     6

/* Secrets alive now, for redaction. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char *bytes; /* own copy, wiped when the last owner of the same value is released */
    size_t len;
    int owners;
} registered[REGISTERED_MAX];

static void forget(const char *bytes, size_t n)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < REGISTERED_MAX; i++) {
        if (registered[i].owners == 0 || registered[i].len != n ||
            memcmp(registered[i].bytes, bytes, n) != 0)
            continue;
        if (--registered[i].owners == 0) {
            OPENSSL_cleanse(registered[i].bytes, n);
            free(registered[i].bytes);
            registered[i].bytes = NULL;
        }
        break;
    }
    pthread_mutex_unlock(&lock);
}

static bool remember(const char *bytes, size_t n)
{
    size_t slot = REGISTERED_MAX;
    bool ok = true;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < REGISTERED_MAX; i++) {
        if (registered[i].owners == 0) {
            if (slot == REGISTERED_MAX)
                slot = i;
        } else if (registered[i].len == n && memcmp(registered[i].bytes, bytes, n) == 0) {
            registered[i].owners++;
            pthread_mutex_unlock(&lock);
            return true;
        }
    }
    if (slot == REGISTERED_MAX || (registered[slot].bytes = malloc(n)) == NULL) {
        ok = false; /* a secret that cannot be redacted is not taken on (P8) */
    } else {
        memcpy(registered[slot].bytes, bytes, n);
        registered[slot].len = n;
        registered[slot].owners = 1;
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

void secret_init(struct secret *s)
{
    s->bytes = NULL;
    s->len = 0;
}

void secret_release(struct secret *s)
{
    if (s->bytes != NULL) {
        if (s->len > 0)
            forget(s->bytes, s->len);
        OPENSSL_cleanse(s->bytes, s->len);
        free(s->bytes);
    }
    secret_init(s);
}

enum err_code secret_set(struct secret *s, const char *bytes, size_t n, struct err *e)
{
    char *p = malloc(n + 1);

    if (p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(p, bytes, n);
    p[n] = '\0';
    if (n > 0 && !remember(p, n)) {
        OPENSSL_cleanse(p, n);
        free(p);
        return err_set(e, ERR_LIMIT, "too many secrets at once");
    }
    secret_release(s);
    s->bytes = p;
    s->len = n;
    return ERR_OK;
}

enum err_code secret_copy(struct secret *dst, const struct secret *src, struct err *e)
{
    return secret_set(dst, secret_peek(src), src->len, e);
}

enum err_code secret_from_file(struct secret *s, const char *path, struct err *e)
{
    struct buf b;
    struct stat st;
    const char *eol;
    size_t n;
    enum err_code code;

    if (stat(path, &st) == 0 && (st.st_mode & S_IWOTH) != 0) {
        err_set(e, ERR_CONFIG, "secret file '%s' may be written by others", path);
        return err_hint(e, "chmod 600 '%s'", path);
    }
    buf_init(&b, 64 << 10);
    code = fsio_read_file(path, &b, e);
    if (code == ERR_OK) {
        eol = memchr(buf_cstr(&b), '\n', b.len);
        n = eol != NULL ? (size_t)(eol - b.data) : b.len;
        if (n > 0 && b.data[n - 1] == '\r')
            n--;
        code = n > 0 ? secret_set(s, b.data, n, e)
                     : err_set(e, ERR_CONFIG, "secret file '%s' is empty", path);
    }
    buf_wipe(&b);
    return code;
}

bool secret_is_set(const struct secret *s)
{
    return s != NULL && s->len > 0;
}

const char *secret_peek(const struct secret *s)
{
    return s != NULL && s->bytes != NULL ? s->bytes : "";
}

bool secret_equal(const struct secret *s, const char *bytes, size_t n)
{
    unsigned char a[SHA256_DIGEST_LENGTH], b[SHA256_DIGEST_LENGTH];

    if (!secret_is_set(s))
        return false;
    SHA256((const unsigned char *)s->bytes, s->len, a);
    SHA256((const unsigned char *)bytes, n, b);
    return CRYPTO_memcmp(a, b, sizeof a) == 0;
}

void secret_redact(char *text, size_t len)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < REGISTERED_MAX; i++) {
        size_t n = registered[i].len;
        char *at = text;

        if (registered[i].owners == 0 || n < REDACT_MIN)
            continue;
        while ((at = memmem(at, len - (size_t)(at - text), registered[i].bytes, n)) != NULL) {
            memset(at, '*', n);
            at += n;
        }
    }
    pthread_mutex_unlock(&lock);
}
