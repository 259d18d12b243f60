/* s3_deleted: DeleteObjects, the document that is sent and the one that comes back. Pure. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_DELETED_H
#define BLOBFERRY_SRC_OBJECT_S3_DELETED_H

#include "blobferry/base/buf.h"
#include "s3_error.h"

/* <Delete>: begin, one object each (etag bare, or NULL), end. */
void s3_deleted_begin(struct buf *b);
void s3_deleted_object(struct buf *b, const char *key, const char *etag);
bool s3_deleted_end(struct buf *b);

/* Called for each key of the answer, in its order; error NULL: deleted. */
typedef void s3_deleted_fn(void *user, const char *key, const struct s3_error *error);
/* False when the document is no DeleteResult or ends too early; keys before that have been told. */
bool s3_deleted_parse(const void *body, size_t n, s3_deleted_fn *fn, void *user);

#endif
