/* arena: bump allocation for things that live and die together (one page of records).
 * Everything is freed at once by arena_release; arena_reset keeps one block for reuse. */
#ifndef BLOBFERRY_BASE_ARENA_H
#define BLOBFERRY_BASE_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head;
    size_t used; /* bytes handed out */
    size_t max;  /* bytes; arena_alloc returns NULL beyond it */
};

void arena_init(struct arena *a, size_t max);
void arena_release(struct arena *a);
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t n); /* zeroed, 16-byte aligned, or NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n); /* NUL-terminated copy, or NULL */
char *arena_strdup(struct arena *a, const char *s);            /* NULL in, NULL out */

#endif
