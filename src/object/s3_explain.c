#include "s3_explain.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_KEY 200 /* bytes of a key in a message */

const char *s3_explain_op(enum s3_op op)
{
    static const char *const names[] = {
        [S3_HEAD] = "HeadObject",
        [S3_GET] = "GetObject",
        [S3_PUT] = "PutObject",
        [S3_DELETE] = "DeleteObject",
        [S3_DELETE_MANY] = "DeleteObjects",
        [S3_LIST] = "ListObjectsV2",
        [S3_LIST_UPLOADS] = "ListMultipartUploads",
        [S3_LIST_PARTS] = "ListParts",
        [S3_CREATE] = "CreateMultipartUpload",
        [S3_PART] = "UploadPart",
        [S3_COMPLETE] = "CompleteMultipartUpload",
        [S3_ABORT] = "AbortMultipartUpload",
    };
    return names[op];
}

static enum err_code code_of(enum s3_verdict verdict)
{
    switch (verdict) {
    case S3_ABSENT:
        return ERR_NOTFOUND;
    case S3_PRECONDITION:
        return ERR_CONFLICT;
    case S3_RETRY:
        return ERR_STORE_UNAVAILABLE;
    case S3_CLOCK:
    case S3_FALLBACK:
    case S3_DENIED:
        return ERR_STORE_DENIED;
    case S3_CORRUPT:
        return ERR_STORE_CORRUPT;
    case S3_LOCAL:
        return ERR_FILE;
    case S3_CANCELLED:
        return ERR_CANCELLED;
    case S3_OK:
    case S3_REJECTED:
    default:
        return ERR_STORE;
    }
}

/* What happened, without the subject. */
static void say_what(const struct http_response *r, const struct s3_judgement *j, char *dst,
                     size_t size)
{
    const struct s3_error *error = &j->error;

    if (r->fault != HTTP_FINE && r->status < 300) {
        char text[sizeof r->fault_text];
        (void)snprintf(dst, size, "%s", str_printable(text, sizeof text, r->fault_text));
    } else if (error->message[0] != '\0') {
        (void)snprintf(dst, size, "%s (HTTP %d): %s",
                       error->code[0] == '\0' ? "error" : error->code, r->status, error->message);
    } else if (error->code[0] != '\0') {
        (void)snprintf(dst, size, "%s (HTTP %d)", error->code, r->status);
    } else if (r->status >= 200 && r->status < 300) {
        (void)snprintf(dst, size, "HTTP %d with an unreadable answer", r->status);
    } else {
        (void)snprintf(dst, size, "HTTP %d", r->status);
    }
}

/* ---- hints -------------------------------------------------------------------------------------- */

static const char *credentials(const struct s3_explain *x)
{
    return str_empty(x->source) ? "the credentials" : x->source;
}

/* A redirect or a signature for the wrong region: say which one it is. */
static bool hint_region(const struct s3_explain *x, const struct http_response *r,
                        const struct s3_judgement *j, struct err *e)
{
    const char *header = http_response_header(r, "x-amz-bucket-region");
    char region[64];

    str_printable(region, sizeof region, header != NULL ? header : j->error.region);
    if (region[0] != '\0' && !str_eq(region, x->region)) {
        err_hint(e,
                 "bucket '%s' is in region '%s': give --region %s and the endpoint of that region",
                 x->bucket, region, region);
        return true;
    }
    if (r->status >= 300 && r->status < 400) {
        err_hint(e, "the endpoint redirects elsewhere, which is never followed: check "
                    "--endpoint-url and --region");
        return true;
    }
    return false;
}

static const struct {
    const char *code, *hint;
} hints[] = {
    {"InvalidAccessKeyId", "the store does not know this access key: check %s"},
    {"SignatureDoesNotMatch", "the secret access key is wrong, or a proxy changes requests: check "
                              "%s"},
    {"Unauthorized", "check %s"},
    {"ExpiredToken", "temporary credentials have expired: renew %s"},
    {"InvalidToken", "the session token does not fit the keys: check %s"},
    {"TokenRefreshRequired", "temporary credentials have expired: renew %s"},
    {"UserSuspended", "the account behind %s is suspended"},
};

static void hint_denied(const struct s3_explain *x, const struct http_response *r,
                        const struct s3_judgement *j, struct err *e)
{
    const char *code = j->error.code;

    if (r->fault == HTTP_TLS) {
        err_hint(e, "certificates are always checked: give the CA that signed the server's with "
                    "--ca-file");
        return;
    }
    if (hint_region(x, r, j, e))
        return;
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (str_eq(code, hints[i].code)) {
            char text[ERR_HINT_MAX];
            const char *mark = strstr(hints[i].hint, "%s");
            (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(mark - hints[i].hint),
                           hints[i].hint, credentials(x), mark + 2);
            err_hint(e, "%s", text);
            return;
        }
    }
    if (str_eq(code, "NoSuchBucket") || str_eq(code, "InvalidBucketName"))
        err_hint(e, "check the bucket's name '%s' in --target, and --endpoint-url", x->bucket);
    else if (j->verdict == S3_CLOCK)
        err_hint(e, "this machine's clock is off by more than the store allows: set it");
    else if (x->op == S3_HEAD && (r->status == 403 || r->status == 400))
        err_hint(e,
                 "a refused HEAD does not say why, and does not say that the object is absent: "
                 "check %s and their right to read and list bucket '%s'",
                 credentials(x), x->bucket);
    else if (r->status == 401 || r->status == 403)
        err_hint(e, "%s may not do this in bucket '%s': check the rights", credentials(x),
                 x->bucket);
}

static void hint(const struct s3_explain *x, const struct http_response *r,
                 const struct s3_judgement *j, struct err *e)
{
    switch (j->verdict) {
    case S3_DENIED:
    case S3_CLOCK:
    case S3_FALLBACK:
        hint_denied(x, r, j, e);
        break;
    case S3_RETRY:
        if (r->fault == HTTP_RESOLVE || r->fault == HTTP_CONNECT)
            err_hint(e, "check --endpoint-url and the network");
        else if (r->fault == HTTP_BROKEN && r->status == 0)
            err_hint(e, "is it an S3 endpoint that answers there? check --endpoint-url");
        else if (r->status == 404)
            err_hint(e, "this answer is not the store's: check --endpoint-url and what stands "
                        "between");
        break;
    case S3_REJECTED:
        if (j->locked)
            err_hint(e, "a lock or retention rule of the bucket holds the object");
        break;
    default:
        break;
    }
}

void s3_explain(const struct s3_explain *x, const struct http_response *r,
                const struct s3_judgement *j, struct err *e)
{
    char what[ERR_MESSAGE_MAX / 2], key[SHOWN_KEY];

    if (j->verdict == S3_OK)
        return;
    if (j->verdict == S3_CANCELLED) {
        err_set(e, ERR_CANCELLED, "cancelled");
        return;
    }
    say_what(r, j, what, sizeof what);
    if (x->key != NULL)
        err_set(e, code_of(j->verdict), "%s of '%s' failed: %s", s3_explain_op(x->op),
                str_printable(key, sizeof key, x->key), what);
    else
        err_set(e, code_of(j->verdict), "%s in bucket '%s' failed: %s", s3_explain_op(x->op),
                x->bucket, what);
    e->retryable = j->verdict == S3_RETRY;
    hint(x, r, j, e);
}
