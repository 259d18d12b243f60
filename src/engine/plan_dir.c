/* plan_dir: every regular file below a directory. No symlink is followed; directories are opened one name at a time, so
 * that nothing can be swapped underneath. Entries come in the byte order of their names; a directory of PLAN_DIR_SORTED_MAX
 * entries or more, or one too many for the memory set aside, comes in the order of the file system (P10). */
#include "blobferry/base/str.h"
#include "engine/plan_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_BYTES_MAX ((size_t)32 << 20) /* on all levels together */

struct walk {
    struct plan_job *j;
    char path[PATH_MAX]; /* as it is stored: below the source root, or absolute */
    size_t prefix;       /* of path: what comes before {path} */
    size_t held;         /* bytes of names in memory */
};

struct names {
    char **items; /* owned */
    size_t len, cap, bytes;
    bool complete; /* false: too many; walk the directory itself */
};

static void names_release(struct walk *w, struct names *n)
{
    for (size_t i = 0; i < n->len; i++)
        free(n->items[i]);
    free(n->items);
    w->held -= n->bytes;
    *n = (struct names){0};
}

static bool is_dots(const char *name)
{
    return str_eq(name, ".") || str_eq(name, "..");
}

static enum err_code names_add(struct walk *w, struct names *n, const char *name, struct err *e)
{
    if (n->len == n->cap) {
        const size_t cap = n->cap == 0 ? 64 : n->cap * 2;
        char **grown = reallocarray(n->items, cap, sizeof *grown);
        if (grown == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        n->items = grown;
        n->cap = cap;
    }
    n->items[n->len] = str_dup(name);
    if (n->items[n->len] == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    n->len++;
    n->bytes += strlen(name) + 32; /* with what malloc takes */
    w->held += strlen(name) + 32;
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void refuse(struct walk *w, const struct err *why)
{
    plan_row_refuse(w->j, w->path, NULL, 0, why);
}

static void refuse_errno(struct walk *w, int reason)
{
    struct err why;

    err_init(&why);
    err_set_errno(&why, ERR_FILE, reason, "cannot read '%s'", w->path);
    refuse(w, &why);
}

static enum err_code names_gather(struct walk *w, DIR *d, struct names *n, struct err *e)
{
    enum err_code code = ERR_OK;
    const struct dirent *entry;

    *n = (struct names){.complete = true};
    errno = 0;
    while (code == ERR_OK && (entry = readdir(d)) != NULL) {
        if (!is_dots(entry->d_name))
            code = names_add(w, n, entry->d_name, e);
        if (n->len >= PLAN_DIR_SORTED_MAX || w->held > NAMES_BYTES_MAX) {
            names_release(w, n);
            rewinddir(d);
            return code;
        }
        errno = 0;
    }
    if (code == ERR_OK && errno != 0)
        refuse_errno(w, errno);
    if (n->len > 1)
        qsort(n->items, n->len, sizeof *n->items, by_name);
    return code;
}

/* Appends "/name", or name after a prefix that ends in '/'; the length before, or 0 when it is too long. */
static bool push(struct walk *w, const char *name, size_t *before)
{
    const size_t len = strlen(w->path), n = strlen(name);
    const bool slash = len > 0 && w->path[len - 1] != '/';

    *before = len;
    if (len + slash + n >= sizeof w->path)
        return false;
    if (slash)
        w->path[len] = '/';
    memcpy(w->path + len + slash, name, n + 1);
    return true;
}

static enum err_code walk_dir(struct walk *w, DIR *d, int depth, struct err *e);

static enum err_code enter(struct walk *w, int parent, const char *name, int depth, struct err *e)
{
    struct err why;
    enum err_code code;
    DIR *d = NULL;
    int fd;

    err_init(&why);
    if (depth >= PLAN_DIR_DEPTH_MAX) {
        err_set(&why, ERR_LIMIT, "directories are nested more than %d deep", PLAN_DIR_DEPTH_MAX);
        refuse(w, &why);
        return ERR_OK;
    }
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        d = fdopendir(fd);
    if (d == NULL) {
        const int reason = errno;
        if (fd >= 0)
            close(fd);
        refuse_errno(w, reason);
        return ERR_OK;
    }
    code = walk_dir(w, d, depth + 1, e);
    closedir(d);
    return code;
}

static const char *kind(mode_t mode)
{
    return S_ISLNK(mode)    ? "a symbolic link"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static enum err_code take_entry(struct walk *w, int dir, const char *name, int depth, struct err *e)
{
    struct stat st;
    struct err why;
    size_t before;
    enum err_code code = ERR_OK;

    err_init(&why);
    if (!push(w, name, &before)) {
        err_set(&why, ERR_FILE, "the path of an entry is longer than %d bytes", PATH_MAX - 1);
        refuse(w, &why);
        return ERR_OK;
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        refuse_errno(w, errno);
    } else if (S_ISDIR(st.st_mode)) {
        code = enter(w, dir, name, depth, e);
    } else if (S_ISREG(st.st_mode)) {
        const struct plan_row row = {
            .source_path = w->path, .key_path = w->path + w->prefix, .size = -1};
        code = plan_row_take(w->j, &row, e);
    } else {
        err_set(&why, ERR_FILE_TYPE, "'%s' is %s, not a regular file", w->path, kind(st.st_mode));
        refuse(w, &why);
    }
    w->path[before] = '\0';
    return code;
}

static enum err_code walk_dir(struct walk *w, DIR *d, int depth, struct err *e)
{
    const struct dirent *entry;
    struct names n;
    enum err_code code = plan_row_pulse(w->j, e);

    if (code != ERR_OK)
        return code;
    code = names_gather(w, d, &n, e);
    for (size_t i = 0; code == ERR_OK && i < n.len; i++)
        code = take_entry(w, dirfd(d), n.items[i], depth, e);
    if (n.complete) {
        names_release(w, &n);
        return code;
    }
    errno = 0;
    while (code == ERR_OK && (entry = readdir(d)) != NULL) {
        if (!is_dots(entry->d_name))
            code = take_entry(w, dirfd(d), entry->d_name, depth, e);
        errno = 0;
    }
    if (code == ERR_OK && errno != 0)
        refuse_errno(w, errno);
    return code;
}

/* What is stored before each name: nothing or the way from the source root, or the whole path without one. */
static enum err_code begin(struct walk *w, const char *real, struct err *e)
{
    const struct source_root *root = &w->j->root;
    const size_t n = strlen(root->path);
    const char *rest = real;

    if (!root->absolute_only && n > 1) {
        if (strncmp(real, root->path, n) != 0 || (real[n] != '/' && real[n] != '\0')) {
            err_set(e, ERR_FILE_OUTSIDE, "directory '%s' is not below the source root '%s'", real,
                    root->path);
            (void)err_hint(e, "plan a directory inside it, or change --source-root");
            return ERR_FILE_OUTSIDE;
        }
        rest = real + n + strspn(real + n, "/");
    } else if (!root->absolute_only) {
        rest = real + 1;
    }
    if (strlen(rest) + 2 > sizeof w->path)
        return err_set(e, ERR_FILE, "the path of the directory is too long");
    str_copy(w->path, sizeof w->path, rest);
    if (*rest != '\0' && !str_ends(rest, "/")) {
        const size_t len = strlen(w->path);
        w->path[len] = '/';
        w->path[len + 1] = '\0';
    }
    w->prefix = strlen(w->path);
    return ERR_OK;
}

enum err_code plan_dir_read(struct plan_job *j, struct err *e)
{
    struct walk *w = calloc(1, sizeof *w);
    char *real = realpath(j->o->input, NULL);
    enum err_code code = ERR_OK;
    DIR *d = NULL;

    if (w == NULL) {
        code = err_set(e, ERR_NOMEM, "out of memory");
        goto done;
    }
    w->j = j;
    if (real != NULL)
        d = opendir(real);
    if (d == NULL) {
        code = err_set_errno(e, ERR_FILE, errno, "cannot read directory '%s'", j->o->input);
        goto done;
    }
    code = begin(w, real, e);
    if (code == ERR_OK)
        code = walk_dir(w, d, 0, e);
done:
    if (d != NULL)
        closedir(d);
    free(real);
    free(w);
    return code;
}
