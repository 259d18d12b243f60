/* A TCP proxy between libpq and the server that cuts the connection at a chosen moment, once: before a statement reaches the server, after
 * the server has answered it, or as soon as it has been passed on. */
#ifndef BLOBFERRY_TEST_POSTGRES_PROXY_H
#define BLOBFERRY_TEST_POSTGRES_PROXY_H

#include "contract/tracker_postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum cut {
    CUT_NEVER,
    CUT_BEFORE, /* the server never sees it */
    CUT_AFTER,  /* the server has answered; the client does not hear it */
    CUT_UNHEARD /* passed on, and the client is gone at once */
};
struct proxy {
    int listener, port, server_port;
    pthread_t thread;
    atomic_int cut;
    atomic_int skip; /* so many statements with that text pass before the cut */
    char text[64];   /* what the statement holds that is meant; "COMMIT" is all of it */
    atomic_int cuts, connections;
    atomic_bool ending;
};

static int proxy_dial(int port)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool proxy_pass(int to, const char *bytes, ssize_t n)
{
    while (n > 0) {
        ssize_t sent = send(to, bytes, (size_t)n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        n -= sent;
    }
    return true;
}

/* The statement is on its way: what becomes of the connection? True: go on. */
static bool proxy_meet(struct proxy *p, int server, const char *bytes, ssize_t n)
{
    char answer[4096];

    /* BEGIN … READ COMMITTED is another one */
    const size_t length = strlen(p->text) + (strcmp(p->text, "COMMIT") == 0);
    if (atomic_load(&p->cut) == CUT_NEVER || memmem(bytes, (size_t)n, p->text, length) == NULL ||
        atomic_fetch_sub(&p->skip, 1) > 0)
        return proxy_pass(server, bytes, n);
    const int cut = atomic_exchange(&p->cut, CUT_NEVER);
    atomic_fetch_add(&p->cuts, 1);
    if (cut != CUT_BEFORE)
        proxy_pass(server, bytes, n);
    if (cut == CUT_AFTER) {
        struct pollfd w = {.fd = server, .events = POLLIN};
        poll(&w, 1, 10000);
        if (recv(server, answer, sizeof answer, 0) < 0)
            return false;
    }
    return false;
}

static void proxy_serve(struct proxy *p, int client)
{
    const int server = proxy_dial(p->server_port);
    char bytes[65536];
    bool going = server >= 0;

    atomic_fetch_add(&p->connections, 1);
    while (going && !atomic_load(&p->ending)) {
        struct pollfd w[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        if (poll(w, 2, 20) <= 0)
            continue;
        if (w[0].revents != 0) {
            const ssize_t n = recv(client, bytes, sizeof bytes, 0);
            going = n > 0 && proxy_meet(p, server, bytes, n);
        }
        if (going && w[1].revents != 0) {
            const ssize_t n = recv(server, bytes, sizeof bytes, 0);
            going = n > 0 && proxy_pass(client, bytes, n);
        }
    }
    close(client);
    if (server >= 0)
        close(server);
}

/* One connection at a time: the tracker has one. */
static void *proxy_run(void *user)
{
    struct proxy *p = user;

    while (!atomic_load(&p->ending)) {
        struct pollfd w = {.fd = p->listener, .events = POLLIN};
        if (poll(&w, 1, 20) <= 0)
            continue;
        int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            proxy_serve(p, client);
    }
    return NULL;
}

/* Starts it in front of f->url's server and leads f->url through it. */
static void proxy_start(struct proxy *p, struct fixture *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    char url[512];

    memset(p, 0, sizeof *p);
    str_copy(url, sizeof url, f->url);
    char *port = strrchr(url, ':'), *rest = strrchr(url, '/');
    assert_non_null(port);
    assert_non_null(rest);
    p->server_port = (int)strtol(port + 1, NULL, 10);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &size), 0);
    p->port = ntohs(a.sin_port);
    *port = '\0';
    const int n = snprintf(f->url, sizeof f->url, "%s:%d/%s", url, p->port, rest + 1);
    assert_true(n > 0 && (size_t)n < sizeof f->url);
    assert_int_equal(pthread_create(&p->thread, NULL, proxy_run, p), 0);
}

static void proxy_cut(struct proxy *p, enum cut cut, const char *text, int skip)
{
    str_copy(p->text, sizeof p->text, text);
    atomic_store(&p->skip, skip);
    atomic_store(&p->cut, cut);
}

static void proxy_stop(struct proxy *p)
{
    atomic_store(&p->ending, true);
    pthread_join(p->thread, NULL);
    close(p->listener);
}

#endif
