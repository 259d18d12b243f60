/* talk: a loop and a scripted server, and what came of a request. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_UNIT_NET_TALK_H
#define BLOBFERRY_TESTS_UNIT_NET_TALK_H

#include "blobferry/base/clock.h"
#include "blobferry/net/http.h"
#include "harness/scripted_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TALK_LIMIT_MS 20000 /* a test that hangs fails by then */
#define OK_REPLY      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* A copy of the response, for the callback's is gone with it. */
struct answer {
    int calls;
    enum http_fault fault;
    int status, local_errno;
    char text[256];
    char *body;
    size_t body_len;
    bool truncated;
    uint64_t sent, received;
    int64_t elapsed_us;
    char etag[128];
    bool has_etag;
};

struct talk {
    struct scripted *s;
    struct http *h;
    char url[1024];
    struct answer a; /* of talk_do */
};

static inline void answer_release(struct answer *a)
{
    free(a->body);
    *a = (struct answer){0};
}

static inline void answer_take(void *user, const struct http_response *r)
{
    struct answer *a = user;
    const char *etag = http_response_header(r, "etag");
    a->calls++;
    a->fault = r->fault;
    a->status = r->status;
    a->local_errno = r->local_errno;
    (void)snprintf(a->text, sizeof a->text, "%s", r->fault_text);
    free(a->body);
    a->body = malloc(r->body.len + 1);
    assert_non_null(a->body);
    memcpy(a->body, buf_cstr(&r->body), r->body.len + 1);
    a->body_len = r->body.len;
    a->truncated = r->body_truncated;
    a->sent = r->bytes_sent;
    a->received = r->bytes_received;
    a->elapsed_us = r->elapsed_us;
    a->has_etag = etag != NULL;
    (void)snprintf(a->etag, sizeof a->etag, "%s", etag != NULL ? etag : "");
}

static inline struct http *talk_loop(const struct http_options *o)
{
    struct http *h = NULL;
    struct err e;
    err_init(&e);
    assert_int_equal(http_new(&h, o, &e), ERR_OK);
    assert_non_null(h);
    return h;
}

static inline void talk_open(struct talk *t, const struct http_options *o)
{
    static const struct http_options defaults;
    memset(t, 0, sizeof *t);
    t->s = scripted_start(NULL);
    t->h = talk_loop(o != NULL ? o : &defaults);
    (void)snprintf(t->url, sizeof t->url, "%s/bkt/key", scripted_url(t->s));
}

static inline void talk_close(struct talk *t)
{
    http_free(t->h);
    scripted_stop(t->s);
    answer_release(&t->a);
}

static inline void talk_submit(struct http *h, const struct http_request *q, struct answer *a)
{
    struct err e;
    err_init(&e);
    assert_int_equal(http_submit(h, q, answer_take, a, &e), ERR_OK);
}

/* Until nothing is left to do. */
static inline void talk_drive(struct http *h)
{
    const int64_t end = clock_mono_ms() + TALK_LIMIT_MS;
    struct err e;
    err_init(&e);
    while (http_active(h) > 0) {
        assert_int_equal(http_run(h, 1000, &e), ERR_OK);
        assert_true(clock_mono_ms() < end);
    }
}

/* One request to its end; q->url NULL means t->url. */
static inline const struct answer *talk_do(struct talk *t, struct http_request q)
{
    answer_release(&t->a);
    if (q.url == NULL)
        q.url = t->url;
    talk_submit(t->h, &q, &t->a);
    talk_drive(t->h);
    assert_int_equal(t->a.calls, 1);
    return &t->a;
}

/* A file of n patterned bytes, already unlinked. */
static inline unsigned char talk_pattern(size_t i)
{
    return (unsigned char)(i * 31 + i / 251);
}

static inline int talk_file(size_t n)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        (void)fputc(talk_pattern(i), f);
    assert_int_equal(fflush(f), 0);
    const int fd = dup(fileno(f));
    assert_true(fd >= 0);
    (void)fclose(f);
    return fd;
}

static inline unsigned char *talk_bytes(size_t n)
{
    unsigned char *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = talk_pattern(i);
    return p;
}

#endif
