/* s3: the store itself, its loop, and its table. */
#include "s3.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMETABLE_MS      1000
#define R2_KEY_SPACING_MS 1000

/* ---- open ----------------------------------------------------------------------------------------- */

/* bucket[/prefix]; the prefix as it stands: plan puts it before every key. */
static enum err_code parse(const char *rest, struct driver_target *t, struct err *e)
{
    const size_t n = strcspn(rest, "/");

    if (n == 0) {
        err_set(e, ERR_CONFIG, "'s3://%s' names no bucket", rest);
        return err_hint(e, "give a target like s3://BUCKET[/PREFIX]");
    }
    t->place = strndup(rest, n);
    t->prefix = str_dup(rest[n] == '/' ? rest + n + 1 : "");
    if (t->place == NULL || t->prefix == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    return ERR_OK;
}

static enum err_code check_credentials(const struct objstore_credentials *c, struct err *e)
{
    if (c != NULL && c->access_key[0] != '\0' && secret_is_set(&c->secret))
        return ERR_OK;
    err_set(e, ERR_CONFIG, "no credentials for the object store");
    return err_hint(e, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or "
                       "CLOUDFLARE_API_TOKEN");
}

/* Endpoint, profile and region depend on each other: R2's region is auto, AWS's endpoint follows from the region. */
static enum err_code set_place(struct s3_store *s, const struct objstore_options *o, struct err *e)
{
    struct s3_endpoint_options at = {.url = o->endpoint_url,
                                     .region = o->region,
                                     .bucket = s->bucket,
                                     .virtual_host = o->virtual_host};
    enum err_code code;

