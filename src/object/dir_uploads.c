/* dir_uploads: multipart uploads under way or left behind; they are kept until they are aborted, as in S3. */
#include "dir.h"

#include "blobferry/base/arena.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"
#include "blobferry/codec/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UPLOADS_BYTES ((size_t)32 << 20) /* of one listing */

void dir_uploads_unlink(int dir, const char *id)
{
    char name[80];

    (void)snprintf(name, sizeof name, "%s%s", id, DIR_UPLOAD_KEY);
    (void)unlinkat(dir, id, 0);
    (void)unlinkat(dir, name, 0); /* last: as long as it is there, the upload is listed */
}

static bool is_upload_id(const char *id)
{
    return strlen(id) == CLOCK_UUID_SIZE - 1 &&
           strspn(id, "0123456789abcdef-") == CLOCK_UUID_SIZE - 1;
}

/* The key an upload is for; false when there is none. */
static bool read_key(int dir, const char *id, char key[OBJKEY_MAX + 1])
{
    char name[80];
    int fd;
    ssize_t n;

    (void)snprintf(name, sizeof name, "%s%s", id, DIR_UPLOAD_KEY);
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    do {
        n = read(fd, key, OBJKEY_MAX);
    } while (n < 0 && errno == EINTR);
    close(fd);
    key[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool abort_step(struct dir_store *s, struct dir_job *j)
{
    struct dir_op *op = (struct dir_op *)j;
    char key[OBJKEY_MAX + 1];
    int dir;

    s->counts.delete_++;
    if (!dir_path_root(s, false, &op->result))
        return dir_op_end(op);
    dir = dir_path_private(s, DIR_UPLOAD_FOLDER, &op->result);
    if (dir < 0)
        return dir_op_end(op);
    if (is_upload_id(op->extra) && read_key(dir, op->extra, key) && str_eq(key, op->key)) {
        dir_uploads_unlink(dir, op->extra);
        if (fsync(dir) != 0)
            dir_fault(&op->result, errno, "abort the upload of", op->key);
    } else {
        op->result.outcome = OBJSTORE_ABSENT;
        err_set(&op->result.err, ERR_NOTFOUND, "no upload '%s' of '%s'", op->extra,
                driver_shown(op->key).text);
    }
    close(dir);
    return dir_op_end(op);
}

enum err_code dir_uploads_abort(struct objstore *store, const char *key, const char *upload_id,
                                objstore_done_fn *done, void *user, struct err *e)
{
    struct dir_op *op = dir_op_new(sizeof *op, key, upload_id, done, user, e);

    if (op == NULL)
        return ERR_NOMEM;
    op->job.step = abort_step;
    dir_submit((struct dir_store *)store, &op->job);
    return ERR_OK;
}

struct listing {
    struct dir_job job;
    objstore_page_fn *done;
    void *user;
    char *prefix, *token; /* owned; token may be NULL */
    size_t max;
    struct arena mem;
    struct objstore_entry *entries; /* owned */
    size_t count, cap;
};

static bool add_upload(struct listing *l, int dir, const char *id)
{
    char key[OBJKEY_MAX + 1], name[80];
    struct stat st = {0};

    if (!read_key(dir, id, key) || !str_starts(key, l->prefix))
        return true;
    if (l->count == l->cap) {
        const size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct objstore_entry *grown = reallocarray(l->entries, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        l->entries = grown;
        l->cap = cap;
    }
    (void)snprintf(name, sizeof name, "%s%s", id, DIR_UPLOAD_KEY);
    if (fstatat(dir, id, &st, AT_SYMLINK_NOFOLLOW) != 0 &&
        fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        st.st_size = 0; /* no byte of it yet; its age is that of its key */
    struct objstore_entry *entry = &l->entries[l->count];
    *entry = (struct objstore_entry){.key = arena_strdup(&l->mem, key),
                                     .key_len = strlen(key),
                                     .size = st.st_size,
                                     .last_modified_ms = (int64_t)st.st_mtim.tv_sec * 1000,
                                     .etag = "",
                                     .upload_id = arena_strdup(&l->mem, id)};
    if (entry->key == NULL || entry->upload_id == NULL)
        return false;
    l->count++;
    return true;
}

static bool gather(struct listing *l, int dir)
{
    DIR *d = fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 0));
    bool ok = d != NULL;

    for (const struct dirent *entry = ok ? readdir(d) : NULL; ok && entry != NULL;
         entry = readdir(d)) {
        char id[CLOCK_UUID_SIZE];

        /* by the files with the keys: a killed writer may have left no other */
        if (strlen(entry->d_name) != CLOCK_UUID_SIZE - 1 + strlen(DIR_UPLOAD_KEY) ||
            !str_ends(entry->d_name, DIR_UPLOAD_KEY))
            continue;
        str_copy(id, sizeof id, entry->d_name);
        if (is_upload_id(id))
            ok = add_upload(l, dir, id);
    }
    if (d != NULL)
        closedir(d);
    return ok;
}

static int by_key_and_id(const void *a, const void *b)
{
    const struct objstore_entry *x = a, *y = b;
    const int keys = strcmp(x->key, y->key);
    return keys != 0 ? keys : strcmp(x->upload_id, y->upload_id);
}

/* "key upload-id" with the key encoded: where the next page begins. */
static bool token_of(const struct objstore_entry *entry, struct buf *out)
{
    buf_reset(out);
    text_uri_encode(out, entry->key, entry->key_len, true);
    buf_char(out, ' ');
    return buf_str(out, entry->upload_id);
}

static size_t first_after(const struct listing *l)
{
    struct objstore_entry mark;
    struct buf key;
    const char *space = l->token == NULL ? NULL : strrchr(l->token, ' ');
    size_t i = 0;

    if (space == NULL)
        return 0;
    buf_init(&key, OBJKEY_MAX + 1);
    text_uri_decode(&key, l->token, (size_t)(space - l->token), false);
    mark.key = buf_cstr(&key);
    mark.upload_id = space + 1;
    while (i < l->count && by_key_and_id(&l->entries[i], &mark) <= 0)
        i++;
    buf_release(&key);
    return i;
}

static void tell(struct listing *l, const struct objstore_result *r)
{
    const size_t first = first_after(l);
    const size_t left = l->count - first;
    struct objstore_page page = {.n = left < l->max ? left : l->max};
    struct buf token;

    buf_init(&token, (size_t)OBJKEY_MAX * 3 + 64);
    if (page.n > 0)
        page.entries = l->entries + first;
    if (left > page.n && token_of(&l->entries[first + page.n - 1], &token))
        page.next = buf_cstr(&token);
    l->done(l->user, r, &page);
    buf_release(&token);
}

static bool list_step(struct dir_store *s, struct dir_job *j)
{
    struct listing *l = (struct listing *)j;
    struct objstore_result r = {.info.size = -1, .attempts = 1};
    static const struct objstore_page none;
    int dir = -1;

    s->counts.get++;
    if (dir_path_root(s, false, &r))
        dir = dir_path_private(s, DIR_UPLOAD_FOLDER, &r);
    if (dir >= 0 && !gather(l, dir))
        dir_fault(&r, ENOMEM, "list the uploads in", s->path);
    if (dir >= 0)
        close(dir);
    if (r.outcome != OBJSTORE_DONE) {
        l->done(l->user, &r, &none);
        return true;
    }
    if (l->count > 0)
        qsort(l->entries, l->count, sizeof *l->entries, by_key_and_id);
    tell(l, &r);
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
    free(l->token);
    free(l->entries);
    arena_release(&l->mem);
    free(l);
}

enum err_code dir_uploads_list(struct objstore *store, const struct objstore_list *in,
                               objstore_page_fn *done, void *user, struct err *e)
{
    struct listing *l = calloc(1, sizeof *l);

    if (l == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->job = (struct dir_job){.step = list_step, .cancel = list_cancel, .release = list_release};
    l->done = done;
    l->user = user;
    l->max = (size_t)in->max;
    l->prefix = str_dup(in->prefix);
    l->token = str_dup(in->token);
    arena_init(&l->mem, UPLOADS_BYTES);
    if (l->prefix == NULL || (in->token != NULL && l->token == NULL)) {
        list_release(&l->job);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    dir_submit((struct dir_store *)store, &l->job);
    return ERR_OK;
}
