/* http_response: takes in what the server says, within bounds; private to src/net. */
#ifndef NET_HTTP_RESPONSE_H
#define NET_HTTP_RESPONSE_H

#include "blobferry/net/http.h"

#define HTTP_RESPONSE_HEADER_MAX ((size_t)64 * 1024)

struct http_intake {
    struct http_response *response;
    http_sink_fn *sink;
    void *user;
    size_t body_max;
    size_t header_bytes;    /* over all header blocks, interim ones too */
    int block_status;       /* of the block that is being read */
    bool head_done;         /* the final header block is there */
    bool bodiless;          /* HEAD, 204, 304 */
    bool chunked;           /* any Transfer-Encoding */
    int64_t content_length; /* -1: not given */
    uint64_t dropped;
    bool sink_refused;
    const char *fault; /* why we refused the answer, or NULL; static text */
};

void http_response_begin(struct http_intake *in, struct http_response *r,
                         const struct http_request *q);
void http_response_release(struct http_response *r);
/* CURLOPT_HEADERFUNCTION and CURLOPT_WRITEFUNCTION; user is the struct http_intake. */
size_t http_response_take_header(char *p, size_t size, size_t count, void *user);
size_t http_response_take_body(char *p, size_t size, size_t count, void *user);
/* All that the server announced has arrived, whatever became of the connection. */
bool http_response_is_whole(const struct http_intake *in);

#endif
