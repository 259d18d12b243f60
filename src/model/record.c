/* record: pages of records and batches. The items may move when one is added; the strings, in the
 * arena, never do. Items and strings together stay below the page's maximum (P10). */
#include "blobferry/model/record.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_BYTES ((size_t)64 << 20)
#define FIRST_ITEMS   16

/* Room for one item more, doubling *cap; NULL when items and strings together would pass the
 * maximum. */
static void *grow(void *items, size_t len, size_t *cap, size_t item, const struct arena *mem)
{
    const size_t room = mem->used < mem->max ? (mem->max - mem->used) / item : 0;
    if (len >= room)
        return NULL;
    if (len < *cap)
        return items;
    size_t want = *cap == 0 ? FIRST_ITEMS : *cap * 2;
    if (want > room)
        want = room;
    void *grown = realloc(items, want * item);
    if (grown != NULL)
        *cap = want;
    return grown;
}

void record_list_init(struct record_list *l, size_t max_bytes)
{
    memset(l, 0, sizeof *l);
    arena_init(&l->mem, max_bytes == 0 ? DEFAULT_BYTES : max_bytes);
}

void record_list_reset(struct record_list *l)
{
    l->len = 0;
    arena_reset(&l->mem);
}

void record_list_release(struct record_list *l)
{
    free(l->items);
    l->items = NULL;
    l->len = l->cap = 0;
    arena_release(&l->mem);
}

struct record *record_list_add(struct record_list *l)
{
    struct record *items = grow(l->items, l->len, &l->cap, sizeof *items, &l->mem);
    if (items == NULL)
        return NULL;
    l->items = items;
    struct record *r = &items[l->len++];
    memset(r, 0, sizeof *r);
    r->file_size = -1;
    return r;
}

void record_batches_init(struct batch_list *l, size_t max_bytes)
{
    memset(l, 0, sizeof *l);
    arena_init(&l->mem, max_bytes == 0 ? DEFAULT_BYTES : max_bytes);
}

void record_batches_reset(struct batch_list *l)
{
    l->len = 0;
    arena_reset(&l->mem);
}

void record_batches_release(struct batch_list *l)
{
    free(l->items);
    l->items = NULL;
    l->len = l->cap = 0;
    arena_release(&l->mem);
}

struct batch *record_batches_add(struct batch_list *l)
{
    struct batch *items = grow(l->items, l->len, &l->cap, sizeof *items, &l->mem);
    if (items == NULL)
        return NULL;
    l->items = items;
    struct batch *b = &items[l->len++];
    memset(b, 0, sizeof *b);
    return b;
}
