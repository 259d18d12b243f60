#include "s3_classify.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_TOLERANCE_MS ((int64_t)5 * 60 * 1000) /* S3 allows 15 minutes */

static const struct {
    const char *code;
    enum s3_verdict verdict;
} codes[] = {
    /* transient, whatever the status: RequestTimeout and BadDigest come as 400 */
    {"InternalError", S3_RETRY},
    {"ServiceUnavailable", S3_RETRY},
    {"SlowDown", S3_RETRY},
    {"SlowDownRead", S3_RETRY},
    {"SlowDownWrite", S3_RETRY},
    {"TooManyRequests", S3_RETRY},
    {"Throttling", S3_RETRY},
    {"ThrottlingException", S3_RETRY},
    {"RequestThrottled", S3_RETRY},
    {"RequestLimitExceeded", S3_RETRY},
    {"BandwidthLimitExceeded", S3_RETRY},
    {"RequestTimeout", S3_RETRY},
    {"RequestTimeoutException", S3_RETRY},
    {"IncompleteBody", S3_RETRY},
    {"BadDigest", S3_RETRY},
    {"XAmzContentSHA256Mismatch", S3_RETRY},
    {"XAmzContentChecksumMismatch", S3_RETRY},
    {"OperationAborted", S3_RETRY},
    {"ConditionalRequestConflict", S3_RETRY},
    {"Busy", S3_RETRY},
    {"RequestTimeTooSkewed", S3_CLOCK},
    {"ExpiredRequest", S3_CLOCK},
    {"RequestExpired", S3_CLOCK},
    {"NoSuchKey", S3_ABSENT},
    {"NoSuchUpload", S3_ABSENT},
    {"PreconditionFailed", S3_PRECONDITION},
    {"NotModified", S3_PRECONDITION},
    {"NotImplemented", S3_FALLBACK},
    /* the run's configuration, not this object */
    {"AccessDenied", S3_DENIED},
    {"AccessForbidden", S3_DENIED},
    {"AccountProblem", S3_DENIED},
    {"AllAccessDisabled", S3_DENIED},
    {"AuthorizationHeaderMalformed", S3_DENIED},
    {"CredentialsNotSupported", S3_DENIED},
    {"ExpiredToken", S3_DENIED},
    {"InvalidAccessKeyId", S3_DENIED},
    {"InvalidBucketName", S3_DENIED},
    {"InvalidRegionName", S3_DENIED},
    {"InvalidSecurity", S3_DENIED},
    {"InvalidToken", S3_DENIED},
    {"IllegalLocationConstraintException", S3_DENIED},
    {"MissingSecurityHeader", S3_DENIED},
    {"NoSuchBucket", S3_DENIED},
    {"NotEntitled", S3_DENIED},
    {"NotSignedUp", S3_DENIED},
    {"PermanentRedirect", S3_DENIED},
    {"QuotaExceeded", S3_DENIED},
    {"Redirect", S3_DENIED},
    {"SignatureDoesNotMatch", S3_DENIED},
    {"TemporaryRedirect", S3_DENIED},
    {"TokenRefreshRequired", S3_DENIED},
    {"Unauthorized", S3_DENIED},
    {"UserSuspended", S3_DENIED},
    {"XMinioStorageFull", S3_DENIED},
    /* this object */
    {"ObjectLockedByBucketPolicy", S3_REJECTED},
    {"ObjectLocked", S3_REJECTED},
    {"10069", S3_REJECTED}, /* R2's number for the same */
    {"EntityTooLarge", S3_REJECTED},
    {"EntityTooSmall", S3_REJECTED},
    {"InvalidArgument", S3_REJECTED},
    {"InvalidDigest", S3_REJECTED},
    {"InvalidObjectName", S3_REJECTED},
    {"InvalidObjectState", S3_REJECTED},
    {"InvalidPart", S3_REJECTED},
    {"InvalidPartOrder", S3_REJECTED},
    {"InvalidRange", S3_REJECTED},
    {"InvalidRequest", S3_REJECTED},
    {"InvalidURI", S3_REJECTED},
    {"KeyTooLong", S3_REJECTED},
    {"KeyTooLongError", S3_REJECTED},
    {"MalformedXML", S3_REJECTED},
    {"MetadataTooLarge", S3_REJECTED},
    {"MethodNotAllowed", S3_REJECTED},
    {"MissingContentLength", S3_REJECTED},
    {"XMinioInvalidObjectName", S3_REJECTED},
};

static bool by_code(const char *code, enum s3_verdict *out)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].code, code) == 0) {
            *out = codes[i].verdict;
            return true;
        }
    }
    return false;
}

/* Refusals that say: nothing was done, come back later. */
static bool nothing_was_done(const char *code)
{
    return str_starts(code, "SlowDown") || str_starts(code, "Throttling") ||
           str_eq(code, "ServiceUnavailable") || str_eq(code, "TooManyRequests") ||
           str_eq(code, "RequestThrottled") || str_eq(code, "RequestLimitExceeded");
}

