/* http_fault: libcurl's result as a verdict. The line that matters runs between "nothing was sent" and "the outcome is
 * unknown" (P6): the second is never claimed to be the first. */
#include "http_fault.h"

#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <string.h>

/* True when libcurl wrote bytes of the request to the connection, or may have. */
static bool was_sent(const struct http_transfer *t)
{
    long n = 0;

    return curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &n) != CURLE_OK || n > 0;
}

/* A handshake that was cut, not refused: as good as a refused connection, and as retryable. */
static bool handshake_was_cut(const struct http_transfer *t)
{
    long number = 0;

    if (curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number != 0)
        return true;
    return strstr(t->error, "SSL_ERROR_SYSCALL") != NULL ||
           strstr(t->error, "unexpected eof") != NULL;
}

static enum http_fault fault_before_sending(const struct http_transfer *t, CURLcode result)
{
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return HTTP_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
        return handshake_was_cut(t) ? HTTP_CONNECT : HTTP_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_USE_SSL_FAILED:
        return HTTP_TLS;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: /* user name in the URL */
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_NOT_BUILT_IN:
        return HTTP_LOCAL;
    default:
        return HTTP_BROKEN;
    }
}

static enum http_fault fault_of(const struct http_transfer *t, CURLcode result)
{
    if (t->read_failed || t->intake.sink_refused || result == CURLE_OUT_OF_MEMORY ||
        result == CURLE_FAILED_INIT)
        return HTTP_LOCAL;
    if (t->intake.fault != NULL)
        return HTTP_BROKEN;
    if (!was_sent(t))
        return fault_before_sending(t, result);
    return result == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMEOUT : HTTP_BROKEN;
}

/* A refusal that arrived whole counts, though the connection broke while we were still sending: the server
 * reset it because it did not want the rest. A success does not: it cannot speak of bytes not sent. */
static bool refusal_arrived(const struct http_transfer *t)
{
    return t->response.status >= 300 && http_response_is_whole(&t->intake);
}

static void set_local_errno(struct http_transfer *t, CURLcode result)
{
    struct http_response *r = &t->response;

    if (r->fault != HTTP_LOCAL || t->read_failed)
        return;
    if (t->intake.sink_refused)
        r->local_errno = ECANCELED;
    else
        r->local_errno =
            result == CURLE_OUT_OF_MEMORY || result == CURLE_FAILED_INIT ? ENOMEM : EINVAL;
}

static const char *words(const struct http_transfer *t, CURLcode result)
{
    if (t->read_failed)
        return t->response.local_errno != 0 ? strerrordesc_np(t->response.local_errno)
                                            : "the file ended early";
    if (t->intake.sink_refused)
        return "the receiver said stop";
    if (t->intake.fault != NULL)
        return t->intake.fault;
    return t->error[0] != '\0' ? t->error : curl_easy_strerror(result);
}

void http_fault_decide(struct http_transfer *t, CURLcode result)
{
    struct http_response *r = &t->response;
    const char *text = "";

    r->fault = HTTP_FINE;
    if (result == CURLE_OK && r->status == 0) {
        r->fault = HTTP_BROKEN;
        text = "no final status arrived";
    } else if (result == CURLE_OK && r->status < 300 && r->bytes_sent < t->request.length) {
        r->fault = HTTP_BROKEN;
        text = "the server claimed success before the whole body was sent";
    } else if (result != CURLE_OK && (t->read_failed || !refusal_arrived(t))) {
        r->fault = fault_of(t, result);
        set_local_errno(t, result);
        text = words(t, result);
    }
    str_copy(r->fault_text, sizeof r->fault_text, text);
    secret_redact(r->fault_text, strlen(r->fault_text));
}
