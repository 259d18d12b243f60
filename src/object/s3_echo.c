/* s3_echo: checksums that a store tells of what it has just taken. */
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "s3_put.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)

/* Feeds the body to d; false when it can not be read whole. */
static bool feed(const struct s3_body *body, struct digest *d)
{
    uint64_t at = 0;
    char *piece;

    if (body->data != NULL) {
        digest_update(d, (const char *)body->data + body->offset, (size_t)body->length);
        return true;
    }
    piece = body->length == 0 ? NULL : malloc(PIECE);
    while (piece != NULL && at < body->length) {
        const uint64_t left = body->length - at;
        const ssize_t n =
            pread(body->fd, piece, left < PIECE ? (size_t)left : PIECE, (off_t)(body->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        digest_update(d, piece, (size_t)n);
        at += (uint64_t)n;
    }
    free(piece);
    return at == body->length;
}

static bool digest_of(const struct s3_body *body, enum digest_kind kind,
                      unsigned char out[DIGEST_MAX])
{
    struct digest d;
    bool ok;

    if (digest_init(&d, kind, NULL) != ERR_OK)
        return false;
    ok = feed(body, &d);
    if (ok)
        digest_final(&d, out);
    digest_release(&d);
    return ok;
}

bool s3_echo_sha256(const struct s3_body *body, char hex[DIGEST_SHA256_HEX])
{
    unsigned char raw[DIGEST_MAX];

    if (!digest_of(body, DIGEST_SHA256, raw))
        return false;
    text_hex(raw, DIGEST_SHA256_SIZE, hex);
    return true;
}

/* Does the told checksum fit the bytes that were declared? S3_LOCAL when they are not there any more to be compared with. */
static enum s3_verdict compare(const struct s3_body *body, enum digest_kind kind,
                               const unsigned char *told)
{
    unsigned char ours[DIGEST_MAX];
    char hex[DIGEST_SHA256_HEX];

    if (kind == DIGEST_SHA256) {
        if (!text_unhex(body->sha256, 64, ours))
            return S3_CORRUPT;
        return memcmp(ours, told, DIGEST_SHA256_SIZE) == 0 ? S3_OK : S3_CORRUPT;
    }
    if (!digest_of(body, kind, ours))
        return S3_LOCAL;
    if (memcmp(ours, told, digest_size(kind)) == 0)
        return S3_OK;
    return s3_echo_sha256(body, hex) && str_eq(hex, body->sha256) ? S3_CORRUPT : S3_LOCAL;
}

enum s3_verdict s3_echo_check(const struct http_response *r, const struct s3_body *body,
                              struct err *e)
{
    static const struct {
        const char *header;
        enum digest_kind kind;
    } known[] = {{"x-amz-checksum-crc32", DIGEST_CRC32},
                 {"x-amz-checksum-crc32c", DIGEST_CRC32C},
                 {"x-amz-checksum-crc64nvme", DIGEST_CRC64NVME},
                 {"x-amz-checksum-sha1", DIGEST_SHA1},
                 {"x-amz-checksum-sha256", DIGEST_SHA256}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *text = http_response_header(r, known[i].header);
        unsigned char told[DIGEST_MAX];
        size_t n = sizeof told;
        enum s3_verdict verdict = S3_CORRUPT;

        if (text == NULL)
            continue;
        if (text_unbase64(text, strlen(text), told, &n) && n == digest_size(known[i].kind))
            verdict = compare(body, known[i].kind, told);
        if (verdict == S3_CORRUPT)
            err_set(e, ERR_STORE_CORRUPT, "the store tells another %s than that of what was sent",
                    digest_name(known[i].kind));
        if (verdict == S3_LOCAL)
            err_set(e, ERR_FILE_CHANGED, "the source changed while it was sent");
        if (verdict != S3_OK)
            return verdict;
    }
    return S3_OK;
}
