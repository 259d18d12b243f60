/* http_body: request bodies handed to libcurl; private to src/net. */
#ifndef NET_HTTP_BODY_H
#define NET_HTTP_BODY_H

#include "http_transfer.h"

/* CURLOPT_READFUNCTION and CURLOPT_SEEKFUNCTION; user is the struct http_transfer. */
size_t http_body_read(char *p, size_t size, size_t count, void *user);
int http_body_seek(void *user, curl_off_t offset, int origin);

#endif
