#include "engine/rollback_aside.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPIES_MAX 100
#define PATH_SIZE  4096

/* The row's id as a file name; ids are the application's, and may hold anything. */
static void safe_name(const char *id, char dst[80])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (id[0] != '.' && id[0] != '\0' && strlen(id) < 72 && strspn(id, plain) == strlen(id))
        str_copy(dst, 80, id);
    else
        digest_sha256_hex(id, strlen(id), dst);
}

bool rollback_aside_path(const struct engine *g, const char *record_id, int n, char *dst,
                         size_t size)
{
    char name[80], suffix[16] = "";

    safe_name(record_id, name);
    if (n > 1)
        snprintf(suffix, sizeof suffix, "-%d", n);
    n = snprintf(dst, size, "%s/overwritten/%s%s", g->backup_dir, name, suffix);
    return n > 0 && (size_t)n < size - 24;
}

/* The latest copy that has not been put back; false when there is none. */
static bool find_copy(const struct engine *g, const char *record_id, char path[PATH_SIZE])
{
    char candidate[PATH_SIZE], whole[PATH_SIZE + 24];
    bool found = false;

    if (g->backup_dir == NULL)
        return false;
    for (int n = 1; n <= COPIES_MAX; n++) {
        if (!rollback_aside_path(g, record_id, n, candidate, sizeof candidate))
            break;
        snprintf(whole, sizeof whole, "%s.bin", candidate);
        if (!fsio_exists(whole))
            break;
        snprintf(whole, sizeof whole, "%s.json", candidate);
        if (fsio_exists(whole)) {
            str_copy(path, PATH_SIZE, candidate);
            found = true;
        }
    }
    return found;
}

struct copy {
    char path[PATH_SIZE];
    char sha256[DIGEST_SHA256_HEX];
    char content_type[128];
    char owner[OBJINFO_ID_MAX]; /* record id in its metadata, "" none */
    int64_t size;
    int fd;
};

static enum err_code read_description(struct copy *c, const struct record *r, struct err *e)
{
    char path[PATH_SIZE + 8];
    struct json *root = NULL;
    struct buf text;
    enum err_code code;

    buf_init(&text, 64 << 10);
    snprintf(path, sizeof path, "%s.json", c->path);
    code = fsio_read_file(path, &text, e);
    if (code == ERR_OK)
        root = json_parse(text.data, text.len, e);
    if (code == ERR_OK && root == NULL)
        code = ERR_PARSE;
    if (code == ERR_OK) {
        const char *sha = json_string(json_get(root, "sha256"));
        const char *type = json_string(json_get(root, "content_type"));
        const char *owner = json_string(json_get(root, "object_record_id"));

        if (!str_eq(json_string(json_get(root, "format")), "blobferry-overwritten") ||
            !str_eq(json_string(json_get(root, "record_id")), r->id) ||
            !str_eq(json_string(json_get(root, "key")), r->target_key) || sha == NULL ||
            !str_copy(c->sha256, sizeof c->sha256, sha) ||
            !json_integer(json_get(root, "size"), &c->size))
            code = err_set(e, ERR_PARSE, "'%s' does not describe the object of this row", path);
        str_copy(c->content_type, sizeof c->content_type, type != NULL ? type : "");
        str_copy(c->owner, sizeof c->owner, owner != NULL ? owner : "");
    }
    json_free(root);
    buf_release(&text);
    return code;
}

/* The copy must still be what was taken: its bytes are hashed before they are sent. */
static enum err_code open_copy(struct copy *c, struct err *e)
{
    unsigned char sum[DIGEST_MAX];
    char path[PATH_SIZE + 8], hex[DIGEST_SHA256_HEX], piece[65536];
    struct digest d;
    int64_t at = 0;
    ssize_t n = 0;
    enum err_code code;

    snprintf(path, sizeof path, "%s.bin", c->path);
    c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (c->fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot open '%s'", path);
    code = digest_init(&d, DIGEST_SHA256, e);
    while (code == ERR_OK &&
           ((n = pread(c->fd, piece, sizeof piece, at)) > 0 || (n < 0 && errno == EINTR))) {
        if (n > 0)
            digest_update(&d, piece, (size_t)n);
        at += n > 0 ? n : 0;
    }
    if (code == ERR_OK) {
        digest_final(&d, sum);
        text_hex(sum, DIGEST_SHA256_SIZE, hex);
        if (n < 0 || at != c->size || !str_eq(hex, c->sha256))
            code = err_set(e, ERR_FILE_CHANGED, "the kept copy '%s' is not what was kept", path);
    }
    digest_release(&d);
    return code;
}

/* P11: an upload in parts is on record before its first part. */
static enum err_code upload_began(void *user, const char *upload_id, uint64_t part_size,
                                  struct err *e)
{
    struct rollback_job *j = user;
    struct journal_entry entry = {.action = "upload_begin", .detail = upload_id};
    struct tracker_head head;
    enum err_code code = journal_add(j->g->journal, &entry, e);

