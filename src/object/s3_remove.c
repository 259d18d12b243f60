/* s3_remove: DeleteObject. Where the store does not honour If-Match, HEAD compares the ETag first; the gap between the two is
 * admitted in the guide. After an answer that was lost HEAD decides before anything is sent again (P6): what is there by then
 * may be somebody else's (P5). */
#include "blobferry/base/str.h"
#include "s3.h"
#include "s3_headers.h"

#include <stdio.h>

struct remove_task {
    struct s3_task task;
    struct s3_request request;
    struct s3_look look;
    char etag[OBJINFO_ETAG_MAX];         /* meant, "" any */
    char if_match[OBJINFO_ETAG_MAX + 2]; /* the same, quoted */
    bool sent;                           /* DELETE has been sent */
    int64_t pause_ms;
    bool may_repeat;
    struct s3_answer lost; /* the answer that made us look; its response is gone */
};

static void end(struct remove_task *t, enum objstore_outcome outcome)
{
    t->task.result.outcome = outcome;
    if (outcome == OBJSTORE_DONE)
        err_init(&t->task.result.err);
    s3_task_end(&t->task);
}

static void end_unsent(struct remove_task *t, const struct err *e)
{
    struct s3_answer a;

    s3_result_unsent(&a, e);
    s3_result_take(&t->task.result, &a, &t->request);
    s3_task_end(&t->task);
}

static void end_other(struct remove_task *t)
{
    err_set(&t->task.result.err, ERR_CONFLICT, "'%s' is not the object meant: its ETag differs",
            driver_shown(t->task.key).text);
    end(t, OBJSTORE_PRECONDITION);
}

static bool is_meant(const struct remove_task *t)
{
    return t->etag[0] == '\0' || str_eq(t->etag, t->look.info.etag);
}

static void on_look(void *user, struct s3_look *l, const struct s3_answer *a)
{
    struct remove_task *t = user;
    struct objstore_result *r = &t->task.result;
    struct err e;

    if (a->is.verdict != S3_OK && a->is.verdict != S3_ABSENT) {
        /* Nothing is known, then: neither what became of the DELETE nor what is there. */
        s3_result_take(r, a, &l->request);
        s3_task_end(&t->task);
    } else if (a->is.verdict == S3_ABSENT) {
        r->resolved_by_look = t->sent;
        r->status = l->request.status;
        end(t, OBJSTORE_DONE);
    } else if (!is_meant(t)) {
        r->info = l->info;
        end_other(t);
    } else if (!t->sent) {
        if (s3_request_send(&t->request, 0, &e) != ERR_OK)
            end_unsent(t, &e);
    } else if (t->lost.is.verdict == S3_PRECONDITION || !t->may_repeat ||
               !s3_request_again(&t->request, 0)) {
        r->info = l->info;
        s3_result_take(r, &t->lost, &t->request);
        s3_task_end(&t->task);
    }
}

static void look(struct remove_task *t, int64_t delay_ms)
{
    struct err e;

    if (s3_look_start(&t->look, t->task.store,
                      &(struct s3_look_options){
                          .key = t->task.key, .delay_ms = delay_ms, .done = on_look, .user = t},
                      &e) != ERR_OK)
        end_unsent(t, &e);
}

static enum s3_verdict read_answer(void *user, const struct http_response *r, struct err *e)
{
    struct remove_task *t = user;
    struct objstore_result *result = &t->task.result;
    const char *marker = http_response_header(r, "x-amz-delete-marker");

    (void)e;
    if (marker != NULL && str_ieq(marker, "true")) { /* D15: hidden, not gone */
        const char *version = http_response_header(r, "x-amz-version-id");
        t->task.store->base.features |= OBJSTORE_VERSIONS;
        str_copy(result->info.version_id, sizeof result->info.version_id,
                 version == NULL ? "" : version);
    }
    return S3_OK;
}

static void on_answer(void *user, const struct s3_answer *a)
{
    struct remove_task *t = user;

    t->sent = true;
    if (a->is.verdict == S3_ABSENT) {
        t->task.result.status = t->request.status;
        end(t, OBJSTORE_DONE);
        return;
    }
    if ((a->is.verdict == S3_RETRY && a->is.unknown) || a->is.verdict == S3_PRECONDITION) {
        t->lost = *a;
        t->lost.response = NULL;
        t->may_repeat = s3_request_backoff(&t->request, &t->pause_ms);
        look(t, t->pause_ms);
        return;
    }
    s3_result_take(&t->task.result, a, &t->request);
    s3_task_end(&t->task);
}

enum err_code s3_remove_start(struct objstore *store, const char *key, const char *if_match,
                              objstore_done_fn *done, void *user, struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct remove_task *t = s3_task_new(sizeof *t, s, key, done, user, e);
    const bool conditional = (store->features & OBJSTORE_DELETE_IF_MATCH) != 0;
    enum err_code code;

    if (t == NULL)
        return ERR_NOMEM;
    t->request = (struct s3_request){.store = s,
                                     .op = S3_DELETE,
                                     .key = t->task.key,
                                     .look_first = true,
                                     .read = read_answer,
                                     .done = on_answer,
                                     .user = t};
    if (!str_empty(if_match)) {
        str_copy(t->etag, sizeof t->etag, if_match);
        (void)snprintf(t->if_match, sizeof t->if_match, "\"%s\"", if_match);
    }
    if (conditional && t->etag[0] != '\0')
        s3_request_header(&t->request, "if-match", t->if_match);
    if (!conditional && t->etag[0] != '\0')
        code = s3_look_start(
            &t->look, s, &(struct s3_look_options){.key = t->task.key, .done = on_look, .user = t},
            e);
    else
        code = s3_request_send(&t->request, 0, e);
    if (code != ERR_OK)
        s3_task_free(&t->task);
    return code;
}
