/* s3_lost: an upload may exist whose id nobody knows, since the answer to CreateMultipartUpload was lost. Uploads of this very
 * key that were begun since are listed and aborted, before another one is created (P11). */
#include "s3_put.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define SLACK_MS  2000 /* Date has whole seconds */
#define PAGES_MAX 20

static void end_in_doubt(struct s3_put *p)
{
    struct objstore_result *r = &p->task.result;

    s3_result_take(r, &p->lost, &p->request);
    err_hint(&r->err, "an upload of this key may be left in the store; the store removes it after "
                      "some days");
    s3_put_end(p);
}

/* By the server's clock, when Create was sent. */
static int64_t created_ms(const struct s3_put *p)
{
    const struct s3_store *s = p->task.store;
    return p->request.sent_ms - s->skew_ms + s->lead_ms - SLACK_MS;
}

static void abort_next(struct s3_put *p);

static void on_aborted(void *user, const struct objstore_result *r)
{
    struct s3_put *p = user;

    if (r->outcome == OBJSTORE_DONE || r->outcome == OBJSTORE_ABSENT) {
        abort_next(p);
    } else if (r->outcome == OBJSTORE_CANCELLED) {
        s3_result_cancelled(&p->task.result);
        s3_put_end(p);
    } else {
        end_in_doubt(p);
    }
}

static void abort_next(struct s3_put *p)
{
    struct objstore *store = &p->task.store->base;
    enum err_code code;
    char *id;

    if (p->stray_count == 0) {
        if (!s3_request_again(&p->request, -1)) {
            s3_result_take(&p->task.result, &p->lost, &p->request); /* nothing is left behind */
            s3_put_end(p);
        }
        return;
    }
    id = p->strays[--p->stray_count];
    code = s3_abort_start(store, p->task.key, id, on_aborted, p, NULL);
    free(id);
    if (code != ERR_OK)
        end_in_doubt(p);
}

static void list(struct s3_put *p, const char *token);

static void on_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct s3_put *p = user;
    const int64_t since = created_ms(p);

    if (r->outcome == OBJSTORE_CANCELLED) {
        s3_result_cancelled(&p->task.result);
        s3_put_end(p);
        return;
    }
    if (r->outcome != OBJSTORE_DONE) {
        end_in_doubt(p);
        return;
    }
    for (size_t i = 0; i < page->n; i++) {
        const struct objstore_entry *entry = &page->entries[i];
        if (!str_eq(entry->key, p->task.key) || entry->last_modified_ms < since ||
            p->stray_count == S3_STRAYS_MAX)
            continue;
        p->strays[p->stray_count] = str_dup(entry->upload_id);
        p->stray_count += p->strays[p->stray_count] != NULL;
    }
    if (page->next != NULL && ++p->stray_pages < PAGES_MAX)
        list(p, page->next);
    else
        abort_next(p);
}

static void list(struct s3_put *p, const char *token)
{
    const struct objstore_list all = {.prefix = p->task.key, .token = token, .max = 1000};

    if (s3_list_uploads(&p->task.store->base, &all, on_page, p, NULL) != ERR_OK)
        end_in_doubt(p);
}

void s3_lost_find(struct s3_put *p)
{
    p->stray_pages = 0;
    list(p, NULL);
}
