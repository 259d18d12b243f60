/* s3_admit: between the operations and the network stands the limiter: requests wait here, in order, until it lets them begin,
 * and it is told of each answer. Nothing that waits is forgotten: as long as there is any, an alarm is set in the loop, which also
 * tells of a cancellation. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "s3.h"

#define PATIENCE_MS ((int64_t)600 * 1000) /* a request may be told "too fast" for so long */
#define ASKED_MAX   ((int64_t)20 * 1000)

/* ---- the queue ------------------------------------------------------------------------------------------- */

static void append(struct s3_store *s, struct s3_request *r)
{
    if (s->waiting == NULL)
        s->waiting_end = &s->waiting;
    r->next_waiting = NULL;
    *s->waiting_end = r;
    s->waiting_end = &r->next_waiting;
    s->waiting_count++;
}

static void prepend(struct s3_store *s, struct s3_request *r)
{
    if (s->waiting == NULL)
        s->waiting_end = &r->next_waiting;
    r->next_waiting = s->waiting;
    s->waiting = r;
    s->waiting_count++;
}

static struct s3_request *take_out(struct s3_store *s, struct s3_request **at)
{
    struct s3_request *r = *at;

    *at = r->next_waiting;
    if (s->waiting_end == &r->next_waiting)
        s->waiting_end = at;
    s->waiting_count--;
    return r;
}

static void tell_waiting(struct s3_store *s)
{
    const bool waits = s->waiting != NULL;

    if (waits != s->told_waiting)
        limiter_waiting(s->limiter, &s->client, waits);
    s->told_waiting = waits;
}

/* ---- the alarm -------------------------------------------------------------------------------------------- */

static void on_alarm(void *user, bool cancelled)
{
    struct s3_store *s = user;

    if (cancelled)
        s3_admit_cancel(s);
    if (cancelled || s->alarm_ms <= clock_mono_ms())
        s->alarm_ms = 0;
    s3_admit_pump(s);
}

static enum err_code set_alarm(struct s3_store *s, int64_t wait_ms, struct err *e)
{
    const int64_t due = clock_mono_ms() + wait_ms;
    enum err_code code;

    if (s->alarm_ms != 0 && s->alarm_ms <= due)
        return ERR_OK;
    code = http_after(s->http, wait_ms, on_alarm, s, e);
    if (code == ERR_OK)
        s->alarm_ms = due;
    return code;
}

/* ---- admission ----------------------------------------------------------------------------------------------- */

static bool writes(enum s3_op op)
{
    return op == S3_PUT || op == S3_DELETE || op == S3_COMPLETE;
}

static enum limiter_verdict ask(struct s3_request *r, int64_t *wait_ms)
{
    struct s3_store *s = r->store;

    r->ticket = (struct limiter_ticket){.key = limiter_key(r->key), .writes = writes(r->op)};
    return limiter_admit(s->limiter, &s->client, &r->ticket, clock_mono_ms(), wait_ms);
}

static enum err_code transmit(struct s3_request *r, struct err *e)
{
    struct s3_store *s = r->store;
    const enum err_code code = s3_request_transmit(r, e);

    if (code != ERR_OK)
        limiter_done(s->limiter, &s->client, &r->ticket,
                     &(struct limiter_report){.outcome = LIMITER_UNSENT}, clock_mono_ms());
    return code;
}

enum err_code s3_admit(struct s3_request *r, bool again, struct err *e)
{
    struct s3_store *s = r->store;
    int64_t wait_ms = 0;
    enum err_code code;

    if (s->waiting == NULL || again || s->only_keys_wait) {
        const enum limiter_verdict v = ask(r, &wait_ms);
        if (v == LIMITER_GO)
            return transmit(r, e);
        if (v == LIMITER_DEAD) /* told later, as all answers are */
            wait_ms = 0;
        else if (v == LIMITER_WAIT)
            s->only_keys_wait = false;
    }
    code = set_alarm(s, wait_ms, e);
    if (code != ERR_OK)
        return code;
    if (again)
        prepend(s, r);
    else
        append(s, r);
    tell_waiting(s);
    return ERR_OK;
}

static void refuse_dead(struct s3_request *r)
{
    struct err e;

    err_set(&e, ERR_STORE_UNAVAILABLE, "'%s' does not answer any more", r->store->at.host);
    e.retryable = true;
    s3_request_refuse(r, S3_RETRY, &e);
}

