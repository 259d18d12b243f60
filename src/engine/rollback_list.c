#include "blobferry/base/str.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

/* Fewer candidates than this are looked at one by one. */
#define CANDIDATES_MIN 32
/* At most one LIST for so many candidates: a sparse selection in a large bucket is cheaper by HEAD. */
#define CANDIDATES_PER_LIST 50

struct listing {
    struct rollback_job *job;
    struct rollback_item **candidates; /* in the byte order of their keys */
    size_t n, found;
    bool waiting, last, failed;
    char *token; /* owned; NULL: from the start */
};

/* Evidence by LIST is ETag and size: enough for objects that we wrote and whose ETag we recorded. */
static bool is_candidate(const struct rollback_item *it)
{
    const struct record *r = it->record;

    return it->refusal == ROLLBACK_OK && !str_empty(r->etag) && r->object_owner != NULL &&
           r->migrated_checksum != NULL && !r->pre_existed && r->file_size >= 0 &&
           !str_empty(r->target_key);
}

static int by_key(const void *a, const void *b)
{
    const struct rollback_item *const *x = a, *const *y = b;
    return strcmp((*x)->record->target_key, (*y)->record->target_key);
}

static struct rollback_item *find(const struct listing *l, const struct objstore_entry *entry)
{
    size_t low = 0, high = l->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *key = l->candidates[middle]->record->target_key;
        size_t len = strlen(key), shorter = len < entry->key_len ? len : entry->key_len;
        int order = memcmp(entry->key, key, shorter);

        if (order == 0)
            order = (entry->key_len > len) - (entry->key_len < len);
        if (order == 0)
            return l->candidates[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Only agreement counts: whatever differs gets a HEAD, which sees more. */
static void take(struct listing *l, const struct objstore_entry *entry)
{
    struct rollback_item *it = find(l, entry);

    if (it == NULL || it->listed || entry->etag == NULL || !str_eq(entry->etag, it->record->etag) ||
        entry->size != it->record->file_size)
        return;
    it->listed = true;
    it->outcome = OBJSTORE_DONE;
    it->info.size = entry->size;
    str_copy(it->info.etag, sizeof it->info.etag, entry->etag);
    l->found++;
}

static void on_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct listing *l = user;
    const char *end = l->candidates[l->n - 1]->record->target_key;

    l->waiting = false;
    free(l->token);
    l->token = NULL;
    if (r->outcome != OBJSTORE_DONE || page == NULL) {
        l->failed = true; /* no right to list, or no answer: HEAD decides */
        return;
    }
    for (size_t i = 0; i < page->n; i++)
        take(l, &page->entries[i]);
    l->last = page->next == NULL;
    if (page->n > 0) {
        const struct objstore_entry *e = &page->entries[page->n - 1];
        size_t n = strlen(end);
        int order = memcmp(e->key, end, n < e->key_len ? n : e->key_len);
        l->last = l->last || order > 0 || (order == 0 && e->key_len >= n);
    }
    if (!l->last && (l->token = str_dup(page->next)) == NULL)
        l->failed = true;
}

/* What all keys from first to last begin with, and a key just before the first, cut at whole characters. */
static void bounds(const char *first, const char *last, char *prefix, char *before, size_t size)
{
    size_t n = 0, k = strlen(first);

    while (first[n] != '\0' && first[n] == last[n])
        n++;
    while (n > 0 && ((unsigned char)first[n] & 0xc0) == 0x80)
        n--;
    str_copy(prefix, size, first);
    prefix[n < size ? n : size - 1] = '\0';
    do
        k = k > 0 ? k - 1 : 0;
    while (k > 0 && ((unsigned char)first[k] & 0xc0) == 0x80);
    str_copy(before, size, first);
    before[k < size ? k : size - 1] = '\0';
}

static enum err_code walk(struct listing *l, struct err *e)
{
    char prefix[1100], before[1100];
    size_t budget = l->n / CANDIDATES_PER_LIST + 1;
    enum err_code code = ERR_OK;

    bounds(l->candidates[0]->record->target_key, l->candidates[l->n - 1]->record->target_key,
           prefix, before, sizeof prefix);
    while (code == ERR_OK && budget-- > 0 && !l->last && !l->failed && l->found < l->n) {
        struct objstore_list list = {
            .prefix = prefix,
            .token = l->token,
            .start_after = l->token == NULL && strlen(before) >= strlen(prefix) && before[0] != '\0'
                               ? before
                               : NULL};

        code = objstore_list(l->job->g->store, &list, on_page, l, e);
        l->waiting = code == ERR_OK;
        while (code == ERR_OK && l->waiting)
            code = rollback_store_turn(l->job, e);
    }
    if (l->waiting) /* the loop broke: nobody may call back into this frame */
        objstore_cancel_all(l->job->g->store);
    return code;
}

enum err_code rollback_list_page(struct rollback_job *j, struct err *e)
{
    struct listing l = {.job = j};
    enum err_code code = ERR_OK;

    if (j->sparse)
        return ERR_OK;
    l.candidates = calloc(j->n + 1, sizeof(struct rollback_item *));
    if (l.candidates == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < j->n; i++) {
        if (is_candidate(&j->items[i]))
            l.candidates[l.n++] = &j->items[i];
    }
    if (l.n >= CANDIDATES_MIN) {
        qsort(l.candidates, l.n, sizeof(struct rollback_item *), by_key);
        code = walk(&l, e);
        j->sparse = l.failed || l.found < l.n / 10;
    }
    free(l.token);
    free(l.candidates);
    return code;
}
