/* http_socket: libcurl says which sockets matter to it and when its next deadline is; the kernel tells which of them are
 * ready, however many there are.
 *
 * libcurl drops a socket when a request ends and asks for it again when the next one begins on the same connection. Telling
 * the kernel both would cost two calls for each request, so that a dropped socket stays in the set until something
 * happens on it. That is for sockets which come from http_socket_open: it is certain that they are closed by
 * http_socket_close, which takes them out. Any other (the resolver has one) is taken out when it is dropped, since its number
 * may then stand for something else at any time. */
#include "http_socket.h"

#include "blobferry/base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX    128 /* in one turn; the others are there in the next one */
#define WATCHES_LEAST 64

struct http_watch {
    uint32_t wanted;     /* by libcurl, in EPOLL* bits; 0: nothing */
    uint32_t registered; /* with the kernel; 0: not at all */
    uint32_t
        generation; /* of the number: tells an event of a closed socket from one of its successor */
    bool ours;      /* comes from http_socket_open */
};

/* ---- the set ------------------------------------------------------------------------------------ */

static struct http_watch *watch_of(const struct http_sockets *s, curl_socket_t fd)
{
    return fd >= 0 && (size_t)fd < s->capacity ? &s->watches[fd] : NULL;
}

static struct http_watch *watch_make(struct http_sockets *s, curl_socket_t fd)
{
    size_t capacity = s->capacity > 0 ? s->capacity : WATCHES_LEAST;
    struct http_watch *grown;

    if (fd < 0 || (size_t)fd < s->capacity)
        return watch_of(s, fd);
    while (capacity <= (size_t)fd)
        capacity *= 2;
    grown = reallocarray(s->watches, capacity, sizeof *grown);
    if (grown == NULL)
        return NULL;
    memset(grown + s->capacity, 0, (capacity - s->capacity) * sizeof *grown);
    s->watches = grown;
    s->capacity = capacity;
    return &grown[fd];
}

/* Makes the kernel's view of a socket `bits`. Trusts its own memory of it for the choice of a call only. */
static bool register_bits(struct http_sockets *s, curl_socket_t fd, struct http_watch *w,
                          uint32_t bits)
{
    struct epoll_event event = {.events = bits};
    int rc;

    event.data.u64 = ((uint64_t)w->generation << 32) | (uint32_t)fd;
    if (bits == 0) {
        rc = epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, &event);
        w->registered = 0;
        return rc == 0 || errno == ENOENT || errno == EBADF;
    }
    rc = epoll_ctl(s->epoll_fd, w->registered != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (rc != 0 && errno == ENOENT)
        rc = epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    else if (rc != 0 && errno == EEXIST)
        rc = epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    w->registered = rc == 0 ? bits : 0;
    return rc == 0;
}

/* CURLMOPT_SOCKETFUNCTION. A socket that cannot be watched ends the loop: to wait for it would be to hang. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct http_sockets *s = user;
    struct http_watch *w = watch_make(s, fd);

    (void)easy;
    (void)socket_user;
    if (w == NULL)
        return -1;
    w->wanted = what == CURL_POLL_IN      ? EPOLLIN
                : what == CURL_POLL_OUT   ? EPOLLOUT
                : what == CURL_POLL_INOUT ? EPOLLIN | EPOLLOUT
                                          : 0;
    if (w->wanted == w->registered || (w->wanted == 0 && w->ours))
        return 0;
    return register_bits(s, fd, w, w->wanted) ? 0 : -1;
}

/* CURLMOPT_TIMERFUNCTION. One millisecond more, as ours are cut off and libcurl's are not. */
static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct http_sockets *s = user;

    (void)multi;
    s->due_ms = timeout_ms < 0    ? -1
                : timeout_ms == 0 ? 0
                                  : clock_mono_ms() + (int64_t)timeout_ms + 1;
    return 0;
}

/* ---- life --------------------------------------------------------------------------------------- */

void http_socket_init(struct http_sockets *s)
{
    *s = (struct http_sockets){.epoll_fd = -1, .event_fd = -1, .due_ms = -1};
}

enum err_code http_socket_attach(struct http_sockets *s, CURLM *multi, struct err *e)
{
    struct epoll_event event = {.events = EPOLLIN};

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    event.data.u64 = (uint32_t)s->event_fd;
    if (s->epoll_fd < 0 || s->event_fd < 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->event_fd, &event) != 0)
        return err_set(e, ERR_GENERAL, "cannot watch sockets: %s", strerror(errno));
    s->multi = multi;
    if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, s) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, s) != CURLM_OK)
        return err_set(e, ERR_GENERAL, "cannot start libcurl: no socket events");
    return ERR_OK;
}

