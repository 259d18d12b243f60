/* http_socket: what libcurl waits for, in one epoll set; private to src/net. Belongs to the loop's thread, but for
 * http_socket_wakeup. */
#ifndef NET_HTTP_SOCKET_H
#define NET_HTTP_SOCKET_H

#include "blobferry/base/err.h"

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>

struct http_watch;

struct http_sockets {
    CURLM *multi; /* the loop's; NULL until attached */
    int epoll_fd, event_fd;
    int64_t due_ms;             /* when libcurl wants to be called without an event; -1: never */
    struct http_watch *watches; /* by number of the descriptor */
    size_t capacity;
};

/* After that http_socket_release is safe, whatever follows. */
void http_socket_init(struct http_sockets *s);
enum err_code http_socket_attach(struct http_sockets *s, CURLM *multi, struct err *e);
/* After curl_multi_cleanup, which still closes sockets. */
void http_socket_release(struct http_sockets *s);
/* A socket that libcurl will close by nothing but http_socket_close. */
curl_socket_t http_socket_open(struct http_sockets *s, const struct curl_sockaddr *address);
int http_socket_close(struct http_sockets *s, curl_socket_t fd);
/* What libcurl's own clock asks for, then what has happened on the sockets; when there is nothing of either, wait for it,
 * for at most wait_ms. `running`: how many transfers have not ended, as far as the caller knows. */
CURLMcode http_socket_turn(struct http_sockets *s, size_t running, int wait_ms);
void http_socket_wakeup(struct http_sockets *s); /* from any thread */

#endif
