/* Connections of the sink: one epoll loop per thread, over plain TCP or TLS. */
#include "sink.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURN_BYTES = 4 << 20 }; /* read of one connection before the others have their turn */

struct sink_conn {
    int fd;
    SSL *ssl;
    bool ready; /* the handshake is done */
    char in[SINK_HEAD_MAX];
    size_t in_len;
    size_t head_len; /* 0: the head has not come yet */
    struct sink_head head;
    struct sink_body body;
    struct sink_text xml;
    struct sink_text out;
    size_t out_sent;
    bool waiting; /* in the queue of answers due later */
    bool gone;    /* closed while waiting */
    bool close;   /* after the answer */
    uint32_t events;
    uint64_t due_ns;
    struct sink_conn *next_due;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void watch(struct sink_loop *loop, struct sink_conn *conn, uint32_t events)
{
    if (conn->events == events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = conn};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    conn->events = events;
}

static void conn_free(struct sink_loop *loop, struct sink_conn *conn)
{
    if (conn->fd >= 0) {
        SSL_free(conn->ssl);
        conn->ssl = NULL;
        close(conn->fd);
        conn->fd = -1;
        atomic_fetch_sub(&loop->store->open_now, 1);
    }
    conn->gone = true;
    if (conn->waiting)
        return; /* freed when its turn comes */
    sink_head_release(&conn->head);
    sink_body_release(&conn->body);
    sink_text_release(&conn->xml);
    sink_text_release(&conn->out);
    free(conn);
}

static void accept_one(struct sink_loop *loop)
{
    int one = 1, fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct sink_conn *conn = malloc(sizeof *conn);
    if (!conn)
        abort();
    memset(conn, 0, offsetof(struct sink_conn, in)); /* `in` need not be touched */
    memset((char *)conn + offsetof(struct sink_conn, in_len), 0,
           sizeof *conn - offsetof(struct sink_conn, in_len));
    conn->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (loop->tls) {
        conn->ssl = SSL_new(loop->tls);
        if (!conn->ssl || !SSL_set_fd(conn->ssl, fd))
            abort();
        SSL_set_accept_state(conn->ssl);
    }
    conn->ready = !loop->tls;
    conn->events = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
    atomic_fetch_add(&loop->store->connections, 1);
    unsigned long open_now = atomic_fetch_add(&loop->store->open_now, 1) + 1;
    unsigned long peak = atomic_load(&loop->store->open_peak);
    while (open_now > peak &&
           !atomic_compare_exchange_weak(&loop->store->open_peak, &peak, open_now))
        ;
}

/* Bytes read; 0 at the end or on an error; -1 to try again. With `drop` the kernel may throw them away. */
static ssize_t conn_read(struct sink_conn *conn, char *data, size_t size, bool drop)
{
    if (conn->ssl) {
        int n = SSL_read(conn->ssl, data, (int)size);
        if (n > 0)
            return n;
        int why = SSL_get_error(conn->ssl, n);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
    }
    ssize_t n = recv(conn->fd, data, size, drop ? MSG_TRUNC : 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -1 : 0;
    return n;
}

/* False if the connection is to be closed. */
static bool conn_flush(struct sink_loop *loop, struct sink_conn *conn)
{
    while (conn->out_sent < conn->out.len) {
        const char *data = conn->out.data + conn->out_sent;
        size_t len = conn->out.len - conn->out_sent;
        ssize_t n;
        if (conn->ssl) {
            n = SSL_write(conn->ssl, data, len > 1 << 20 ? 1 << 20 : (int)len);
            if (n <= 0 && SSL_get_error(conn->ssl, (int)n) != SSL_ERROR_WANT_WRITE)
                return false;
        } else {
            n = send(conn->fd, data, len, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                return false;
        }
        if (n <= 0) {
            watch(loop, conn, EPOLLOUT);
            return true;
        }
        conn->out_sent += (size_t)n;
    }
    conn->out.len = conn->out_sent = 0;
    watch(loop, conn, EPOLLIN);
    return !conn->close;
}

static void render(struct sink_conn *conn, const struct sink_answer *answer)
{
    static _Thread_local char date[64];
    static _Thread_local time_t dated;
    time_t now = time(NULL);
    if (now != dated) {
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        dated = now;
    }
    sink_text_printf(&conn->out,
                     "HTTP/1.1 %d %s\r\nServer: sink\r\nDate: %s\r\nx-amz-request-id: sink\r\n"
                     "Content-Length: %" PRIu64 "\r\n%s%s%s\r\n",
                     answer->status, answer->status < 300 ? "OK" : "Error", date, answer->length,
                     answer->headers, answer->object_headers ? answer->object_headers : "",
                     conn->close ? "Connection: close\r\n" : "");
    if (answer->body.len)
        sink_text_printf(&conn->out, "%s", answer->body.data);
}

/* The body has come: answers now, or queues the answer. False if the connection is to be closed. */
static bool conn_answer(struct sink_loop *loop, struct sink_conn *conn)
{
    char sha256[SINK_SHA_HEX];
    struct sink_answer answer = {0};
    sink_body_end(&conn->body, sha256);
    conn->close = conn->head.close || conn->head.chunked;
    pthread_mutex_lock(&loop->store->lock);
    sink_s3_answer(loop->store, &conn->head, sha256, &conn->xml, &answer);
    render(conn, &answer);
    pthread_mutex_unlock(&loop->store->lock);
    sink_text_release(&answer.body);
    sink_text_release(&conn->xml);
    bool ours = strncmp(conn->head.path, "__", 2) == 0;
    sink_head_release(&conn->head);
    conn->in_len -= conn->head_len;
    memmove(conn->in, conn->in + conn->head_len, conn->in_len);
    conn->head_len = 0;
    if (!loop->options->latency_ms || ours)
        return conn_flush(loop, conn);
    conn->due_ns = now_ns() + loop->options->latency_ms * UINT64_C(1000000);
    conn->waiting = true;
    conn->next_due = NULL;
    *(loop->first_due ? &loop->last_due->next_due : &loop->first_due) = conn;
    loop->last_due = conn;
    watch(loop, conn, 0);
    return true;
}

/* A whole head lies in `in`: what of the body came along is taken. False if it is none. */
static bool conn_head(struct sink_loop *loop, struct sink_conn *conn)
{
    int n = sink_head_parse(&conn->head, conn->in, conn->in_len);
    if (n <= 0)
        return n == 0;
    conn->head_len = (size_t)n;
    bool keep = conn->head.method == SINK_POST;
    sink_body_start(&conn->body, &conn->head, loop->options->check, keep ? &conn->xml : NULL);
    if (conn->head.chunked)
        conn->body.left = 0;
    size_t rest = conn->in_len - conn->head_len;
    if (rest > conn->body.left)
        rest = (size_t)conn->body.left;
    sink_body_feed(&conn->body, conn->in + conn->head_len, rest);
    conn->head_len += rest;
    if (conn->head.expect && conn->body.left)
        sink_text_printf(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

/* Reads and answers until nothing is there. False if the connection is to be closed. */
static bool conn_serve(struct sink_loop *loop, struct sink_conn *conn)
{
    size_t turn = 0;
    for (;;) {
        if (!conn->head_len && conn->in_len && !conn_head(loop, conn))
            return false;
        if (conn->out.len && conn->head_len && conn->body.left && !conn_flush(loop, conn))
            return false; /* 100-continue */
        if (conn->head_len && !conn->body.left) {
            if (!conn_answer(loop, conn))
                return false;
            if (conn->waiting || conn->out.len)
                return true;
            continue;
        }
        bool in_body = conn->head_len > 0;
        char *to = in_body ? loop->scratch : conn->in + conn->in_len;
        size_t room = in_body ? SINK_SCRATCH : SINK_HEAD_MAX - conn->in_len;
        if (in_body && room > conn->body.left)
            room = (size_t)conn->body.left;
        if (room == 0)
            return false;
        ssize_t n = conn_read(conn, to, room, in_body && !sink_body_looks(&conn->body));
        if (n <= 0)
            return n < 0;
        if (in_body)
            sink_body_feed(&conn->body, to, (size_t)n);
        else
            conn->in_len += (size_t)n;
        turn += (size_t)n;
        /* TLS may hold bytes that epoll does not know of: only plain connections give way. */
        if (turn > TURN_BYTES && !conn->ssl && conn->head_len && conn->body.left)
            return true;
    }
}

static void conn_event(struct sink_loop *loop, struct sink_conn *conn, uint32_t events)
{
    bool keep = true;
    if (conn->waiting) {
        keep = !(events & (EPOLLHUP | EPOLLERR));
    } else {
        if (events & EPOLLOUT && conn->out.len)
            keep = conn_flush(loop, conn);
        if (keep && !conn->out.len)
            keep = conn_serve(loop, conn);
    }
    if (!keep)
        conn_free(loop, conn);
}

/* Sends what is due; returns the milliseconds until the next, at most a second. */
static int send_due(struct sink_loop *loop)
{
    while (loop->first_due) {
        struct sink_conn *conn = loop->first_due;
        uint64_t now = now_ns();
        if (conn->due_ns > now) {
            uint64_t ms = (conn->due_ns - now) / 1000000u + 1;
            return ms < 1000 ? (int)ms : 1000;
        }
        loop->first_due = conn->next_due;
        conn->waiting = false;
        if (conn->gone || !conn_flush(loop, conn) || (!conn->out.len && !conn_serve(loop, conn)))
            conn_free(loop, conn);
    }
    return 1000;
}

void sink_loop_run(struct sink_loop *loop)
{
    struct epoll_event events[256];
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->scratch = sink_alloc(1, SINK_SCRATCH);
    struct epoll_event listen_event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = NULL};
    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->listener, &listen_event);
    while (!atomic_load(loop->stop)) {
        int n = epoll_wait(loop->epoll, events, 256, send_due(loop));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                conn_event(loop, events[i].data.ptr, events[i].events);
            else
                accept_one(loop);
        }
    }
    close(loop->epoll);
    free(loop->scratch);
}
