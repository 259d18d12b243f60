/* scripted_server: listening, the script and the record of what was asked. */
#include "harness/scripted_server.h"

#include "harness/scripted_internal.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE ((size_t)1 << 20)
#define UNSCRIPTED "HTTP/1.1 599 Unscripted\r\nContent-Length: 0\r\n\r\n"

void scripted_must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        abort();
    }
}

/* ---- life -------------------------------------------------------------------------------------- */

struct arrival {
    struct scripted *s;
    int fd;
    size_t number;
};

static void *connection_main(void *user)
{
    const struct arrival a = *(struct arrival *)user;

    free(user);
    scripted_connection_serve(a.s, a.fd, a.number);
    return NULL;
}

static void begin_connection(struct scripted *s, int fd)
{
    struct arrival *a = malloc(sizeof *a);
    pthread_attr_t small;

    scripted_must(a != NULL, "malloc");
    pthread_mutex_lock(&s->lock);
    const size_t number = s->connections++; /* counted before its thread can answer anything */
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    *a = (struct arrival){.s = s, .fd = fd, .number = number};
    s->threads = realloc(s->threads, (number + 1) * sizeof *s->threads);
    scripted_must(s->threads != NULL, "realloc");
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_SIZE);
    scripted_must(pthread_create(&s->threads[number], &small, connection_main, a) == 0,
                  "pthread_create");
    pthread_attr_destroy(&small);
}

static void *accept_main(void *user)
{
    struct scripted *s = user;
    struct pollfd p[2] = {{.fd = s->stop_event, .events = POLLIN},
                          {.fd = s->listener, .events = POLLIN}};

    for (;;) {
        if (poll(p, 2, -1) < 0)
            continue;
        if ((p[0].revents & POLLIN) != 0)
            return NULL;
        const int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            begin_connection(s, fd);
    }
}

static void listen_on_loopback(struct scripted *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct sockaddr *any = (struct sockaddr *)&address;

    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    scripted_must(s->listener >= 0 && bind(s->listener, any, size) == 0 &&
                      listen(s->listener, 128) == 0 && getsockname(s->listener, any, &size) == 0,
                  "listen");
    s->port = ntohs(address.sin_port);
}

static SSL_CTX *tls_context(const struct scripted_options *o)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    scripted_must(tls != NULL &&
                      SSL_CTX_use_certificate_file(tls, o->tls_certificate, SSL_FILETYPE_PEM) ==
                          1 &&
                      SSL_CTX_use_PrivateKey_file(tls, o->tls_key, SSL_FILETYPE_PEM) == 1,
                  "TLS context");
    if (o->tls_max_version != 0) { /* old versions are off at OpenSSL's default level */
        SSL_CTX_set_security_level(tls, 0);
        SSL_CTX_set_min_proto_version(tls, 0);
        SSL_CTX_set_max_proto_version(tls, o->tls_max_version);
    }
    return tls;
}

struct scripted *scripted_start(const struct scripted_options *o)
{
    struct scripted *s = calloc(1, sizeof *s);
    pthread_condattr_t clock;

    scripted_must(s != NULL, "calloc");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    listen_on_loopback(s);
    if (o != NULL && o->tls_certificate != NULL)
        s->tls = tls_context(o);
    s->silent = o != NULL && o->silent;
    snprintf(s->url, sizeof s->url, "%s://127.0.0.1:%d", s->tls != NULL ? "https" : "http",
             s->port);
    s->stop_event = eventfd(0, EFD_CLOEXEC);
    scripted_must(s->stop_event >= 0, "eventfd");
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &clock);
    pthread_condattr_destroy(&clock);
    scripted_must(pthread_create(&s->acceptor, NULL, accept_main, s) == 0, "pthread_create");
    return s;
}

static void free_script(struct scripted *s)
{
    struct reply *next;

    for (struct reply *p = s->replies; p != NULL; p = next) {
        next = p->next;
        free((void *)(uintptr_t)p->r.method);
        free((void *)(uintptr_t)p->r.target);
        free((void *)(uintptr_t)p->r.bytes);
        free(p);
    }
    for (size_t i = 0; i < s->count; i++) {
        free(s->requests[i]->target);
        free(s->requests[i]->header_block);
        free(s->requests[i]->body);
        free(s->requests[i]);
    }
    free(s->requests);
}

