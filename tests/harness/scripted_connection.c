/* scripted_connection: one connection of the scripted server, in its own thread. */
#include "harness/scripted_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_MAX    ((size_t)1 << 20)
#define BODY_KEPT_MAX ((size_t)4 << 20)
#define CHUNK         ((size_t)65536)
#define SLICE_MS      50 /* how often a slow connection moves */

struct connection {
    struct scripted *s;
    int fd;
    size_t number;
    SSL *ssl;
    char *in; /* what was read and not yet used */
    size_t in_len, in_cap;
};

static void *grow(void *p, size_t n)
{
    void *bigger = realloc(p, n);
    scripted_must(bigger != NULL, "realloc");
    return bigger;
}

static char *copy_bytes(const void *p, size_t n)
{
    char *copy = grow(NULL, n + 1);
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

/* Until one of the events (0: none) or the time is there; false when the server is to stop. */
static bool wait_for(const struct connection *c, short events, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = c->s->stop_event, .events = POLLIN},
                          {.fd = c->fd, .events = events}};
    int got;

    do {
        got = poll(p, events != 0 ? 2 : 1, timeout_ms);
    } while (got < 0 && errno == EINTR);
    return (p[0].revents & POLLIN) == 0;
}

/* Bytes read, 0 at the end of the stream or of the server. */
static size_t read_some(struct connection *c, void *p, size_t n)
{
    ssize_t got;

    if ((c->ssl == NULL || SSL_pending(c->ssl) == 0) && !wait_for(c, POLLIN, -1))
        return 0;
    got = c->ssl != NULL ? SSL_read(c->ssl, p, (int)n) : read(c->fd, p, n);
    return got > 0 ? (size_t)got : 0;
}

