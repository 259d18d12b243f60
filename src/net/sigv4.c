/* sigv4: string to sign, the day's signing key, the Authorization header and the presigned query.
 * Source: "Create a signed AWS API request", docs.aws.amazon.com/IAM, steps 2 to 4. */
#include "blobferry/net/sigv4.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/text.h"
#include "blobferry/codec/timefmt.h"
#include "sigv4_canonical.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHM         "AWS4-HMAC-SHA256"
#define LAST_OF_SCOPE     "aws4_request"
#define CANONICAL_MAX     ((size_t)1024 * 1024)
#define CANONICAL_USUAL   ((size_t)2048)
#define SCOPE_MAX         128 /* day, region, service, aws4_request and the slashes */
#define PRESIGN_OWN       6   /* query parameters that we add */
#define PRESIGN_EXPIRES_S 604800

/* Visible ASCII without what the Authorization header and the credential scope use. */
static bool is_plain(const char *s)
{
    if (str_empty(s))
        return false;
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s >= 0x7f || *s == ',' || *s == '/' || *s == '=')
            return false;
    }
    return true;
}

enum err_code sigv4_init(struct sigv4_signer *s, const struct sigv4_keys *keys, const char *region,
                         const char *service, struct err *e)
{
    enum err_code code = ERR_OK;

    memset(s, 0, sizeof *s);
    secret_init(&s->secret);
    secret_init(&s->session_token);
    if (!is_plain(keys->access_key) ||
        !str_copy(s->access_key, sizeof s->access_key, keys->access_key))
        return err_set(e, ERR_CONFIG, "the access key id is empty or malformed");
    if (keys->secret == NULL || !secret_is_set(keys->secret))
        return err_set(e, ERR_CONFIG, "the secret access key is empty");
    if (!is_plain(region) || !str_copy(s->region, sizeof s->region, region))
        return err_set(e, ERR_CONFIG, "the region is empty or malformed");
    if (!is_plain(service) || !str_copy(s->service, sizeof s->service, service))
        return err_set(e, ERR_CONFIG, "the service name is empty or malformed");
    code = secret_copy(&s->secret, keys->secret, e);
    if (code == ERR_OK && keys->session_token != NULL)
        code = secret_copy(&s->session_token, keys->session_token, e);
    if (code != ERR_OK)
        sigv4_release(s);
    return code;
}

void sigv4_release(struct sigv4_signer *s)
{
    secret_release(&s->secret);
    secret_release(&s->session_token);
    OPENSSL_cleanse(s, sizeof *s); /* P8: the day's key signs as well as the secret does */
}

/* kDate, kRegion, kService, kSigning. */
static enum err_code derive_day_key(struct sigv4_signer *s, const char day[9], struct err *e)
{
    static const char prefix[] = "AWS4";
    const size_t prefix_len = sizeof prefix - 1;
    const size_t size = prefix_len + s->secret.len;
    unsigned char date_key[DIGEST_SHA256_SIZE];
    unsigned char region_key[DIGEST_SHA256_SIZE];
    unsigned char service_key[DIGEST_SHA256_SIZE];
    char *seed;

    if (strcmp(s->day, day) == 0)
        return ERR_OK;
    seed = malloc(size);
    if (seed == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(seed, prefix, prefix_len);
    memcpy(seed + prefix_len, secret_peek(&s->secret), s->secret.len);
    digest_hmac_sha256(seed, size, day, strlen(day), date_key);
    OPENSSL_cleanse(seed, size);
    free(seed);
    digest_hmac_sha256(date_key, sizeof date_key, s->region, strlen(s->region), region_key);
    digest_hmac_sha256(region_key, sizeof region_key, s->service, strlen(s->service), service_key);
    digest_hmac_sha256(service_key, sizeof service_key, LAST_OF_SCOPE, strlen(LAST_OF_SCOPE),
                       s->day_key);
    OPENSSL_cleanse(date_key, sizeof date_key);
    OPENSSL_cleanse(region_key, sizeof region_key);
    OPENSSL_cleanse(service_key, sizeof service_key);
    str_copy(s->day, sizeof s->day, day);
    return ERR_OK;
}

/* The request's instant in the three forms that signing uses. */
struct instant {
    char stamp[TIMEFMT_SIZE]; /* 20261121T120000Z */
    char day[9];
    char scope[SCOPE_MAX]; /* day/region/service/aws4_request */
};

static void instant_of(const struct sigv4_signer *s, int64_t time_ms, struct instant *t)
{
    timefmt_amz(time_ms, t->stamp);
    memcpy(t->day, t->stamp, sizeof t->day - 1);
    t->day[sizeof t->day - 1] = '\0';
    snprintf(t->scope, sizeof t->scope, "%s/%s/%s/%s", t->day, s->region, s->service,
             LAST_OF_SCOPE);
}

static void append_string_to_sign(const struct instant *t, const struct buf *canonical,
                                  struct buf *out)
{
    char hex[DIGEST_SHA256_HEX];

    digest_sha256_hex(canonical->data, canonical->len, hex);
    buf_printf(out, "%s\n%s\n%s\n%s", ALGORITHM, t->stamp, t->scope, hex);
}

/* The list of signed headers is the canonical request's last line but one. */
static void append_names(const struct buf *canonical, const char *payload_sha256, struct buf *out)
{
    const char *end = canonical->data + canonical->len - strlen(payload_sha256) - 1;
    const char *begin = end;

    while (begin > canonical->data && begin[-1] != '\n')
        begin--;
    buf_append(out, begin, (size_t)(end - begin));
}

/* The string to sign; in `names`, unless it is NULL, the list of signed headers. */
static enum err_code make_text(const struct sigv4_request *r, const struct instant *t,
                               struct buf *out, struct buf *names, struct err *e)
{
    struct buf canonical;
    enum err_code code;

