/* http: requests over one libcurl multi handle. No redirects are followed, no proxy from the environment, no
 * .netrc, no cookies, CURLOPT_PATH_AS_IS, http and https only, TLS 1.2+ verified; keep-alive pools; HTTP/1.1.
 * One loop belongs to one thread. Nothing here retries or signs, but for libcurl itself, which sends a request once more
 * when a reused connection turns out to be closed before a byte of an answer came.
 *
 *     struct http *h;  http_new(&h, &(struct http_options){.max_connections = 32}, e);
 *     http_submit(h, &request, on_response, user, e);
 *     while (http_active(h)) http_run(h, 100, e);         (calls on_response from inside http_run)
 *     http_free(h);                                       (cancels what is left: fault HTTP_CANCELLED)
 */
#ifndef BLOBFERRY_NET_HTTP_H
#define BLOBFERRY_NET_HTTP_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_options {
    long max_connections;       /* total and per host; 0: 64 */
    const char *ca_file;        /* extra CA bundle in place of the system's; NULL: system */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t stall_ms;           /* under 1 KiB/s for that long: HTTP_TIMEOUT; 0: 60 s */
    uint64_t bytes_per_second;  /* bandwidth limit over all upload bodies together; 0: none */
    bool verbose;               /* libcurl's dialogue to stderr, credentials redacted */
};

struct http_header {
    const char *name;
    const char *value;
};

/* Receives body bytes of a 2xx answer; returns false to abort the transfer (HTTP_LOCAL). */
typedef bool http_sink_fn(void *user, const void *p, size_t n);
/* Sees each body byte that is handed to libcurl, in order; (NULL, 0) means that the body starts again. */
typedef void http_tap_fn(void *user, const void *p, size_t n);

struct http_request {
    const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *url;    /* already encoded; sent as it is */
    /* Copied by http_submit. Content-Length is ours and passed over; Transfer-Encoding, Expect and Connection are
     * refused. */
    const struct http_header *headers;
    size_t header_count;
    const void *body; /* in memory: borrowed until the callback … */
    int fd;           /* … or, when body is NULL and has_fd: pread from here … */
    bool has_fd;
    uint64_t offset;    /* … starting at this offset */
    uint64_t length;    /* bytes of body in either form; sent exactly, a short file is HTTP_LOCAL */
    http_tap_fn *tap;   /* optional */
    http_sink_fn *sink; /* optional: 2xx bodies go here and not to response.body */
    void *user;         /* for tap and sink */
    size_t body_max;    /* cap of response.body; 0: 64 KiB. More is dropped, body_truncated set */
    /* Time allowed from the start of the transfer, not of the wait for its turn; 0: none (stall_ms still holds). */
    int64_t deadline_ms;
};

enum http_fault {
    HTTP_FINE,    /* an answer with a status arrived whole */
    HTTP_RESOLVE, /* name not found: nothing was sent */
    HTTP_CONNECT, /* refused or timed out: nothing was sent */
    HTTP_TLS,     /* certificate or handshake: nothing was sent; not retryable */
    HTTP_TIMEOUT, /* stalled or over the deadline: outcome unknown */
    HTTP_BROKEN, /* connection lost, answer truncated or malformed, success claimed before all was sent: unknown */
    HTTP_LOCAL,    /* our side: see local_errno */
    HTTP_CANCELLED /* outcome unknown, if it had begun */
};

struct http_response {
    enum http_fault fault;
    char fault_text[256]; /* libcurl's words, "" when fine */
    /* HTTP_LOCAL: errno of the failed pread, 0 = the file ended early, ECANCELED = the sink said stop, ENOMEM,
     * EINVAL = libcurl does not take the URL. */
    int local_errno;
    /* 0 when none arrived. May stand beside a fault: header block whole, body not. A refusal (300 and above) that arrived
     * whole is HTTP_FINE even if the connection then broke under our body. */
    int status;
    struct buf body;
    bool body_truncated;
    uint64_t bytes_sent; /* body bytes handed to libcurl in the last attempt */
    uint64_t bytes_received;
    int64_t elapsed_us;
    /* use http_response_header for the rest */
    struct buf header_block; /* raw "Name: value\0" sequence of the final answer, at most 64 KiB */
};

typedef void http_done_fn(void *user, const struct http_response *r);

struct http;
enum err_code http_new(struct http **out, const struct http_options *o, struct err *e);
void http_free(struct http *h); /* not from a callback */
/* The callback is called exactly once, from http_run, http_cancel_all or http_free, and never from here; when an error is
 * returned it is not called at all. It may submit again (ERR_CANCELLED from within http_free). Malformed methods, URLs and
 * headers are ERR_GENERAL. At most max_connections transfers run, the others wait in order. */
enum err_code http_submit(struct http *h, const struct http_request *r, http_done_fn *done,
                          void *user, struct err *e);
/* Call fn(user) from http_run after delay_ms; for backoff. Cancelled timers are called with cancelled true. */
enum err_code http_after(struct http *h, int64_t delay_ms, void (*fn)(void *user, bool cancelled),
                         void *user, struct err *e);
/* Move bytes, wait at most timeout_ms for something to happen, run callbacks. Returns early when it is woken. */
enum err_code http_run(struct http *h, int timeout_ms, struct err *e);
size_t http_active(const struct http *h); /* transfers + timers */
void http_cancel_all(struct http *h);
void http_wakeup(struct http *h); /* from any thread */

/* First header of that name (any case), trimmed; NULL when absent. Borrowed. Duplicated Content-Length with unlike
 * values makes the answer HTTP_BROKEN. */
const char *http_response_header(const struct http_response *r, const char *name);

/* Another bandwidth limit from now on; 0: none. */
void http_limit(struct http *h, uint64_t bytes_per_second);

/* Totals since http_new, for reports. Index by method. */
struct http_counts {
    uint64_t get, head, put, post, delete_, connections, bytes_sent, bytes_received;
};
void http_counts(const struct http *h, struct http_counts *out);

#endif
