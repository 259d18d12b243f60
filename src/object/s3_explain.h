/* s3_explain: an answer in words, for people: what was asked, what the store said, what to do. Pure. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_EXPLAIN_H
#define BLOBFERRY_SRC_OBJECT_S3_EXPLAIN_H

#include "s3_classify.h"

struct s3_explain {
    enum s3_op op;
    const char *bucket;
    const char *key;    /* NULL: about the bucket */
    const char *source; /* of the credentials, "" unknown */
    const char *region; /* that we sign for */
};

const char *s3_explain_op(enum s3_op op); /* "PutObject" … */
/* Fills e; nothing for S3_OK. Never prints a raw body (P8). */
void s3_explain(const struct s3_explain *x, const struct http_response *r,
                const struct s3_judgement *j, struct err *e);

#endif
