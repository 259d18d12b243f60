/* scratch: a folder of a test's own below $TMPDIR or /tmp, and small files in it. */
#ifndef BLOBFERRY_TESTS_UNIT_BASE_SCRATCH_H
#define BLOBFERRY_TESTS_UNIT_BASE_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct scratch {
    char dir[256];
    char path[1024]; /* the last one made by scratch_path */
};

static inline void scratch_init(struct scratch *s)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%s/blobferry-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(s->dir));
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scratch_release(struct scratch *s)
{
    assert_int_equal(nftw(s->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Borrowed until the next call. */
static inline const char *scratch_path(struct scratch *s, const char *name)
{
    const int n = snprintf(s->path, sizeof s->path, "%s/%s", s->dir, name);
    assert_true(n > 0 && (size_t)n < sizeof s->path);
    return s->path;
}

static inline void scratch_write(struct scratch *s, const char *name, const char *text)
{
    const int fd = open(scratch_path(s, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    assert_int_equal(close(fd), 0);
}

/* The text of a file, owned. */
static inline char *scratch_read(const char *path)
{
    char *text = NULL;
    size_t cap = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    const ssize_t n = getdelim(&text, &cap, '\0', f);
    fclose(f);
    if (n < 0) {
        free(text);
        return strdup("");
    }
    return text;
}

/* Entries of the folder, without . and .. */
static inline int scratch_count(const struct scratch *s)
{
    int count = 0;
    DIR *d = opendir(s->dir);
    assert_non_null(d);
    for (const struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return count;
}

#endif