static bool write_all(struct connection *c, const char *p, size_t n)
{
    while (n > 0) {
        const size_t want = n < CHUNK ? n : CHUNK;
        ssize_t put;

        if (!wait_for(c, POLLOUT, -1))
            return false;
        if (c->ssl != NULL)
            put = SSL_write(c->ssl, p, (int)want);
        else
            put = send(c->fd, p, want, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && c->ssl == NULL && (errno == EAGAIN || errno == EINTR))
            continue;
        if (put <= 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static size_t slice_of(size_t bytes_per_second)
{
    return bytes_per_second * SLICE_MS / 1000 + 1;
}

static bool send_paced(struct connection *c, const char *p, size_t n, size_t bytes_per_second)
{
    if (bytes_per_second == 0)
        return write_all(c, p, n);
    while (n > 0) {
        const size_t slice = slice_of(bytes_per_second);
        const size_t now = n < slice ? n : slice;
        if (!write_all(c, p, now) || !wait_for(c, 0, SLICE_MS))
            return false;
        p += now;
        n -= now;
    }
    return true;
}

/* ---- requests --------------------------------------------------------------------------------- */

/* Length of the header block in c->in, reading until it is there; 0 when the client went. */
static size_t read_header_block(struct connection *c)
{
    for (;;) {
        const char *end = c->in_len > 3 ? memmem(c->in, c->in_len, "\r\n\r\n", 4) : NULL;
        if (end != NULL)
            return (size_t)(end - c->in) + 4;
        scripted_must(c->in_len < HEADER_MAX, "header block too large");
        if (c->in_cap - c->in_len < CHUNK) {
            c->in_cap += 2 * CHUNK;
            c->in = grow(c->in, c->in_cap);
        }
        const size_t got = read_some(c, c->in + c->in_len, CHUNK);
        if (got == 0)
            return 0;
        c->in_len += got;
    }
}

static void consume(struct connection *c, size_t n)
{
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
}

static struct scripted_request *request_from(struct connection *c, size_t header_len)
{
    struct scripted_request *q = calloc(1, sizeof *q);
    char number[32];

    scripted_must(q != NULL, "calloc");
    q->header_block = copy_bytes(c->in, header_len);
    consume(c, header_len);
    const char *line = q->header_block;
    const size_t method = strcspn(line, " \r\n");
    scripted_must(method < sizeof q->method, "method too long");
    memcpy(q->method, line, method);
    line += method + (line[method] == ' ');
    q->target = copy_bytes(line, strcspn(line, " \r\n"));
    q->body = (unsigned char *)copy_bytes("", 0);
    q->content_length = UINT64_MAX;
    q->connection = c->number;
    if (scripted_header(q, "Content-Length", number, sizeof number))
        q->content_length = strtoull(number, NULL, 10);
    return q;
}

static void keep_body(struct scripted_request *q, const char *p, size_t n)
{
    const size_t room = BODY_KEPT_MAX - q->body_kept;
    const size_t kept = n < room ? n : room;

    q->body_length += n;
    if (kept == 0)
        return;
    q->body = grow(q->body, q->body_kept + kept + 1);
    memcpy(q->body + q->body_kept, p, kept);
    q->body_kept += kept;
    q->body[q->body_kept] = '\0';
}

/* As far as the client sends it; false when it stopped short. */
static bool read_body(struct connection *c, struct scripted_request *q, size_t bytes_per_second)
{
    const uint64_t length = q->content_length == UINT64_MAX ? 0 : q->content_length;
    const size_t want = bytes_per_second > 0 ? slice_of(bytes_per_second) : CHUNK;
    char *chunk = grow(NULL, want);
    bool ok = true;

    while (ok && q->body_length < length) {
        const uint64_t left = length - q->body_length;
        if (c->in_len > 0) {
            const size_t n = c->in_len < left ? c->in_len : (size_t)left;
            keep_body(q, c->in, n);
            consume(c, n);
            continue;
        }
        const size_t got = read_some(c, chunk, left < want ? (size_t)left : want);
        keep_body(q, chunk, got);
        ok = got > 0 && (bytes_per_second == 0 || wait_for(c, 0, SLICE_MS));
    }
    free(chunk);
    return ok;
}

static void skip_body(struct connection *c, uint64_t content_length)
{
    struct scripted_request rest = {.content_length = content_length};

    read_body(c, &rest, 0);
    free(rest.body);
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* True when the client cannot know the end of this answer but by a close, or is told of one. */
static bool must_close(const struct scripted_reply *r, const struct scripted_request *q)
{
    char *head = copy_bytes(r->bytes, r->length);
    char *end = strstr(head, "\r\n\r\n");
    if (end != NULL)
        *end = '\0';
    const char *code = r->length > 12 ? head + 9 : "";
    const bool bodiless = code[0] == '1' || strncmp(code, "204", 3) == 0 ||
                          strncmp(code, "304", 3) == 0 ||
                          (q != NULL && strcmp(q->method, "HEAD") == 0);
    const bool framed = strcasestr(head, "\r\nContent-Length:") != NULL ||
                        strcasestr(head, "\r\nTransfer-Encoding: chunked") != NULL;
    const bool told = strcasestr(head, "\r\nConnection: close") != NULL;
    free(head);
    return r->length == 0 || told || !(framed || bodiless);
}

/* True when the connection may serve another request. */
static bool answer(struct connection *c, const struct scripted_reply *r,
                   const struct scripted_request *q)
{
    const size_t n = r->stop_after > 0 && r->stop_after < r->length ? r->stop_after : r->length;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (r->delay_ms > 0 && !wait_for(c, 0, r->delay_ms))
        return false;
    if (!send_paced(c, r->bytes, n, r->bytes_per_second))
        return false;
    if (r->endless) {
        char filler[4096];
        memset(filler, 'x', sizeof filler);
        while (send_paced(c, filler, sizeof filler, r->bytes_per_second))
            ;
        return false;
    }
    if (r->hang) {
        wait_for(c, POLLRDHUP, -1);
        return false;
    }
    if (r->reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else if (r->close || n < r->length || must_close(r, q))
        shutdown(c->fd, SHUT_WR);
    else
        return true;
    return false;
}

static void serve(struct connection *c)
{
    const struct scripted_reply *r = scripted_choose(c->s, NULL);
    bool answered = r != NULL;
    bool more = !answered || answer(c, r, NULL);

    while (more) {
        const size_t header_len = read_header_block(c);
        if (header_len == 0)
            return;
        struct scripted_request *q = request_from(c, header_len);
        r = answered ? NULL : scripted_choose(c->s, q);
        const bool early = r != NULL && r->early;
        more = early || read_body(c, q, r != NULL ? r->bytes_per_second : 0);
        scripted_record(c->s, q);
        if (more && r != NULL)
            more = answer(c, r, q);
        if (more && early)
            skip_body(c, q->content_length);
        answered = false;
    }
}

/* Without this, closing a socket with unread bytes would send RST and could take back the answer. */
static void drain(struct connection *c)
{
    char scratch[4096];
    struct linger linger = {0};
    socklen_t size = sizeof linger;

    getsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, &size);
    if (linger.l_onoff != 0)
        return;
    shutdown(c->fd, SHUT_WR);
    while (wait_for(c, POLLIN, -1) && read(c->fd, scratch, sizeof scratch) > 0)
        ;
}

void scripted_connection_serve(struct scripted *s, int fd, size_t number)
{
    struct connection c = {.s = s, .fd = fd, .number = number};
    const int one = 1;
    bool talks = !s->silent;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!talks)
        wait_for(&c, POLLRDHUP, -1);
    if (talks && s->tls != NULL) {
        c.ssl = SSL_new(s->tls);
        scripted_must(c.ssl != NULL && SSL_set_fd(c.ssl, fd) == 1, "SSL_new");
        talks = wait_for(&c, POLLIN, -1) && SSL_accept(c.ssl) == 1;
    }
    if (talks)
        serve(&c);
    SSL_free(c.ssl);
    drain(&c);
    close(fd);
    free(c.in);
}
