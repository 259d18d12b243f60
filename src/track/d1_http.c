/* d1_http: one batch to Cloudflare's API and its answer (https://developers.cloudflare.com/api/resources/d1/, query). What may pass by is
 * sent again: the batch bears it. Waits as Retry-After says; the limit is the account's and shared with everything else that it does.
 */
#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "blobferry/net/http.h"
#include "blobferry/net/retry.h"
#include "track/d1.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX ((size_t)48 << 20)
#define ONE_MS     60000 /* a batch may take D1 30 s */
/* https://developers.cloudflare.com/fundamentals/api/reference/limits/: 1,200 requests in five minutes, else none for the next five. */
#define PACE_MS     300
#define BURST       150 /* requests at once, as a short command needs them */
#define ID_LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define DEFAULT_API "https://api.cloudflare.com"

/* account/database, and nothing that could lead elsewhere. */
static enum err_code make_endpoint(struct d1 *d, const char *api, const char *rest, struct err *e)
{
    const size_t account = strspn(rest, ID_LETTERS);
    const char *database = rest[account] == '/' ? rest + account + 1 : "";
    const size_t n = strspn(database, ID_LETTERS);
    struct buf b;

    if (account == 0 || n == 0 || database[n] != '\0') {
        err_set(e, ERR_CONFIG, "'d1://%.200s' does not name an account and a database", rest);
        return err_hint(e, "give --db d1://ACCOUNT_ID/DATABASE_ID (see: wrangler d1 list)");
    }
    buf_init(&b, 4096);
    buf_printf(&b, "%s/client/v4/accounts/%.*s/d1/database/%s/query", api, (int)account, rest,
               database);
    d->endpoint = buf_steal(&b);
    d->database = str_dup(database);
    return d->endpoint != NULL && d->database != NULL ? ERR_OK
                                                      : err_set(e, ERR_NOMEM, "out of memory");
}

enum err_code d1_http_open(struct d1 *d, const struct tracker_options *o, struct err *e)
{
    const char *rest = o->url + strlen("d1://");

    if (o->password == NULL || !secret_is_set(o->password)) {
        err_set(e, ERR_CONFIG, "there is no API token for '%s'", d->base.name);
        return err_hint(e, "set CLOUDFLARE_API_TOKEN to a token with the right D1:Edit");
    }
    enum err_code code = make_endpoint(d, !str_empty(o->d1_api) ? o->d1_api : DEFAULT_API, rest, e);
    if (code == ERR_OK)
        code = secret_copy(&d->token, o->password, e);
    return code == ERR_OK
               ? http_new(&d->http,
                          &(struct http_options){.max_connections = 1, .ca_file = o->ca_file}, e)
               : code;
}

/* ---- one attempt -------------------------------------------------------------------------------------- */

struct attempt {
    bool arrived, again; /* again: it may pass by */
    bool limited;        /* by Cloudflare's limit: it lasts minutes */
    struct json *root;
    char retry_after[64];
    enum err_code code;
    struct err *e;
    const struct d1 *d;
};

static bool transient(const char *text)
{
    /* https://developers.cloudflare.com/d1/observability/debug-d1/: those that are worth another try. */
    static const char *const texts[] = {
        "SQLITE_BUSY",     "Network connection lost", "overloaded",    "object to be reset",
        "transient issue", "exceeded timeout",        "request stream"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strstr(text, texts[i]) != NULL)
            return true;
    }
    return false;
}

static enum err_code refused(struct attempt *t, const char *text)
{
    const char *name = t->d->base.name;

    if (strstr(text, "no such table") != NULL || strstr(text, "no such column") != NULL ||
        strstr(text, "has no column named") != NULL) {
        err_set(t->e, ERR_DB_SCHEMA, "'%s': %s", name, text);
        return err_hint(t->e, "see which tables are needed: blobferry validate");
    }
    if (strstr(text, "constraint failed") != NULL || strstr(text, "SQLITE_CONSTRAINT") != NULL) {
        err_set(t->e, ERR_DB, "database '%s' refuses it: %s", name, text);
        return err_hint(t->e, "a constraint or trigger of the application forbids what blobferry "
                              "needs to write; nothing was changed");
    }
    return err_set(t->e, ERR_DB, "database '%s': %s", name, text);
}

static enum err_code denied(struct attempt *t, int status, const char *text)
{
    err_set(t->e, ERR_DB, "Cloudflare refuses the database '%s' (status %d): %s", t->d->base.name,
            status, text);
    return status == 404
               ? err_hint(t->e, "check the account and the database's id (see: wrangler d1 list)")
               : err_hint(t->e, "CLOUDFLARE_API_TOKEN needs the right D1:Edit for this account");
}

static enum err_code judge(struct attempt *t, const struct http_response *r)
{
    bool success = false;

