/* s3_request: sign, send, classify, retry with backoff. What is signed is what is sent: path, query and Host are made once. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "s3.h"
#include "s3_explain.h"

#include <stdlib.h>
#include <string.h>

#define URL_MAX          ((size_t)32 << 10)
#define AUTH_MAX         ((size_t)4 << 10)
#define OWN_HEADERS      4 /* host, x-amz-date, x-amz-content-sha256, x-amz-security-token */
#define CLOCK_MATTERS_MS ((int64_t)60 * 1000)

int64_t s3_now_ms(const struct s3_store *s)
{
    return clock_wall_ms() + s->skew_ms;
}

void s3_request_query(struct s3_request *r, const char *name, const char *value)
{
    if (r->query_count < S3_QUERY_MAX)
        r->query[r->query_count++] = (struct sigv4_pair){name, value};
}

void s3_request_header(struct s3_request *r, const char *name, const char *value)
{
    if (value != NULL && r->header_count < S3_HEADERS_MAX)
        r->headers[r->header_count++] = (struct sigv4_pair){name, value};
}

static const char *method_of(enum s3_op op)
{
    switch (op) {
    case S3_HEAD:
        return "HEAD";
    case S3_PUT:
    case S3_PART:
        return "PUT";
    case S3_DELETE:
    case S3_ABORT:
        return "DELETE";
    case S3_DELETE_MANY:
    case S3_CREATE:
    case S3_COMPLETE:
        return "POST";
    case S3_GET:
    case S3_LIST:
    case S3_LIST_UPLOADS:
    case S3_LIST_PARTS:
    default:
        return "GET";
    }
}

/* ---- sending --------------------------------------------------------------------------------------- */

static void on_response(void *user, const struct http_response *response);

/* Path and query as they are signed and as they go out. */
static bool make_url(const struct s3_request *r, struct buf *path, struct buf *query,
                     struct buf *url)
{
    const struct s3_endpoint *at = &r->store->at;

    if (!s3_endpoint_path(at, r->key, path))
        return false;
    if (r->query_count > 0 &&
        sigv4_canonical_query(r->query, r->query_count, query, NULL) != ERR_OK)
        return false;
    buf_str(url, at->origin);
    buf_append(url, path->data, path->len);
    if (query->len > 0) {
        buf_char(url, '?');
        buf_append(url, query->data, query->len);
    }
    return buf_ok(url);
}

/* The headers to be signed, host first; count. */
static size_t gather_headers(const struct s3_request *r, const char *date,
                             struct sigv4_pair out[OWN_HEADERS + S3_HEADERS_MAX])
{
    const struct secret *token = &r->store->signer.session_token;
    size_t n = 0;

    out[n++] = (struct sigv4_pair){"host", r->store->at.host};
    out[n++] = (struct sigv4_pair){"x-amz-date", date};
    out[n++] = (struct sigv4_pair){
        "x-amz-content-sha256", r->payload_sha256 == NULL ? SIGV4_EMPTY_SHA256 : r->payload_sha256};
    if (secret_is_set(token))
        out[n++] = (struct sigv4_pair){"x-amz-security-token", secret_peek(token)};
    for (size_t i = 0; i < r->header_count; i++)
        out[n++] = r->headers[i];
    return n;
}

static enum err_code hand_over(struct s3_request *r, const char *url,
                               const struct sigv4_pair *signed_pairs, size_t n,
                               const char *authorization, struct err *e)
{
    struct http_header headers[OWN_HEADERS + S3_HEADERS_MAX + 2];
    size_t count = 0;

    for (size_t i = 1; i < n; i++) /* not host: curl sends it, in the very form that was signed */
        headers[count++] = (struct http_header){signed_pairs[i].name, signed_pairs[i].value};
    headers[count++] = (struct http_header){"Authorization", authorization};
    /* Never signed: proxies change it. The bytes themselves are wanted, not a compression of them. */
    headers[count++] = (struct http_header){"Accept-Encoding", "identity"};
    const struct http_request q = {.method = method_of(r->op),
                                   .url = url,
                                   .headers = headers,
                                   .header_count = count,
                                   .body = r->body,
                                   .fd = r->fd,
                                   .has_fd = r->has_fd && r->body == NULL,
                                   .offset = r->offset,
                                   .length = r->length,
                                   .tap = r->tap,
                                   .sink = r->sink,
                                   .user = r->io_user,
                                   .body_max = r->body_max};
    return http_submit(r->store->http, &q, on_response, r, e);
}

enum err_code s3_request_transmit(struct s3_request *r, struct err *e)
{
    struct sigv4_pair signed_pairs[OWN_HEADERS + S3_HEADERS_MAX];
    struct s3_store *s = r->store;
    struct buf path, query, url, authorization;
    char date[TIMEFMT_SIZE];
    enum err_code code;

    buf_init(&path, URL_MAX);
    buf_init(&query, URL_MAX);
    buf_init(&url, URL_MAX);
    buf_init(&authorization, AUTH_MAX);
    (void)(buf_reserve(&path, 256) && buf_reserve(&url, 512) && buf_reserve(&authorization, 512));
    r->retry.attempts++;
    r->sent_ms = s3_now_ms(s);
    r->signed_skew_ms = s->skew_ms;
    timefmt_amz(r->sent_ms, date);
    if (r->tap != NULL)
        r->tap(r->io_user, NULL, 0); /* the body begins (again) */
    const size_t n = gather_headers(r, date, signed_pairs);
    if (!make_url(r, &path, &query, &url)) {
        code = err_set(e, ERR_LIMIT, "a request's URL is too long");
        goto end;
    }
    const struct sigv4_request to_sign = {.method = method_of(r->op),
                                          .path = buf_cstr(&path),
                                          .query = r->query,
                                          .query_count = r->query_count,
                                          .headers = signed_pairs,
                                          .header_count = n,
                                          .payload_sha256 = signed_pairs[2].value,
                                          .time_ms = r->sent_ms};
    code = sigv4_sign(&s->signer, &to_sign, &authorization, e);
    if (code == ERR_OK)
        code = hand_over(r, buf_cstr(&url), signed_pairs, n, buf_cstr(&authorization), e);
end:
    buf_release(&path);
    buf_release(&query);
    buf_release(&url);
    buf_wipe(&authorization);
    return code;
}

