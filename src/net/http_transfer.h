/* http_transfer: one request on one easy handle, from options to verdict; private to src/net. */
#ifndef NET_HTTP_TRANSFER_H
#define NET_HTTP_TRANSFER_H

#include "http_headers.h"
#include "http_pace.h"
#include "http_response.h"

#include <curl/curl.h>
#include <sys/queue.h>

struct http_sockets;

TAILQ_HEAD(http_transfers, http_transfer);
TAILQ_HEAD(http_paused, http_transfer);

/* Requests that are set up alike. */
enum http_shape {
    HTTP_FIELDS, /* the body is in memory, or there is an empty one */
    HTTP_STREAM, /* … goes through the read callback */
    HTTP_HEAD,
    HTTP_PLAIN,
    HTTP_SHAPES
};

/* What all transfers of a loop have in common. */
struct http_setup {
    char *ca_file; /* owned by the loop; NULL: system */
    long connect_timeout_ms;
    long stall_s;
    long low_speed; /* bytes per second */
    bool verbose;
    struct http_pace pace;
    struct http_transfers *running; /* the loop's, as is … */
    struct http_sockets *sockets;   /* … that */
};

struct http_transfer {
    TAILQ_ENTRY(http_transfer) entry; /* in the loop's queue or among its running ones */
    TAILQ_ENTRY(http_transfer) paused_entry;
    bool paused; /* waits for http_pace; then also in the loop's paused list */
    struct http_paused *paused_list;

    CURL *easy;                  /* NULL until started; given back by the loop */
    enum http_shape shape;       /* of easy */
    struct http_headers headers; /* owned */
    char *url;                   /* owned */
    struct http_request request; /* method is a static string; url, headers not to be used */
    struct http_setup *setup;
    http_done_fn *done;
    void *user;

    uint64_t handed; /* body bytes given to libcurl by the read callback */
    bool read_failed;
    int local_port;    /* of the connection it goes out on; 0: not yet */
    struct buf unread; /* see http_rescue.h */
    struct http_intake intake;
    struct http_response response;
    char error[CURL_ERROR_SIZE];
};

/* Checks and copies the request. */
enum err_code http_transfer_new(struct http_transfer **out, const struct http_request *q,
                                http_done_fn *done, void *user, struct err *e);
void http_transfer_free(struct http_transfer *t);
enum http_shape http_transfer_shape(const struct http_transfer *t, const struct http_setup *setup);
/* Options of all requests of that shape, for a fresh handle. */
CURLcode http_transfer_setup(CURL *easy, struct http_setup *setup, enum http_shape shape);
/* The request's own options; `easy` has been set up for its shape. */
CURLcode http_transfer_prepare(struct http_transfer *t, CURL *easy, struct http_setup *setup,
                               struct http_paused *paused);
/* The handle is to be used again: nothing of this transfer stays with it. */
void http_transfer_detach(struct http_transfer *t);
/* Fills t->response from what libcurl said. */
void http_transfer_conclude(struct http_transfer *t, CURLcode result);
/* For a transfer that was never started or is stopped on the way. */
void http_transfer_cancel(struct http_transfer *t);

#endif
