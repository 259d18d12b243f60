/* dir_list: the keys in byte order, page by page, in bounded memory: a folder is read in windows (dir_window.c). */
#include "dir.h"

#include "blobferry/base/arena.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX  600 /* segments: keys have 1,024 bytes */
#define PAGE_BYTES ((size_t)4 << 20)

struct listing {
    struct dir_job job;
    objstore_page_fn *done;
    void *user;
    char *prefix, *after; /* owned; after: the last key of the page before, "" none */
    size_t max;
    /* while a page is made */
    struct dir_store *store;
    struct objstore_result result;
    struct arena mem;
    struct objstore_entry *entries; /* owned, max of them */
    size_t count;
    bool full;                 /* and one more object was seen */
    bool kept;                 /* the store keeps a window of this page */
    char path[OBJKEY_MAX * 4]; /* of the folder being read, with its '/' */
};

/* ---- walking ----------------------------------------------------------------------------------------- */

static bool add_object(struct listing *l, int fd, const char *name)
{
    struct stat st;
    char etag[DIR_ETAG_SIZE], *key = NULL;
    struct objstore_entry *entry = &l->entries[l->count];

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return true; /* removed meanwhile */
    if (l->count == l->max) {
        l->full = true;
        return true;
    }
    if (asprintf(&key, "%s%s", l->path, name) < 0)
        return false;
    dir_meta_etag(&st, etag);
    *entry = (struct objstore_entry){.key = arena_strdup(&l->mem, key),
                                     .key_len = strlen(key),
                                     .size = st.st_size,
                                     .last_modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 +
                                                         (int64_t)st.st_mtim.tv_nsec / 1000000,
                                     .etag = arena_strdup(&l->mem, etag)};
    free(key);
    if (entry->key == NULL || entry->etag == NULL)
        return false;
    l->count++;
    return true;
}

static bool walk(struct listing *l, int fd, const char *after, int depth);

