/* secret: bytes that must never be printed (P8). Every live secret is in one registry, which the
 * log and the error texts consult; releasing wipes the bytes and leaves the registry. */
#include "blobferry/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REDACT_MIN 6 /* shorter ones would blot out ordinary words */
#define FILE_MAX   ((size_t)64 * 1024)

struct entry {
    const char *bytes; /* borrowed from the struct secret, identifies it */
    size_t len;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *registry;
static size_t registry_count;
static size_t registry_cap;

/* Room for one more entry; the lock is held. */
static bool grow(void)
{
    const size_t cap = registry_cap == 0 ? 16 : registry_cap * 2;
    struct entry *grown;

    if (registry_count < registry_cap)
        return true;
    grown = reallocarray(registry, cap, sizeof *grown);
    if (grown == NULL)
        return false;
    registry = grown;
    registry_cap = cap;
    return true;
}

static bool enlist(const char *bytes, size_t len)
{
    pthread_mutex_lock(&registry_lock);
    const bool ok = grow();
    if (ok)
        registry[registry_count++] = (struct entry){.bytes = bytes, .len = len};
    pthread_mutex_unlock(&registry_lock);
    return ok;
}

static void delist(const char *bytes)
{
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < registry_count; i++) {
        if (registry[i].bytes == bytes) {
            registry[i] = registry[--registry_count];
            break;
        }
    }
    if (registry_count == 0) {
        free(registry);
        registry = NULL;
        registry_cap = 0;
    }
    pthread_mutex_unlock(&registry_lock);
}

void secret_init(struct secret *s)
{
    memset(s, 0, sizeof *s);
}

enum err_code secret_set(struct secret *s, const char *bytes, size_t n, struct err *e)
{
    char *copy;

    if (n > 0 && memchr(bytes, '\0', n) != NULL)
        return err_set(e, ERR_CONFIG, "a secret contains a NUL byte");
    if (n == 0) {
        secret_release(s);
        return ERR_OK;
    }
    copy = malloc(n + 1);
    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(copy, bytes, n);
    copy[n] = '\0';
    if (!enlist(copy, n)) {
        OPENSSL_cleanse(copy, n);
        free(copy);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    secret_release(s); /* only now: `bytes` may be the old value */
    s->bytes = copy;
    s->len = n;
    return ERR_OK;
}

enum err_code secret_copy(struct secret *dst, const struct secret *src, struct err *e)
{
    return secret_set(dst, src->bytes, src->len, e);
}

/* Up to `size` bytes of the file; -1 with e filled. */
static ssize_t read_guarded(const char *path, char *text, size_t size, struct err *e)
{
    struct stat st;
    size_t len = 0;
    ssize_t result = -1;
    /* O_NONBLOCK: a FIFO is refused below, it must not hang us here. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set_errno(e, ERR_FILE, errno, "cannot read the secret in '%s'", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_FILE_TYPE, "the secret's file '%s' is not a regular file", path);
        goto out;
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        err_set(e, ERR_CONFIG, "the secret's file '%s' may be written by others", path);
        err_hint(e, "chmod go-w '%s'", path);
        goto out;
    }
    while (len < size) {
        const ssize_t got = read(fd, text + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err_set_errno(e, ERR_FILE, errno, "cannot read the secret in '%s'", path);
            goto out;
        }
        if (got == 0)
            break;
        len += (size_t)got;
    }
    result = (ssize_t)len;
out:
    if (fd >= 0)
        close(fd);
    return result;
}

enum err_code secret_from_file(struct secret *s, const char *path, struct err *e)
{
    struct err local;
    enum err_code code;
    char *text = malloc(FILE_MAX + 2); /* the longest line, CR LF */

    if (text == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (e == NULL)
        e = &local;
    const ssize_t got = read_guarded(path, text, FILE_MAX + 2, e);
    if (got < 0) {
        code = e->code;
        goto out;
    }
    const char *end = memchr(text, '\n', (size_t)got);
    size_t len = end != NULL ? (size_t)(end - text) : (size_t)got;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    if (len == 0)
        code = err_set(e, ERR_CONFIG, "the first line of the secret's file '%s' is empty", path);
    else if (len > FILE_MAX)
        code = err_set(e, ERR_CONFIG, "the secret in '%s' is longer than 64 KiB", path);
    else
        code = secret_set(s, text, len, e);
out:
    OPENSSL_cleanse(text, FILE_MAX + 2);
    free(text);
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
    unsigned char ours[EVP_MAX_MD_SIZE];
    unsigned char theirs[EVP_MAX_MD_SIZE];
    bool equal = false;

    /* Digests have one length, so that neither content nor length of the secret shows in time (F3). */
    if (secret_is_set(s) && EVP_Digest(s->bytes, s->len, ours, NULL, EVP_sha256(), NULL) == 1 &&
        EVP_Digest(n > 0 ? bytes : "", n, theirs, NULL, EVP_sha256(), NULL) == 1)
        equal = CRYPTO_memcmp(ours, theirs, 32) == 0;
    OPENSSL_cleanse(ours, sizeof ours);
    OPENSSL_cleanse(theirs, sizeof theirs);
    return equal;
}

void secret_release(struct secret *s)
{
    if (s->bytes != NULL) {
        delist(s->bytes);
        OPENSSL_cleanse(s->bytes, s->len);
        free(s->bytes);
    }
    secret_init(s);
}

/* The end of the longest registered secret that begins at text[at], or `at`. */
static size_t longest_at(const char *text, size_t len, size_t at)
{
    size_t end = at;

    for (size_t i = 0; i < registry_count; i++) {
        const struct entry *entry = &registry[i];
        if (entry->len >= REDACT_MIN && entry->len <= len - at && entry->bytes[0] == text[at] &&
            entry->len > end - at && memcmp(text + at, entry->bytes, entry->len) == 0)
            end = at + entry->len;
    }
    return end;
}

/* Where the first one begins, or `len`: nearly every text holds none. */
static size_t first_in(const char *text, size_t len)
{
    size_t first = len;

    for (size_t i = 0; i < registry_count; i++) {
        const struct entry *entry = &registry[i];
        if (entry->len < REDACT_MIN || entry->len > len)
            continue;
        const char *found = memmem(text, len, entry->bytes, entry->len);
        if (found != NULL && (size_t)(found - text) < first)
            first = (size_t)(found - text);
    }
    return first;
}

bool secret_within(const char *text, size_t len)
{
    pthread_mutex_lock(&registry_lock);
    const bool within = first_in(text, len) < len;
    pthread_mutex_unlock(&registry_lock);
    return within;
}

void secret_redact(char *text, size_t len)
{
    size_t covered = 0;

    pthread_mutex_lock(&registry_lock);
    for (size_t at = first_in(text, len); at < len; at++) {
        /* A byte is masked only after what begins at it was sought: secrets may overlap. */
        const size_t end = longest_at(text, len, at);
        if (end > covered)
            covered = end;
        if (at < covered)
            text[at] = '*';
    }
    pthread_mutex_unlock(&registry_lock);
}
