/* http_transfer: one request on one easy handle. */
#include "http_transfer.h"

#include "blobferry/base/str.h"
#include "http_body.h"
#include "http_fault.h"
#include "http_rescue.h"
#include "http_trace.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define TRANSFER_BUFFER 65536L
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

/* RFC 9110 section 5: a line break in a value would smuggle in another header. */
static bool header_is_legal(const struct http_header *h)
{
    if (str_empty(h->name) || h->value == NULL)
        return false;
    for (const char *p = h->name; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p) != NULL)
            return false;
    }
    for (const char *p = h->value; *p != '\0'; p++) {
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            return false;
    }
    return !str_ieq(h->name, "Transfer-Encoding") && !str_ieq(h->name, "Expect") &&
           !str_ieq(h->name, "Connection");
}

static bool append_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

/* curl takes "Name:" as an order to leave the header out and wants "Name;" for an empty value. */
static bool append_header(struct curl_slist **list, const struct http_header *h)
{
    const bool empty = h->value[strspn(h->value, " \t")] == '\0';
    struct buf line;
    bool ok;

    buf_init(&line, HTTP_RESPONSE_HEADER_MAX);
    if (empty)
        buf_printf(&line, "%s;", h->name);
    else
        buf_printf(&line, "%s: %s", h->name, h->value);
    ok = buf_ok(&line) && append_line(list, buf_cstr(&line));
    buf_wipe(&line); /* P8: Authorization, x-amz-security-token */
    return ok;
}

static enum err_code copy_headers(struct http_transfer *t, const struct http_request *q,
                                  struct err *e)
{
    bool typed = false;

    for (size_t i = 0; i < q->header_count; i++) {
        const struct http_header *h = &q->headers[i];
        if (!header_is_legal(h))
            return err_set(e, ERR_GENERAL, "request header number %zu is malformed", i + 1);
        typed = typed || str_ieq(h->name, "Content-Type");
        if (!str_ieq(h->name, "Content-Length") && !append_header(&t->headers, h))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    /* Not to be invented by curl: R2 never answers 100-continue, and a form's type would be stored. */
    if (!append_line(&t->headers, "Expect:") ||
        (!typed && !append_line(&t->headers, "Content-Type:")))
        return err_set(e, ERR_NOMEM, "out of memory");
    return ERR_OK;
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
    code = t->url == NULL ? err_set(e, ERR_NOMEM, "out of memory") : copy_headers(t, q, e);
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
    for (struct curl_slist *p = t->headers; p != NULL; p = p->next)
        OPENSSL_cleanse(p->data, strlen(p->data)); /* P8 */
    curl_slist_free_all(t->headers);
    http_response_release(&t->response);
    buf_release(&t->unread);
    free(t->url);
    free(t);
}

/* ---- options ------------------------------------------------------------------------------------ */

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(easy, option, value);                                            \
    } while (0)

/* DESIGN section 4 and FAILURES D16, D17, E2: nothing leaves for another host, no environment
 * variable or file of the user changes the way, and the URL goes out as it is. */
static CURLcode set_policy(CURL *easy, struct http_setup *setup)
{
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
    SET(CURLOPT_CLOSESOCKETFUNCTION, http_rescue_close);
    SET(CURLOPT_CLOSESOCKETDATA, setup);
    SET(CURLOPT_BUFFERSIZE, TRANSFER_BUFFER);
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

/* Bodies in memory go as POST fields: sent with the header block in one call when they are small, and
 * an early answer is read even while sending. */
static CURLcode set_body(struct http_transfer *t, CURL *easy)
{
    const struct http_request *q = &t->request;
    CURLcode rc = CURLE_OK;

    t->streams = q->length > 0 && (q->body == NULL || t->setup->pace.rate > 0);
    if (t->streams) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->length);
        SET(CURLOPT_READFUNCTION, http_body_read);
        SET(CURLOPT_READDATA, t);
        SET(CURLOPT_SEEKFUNCTION, http_body_seek);
        SET(CURLOPT_SEEKDATA, t);
    } else {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->length);
        SET(CURLOPT_POSTFIELDS, q->length > 0 ? q->body : "");
        if (rc == CURLE_OK && q->length > 0 && q->tap != NULL)
            q->tap(q->user, q->body, (size_t)q->length);
    }
    SET(CURLOPT_CUSTOMREQUEST, q->method);
    SET(CURLOPT_PREREQFUNCTION, http_rescue_note);
    SET(CURLOPT_PREREQDATA, t);
    return rc;
}

CURLcode http_transfer_prepare(struct http_transfer *t, CURL *easy, struct http_setup *setup,
                               struct http_paused *paused)
{
    const struct http_request *q = &t->request;
    CURLcode rc = set_policy(easy, setup);

    t->easy = easy;
    t->setup = setup;
    t->paused_list = paused;
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_HEADERFUNCTION, http_response_take_header);
    SET(CURLOPT_HEADERDATA, &t->intake);
    SET(CURLOPT_WRITEFUNCTION, http_response_take_body);
    SET(CURLOPT_WRITEDATA, &t->intake);
    if (q->deadline_ms > 0)
        SET(CURLOPT_TIMEOUT_MS, (long)q->deadline_ms);
    if (rc != CURLE_OK)
        return rc;
    if (q->length > 0 || str_eq(q->method, "PUT") || str_eq(q->method, "POST"))
        return set_body(t, easy);
    if (str_eq(q->method, "HEAD"))
        SET(CURLOPT_NOBODY, 1L);
    else
        SET(CURLOPT_CUSTOMREQUEST, q->method);
    return rc;
}

/* ---- the end ------------------------------------------------------------------------------------- */

void http_transfer_conclude(struct http_transfer *t, CURLcode result)
{
    struct http_response *r = &t->response;
    curl_off_t value = 0;

    r->bytes_sent = t->handed;
    if (!t->streams && curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &value) == CURLE_OK)
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
