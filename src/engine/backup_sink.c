#include "engine/backup_sink.h"

#include "blobferry/base/clock.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <stdlib.h>
#include <string.h>

static enum err_code put(struct backup_sink *s, const void *p, size_t n, struct err *e)
{
    enum err_code code = fsio_atomic_write(&s->file, p, n, e);

    s->bytes += code == ERR_OK ? (int64_t)n : 0;
    return code;
}

static void write_header(struct buf *b, const char *created, const char *key_id,
                         const unsigned char salt[BACKUP_CIPHER_SALT])
{
    char hex[2 * BACKUP_CIPHER_SALT + 1];
    struct json_out o;

    text_hex(salt, BACKUP_CIPHER_SALT, hex);
    json_out_init(&o, b, 0);
    json_out_object(&o, NULL);
    json_out_string(&o, "format", "blobferry-backup-encrypted");
    json_out_integer(&o, "version", 1);
    json_out_string(&o, "cipher", "AES-256-GCM");
    json_out_integer(&o, "chunk", (int64_t)BACKUP_CIPHER_CHUNK);
    json_out_string(&o, "created", created);
    json_out_string(&o, "key_id", key_id);
    json_out_string(&o, "salt", hex);
    json_out_end(&o);
    buf_char(b, '\n');
}

static enum err_code begin_sealed(struct backup_sink *s, const struct secret *key,
                                  const char *created, struct err *e)
{
    unsigned char salt[BACKUP_CIPHER_SALT];
    char id[BACKUP_CIPHER_ID];
    struct buf header;
    enum err_code code = ERR_OK;

    buf_init(&header, 4096);
    s->sealed = true;
    s->chunk = malloc(BACKUP_CIPHER_CHUNK);
    s->out = malloc(BACKUP_CIPHER_CHUNK + BACKUP_CIPHER_TAG);
    clock_random(salt, sizeof salt);
    if (!backup_cipher_key_id(key, id))
        code = err_set(e, ERR_CONFIG, "the backup key is not 32 bytes in hex");
    else
        write_header(&header, created, id, salt);
    if (code == ERR_OK && (s->chunk == NULL || s->out == NULL || !buf_ok(&header)))
        code = err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK)
        code = backup_cipher_init(&s->cipher, key, salt, header.data, header.len, e);
    if (code == ERR_OK)
        code = put(s, header.data, header.len, e);
    buf_release(&header);
    return code;
}

enum err_code backup_sink_begin(struct backup_sink *s, const char *path, const struct secret *key,
                                const char *created, struct err *e)
{
    enum err_code code;

    memset(s, 0, sizeof *s);
    s->file.fd = -1;
    code = fsio_atomic_begin(&s->file, path, 0600, e);
    if (code == ERR_OK && key != NULL && secret_is_set(key))
        code = begin_sealed(s, key, created, e);
    return code;
}

static enum err_code send_chunk(struct backup_sink *s, bool last, struct err *e)
{
    enum err_code code = backup_cipher_seal(&s->cipher, last, s->chunk, s->used, s->out, e);

    if (code == ERR_OK)
        code = put(s, s->out, s->used + BACKUP_CIPHER_TAG, e);
    s->used = 0;
    return code;
}

enum err_code backup_sink_write(struct backup_sink *s, const void *p, size_t n, struct err *e)
{
    const unsigned char *from = p;
    enum err_code code = ERR_OK;

    if (!s->sealed)
        return put(s, p, n, e);
    while (code == ERR_OK && n > 0) {
        size_t take = BACKUP_CIPHER_CHUNK - s->used;

        if (take == 0) {
            code = send_chunk(s, false, e);
            continue;
        }
        take = take < n ? take : n;
        memcpy(s->chunk + s->used, from, take);
        s->used += take;
        from += take;
        n -= take;
    }
    return code;
}

enum err_code backup_sink_commit(struct backup_sink *s, struct err *e)
{
    enum err_code code = s->sealed ? send_chunk(s, true, e) : ERR_OK;

    return code == ERR_OK ? fsio_atomic_commit(&s->file, FSIO_NEW, e) : code;
}

void backup_sink_release(struct backup_sink *s)
{
    fsio_atomic_abort(&s->file);
    if (s->sealed)
        backup_cipher_release(&s->cipher);
    free(s->chunk);
    free(s->out);
    s->chunk = s->out = NULL;
    s->sealed = false;
}
