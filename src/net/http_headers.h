/* http_headers: a request's headers as libcurl wants them, checked, in one piece of memory; private to src/net. */
#ifndef NET_HTTP_HEADERS_H
#define NET_HTTP_HEADERS_H

#include "blobferry/net/http.h"

#include <curl/curl.h>

struct http_headers {
    struct curl_slist *list; /* the first of its nodes begins the block */
    size_t size;             /* of the block */
};

/* ERR_GENERAL: a header that must not be sent, by its place in the request; ERR_NOMEM. */
enum err_code http_headers_make(struct http_headers *h, const struct http_request *q,
                                struct err *e);
void http_headers_release(struct http_headers *h);

#endif
