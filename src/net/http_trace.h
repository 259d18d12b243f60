/* http_trace: libcurl's dialogue on stderr without credentials (P8); private to src/net. */
#ifndef NET_HTTP_TRACE_H
#define NET_HTTP_TRACE_H

#include "blobferry/base/buf.h"

#include <curl/curl.h>

/* CURLOPT_DEBUGFUNCTION; writes to stderr. Bodies are never shown: S3's ExpiredToken echoes the session token. */
int http_trace_write(CURL *easy, curl_infotype type, char *p, size_t n, void *user);
/* The lines of one such event as they are to be shown, each with `mark` before it. */
void http_trace_format(struct buf *out, char mark, const char *p, size_t n);

#endif
