/* signing: building sigv4 requests out of vectors. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_UNIT_NET_SIGNING_H
#define BLOBFERRY_TESTS_UNIT_NET_SIGNING_H

#include "blobferry/base/buf.h"
#include "blobferry/base/secret.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"
#include "blobferry/net/sigv4.h"
#include "unit/codec/vectors.h"

#include <string.h>

#define SIGNING_MAX_PAIRS 32

/* A request whose strings it owns. */
struct signing {
    struct sigv4_pair headers[SIGNING_MAX_PAIRS];
    struct sigv4_pair query[SIGNING_MAX_PAIRS];
    struct sigv4_request request;
    char method[16];
    struct buf path;
    char *owned[4 * SIGNING_MAX_PAIRS];
    size_t owned_count;
};

static inline void signing_init(struct signing *g)
{
    memset(g, 0, sizeof *g);
    buf_init(&g->path, 1 << 16);
    g->request.headers = g->headers;
    g->request.query = g->query;
    g->request.method = g->method;
    g->request.payload_sha256 = SIGV4_EMPTY_SHA256;
}

static inline void signing_release(struct signing *g)
{
    for (size_t i = 0; i < g->owned_count; i++)
        free(g->owned[i]);
    buf_release(&g->path);
}

static inline const char *signing_keep(struct signing *g, const char *p, size_t n)
{
    assert_true(g->owned_count < sizeof g->owned / sizeof g->owned[0]);
    char *copy = strndup(p, n);
    assert_non_null(copy);
    g->owned[g->owned_count++] = copy;
    return copy;
}

static inline void signing_method(struct signing *g, const char *p, size_t n)
{
    assert_true(n < sizeof g->method);
    memcpy(g->method, p, n);
    g->method[n] = '\0';
}

static inline void signing_header(struct signing *g, const char *name, const char *value)
{
    struct sigv4_request *r = &g->request;
    assert_true(r->header_count < SIGNING_MAX_PAIRS);
    g->headers[r->header_count++] = (struct sigv4_pair){signing_keep(g, name, strlen(name)),
                                                        signing_keep(g, value, strlen(value))};
}

static inline const char *signing_decoded(struct signing *g, const char *p, size_t n)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    assert_true(text_uri_decode(&b, p, n, false));
    const char *kept = signing_keep(g, buf_cstr(&b), b.len);
    buf_release(&b);
    return kept;
}

/* Pairs of an encoded query, decoded; `without` names one to leave out. */
static inline void signing_query(struct signing *g, const char *p, size_t n, const char *without)
{
    const char *end = p + n;
    while (p < end) {
        const char *stop = memchr(p, '&', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        const char *equals = memchr(p, '=', (size_t)(stop - p));
        const char *name_end = equals != NULL ? equals : stop;
        const char *name = signing_decoded(g, p, (size_t)(name_end - p));
        if (without == NULL || strcmp(name, without) != 0) {
            assert_true(g->request.query_count < SIGNING_MAX_PAIRS);
            g->query[g->request.query_count++] = (struct sigv4_pair){
                name, equals != NULL ? signing_decoded(g, equals + 1, (size_t)(stop - equals - 1))
                                     : NULL};
        }
        p = stop + 1;
    }
}

static inline const char *signing_text(const struct json *object, const char *name)
{
    const char *s = json_string(json_get(object, name));
    assert_non_null(s);
    return s;
}

static inline void signing_signer(struct sigv4_signer *s, const char *access, const char *secret,
                                  const char *token, const char *region, const char *service)
{
    struct secret key, session;
    struct err e;
    err_init(&e);
    secret_init(&key);
    secret_init(&session);
    assert_int_equal(secret_set(&key, secret, strlen(secret), &e), ERR_OK);
    if (token != NULL)
        assert_int_equal(secret_set(&session, token, strlen(token), &e), ERR_OK);
    const struct sigv4_keys keys = {
        .access_key = access, .secret = &key, .session_token = &session};
    assert_int_equal(sigv4_init(s, &keys, region, service, &e), ERR_OK);
    secret_release(&key);
    secret_release(&session);
}

/* Canonical request and string to sign; NULL: not to be compared. */
static inline void signing_expect(const struct sigv4_signer *s, const struct sigv4_request *r,
                                  const char *canonical, const char *string_to_sign)
{
    struct buf b;
    struct err e;
    err_init(&e);
    buf_init(&b, 1 << 20);
    assert_int_equal(sigv4_canonical_request(r, &b, &e), ERR_OK);
    assert_string_equal(buf_cstr(&b), canonical);
    buf_reset(&b);
    assert_int_equal(sigv4_string_to_sign(s, r, &b, &e), ERR_OK);
    if (string_to_sign != NULL)
        assert_string_equal(buf_cstr(&b), string_to_sign);
    buf_release(&b);
}

#endif