    (void)part_size;
    return code == ERR_OK ? journal_commit(j->g->journal, true, &head, e) : code;
}

struct sent {
    bool over;
    struct objstore_result result;
};

static void on_sent(void *user, const struct objstore_result *r)
{
    struct sent *s = user;

    s->result = *r;
    s->over = true;
}

static enum err_code send_copy(struct rollback_job *j, const struct copy *c, const char *key,
                               struct err *e)
{
    struct objstore_put put = {.key = key,
                               .fd = c->fd,
                               .size = (uint64_t)c->size,
                               .sha256 = c->sha256,
                               .data = c->size == 0 ? "" : NULL,
                               .meta = {.record_id = c->owner[0] != '\0' ? c->owner : NULL,
                                        .sha256 = c->sha256,
                                        .content_type = c->content_type},
                               .on_upload = upload_began,
                               .upload_user = j};
    struct objstore_layout layout = {0};
    struct sent *s = calloc(1, sizeof *s);

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code code = objstore_layout(put.size, 0, &layout, e);
    if (code == ERR_OK) {
        put.part_size = layout.part_size;
        code = objstore_put(j->g->store, &put, on_sent, s, e);
    }
    while (code == ERR_OK && !s->over) {
        code = objstore_run(j->g->store, 200, e);
        if (code != ERR_OK)
            objstore_cancel_all(j->g->store); /* calls back */
    }
    if (code == ERR_OK && s->result.outcome != OBJSTORE_DONE) {
        code = s->result.err.code != ERR_OK ? s->result.err.code : ERR_STORE;
        if (e != NULL)
            *e = s->result.err;
    }
    free(s);
    return code;
}

static enum err_code mark_restored(const struct copy *c, struct err *e)
{
    char from[PATH_SIZE + 24], to[PATH_SIZE + 24];

    snprintf(from, sizeof from, "%s.json", c->path);
    snprintf(to, sizeof to, "%s.restored.json", c->path);
    if (rename(from, to) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot rename '%s'", from);
    return fsio_sync_parent(to, e);
}

static enum err_code tell(struct rollback_job *j, const struct rollback_item *it,
                          const struct copy *c, enum err_code result, struct err *e)
{
    struct journal_entry entry = {.action = "overwritten_restored",
                                  .file_id = it->record->file_id,
                                  .record_id = it->record->id,
                                  .batch_id = it->record->batch_id,
                                  .target_key = it->record->target_key,
                                  .sha256 = c->sha256,
                                  .detail = c->path,
                                  .has_success = true,
                                  .success = result == ERR_OK};

    if (result != ERR_OK) {
        entry.error = it->why.message;
        entry.error_class = err_code_name(result);
    }
    return journal_add(j->g->journal, &entry, e);
}

static enum err_code put_back(struct rollback_job *j, struct rollback_item *it, struct err *e)
{
    struct copy c = {.fd = -1};
    enum err_code code;

    if (!find_copy(j->g, it->record->id, c.path))
        return ERR_OK;
    err_init(&it->why);
    code = read_description(&c, it->record, &it->why);
    if (code == ERR_OK)
        code = open_copy(&c, &it->why);
    if (code == ERR_OK)
        code = send_copy(j, &c, it->record->target_key, &it->why);
    if (code == ERR_OK)
        code = mark_restored(&c, &it->why);
    if (c.fd >= 0)
        close(c.fd);
    it->restored = code == ERR_OK;
    it->done = it->done && code == ERR_OK;
    if (code != ERR_OK) {
        it->unrestored = true;
        err_wrap(&it->why, "the replaced object is not put back from '%s'", c.path);
    }
    return tell(j, it, &c, code, e);
}

enum err_code rollback_aside_put_back(struct rollback_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->n; i++) {
        struct rollback_item *it = &j->items[i];

        if (it->removed || (j->paying_debts && it->absent && it->done))
            code = put_back(j, it, e);
    }
    return code;
}
