/*
 * A cheap S3 server for measuring clients: it reads and forgets the bodies, and remembers of each object what a
 * client may ask for afterwards (size, ETag, metadata, and with --check the SHA-256 of what came).
 *
 *   sink_store_init(&store, &options);            the objects, shared by all threads behind one lock
 *   sink_loop_run(&loop);                         one per thread: accepts, reads, answers after --latency
 *   sink_store_release(&store);
 *
 * It checks no signature, and is for loopback only.
 */
#ifndef BENCH_SINK_H
#define BENCH_SINK_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SINK_HEAD_MAX 16384 /* bytes of a request's head */
#define SINK_XML_MAX                                                                               \
    (4u << 20) /* bytes of a body that is looked at: 1,000 keys of 1,024 bytes, escaped */
#define SINK_SCRATCH  (256u << 10) /* bytes read at a time */
#define SINK_LIST_MAX 1000         /* entries of a page */
#define SINK_TEXT_MAX (8u << 20)   /* bytes of an answer's body, but for the dump of all objects */
#define SINK_SHA_HEX  65           /* SHA-256 in hex and its NUL */

struct sink_options {
    const char *host;
    unsigned port;        /* 0: any */
    unsigned threads;     /* 1 unless told */
    unsigned latency_ms;  /* before each answer */
    unsigned rate;        /* S3 requests a second; beyond them SlowDown. 0: no limit */
    unsigned rate_status; /* 503 or 429 */
    unsigned retry_after; /* seconds that a refused client is asked to wait; 0: it is not asked */
    bool rate_window;     /* so many in each second of the clock, instead of a bucket that fills */
    bool check;           /* hash the bodies, compare x-amz-content-sha256 */
    const char *cert;     /* PEM files; NULL: plain HTTP */
    const char *key;
};

