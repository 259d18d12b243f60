#include "s3_headers.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "blobferry/codec/timefmt.h"
#include "provenance.h"

#include <string.h>

#define META_TEXT_MAX 4096
#define META_NAME_MAX 1024 /* encoded bytes; AWS takes 2 KB of metadata in all */

bool s3_headers_etag(const char *raw, char etag[OBJINFO_ETAG_MAX], bool *weak)
{
    size_t n;

    etag[0] = '\0';
    *weak = false;
    if (raw == NULL)
        return false;
    if (str_starts(raw, "W/")) {
        *weak = true;
        raw += 2;
    }
    n = strlen(raw);
    if (n >= 2 && raw[0] == '"' && raw[n - 1] == '"') {
        raw++;
        n -= 2;
    }
    if (n == 0 || n >= OBJINFO_ETAG_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (raw[i] <= ' ' || raw[i] >= 0x7f || raw[i] == '"')
            return false;
    }
    memcpy(etag, raw, n);
    etag[n] = '\0';
    return true;
}

/* ---- checksums --------------------------------------------------------------------------------------- */

/* Base64 of `size` bytes, with "-N" after it when it is a checksum of checksums of N parts. */
static bool checksum_is_sound(const char *text, size_t size, bool *composite)
{
    unsigned char raw[64];
    size_t room = sizeof raw;
    const char *dash = strrchr(text, '-');
    size_t n = dash == NULL ? strlen(text) : (size_t)(dash - text);

    *composite = dash != NULL;
    if (dash != NULL && (dash[1] == '\0' || dash[1 + strspn(dash + 1, "0123456789")] != '\0'))
        return false;
    return text_unbase64(text, n, raw, &room) && room == size;
}

static bool take_checksums(const struct http_response *r, struct objinfo *info)
{
    static const struct {
        const char *name;
        size_t size;
    } known[] = {{"x-amz-checksum-crc32", 4},
                 {"x-amz-checksum-crc32c", 4},
                 {"x-amz-checksum-crc64nvme", 8},
                 {"x-amz-checksum-sha1", 20},
                 {"x-amz-checksum-sha256", 32}};
    const char *type = http_response_header(r, "x-amz-checksum-type");

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *text = http_response_header(r, known[i].name);
        bool composite;
        if (text == NULL)
            continue;
        if (!checksum_is_sound(text, known[i].size, &composite))
            return false;
        if (known[i].size == 32 && !composite && (type == NULL || !str_ieq(type, "COMPOSITE"))) {
            unsigned char raw[32];
            size_t n = sizeof raw;
            if (text_unbase64(text, strlen(text), raw, &n))
                text_hex(raw, n, info->stored_sha256);
        }
    }
    return true;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool take_number(const char **p, uint64_t *out)
{
    char digits[24];
    const size_t n = strspn(*p, "0123456789");

    if (n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, *p, n);
    digits[n] = '\0';
    *p += n;
    return str_to_u64(digits, out);
}

bool s3_headers_range(const struct http_response *r, uint64_t *first, uint64_t *last,
                      uint64_t *total)
{
    const char *p = http_response_header(r, "Content-Range");

    if (p == NULL || !str_starts(p, "bytes "))
        return false;
    p += strlen("bytes ");
    if (!take_number(&p, first) || *p++ != '-' || !take_number(&p, last) || *p++ != '/' ||
        !take_number(&p, total))
        return false;
    return *p == '\0' && *first <= *last && *last < *total;
}

static void take_size(const struct http_response *r, struct objinfo *info)
{
    const char *length = http_response_header(r, "Content-Length");
    uint64_t first, last, n;

    info->size = -1;
    if (r->status == 206) {
        if (s3_headers_range(r, &first, &last, &n) && n <= INT64_MAX)
            info->size = (int64_t)n;
    } else if (length != NULL && str_to_u64(length, &n) && n <= INT64_MAX) {
        info->size = (int64_t)n;
    }
}

static void take_text(const struct http_response *r, const char *name, char *dst, size_t size)
{
    const char *text = http_response_header(r, name);
    str_copy(dst, size, text == NULL ? "" : text);
}

bool s3_headers_info(const struct http_response *r, struct objinfo *info)
{
    const char *date = http_response_header(r, "Last-Modified");
    const char *id = http_response_header(r, "x-amz-meta-blobferry-id");
    const char *batch = http_response_header(r, "x-amz-meta-blobferry-batch");

    memset(info, 0, sizeof *info);
    take_size(r, info);
    s3_headers_etag(http_response_header(r, "ETag"), info->etag, &info->weak_etag);
    take_text(r, "x-amz-version-id", info->version_id, sizeof info->version_id);
    take_text(r, "Content-Type", info->content_type, sizeof info->content_type);
    take_text(r, "Content-Encoding", info->content_encoding, sizeof info->content_encoding);
    if (date == NULL || !timefmt_parse_http(date, &info->last_modified_ms))
        info->last_modified_ms = 0;
    provenance_decode(info->record_id, sizeof info->record_id, id == NULL ? "" : id);
    provenance_decode(info->batch_id, sizeof info->batch_id, batch == NULL ? "" : batch);
    provenance_sha256(info->sha256, http_response_header(r, "x-amz-meta-blobferry-sha256"));
    return take_checksums(r, info);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

bool s3_headers_meta_init(struct s3_headers_meta *m, const struct objmeta *meta)
{
    buf_init(&m->id, META_TEXT_MAX);
    buf_init(&m->batch, META_TEXT_MAX);
    buf_init(&m->name, META_TEXT_MAX);
    if (meta->record_id != NULL)
        provenance_encode(&m->id, meta->record_id);
    if (meta->batch_id != NULL)
        provenance_encode(&m->batch, meta->batch_id);
    if (meta->filename != NULL) {
        provenance_encode(&m->name, meta->filename);
        if (!buf_ok(&m->name) || m->name.len > META_NAME_MAX)
            buf_reset(&m->name); /* a courtesy, not worth a refused upload */
    }
    return buf_ok(&m->id) && buf_ok(&m->batch);
}

void s3_headers_meta_release(struct s3_headers_meta *m)
{
    buf_release(&m->id);
    buf_release(&m->batch);
    buf_release(&m->name);
}
