/* objstore: the one interface to object stores, asynchronous: submit an operation with a completion callback, drive
 * the loop; blocking helpers sit on top (objstore_wait). Drivers: s3 (s3_*.c) and directory (dir_*.c). A store belongs to one
 * thread.
 *
 *     struct objstore *s;  objstore_open(&s, &options, e);
 *     objstore_put(s, &(struct objstore_put){…}, on_put, user, e);
 *     while (objstore_active(s)) objstore_run(s, 100, e);     (callbacks run in here)
 *     objstore_close(s);
 *
 * Keys are whole keys inside the bucket or directory. Retries with backoff happen inside the driver; what a callback sees is the
 * outcome. After an answer that was lost the driver looks (HEAD) before it speaks (P6).
 */
#ifndef BLOBFERRY_OBJECT_OBJSTORE_H
#define BLOBFERRY_OBJECT_OBJSTORE_H

#include "blobferry/base/err.h"
#include "blobferry/base/secret.h"
#include "blobferry/model/objinfo.h"
#include "blobferry/net/bandwidth.h"
#include "blobferry/net/limiter.h"
#include "blobferry/net/retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum objstore_profile {
    OBJSTORE_AUTO,
    OBJSTORE_AWS,
    OBJSTORE_R2,
    OBJSTORE_CEPH,
    OBJSTORE_MINIO,
    OBJSTORE_OTHER
};
bool objstore_profile_parse(const char *name, enum objstore_profile *out);
const char *objstore_profile_name(enum objstore_profile p);

/* What the endpoint really honours: from the profile, or from objstore_probe; never from hope. */
enum objstore_feature {
    OBJSTORE_IF_NONE_MATCH = 1 << 0,     /* PUT If-None-Match: * is honoured */
    OBJSTORE_IF_NONE_MATCH_MPU = 1 << 1, /* CompleteMultipartUpload honours it as well */
    OBJSTORE_DELETE_IF_MATCH = 1 << 2,
    OBJSTORE_BULK_DELETE = 1 << 3,
    OBJSTORE_BULK_DELETE_ETAG = 1 << 4, /* an ETag element in DeleteObjects is honoured */
    OBJSTORE_CHECKS_PAYLOAD = 1 << 5,   /* the signed payload SHA-256 is checked against the body */
    OBJSTORE_STORES_SHA256 = 1 << 6, /* x-amz-checksum-sha256 is checked, kept and told on HEAD */
    OBJSTORE_VERSIONS = 1 << 7,
};

struct objstore_credentials {
    char access_key[256];
    struct secret secret;
    struct secret session_token;
    char source[64]; /* "environment", "profile 'x'", "cloudflare token": for messages */
};

struct objstore_options {
    const char *target;       /* "s3://bucket[/prefix]" or "file:///dir" */
    const char *endpoint_url; /* NULL: AWS for the region, or R2 by account */
    const char *region;       /* NULL: auto for R2, us-east-1 else */
    const struct objstore_credentials *credentials;
    bool virtual_host; /* default path-style */
    enum objstore_profile profile;
    const char *ca_file;
    struct retry_policy retry; /* zeros: defaults */
    int concurrency; /* requests at once; 0: 16 to begin with, up to 64 while throughput rises */
    struct limiter *limiter; /* shared by several stores of one endpoint; NULL: one of its own */
    int64_t dead_ms;         /* so long without any answer: the endpoint is dead; 0: 30 s */
    const struct bandwidth
        *bandwidth; /* of all stores that share the limiter; NULL: no limit; copied */
    bool verbose;
};

struct objstore;
enum err_code objstore_open(struct objstore **out, const struct objstore_options *o, struct err *e);
/* For the stores of other event loops of this process: borrowed, shared by whoever is opened with it; NULL: it has none. */
struct limiter *objstore_limiter(struct objstore *s);
void objstore_close(struct objstore *s); /* cancels what is under way; NULL is harmless */
unsigned objstore_features(const struct objstore *s);
void objstore_set_features(struct objstore *s, unsigned features);
enum objstore_profile objstore_kind(const struct objstore *s);
bool objstore_needs_probe(
    const struct objstore *s); /* profile 'other', 'minio' or unknown, not probed yet */
const char *objstore_prefix(
    const struct objstore *s); /* of the target, "" none; keys must begin with it: callers check */
const char *
objstore_name(const struct objstore *s); /* "s3://bucket at host" or "file:///dir": for messages */
/* What was added to our clock because the store called it wrong (RequestTimeTooSkewed): to be audited once. */
int64_t objstore_skew_ms(const struct objstore *s);
/* The server's clock minus this machine's, by its last answer; false when none has told. */
bool objstore_lead_ms(const struct objstore *s, int64_t *ms);

