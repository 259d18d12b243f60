/* dir_meta: the side file of an object. It is written once, before the bytes whose ETag it bears appear, and nobody looks
 * for it before they do. */
#include "dir.h"

#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/json.h"
#include "provenance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define META_MAX  ((size_t)64 << 10)
#define NAME_SIZE (DIGEST_SHA256_HEX + 1 + DIR_ETAG_SIZE)

void dir_meta_etag(const struct stat *st, char etag[DIR_ETAG_SIZE])
{
    const int64_t ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    (void)snprintf(etag, DIR_ETAG_SIZE, "%" PRIx64 "-%" PRIx64, (uint64_t)st->st_size,
                   (uint64_t)ns);
}

/* Folder "meta/hh" and name of the side file. */
static void locate(const char *key, const char *etag, char folder[8], char name[NAME_SIZE])
{
    char hex[DIGEST_SHA256_HEX];

    digest_sha256_hex(key, strlen(key), hex);
    (void)snprintf(folder, 8, "meta/%.2s", hex);
    (void)snprintf(name, NAME_SIZE, "%s-%s", hex, etag);
}

/* The side file's text, or false. The folders of ours are not followed through links either. */
static bool load(struct dir_store *s, const char *key, const char *etag, struct buf *text)
{
    char folder[8], name[NAME_SIZE], path[sizeof DIR_PRIVATE + 8 + NAME_SIZE + 2];
    char piece[4096];
    ssize_t n;
    int fd;

    locate(key, etag, folder, name);
    (void)snprintf(path, sizeof path, "%s/%s/%s", DIR_PRIVATE, folder, name);
    fd = fsio_open_beneath(s->root_fd, s->path, path, NULL);
    if (fd < 0)
        return false;
    while ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0)
            buf_append(text, piece, (size_t)n);
    }
    close(fd);
    return n == 0 && buf_ok(text);
}

void dir_meta_read(struct dir_store *s, const char *key, const struct stat *st,
                   struct objinfo *info)
{
    char etag[DIR_ETAG_SIZE];
    struct json *root = NULL;
    struct buf text;

    memset(info, 0, sizeof *info);
    dir_meta_etag(st, etag);
    info->size = st->st_size;
    info->last_modified_ms =
        (int64_t)st->st_mtim.tv_sec * 1000 + (int64_t)st->st_mtim.tv_nsec / 1000000;
    str_copy(info->etag, sizeof info->etag, etag);
    buf_init(&text, META_MAX);
    if (load(s, key, etag, &text))
        root = json_parse(text.data, text.len, NULL);
    if (root != NULL && str_eq(json_string(json_get(root, "key")), key)) {
        const char *record = json_string(json_get(root, "record_id"));
        const char *batch = json_string(json_get(root, "batch_id"));
        const char *type = json_string(json_get(root, "content_type"));
        provenance_decode(info->record_id, sizeof info->record_id, record == NULL ? "" : record);
        provenance_decode(info->batch_id, sizeof info->batch_id, batch == NULL ? "" : batch);
        str_copy(info->content_type, sizeof info->content_type, type == NULL ? "" : type);
        provenance_sha256(info->sha256, json_string(json_get(root, "sha256")));
        provenance_sha256(info->stored_sha256, json_string(json_get(root, "stored_sha256")));
    }
    json_free(root);
    buf_release(&text);
}

static void add_encoded(struct json_out *o, const char *name, const char *raw)
{
    struct buf b;

    if (str_empty(raw))
        return;
    buf_init(&b, META_MAX / 4);
    if (provenance_encode(&b, raw))
        json_out_string(o, name, buf_cstr(&b));
    buf_release(&b);
}

static bool render(const struct objstore_put *p, struct buf *text)
{
    struct json_out o;

    json_out_init(&o, text, 0);
    json_out_object(&o, NULL);
    json_out_string(&o, "key", p->key);
    add_encoded(&o, "record_id", p->meta.record_id);
    add_encoded(&o, "batch_id", p->meta.batch_id);
    add_encoded(&o, "filename", p->meta.filename);
    json_out_string(&o, "content_type", provenance_content_type(p->meta.content_type));
    if (p->meta.sha256 != NULL)
        json_out_string(&o, "sha256", p->meta.sha256);
    json_out_string(&o, "stored_sha256", p->sha256); /* of the bytes as they were written */
    json_out_end(&o);
    return buf_ok(text);
}

bool dir_meta_write(struct dir_store *s, const struct objstore_put *p, const char *etag,
                    struct objstore_result *r)
{
    char folder[8], name[NAME_SIZE];
    struct buf text;
    struct err e;
    bool ok = false;
    int dir, fd = -1;

    buf_init(&text, META_MAX);
    locate(p->key, etag, folder, name);
    dir = dir_path_private(s, folder, r);
    if (dir < 0)
        return false;
    if (!render(p, &text)) {
        dir_reject(r, p->key, "has too much metadata");
        goto end;
    }
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    ok = fd >= 0 && fsio_write_all(fd, text.data, text.len, name, &e) == ERR_OK && fsync(fd) == 0 &&
         fsync(dir) == 0;
    if (!ok)
        dir_fault(r, errno, "write the metadata of", p->key);
end:
    if (fd >= 0)
        close(fd);
    if (!ok && fd >= 0)
        unlinkat(dir, name, 0);
    close(dir);
    buf_release(&text);
    return ok;
}

void dir_meta_remove(struct dir_store *s, const char *key, const char *etag)
{
    char folder[8], name[NAME_SIZE];
    struct objstore_result ignored;
    int dir;

    locate(key, etag, folder, name);
    dir = dir_path_private(s, folder, &ignored);
    if (dir < 0)
        return;
    (void)unlinkat(dir, name, 0); /* one left over says nothing to anybody */
    close(dir);
}
