/* http: the loop. Requests wait in a queue of ours until a connection is free, so that a deadline does not run while they
 * wait, and so that callbacks may submit from anywhere. */
#include "blobferry/net/http.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "http_socket.h"
#include "http_timer.h"
#include "http_transfer.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_DEFAULT 64
#define CONNECTIONS_MAX     1024
#define CONNECT_MS_DEFAULT  10000
#define STALL_MS_DEFAULT    60000
#define LOW_SPEED           1024 /* bytes per second */
#define NS_PER_US           1000

struct http {
    CURLM *multi;
    struct http_sockets sockets;
    struct http_setup setup;
    size_t max_running;
    struct http_transfers queue;
    struct http_transfers running;
    struct http_paused paused; /* those of running that wait for bandwidth */
    size_t queued_count, running_count;
    struct http_timers timers;
    struct {
        CURL **handles;
        size_t count;
    } idle[HTTP_SHAPES]; /* easy handles to be used again, set up for their shape */
    struct http_counts counts;
    bool performing; /* inside http_socket_turn: libcurl must not be called again */
    bool cancel_wanted;
    bool closing;
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void global_init(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- life -------------------------------------------------------------------------------------- */

static enum err_code apply_options(struct http *h, const struct http_options *o, struct err *e)
{
    const long connections = o->max_connections > 0 ? o->max_connections : CONNECTIONS_DEFAULT;
    const int64_t connect_ms =
        o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_MS_DEFAULT;
    const int64_t stall_ms = o->stall_ms > 0 ? o->stall_ms : STALL_MS_DEFAULT;

    h->max_running = (size_t)(connections < CONNECTIONS_MAX ? connections : CONNECTIONS_MAX);
    h->setup.connect_timeout_ms = connect_ms < INT_MAX ? (long)connect_ms : INT_MAX;
    h->setup.stall_s = stall_ms < INT_MAX ? (long)(stall_ms + 999) / 1000 : INT_MAX / 1000;
    h->setup.low_speed = LOW_SPEED;
    h->setup.verbose = o->verbose;
    http_pace_init(&h->setup.pace, 0, clock_mono_ns() / NS_PER_US);
    http_limit(h, o->bytes_per_second);
    if (o->ca_file == NULL)
        return ERR_OK;
    if (access(o->ca_file, R_OK) != 0)
        return err_set(e, ERR_CONFIG, "cannot read the CA certificates in '%s'", o->ca_file);
    h->setup.ca_file = str_dup(o->ca_file);
    return h->setup.ca_file != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code make_pools(struct http *h, struct err *e)
{
    for (size_t i = 0; i < HTTP_SHAPES; i++) {
        h->idle[i].handles = calloc(h->max_running, sizeof(CURL *));
        if (h->idle[i].handles == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

void http_limit(struct http *h, uint64_t bytes_per_second)
{
    http_pace_change(&h->setup.pace, bytes_per_second, clock_mono_ns() / NS_PER_US);
    h->setup.low_speed = LOW_SPEED;
    if (bytes_per_second > 0) { /* waiting for our own limit is no stall */
        const uint64_t share = bytes_per_second / h->max_running / 4;
        h->setup.low_speed = share < LOW_SPEED ? (long)share + 1 : LOW_SPEED;
    }
}

enum err_code http_new(struct http **out, const struct http_options *o, struct err *e)
{
    struct http *h = NULL;
    enum err_code code;

    *out = NULL;
    pthread_once(&global_once, global_init);
    if (global_result != CURLE_OK)
        return err_set(e, ERR_GENERAL, "cannot start libcurl: %s",
                       curl_easy_strerror(global_result));
    h = calloc(1, sizeof *h);
    if (h == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    TAILQ_INIT(&h->queue);
    TAILQ_INIT(&h->running);
    TAILQ_INIT(&h->paused);
    h->setup.running = &h->running;
    http_socket_init(&h->sockets);
    h->setup.sockets = &h->sockets;
    code = apply_options(h, o, e);
    if (code != ERR_OK)
        goto fail;
    h->multi = curl_multi_init();
    code = h->multi == NULL ? err_set(e, ERR_NOMEM, "out of memory") : make_pools(h, e);
    if (code == ERR_OK)
        code = http_socket_attach(&h->sockets, h->multi, e);
    if (code != ERR_OK)
        goto fail;
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->max_running);
    curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)h->max_running);
    *out = h;
    return ERR_OK;
fail:
    http_free(h);
    return code;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    h->closing = true; /* callbacks cannot submit any more */
    http_cancel_all(h);
    for (size_t i = 0; i < HTTP_SHAPES; i++) {
        for (size_t k = 0; k < h->idle[i].count; k++)
            curl_easy_cleanup(h->idle[i].handles[k]);
        free(h->idle[i].handles);
    }
    curl_multi_cleanup(h->multi);
    http_socket_release(&h->sockets);
    free(h->setup.ca_file);
    free(h);
}

/* ---- submitting ---------------------------------------------------------------------------------- */

enum err_code http_submit(struct http *h, const struct http_request *r, http_done_fn *done,
                          void *user, struct err *e)
{
    struct http_transfer *t;
    enum err_code code;

    if (h->closing)
        return err_set(e, ERR_CANCELLED, "stopping");
    code = http_transfer_new(&t, r, done, user, e);
    if (code != ERR_OK)
        return code;
    TAILQ_INSERT_TAIL(&h->queue, t, entry);
    h->queued_count++;
    return ERR_OK;
}

enum err_code http_after(struct http *h, int64_t delay_ms, void (*fn)(void *user, bool cancelled),
                         void *user, struct err *e)
{
    if (h->closing)
        return err_set(e, ERR_CANCELLED, "stopping");
    return http_timer_add(&h->timers, clock_mono_ms() + (delay_ms > 0 ? delay_ms : 0), fn, user, e);
}

/* ---- ending ---------------------------------------------------------------------------------------- */

static uint64_t *counter_of(struct http_counts *c, const char *method)
{
    switch (method[0]) {
    case 'G':
        return &c->get;
    case 'H':
        return &c->head;
    case 'D':
        return &c->delete_;
    default:
        return method[1] == 'U' ? &c->put : &c->post;
    }
}

static void count(struct http *h, const struct http_transfer *t)
{
    long n = 0;

    if (curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &n) == CURLE_OK && n > 0)
        (*counter_of(&h->counts, t->request.method))++;
    n = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &n) == CURLE_OK && n > 0)
        h->counts.connections += (uint64_t)n;
    h->counts.bytes_sent += t->response.bytes_sent;
    h->counts.bytes_received += t->response.bytes_received;
}

/* Off the running list, its easy handle back in the pool unless it has failed; t->response is final. */
static void retire(struct http *h, struct http_transfer *t)
{
    count(h, t);
    TAILQ_REMOVE(&h->running, t, entry);
    h->running_count--;
    if (t->paused)
        TAILQ_REMOVE(&h->paused, t, paused_entry);
    curl_multi_remove_handle(h->multi, t->easy);
    if (t->response.fault == HTTP_FINE && h->idle[t->shape].count < h->max_running) {
        h->idle[t->shape].handles[h->idle[t->shape].count++] = t->easy;
        http_transfer_detach(t);
    } else { /* what is left in a handle that has failed is not worth knowing */
        curl_easy_cleanup(t->easy);
    }
    t->easy = NULL;
}

static void deliver(struct http_transfer *t)
{
    t->done(t->user, &t->response);
    http_transfer_free(t);
}

void http_cancel_all(struct http *h)
{
    struct http_transfers stopped = TAILQ_HEAD_INITIALIZER(stopped);
    struct http_transfer *t;

    if (h->performing) {
        h->cancel_wanted = true;
        return;
    }
    h->cancel_wanted = false;
    while ((t = TAILQ_FIRST(&h->running)) != NULL) {
        http_transfer_cancel(t);
        retire(h, t);
        TAILQ_INSERT_TAIL(&stopped, t, entry);
    }
    while ((t = TAILQ_FIRST(&h->queue)) != NULL) {
        http_transfer_cancel(t);
        TAILQ_REMOVE(&h->queue, t, entry);
        TAILQ_INSERT_TAIL(&stopped, t, entry);
    }
    h->queued_count = 0;
    while ((t = TAILQ_FIRST(&stopped)) != NULL) { /* callbacks may submit again */
        TAILQ_REMOVE(&stopped, t, entry);
        deliver(t);
    }
    http_timer_cancel(&h->timers);
}

/* ---- running ---------------------------------------------------------------------------------------- */

static CURL *take_easy(struct http *h, enum http_shape shape)
{
    CURL *easy;

    if (h->idle[shape].count > 0)
        return h->idle[shape].handles[--h->idle[shape].count];
    easy = curl_easy_init();
    if (easy != NULL && http_transfer_setup(easy, &h->setup, shape) != CURLE_OK) {
        curl_easy_cleanup(easy);
        easy = NULL;
    }
    return easy;
}

/* A transfer that libcurl would not take: memory. */
static void fail_start(struct http_transfer *t, CURL *easy)
{
    if (easy != NULL) {
        http_transfer_conclude(t, CURLE_OUT_OF_MEMORY);
        curl_easy_cleanup(easy);
    } else {
        t->response.fault = HTTP_LOCAL;
        t->response.local_errno = ENOMEM;
        str_copy(t->response.fault_text, sizeof t->response.fault_text, "out of memory");
    }
    t->easy = NULL;
    deliver(t);
}

static void start_queued(struct http *h)
{
    struct http_transfer *t;

    while (h->running_count < h->max_running && (t = TAILQ_FIRST(&h->queue)) != NULL) {
        CURL *easy = take_easy(h, http_transfer_shape(t, &h->setup));
        TAILQ_REMOVE(&h->queue, t, entry);
        h->queued_count--;
        if (easy == NULL || http_transfer_prepare(t, easy, &h->setup, &h->paused) != CURLE_OK ||
            curl_multi_add_handle(h->multi, easy) != CURLM_OK) {
            fail_start(t, easy);
            continue;
        }
        TAILQ_INSERT_TAIL(&h->running, t, entry);
        h->running_count++;
    }
}

/* As many of those that wait as there is bandwidth for, the longest waiting first. */
static void resume_paused(struct http *h)
{
    size_t n =
        TAILQ_EMPTY(&h->paused) ? 0 : http_pace_ready(&h->setup.pace, clock_mono_ns() / NS_PER_US);
    struct http_transfer *t;

    for (; n > 0 && (t = TAILQ_FIRST(&h->paused)) != NULL; n--) {
        TAILQ_REMOVE(&h->paused, t, paused_entry);
        t->paused = false;
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}

static void harvest(struct http *h)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct http_transfer *t = NULL;
        const CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK || t == NULL)
            continue;
        http_transfer_conclude(t, result);
        retire(h, t); /* `message` is gone from here on */
        deliver(t);
    }
}