/* ---- outcomes ----------------------------------------------------------------------------------- */
enum objstore_outcome {
    OBJSTORE_DONE,
    OBJSTORE_ABSENT, /* proven: NoSuchKey, or a bodyless 404 to HEAD of a key from the store itself */
    OBJSTORE_PRECONDITION, /* PUT: something is there; DELETE: it is not the one meant. info: what HEAD says, if known */
    OBJSTORE_CORRUPT, /* the store's checksum or size is not ours */
    OBJSTORE_REJECTED, /* this object can not be done as it is (bad key, too large, locked): fail the file */
    OBJSTORE_DENIED,      /* credentials, rights, bucket, redirect: stop the run */
    OBJSTORE_UNAVAILABLE, /* retries are used up; whether it happened is unknown */
    OBJSTORE_LOCAL,       /* the source could not be read, or changed while it was sent */
    OBJSTORE_CANCELLED
};

struct objstore_result {
    enum objstore_outcome outcome;
    struct err err;      /* filled unless DONE (for ABSENT: ERR_NOTFOUND) */
    struct objinfo info; /* stat, get; put: etag, version_id, size */
    bool
        verified; /* put: the store has provably the bytes (checked payload, stored checksum, or own look) */
    bool resolved_by_look; /* put, remove: the answer was lost, HEAD decided */
    bool locked;           /* remove: REJECTED because a lock or retention holds the object */
    int attempts;
    uint64_t bytes;    /* body bytes moved */
    size_t parts_kept; /* put: parts of an earlier upload that were not sent again */
    int status;        /* last HTTP status, 0 */
};
typedef void objstore_done_fn(void *user, const struct objstore_result *r);

/* ---- operations --------------------------------------------------------------------------------- */
/* Every submit returns ERR_OK and calls `done` exactly once later, from objstore_run or objstore_close; or an error and
 * never. Strings and buffers of the arguments are copied, but for put.data and put.fd, which stay valid until `done`. */

enum err_code objstore_stat(struct objstore *s, const char *key, objstore_done_fn *done, void *user,
                            struct err *e);

typedef bool objstore_sink_fn(void *user, const void *p,
                              size_t n); /* false stops: OBJSTORE_CANCELLED */
/* `restart` in the sink's stead is told by n == 0 and p == NULL: bytes begin again (a retry after a broken answer). */
struct objstore_get {
    const char *key;
    uint64_t offset;
    uint64_t length;      /* 0: to the end */
    const char *if_match; /* ETag or NULL */
    objstore_sink_fn *sink;
    void *sink_user;
};
enum err_code objstore_get(struct objstore *s, const struct objstore_get *g, objstore_done_fn *done,
                           void *user, struct err *e);

enum objstore_if { OBJSTORE_IF_ABSENT, OBJSTORE_OVERWRITE };
struct objstore_put {
    const char *key;
    const void *data;   /* small body in memory, or NULL … */
    int fd;             /* … and then pread from here */
    uint64_t size;      /* bytes */
    const char *sha256; /* hex of the whole body: required */
    uint64_t part_size; /* from objstore_layout: 0 single PUT, else multipart with equal parts */
    const unsigned char (
        *part_sha256)[32]; /* of each part, borrowed until done; NULL: the driver hashes them */
    struct objmeta meta;
    enum objstore_if condition;
    /* Multipart: called as soon as the upload id is known and before the first part is sent; must make it durable (P11). An
     * error aborts the upload. */
    enum err_code (*on_upload)(void *user, const char *upload_id, uint64_t part_size,
                               struct err *e);
    void *upload_user;
    /* Multipart from a file, with part_sha256: an upload of this key that an earlier process began for the very same bytes with the
     * same part size. Parts of it that are provably these bytes are not sent again. Where that cannot be it is aborted, and another
     * one begun. It counts as this put's: whatever fails aborts it. NULL: none. Drivers that cannot (objstore_resumes) pass over it. */
    const char *resume_upload;
    int part_concurrency; /* parts of this object under way at once; 0: 4 */
};
enum err_code objstore_put(struct objstore *s, const struct objstore_put *p, objstore_done_fn *done,
                           void *user, struct err *e);

bool objstore_resumes(const struct objstore *s); /* objstore_put.resume_upload is honoured */

enum err_code objstore_remove(struct objstore *s, const char *key, const char *if_match,
                              objstore_done_fn *done, void *user,
                              struct err *e); /* DONE also when it was absent before */

/* Multipart uploads of others or of ours left behind. ABSENT: no such upload any more. */
enum err_code objstore_abort(struct objstore *s, const char *key, const char *upload_id,
                             objstore_done_fn *done, void *user, struct err *e);

