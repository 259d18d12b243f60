/* dir_window: the names of one folder after a given one, in order, never more than WINDOW of them. A folder 'a' stands as 'a/'
 * in that order, so that its keys come where S3 has them: after 'a-b', before 'a0'. */
#include "dir.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW  8192  /* names kept of one folder */
#define KEPT_MS 10000 /* a window older than that is read anew */

void dir_window_release(struct dir_window *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->names[i]);
    free(w->names);
    *w = (struct dir_window){0};
}

void dir_window_forget(struct dir_store *s)
{
    dir_window_release(&s->list.window);
    free(s->list.dir);
    free(s->list.prefix);
    s->list.dir = s->list.prefix = NULL;
}

/* A heap with the greatest name on top, so that it can give way to a smaller one. */
static void sift_down(char **names, size_t n)
{
    size_t at = 0;

    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= n)
            return;
        if (child + 1 < n && strcmp(names[child + 1], names[child]) > 0)
            child++;
        if (strcmp(names[at], names[child]) >= 0)
            return;
        char *swap = names[at];
        names[at] = names[child];
        names[child] = swap;
        at = child;
    }
}

static void sift_up(char **names, size_t at)
{
    while (at > 0 && strcmp(names[at], names[(at - 1) / 2]) > 0) {
        char *swap = names[at];
        names[at] = names[(at - 1) / 2];
        names[(at - 1) / 2] = swap;
        at = (at - 1) / 2;
    }
}

/* Takes the name over, or frees it; false when memory is short. */
static bool window_add(struct dir_window *w, char *name)
{
    if (w->count == w->cap && w->cap < WINDOW) {
        const size_t cap = w->cap == 0 ? 64 : w->cap * 2;
        char **grown = reallocarray(w->names, cap, sizeof *grown);
        if (grown == NULL) {
            free(name);
            return false;
        }
        w->names = grown;
        w->cap = cap;
    }
    if (w->count < WINDOW) {
        w->names[w->count++] = name;
        sift_up(w->names, w->count - 1);
        return true;
    }
    w->cut = true;
    if (strcmp(name, w->names[0]) < 0) {
        char *out = w->names[0];
        w->names[0] = name;
        name = out;
        sift_down(w->names, w->count);
    }
    free(name);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* May keys that begin with `path` + name (a folder's ends in '/') be wanted? */
static bool wanted(const struct dir_scan *scan, const char *name)
{
    const size_t path_len = strlen(scan->path);
    const char *prefix_rest = scan->prefix;
    const size_t n = strlen(name);
    size_t common;

    /* The path is a prefix of the prefix, or the other way round: see walk_prefix in dir_list.c. */
    if (strlen(scan->prefix) <= path_len)
        return true;
    prefix_rest += path_len;
    common = strlen(prefix_rest) < n ? strlen(prefix_rest) : n;
    if (strncmp(prefix_rest, name, common) != 0)
        return false;
    return n >= strlen(prefix_rest) || name[n - 1] == '/';
}

/* Is all of it listed already? */
static bool listed(const struct dir_scan *scan, const char *name)
{
    const size_t n = strlen(name);

    if (strcmp(name, scan->after) > 0)
        return false;
    if (scan->whole && strcmp(name, scan->after) == 0)
        return true;
    /* A folder is not, as long as `after` lies in it. */
    return name[n - 1] != '/' || strncmp(name, scan->after, n) != 0;
}

static bool is_folder(int fd, const struct dirent *entry, bool *skip)
{
    struct stat st;

    if (entry->d_type == DT_DIR || entry->d_type == DT_REG)
        return entry->d_type == DT_DIR;
    *skip = entry->d_type != DT_UNKNOWN ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode));
    return !*skip && S_ISDIR(st.st_mode);
}

/* "name" or "name/", owned; NULL to skip or (with *short_of set) when memory is short. */
static char *name_of(const struct dir_scan *scan, int fd, const struct dirent *entry,
                     bool *short_of)
{
    bool skip = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                (scan->path[0] == '\0' && strcmp(entry->d_name, DIR_PRIVATE) == 0);
    char *name = NULL;

    if (skip)
        return NULL;
    const bool folder = is_folder(fd, entry, &skip);
    if (skip)
        return NULL;
    if (asprintf(&name, "%s%s", entry->d_name, folder ? "/" : "") < 0) {
        *short_of = true;
        return NULL;
    }
    return name;
}

bool dir_window_read(const struct dir_scan *scan, int fd, struct dir_window *w)
{
    bool short_of = false;
    const int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);

    *w = (struct dir_window){0};
    if (d == NULL) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    errno = 0;
    for (const struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        char *name = name_of(scan, fd, entry, &short_of);
        if (name != NULL && wanted(scan, name) && !listed(scan, name))
            short_of |= !window_add(w, name);
        else
            free(name);
        errno = 0;
    }
    const int reason = short_of ? ENOMEM : errno;
    closedir(d);
    if (w->count > 0)
        qsort(w->names, w->count, sizeof *w->names, by_name);
    errno = reason;
    return reason == 0;
}

bool dir_window_recall(struct dir_store *s, const struct dir_scan *scan, struct dir_window *w)
{
    if (s->list.dir == NULL || !str_eq(s->list.dir, scan->path) ||
        !str_eq(s->list.prefix, scan->prefix) || s->list.changes != s->changes ||
        clock_mono_ms() - s->list.read_ms > KEPT_MS || s->list.window.next == 0 ||
        !str_eq(s->list.window.names[s->list.window.next - 1], scan->after))
        return false;
    *w = s->list.window;
    s->list.window = (struct dir_window){0};
    dir_window_forget(s);
    return true;
}

void dir_window_keep(struct dir_store *s, const struct dir_scan *scan, struct dir_window *w,
                     int64_t read_ms)
{
    dir_window_forget(s);
    s->list.dir = str_dup(scan->path);
    s->list.prefix = str_dup(scan->prefix);
    s->list.window = *w;
    s->list.read_ms = read_ms;
    s->list.changes = s->changes;
    *w = (struct dir_window){0};
}
