/* http_transfer: one request on one easy handle. */
#include "http_transfer.h"

#include "blobferry/base/str.h"
#include "http_body.h"
#include "http_fault.h"
#include "http_rescue.h"
#include "http_socket.h"
#include "http_trace.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TRANSFER_BUFFER 65536L
#define BIG_BUFFER      262144L /* for bodies from … on: fewer calls, and as quick to copy */
#define BIG_BODY        ((uint64_t)4 << 20)
#define ANSWER_BUFFER   16384L /* of uploads: their answers are short */
#define URL_MAX         ((size_t)64 * 1024)

/* ---- the request, checked and copied ------------------------------------------------------------ */

static const char *known_method(const char *method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_eq(method, names[i]))
            return names[i];
    }
    return NULL;
}

/* Nothing that curl would cut off, change or send as something else. */
static bool url_is_legal(const char *url)
{
    if (url == NULL || strlen(url) > URL_MAX ||
        (strncasecmp(url, "https://", 8) != 0 && strncasecmp(url, "http://", 7) != 0))
        return false;
    for (const char *p = url; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '#')
            return false;
    }
    return true;
}

enum err_code http_transfer_new(struct http_transfer **out, const struct http_request *q,
                                http_done_fn *done, void *user, struct err *e)
{
    const char *method = known_method(q->method);
    struct http_transfer *t = NULL;
    enum err_code code;

    *out = NULL;
    if (method == NULL || !url_is_legal(q->url))
        return err_set(e, ERR_GENERAL, "cannot send a request: malformed method or URL");
    if (q->length > INT64_MAX || q->offset > INT64_MAX - q->length ||
        (q->length > 0 && q->body == NULL && !q->has_fd))
        return err_set(e, ERR_GENERAL, "cannot send a request: malformed body");
    t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->request = *q;
    t->request.method = method;
    t->request.headers = NULL;
    t->done = done;
    t->user = user;
    buf_init(&t->unread, HTTP_RESCUE_MAX);
    t->url = str_dup(q->url);
    t->request.url = t->url;
    http_response_begin(&t->intake, &t->response, &t->request);
    code = t->url == NULL ? err_set(e, ERR_NOMEM, "out of memory")
                          : http_headers_make(&t->headers, q, e);
    if (code != ERR_OK) {
        http_transfer_free(t);
        return code;
    }
    *out = t;
    return ERR_OK;
}

void http_transfer_free(struct http_transfer *t)
{
    if (t == NULL)
        return;
    http_headers_release(&t->headers);
    http_response_release(&t->response);
    buf_release(&t->unread);
    free(t->url);
    free(t);
}

/* ---- options ------------------------------------------------------------------------------------ */

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    const struct http_setup *setup = user;

    (void)purpose;
    return http_socket_open(setup->sockets, address);
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(easy, option, value);                                            \
    } while (0)

/* DESIGN section 4 and FAILURES D16, D17, E2: nothing leaves for another host, no environment
 * variable or file of the user changes the way, and the URL goes out as it is. */
static CURLcode set_policy(CURL *easy, struct http_setup *setup, enum http_shape shape)
{
    const bool uploads = shape == HTTP_FIELDS || shape == HTTP_STREAM;
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_HTTP_TRANSFER_DECODING, 1L);
    SET(CURLOPT_USERAGENT, "blobferry/" BLOBFERRY_VERSION);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (setup->ca_file != NULL) {
        SET(CURLOPT_CAINFO, setup->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver thread when cancelled */
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, setup);
    SET(CURLOPT_CLOSESOCKETFUNCTION, http_rescue_close);
    SET(CURLOPT_CLOSESOCKETDATA, setup);
    SET(CURLOPT_BUFFERSIZE, uploads ? ANSWER_BUFFER : TRANSFER_BUFFER);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, TRANSFER_BUFFER);
    SET(CURLOPT_CONNECTTIMEOUT_MS, setup->connect_timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, setup->low_speed);
    SET(CURLOPT_LOW_SPEED_TIME, setup->stall_s);
    if (setup->verbose) {
        SET(CURLOPT_DEBUGFUNCTION, http_trace_write);
        SET(CURLOPT_VERBOSE, 1L);
    }
    return rc;
}