void scripted_stop(struct scripted *s)
{
    if (s == NULL)
        return;
    scripted_must(eventfd_write(s->stop_event, 1) == 0, "eventfd_write");
    pthread_join(s->acceptor, NULL);
    for (size_t i = 0; i < s->connections; i++)
        pthread_join(s->threads[i], NULL);
    free(s->threads);
    close(s->listener);
    close(s->stop_event);
    SSL_CTX_free(s->tls);
    free_script(s);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int scripted_port(const struct scripted *s)
{
    return s->port;
}

const char *scripted_url(const struct scripted *s)
{
    return s->url;
}

/* ---- the script ------------------------------------------------------------------------------- */

static char *copy_text(const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    scripted_must(text == NULL || copy != NULL, "strdup");
    return copy;
}

static char *copy_file(const char *path, size_t *length)
{
    FILE *f = fopen(path, "rbe");
    char *data = NULL;
    size_t size = 0, got;

    scripted_must(f != NULL, path);
    do {
        data = realloc(data, size + 65536);
        scripted_must(data != NULL, "realloc");
        got = fread(data + size, 1, 65536, f);
        size += got;
    } while (got > 0);
    scripted_must(ferror(f) == 0, path);
    fclose(f);
    *length = size;
    return data;
}

void scripted_add(struct scripted *s, const struct scripted_reply *r)
{
    struct reply *added = calloc(1, sizeof *added);
    struct reply **end = &s->replies;
    size_t length = r->text != NULL ? strlen(r->text) : r->length;
    char *bytes;

    scripted_must(added != NULL, "calloc");
    if (r->file != NULL && r->text == NULL && r->bytes == NULL) {
        bytes = copy_file(r->file, &length);
    } else {
        bytes = malloc(length + 1);
        scripted_must(bytes != NULL, "malloc");
        if (length > 0)
            memcpy(bytes, r->text != NULL ? r->text : r->bytes, length);
    }
    added->r = *r;
    added->r.bytes = bytes;
    added->r.length = length;
    added->r.text = added->r.file = NULL;
    added->r.method = copy_text(r->method);
    added->r.target = copy_text(r->target);
    pthread_mutex_lock(&s->lock);
    while (*end != NULL)
        end = &(*end)->next;
    *end = added;
    pthread_mutex_unlock(&s->lock);
}

void scripted_add_text(struct scripted *s, const char *raw)
{
    scripted_add(s, &(struct scripted_reply){.text = raw});
}

void scripted_add_file(struct scripted *s, const char *path)
{
    scripted_add(s, &(struct scripted_reply){.file = path});
}

void scripted_add_status(struct scripted *s, int status, const char *headers, const char *body)
{
    char *raw = NULL;
    const char *text = body != NULL ? body : "";

    scripted_must(asprintf(&raw, "HTTP/1.1 %d Scripted\r\n%sContent-Length: %zu\r\n\r\n%s", status,
                           headers != NULL ? headers : "", strlen(text), text) > 0,
                  "asprintf");
    scripted_add_text(s, raw);
    free(raw);
}

static bool fits(const struct reply *p, const struct scripted_request *q)
{
    if (p->used || p->r.immediate != (q == NULL))
        return false;
    if (q == NULL)
        return true;
    return (p->r.method == NULL || strcmp(p->r.method, q->method) == 0) &&
           (p->r.target == NULL || strstr(q->target, p->r.target) != NULL);
}

const struct scripted_reply *scripted_choose(struct scripted *s, const struct scripted_request *q)
{
    static const struct scripted_reply none = {.bytes = UNSCRIPTED,
                                               .length = sizeof UNSCRIPTED - 1};
    const struct scripted_reply *found = NULL;

    pthread_mutex_lock(&s->lock);
    for (struct reply *p = s->replies; p != NULL && found == NULL; p = p->next) {
        if (fits(p, q)) {
            p->used = !p->r.repeat;
            found = &p->r;
        }
    }
    if (found == NULL && q != NULL) {
        found = &none;
        s->unscripted++;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* ---- the record ------------------------------------------------------------------------------- */

void scripted_record(struct scripted *s, struct scripted_request *q)
{
    pthread_mutex_lock(&s->lock);
    s->requests = realloc(s->requests, (s->count + 1) * sizeof(struct scripted_request *));
    scripted_must(s->requests != NULL, "realloc");
    s->requests[s->count++] = q;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static size_t peek(struct scripted *s, const size_t *counter)
{
    pthread_mutex_lock(&s->lock);
    const size_t n = *counter;
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t scripted_count(struct scripted *s)
{
    return peek(s, &s->count);
}

size_t scripted_connections(struct scripted *s)
{
    return peek(s, &s->connections);
}

size_t scripted_unscripted(struct scripted *s)
{
    return peek(s, &s->unscripted);
}

size_t scripted_count_of(struct scripted *s, const char *method)
{
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++)
        n += strcmp(s->requests[i]->method, method) == 0;
    pthread_mutex_unlock(&s->lock);
    return n;
}

const struct scripted_request *scripted_request_at(struct scripted *s, size_t i)
{
    pthread_mutex_lock(&s->lock);
    const struct scripted_request *q = i < s->count ? s->requests[i] : NULL;
    pthread_mutex_unlock(&s->lock);
    return q;
}

bool scripted_header(const struct scripted_request *r, const char *name, char *dst, size_t size)
{
    const size_t n = strlen(name);
    const char *line = r->header_block;

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        line += n + 1;
        line += strspn(line, " \t");
        const size_t length = strcspn(line, "\r\n");
        if (length >= size)
            return false;
        memcpy(dst, line, length);
        dst[length] = '\0';
        return true;
    }
    return false;
}

static bool wait_until(struct scripted *s, const size_t *counter, size_t count, int timeout_ms)
{
    struct timespec end;
    int failed = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_nsec -= 1000000000L;
        end.tv_sec++;
    }
    pthread_mutex_lock(&s->lock);
    while (*counter < count && failed == 0)
        failed = pthread_cond_timedwait(&s->changed, &s->lock, &end);
    const bool there = *counter >= count;
    pthread_mutex_unlock(&s->lock);
    return there;
}

bool scripted_wait(struct scripted *s, size_t count, int timeout_ms)
{
    return wait_until(s, &s->count, count, timeout_ms);
}

bool scripted_wait_connections(struct scripted *s, size_t count, int timeout_ms)
{
    return wait_until(s, &s->connections, count, timeout_ms);
}
