#include "blobferry/engine/backup.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "engine/backup_cipher.h"

#include <openssl/crypto.h>
#include <string.h>

/* 64 hex digits, or 44 characters of base64. */
static bool decode(const struct secret *text, unsigned char key[BACKUP_CIPHER_KEY])
{
    size_t n = BACKUP_CIPHER_KEY;

    if (text->len == 2 * BACKUP_CIPHER_KEY)
        return text_unhex(secret_peek(text), text->len, key);
    return text_unbase64(secret_peek(text), text->len, key, &n) && n == BACKUP_CIPHER_KEY;
}

enum err_code backup_key_load(struct secret *key, const char *path, struct err *e)
{
    unsigned char raw[BACKUP_CIPHER_KEY];
    char hex[2 * BACKUP_CIPHER_KEY + 1];
    struct secret text;
    enum err_code code;

    secret_init(&text);
    code = secret_from_file(&text, path, e);
    if (code == ERR_OK && !decode(&text, raw)) {
        err_set(e, ERR_CONFIG, "'%s' holds no backup key", path);
        code = err_hint(e, "a key is 32 random bytes in hex or base64, for example from: "
                           "openssl rand -hex 32");
    }
    if (code == ERR_OK) {
        text_hex(raw, sizeof raw, hex);
        code = secret_set(key, hex, sizeof hex - 1, e);
        OPENSSL_cleanse(hex, sizeof hex);
    }
    OPENSSL_cleanse(raw, sizeof raw);
    secret_release(&text);
    return code;
}
