/* s3_bulk: DeleteObjects. Each key gets an answer of its own; those that get none, or a transient one, are asked again, and are
 * in doubt in the end. Where the store has no bulk removal, keys are removed one by one. */
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"
#include "blobferry/codec/text.h"
#include "s3.h"
#include "s3_deleted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)16 << 20) /* 1000 keys of 1,024 bytes, each byte a reference */
#define SINGLES      8                  /* removals at once where there is no bulk removal */

struct bulk_item {
    char *key, *etag; /* owned; etag may be NULL */
    bool settled;
};

struct bulk_task {
    struct s3_task task;
    struct s3_request request;
    objstore_bulk_fn *done;
    size_t n;
    struct bulk_item *items;
    size_t *order; /* indices of items, sorted by key */
    struct objstore_bulk_result *each;
    struct buf document;
    char sha256[DIGEST_SHA256_HEX], md5[32], checksum[48];
    /* one by one */
    size_t next, under_way;
    bool ending;
};

struct single {
    struct bulk_task *bulk;
    size_t index;
};

/* ---- ending ------------------------------------------------------------------------------------------- */

static void release(struct bulk_task *t)
{
    for (size_t i = 0; t->items != NULL && i < t->n; i++) {
        free(t->items[i].key);
        free(t->items[i].etag);
    }
    free(t->items);
    free(t->order);
    free(t->each);
    buf_release(&t->document);
    s3_task_free(&t->task);
}

static void set(struct bulk_task *t, size_t i, enum objstore_outcome outcome, const char *message)
{
    t->items[i].settled = true;
    t->each[i].outcome = outcome;
    str_copy(t->each[i].message, sizeof t->each[i].message, message);
}

static void end(struct bulk_task *t)
{
    struct objstore_result *r = &t->task.result;

    for (size_t i = 0; i < t->n; i++) {
        if (t->items[i].settled || t->each[i].message[0] != '\0')
            continue; /* or it has a transient error of its own */
        if (r->outcome == OBJSTORE_DONE)
            set(t, i, OBJSTORE_UNAVAILABLE, "the store did not answer for this key");
        else
            set(t, i, r->outcome, r->err.message);
    }
    s3_task_leave(&t->task);
    t->done(t->task.user, r, t->each, t->n);
    release(t);
}

