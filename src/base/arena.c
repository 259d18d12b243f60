/* arena: bump allocation from a list of blocks; the newest block is the one in use. */
#include "blobferry/base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT  16
#define BLOCK_SIZE ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes in data */
    size_t used;
    alignas(ALIGNMENT) unsigned char data[];
};

static struct arena_block *new_block(size_t n)
{
    const size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;
    if (size > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    struct arena_block *block = malloc(sizeof *block + size);
    if (block != NULL)
        *block = (struct arena_block){.size = size};
    return block;
}

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void arena_release(struct arena *a)
{
    while (a->head != NULL) {
        struct arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    a->used = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->head;

    if (keep != NULL) {
        a->head = keep->next;
        arena_release(a);
        keep->next = NULL;
        keep->used = 0;
        a->head = keep;
    }
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX - ALIGNMENT)
        return NULL;
    n = n == 0 ? ALIGNMENT : (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (n > a->max || a->used > a->max - n)
        return NULL;
    struct arena_block *block = a->head;
    if (block == NULL || block->size - block->used < n) {
        block = new_block(n);
        if (block == NULL)
            return NULL;
        block->next = a->head;
        a->head = block;
    }
    void *p = block->data + block->used;
    block->used += n;
    a->used += n;
    return memset(p, 0, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;
    if (copy != NULL && n > 0)
        memcpy(copy, s, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s == NULL ? NULL : arena_strndup(a, s, strlen(s));
}
