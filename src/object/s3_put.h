/* s3_put: one upload, from the submit to the callback; shared by the files that do parts of it.
 *
 *     look first (where the store does not honour the condition) -> PUT, or create, parts, complete -> settle
 *
 * s3_put.c: submit, single PUT.  s3_multipart.c: create, complete, abort.  s3_parts.c: the parts.  s3_resume.c: an upload that
 * an earlier process began.  s3_lost.c: uploads whose id was lost.  s3_settle.c: what is there? is it ours? is it right?  s3_echo.c: checksums that the store told. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_PUT_H
#define BLOBFERRY_SRC_OBJECT_S3_PUT_H

#include "s3.h"
#include "s3_headers.h"

/* Why we look at the key. */
enum s3_put_look {
    S3_LOOK_BEFORE,   /* nothing was sent yet: is it absent? */
    S3_LOOK_LAST,     /* all parts are there: is it still absent? */
    S3_LOOK_CONFLICT, /* the store says that something is there */
    S3_LOOK_LOST,     /* an answer was lost: did it happen? */
    S3_LOOK_AFTER,    /* it is written: what is its ETag? */
    S3_LOOK_RETRACT   /* wrong bytes were written: are they ours to remove? */
};

struct s3_slot {
    struct s3_put *put;
    struct s3_request request;
    size_t part; /* from 0 */
    bool busy;
    char number[8], sha256[DIGEST_SHA256_HEX];
    struct digest tap;
    bool tap_on;
};

#define S3_UPLOAD_ID_MAX 2048
#define S3_STRAYS_MAX    16
#define S3_SLOTS_MAX     16

struct s3_put {
    struct s3_task task;
    struct objstore_put in; /* its strings are ours */
    char *strings[5];
    char sha256[DIGEST_SHA256_HEX], sha256_base64[48];
    struct s3_headers_meta meta;
    struct s3_request request; /* PUT, create, complete, abort; DELETE when it is taken back */
    struct s3_look look;
    struct s3_hash hash;
    enum s3_put_look why;
    bool sent;             /* request was sent, and may be sent again … */
    bool may_repeat;       /* … if this says so */
    struct s3_answer lost; /* the answer that made us look */
    struct digest tap;     /* of the bytes as they went out */
    bool tap_on;
    bool changed; /* the source was found changed */
    char etag[OBJINFO_ETAG_MAX];
    char if_match[OBJINFO_ETAG_MAX + 2];
    /* multipart */
    char *upload_id; /* owned; NULL: none is open */
    size_t parts, next_part, parts_done;
    char **etags; /* as the store wrote them, owned */
    struct s3_slot *slots;
    size_t slot_count, busy;
    struct digest whole; /* of all parts, when the driver hashes them */
    bool whole_on;
    struct buf document; /* CompleteMultipartUpload */
    char document_sha256[DIGEST_SHA256_HEX];
    char *strays[S3_STRAYS_MAX]; /* uploads that a lost answer left, owned */
    size_t stray_count;
    int stray_pages;
    struct s3_resume *resume; /* while an earlier upload is looked at */
};

/* ---- ending: s3_put.c ------------------------------------------------------------------------------- */
void s3_put_end(struct s3_put *p); /* calls back with task.result and frees */
/* The outcome of an answer; aborts the upload that is open, if any, but not after CANCELLED. */
void s3_put_fail(struct s3_put *p, const struct s3_answer *a, const struct s3_request *r);
void s3_put_fail_unsent(struct s3_put *p, const struct err *e);
/* As s3_put_fail, with task.result filled by the caller. */
void s3_put_stop(struct s3_put *p);
bool s3_put_if_none_match(const struct s3_put *p, unsigned feature); /* send If-None-Match: *? */
/* D7: the store says that the bytes are not what was signed. Then the source is hashed again. */
bool s3_put_digest_refused(const struct s3_answer *a);
void s3_put_source_changed(struct s3_put *p);               /* fills task.result */
enum err_code s3_put_send(struct s3_put *p, struct err *e); /* the single PUT */

/* ---- s3_settle.c ------------------------------------------------------------------------------------- */
enum err_code s3_settle_start(struct s3_put *p, enum s3_put_look why, int64_t delay_ms,
                              struct err *e);
void s3_settle_look(struct s3_put *p, enum s3_put_look why, int64_t delay_ms); /* ends on failure */
/* The store has acknowledged the object, p->etag is known: prove the bytes, then end. */
void s3_settle_written(struct s3_put *p);
/* Wrong bytes stand under our name. Remove them if they are provably this upload's; then end with task.result. */
void s3_settle_retract(struct s3_put *p);

/* ---- s3_multipart.c ------------------------------------------------------------------------------------ */
enum err_code s3_multipart_create(struct s3_put *p, struct err *e);
enum err_code s3_multipart_complete(struct s3_put *p, struct err *e);
void s3_multipart_parts_done(struct s3_put *p);
void s3_multipart_abandon(struct s3_put *p); /* abort, then end with task.result */
void s3_multipart_release(struct s3_put *p);
/* Text of the leaf root/name; false when the document is malformed, has another root or no such leaf. */
bool s3_multipart_leaf(const struct buf *body, const char *root, const char *name, char *dst,
                       size_t size);

/* ---- s3_parts.c ------------------------------------------------------------------------------------------ */
enum err_code s3_parts_init(struct s3_put *p, struct err *e);
void s3_parts_run(struct s3_put *p); /* start what may be started; go on when all are there */
void s3_parts_release(struct s3_put *p);
uint64_t s3_parts_length(const struct s3_put *p, size_t part); /* bytes */

/* ---- s3_resume.c ----------------------------------------------------------------------------------------- */
enum err_code s3_resume_init(struct s3_put *p, struct err *e); /* after s3_parts_init */
bool s3_resume_wanted(const struct s3_put *p);
/* In place of s3_multipart_create: goes on with s3_parts_run, or creates another upload. */
void s3_resume_start(struct s3_put *p);
void s3_resume_release(struct s3_put *p);

/* ---- s3_lost.c --------------------------------------------------------------------------------------------- */
/* The answer to CreateMultipartUpload was lost: find and abort what it may have left (P11), then create again. */
void s3_lost_find(struct s3_put *p);

/* ---- s3_echo.c ----------------------------------------------------------------------------------------------- */
struct s3_body {
    const void *data;
    int fd;
    uint64_t offset, length;
    const char *sha256; /* hex, of these bytes */
};
/* Compares checksums that the answer tells with the bytes. S3_OK, S3_CORRUPT, or S3_LOCAL: the source has changed or can not
 * be read. */
enum s3_verdict s3_echo_check(const struct http_response *r, const struct s3_body *body,
                              struct err *e);
/* SHA-256 of the bytes as they are now, in hex; false when they can not be read. */
bool s3_echo_sha256(const struct s3_body *body, char hex[DIGEST_SHA256_HEX]);

#endif
