/* dir_put: copy, hash, fsync, then commit by link(2), so that nothing is ever overwritten unasked (P5). A multipart upload is
 * the same thing with an upload id, told before the first byte, and a file that survives its writer (P11). */
#include "dir.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/text.h"
#include "provenance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMIT_ATTEMPTS 5

struct put {
    struct dir_op op;
    struct objstore_put in; /* strings point into `strings` */
    char *strings[4];       /* owned: record_id, batch_id, filename, content_type */
    char sha256[DIGEST_SHA256_HEX];
    char meta_sha256[DIGEST_SHA256_HEX];
    struct dir_temp temp;
    bool begun;
    struct digest digest;
    uint64_t at; /* bytes copied */
};

/* ---- before the first byte ------------------------------------------------------------------------ */

/* What stands at the key: ours (an answer was lost: done), somebody else's (precondition), or nothing (false). */
static bool judge_existing(struct put *p)
{
    struct objstore_result *r = &p->op.result;

    if (r->outcome == OBJSTORE_ABSENT) {
        r->outcome = OBJSTORE_DONE;
        err_init(&r->err);
        return false;
    }
    if (r->outcome != OBJSTORE_DONE)
        return true;
    if (provenance_matches(&r->info, &p->in.meta, p->sha256, p->in.size)) {
        r->verified = r->resolved_by_look = true;
        return true;
    }
    r->outcome = OBJSTORE_PRECONDITION;
    err_set(&r->err, ERR_CONFLICT, "'%s' exists already", driver_shown(p->op.key).text);
    return true;
}

/* True when there is nothing more to do: the outcome is in the result. */
static bool look_first(struct dir_store *s, struct put *p)
{
    struct objstore_result *r = &p->op.result;
    const char *leaf;
    const int parent = dir_path_parent(s, p->op.key, true, &leaf, r);

    if (parent < 0)
        return true;
    (void)dir_get_look(s, parent, leaf, p->op.key, r);
    close(parent);
    if (p->in.condition == OBJSTORE_IF_ABSENT)
        return judge_existing(p);
    if (r->outcome == OBJSTORE_ABSENT) {
        r->outcome = OBJSTORE_DONE;
        err_init(&r->err);
    }
    return r->outcome != OBJSTORE_DONE;
}

static bool begin(struct dir_store *s, struct put *p)
{
    struct objstore_result *r = &p->op.result;
    const bool upload = p->in.part_size > 0;

    s->counts.put++;
    s->counts.post += upload ? 2 : 0; /* what S3 would have been asked */
    if (look_first(s, p))
        return false;
    if (digest_init(&p->digest, DIGEST_SHA256, &r->err) != ERR_OK) {
        r->outcome = OBJSTORE_LOCAL;
        return false;
    }
    if (!dir_temp_open(s, p->op.key, upload, &p->temp, r)) {
        digest_release(&p->digest);
        return false;
    }
    p->begun = true;
    if (upload && p->in.on_upload != NULL &&
        p->in.on_upload(p->in.upload_user, p->temp.name, p->in.part_size, &r->err) != ERR_OK) {
        r->outcome = OBJSTORE_LOCAL; /* an upload that is not recorded must not go on */
        return false;
    }
    return true;
}

/* ---- copying ---------------------------------------------------------------------------------------- */

static bool source_changed(struct put *p, const char *how)
{
    p->op.result.outcome = OBJSTORE_LOCAL;
    err_set(&p->op.result.err, ERR_FILE_CHANGED, "the source of '%s' %s while it was sent",
            driver_shown(p->op.key).text, how);
    return false;
}

static bool copy_slice(struct dir_store *s, struct put *p)
{
    struct objstore_result *r = &p->op.result;
    const uint64_t left = p->in.size - p->at;
    const size_t want = left < DIR_SLICE ? (size_t)left : DIR_SLICE;
    const unsigned char *bytes = s->slice;
    size_t got = want;

    if (p->in.data != NULL) {
        bytes = (const unsigned char *)p->in.data + p->at;
    } else {
        ssize_t n;
        do {
            n = pread(p->in.fd, s->slice, want, (off_t)p->at);
        } while (n < 0 && errno == EINTR);
        if (n < 0) {
            r->outcome = OBJSTORE_LOCAL;
            err_set_errno(&r->err, ERR_FILE, errno, "cannot read the source of '%s'",
                          driver_shown(p->op.key).text);
            return false;
        }
        if (n == 0)
            return source_changed(p, "became shorter");
        got = (size_t)n;
    }
    digest_update(&p->digest, bytes, got);
    if (fsio_write_all(p->temp.fd, bytes, got, p->op.key, &r->err) != ERR_OK) {
        dir_fault(r, errno, "write", p->op.key);
        return false;
    }
    p->at += got;
    r->bytes += got;
    s->counts.bytes_sent += got;
    return true;
}

/* ---- commit ------------------------------------------------------------------------------------------ */

/* A time that no other version of this object has: the ETag is made of it. */
static bool stamp(struct put *p, char etag[DIR_ETAG_SIZE])
{
    const int64_t ms = clock_wall_ms();
    uint32_t random;
    struct stat st;

    clock_random(&random, sizeof random);
    const struct timespec now = {.tv_sec = ms / 1000,
                                 .tv_nsec = (ms % 1000) * 1000000 + random % 1000000};
    const struct timespec times[2] = {now, now};
    if (futimens(p->temp.fd, times) != 0 || fsync(p->temp.fd) != 0 || fstat(p->temp.fd, &st) != 0)
        return false;
    dir_meta_etag(&st, etag);
    return true;
}