static int wait_ms(struct http *h, int timeout_ms)
{
    const int64_t limit = timeout_ms > 0 ? timeout_ms : 0;
    int64_t wait = http_timer_wait_ms(&h->timers, clock_mono_ms(), limit);

    if (!TAILQ_EMPTY(&h->paused)) {
        const int pace = http_pace_wait_ms(&h->setup.pace, clock_mono_ns() / NS_PER_US);
        wait = pace < wait ? pace : wait;
    }
    return (int)wait;
}

enum err_code http_run(struct http *h, int timeout_ms, struct err *e)
{
    CURLMcode rc;

    start_queued(h);
    resume_paused(h);
    h->performing = true;
    rc = http_socket_turn(&h->sockets, h->running_count, wait_ms(h, timeout_ms));
    h->performing = false;
    if (h->cancel_wanted)
        http_cancel_all(h);
    harvest(h);
    http_timer_fire(&h->timers, clock_mono_ms());
    start_queued(h);
    if (rc != CURLM_OK)
        return err_set(e, rc == CURLM_OUT_OF_MEMORY ? ERR_NOMEM : ERR_GENERAL,
                       "libcurl cannot go on: %s", curl_multi_strerror(rc));
    return ERR_OK;
}

size_t http_active(const struct http *h)
{
    return h->queued_count + h->running_count + h->timers.count;
}

void http_wakeup(struct http *h)
{
    http_socket_wakeup(&h->sockets);
}

void http_counts(const struct http *h, struct http_counts *out)
{
    *out = h->counts;
}