    if (r->fault != HTTP_FINE) {
        t->again = r->fault != HTTP_TLS && r->fault != HTTP_LOCAL && r->fault != HTTP_CANCELLED;
        err_set(t->e, ERR_DB_BUSY, "cannot reach database '%s': %s", t->d->base.name,
                r->fault_text);
        return err_hint(t->e, "check the network; what was under way is found out by the next run");
    }
    if (r->body_truncated)
        return err_set(t->e, ERR_LIMIT, "an answer of '%s' is too large", t->d->base.name);
    struct err parsed;
    err_init(&parsed);
    t->root = json_parse(buf_cstr(&r->body), r->body.len, &parsed);
    const char *text = json_string(json_get(json_first(json_get(t->root, "errors")), "message"));
    if (r->status == 200 && json_boolean(json_get(t->root, "success"), &success) && success)
        return ERR_OK;
    t->again = r->status == 429 || r->status >= 500 || (text != NULL && transient(text));
    t->limited = r->status == 429;
    if (t->again) {
        err_set(t->e, ERR_DB_BUSY, "database '%s' cannot answer now (status %d): %s",
                t->d->base.name, r->status, text != NULL ? text : "no reason given");
        t->e->retryable = true;
        return err_hint(t->e, "try again later");
    }
    if (r->status == 401 || r->status == 403 || r->status == 404)
        return denied(t, r->status, text != NULL ? text : "no reason given");
    if (text == NULL) {
        err_set(t->e, ERR_DB, "this is not Cloudflare's API that answered for '%s' (status %d)",
                t->d->base.name, r->status);
        return err_hint(t->e, "a proxy or a sign-in page may be in between");
    }
    return refused(t, text);
}

static void on_answer(void *user, const struct http_response *r)
{
    struct attempt *t = user;
    const char *after = http_response_header(r, "Retry-After");

    t->arrived = true;
    str_copy(t->retry_after, sizeof t->retry_after, after != NULL ? after : "");
    err_init(t->e);
    t->code = judge(t, r);
    if (t->code != ERR_OK) {
        json_free(t->root);
        t->root = NULL;
    }
}

static enum err_code attempt(struct d1 *d, const struct buf *body, struct attempt *t, struct err *e)
{
    struct buf bearer;
    struct http_header headers[] = {{"Authorization", NULL},
                                    {"Content-Type", "application/json"},
                                    {"Accept", "application/json"}};
    struct http_request request = {.method = "POST",
                                   .url = d->endpoint,
                                   .headers = headers,
                                   .header_count = 3,
                                   .body = buf_cstr(body),
                                   .length = body->len,
                                   .body_max = ANSWER_MAX,
                                   .deadline_ms = ONE_MS};

    *t = (struct attempt){.e = e, .d = d};
    buf_init(&bearer, 8192);
    buf_printf(&bearer, "Bearer %s", secret_peek(&d->token));
    headers[0].value = buf_cstr(&bearer);
    enum err_code code = buf_ok(&bearer)
                             ? http_submit(d->http, &request, on_answer, t, e)
                             : err_set(e, ERR_CONFIG, "CLOUDFLARE_API_TOKEN is too long");
    while (code == ERR_OK && !t->arrived)
        code = http_run(d->http, 1000, e);
    if (!t->arrived) /* it may not be called back into a frame that is gone */
        http_cancel_all(d->http);
    buf_wipe(&bearer);
    return code == ERR_OK ? t->code : code;
}

static void wake(void *user, bool cancelled)
{
    (void)cancelled;
    *(bool *)user = true;
}

/* Not for long once we are to stop: what is to be written then is written, or found by the next run. */
static void pause_for(struct d1 *d, int64_t ms)
{
    bool awake = false;

    if (http_after(d->http, ms, wake, &awake, NULL) != ERR_OK)
        return;
    while (!awake && !process_stopping() && http_run(d->http, 200, NULL) == ERR_OK)
        ;
    if (!awake)
        http_cancel_all(d->http);
}

int64_t d1_http_pace(int64_t *next_ms, int64_t now_ms)
{
    *next_ms = (*next_ms > now_ms ? *next_ms : now_ms) + PACE_MS;
    const int64_t ahead = *next_ms - now_ms - (int64_t)BURST * PACE_MS;
    return ahead > 0 ? ahead : 0;
}

enum err_code d1_http_send(struct d1 *d, const struct buf *body, struct json **root, struct err *e)
{
    static const struct retry_policy passing = {.max_retries = 8, .deadline_ms = 120000},
                                     limited = {.max_retries = 30,
                                                .base_ms = 1000,
                                                .cap_ms = 60000,
                                                .deadline_ms = 420000};
    struct retry_state state = {.started_ms = clock_mono_ms()};
    struct attempt t;
    enum err_code code;
    int64_t delay = 0;

    *root = NULL;
    for (;;) {
        const int64_t wait = d1_http_pace(&d->paced_ms, clock_mono_ms());
        if (wait > 0)
            pause_for(d, wait);
        state.attempts++;
        code = attempt(d, body, &t, e);
        if (code == ERR_OK || !t.again ||
            !retry_next(t.limited ? &limited : &passing, &state, clock_mono_ms(), clock_wall_ms(),
                        t.retry_after[0] != '\0' ? t.retry_after : NULL, &delay) ||
            (process_stopping() && delay > 1000))
            break;
        pause_for(d, delay);
    }
    *root = t.root;
    return code;
}
