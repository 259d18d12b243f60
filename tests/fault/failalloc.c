/* failalloc: preloaded into the program under test, it lets the Nth allocation fail that the program itself asks for (not those of the
 * libraries, unless FAILALLOC_ALL is set), once or, with FAILALLOC_ON, from there on. Without FAILALLOC_AT it only counts, into the file
 * FAILALLOC_COUNT. glibc only. */
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static atomic_long seen;
static long at;
static bool on, all;
static uintptr_t from, to; /* the program's own code */

static int find_program(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    (void)user;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) != 0) {
            from = info->dlpi_addr + p->p_vaddr;
            to = from + p->p_memsz;
        }
    }
    return 1; /* the first one is the program */
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("FAILALLOC_AT");

    dl_iterate_phdr(find_program, NULL);
    on = getenv("FAILALLOC_ON") != NULL;
    all = getenv("FAILALLOC_ALL") != NULL;
    at = text != NULL ? strtol(text, NULL, 10) : 0;
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAILALLOC_COUNT");
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", atomic_load(&seen));
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;

    if (fd >= 0 && write(fd, text, (size_t)n) != n)
        abort();
    if (fd >= 0)
        close(fd);
}

static bool fails(const void *caller)
{
    const uintptr_t who = (uintptr_t)caller;
    long n;

    if (to == 0 || (!all && (who < from || who >= to)))
        return false;
    n = atomic_fetch_add(&seen, 1) + 1;
    return at > 0 && (n == at || (on && n > at));
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

/* In glibc these ask its own malloc, whose caller is glibc. */
char *strndup(const char *text, size_t limit)
{
    const size_t n = strnlen(text, limit);
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *strdup(const char *text)
{
    const size_t n = strlen(text);
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n + 1);

    return copy != NULL ? memcpy(copy, text, n + 1) : NULL;
}