/* A growing text; on failure to allocate the process ends, this is no server for production. */
struct sink_text {
    char *data;
    size_t len;
    size_t size;
};
void sink_text_printf(struct sink_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* With &, <, > and " escaped for XML, or percent-encoded when `url`. */
void sink_text_key(struct sink_text *text, const char *key, bool url);
void sink_text_release(struct sink_text *text);
/* calloc and strdup that end the process instead of failing. */
void *sink_alloc(size_t count, size_t size);
char *sink_strdup(const char *s);

struct sink_part {
    unsigned number;
    uint64_t size;
    char sha256[SINK_SHA_HEX]; /* empty without --check */
    char etag[32];
    struct sink_part *next; /* by rising number */
};

struct sink_object {
    char *key; /* bucket, '/', key; an upload has its id here */
    uint64_t size;
    char etag[32];
    char sha256[SINK_SHA_HEX]; /* empty without --check and for multipart */
    char *headers;             /* those to give back, as lines */
    time_t modified;
    struct sink_part *parts;
    char *target; /* of an upload: the object's full key */
    struct sink_object *next;
};

struct sink_table {
    struct sink_object **slots;
    size_t n_slots; /* a power of two */
    size_t count;
};

enum sink_method {
    SINK_GET,
    SINK_HEAD,
    SINK_PUT,
    SINK_POST,
    SINK_DELETE,
    SINK_OTHER,
    SINK_METHODS
};

struct sink_stats {
    uint64_t requests[SINK_METHODS];
    uint64_t body_bytes; /* of requests, as they came */
    uint64_t throttled;  /* answered with SlowDown */
    uint64_t errors;     /* answered with 4xx or 5xx but for 404 and SlowDown */
    uint64_t mismatches; /* x-amz-content-sha256 was not that of the body */
    uint64_t unsigned_bodies;
};

struct sink_store {
    const struct sink_options *options;
    pthread_mutex_t lock;
    struct sink_table objects;
    struct sink_table uploads;
    struct sink_stats stats;
    uint64_t serial;             /* makes ETags and upload ids */
    uint64_t allowance_ns;       /* when the next request is due, of --rate */
    uint64_t window, in_window;  /* the second of --rate-window, and what it has had */
    struct sink_object **sorted; /* of objects; NULL when they have changed */
    atomic_ulong connections;    /* accepted since the last reset */
    atomic_ulong open_now;
    atomic_ulong open_peak;
};
void sink_store_init(struct sink_store *store, const struct sink_options *options);
void sink_store_reset(struct sink_store *store);
void sink_store_release(struct sink_store *store);
/* NULL if there is none. */
struct sink_object *sink_store_find(const struct sink_table *table, const char *key);
/* Takes the object; the one of the same key is freed. */
void sink_store_put(struct sink_table *table, struct sink_object *object);
bool sink_store_remove(struct sink_table *table, const char *key);
/* Taken out without being freed; NULL if there is none. */
struct sink_object *sink_store_take(struct sink_table *table, const char *key);
void sink_object_free(struct sink_object *object);
/* Objects in the order of their keys, `objects.count` of them; borrowed until the next change. */
struct sink_object **sink_store_sorted(struct sink_store *store);

/* A request's head. Pointers are into the connection's buffer. */
struct sink_head {
    enum sink_method method;
    char *path;  /* decoded, without the leading slash: bucket/key */
    char *query; /* as it came, "" if none */
    uint64_t length;
    uint64_t decoded_length; /* x-amz-decoded-content-length; UINT64_MAX if none */
    const char *content_sha256;
    const char *if_match;
    const char *if_none_match;
    const char *copy_source;
    char *headers; /* to keep with the object; owned; NULL if none */
    bool close;
    bool expect;
    bool chunked; /* Transfer-Encoding, which S3 does not take */
};
/* Length of the head with its empty line; 0 if it is not whole; -1 if it is none. Writes into `data`. */
int sink_head_parse(struct sink_head *head, char *data, size_t len);
void sink_head_release(struct sink_head *head);
/* A parameter's decoded value into `out`; false if it is absent. */
bool sink_head_query(const struct sink_head *head, const char *name, char *out, size_t size);
/* In place; '+' is left alone. */
void sink_head_decode(char *s);

/* What is done with a body's bytes: hashed with --check, kept if it is XML, else forgotten. */
struct sink_body {
    uint64_t left; /* bytes still to come */
    EVP_MD_CTX *hash;
    struct sink_text *keep; /* NULL: not kept */
    bool framed;            /* aws-chunked */
    int frame_state;
    uint64_t frame_left;
};
void sink_body_start(struct sink_body *body, const struct sink_head *head, bool check,
                     struct sink_text *keep);
/* Whether the bytes are looked at, or may be dropped by the kernel. */
bool sink_body_looks(const struct sink_body *body);
void sink_body_feed(struct sink_body *body, const char *data, size_t len);
/* Hex into `out`; empty if it was not hashed. */
void sink_body_end(struct sink_body *body, char out[SINK_SHA_HEX]);
void sink_body_release(struct sink_body *body);

struct sink_answer {
    int status;
    char headers[512];          /* lines, each with its CRLF */
    const char *object_headers; /* borrowed until the lock is given back; NULL if none */
    struct sink_text body;
    uint64_t length; /* of the body; for HEAD that of the object */
};
/* Answers one request, whose body has come, under the store's lock. */
void sink_s3_answer(struct sink_store *store, const struct sink_head *head, const char *sha256,
                    const struct sink_text *xml, struct sink_answer *answer);
void sink_s3_error(struct sink_answer *answer, int status, const char *code);
/* GET on a bucket: ListObjects (both versions), uploads, location, versioning. */
void sink_list_bucket(struct sink_store *store, const struct sink_head *head,
                      struct sink_answer *answer);
void sink_list_parts(const struct sink_object *upload, struct sink_answer *answer);
void sink_list_stats(struct sink_store *store, struct sink_answer *answer);
/* JSON lines, one per object: key, size, etag, sha256 or parts. */
void sink_list_objects(struct sink_store *store, struct sink_answer *answer);
/* POST ?delete. */
void sink_list_delete(struct sink_store *store, const char *bucket, const struct sink_text *xml,
                      struct sink_answer *answer);

struct sink_loop {
    const struct sink_options *options;
    struct sink_store *store;
    SSL_CTX *tls; /* NULL: plain */
    int listener;
    const atomic_bool *stop;
    /* private */
    int epoll;
    char *scratch;
    struct sink_conn *first_due, *last_due; /* answers that wait for --latency, by time */
};
/* Until *stop. */
void sink_loop_run(struct sink_loop *loop);

#endif
