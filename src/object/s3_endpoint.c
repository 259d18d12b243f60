#include "s3_endpoint.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static enum err_code refuse(const char *url, const char *why, struct err *e)
{
    char shown[200];

    err_set(e, ERR_CONFIG, "endpoint '%s' %s", str_printable(shown, sizeof shown, url), why);
    return err_hint(e, "give --endpoint-url like https://ACCOUNT.r2.cloudflarestorage.com: scheme, "
                       "host and port only");
}

/* ---- parts of the URL ----------------------------------------------------------------------------- */

/* Host names by RFC 1123, addresses, and [IPv6]; in lower case, as DNS has them. */
static bool take_host(const char *p, size_t n, char *dst, size_t size)
{
    const bool literal = n > 2 && p[0] == '[' && p[n - 1] == ']';

    if (n == 0 || n >= size)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char c = (char)tolower((unsigned char)p[i]);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                           (!literal && (c == '-' || c == '_'));
        const bool bracket = literal && (c == ':' || i == 0 || i == n - 1);
        if (!plain && !bracket)
            return false;
        dst[i] = c;
    }
    dst[n] = '\0';
    return literal || (dst[0] != '.' && dst[0] != '-');
}

struct parts {
    bool tls;
    char host[S3_HOST_MAX - 80]; /* room for a bucket before it */
    uint64_t port;               /* 0: the scheme's own */
};

static enum err_code take_port(const char *url, const char *text, size_t n, struct parts *out,
                               struct err *e)
{
    char digits[8];

    if (n == 0 || n >= sizeof digits)
        return refuse(url, "has no usable port", e);
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!str_to_u64(digits, &out->port) || out->port == 0 || out->port > 65535)
        return refuse(url, "has no usable port", e);
    if (out->port == (out->tls ? 443u : 80u))
        out->port = 0; /* curl leaves it out of the Host header */
    return ERR_OK;
}

static enum err_code take_url(const char *url, struct parts *out, struct err *e)
{
    const char *host, *end, *colon;

    memset(out, 0, sizeof *out);
    if (strncasecmp(url, "https://", 8) == 0)
        out->tls = true;
    else if (strncasecmp(url, "http://", 7) != 0)
        return refuse(url, "is no http:// or https:// URL", e);
    host = url + (out->tls ? 8 : 7);
    if (strchr(host, '@') != NULL)
        return refuse("***", "holds a user name: credentials never go into a URL", e);
    end = host + strcspn(host, "/?#");
    if (end[strspn(end, "/")] != '\0') {
        refuse(url, "has a path or a query", e);
        return err_hint(e, "leave the path out; the bucket and its prefix belong into --target "
                           "s3://BUCKET/PREFIX");
    }
    colon = end;
    while (colon > host && colon[-1] != ':' && colon[-1] != ']')
        colon--;
    colon = colon > host && colon[-1] == ':' ? colon - 1 : end;
    if (!take_host(host, (size_t)(colon - host), out->host, sizeof out->host)) {
        refuse(url, "has no usable host name", e);
        return err_hint(e, "international names go in their xn-- form");
    }
    if (colon == end)
        return ERR_OK;
    return take_port(url, colon + 1, (size_t)(end - colon) - 1, out, e);
}

/* ---- the bucket ----------------------------------------------------------------------------------- */

static enum err_code check_bucket(const char *bucket, struct err *e)
{
    const size_t n = strlen(bucket);

    if (n >= 3 && n <= 63 &&
        strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n &&
        bucket[0] != '.' && bucket[0] != '-')
        return ERR_OK;
    char shown[100];
    err_set(e, ERR_CONFIG, "'%s' is no bucket name", str_printable(shown, sizeof shown, bucket));
    return err_hint(e, "bucket names have 3 to 63 letters, digits, '-' and '.'");
}

static enum err_code check_virtual(const char *bucket, const struct parts *p, struct err *e)
{
    const size_t n = strlen(p->host);
    const bool address = p->host[0] == '[' || strspn(p->host, "0123456789.") == n;

    if (address) {
        err_set(e, ERR_CONFIG, "a bucket cannot be a host name before the address '%s'", p->host);
        return err_hint(e, "use path-style addressing");
    }
    if (strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(bucket) ||
        (p->tls && strchr(bucket, '.') != NULL)) {
        err_set(e, ERR_CONFIG, "bucket '%s' cannot be part of a host name", bucket);
        return err_hint(e, "use path-style addressing: with TLS, a name with dots fits no "
                           "certificate");
    }
    return ERR_OK;
}

enum err_code s3_endpoint_init(struct s3_endpoint *at, const struct s3_endpoint_options *o,
                               struct err *e)
{
    struct parts p;
    char own[160], port[8] = "";
    const char *url = o->url;
    enum err_code code = check_bucket(o->bucket, e);

    memset(at, 0, sizeof *at);
    if (code == ERR_OK && str_empty(url)) {
        if (str_eq(o->region, "auto")) {
            err_set(e, ERR_CONFIG, "region 'auto' is R2's, whose endpoint is not set");
            return err_hint(e, "give --endpoint-url https://ACCOUNT.r2.cloudflarestorage.com");
        }
        (void)snprintf(own, sizeof own, "https://s3.%.64s.amazonaws.com",
                       str_empty(o->region) ? "us-east-1" : o->region);
        url = own;
    }
    if (code == ERR_OK)
        code = take_url(url, &p, e);
    if (code == ERR_OK && o->virtual_host)
        code = check_virtual(o->bucket, &p, e);
    if (code != ERR_OK)
        return code;
    if (p.port != 0)
        (void)snprintf(port, sizeof port, ":%u", (unsigned)p.port);
    (void)snprintf(at->host, sizeof at->host, "%s%s%s%s", o->virtual_host ? o->bucket : "",
                   o->virtual_host ? "." : "", p.host, port);
    (void)snprintf(at->origin, sizeof at->origin, "%s://%s", p.tls ? "https" : "http", at->host);
    if (!o->virtual_host)
        (void)snprintf(at->bucket_path, sizeof at->bucket_path, "/%s", o->bucket);
    return ERR_OK;
}

bool s3_endpoint_path(const struct s3_endpoint *at, const char *key, struct buf *out)
{
    buf_str(out, at->bucket_path);
    if (key != NULL || at->bucket_path[0] == '\0')
        buf_char(out, '/');
    if (key != NULL)
        text_uri_encode(out, key, strlen(key), true);
    return buf_ok(out);
}

/* `host` is `domain` or ends in '.' + domain, its port aside. */
static bool belongs(const char *host, const char *domain)
{
    const size_t n = strcspn(host, ":");
    const size_t d = strlen(domain);

    return n >= d && strncmp(host + n - d, domain, d) == 0 && (n == d || host[n - d - 1] == '.');
}

enum objstore_profile s3_endpoint_profile(const char *host)
{
    if (belongs(host, "amazonaws.com") || belongs(host, "amazonaws.com.cn"))
        return OBJSTORE_AWS;
    if (belongs(host, "r2.cloudflarestorage.com"))
        return OBJSTORE_R2;
    return OBJSTORE_OTHER;
}