/* ---- the answer ----------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b, void *user)
{
    const struct bulk_task *t = user;
    return strcmp(t->items[*(const size_t *)a].key, t->items[*(const size_t *)b].key);
}

/* First place in `order` whose key is not less. */
static size_t find(const struct bulk_task *t, const char *key)
{
    size_t low = 0, high = t->n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(t->items[t->order[middle]].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Keys that we did not name are nothing to us. */
static void on_key(void *user, const char *key, const struct s3_error *error)
{
    struct bulk_task *t = user;
    struct s3_judgement is = {.verdict = S3_OK};
    char message[160] = "";

    if (error != NULL) {
        s3_classify_error(error, &is);
        (void)snprintf(message, sizeof message, "%s%s%.80s", error->code,
                       error->message[0] == '\0' ? "" : ": ", error->message);
        if (is.verdict == S3_ABSENT) /* as good as deleted */
            is.verdict = S3_OK;
    }
    for (size_t at = find(t, key); at < t->n; at++) {
        const size_t i = t->order[at];
        if (strcmp(t->items[i].key, key) != 0)
            break;
        if (t->items[i].settled)
            continue;
        set(t, i, s3_result_outcome(is.verdict), message);
        t->each[i].locked = is.locked;
        t->items[i].settled = is.verdict != S3_RETRY;
    }
}

static size_t open_items(const struct bulk_task *t)
{
    size_t open = 0;

    for (size_t i = 0; i < t->n; i++)
        open += !t->items[i].settled;
    return open;
}

static enum s3_verdict read_answer(void *user, const struct http_response *r, struct err *e)
{
    struct bulk_task *t = user;

    if (!r->body_truncated && s3_deleted_parse(r->body.data, r->body.len, on_key, t))
        return S3_OK;
    err_set(e, ERR_STORE_UNAVAILABLE, "the answer tells of no removal");
    return S3_RETRY;
}

static bool make_document(struct bulk_task *t);

static void on_answer(void *user, const struct s3_answer *a)
{
    struct bulk_task *t = user;

    s3_result_take(&t->task.result, a, &t->request);
    if ((a->is.verdict == S3_OK || a->is.verdict == S3_RETRY) && open_items(t) > 0 &&
        make_document(t)) {
        t->request.body = t->document.data;
        t->request.length = t->document.len;
        if (s3_request_again(&t->request, -1))
            return;
    }
    end(t);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

/* One checksum in a request, never two: MD5, which every store knows, unless OpenSSL was forbidden to. */
static void make_checksum(struct bulk_task *t)
{
    unsigned char raw[DIGEST_MAX];
    struct digest d;

    t->md5[0] = t->checksum[0] = '\0';
    if (digest_init(&d, DIGEST_MD5, NULL) == ERR_OK) {
        digest_update(&d, t->document.data, t->document.len);
        digest_final(&d, raw);
        text_base64(raw, digest_size(DIGEST_MD5), t->md5, sizeof t->md5);
    } else {
        digest_sha256(t->document.data, t->document.len, raw);
        text_base64(raw, DIGEST_SHA256_SIZE, t->checksum, sizeof t->checksum);
    }
    digest_release(&d);
}

/* Of the keys that are not settled yet. The headers point into t. */
static bool make_document(struct bulk_task *t)
{
    const bool etags = (t->task.store->base.features & OBJSTORE_BULK_DELETE_ETAG) != 0;

    s3_deleted_begin(&t->document);
    for (size_t i = 0; i < t->n; i++) {
        if (!t->items[i].settled)
            s3_deleted_object(&t->document, t->items[i].key, etags ? t->items[i].etag : NULL);
    }
    if (!s3_deleted_end(&t->document))
        return false;
    digest_sha256_hex(t->document.data, t->document.len, t->sha256);
    make_checksum(t);
    return true;
}

static enum err_code send_document(struct bulk_task *t, struct err *e)
{
    struct s3_request *r = &t->request;

    if (!make_document(t))
        return err_set(e, ERR_NOMEM, "out of memory");
    *r = (struct s3_request){.store = t->task.store,
                             .op = S3_DELETE_MANY,
                             .body = t->document.data,
                             .length = t->document.len,
                             .payload_sha256 = t->sha256,
                             .body_max = DOCUMENT_MAX,
                             .read = read_answer,
                             .done = on_answer,
                             .user = t};
    s3_request_query(r, "delete", "");
    s3_request_header(r, "content-type", "application/xml");
    if (t->md5[0] != '\0')
        s3_request_header(r, "content-md5", t->md5);
    else
        s3_request_header(r, "x-amz-checksum-sha256", t->checksum);
    return s3_request_send(r, 0, e);
}

/* ---- one by one -------------------------------------------------------------------------------------------- */

static enum err_code run_singles(struct bulk_task *t, struct err *e);

static void on_single(void *user, const struct objstore_result *r)
{
    struct single *one = user;
    struct bulk_task *t = one->bulk;
    struct err e;

    set(t, one->index, r->outcome, r->outcome == OBJSTORE_DONE ? "" : r->err.message);
    t->each[one->index].locked = r->locked;
    t->under_way--;
    free(one);
    /* What stops the run stops here as well. */
    if (r->outcome == OBJSTORE_DENIED || r->outcome == OBJSTORE_CANCELLED) {
        t->task.result.outcome = r->outcome;
        t->task.result.err = r->err;
        t->ending = true;
    }
    if (!t->ending && run_singles(t, &e) != ERR_OK) {
        t->task.result.outcome = OBJSTORE_LOCAL;
        t->task.result.err = e;
        t->ending = true;
    }
    if (t->under_way == 0)
        end(t);
}

static enum err_code run_singles(struct bulk_task *t, struct err *e)
{
    for (; t->next < t->n && t->under_way < SINGLES; t->next++) {
        struct single *one;
        enum err_code code;
        if (t->items[t->next].settled)
            continue;
        one = malloc(sizeof *one);
        if (one == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        *one = (struct single){t, t->next};
        code =
            s3_remove_start(&t->task.store->base, t->items[t->next].key, NULL, on_single, one, e);
        if (code != ERR_OK) {
            free(one);
            return code;
        }
        t->under_way++;
    }
    return ERR_OK;
}

/* ---- submitting --------------------------------------------------------------------------------------------- */

static bool copy_items(struct bulk_task *t, const struct objstore_bulk_item *items)
{
    struct err bad;

    for (size_t i = 0; i < t->n; i++) {
        t->order[i] = i;
        t->items[i].key = str_dup(items[i].key == NULL ? "" : items[i].key);
        t->items[i].etag = str_empty(items[i].if_match) ? NULL : str_dup(items[i].if_match);
        if (t->items[i].key == NULL || (t->items[i].etag == NULL && !str_empty(items[i].if_match)))
            return false;
        if (objkey_check(t->items[i].key, &bad) != ERR_OK)
            set(t, i, OBJSTORE_REJECTED, bad.message);
    }
    qsort_r(t->order, t->n, sizeof *t->order, by_key, t);
    return true;
}

enum err_code s3_bulk_start(struct objstore *store, const struct objstore_bulk_item *items,
                            size_t n, objstore_bulk_fn *done, void *user, struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct bulk_task *t = s3_task_new(sizeof *t, s, NULL, NULL, user, e);
    enum err_code code = ERR_OK;

    if (t == NULL)
        return ERR_NOMEM;
    t->done = done;
    t->n = n;
    t->items = calloc(n, sizeof *t->items);
    t->order = calloc(n, sizeof *t->order);
    t->each = calloc(n, sizeof *t->each);
    buf_init(&t->document, DOCUMENT_MAX);
    if (t->items == NULL || t->order == NULL || t->each == NULL || !copy_items(t, items))
        code = err_set(e, ERR_NOMEM, "out of memory");
    else if ((store->features & OBJSTORE_BULK_DELETE) == 0 && open_items(t) > 0)
        code = run_singles(t, e);
    else
        code = send_document(t, e);
    if (code == ERR_OK)
        return ERR_OK;
    if (t->under_way > 0) { /* some were sent: their callbacks end it */
        t->ending = true;
        t->task.result.outcome = OBJSTORE_LOCAL;
        t->task.result.err = *e;
        return ERR_OK;
    }
    release(t);
    return code;
}