    buf_init(&canonical, CANONICAL_MAX);
    (void)buf_reserve(&canonical, CANONICAL_USUAL);
    code = sigv4_canonical_request(r, &canonical, e);
    if (code == ERR_OK)
        append_string_to_sign(t, &canonical, out);
    if (code == ERR_OK && names != NULL)
        append_names(&canonical, r->payload_sha256, names);
    buf_wipe(&canonical); /* P8: x-amz-security-token */
    if (code == ERR_OK && !buf_ok(out))
        code = err_set(e, ERR_LIMIT, "a request is too large to be signed");
    return code;
}

enum err_code sigv4_string_to_sign(const struct sigv4_signer *s, const struct sigv4_request *r,
                                   struct buf *out, struct err *e)
{
    struct instant t;

    instant_of(s, r->time_ms, &t);
    return make_text(r, &t, out, NULL, e);
}

/* Hex signature of `r`; names as above. */
static enum err_code sign(struct sigv4_signer *s, const struct sigv4_request *r,
                          const struct instant *t, char hex[DIGEST_SHA256_HEX], struct buf *names,
                          struct err *e)
{
    unsigned char mac[DIGEST_SHA256_SIZE];
    struct buf text;
    enum err_code code;

    buf_init(&text, CANONICAL_MAX);
    (void)buf_reserve(&text, (size_t)SCOPE_MAX * 2);
    code = make_text(r, t, &text, names, e);
    if (code == ERR_OK)
        code = derive_day_key(s, t->day, e);
    if (code == ERR_OK) {
        digest_hmac_sha256(s->day_key, sizeof s->day_key, text.data, text.len, mac);
        text_hex(mac, sizeof mac, hex);
    }
    buf_release(&text);
    return code;
}

enum err_code sigv4_sign(struct sigv4_signer *s, const struct sigv4_request *r, struct buf *out,
                         struct err *e)
{
    char hex[DIGEST_SHA256_HEX];
    struct instant t;
    enum err_code code;

    instant_of(s, r->time_ms, &t);
    buf_printf(out, "%s Credential=%s/%s, SignedHeaders=", ALGORITHM, s->access_key, t.scope);
    code = sign(s, r, &t, hex, out, e);
    if (code != ERR_OK)
        return code;
    buf_str(out, ", Signature=");
    buf_str(out, hex);
    return buf_ok(out) ? ERR_OK : err_set(e, ERR_LIMIT, "an Authorization header is too large");
}

/* The caller's query and ours, in one array owned by the caller. `credential`, `expires` and
 * `names` are borrowed by it. */
static struct sigv4_pair *join_query(const struct sigv4_signer *s, const struct sigv4_request *r,
                                     const struct instant *t, const char *credential,
                                     const char *expires, const char *names, size_t *count)
{
    struct sigv4_pair *all = calloc(r->query_count + PRESIGN_OWN, sizeof *all);
    size_t n = r->query_count;

    if (all == NULL)
        return NULL;
    if (n > 0)
        memcpy(all, r->query, n * sizeof *all);
    all[n++] = (struct sigv4_pair){"X-Amz-Algorithm", ALGORITHM};
    all[n++] = (struct sigv4_pair){"X-Amz-Credential", credential};
    all[n++] = (struct sigv4_pair){"X-Amz-Date", t->stamp};
    all[n++] = (struct sigv4_pair){"X-Amz-Expires", expires};
    all[n++] = (struct sigv4_pair){"X-Amz-SignedHeaders", names};
    if (secret_is_set(&s->session_token))
        all[n++] = (struct sigv4_pair){"X-Amz-Security-Token", secret_peek(&s->session_token)};
    *count = n;
    return all;
}

enum err_code sigv4_presign(struct sigv4_signer *s, const struct sigv4_request *r,
                            int64_t expires_s, struct buf *out, struct err *e)
{
    char hex[DIGEST_SHA256_HEX];
    struct sigv4_pair *query = NULL;
    struct sigv4_request full = *r;
    char credential[sizeof s->access_key + SCOPE_MAX];
    char expires[32];
    struct buf names;
    struct instant t;
    enum err_code code;

    if (expires_s < 1 || expires_s > PRESIGN_EXPIRES_S)
        return err_set(e, ERR_USAGE, "a presigned URL must expire within 1 to %d seconds",
                       PRESIGN_EXPIRES_S);
    buf_init(&names, CANONICAL_MAX);
    code = sigv4_canonical_signed_headers(r, &names, e);
    if (code != ERR_OK)
        goto out;
    instant_of(s, r->time_ms, &t);
    snprintf(credential, sizeof credential, "%s/%s", s->access_key, t.scope);
    snprintf(expires, sizeof expires, "%" PRId64, expires_s);
    query = join_query(s, r, &t, credential, expires, buf_cstr(&names), &full.query_count);
    if (query == NULL) {
        code = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    full.query = query;
    code = sign(s, &full, &t, hex, NULL, e);
    if (code == ERR_OK)
        code = sigv4_canonical_query(full.query, full.query_count, out, e);
    if (code == ERR_OK && !buf_printf(out, "&X-Amz-Signature=%s", hex))
        code = err_set(e, ERR_LIMIT, "a presigned query is too large");
out:
    free(query);
    buf_release(&names);
    return code;
}
