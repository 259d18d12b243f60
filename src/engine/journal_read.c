/* journal_read: reading the audit file; nothing here writes. */
#include "engine/journal_read.h"

#include "blobferry/base/clock.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE    (JOURNAL_LINE_MAX * 2)
#define LOCK_WAIT_MS 60000

enum err_code journal_read_init(struct journal_read *r, int fd, const char *path, int64_t from,
                                int64_t limit, struct err *e)
{
    *r = (struct journal_read){.fd = fd, .path = path, .next = from, .limit = limit};
    r->data = malloc(READ_SIZE);
    return r->data != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

void journal_read_release(struct journal_read *r)
{
    free(r->data);
    r->data = NULL;
}

/* Fill the buffer as far as file and limit go. */
static enum err_code fill(struct journal_read *r, struct err *e)
{
    memmove(r->data, r->data + r->begin, r->end - r->begin);
    r->end -= r->begin;
    r->begin = 0;
    while (r->end < READ_SIZE && r->next < r->limit) {
        size_t want = READ_SIZE - r->end;
        ssize_t got;

        if ((int64_t)want > r->limit - r->next)
            want = (size_t)(r->limit - r->next);
        got = pread(r->fd, r->data + r->end, want, r->next);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", r->path);
        if (got == 0)
            r->limit = r->next; /* shorter than it was: what is missing shows in the chain */
        r->end += (size_t)got;
        r->next += got;
    }
    return ERR_OK;
}

enum err_code journal_read_next(struct journal_read *r, struct journal_piece *p, struct err *e)
{
    const char *lf = memchr(r->data + r->begin, '\n', r->end - r->begin);
    enum err_code code = ERR_OK;
    size_t have;

    if (lf == NULL) {
        code = fill(r, e);
        lf = memchr(r->data, '\n', r->end);
    }
    have = r->end - r->begin;
    p->text = r->data + r->begin;
    p->len = lf != NULL ? (size_t)(lf - p->text) + 1 : have;
    p->offset = r->next - (int64_t)have;
    p->begins = !r->in_line;
    p->ends = lf != NULL;
    r->in_line = lf == NULL && p->len > 0;
    r->begin += p->len;
    return code;
}

bool journal_read_line(const struct journal_piece *p, struct journal_line *l, const char **why)
{
    *why = p->begins && p->ends ? NULL : "the line has no end";
    return *why == NULL && journal_line_scan(p->text, p->len - 1, l, why);
}

enum err_code journal_read_lock(int fd, int how, const char *path, struct err *e)
{
    const int64_t until = clock_mono_ms() + LOCK_WAIT_MS;
    struct timespec pause = {.tv_nsec = 100000}; /* 0.1 ms, doubling to 6.4 ms */

    while (flock(fd, how | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return err_set_errno(e, ERR_FILE, errno, "cannot lock '%s'", path);
        if (clock_mono_ms() > until) {
            err_set(e, ERR_FILE, "'%s' has been locked by another process for a minute", path);
            (void)err_hint(e, "see: fuser '%s'", path);
            return ERR_FILE;
        }
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 6400000)
            pause.tv_nsec *= 2;
    }
    return ERR_OK;
}

/* SHA-256 of [from, to). */
static enum err_code hash_range(int fd, const char *path, int64_t from, int64_t to,
                                char out[DIGEST_SHA256_HEX], struct err *e)
{
    unsigned char raw[DIGEST_MAX];
    struct journal_read r;
    struct journal_piece p;
    struct digest d;
    enum err_code code = digest_init(&d, DIGEST_SHA256, e);

    if (code != ERR_OK)
        return code;
    code = journal_read_init(&r, fd, path, from, to, e);
    if (code == ERR_OK)
        code = journal_read_next(&r, &p, e);
    while (code == ERR_OK && p.len > 0) {
        digest_update(&d, p.text, p.len);
        code = journal_read_next(&r, &p, e);
    }
    digest_final(&d, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, out);
    digest_release(&d);
    journal_read_release(&r);
    return code;
}

/* Does the line record exactly what lies between the chain's end and itself? */
static enum err_code records_torn(const struct journal_read *r, const struct journal_tail *t,
                                  const struct journal_piece *p, const struct journal_line *l,
                                  bool *yes, struct err *e)
{
    char hash[DIGEST_SHA256_HEX];
    const int64_t bytes = p->offset - 1 - t->end;
    const char *sha = NULL;
    size_t n = 0;
    enum err_code code = ERR_OK;

    *yes = false;
    if (!journal_line_is(l, "torn_tail") || l->seq != t->seq + 1 ||
        journal_line_integer(l, "bytes") != bytes)
        return ERR_OK;
    sha = journal_line_member(l, "sha256", &n);
    code = hash_range(r->fd, r->path, t->end, t->end + bytes, hash, e);
    *yes = code == ERR_OK && sha != NULL && n == 66 && memcmp(sha + 1, hash, 64) == 0;
    return code;
}

static void note_line(struct journal_tail *t, const struct journal_piece *p,
                      const struct journal_line *l)
{
    t->end = p->offset + (int64_t)p->len;
    t->seq = l->seq;
    memcpy(t->hash, l->hash, 64);
    t->hash[64] = '\0';
}

static enum err_code last_line(struct journal_read *r, bool anywhere, struct journal_tail *t,
                               bool *found, struct err *e)
{
    struct journal_piece p;
    struct journal_line l;
    const char *why;
    bool hole = false; /* behind a NUL, lines count only once a torn_tail has spoken for it */
    enum err_code code = journal_read_next(r, &p, e);

    while (code == ERR_OK && anywhere && p.len > 0 && !p.ends)
        code = journal_read_next(r, &p, e);
    if (code == ERR_OK && anywhere)
        code = journal_read_next(r, &p, e);
    while (code == ERR_OK && p.len > 0) {
        if (memchr(p.text, '\0', p.len) != NULL) {
            hole = *found;
        } else if (journal_read_line(&p, &l, &why)) {
            bool recorded = !hole;
            if (hole)
                code = records_torn(r, t, &p, &l, &recorded, e);
            if (recorded) {
                hole = false;
                *found = true;
                note_line(t, &p, &l);
            }
        }
        if (code == ERR_OK)
            code = journal_read_next(r, &p, e);
    }
    return code;
}

enum err_code journal_read_tail(int fd, const char *path, int64_t from, int64_t size, bool anywhere,
                                struct journal_tail *t, struct err *e)
{
    bool found = !anywhere && from > 0;
    struct journal_read r;
    enum err_code code = journal_read_init(&r, fd, path, from, size, e);

    if (code != ERR_OK)
        return code;
    if (found)
        t->end = from;
    code = last_line(&r, anywhere, t, &found, e);
    journal_read_release(&r);
    if (code == ERR_OK && !found) {
        code = err_set(e, ERR_CONFLICT, "'%s' does not end in audit lines", path);
        (void)err_hint(e, "see: blobferry audit verify; a new audit trail begins when the file is "
                          "moved away");
    }
    if (code == ERR_OK) {
        t->torn = size - t->end;
        t->torn_sha256[0] = '\0';
        if (t->torn > 0)
            code = hash_range(fd, path, t->end, size, t->torn_sha256, e);
    }
    return code;
}
