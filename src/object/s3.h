/* s3: the S3 driver. An operation is a small machine: it sends requests (s3_request: signed, retried), looks at the object
 * when an answer was lost (s3_look), reads it back when the store is not known to check (s3_hash), and ends by calling back once.
 */
#ifndef BLOBFERRY_SRC_OBJECT_S3_H
#define BLOBFERRY_SRC_OBJECT_S3_H

#include "blobferry/codec/digest.h"
#include "blobferry/net/bandwidth.h"
#include "blobferry/net/http.h"
#include "blobferry/net/limiter.h"
#include "blobferry/net/sigv4.h"
#include "driver.h"
#include "s3_classify.h"
#include "s3_endpoint.h"

struct s3_store {
    struct objstore base;
    struct http *http;
    struct sigv4_signer signer;
    struct s3_endpoint at;
    char *bucket;
    char region[64];
    char source[64]; /* of the credentials, for messages */
    struct retry_policy retry;
    int64_t skew_ms; /* added to our clock */
    bool skew_adopted;
    int64_t lead_ms; /* the server's clock minus ours, by the last Date header */
    bool lead_known;
    bool bucket_seen; /* some answer has proved that the bucket is there */
    size_t active;
    struct bandwidth bandwidth;
    int64_t bandwidth_ms;    /* monotonic, when the timetable is looked at again */
    struct limiter *limiter; /* shared with the stores of other loops */
    struct limiter_client client;
    struct s3_request *waiting, **waiting_end; /* for admission, in order */
    size_t waiting_count;
    bool told_waiting;   /* the limiter knows */
    bool only_keys_wait; /* all that wait do so because of their key */
    bool admitting;
    bool slow_down;   /* this store's 503 means: too fast */
    int64_t alarm_ms; /* monotonic: the queue is looked at then; 0: no timer is set */
};
int64_t s3_now_ms(const struct s3_store *s); /* our clock, corrected */

/* ---- s3_request: one request, signed, sent, classified, retried -------------------------------------------- */

#define S3_QUERY_MAX   8
#define S3_HEADERS_MAX 12
struct s3_request;

struct s3_answer {
    struct s3_judgement is;
    struct err err; /* unless S3_OK */
    const struct http_response
        *response; /* NULL: no answer at all (cancelled, could not be sent) */
};
typedef void s3_answer_fn(void *user, const struct s3_answer *a);

/* All pointers are borrowed until `done`, which is called exactly once for each s3_request_send that returned ERR_OK. */
struct s3_request {
    struct s3_store *store;
    enum s3_op op;
    const char *key; /* NULL: the bucket */
    struct sigv4_pair query[S3_QUERY_MAX];
    size_t query_count;
    struct sigv4_pair headers[S3_HEADERS_MAX]; /* all are signed */
    size_t header_count;
    const void *body; /* or … */
    int fd;           /* … when has_fd */
    bool has_fd;
    uint64_t offset, length;
    const char *payload_sha256; /* hex; NULL: no body */
    http_tap_fn *tap;
    http_sink_fn *sink;
    void *io_user; /* of tap and sink */
    size_t body_max;
    /* An answer of unknown outcome goes to the owner at once, who looks before s3_request_again. */
    bool look_first;
    /* Optional: reads a 2xx answer. S3_OK, or S3_RETRY or S3_CORRUPT with e filled. */
    enum s3_verdict (*read)(void *user, const struct http_response *r, struct err *e);
    /* Optional: asked before a transient failure is retried; false hands the answer to the owner instead. */
    bool (*may_retry)(void *user, const struct s3_answer *a);
    s3_answer_fn *done;
    void *user;
    /* the request's own */
    struct retry_state retry;
    int64_t signed_skew_ms;
    bool clock_corrected;
    int status;          /* last one */
    uint64_t bytes_sent; /* of bodies, over all attempts */
    int64_t sent_ms;     /* s3_now_ms of the last attempt */
    int forgiven;        /* attempts that do not count: the server was busy, or nobody was there */
    int64_t forgiven_since_ms;
    struct limiter_ticket ticket;
    struct s3_request *next_waiting;
};
/* `delay_ms` before the first attempt; 0: at once. */
enum err_code s3_request_send(struct s3_request *r, int64_t delay_ms, struct err *e);
/* Another attempt, if the retry policy allows: false, and `done` will not be called. delay_ms < 0: by backoff. */
bool s3_request_again(struct s3_request *r, int64_t delay_ms);
/* How long to pause before looking for what became of a lost answer; also counts as the pause of the next attempt. False when
 * that one is not allowed any more. */
bool s3_request_backoff(struct s3_request *r, int64_t *delay_ms);
void s3_request_query(struct s3_request *r, const char *name, const char *value);
/* NULL values are left out. */
void s3_request_header(struct s3_request *r, const char *name, const char *value);