/* One folder inside fd; `name` ends in '/'. */
static bool enter(struct listing *l, int fd, const char *name, const char *after, int depth)
{
    const size_t path_len = strlen(l->path);
    const size_t n = strlen(name);
    char segment[NAME_MAX + 1];
    bool ok = true;
    int inside;

    if (path_len + n >= sizeof l->path || depth >= DEPTH_MAX)
        return true; /* nothing in it can be a key */
    memcpy(segment, name, n - 1);
    segment[n - 1] = '\0';
    inside = openat(fd, segment, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inside < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    memcpy(l->path + path_len, name, n + 1);
    ok = walk(l, inside, strncmp(after, name, n) == 0 ? after + n : "", depth + 1);
    l->path[path_len] = '\0';
    close(inside);
    return ok;
}

/* The names of the window, until the page is full. */
static bool walk_window(struct listing *l, int fd, struct dir_window *w, const char *after,
                        int depth)
{
    bool ok = true;

    for (; ok && !l->full && w->next < w->count; w->next++) {
        const char *name = w->names[w->next];
        if (name[strlen(name) - 1] == '/')
            ok = enter(l, fd, name, after, depth);
        else
            ok = add_object(l, fd, name);
        if (l->full)
            break; /* this one is the next page's */
    }
    return ok;
}

static bool walk(struct listing *l, int fd, const char *after, int depth)
{
    struct dir_scan scan = {.path = l->path, .prefix = l->prefix, .after = after};
    struct dir_window w;
    char last[NAME_MAX + 2];
    bool again = true, ok = true;

    while (ok && again && !l->full) {
        const int64_t begun = clock_mono_ms();
        if (!dir_window_recall(l->store, &scan, &w) && !dir_window_read(&scan, fd, &w)) {
            dir_window_release(&w);
            return false;
        }
        ok = walk_window(l, fd, &w, scan.after, depth);
        again = w.cut && !l->full;
        if (again) {
            str_copy(last, sizeof last, w.names[w.count - 1]);
            scan.after = last;
            scan.whole = true;
        }
        if (ok && l->full && !l->kept && w.count - w.next > l->max) {
            dir_window_keep(l->store, &scan, &w, begun);
            l->kept = true;
        }
        dir_window_release(&w);
    }
    return ok;
}

/* Descend to the folder that the prefix names, and walk from there. */
static bool walk_prefix(struct listing *l)
{
    const char *slash = strrchr(l->prefix, '/');
    const size_t n = slash == NULL ? 0 : (size_t)(slash - l->prefix) + 1;
    struct objstore_result *r = &l->result;
    const char *leaf, *after = "";
    char probe[OBJKEY_MAX + 2];
    bool ok;
    int fd;

    if (n > OBJKEY_MAX)
        return true;
    memcpy(l->path, l->prefix, n);
    l->path[n] = '\0';
    memcpy(probe, l->prefix, n); /* any key in that folder */
    memcpy(probe + n, "x", 2);
    if (objkey_check(probe, NULL) != ERR_OK)
        return true; /* '..' leads nowhere */
    fd = dir_path_parent(l->store, probe, false, &leaf, r);
    if (fd < 0) {
        const bool nothing = r->outcome == OBJSTORE_ABSENT || r->outcome == OBJSTORE_REJECTED;
        if (nothing)
            *r = (struct objstore_result){.info.size = -1, .attempts = 1};
        return true;
    }
    if (strncmp(l->after, l->path, n) == 0)
        after = l->after + n;
    else if (strcmp(l->after, l->path) > 0) { /* all of the folder lies before */
        close(fd);
        return true;
    }
    ok = walk(l, fd, after, 0);
    close(fd);
    return ok;
}

/* ---- the job ----------------------------------------------------------------------------------------- */

static bool list_step(struct dir_store *s, struct dir_job *j)
{
    struct listing *l = (struct listing *)j;
    struct objstore_page page = {.n = 0};

    s->counts.get++;
    l->store = s;
    l->result = (struct objstore_result){.info.size = -1, .attempts = 1};
    if (!walk_prefix(l) && l->result.outcome == OBJSTORE_DONE)
        dir_fault(&l->result, errno == 0 ? ENOMEM : errno, "list", s->path);
    if (l->result.outcome == OBJSTORE_DONE) {
        page.entries = l->entries;
        page.n = l->count;
        page.next = l->full ? l->entries[l->count - 1].key : NULL;
    }
    l->done(l->user, &l->result, &page);
    return true;
}

static void list_cancel(struct dir_job *j)
{
    struct listing *l = (struct listing *)j;
    struct objstore_result r = {.outcome = OBJSTORE_CANCELLED, .info.size = -1};
    static const struct objstore_page none;

    err_set(&r.err, ERR_CANCELLED, "cancelled");
    l->done(l->user, &r, &none);
}

static void list_release(struct dir_job *j)
{
    struct listing *l = (struct listing *)j;

    free(l->prefix);
    free(l->after);
    free(l->entries);
    arena_release(&l->mem);
    free(l);
}

enum err_code dir_list_start(struct objstore *store, const struct objstore_list *in,
                             objstore_page_fn *done, void *user, struct err *e)
{
    struct listing *l = calloc(1, sizeof *l);
    const char *after = in->token != NULL ? in->token : in->start_after;

    if (l == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->job = (struct dir_job){.step = list_step, .cancel = list_cancel, .release = list_release};
    l->done = done;
    l->user = user;
    l->max = (size_t)in->max;
    l->prefix = str_dup(in->prefix);
    l->after = str_dup(after == NULL ? "" : after);
    l->entries = calloc(l->max, sizeof *l->entries);
    arena_init(&l->mem, PAGE_BYTES);
    if (l->prefix == NULL || l->after == NULL || l->entries == NULL) {
        list_release(&l->job);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    dir_submit((struct dir_store *)store, &l->job);
    return ERR_OK;
}