void http_socket_release(struct http_sockets *s)
{
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    if (s->event_fd >= 0)
        close(s->event_fd);
    free(s->watches);
    http_socket_init(s);
}

/* Without memory for its watch it counts as one of the others. */
curl_socket_t http_socket_open(struct http_sockets *s, const struct curl_sockaddr *address)
{
    const curl_socket_t fd =
        socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    struct http_watch *w = fd >= 0 ? watch_make(s, fd) : NULL;

    if (w != NULL) /* what the number stood for before is closed, and with that out of the set */
        *w = (struct http_watch){.ours = true, .generation = w->generation + 1};
    return fd;
}

/* Closing takes a socket out of the set only when no child process holds it at that moment, so it is said. */
int http_socket_close(struct http_sockets *s, curl_socket_t fd)
{
    struct http_watch *w = watch_of(s, fd);

    if (w != NULL) {
        if (w->registered != 0)
            register_bits(s, fd, w, 0);
        *w = (struct http_watch){.generation = w->generation + 1};
    }
    return close(fd);
}

/* ---- running ------------------------------------------------------------------------------------ */

static CURLMcode run_due(struct http_sockets *s, int *left)
{
    if (s->due_ms < 0 || (s->due_ms > 0 && s->due_ms > clock_mono_ms()))
        return CURLM_OK;
    s->due_ms = -1; /* on_timer is called again when there is another deadline */
    return curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, left);
}

static int limit_wait(const struct http_sockets *s, int wait_ms)
{
    if (s->due_ms <= 0)
        return s->due_ms == 0 ? 0 : wait_ms;
    const int64_t wait = s->due_ms - clock_mono_ms();
    return wait < 0 ? 0 : wait < wait_ms ? (int)wait : wait_ms;
}

/* As libcurl reads the result of its own poll: what broke is to be read from, where an answer may still lie. */
static int curl_bits(uint32_t events, uint32_t wanted)
{
    const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
    int bits = 0;

    if ((wanted & EPOLLIN) != 0 && ((events & EPOLLIN) != 0 || broken))
        bits |= CURL_CSELECT_IN;
    if ((wanted & EPOLLOUT) != 0 && (events & EPOLLOUT) != 0)
        bits |= CURL_CSELECT_OUT;
    if ((wanted & EPOLLOUT) != 0 && broken)
        bits |= CURL_CSELECT_ERR;
    return bits;
}

static CURLMcode take_event(struct http_sockets *s, const struct epoll_event *event, int *left)
{
    const curl_socket_t fd = (curl_socket_t)(event->data.u64 & UINT32_MAX);
    struct http_watch *w = watch_of(s, fd);
    uint64_t times;
    int bits;

    if (fd == s->event_fd) {
        (void)!read(fd, &times, sizeof times);
        return CURLM_OK;
    }
    if (w == NULL || w->generation != (uint32_t)(event->data.u64 >> 32))
        return CURLM_OK; /* closed earlier in this turn */
    bits = curl_bits(event->events, w->wanted);
    if (bits != 0)
        return curl_multi_socket_action(s->multi, fd, bits, left);
    if (w->registered != w->wanted || w->wanted == 0)
        register_bits(s, fd, w, w->wanted); /* an idle connection that the server closed */
    return CURLM_OK;
}

CURLMcode http_socket_turn(struct http_sockets *s, size_t running, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int left = (int)running;
    CURLMcode rc = run_due(s, &left);
    int n;

    if (rc != CURLM_OK)
        return rc;
    if ((size_t)left < running)
        wait_ms = 0; /* somebody waits for the answer */
    n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, limit_wait(s, wait_ms));
    if (n < 0 && errno != EINTR)
        return CURLM_UNRECOVERABLE_POLL;
    for (int i = 0; i < n && rc == CURLM_OK; i++)
        rc = take_event(s, &events[i], &left);
    return n > 0 || rc != CURLM_OK ? rc : run_due(s, &left);
}

void http_socket_wakeup(struct http_sockets *s)
{
    const uint64_t one = 1;

    (void)!write(s->event_fd, &one, sizeof one); /* when it is full, it is awake already */
}
