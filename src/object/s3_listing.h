/* s3_listing: the documents that S3 answers with and asks for: lists, results of bulk removal, new uploads, completed ones.
 * Pure. Servers are not trusted: a document that contradicts itself is an error. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_LISTING_H
#define BLOBFERRY_SRC_OBJECT_S3_LISTING_H

#include "blobferry/base/arena.h"
#include "blobferry/base/buf.h"
#include "blobferry/object/objstore.h"

/* One page. Strings live in `mem`. */
struct s3_listing {
    struct arena mem;
    struct objstore_entry *entries; /* owned */
    size_t count, cap;
    char *next; /* token, in mem; NULL: the last page */
};

/* `token` is the one this page was asked with, or NULL. ERR_STORE_UNAVAILABLE: this is no listing (a proxy's page, cut off), worth
 * another try; ERR_STORE_CORRUPT: a listing that cannot be (negative size, truncated without or with the same token). */
enum err_code s3_listing_parse(struct s3_listing *l, const void *body, size_t n, const char *token,
                               struct err *e);
/* ListMultipartUploads: the token holds both markers; see s3_listing_markers. */
enum err_code s3_listing_parse_uploads(struct s3_listing *l, const void *body, size_t n,
                                       const char *token, struct err *e);
void s3_listing_release(struct s3_listing *l);
/* Key marker and upload id marker of a token of s3_listing_parse_uploads. */
bool s3_listing_markers(const char *token, struct buf *key, struct buf *upload_id);

#endif