static void refuse_all(struct s3_store *s, const struct err *e)
{
    size_t n = s->waiting_count; /* what comes meanwhile is not meant */

    while (n-- > 0 && s->waiting != NULL)
        s3_request_refuse(take_out(s, &s->waiting),
                          e->code == ERR_CANCELLED ? S3_CANCELLED : S3_LOCAL, e);
}

void s3_admit_cancel(struct s3_store *s)
{
    struct err e;

    err_set(&e, ERR_CANCELLED, "cancelled");
    refuse_all(s, &e);
    tell_waiting(s);
}

/* True: nothing more may begin for *wait_ms. */
static bool try_next(struct s3_store *s, struct s3_request ***at, int64_t *wait_ms)
{
    struct s3_request *r = **at;
    int64_t ms = 0;
    struct err e;

    switch (ask(r, &ms)) {
    case LIMITER_GO:
        take_out(s, *at);
        err_init(&e);
        if (transmit(r, &e) != ERR_OK)
            s3_request_refuse(r, e.code == ERR_CANCELLED ? S3_CANCELLED : S3_LOCAL, &e);
        return false;
    case LIMITER_DEAD:
        refuse_dead(take_out(s, *at));
        return false;
    case LIMITER_WAIT_KEY:
        *wait_ms = *wait_ms < 0 || ms < *wait_ms ? ms : *wait_ms;
        *at = &r->next_waiting;
        return false;
    case LIMITER_WAIT:
    default:
        *wait_ms = *wait_ms < 0 || ms < *wait_ms ? ms : *wait_ms;
        return true;
    }
}

void s3_admit_pump(struct s3_store *s)
{
    struct s3_request **at = &s->waiting;
    int64_t wait_ms = -1;
    bool stopped = false;
    struct err e;

    if (s->admitting || s->waiting == NULL)
        return;
    s->admitting = true;
    while (!stopped && *at != NULL)
        stopped = try_next(s, &at, &wait_ms);
    s->only_keys_wait = !stopped;
    err_init(&e);
    if (s->waiting != NULL && set_alarm(s, wait_ms > 0 ? wait_ms : 0, &e) != ERR_OK)
        refuse_all(s, &e);
    s->admitting = false;
    tell_waiting(s);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static bool is_throttling(struct s3_store *s, const struct s3_request *r, int status,
                          const char *code)
{
    const bool says = str_starts(code, "SlowDown") || str_starts(code, "Throttling") ||
                      str_eq(code, "TooManyRequests") || str_eq(code, "RequestThrottled") ||
                      str_eq(code, "RequestLimitExceeded");

    if (status == 503 && code[0] != '\0')
        s->slow_down = says;
    /* HEAD has no body to say it in: as the others' 503 is meant */
    return status == 429 || says || (status == 503 && r->op == S3_HEAD && s->slow_down);
}

static enum limiter_outcome outcome_of(struct s3_request *r, const struct http_response *response,
                                       const struct s3_judgement *is)
{
    const int status = response->status;

    if (response->fault == HTTP_CANCELLED || response->fault == HTTP_LOCAL ||
        response->fault == HTTP_TLS)
        return LIMITER_UNSENT;
    if (status == 0)
        return LIMITER_SILENT;
    if (is_throttling(r->store, r, status, is->error.code))
        return LIMITER_THROTTLED;
    return status >= 502 && status <= 504 ? LIMITER_OVERLOAD : LIMITER_ANSWERED;
}

bool s3_admit_done(struct s3_request *r, const struct http_response *response,
                   const struct s3_judgement *is)
{
    struct s3_store *s = r->store;
    const int64_t now = clock_mono_ms();
    const int64_t patience = s->retry.patience_ms != 0 ? s->retry.patience_ms : PATIENCE_MS;
    const char *asked =
        response->status >= 400 ? http_response_header(response, "Retry-After") : NULL;
    const struct limiter_report report = {
        .outcome = outcome_of(r, response, is),
        .retry_after_ms =
            retry_after_ms(asked, s3_now_ms(s), s->retry.cap_ms > 0 ? s->retry.cap_ms : ASKED_MAX),
        .bytes = response->bytes_sent + response->bytes_received};

    if (!limiter_done(s->limiter, &s->client, &r->ticket, &report, now))
        return false;
    if (r->forgiven_since_ms == 0)
        r->forgiven_since_ms = now;
    if (now - r->forgiven_since_ms >= patience)
        return false;
    r->forgiven++;
    r->retry.started_ms = now; /* nor does the time */
    return true;
}
