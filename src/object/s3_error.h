/* s3_error: what S3 says of a failure: <Error><Code>…</Code><Message>…</Message>…</Error>. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_ERROR_H
#define BLOBFERRY_SRC_OBJECT_S3_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/* Empty strings: not said. Nothing else of the document is kept: <Token-0> may echo the session token (P8). */
struct s3_error {
    char code[64];
    char message[256]; /* printable, capped */
    char region[64];   /* the bucket's, in AuthorizationHeaderMalformed and redirects */
    char header[64];   /* the one that is not implemented */
};

/* Takes what can be read before the first fault of the document; true when its root is <Error>. */
bool s3_error_parse(const void *body, size_t n, struct s3_error *out);

#endif
