#include "app/cloudflare.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/json.h"
#include "blobferry/net/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 30000

struct answer {
    bool arrived;
    enum http_fault fault;
    char fault_text[256];
    int status;
    char id[128];
    bool active;
};

static void on_answer(void *user, const struct http_response *r)
{
    struct answer *a = user;
    struct json *root = NULL;
    const struct json *result;

    a->arrived = true;
    a->fault = r->fault;
    a->status = r->status;
    str_copy(a->fault_text, sizeof a->fault_text, r->fault_text);
    if (r->fault == HTTP_FINE && r->status == 200)
        root = json_parse(buf_cstr(&r->body), r->body.len, NULL);
    result = root != NULL ? json_get(root, "result") : NULL;
    if (result != NULL) {
        const char *id = json_string(json_get(result, "id"));
        a->active = str_eq(json_string(json_get(result, "status")), "active");
        if (id != NULL && !str_copy(a->id, sizeof a->id, id))
            a->id[0] = '\0';
    }
    json_free(root);
}

static enum err_code ask(struct http *h, const char *token, struct answer *a, struct err *e)
{
    const char *base = getenv("BLOBFERRY_CLOUDFLARE_API");
    struct buf url, bearer;
    struct http_header headers[2];
    struct http_request request = {.method = "GET", .headers = headers, .header_count = 2};
    enum err_code code;

    buf_init(&url, 4096);
    buf_init(&bearer, 8192);
    buf_printf(&url, "%s/client/v4/user/tokens/verify",
               str_empty(base) ? "https://api.cloudflare.com" : base);
    buf_printf(&bearer, "Bearer %s", token);
    headers[0] = (struct http_header){"Authorization", buf_cstr(&bearer)};
    headers[1] = (struct http_header){"Accept", "application/json"};
    request.url = buf_cstr(&url);
    request.deadline_ms = DEADLINE_MS;
    code = buf_ok(&url) && buf_ok(&bearer) ? ERR_OK : err_set(e, ERR_CONFIG, "token is too long");
    if (code == ERR_OK)
        code = http_submit(h, &request, on_answer, a, e);
    while (code == ERR_OK && !a->arrived)
        code = http_run(h, 200, e);
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
    if (a->status != 200 || !a->active || a->id[0] == '\0') {
        err_set(e, ERR_STORE_DENIED, "Cloudflare does not accept CLOUDFLARE_API_TOKEN (status %d)",
                a->status);
        return err_hint(e, "make an R2 token with object read and write, or check its expiry");
    }
    return ERR_OK;
}

enum err_code cloudflare_keys(struct objstore_credentials *out, const char *token,
                              const char *ca_file, struct err *e)
{
    struct answer a = {0};
    struct http *h = NULL;
    char hex[DIGEST_SHA256_HEX];
    enum err_code code;

    if (strpbrk(token, "\r\n") != NULL)
        return err_set(e, ERR_CONFIG, "CLOUDFLARE_API_TOKEN holds a line break");
    /* registers the token with redaction for as long as it is in use */
    struct secret keep;
    secret_init(&keep);
    code = secret_set(&keep, token, strlen(token), e);
    if (code == ERR_OK)
        code = http_new(&h, &(struct http_options){.max_connections = 1, .ca_file = ca_file}, e);
    if (code == ERR_OK)
        code = ask(h, token, &a, e);
    if (code == ERR_OK)
        code = judge(&a, e);
    if (code == ERR_OK) {
        digest_sha256_hex(token, strlen(token), hex);
        code = secret_set(&out->secret, hex, strlen(hex), e);
        str_copy(out->access_key, sizeof out->access_key, a.id);
        str_copy(out->source, sizeof out->source, "CLOUDFLARE_API_TOKEN");
    }
    http_free(h);
    secret_release(&keep);
    return code;
}
