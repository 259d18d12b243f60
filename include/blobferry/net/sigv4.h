/* sigv4: AWS Signature Version 4, pure: request + keys + time -> headers or a presigned query. No I/O, no clock.
 * Source: "Signature Version 4 signing process", docs.aws.amazon.com; S3 style: the path is encoded once and never normalised.
 *
 *     struct sigv4_signer s;                      (caches the day's signing key)
 *     sigv4_init(&s, &keys, "auto", "s3", e);
 *     struct sigv4_request r = {.method = "PUT", .path = "/bkt/a%20b", .headers = h, .header_count = 3,
 *                               .payload_sha256 = hex, .time_ms = now};
 *     sigv4_sign(&s, &r, &out, e);                (out: the Authorization header's value)
 *     sigv4_release(&s);
 */
#ifndef BLOBFERRY_NET_SIGV4_H
#define BLOBFERRY_NET_SIGV4_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"
#include "blobferry/base/secret.h"

#include <stddef.h>
#include <stdint.h>

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define SIGV4_EMPTY_SHA256     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sigv4_keys {
    const char *access_key;
    const struct secret *secret;
    const struct secret *session_token; /* NULL or unset: none */
};

struct sigv4_pair {
    const char *name;
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path; /* as it goes on the wire: percent-encoded once, begins with '/' */
    const struct sigv4_pair
        *query; /* raw (unencoded) names and values, any order; NULL value: "name=" */
    size_t query_count;
    const struct sigv4_pair
        *headers; /* every header to be signed, host and x-amz-* included, any order or case;
                                        repeated names are joined by ',' */
    size_t header_count;
    const char *payload_sha256; /* hex, or SIGV4_UNSIGNED_PAYLOAD */
    int64_t time_ms;            /* the request's time; must be what x-amz-date says */
};

struct sigv4_signer {
    char access_key[256];
    char region[64];
    char service[32];
    struct secret secret;        /* owned copy */
    struct secret session_token; /* owned copy */
    unsigned char day_key[32];   /* wiped on release */
    char day[9];                 /* YYYYMMDD of day_key, "" none */
};

enum err_code sigv4_init(struct sigv4_signer *s, const struct sigv4_keys *keys, const char *region,
                         const char *service, struct err *e);
void sigv4_release(struct sigv4_signer *s);

/* Authorization header value into `out` ("AWS4-HMAC-SHA256 Credential=…"). */
enum err_code sigv4_sign(struct sigv4_signer *s, const struct sigv4_request *r, struct buf *out,
                         struct err *e);
/* Full query string with X-Amz-Algorithm … X-Amz-Signature (and X-Amz-Security-Token) into `out`; expires in
 * seconds, at most 604800. */
enum err_code sigv4_presign(struct sigv4_signer *s, const struct sigv4_request *r,
                            int64_t expires_s, struct buf *out, struct err *e);
/* For tests and for the explanation of a refused signature. */
enum err_code sigv4_canonical_request(const struct sigv4_request *r, struct buf *out,
                                      struct err *e);
enum err_code sigv4_string_to_sign(const struct sigv4_signer *s, const struct sigv4_request *r,
                                   struct buf *out, struct err *e);
/* "a=b&c=" with sorted, encoded pairs: also the form that goes on the wire. */
enum err_code sigv4_canonical_query(const struct sigv4_pair *query, size_t n, struct buf *out,
                                    struct err *e);

#endif