/* ---- s3_admit: when a request may begin --------------------------------------------------------------------- */
/* Sends r now, or as soon as the limiter lets it; an error means that `done` will not be called. Again: before those that have
 * not been sent yet. */
enum err_code s3_admit(struct s3_request *r, bool again, struct err *e);
/* Its answer has come: the limiter learns from it. True: the attempt does not count. */
bool s3_admit_done(struct s3_request *r, const struct http_response *response,
                   const struct s3_judgement *is);
void s3_admit_pump(struct s3_store *s);   /* begin what may begin */
void s3_admit_cancel(struct s3_store *s); /* all that wait are cancelled */
/* ---- of s3_request, for s3_admit */
enum err_code s3_request_transmit(struct s3_request *r, struct err *e);
void s3_request_refuse(struct s3_request *r, enum s3_verdict verdict, const struct err *why);

/* ---- s3_result: from answers to results ------------------------------------------------------------------------ */
enum objstore_outcome s3_result_outcome(enum s3_verdict v);
/* outcome, err, locked, status and attempts of a result. */
void s3_result_take(struct objstore_result *out, const struct s3_answer *a,
                    const struct s3_request *r);
void s3_result_cancelled(struct objstore_result *out);
/* An answer that never came because the request could not be sent at all. */
void s3_result_unsent(struct s3_answer *a, const struct err *e);

/* ---- s3_task: what every operation begins with ------------------------------------------------------------------ */
struct s3_task {
    struct s3_store *store;
    char *key; /* owned, may be NULL */
    objstore_done_fn *done;
    void *user;
    bool left;
    struct objstore_result result;
};
/* `size` bytes, zeroed, that begin with a struct s3_task; counted as active. NULL with e filled. */
void *s3_task_new(size_t size, struct s3_store *s, const char *key, objstore_done_fn *done,
                  void *user, struct err *e);
void s3_task_free(struct s3_task *t);
void s3_task_leave(struct s3_task *t); /* not active any more: to be called before the callback */
void s3_task_end(struct s3_task *t);   /* leaves, calls back, frees */

/* ---- s3_look: HEAD, and proof that a 404 means this key ---------------------------------------------------------- */
struct s3_look;
typedef void s3_look_fn(void *user, struct s3_look *l, const struct s3_answer *a);
struct s3_look {
    struct s3_request request;
    struct objinfo info; /* when the answer is S3_OK */
    s3_look_fn *done;
    void *user;
};
struct s3_look_options {
    const char *key; /* borrowed until done */
    int64_t delay_ms;
    s3_look_fn *done;
    void *user;
};
/* S3_OK, S3_ABSENT (proven), or a failure. */
enum err_code s3_look_start(struct s3_look *l, struct s3_store *s, const struct s3_look_options *o,
                            struct err *e);

/* ---- s3_hash: GET and SHA-256 -------------------------------------------------------------------------------------- */
struct s3_hash;
typedef void s3_hash_fn(void *user, struct s3_hash *h, const struct s3_answer *a);
struct s3_hash {
    struct s3_request request;
    struct digest digest;
    uint64_t size;                  /* bytes that arrived */
    char sha256[DIGEST_SHA256_HEX]; /* when the answer is S3_OK */
    s3_hash_fn *done;
    void *user;
};
enum err_code s3_hash_start(struct s3_hash *h, struct s3_store *s, const char *key,
                            s3_hash_fn *done, void *user, struct err *e);

/* ---- operations ---------------------------------------------------------------------------------------------------- */
enum err_code s3_stat_start(struct objstore *s, const char *key, objstore_done_fn *done, void *user,
                            struct err *e);
enum err_code s3_get_start(struct objstore *s, const struct objstore_get *g, objstore_done_fn *done,
                           void *user, struct err *e);
enum err_code s3_put_start(struct objstore *s, const struct objstore_put *in,
                           objstore_done_fn *done, void *user, struct err *e);
enum err_code s3_remove_start(struct objstore *s, const char *key, const char *if_match,
                              objstore_done_fn *done, void *user, struct err *e);
enum err_code s3_bulk_start(struct objstore *s, const struct objstore_bulk_item *items, size_t n,
                            objstore_bulk_fn *done, void *user, struct err *e);
enum err_code s3_abort_start(struct objstore *s, const char *key, const char *upload_id,
                             objstore_done_fn *done, void *user, struct err *e);
enum err_code s3_list_start(struct objstore *s, const struct objstore_list *l,
                            objstore_page_fn *done, void *user, struct err *e);
enum err_code s3_list_uploads(struct objstore *s, const struct objstore_list *l,
                              objstore_page_fn *done, void *user, struct err *e);
enum err_code s3_list_ping(struct objstore *s, objstore_done_fn *done, void *user, struct err *e);
enum err_code s3_probe(struct objstore *s, unsigned *features, struct err *e);

#endif
