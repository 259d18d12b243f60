/* s3_talk: a store of the S3 driver that talks to a scripted server. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_UNIT_OBJECT_S3_TALK_H
#define BLOBFERRY_TESTS_UNIT_OBJECT_S3_TALK_H

#include "blobferry/base/buf.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/object/objstore.h"
#include "harness/scripted_server.h"
#include "object/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TALK_LIMIT_MS 20000 /* a test that hangs fails by then */
#define TALK_SECRET   "SECRETsecretSECRET"
#define TALK_TOKEN    "TOKENtokenTOKENtoken"
#define ETAG_HELLO    "5d41402abc4b2a76b9719d911017c592"

/* Answers. */
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nx-amz-request-id: R1\r\nContent-Length: 0\r\n\r\n"
#define OK_PUT    "HTTP/1.1 200 OK\r\nETag: \"" ETAG_HELLO "\"\r\nContent-Length: 0\r\n\r\n"
#define NO_BODY   "HTTP/1.1 204 No Content\r\n\r\n"
#define BUSY      "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"

struct talk {
    struct scripted *s;
    struct objstore *store;
    struct objstore_credentials credentials;
    struct err err;
};

struct talk_options {
    unsigned features;
    bool token;         /* a session token */
    bool unproven;      /* the bucket has not been seen yet */
    int max_retries;    /* 0: 3; -1: none */
    const char *target; /* NULL: s3://bkt */
    enum objstore_profile profile;
    bool virtual_host;
    const char *endpoint; /* NULL: the scripted server */
    bool patient;         /* "too fast" is no failed attempt */
    int64_t dead_ms;      /* 0: the default */
};

#define FEATURES_GOOD (OBJSTORE_IF_NONE_MATCH | OBJSTORE_BULK_DELETE | OBJSTORE_CHECKS_PAYLOAD)

static inline void talk_open(struct talk *t, const struct talk_options *in)
{
    struct objstore_options o = {.target = in->target == NULL ? "s3://bkt" : in->target,
                                 .credentials = &t->credentials,
                                 .profile = in->profile,
                                 .virtual_host = in->virtual_host,
                                 .retry = {.max_retries = in->max_retries == 0  ? 3
                                                          : in->max_retries < 0 ? 0
                                                                                : in->max_retries,
                                           .base_ms = 1,
                                           .cap_ms = 5,
                                           .deadline_ms = TALK_LIMIT_MS,
                                           .patience_ms = in->patient ? 0 : -1},
                                 .dead_ms = in->dead_ms};

    memset(t, 0, sizeof *t);
    t->s = scripted_start(NULL);
    o.endpoint_url = in->endpoint == NULL ? scripted_url(t->s) : in->endpoint;
    str_copy(t->credentials.access_key, sizeof t->credentials.access_key, "AKIDEXAMPLE");
    str_copy(t->credentials.source, sizeof t->credentials.source, "the environment");
    secret_init(&t->credentials.secret);
    secret_init(&t->credentials.session_token);
    assert_int_equal(secret_set(&t->credentials.secret, TALK_SECRET, strlen(TALK_SECRET), NULL),
                     ERR_OK);
    if (in->token)
        assert_int_equal(
            secret_set(&t->credentials.session_token, TALK_TOKEN, strlen(TALK_TOKEN), NULL),
            ERR_OK);
    if (objstore_open(&t->store, &o, &t->err) != ERR_OK)
        fail_msg("%s", t->err.message);
    objstore_set_features(t->store, in->features);
    ((struct s3_store *)t->store)->bucket_seen = !in->unproven;
}