static bool is_locked(const struct s3_error *error)
{
    return str_starts(error->code, "ObjectLocked") || str_eq(error->code, "10069") ||
           (str_eq(error->code, "AccessDenied") && (strstr(error->message, "object lock") != NULL ||
                                                    strstr(error->message, "Object Lock") != NULL ||
                                                    strstr(error->message, "WORM") != NULL));
}

bool s3_classify_date(const struct http_response *r, int64_t *ms)
{
    const char *date = http_response_header(r, "Date");
    return date != NULL && timefmt_parse_http(date, ms);
}

static bool clock_is_off(const struct http_response *r, int64_t now_ms)
{
    int64_t server;
    return s3_classify_date(r, &server) && llabs(server - now_ms) > CLOCK_TOLERANCE_MS;
}

/* A 404 proves absence only in the store's own words (D2): a proxy's page does not. */
static enum s3_verdict judge_404(enum s3_op op, const struct http_response *r)
{
    const char *type = http_response_header(r, "Content-Type");
    const bool html = type != NULL && str_starts(type, "text/html");

    return op == S3_HEAD && !html ? S3_ABSENT : S3_RETRY;
}

/* Without a code that we know. */
static enum s3_verdict by_status(enum s3_op op, const struct http_response *r, int64_t now_ms)
{
    const int status = r->status;

    switch (status) {
    case 304:
    case 412:
        return S3_PRECONDITION;
    case 400: /* a HEAD has no body to say why: expired token, wrong region, clock */
        if (op == S3_HEAD)
            return clock_is_off(r, now_ms) ? S3_CLOCK : S3_DENIED;
        return S3_REJECTED;
    case 401:
    case 403:
        return clock_is_off(r, now_ms) ? S3_CLOCK : S3_DENIED;
    case 404:
        return judge_404(op, r);
    case 408:
    case 409:
    case 425:
    case 429:
        return S3_RETRY;
    case 501:
        return S3_FALLBACK;
    case 505:
    case 507:
        return S3_DENIED;
    default:
        break;
    }
    if (status >= 300 && status < 400)
        return S3_DENIED; /* D16: no credential leaves for another host */
    return status >= 500 ? S3_RETRY : S3_REJECTED;
}

static void judge_fault(const struct http_response *r, struct s3_judgement *out)
{
    switch (r->fault) {
    case HTTP_RESOLVE:
    case HTTP_CONNECT:
        out->verdict = S3_RETRY;
        break;
    case HTTP_TLS:
        out->verdict = S3_DENIED;
        break;
    case HTTP_LOCAL:
        out->verdict = r->local_errno == ECANCELED ? S3_CANCELLED : S3_LOCAL;
        break;
    case HTTP_CANCELLED:
        out->verdict = S3_CANCELLED;
        break;
    case HTTP_FINE:
    case HTTP_TIMEOUT:
    case HTTP_BROKEN:
    default:
        /* A refusal whose text was cut off is a refusal all the same. */
        if (r->status == 401 || r->status == 403) {
            out->verdict = S3_DENIED;
        } else {
            out->verdict = S3_RETRY;
            out->unknown = true;
        }
        break;
    }
}

/* CompleteMultipartUpload begins its 200 before it knows: the body decides (D9). */
static void judge_completed(const struct http_response *r, struct s3_judgement *out)
{
    static const char root[] = "CompleteMultipartUploadResult";

    if (s3_error_parse(r->body.data, r->body.len, &out->error)) {
        if (!by_code(out->error.code, &out->verdict))
            out->verdict = S3_RETRY;
        out->unknown = out->verdict == S3_RETRY;
        return;
    }
    if (r->body.len == 0 || r->body_truncated ||
        memmem(r->body.data, r->body.len, root, sizeof root - 1) == NULL) {
        out->verdict = S3_RETRY;
        out->unknown = true;
    }
}

void s3_classify_error(const struct s3_error *error, struct s3_judgement *out)
{
    memset(out, 0, sizeof *out);
    out->error = *error;
    if (!by_code(error->code, &out->verdict))
        out->verdict = S3_RETRY;
    if (is_locked(error)) {
        out->verdict = S3_REJECTED;
        out->locked = true;
    }
}

void s3_classify(enum s3_op op, const struct http_response *r, int64_t now_ms,
                 struct s3_judgement *out)
{
    memset(out, 0, sizeof *out);
    out->verdict = S3_OK;
    if (r->fault != HTTP_FINE) {
        s3_error_parse(r->body.data, r->body.len, &out->error);
        judge_fault(r, out);
        return;
    }
    if (r->status >= 200 && r->status < 300) {
        if (op == S3_COMPLETE)
            judge_completed(r, out);
        return;
    }
    s3_error_parse(r->body.data, r->body.len, &out->error);
    if (!by_code(out->error.code, &out->verdict))
        out->verdict = by_status(op, r, now_ms);
    /* NoSuchUpload is not about the key, NoSuchKey with a 5xx is not believed. */
    if (out->verdict == S3_ABSENT && r->status != 404)
        out->verdict = S3_RETRY;
    if (is_locked(&out->error)) {
        out->verdict = S3_REJECTED;
        out->locked = true;
    }
    out->unknown =
        out->verdict == S3_RETRY && r->status >= 500 && !nothing_was_done(out->error.code);
}
