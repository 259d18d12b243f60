/* http_rescue: a server that refuses a large upload says so, then resets the connection. When the reset arrives between
 * libcurl's look for an answer and its next send, libcurl 7.88 reports the failed send and closes the socket with the
 * refusal still in its receive queue, where Linux keeps it. Read it there, or a wrong secret would look like a broken
 * network and be retried. Plain HTTP only: behind TLS the bytes mean nothing here. */
#include "http_rescue.h"

#include "http_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

int http_rescue_note(void *user, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct http_transfer *t = user;

    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    /* When a kept connection dies, libcurl sends the request once more by itself. It may have arrived the first time:
     * whoever asked for a change must look before it is asked for again (P6). */
    if (t->local_port != 0 && strcmp(t->request.method, "GET") != 0 &&
        strcmp(t->request.method, "HEAD") != 0) {
        t->intake.fault = "the connection was lost before an answer";
        return CURL_PREREQFUNC_ABORT;
    }
    t->local_port = local_port;
    buf_reset(
        &t->unread); /* libcurl tries again on another connection: what the dead one said is void */
    return CURL_PREREQFUNC_OK;
}

static int local_port_of(curl_socket_t fd)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    socklen_t size = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return -1;
    if (address.ss_family == AF_INET) {
        memcpy(&v4, &address, sizeof v4);
        return ntohs(v4.sin_port);
    }
    memcpy(&v6, &address, sizeof v6);
    return address.ss_family == AF_INET6 ? ntohs(v6.sin6_port) : -1;
}

/* The upload over plain HTTP that runs on this connection and has not seen one byte of an answer. */
static struct http_transfer *find(const struct http_setup *setup, curl_socket_t fd)
{
    const int port = local_port_of(fd);
    struct http_transfer *t = NULL;

    TAILQ_FOREACH(t, setup->running, entry)
    {
        if (t->local_port == port && port > 0 && t->request.length > 0 &&
            t->intake.header_bytes == 0 && strncasecmp(t->url, "http://", 7) == 0)
            return t;
    }
    return NULL;
}

/* Header lines up to the end of the final block; what is left is body. */
static const char *take_headers(struct http_intake *in, char *p, const char *end)
{
    while (!in->head_done && p < end) {
        char *line_end = memchr(p, '\n', (size_t)(end - p));
        if (line_end == NULL)
            return NULL;
        const size_t n = (size_t)(line_end - p) + 1;
        if (http_response_take_header(p, 1, n, in) != n)
            return NULL;
        p += n;
    }
    return in->head_done ? p : NULL;
}

void http_rescue_answer(struct http_transfer *t)
{
    struct http_intake *in = &t->intake;
    struct buf *unread = &t->unread;
    const char *body;

    if (in->header_bytes > 0 || unread->len < 9 || memcmp(unread->data, "HTTP/1.", 7) != 0)
        return;
    body = take_headers(in, unread->data, unread->data + unread->len);
    if (body == NULL || in->bodiless || in->chunked || in->content_length < 0 ||
        in->response->status < 300)
        return;
    const size_t at = (size_t)(body - unread->data);
    size_t n = unread->len - at;
    if (n > (uint64_t)in->content_length)
        n = (size_t)in->content_length;
    http_response_take_body(unread->data + at, 1, n, in);
}

int http_rescue_close(void *user, curl_socket_t fd)
{
    const struct http_setup *setup = user;
    struct http_transfer *t = find(setup, fd);
    char chunk[16384];
    ssize_t got;

    if (t != NULL) {
        do {
            got = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
        } while ((got < 0 && errno == EINTR) ||
                 (got > 0 && buf_append(&t->unread, chunk, (size_t)got)));
    }
    return http_socket_close(setup->sockets, fd);
}
