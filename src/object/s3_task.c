/* s3_task: what all operations of the S3 driver have in common, and how answers become results. */
#include "blobferry/base/str.h"
#include "s3.h"

#include <stdlib.h>
#include <string.h>

void *s3_task_new(size_t size, struct s3_store *s, const char *key, objstore_done_fn *done,
                  void *user, struct err *e)
{
    struct s3_task *t = calloc(1, size);

    if (t == NULL)
        goto fail;
    t->store = s;
    t->done = done;
    t->user = user;
    t->result.info.size = -1;
    t->key = str_dup(key);
    if (key != NULL && t->key == NULL)
        goto fail;
    s->active++;
    return t;
fail:
    free(t);
    err_set(e, ERR_NOMEM, "out of memory");
    return NULL;
}

void s3_task_leave(struct s3_task *t)
{
    if (!t->left)
        t->store->active--;
    t->left = true;
}

void s3_task_free(struct s3_task *t)
{
    s3_task_leave(t);
    free(t->key);
    free(t);
}

void s3_task_end(struct s3_task *t)
{
    /* Not counted any more when the caller is told: it may ask objstore_active in its callback. */
    s3_task_leave(t);
    t->done(t->user, &t->result);
    s3_task_free(t);
}

enum objstore_outcome s3_result_outcome(enum s3_verdict v)
{
    switch (v) {
    case S3_OK:
        return OBJSTORE_DONE;
    case S3_ABSENT:
        return OBJSTORE_ABSENT;
    case S3_PRECONDITION:
        return OBJSTORE_PRECONDITION;
    case S3_RETRY:
        return OBJSTORE_UNAVAILABLE;
    case S3_REJECTED:
        return OBJSTORE_REJECTED;
    case S3_CORRUPT:
        return OBJSTORE_CORRUPT;
    case S3_LOCAL:
        return OBJSTORE_LOCAL;
    case S3_CANCELLED:
        return OBJSTORE_CANCELLED;
    case S3_CLOCK:
    case S3_FALLBACK:
    case S3_DENIED:
    default:
        return OBJSTORE_DENIED;
    }
}

void s3_result_take(struct objstore_result *out, const struct s3_answer *a,
                    const struct s3_request *r)
{
    out->outcome = s3_result_outcome(a->is.verdict);
    out->err = a->err;
    out->locked = a->is.locked;
    out->status = r->status;
    out->attempts = r->retry.attempts;
    if (out->outcome == OBJSTORE_DONE)
        err_init(&out->err);
}

void s3_result_cancelled(struct objstore_result *out)
{
    out->outcome = OBJSTORE_CANCELLED;
    err_set(&out->err, ERR_CANCELLED, "cancelled");
}

void s3_result_unsent(struct s3_answer *a, const struct err *e)
{
    memset(a, 0, sizeof *a);
    a->is.verdict = e->code == ERR_CANCELLED ? S3_CANCELLED : S3_LOCAL;
    a->err = *e;
}
