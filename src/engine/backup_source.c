#include "engine/backup_source.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_MAX 4096
#define SEALED     (BACKUP_CIPHER_CHUNK + BACKUP_CIPHER_TAG)

static const char sealed_begins[] = "{\"format\":\"blobferry-backup-encrypted\",";

/* As many of n bytes from `at` on as there are. */
static enum err_code read_at(const struct backup_source *s, int64_t at, void *dst, size_t n,
                             size_t *got, struct err *e)
{
    *got = 0;
    while (*got < n) {
        ssize_t k = pread(s->fd, (char *)dst + *got, n - *got, at + (int64_t)*got);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_set_errno(e, ERR_FILE, errno, "cannot read backup '%s'", s->path);
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return ERR_OK;
}

static enum err_code damaged(const struct backup_source *s, struct err *e)
{
    return err_set(e, ERR_CONFLICT, "backup '%s' is truncated or has been altered", s->path);
}

static enum err_code check_key(const struct backup_source *s, const struct secret *key,
                               struct err *e)
{
    char id[BACKUP_CIPHER_ID];

    if (key == NULL || !secret_is_set(key)) {
        err_set(e, ERR_CONFIG, "backup '%s' is encrypted with key %s", s->path, s->key_id);
        return err_hint(e, "give --backup-key-file or set BLOBFERRY_BACKUP_KEY_FILE");
    }
    if (!backup_cipher_key_id(key, id) || !str_eq(id, s->key_id)) {
        err_set(e, ERR_CONFIG, "backup '%s' is encrypted with key %s, not with the key given (%s)",
                s->path, s->key_id, id);
        return err_hint(e, "give the key file that was used when the backup was made");
    }
    return ERR_OK;
}

/* What the header says; none of it is believed before the first chunk has opened. */
static enum err_code read_header(struct backup_source *s, const char *line, size_t n,
                                 unsigned char salt[BACKUP_CIPHER_SALT], struct err *e)
{
    struct json *root = json_parse(line, n, NULL);
    const char *salt_hex = json_string(json_get(root, "salt"));
    const char *key_id = json_string(json_get(root, "key_id"));
    const char *created = json_string(json_get(root, "created"));
    int64_t version = 0, chunk = 0;
    enum err_code code = ERR_OK;

    if (json_integer(json_get(root, "version"), &version) && version > 1)
        code = err_set(e, ERR_PARSE, "backup '%s' is of a newer version", s->path);
    else if (version != 1 || salt_hex == NULL || key_id == NULL || created == NULL ||
             !json_integer(json_get(root, "chunk"), &chunk) ||
             chunk != (int64_t)BACKUP_CIPHER_CHUNK ||
             !str_eq(json_string(json_get(root, "cipher")), "AES-256-GCM") ||
             strlen(salt_hex) != 2 * BACKUP_CIPHER_SALT ||
             !text_unhex(salt_hex, 2 * BACKUP_CIPHER_SALT, salt))
        code = damaged(s, e);
    if (key_id != NULL)
        str_printable(s->key_id, sizeof s->key_id, key_id);
    if (created != NULL)
        str_printable(s->created, sizeof s->created, created);
    json_free(root);
    return code;
}

static enum err_code open_sealed(struct backup_source *s, const char *front, size_t got,
                                 const struct secret *key, struct err *e)
{
    const char *lf = memchr(front, '\n', got);
    unsigned char salt[BACKUP_CIPHER_SALT];
    size_t n = lf != NULL ? (size_t)(lf - front) + 1 : 0;
    enum err_code code = lf != NULL ? read_header(s, front, n, salt, e) : damaged(s, e);

    if (code == ERR_OK)
        code = check_key(s, key, e);
    if (code == ERR_OK)
        code = backup_cipher_init(&s->cipher, key, salt, front, n, e);
    if (code != ERR_OK)
        return code;
    s->sealed = true;
    s->in = malloc(SEALED);
    s->plain = malloc(BACKUP_CIPHER_CHUNK);
    s->at = (int64_t)n;
    return s->in != NULL && s->plain != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

enum err_code backup_source_open(struct backup_source *s, const char *path,
                                 const struct secret *key, struct err *e)
{
    char front[HEADER_MAX];
    size_t got = 0;
    enum err_code code = ERR_OK;

    memset(s, 0, sizeof *s);
    s->fd = -1;
    s->path = str_dup(path);
    if (s->path == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (s->fd < 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot open backup '%s'", path);
    else if (fstat(s->fd, &s->stat) != 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot look at backup '%s'", path);
    else if (!S_ISREG(s->stat.st_mode))
        code = err_set(e, ERR_FILE_TYPE, "'%s' is no regular file", path);
    if (code == ERR_OK)
        code = read_at(s, 0, front, sizeof front, &got, e);
    if (code == ERR_OK && got >= sizeof sealed_begins - 1 &&
        memcmp(front, sealed_begins, sizeof sealed_begins - 1) == 0)
        code = open_sealed(s, front, got, key, e);
    return code;
}

/* The next chunk; what follows it tells whether it is the last. */
static enum err_code next_chunk(struct backup_source *s, struct err *e)
{
    unsigned char after;
    size_t got = 0, more = 0;
    enum err_code code = read_at(s, s->at, s->in, SEALED, &got, e);

    if (code == ERR_OK && got == SEALED)
        code = read_at(s, s->at + (int64_t)got, &after, 1, &more, e);
    if (code != ERR_OK)
        return code;
    s->ended = more == 0;
    if (!backup_cipher_open(&s->cipher, s->ended, s->in, got, s->plain))
        return damaged(s, e);
    s->at += (int64_t)got;
    s->begin = 0;
    s->end = got - BACKUP_CIPHER_TAG;
    return ERR_OK;
}

enum err_code backup_source_read(struct backup_source *s, void *dst, size_t room, size_t *got,
                                 struct err *e)
{
    enum err_code code = ERR_OK;

    *got = 0;
    if (!s->sealed) {
        code = read_at(s, s->at, dst, room, got, e);
        s->at += (int64_t)*got;
        return code;
    }
    if (s->begin == s->end && !s->ended)
        code = next_chunk(s, e);
    if (code != ERR_OK)
        return code;
    *got = s->end - s->begin < room ? s->end - s->begin : room;
    memcpy(dst, s->plain + s->begin, *got);
    s->begin += *got;
    return ERR_OK;
}

void backup_source_close(struct backup_source *s)
{
    if (s->path != NULL && s->fd >= 0)
        close(s->fd);
    if (s->sealed)
        backup_cipher_release(&s->cipher);
    if (s->plain != NULL)
        OPENSSL_cleanse(s->plain, BACKUP_CIPHER_CHUNK);
    free(s->path);
    free(s->in);
    free(s->plain);
    memset(s, 0, sizeof *s);
    s->fd = -1;
}
