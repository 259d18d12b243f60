#include "provenance.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <string.h>

#define DECODED_MAX 4096

bool provenance_encode(struct buf *b, const char *raw)
{
    for (; *raw != '\0'; raw++) {
        if (*raw > ' ' && *raw < 0x7f && *raw != '%')
            buf_char(b, *raw);
        else
            text_uri_encode(b, raw, 1, false);
    }
    return buf_ok(b);
}

bool provenance_decode(char *dst, size_t size, const char *encoded)
{
    struct buf b;
    bool fitted;

    buf_init(&b, DECODED_MAX);
    /* A NUL can not come back as one: ids are C strings. */
    if (text_uri_decode(&b, encoded, strlen(encoded), false) && buf_ok(&b) &&
        strlen(buf_cstr(&b)) == b.len)
        fitted = str_copy(dst, size, buf_cstr(&b));
    else
        fitted = str_copy(dst, size, encoded);
    buf_release(&b);
    return fitted;
}

void provenance_sha256(char dst[65], const char *hex)
{
    unsigned char raw[32];

    dst[0] = '\0';
    if (hex != NULL && strlen(hex) == 64 && text_unhex(hex, 64, raw))
        text_hex(raw, sizeof raw, dst);
}

const char *provenance_content_type(const char *type)
{
    static const char fallback[] = "application/octet-stream";

    if (str_empty(type) || strlen(type) >= sizeof((struct objinfo *)0)->content_type)
        return fallback;
    for (const char *p = type; *p != '\0'; p++) {
        if (*p < ' ' || *p >= 0x7f)
            return fallback;
    }
    return type[0] == ' ' ? fallback : type;
}

bool provenance_matches(const struct objinfo *info, const struct objmeta *meta, const char *sha256,
                        uint64_t size)
{
    return !str_empty(meta->record_id) && str_eq(info->record_id, meta->record_id) &&
           str_eq(info->sha256, sha256) && info->size >= 0 && (uint64_t)info->size == size;
}