/* One attempt: 0, an errno, or -1 with the result filled. */
static int publish(struct dir_store *s, struct put *p, struct objstore_result *r)
{
    const char *leaf;
    struct stat st;
    int reason = 0;
    const int parent = dir_path_parent(s, p->op.key, true, &leaf, r);

    if (parent < 0)
        return -1;
    if (p->in.condition == OBJSTORE_OVERWRITE)
        reason = renameat(p->temp.dir_fd, p->temp.name, parent, leaf) == 0 ? 0 : errno;
    else
        reason = linkat(p->temp.dir_fd, p->temp.name, parent, leaf, 0) == 0 ? 0 : errno;
    if (reason == 0 && fsync(parent) != 0)
        reason = errno;
    if (reason == EEXIST && fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode))
        reason = EISDIR;
    close(parent);
    return reason;
}

static void commit(struct dir_store *s, struct put *p)
{
    struct objstore_result *r = &p->op.result;
    char etag[DIR_ETAG_SIZE], old[OBJINFO_ETAG_MAX];
    int reason = ENOENT;

    str_copy(old, sizeof old, r->info.etag); /* of the object that was there, if any */
    if (!stamp(p, etag)) {
        dir_fault(r, errno, "make durable", p->op.key);
        return;
    }
    if (!dir_meta_write(s, &p->in, etag, r))
        return;
    /* ENOENT: the folder was removed under our hands, being empty. EEXIST and then nothing there: likewise. */
    for (int i = 0; reason == ENOENT && i < COMMIT_ATTEMPTS; i++) {
        reason = publish(s, p, r);
        if (reason == EEXIST)
            reason = look_first(s, p) ? -1 : ENOENT;
    }
    if (reason == 0) {
        s->changes++;
        if (old[0] != '\0')
            dir_meta_remove(s, p->op.key, old);
        r->verified = true;
        memset(&r->info, 0, sizeof r->info);
        r->info.size = (int64_t)p->in.size;
        str_copy(r->info.etag, sizeof r->info.etag, etag);
        str_copy(r->info.stored_sha256, sizeof r->info.stored_sha256, p->sha256);
        return;
    }
    dir_meta_remove(s, p->op.key, etag);
    if (reason == EISDIR)
        dir_reject(r, p->op.key, "is a folder in the target directory: other keys lie in it");
    else if (reason == ENOENT && p->temp.upload)
        dir_reject(r, p->op.key, "was not stored: its upload was aborted meanwhile");
    else if (reason > 0)
        dir_fault(r, reason, "create", p->op.key);
}

static void finish(struct dir_store *s, struct put *p)
{
    unsigned char raw[DIGEST_MAX];
    char hex[DIGEST_SHA256_HEX];

    digest_final(&p->digest, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, hex);
    if (!str_eq(hex, p->sha256))
        (void)source_changed(p, "changed"); /* P1: what was written is not what was hashed */
    else
        commit(s, p);
}

static bool put_step(struct dir_store *s, struct dir_job *j)
{
    struct put *p = (struct put *)j;

    if (!p->begun && !begin(s, p))
        goto end;
    if (p->at < p->in.size) {
        if (!copy_slice(s, p))
            goto end;
        if (p->at < p->in.size)
            return false;
    }
    finish(s, p);
end:
    if (p->begun)
        dir_temp_close(&p->temp, false);
    if (p->begun)
        digest_release(&p->digest);
    p->begun = false;
    return dir_op_end(&p->op);
}

/* ---- submitting ---------------------------------------------------------------------------------------- */

static void put_release(struct dir_job *j)
{
    struct put *p = (struct put *)j;

    if (p->begun) { /* cancelled half-way: an upload stays, as in S3 */
        dir_temp_close(&p->temp, p->temp.upload);
        digest_release(&p->digest);
    }
    for (size_t i = 0; i < sizeof p->strings / sizeof p->strings[0]; i++)
        free(p->strings[i]);
    dir_op_release(j);
}

/* Copies of the strings that the caller may drop. */
static bool copy_meta(struct put *p)
{
    const char **const fields[] = {&p->in.meta.record_id, &p->in.meta.batch_id,
                                   &p->in.meta.filename, &p->in.meta.content_type};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (*fields[i] == NULL)
            continue;
        p->strings[i] = str_dup(*fields[i]);
        if (p->strings[i] == NULL)
            return false;
        *fields[i] = p->strings[i];
    }
    str_copy(p->sha256, sizeof p->sha256, p->in.sha256);
    p->in.sha256 = p->sha256;
    if (p->in.meta.sha256 != NULL) {
        str_copy(p->meta_sha256, sizeof p->meta_sha256, p->in.meta.sha256);
        p->in.meta.sha256 = p->meta_sha256;
    }
    p->in.key = p->op.key;
    return true;
}

enum err_code dir_put_start(struct objstore *store, const struct objstore_put *in,
                            objstore_done_fn *done, void *user, struct err *e)
{
    struct put *p = dir_op_new(sizeof *p, in->key, NULL, done, user, e);

    if (p == NULL)
        return ERR_NOMEM;
    p->op.job.step = put_step;
    p->op.job.release = put_release;
    p->in = *in;
    p->in.fd = in->data == NULL ? in->fd : -1;
    p->temp.fd = p->temp.dir_fd = -1;
    if (!copy_meta(p)) {
        put_release(&p->op.job);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    dir_submit((struct dir_store *)store, &p->op.job);
    return ERR_OK;
}
