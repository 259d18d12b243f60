/* s3_headers: from an answer's headers to objinfo, and from objmeta to x-amz-meta-*. Pure. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_HEADERS_H
#define BLOBFERRY_SRC_OBJECT_S3_HEADERS_H

#include "blobferry/model/objinfo.h"
#include "blobferry/net/http.h"

#include <stdbool.h>

/* ETag as it came to its bare form. True if it is plausible: not empty, printable, not too long. */
bool s3_headers_etag(const char *raw, char etag[OBJINFO_ETAG_MAX], bool *weak);
/* What HEAD, GET or PUT says of an object. False when a checksum header is garbage (D8). Content-Length is the size, but for
 * ranges, where Content-Range tells it. */
bool s3_headers_info(const struct http_response *r, struct objinfo *info);
/* "bytes 0-4/10": the first and last byte and the total; false when absent or malformed. */
bool s3_headers_range(const struct http_response *r, uint64_t *first, uint64_t *last,
                      uint64_t *total);

/* x-amz-meta-blobferry-*, encoded. Empty: none. */
struct s3_headers_meta {
    struct buf id, batch, name;
};
bool s3_headers_meta_init(struct s3_headers_meta *m, const struct objmeta *meta);
void s3_headers_meta_release(struct s3_headers_meta *m);

#endif