/* ---- answering ------------------------------------------------------------------------------------- */

void s3_request_refuse(struct s3_request *r, enum s3_verdict verdict, const struct err *why)
{
    struct s3_answer a = {.is.verdict = verdict};

    if (why != NULL)
        a.err = *why;
    r->done(r->user, &a);
}

static void on_timer(void *user, bool cancelled)
{
    struct s3_request *r = user;
    struct err e;

    err_init(&e);
    if (cancelled) {
        err_set(&e, ERR_CANCELLED, "cancelled");
        s3_request_refuse(r, S3_CANCELLED, &e);
    } else if (s3_admit(r, true, &e) != ERR_OK) {
        s3_request_refuse(r, e.code == ERR_CANCELLED ? S3_CANCELLED : S3_LOCAL, &e);
    }
}

enum err_code s3_request_send(struct s3_request *r, int64_t delay_ms, struct err *e)
{
    r->retry.attempts = 0;
    r->forgiven = 0;
    r->forgiven_since_ms = 0;
    r->retry.started_ms = clock_mono_ms();
    if (delay_ms > 0)
        return http_after(r->store->http, delay_ms, on_timer, r, e);
    return s3_admit(r, false, e);
}

/* By the attempts that count. */
static bool may_go_on(struct s3_request *r, const char *retry_after, int64_t *delay_ms)
{
    struct retry_state counted = r->retry;

    counted.attempts -= r->forgiven;
    return retry_next(&r->store->retry, &counted, clock_mono_ms(), s3_now_ms(r->store), retry_after,
                      delay_ms);
}

bool s3_request_backoff(struct s3_request *r, int64_t *delay_ms)
{
    return may_go_on(r, NULL, delay_ms);
}

bool s3_request_again(struct s3_request *r, int64_t delay_ms)
{
    if (delay_ms < 0 && !s3_request_backoff(r, &delay_ms))
        return false;
    return http_after(r->store->http, delay_ms, on_timer, r, NULL) == ERR_OK;
}

/* The server says that our clock is wrong, or that the request is too old. Its own clock is adopted once for the store (D11);
 * each request may come back once, signed anew. */
static bool correct_clock(struct s3_request *r, const struct http_response *response)
{
    struct s3_store *s = r->store;
    const bool signed_before = r->signed_skew_ms != s->skew_ms;
    int64_t server;

    if (r->clock_corrected)
        return false;
    if (!signed_before && s3_classify_date(response, &server) &&
        llabs(server - s3_now_ms(s)) >= CLOCK_MATTERS_MS) {
        if (s->skew_adopted)
            return false;
        s->skew_ms += server - s3_now_ms(s);
        s->skew_adopted = true;
    }
    r->clock_corrected = true;
    return http_after(s->http, 0, on_timer, r, NULL) == ERR_OK;
}

static void learn(struct s3_store *s, const struct http_response *response,
                  const struct s3_judgement *is)
{
    int64_t server;

    if (s3_classify_date(response, &server)) {
        s->lead_ms = server - clock_wall_ms();
        s->lead_known = true;
    }
    if (is->verdict == S3_OK || (is->verdict == S3_ABSENT && is->error.code[0] != '\0'))
        s->bucket_seen = true;
}

static bool retried(struct s3_request *r, const struct s3_answer *a)
{
    const struct http_response *response = a->response;
    int64_t delay;

    if (a->is.verdict == S3_CLOCK)
        return correct_clock(r, response);
    if (a->is.verdict != S3_RETRY || (a->is.unknown && r->look_first) ||
        (r->may_retry != NULL && !r->may_retry(r->user, a)))
        return false;
    return may_go_on(r, http_response_header(response, "Retry-After"), &delay) &&
           http_after(r->store->http, delay, on_timer, r, NULL) == ERR_OK;
}

static void on_response(void *user, const struct http_response *response)
{
    struct s3_request *r = user;
    struct s3_store *s = r->store;
    struct s3_answer a = {.response = response};
    const struct s3_explain about = {
        .op = r->op, .bucket = s->bucket, .key = r->key, .source = s->source, .region = s->region};

    if (response->status != 0)
        r->status = response->status;
    r->bytes_sent += response->bytes_sent;
    s3_classify(r->op, response, s3_now_ms(s), &a.is);
    learn(s, response, &a.is);
    s3_admit_done(r, response, &a.is);
    if (a.is.verdict == S3_OK && r->read != NULL) {
        a.is.verdict = r->read(r->user, response, &a.err);
        a.is.unknown = a.is.verdict == S3_RETRY;
        if (a.is.verdict != S3_OK)
            err_wrap(&a.err, "%s failed", s3_explain_op(r->op));
    } else {
        s3_explain(&about, response, &a.is, &a.err);
    }
    if (!retried(r, &a)) {
        if (a.is.verdict == S3_CLOCK)
            a.is.verdict = S3_DENIED;
        r->done(r->user, &a);
    }
    s3_admit_pump(s);
}