static inline void talk_close(struct talk *t)
{
    objstore_close(t->store);
    assert_int_equal(scripted_unscripted(t->s), 0);
    scripted_stop(t->s);
    secret_release(&t->credentials.secret);
    secret_release(&t->credentials.session_token);
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

struct got {
    int calls;
    struct objstore_result r;
};

static inline void got_it(void *user, const struct objstore_result *r)
{
    struct got *g = user;
    g->calls++;
    g->r = *r;
}

static inline void talk_run(struct talk *t, const int *calls)
{
    const int64_t deadline = clock_mono_ms() + TALK_LIMIT_MS;

    while (*calls == 0) {
        assert_int_equal(objstore_run(t->store, 50, &t->err), ERR_OK);
        if (clock_mono_ms() > deadline)
            fail_msg("no answer within %d ms", TALK_LIMIT_MS);
    }
    assert_int_equal(*calls, 1);
    assert_int_equal(objstore_active(t->store), 0);
}

static inline void expect_outcome(const struct objstore_result *r, enum objstore_outcome wanted)
{
    if (r->outcome != wanted)
        fail_msg("outcome %d instead of %d: %s (%s)", r->outcome, wanted, r->err.message,
                 r->err.hint);
}

/* ---- operations ------------------------------------------------------------------------------------------ */

/* PUT of "hello" at "k", if absent, by record r-1. */
static inline struct objstore_put talk_hello(void)
{
    static char sha256[DIGEST_SHA256_HEX];

    digest_sha256_hex("hello", 5, sha256);
    return (struct objstore_put){.key = "k",
                                 .data = "hello",
                                 .fd = -1,
                                 .size = 5,
                                 .sha256 = sha256,
                                 .condition = OBJSTORE_IF_ABSENT,
                                 .meta = {.record_id = "r-1",
                                          .batch_id = "b 1",
                                          .sha256 = sha256,
                                          .filename = "a b.txt",
                                          .content_type = "text/plain"}};
}

static inline struct objstore_result talk_put(struct talk *t, const struct objstore_put *p)
{
    struct got g = {0};

    if (objstore_put(t->store, p, got_it, &g, &t->err) != ERR_OK)
        fail_msg("%s", t->err.message);
    talk_run(t, &g.calls);
    return g.r;
}

static inline struct objstore_result talk_put_hello(struct talk *t)
{
    const struct objstore_put p = talk_hello();
    return talk_put(t, &p);
}

static inline struct objstore_result talk_stat(struct talk *t)
{
    struct objstore_result r;
    assert_int_equal(objstore_stat_wait(t->store, "k", &r, &t->err), ERR_OK);
    return r;
}

static inline struct objstore_result talk_remove(struct talk *t, const char *if_match)
{
    struct objstore_result r;
    assert_int_equal(objstore_remove_wait(t->store, "k", if_match, &r, &t->err), ERR_OK);
    return r;
}

struct sink {
    struct buf b;
    int restarts;
};

static inline bool sink_take(void *user, const void *p, size_t n)
{
    struct sink *s = user;

    if (p == NULL && n == 0) {
        s->restarts++;
        buf_reset(&s->b);
        return true;
    }
    return buf_append(&s->b, p, n);
}

/* The answer's bytes in text. */
static inline struct objstore_result talk_get(struct talk *t, struct objstore_get *in, char *text,
                                              size_t size, int *restarts)
{
    struct got g = {0};
    struct sink sink = {.restarts = 0};

    buf_init(&sink.b, (size_t)16 << 20);
    in->key = "k";
    in->sink = sink_take;
    in->sink_user = &sink;
    assert_int_equal(objstore_get(t->store, in, got_it, &g, &t->err), ERR_OK);
    talk_run(t, &g.calls);
    str_copy(text, size, buf_cstr(&sink.b));
    if (restarts != NULL)
        *restarts = sink.restarts;
    buf_release(&sink.b);
    return g.r;
}

/* ---- the script ----------------------------------------------------------------------------------------------- */

/* A HEAD that finds the object of talk_hello, or one of another record. The next request goes out on a new connection:
 * libcurl by itself sends a bodyless one again when a used connection is closed on it. */
static inline void script_found(struct talk *t, const char *record, const char *etag, int size)
{
    const struct objstore_put p = talk_hello();
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: %s\r\nContent-Length: %d\r\n"
                   "x-amz-meta-blobferry-id: %s\r\nx-amz-meta-blobferry-batch: b%%201\r\n"
                   "x-amz-meta-blobferry-sha256: %s\r\n\r\n",
                   etag, size, record, p.sha256);
    scripted_add(t->s, &(struct scripted_reply){.method = "HEAD", .text = text});
}

static inline void script(struct talk *t, const char *method, const char *text)
{
    scripted_add(t->s, &(struct scripted_reply){.method = method, .text = text});
}

/* An <Error> of this status and code. */
static inline void script_error(struct talk *t, const char *method, int status, const char *code)
{
    char text[1024], body[512];
    const int n = snprintf(body, sizeof body,
                           "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>said so</Message>"
                           "</Error>",
                           code);

    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 %d Said\r\nContent-Type: application/xml\r\nContent-Length: "
                   "%d\r\n\r\n%s",
                   status, n, body);
    script(t, method, text);
}

static inline void script_body(struct talk *t, const char *method, const char *body)
{
    struct buf text;

    buf_init(&text, (size_t)1 << 20);
    buf_printf(&text,
               "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %zu\r\n\r\n",
               strlen(body));
    buf_str(&text, body);
    script(t, method, buf_cstr(&text));
    buf_release(&text);
}

/* "PUT HEAD PUT": what was asked, in order. */
static inline void expect_methods(struct talk *t, const char *wanted)
{
    struct buf seen;

    buf_init(&seen, 4096);
    for (size_t i = 0; i < scripted_count(t->s); i++)
        buf_printf(&seen, "%s%s", i == 0 ? "" : " ", scripted_request_at(t->s, i)->method);
    assert_string_equal(buf_cstr(&seen), wanted);
    buf_release(&seen);
}

static inline void expect_header(struct talk *t, size_t request, const char *name,
                                 const char *wanted)
{
    char value[2048];
    const struct scripted_request *r = scripted_request_at(t->s, request);

    assert_non_null(r);
    if (wanted == NULL) {
        assert_false(scripted_header(r, name, value, sizeof value));
        return;
    }
    assert_true(scripted_header(r, name, value, sizeof value));
    assert_string_equal(value, wanted);
}

#endif
