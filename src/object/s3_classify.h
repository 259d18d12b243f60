/* s3_classify: what an answer means. Pure. Sources: S3's error code page, R2's error code page, measurements; see
 * tests/unit/object/test_s3_classify.c for the published cases. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_CLASSIFY_H
#define BLOBFERRY_SRC_OBJECT_S3_CLASSIFY_H

#include "blobferry/net/http.h"
#include "s3_error.h"

enum s3_op {
    S3_HEAD,
    S3_GET,
    S3_PUT,
    S3_DELETE,
    S3_DELETE_MANY,
    S3_LIST,
    S3_LIST_UPLOADS,
    S3_LIST_PARTS,
    S3_CREATE,
    S3_PART,
    S3_COMPLETE,
    S3_ABORT
};

enum s3_verdict {
    S3_OK,
    S3_ABSENT,       /* NoSuchKey, NoSuchUpload, or a bodyless 404 to HEAD */
    S3_PRECONDITION, /* 412, 304 */
    S3_RETRY,        /* transient, or no answer */
    S3_CLOCK,        /* our clock is off: adopt the server's, then once more */
    S3_FALLBACK,     /* 501: something optional is not implemented */
    S3_REJECTED,     /* this object will never be taken */
    S3_DENIED,       /* no object will be taken: stop */
    S3_CORRUPT,
    S3_LOCAL, /* our own side failed */
    S3_CANCELLED
};

struct s3_judgement {
    enum s3_verdict verdict;
    bool unknown; /* with S3_RETRY: the store may have done what it was asked (P6) */
    bool locked;  /* with S3_REJECTED: a lock or a retention holds the object */
    struct s3_error error;
};

/* `now_ms` is compared with the answer's Date: a bare 403 from a server whose clock is minutes away is about the clock. */
void s3_classify(enum s3_op op, const struct http_response *r, int64_t now_ms,
                 struct s3_judgement *out);
/* One key's error in the answer to DeleteObjects, which has no status. */
void s3_classify_error(const struct s3_error *error, struct s3_judgement *out);
/* The server's time by its Date header; false when it gives none. */
bool s3_classify_date(const struct http_response *r, int64_t *ms);

#endif