/* Bulk removal: at most OBJSTORE_BULK_MAX keys; results in the order of the keys, valid during the callback. */
#define OBJSTORE_BULK_MAX 1000
struct objstore_bulk_item {
    const char *key;
    const char *if_match; /* sent where OBJSTORE_BULK_DELETE_ETAG; else ignored */
};
struct objstore_bulk_result {
    enum objstore_outcome outcome;
    bool locked;
    char message[160];
};
typedef void objstore_bulk_fn(void *user, const struct objstore_result *whole,
                              const struct objstore_bulk_result *each, size_t n);
enum err_code objstore_remove_many(struct objstore *s, const struct objstore_bulk_item *items,
                                   size_t n, objstore_bulk_fn *done, void *user, struct err *e);

/* One page of a listing, keys in the store's order. Valid during the callback. */
struct objstore_entry {
    const char *key;
    size_t key_len;
    int64_t size;
    int64_t last_modified_ms;
    const char *etag;      /* "" unknown */
    const char *upload_id; /* list_uploads only */
};
struct objstore_page {
    const struct objstore_entry *entries;
    size_t n;
    const char *next; /* token for the next page; NULL: this was the last */
};
typedef void objstore_page_fn(void *user, const struct objstore_result *r,
                              const struct objstore_page *page);
struct objstore_list {
    const char *prefix;
    const char *token;       /* NULL: from the start */
    const char *start_after; /* NULL; only without token */
    int max;                 /* 0: 1000 */
};
enum err_code objstore_list(struct objstore *s, const struct objstore_list *l,
                            objstore_page_fn *done, void *user, struct err *e);
enum err_code objstore_list_uploads(struct objstore *s, const struct objstore_list *l,
                                    objstore_page_fn *done, void *user, struct err *e);

/* Is the bucket there and do the credentials work? DONE, DENIED, UNAVAILABLE. Sends LIST of at most one key; a right to list that
 * is missing (AccessDenied) is DONE with err.code ERR_STORE_DENIED as a warning. */
enum err_code objstore_ping(struct objstore *s, objstore_done_fn *done, void *user, struct err *e);

/* ---- the loop ------------------------------------------------------------------------------------ */
enum err_code objstore_run(struct objstore *s, int timeout_ms, struct err *e);
void objstore_wakeup(struct objstore *s); /* ends objstore_run; the only call for other threads */
size_t objstore_active(const struct objstore *s);
void objstore_cancel_all(
    struct objstore
        *s); /* every callback under way gets CANCELLED; uploads of multipart are NOT aborted */

/* ---- blocking helpers ----------------------------------------------------------------------------- */
enum err_code objstore_stat_wait(struct objstore *s, const char *key, struct objstore_result *r,
                                 struct err *e);
enum err_code objstore_ping_wait(struct objstore *s, struct objstore_result *r, struct err *e);
enum err_code objstore_remove_wait(struct objstore *s, const char *key, const char *if_match,
                                   struct objstore_result *r, struct err *e);
enum err_code objstore_abort_wait(struct objstore *s, const char *key, const char *upload_id,
                                  struct objstore_result *r, struct err *e);
/* GET and hash, in constant memory: r->info.sha256 holds the hex of the bytes that arrived, r->info.size their count. */
enum err_code objstore_hash_wait(struct objstore *s, const char *key, struct objstore_result *r,
                                 struct err *e);
/* Learn the features of an endpoint by a few harmless requests under "<prefix>.blobferry-probe/<this process>", all removed again. */
enum err_code objstore_probe(struct objstore *s, unsigned *features, struct err *e);

/* ---- layout of multipart uploads -------------------------------------------------------------------- */
#define OBJSTORE_PART_MIN  (5ull << 20)
#define OBJSTORE_PART_MAX  (5ull << 30)
#define OBJSTORE_PARTS_MAX 10000
#define OBJSTORE_SIZE_MAX  (5ull << 40)
struct objstore_layout {
    uint64_t part_size; /* bytes; 0: single PUT */
    uint64_t parts;     /* 0 for single */
};
/* Part size for a file: `requested` (0: 16 MiB) raised until 10,000 parts suffice; single PUT up to and including that size.
 * ERR_LIMIT over 5 TiB. */
enum err_code objstore_layout(uint64_t size, uint64_t requested, struct objstore_layout *out,
                              struct err *e);

struct objstore_requests {
    uint64_t get, head, put, post, delete_, bytes_sent, bytes_received;
};
void objstore_requests(const struct objstore *s, struct objstore_requests *out);

#endif
