#include "app/cloudflare.h"

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/json.h"
#include "blobferry/net/http.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 30000
#define LETTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

struct answer {
    bool arrived;
    enum http_fault fault;
    char fault_text[256];
    int status;
    bool understood; /* it is JSON as the API sends it */
    bool active;
    char id[128];
};

static void on_answer(void *user, const struct http_response *r)
{
    struct answer *a = user;
    struct json *root = NULL;
    const struct json *result;
    const char *id;

    a->arrived = true;
    a->fault = r->fault;
    a->status = r->status;
    str_copy(a->fault_text, sizeof a->fault_text, r->fault_text);
    if (r->fault == HTTP_FINE && !r->body_truncated)
        root = json_parse(buf_cstr(&r->body), r->body.len, NULL);
    a->understood = json_boolean(json_get(root, "success"), &(bool){false});
    result = json_get(root, "result");
    id = json_string(json_get(result, "id"));
    a->active = str_eq(json_string(json_get(result, "status")), "active");
    /* it becomes a part of every Authorization header */
    if (id != NULL && strspn(id, LETTERS) == strlen(id) && !str_copy(a->id, sizeof a->id, id))
        a->id[0] = '\0';
    json_free(root);
}

/* Plain http would show the token to everybody on the way. */
enum err_code cloudflare_api(const char **base, struct err *e)
{
    static const char *const allowed[] = {"https://", "http://127.0.0.1:", "http://localhost:"};
    const char *given = getenv("BLOBFERRY_CLOUDFLARE_API");

    *base = given != NULL && given[0] != '\0' ? given : "https://api.cloudflare.com";
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (str_starts(*base, allowed[i]) && strchr(*base, '@') == NULL)
            return ERR_OK;
    }
    err_set(e, ERR_CONFIG, "BLOBFERRY_CLOUDFLARE_API is no https:// address");
    return err_hint(e, "leave it unset");
}

static enum err_code ask(struct http *h, const char *path, const char *token, struct answer *a,
                         struct err *e)
{
    const char *base;
    struct buf url, bearer;
    struct http_header headers[2];
    struct http_request request = {.method = "GET", .headers = headers, .header_count = 2};
    enum err_code code = cloudflare_api(&base, e);

    memset(a, 0, sizeof *a);
    if (code != ERR_OK)
        return code;
    buf_init(&url, 4096);
    buf_init(&bearer, 8192);
    buf_printf(&url, "%s/client/v4/%s/tokens/verify", base, path);
    buf_printf(&bearer, "Bearer %s", token);
    headers[0] = (struct http_header){"Authorization", buf_cstr(&bearer)};
    headers[1] = (struct http_header){"Accept", "application/json"};
    request.url = buf_cstr(&url);
    request.deadline_ms = DEADLINE_MS;
    if (!buf_ok(&url) || !buf_ok(&bearer))
        code = err_set(e, ERR_CONFIG, "CLOUDFLARE_API_TOKEN or the address is too long");
    if (code == ERR_OK)
        code = http_submit(h, &request, on_answer, a, e);
    while (code == ERR_OK && !a->arrived) {
        code = http_run(h, 200, e);
        if (code == ERR_OK && !a->arrived && process_stopping())
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    if (!a->arrived) /* it may not be called back into a frame that is gone */
        http_cancel_all(h);
    buf_wipe(&bearer);
    buf_release(&url);
    return code;
}

static enum err_code judge(const struct answer *a, struct err *e)
{
    if (a->fault != HTTP_FINE) {
        err_set(e, ERR_STORE_UNAVAILABLE, "cannot ask Cloudflare for the token's id: %s",
                a->fault_text);
        return err_hint(e, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from R2's token page");
    }
    if (a->status >= 500 || a->status == 429)
        return err_set(e, ERR_STORE_UNAVAILABLE, "Cloudflare answered %d to the token's check",
                       a->status);
    if (a->status < 400 && (a->status != 200 || !a->understood)) {
        err_set(e, ERR_STORE_UNAVAILABLE, "this is not Cloudflare's API that answered (status %d)",
                a->status);
        return err_hint(e, "a proxy or a sign-in page may be in between");
    }
    if (a->status != 200 || !a->active || a->id[0] == '\0') {
        err_set(e, ERR_STORE_DENIED, "Cloudflare does not accept CLOUDFLARE_API_TOKEN (status %d)",
                a->status);
        return err_hint(e, "make an R2 token with object read and write, or check its expiry");
    }
    return ERR_OK;
}

static enum err_code find_id(struct http *h, const char *token, const char *account,
                             struct answer *a, struct err *e)
{
    char path[160];
    enum err_code code = ask(h, "user", token, a, e);

    if (code == ERR_OK && a->fault == HTTP_FINE && a->status >= 400 && a->status < 500 &&
        a->status != 429 && !str_empty(account) && strspn(account, LETTERS) == strlen(account) &&
        snprintf(path, sizeof path, "accounts/%s", account) < (int)sizeof path)
        code = ask(h, path, token, a, e);
    return code == ERR_OK ? judge(a, e) : code;
}

enum err_code cloudflare_keys(struct objstore_credentials *out, const char *token,
                              const char *account, const char *ca_file, struct err *e)
{
    struct answer a;
    struct http *h = NULL;
    struct secret keep; /* registers the token with redaction for as long as it is in use */
    char hex[DIGEST_SHA256_HEX];
    enum err_code code;

    secret_init(&keep);
    code = secret_set(&keep, token, strlen(token), e);
    if (code == ERR_OK)
        code = http_new(&h, &(struct http_options){.max_connections = 1, .ca_file = ca_file}, e);
    if (code == ERR_OK)
        code = find_id(h, token, account, &a, e);
    if (code == ERR_OK) {
        digest_sha256_hex(token, strlen(token), hex);
        code = secret_set(&out->secret, hex, strlen(hex), e);
        str_copy(out->access_key, sizeof out->access_key, a.id);
        str_copy(out->source, sizeof out->source, "CLOUDFLARE_API_TOKEN");
        OPENSSL_cleanse(hex, sizeof hex);
    }
    http_free(h);
    secret_release(&keep);
    return code;
}
