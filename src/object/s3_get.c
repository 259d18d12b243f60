/* s3_get: GetObject into a sink. */
#include "blobferry/base/str.h"
#include "s3.h"
#include "s3_headers.h"

#include <inttypes.h>
#include <stdio.h>

struct get_task {
    struct s3_task task;
    struct s3_request request;
    objstore_sink_fn *sink;
    void *sink_user;
    uint64_t offset, length;
    bool ranged;
    char range[64];
    char if_match[OBJINFO_ETAG_MAX + 2]; /* quoted, "" none */
    uint64_t delivered;                  /* bytes of this attempt */
    bool overrun;                        /* more came than was asked for */
    bool stopped;                        /* the sink said so */
};

static bool take(void *user, const void *p, size_t n)
{
    struct get_task *t = user;

    if (t->ranged && t->length > 0 && n > t->length - t->delivered) {
        t->overrun = true;
        return false;
    }
    t->delivered += n;
    t->task.result.bytes += n;
    t->stopped = !t->sink(t->sink_user, p, n);
    return !t->stopped;
}

/* D10: a server that ignores the range sends other bytes than were asked for. */
static enum s3_verdict read_answer(void *user, const struct http_response *r, struct err *e)
{
    struct get_task *t = user;
    uint64_t first, last, total;

    if (!s3_headers_info(r, &t->task.result.info)) {
        err_set(e, ERR_STORE_CORRUPT, "'%s' has a checksum that is none",
                driver_shown(t->task.key).text);
        return S3_CORRUPT;
    }
    if (!t->ranged && r->status == 200)
        return S3_OK;
    if (t->ranged && r->status == 206 && s3_headers_range(r, &first, &last, &total) &&
        first == t->offset && t->delivered == last - first + 1 &&
        (t->length > 0 ? last == t->offset + t->length - 1 || last == total - 1
                       : last == total - 1))
        return S3_OK;
    err_set(e, ERR_STORE_CORRUPT, "the store sent another range of '%s' than was asked for",
            driver_shown(t->task.key).text);
    return S3_CORRUPT;
}

static void on_answer(void *user, const struct s3_answer *a)
{
    struct get_task *t = user;
    struct objstore_result *result = &t->task.result;
    bool again = a->is.verdict == S3_RETRY;

    if (again && t->delivered > 0) { /* bytes begin again */
        t->delivered = 0;
        t->stopped = !t->sink(t->sink_user, NULL, 0);
        again = !t->stopped;
    }
    if (again && s3_request_again(&t->request, -1))
        return;
    s3_result_take(result, a, &t->request);
    if (t->overrun) {
        result->outcome = OBJSTORE_CORRUPT;
        err_set(&result->err, ERR_STORE_CORRUPT, "the store sent more of '%s' than was asked for",
                driver_shown(t->task.key).text);
    } else if (t->stopped) {
        result->outcome = OBJSTORE_CANCELLED;
        err_set(&result->err, ERR_CANCELLED, "the reader of '%s' stopped",
                driver_shown(t->task.key).text);
    }
    s3_task_end(&t->task);
}

static void set_range(struct get_task *t)
{
    t->ranged = t->offset > 0 || t->length > 0;
    if (t->length > 0)
        (void)snprintf(t->range, sizeof t->range, "bytes=%" PRIu64 "-%" PRIu64, t->offset,
                       t->offset + t->length - 1);
    else
        (void)snprintf(t->range, sizeof t->range, "bytes=%" PRIu64 "-", t->offset);
}

enum err_code s3_get_start(struct objstore *store, const struct objstore_get *g,
                           objstore_done_fn *done, void *user, struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct get_task *t = s3_task_new(sizeof *t, s, g->key, done, user, e);
    enum err_code code;

    if (t == NULL)
        return ERR_NOMEM;
    t->sink = g->sink;
    t->sink_user = g->sink_user;
    t->offset = g->offset;
    t->length = g->length;
    t->request = (struct s3_request){.store = s,
                                     .op = S3_GET,
                                     .key = t->task.key,
                                     .sink = take,
                                     .io_user = t,
                                     .look_first = true,
                                     .read = read_answer,
                                     .done = on_answer,
                                     .user = t};
    set_range(t);
    if (t->ranged)
        s3_request_header(&t->request, "range", t->range);
    if (!str_empty(g->if_match)) {
        (void)snprintf(t->if_match, sizeof t->if_match, "\"%s\"", g->if_match);
        s3_request_header(&t->request, "if-match", t->if_match);
    }
    code = s3_request_send(&t->request, 0, e);
    if (code != ERR_OK)
        s3_task_free(&t->task);
    return code;
}