    if (str_empty(at.region) && o->profile == OBJSTORE_R2)
        at.region = "auto";
    code = s3_endpoint_init(&s->at, &at, e);
    if (code != ERR_OK)
        return code;
    s->base.profile = o->profile == OBJSTORE_AUTO ? s3_endpoint_profile(s->at.host) : o->profile;
    s->base.features = objstore_profile_features(s->base.profile);
    if (!str_empty(o->region))
        str_copy(s->region, sizeof s->region, o->region);
    else
        str_copy(s->region, sizeof s->region,
                 s->base.profile == OBJSTORE_R2 ? "auto" : "us-east-1");
    if (asprintf(&s->base.name, "s3://%s at %s", s->bucket, s->at.host) < 0) {
        s->base.name = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

static void release(struct s3_store *s)
{
    http_free(s->http);
    if (s->limiter != NULL)
        limiter_leave(s->limiter, &s->client);
    limiter_free(s->limiter);
    sigv4_release(&s->signer);
    free(s->bucket);
    free(s);
}

static bool is_unset(const struct retry_policy *p)
{
    return p->max_retries == 0 && p->base_ms == 0 && p->cap_ms == 0 && p->deadline_ms == 0;
}

/* One limiter for all loops that talk to the endpoint; a concurrency that was asked for is there from the beginning. */
static enum err_code join_limiter(struct s3_store *s, const struct objstore_options *o,
                                  struct err *e)
{
    const struct limiter_options own = {.max = o->concurrency,
                                        .start = o->concurrency,
                                        .key_spacing_ms =
                                            s->base.profile == OBJSTORE_R2 ? R2_KEY_SPACING_MS : 0,
                                        .dead_ms = o->dead_ms};
    enum err_code code = ERR_OK;

    if (o->limiter != NULL)
        s->limiter = limiter_share(o->limiter);
    else
        code = limiter_new(&s->limiter, &own, e);
    if (code == ERR_OK)
        limiter_join(s->limiter, &s->client);
    return code;
}

static enum err_code open_store(struct objstore **out, const struct driver_target *t,
                                const struct objstore_options *o, struct err *e)
{
    struct s3_store *s;
    enum err_code code = check_credentials(o->credentials, e);
    const struct http_options http = {.max_connections =
                                          o->concurrency > 0 ? o->concurrency : LIMITER_MAX,
                                      .ca_file = o->ca_file,
                                      .verbose = o->verbose};

    if (code != ERR_OK)
        return code;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->bucket = str_dup(t->place);
    str_copy(s->source, sizeof s->source, o->credentials->source);
    s->retry = o->retry;
    if (o->bandwidth != NULL)
        s->bandwidth = *o->bandwidth;
    if (is_unset(&s->retry))
        retry_defaults(&s->retry);
    code = s->bucket == NULL ? err_set(e, ERR_NOMEM, "out of memory") : set_place(s, o, e);
    if (code == ERR_OK)
        code = sigv4_init(&s->signer,
                          &(struct sigv4_keys){.access_key = o->credentials->access_key,
                                               .secret = &o->credentials->secret,
                                               .session_token = &o->credentials->session_token},
                          s->region, "s3", e);
    if (code == ERR_OK)
        code = join_limiter(s, o, e);
    if (code == ERR_OK)
        code = http_new(&s->http, &http, e);
    if (code != ERR_OK) {
        free(s->base.name);
        release(s);
        return code;
    }
    *out = &s->base;
    return ERR_OK;
}

static void close_store(struct objstore *store)
{
    s3_admit_cancel((struct s3_store *)store);
    release((struct s3_store *)store); /* http_free cancels: every operation calls back */
}

/* ---- the timetable ------------------------------------------------------------------------------------ */

/* The limit is the process's: each of its loops has an equal share. */
static void follow_timetable(struct s3_store *s)
{
    const int64_t now = clock_mono_ms();
    const time_t wall = (time_t)(clock_wall_ms() / 1000);
    struct tm local;
    uint64_t rate;

    if (s->bandwidth.n == 0 || now < s->bandwidth_ms || localtime_r(&wall, &local) == NULL)
        return;
    s->bandwidth_ms = now + TIMETABLE_MS;
    rate = bandwidth_rate(&s->bandwidth, &local);
    if (rate > 0)
        rate = rate / (uint64_t)limiter_clients(s->limiter) + 1;
    http_limit(s->http, rate);
}

/* ---- the loop --------------------------------------------------------------------------------------- */

static enum err_code run(struct objstore *store, int timeout_ms, struct err *e)
{
    follow_timetable((struct s3_store *)store);
    return http_run(((struct s3_store *)store)->http, timeout_ms, e);
}

static void wakeup(struct objstore *store)
{
    http_wakeup(((struct s3_store *)store)->http);
}

static size_t active(const struct objstore *store)
{
    return ((const struct s3_store *)store)->active;
}

static void cancel_all(struct objstore *store)
{
    s3_admit_cancel((struct s3_store *)store);
    http_cancel_all(((struct s3_store *)store)->http);
}

static void requests(const struct objstore *store, struct objstore_requests *out)
{
    struct http_counts c;

    http_counts(((const struct s3_store *)store)->http, &c);
    *out = (struct objstore_requests){.get = c.get,
                                      .head = c.head,
                                      .put = c.put,
                                      .post = c.post,
                                      .delete_ = c.delete_,
                                      .bytes_sent = c.bytes_sent,
                                      .bytes_received = c.bytes_received};
}

static int64_t skew_ms(const struct objstore *store)
{
    return ((const struct s3_store *)store)->skew_ms;
}

static bool lead_ms(const struct objstore *store, int64_t *ms)
{
    const struct s3_store *s = (const struct s3_store *)store;

    *ms = s->lead_ms;
    return s->lead_known;
}

static struct limiter *limiter(struct objstore *store)
{
    return ((struct s3_store *)store)->limiter;
}

const struct objstore_ops s3_ops = {
    .scheme = "s3://",
    .resumes = true,
    .parse = parse,
    .open = open_store,
    .close = close_store,
    .stat = s3_stat_start,
    .get = s3_get_start,
    .put = s3_put_start,
    .remove = s3_remove_start,
    .remove_many = s3_bulk_start,
    .abort = s3_abort_start,
    .list = s3_list_start,
    .list_uploads = s3_list_uploads,
    .ping = s3_list_ping,
    .run = run,
    .wakeup = wakeup,
    .active = active,
    .cancel_all = cancel_all,
    .requests = requests,
    .skew_ms = skew_ms,
    .lead_ms = lead_ms,
    .limiter = limiter,
    .probe = s3_probe,
};