/* What stays the same for all requests of one shape: a handle is set up once and then used for its shape only. */
CURLcode http_transfer_setup(CURL *easy, struct http_setup *setup, enum http_shape shape)
{
    CURLcode rc = set_policy(easy, setup, shape);

    SET(CURLOPT_HEADERFUNCTION, http_response_take_header);
    SET(CURLOPT_WRITEFUNCTION, http_response_take_body);
    if (shape == HTTP_STREAM) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, http_body_read);
        SET(CURLOPT_SEEKFUNCTION, http_body_seek);
    }
    if (shape == HTTP_FIELDS)
        SET(CURLOPT_POST, 1L);
    if (shape == HTTP_STREAM || shape == HTTP_FIELDS)
        SET(CURLOPT_PREREQFUNCTION, http_rescue_note);
    if (shape == HTTP_HEAD)
        SET(CURLOPT_NOBODY, 1L);
    return rc;
}

/* Bodies in memory go as POST fields: sent with the header block in one call when they are small, and
 * an early answer is read even while sending. */
enum http_shape http_transfer_shape(const struct http_transfer *t, const struct http_setup *setup)
{
    const struct http_request *q = &t->request;

    if (q->length > 0 && (q->body == NULL || setup->pace.rate > 0))
        return HTTP_STREAM;
    if (q->length > 0 || str_eq(q->method, "PUT") || str_eq(q->method, "POST"))
        return HTTP_FIELDS;
    return str_eq(q->method, "HEAD") ? HTTP_HEAD : HTTP_PLAIN;
}

CURLcode http_transfer_prepare(struct http_transfer *t, CURL *easy, struct http_setup *setup,
                               struct http_paused *paused)
{
    const struct http_request *q = &t->request;
    CURLcode rc = CURLE_OK;

    t->easy = easy;
    t->setup = setup;
    t->paused_list = paused;
    t->shape = http_transfer_shape(t, setup);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_HTTPHEADER, t->headers.list);
    SET(CURLOPT_HEADERDATA, &t->intake);
    SET(CURLOPT_WRITEDATA, &t->intake);
    SET(CURLOPT_TIMEOUT_MS, q->deadline_ms > 0 ? (long)q->deadline_ms : 0L);
    if (t->shape != HTTP_HEAD)
        SET(CURLOPT_CUSTOMREQUEST, q->method);
    if (t->shape == HTTP_STREAM) {
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->length);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, q->length >= BIG_BODY ? BIG_BUFFER : TRANSFER_BUFFER);
        SET(CURLOPT_READDATA, t);
        SET(CURLOPT_SEEKDATA, t);
    }
    if (t->shape == HTTP_FIELDS) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->length);
        SET(CURLOPT_POSTFIELDS, q->length > 0 ? q->body : "");
        if (rc == CURLE_OK && q->length > 0 && q->tap != NULL)
            q->tap(q->user, q->body, (size_t)q->length);
    }
    if (t->shape == HTTP_STREAM || t->shape == HTTP_FIELDS)
        SET(CURLOPT_PREREQDATA, t);
    return rc;
}

void http_transfer_detach(struct http_transfer *t)
{
    CURL *easy = t->easy;
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_PRIVATE, NULL);
    SET(CURLOPT_ERRORBUFFER, NULL);
    SET(CURLOPT_HTTPHEADER, NULL);
    if (t->shape == HTTP_FIELDS)
        SET(CURLOPT_POSTFIELDS, NULL);
    t->easy = NULL;
}

/* ---- the end ------------------------------------------------------------------------------------- */

void http_transfer_conclude(struct http_transfer *t, CURLcode result)
{
    struct http_response *r = &t->response;
    curl_off_t value = 0;

    r->bytes_sent = t->handed;
    if (t->shape != HTTP_STREAM &&
        curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &value) == CURLE_OK)
        r->bytes_sent = (uint64_t)value;
    if (curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &value) == CURLE_OK)
        r->elapsed_us = value;
    if (result != CURLE_OK)
        http_rescue_answer(t);
    http_fault_decide(t, result);
}

void http_transfer_cancel(struct http_transfer *t)
{
    if (t->easy != NULL)
        http_transfer_conclude(t, CURLE_OK);
    t->response.fault = HTTP_CANCELLED;
    str_copy(t->response.fault_text, sizeof t->response.fault_text, "cancelled");
}
