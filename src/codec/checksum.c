/* checksum: which digest a stored text is, told by its length and alphabet alone. */
#include "blobferry/codec/checksum.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <openssl/crypto.h>
#include <string.h>

static const struct shape {
    size_t length;
    enum digest_kind kind;
    bool hex; /* else base64 */
} shapes[] = {
    {64, DIGEST_SHA256, true}, {44, DIGEST_SHA256, false}, {32, DIGEST_MD5, true},
    {24, DIGEST_MD5, false},   {40, DIGEST_SHA1, true},
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool decode(const struct shape *s, const char *text, struct checksum *out)
{
    if (s->hex) {
        if (!text_unhex(text, s->length, out->bytes))
            return false;
    } else {
        size_t n = sizeof out->bytes;
        if (!text_unbase64(text, s->length, out->bytes, &n) || n != digest_size(s->kind))
            return false;
    }
    out->kind = s->kind;
    return true;
}

enum err_code checksum_parse(const char *text, struct checksum *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    out->kind = DIGEST_NONE;
    if (text == NULL)
        return ERR_OK;
    while (blank(*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && blank(text[n - 1]))
        n--;
    if (n == 0)
        return ERR_OK;

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (shapes[i].length == n && decode(&shapes[i], text, out))
            return ERR_OK;
    }
    memset(out, 0, sizeof *out);
    char shown[100];
    (void)err_set(e, ERR_PARSE, "checksum '%s' is of no known form",
                  str_printable(shown, sizeof shown, text));
    (void)err_hint(e, "known are SHA-256 and MD5 as hex or base64, and SHA-1 as hex");
    return ERR_PARSE;
}

bool checksum_equal(const struct checksum *a, const unsigned char *digest)
{
    const size_t n = digest_size(a->kind);
    return n > 0 && CRYPTO_memcmp(a->bytes, digest, n) == 0;
}
