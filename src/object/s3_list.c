/* s3_list: ListObjectsV2, ListMultipartUploads, and the ping, which is a list of at most one key. */
#include "blobferry/base/str.h"
#include "s3.h"
#include "s3_listing.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX    ((size_t)16 << 20) /* 1000 keys of 1,024 bytes, each byte encoded, and the rest */
#define MARKERS_MAX ((size_t)16 << 10)

struct list_task {
    struct s3_task task;
    struct s3_request request;
    objstore_page_fn *done;
    char *prefix, *token, *start_after; /* owned; the last two may be NULL */
    struct buf key_marker, id_marker;
    char max[16];
    bool forgiving; /* a missing right to list is a warning */
    struct s3_listing listing;
};

static enum s3_verdict read_page(void *user, const struct http_response *r, struct err *e)
{
    struct list_task *t = user;
    enum err_code code;

    s3_listing_release(&t->listing);
    if (r->body_truncated) {
        err_set(e, ERR_STORE_CORRUPT, "the store's listing is larger than %zu MiB", BODY_MAX >> 20);
        return S3_CORRUPT;
    }
    if (t->request.op == S3_LIST)
        code = s3_listing_parse(&t->listing, r->body.data, r->body.len, t->token, e);
    else
        code = s3_listing_parse_uploads(&t->listing, r->body.data, r->body.len, t->token, e);
    if (code == ERR_OK)
        return S3_OK;
    return code == ERR_STORE_UNAVAILABLE ? S3_RETRY : S3_CORRUPT;
}

static void release(struct list_task *t)
{
    s3_listing_release(&t->listing);
    free(t->prefix);
    free(t->token);
    free(t->start_after);
    buf_release(&t->key_marker);
    buf_release(&t->id_marker);
    s3_task_free(&t->task);
}

static void on_answer(void *user, const struct s3_answer *a)
{
    struct list_task *t = user;
    struct objstore_page page = {.n = 0};

    s3_result_take(&t->task.result, a, &t->request);
    if (a->is.verdict == S3_OK)
        page = (struct objstore_page){
            .entries = t->listing.entries, .n = t->listing.count, .next = t->listing.next};
    /* AccessDenied is said only to a signature that was accepted, for a bucket that is there: keys for objects alone may not
     * list. */
    if (t->forgiving && str_eq(a->is.error.code, "AccessDenied"))
        t->task.result.outcome = OBJSTORE_DONE;
    s3_task_leave(&t->task);
    t->done(t->task.user, &t->task.result, &page);
    release(t);
}

/* Query parameters of a page; sorted when signed. */
static bool set_query(struct list_task *t)
{
    struct s3_request *r = &t->request;
    const bool uploads = r->op == S3_LIST_UPLOADS;

    s3_request_query(r, uploads ? "uploads" : "list-type", uploads ? "" : "2");
    s3_request_query(r, uploads ? "max-uploads" : "max-keys", t->max);
    /* Not for uploads: Ceph encodes the keys there and does not say so in its answer. */
    if (!uploads)
        s3_request_query(r, "encoding-type", "url");
    if (t->prefix[0] != '\0')
        s3_request_query(r, "prefix", t->prefix);
    if (uploads && t->token != NULL) {
        if (!s3_listing_markers(t->token, &t->key_marker, &t->id_marker))
            return false;
        s3_request_query(r, "key-marker", buf_cstr(&t->key_marker));
        if (t->id_marker.len > 0)
            s3_request_query(r, "upload-id-marker", buf_cstr(&t->id_marker));
    } else if (t->token != NULL) {
        s3_request_query(r, "continuation-token", t->token);
    } else if (t->start_after != NULL) {
        s3_request_query(r, uploads ? "key-marker" : "start-after", t->start_after);
    }
    return true;
}

struct list_kind {
    enum s3_op op;
    bool forgiving;
};

static enum err_code start(struct objstore *store, const struct list_kind *kind,
                           const struct objstore_list *l, objstore_page_fn *done, void *user,
                           struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct list_task *t = s3_task_new(sizeof *t, s, NULL, NULL, user, e);
    enum err_code code = ERR_OK;

    if (t == NULL)
        return ERR_NOMEM;
    t->done = done;
    t->forgiving = kind->forgiving;
    t->prefix = str_dup(l->prefix);
    t->token = str_dup(l->token);
    t->start_after = str_dup(l->start_after);
    buf_init(&t->key_marker, MARKERS_MAX);
    buf_init(&t->id_marker, MARKERS_MAX);
    (void)snprintf(t->max, sizeof t->max, "%d", l->max);
    t->request = (struct s3_request){.store = s,
                                     .op = kind->op,
                                     .body_max = BODY_MAX,
                                     .read = read_page,
                                     .done = on_answer,
                                     .user = t};
    if (t->prefix == NULL || (l->token != NULL && t->token == NULL) ||
        (l->start_after != NULL && t->start_after == NULL))
        code = err_set(e, ERR_NOMEM, "out of memory");
    else if (!set_query(t))
        code = err_set(e, ERR_GENERAL, "malformed continuation of a listing");
    if (code == ERR_OK)
        code = s3_request_send(&t->request, 0, e);
    if (code != ERR_OK)
        release(t);
    return code;
}

enum err_code s3_list_start(struct objstore *s, const struct objstore_list *l,
                            objstore_page_fn *done, void *user, struct err *e)
{
    return start(s, &(struct list_kind){.op = S3_LIST}, l, done, user, e);
}

enum err_code s3_list_uploads(struct objstore *s, const struct objstore_list *l,
                              objstore_page_fn *done, void *user, struct err *e)
{
    return start(s, &(struct list_kind){.op = S3_LIST_UPLOADS}, l, done, user, e);
}

/* ---- ping --------------------------------------------------------------------------------------------- */

struct ping {
    objstore_done_fn *done;
    void *user;
};

static void on_ping(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct ping *p = user;

    (void)page;
    p->done(p->user, r);
    free(p);
}

enum err_code s3_list_ping(struct objstore *s, objstore_done_fn *done, void *user, struct err *e)
{
    const struct objstore_list one = {.prefix = s->prefix, .max = 1};
    struct ping *p = malloc(sizeof *p);
    enum err_code code;

    if (p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    *p = (struct ping){done, user};
    code = start(s, &(struct list_kind){.op = S3_LIST, .forgiving = true}, &one, on_ping, p, e);
    if (code != ERR_OK)
        free(p);
    return code;
}
