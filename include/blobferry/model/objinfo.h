/* objinfo: what an object store says of one object. */
#ifndef BLOBFERRY_MODEL_OBJINFO_H
#define BLOBFERRY_MODEL_OBJINFO_H

#include <stdbool.h>
#include <stdint.h>

#define OBJINFO_ETAG_MAX    200
#define OBJINFO_VERSION_MAX 1100
#define OBJINFO_ID_MAX      256

/* Empty strings mean: not said. The ETag is kept with quotes and W/ stripped; it is identity,
 * never a digest. */
struct objinfo {
    int64_t size; /* bytes; -1 not said */
    char etag[OBJINFO_ETAG_MAX];
    bool weak_etag;
    char version_id[OBJINFO_VERSION_MAX];
    char content_type[128];
    char content_encoding[64];
    int64_t last_modified_ms;       /* 0 not said */
    char record_id[OBJINFO_ID_MAX]; /* x-amz-meta-blobferry-id */
    char batch_id[OBJINFO_ID_MAX];  /* x-amz-meta-blobferry-batch, percent-decoded */
    char sha256[65];                /* x-amz-meta-blobferry-sha256, lower-case hex */
    char stored_sha256[65];         /* x-amz-checksum-sha256 of the whole object, as hex */
};

/* Our provenance on an object (P4). */
struct objmeta {
    const char *record_id;
    const char *batch_id;
    const char *sha256;       /* hex */
    const char *filename;     /* may be NULL; any bytes: percent-encoded on the wire */
    const char *content_type; /* may be NULL: application/octet-stream */
};

#endif
