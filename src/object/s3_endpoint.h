/* s3_endpoint: where requests go, and what their Host header will be, byte for byte as curl sends it: it is signed. Pure. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_ENDPOINT_H
#define BLOBFERRY_SRC_OBJECT_S3_ENDPOINT_H

#include "blobferry/base/buf.h"
#include "blobferry/object/objstore.h"

#define S3_HOST_MAX 320

struct s3_endpoint {
    char origin[S3_HOST_MAX + 16]; /* "https://host[:port]" */
    char host[S3_HOST_MAX];        /* "host[:port]", a default port left out */
    char bucket_path[80];          /* "/bucket" in path style, "" with virtual hosts */
};

struct s3_endpoint_options {
    const char *url;    /* NULL: AWS by region */
    const char *region; /* NULL: by profile */
    const char *bucket;
    bool virtual_host;
};

/* ERR_CONFIG with a hint when the URL or the bucket's name can not be used. */
enum err_code s3_endpoint_init(struct s3_endpoint *at, const struct s3_endpoint_options *o,
                               struct err *e);
/* "/bucket/key" or "/key", encoded once; key NULL: the bucket itself. */
bool s3_endpoint_path(const struct s3_endpoint *at, const char *key, struct buf *out);
/* What kind of store answers at `host`. */
enum objstore_profile s3_endpoint_profile(const char *host);

#endif
