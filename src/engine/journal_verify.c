/* journal_verify: the chain, the heads that the database remembers, and what is in doubt; nothing is written. */
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "blobferry/engine/journal.h"
#include "engine/journal_doubt.h"
#include "engine/journal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADS_MAX ((size_t)1 << 20) /* one per run: 40 MiB */

struct head {
    int64_t seq;
    unsigned char hash[DIGEST_SHA256_SIZE];
};

struct check {
    struct journal_report *out;
    struct tracker *tracker;
    struct journal_read read;
    struct digest sha;    /* of lines */
    struct digest region; /* of what is no part of the chain, but its last byte */
    int64_t region_line;  /* where that began; 0: we are in the chain */
    int64_t region_bytes;
    char region_last;
    char region_problem[200];
    bool broken; /* the chain; what follows cannot be judged */
    struct journal_doubt doubt;
    struct head *heads; /* of this log, by seq */
    size_t heads_len, heads_cap, heads_at;
};

__attribute__((format(printf, 3, 4))) static void bad(struct check *c, int64_t line,
                                                      const char *fmt, ...)
{
    va_list ap;

    if (c->out->bad_line > 0)
        return; /* the first one is named */
    c->out->bad_line = line;
    va_start(ap, fmt);
    vsnprintf(c->out->problem, sizeof c->out->problem, fmt, ap);
    va_end(ap);
}

/* ---- heads ---------------------------------------------------------------------------------------------- */

static enum err_code on_head(void *user, const struct tracker_head *h, struct err *e)
{
    struct check *c = user;
    struct head *grown, *to;

    if (!str_eq(h->log_id, c->out->log_id)) {
        c->out->heads_elsewhere++;
        return ERR_OK;
    }
    if (c->heads_len == HEADS_MAX)
        return err_set(e, ERR_LIMIT, "the database holds more than %zu audit heads", HEADS_MAX);
    if (c->heads_len == c->heads_cap) {
        const size_t cap = c->heads_cap == 0 ? 64 : c->heads_cap * 2;
        grown = reallocarray(c->heads, cap, sizeof *grown);
        if (grown == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        c->heads = grown;
        c->heads_cap = cap;
    }
    to = &c->heads[c->heads_len++];
    to->seq = h->seq;
    if (strlen(h->hash) != 64 || !text_unhex(h->hash, 64, to->hash))
        memset(to->hash, 0, sizeof to->hash); /* matches nothing */
    return ERR_OK;
}

static int by_seq(const void *a, const void *b)
{
    const struct head *x = a, *y = b;

    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static enum err_code load_heads(struct check *c, struct err *e)
{
    enum err_code code = c->tracker == NULL ? ERR_OK : tracker_heads(c->tracker, on_head, c, e);

    if (c->heads_len > 1)
        qsort(c->heads, c->heads_len, sizeof *c->heads, by_seq);
    return code;
}

/* Is what the database remembers of this line, and of numbers passed over, still so? */
static void compare_heads(struct check *c)
{
    unsigned char hash[DIGEST_SHA256_SIZE];

    for (; c->heads_at < c->heads_len && c->heads[c->heads_at].seq <= c->out->last_seq;
         c->heads_at++) {
        const struct head *h = &c->heads[c->heads_at];
        c->out->heads++;
        if (h->seq == c->out->last_seq && text_unhex(c->out->last_hash, 64, hash) &&
            memcmp(hash, h->hash, sizeof hash) == 0)
            continue;
        c->out->heads_missing++;
        bad(c, c->out->lines, "the database remembers another line with seq %lld",
            (long long)h->seq);
    }
}

/* ---- lines ---------------------------------------------------------------------------------------------- */

/* Does the line go on with the chain? NULL, or what is wrong. */
static const char *judge(struct check *c, const struct journal_line *l)
{
    const struct journal_report *out = c->out;
    char hash[DIGEST_SHA256_HEX];

    if (l->seq != out->last_seq + 1)
        return out->last_seq == 0 ? "the first line is missing"
                                  : "a line is missing, doubled or out of order here";
    if (l->log_len != strlen(out->log_id) || memcmp(l->log, out->log_id, l->log_len) != 0)
        return "the line belongs to another audit file";
    if ((l->seq == 1) != journal_line_is(l, "log_begin"))
        return "log_begin is not the first line, or the first is none";
    journal_line_hash(l, &c->sha, out->last_hash, hash);
    if (memcmp(hash, l->hash, 64) != 0)
        return "the hash does not match: this line was changed";
    return NULL;
}

static void region_feed(struct check *c, const struct journal_piece *p)
{
    if (c->region_bytes > 0)
        digest_update(&c->region, &c->region_last, 1);
    digest_update(&c->region, p->text, p->len - 1);
    c->region_last = p->text[p->len - 1];
    c->region_bytes += (int64_t)p->len;
}

static void region_begin(struct check *c, const char *why)
{
    digest_restart(&c->region);
    c->region_line = c->out->lines;
    c->region_bytes = 0;
    str_copy(c->region_problem, sizeof c->region_problem, why);
}

/* A torn_tail record speaks for exactly the bytes between the last good line and itself. */
static bool region_is_recorded(struct check *c, const struct journal_line *l)
{
    unsigned char raw[DIGEST_MAX];
    char want[DIGEST_SHA256_HEX + 2] = "\"";
    const char *sha;
    size_t n = 0;

    digest_final(&c->region, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, want + 1);
    want[65] = '"';
    sha = journal_line_member(l, "sha256", &n);
    return journal_line_is(l, "torn_tail") &&
           journal_line_integer(l, "bytes") == c->region_bytes - 1 && sha != NULL && n == 66 &&
           memcmp(sha, want, n) == 0;
}

static void accept(struct check *c, const struct journal_line *l)
{
    c->out->last_seq = l->seq;
    memcpy(c->out->last_hash, l->hash, 64);
    if (journal_line_is(l, "run_begin"))
        c->out->runs++;
    journal_doubt_see(&c->doubt, l);
    compare_heads(c);
}

static void take_piece(struct check *c, const struct journal_piece *p)
{
    struct journal_line l;
    const char *why = NULL;

    if (p->begins)
        c->out->lines++;
    if (journal_read_line(p, &l, &why))
        why = judge(c, &l);
    if (why != NULL) {
        if (c->region_line == 0)
            region_begin(c, why);
        region_feed(c, p);
        return;
    }
    if (c->region_line > 0) {
        if (!region_is_recorded(c, &l)) {
            bad(c, c->region_line, "%s", c->region_problem);
            c->broken = true;
            return;
        }
        c->out->torn++;
        c->region_line = 0;
    } else if (journal_line_is(&l, "torn_tail")) {
        bad(c, c->out->lines, "the torn line that this line records is missing");
        c->broken = true;
        return;
    }
    accept(c, &l);
}

static void finish(struct check *c, bool ended)
{
    if (!c->broken && c->region_line > 0) {
        if (!ended && c->region_line == c->out->lines)
            bad(c, c->region_line,
                "the last line is torn, by a crash or a cut (a crash's is recorded by the next "
                "run)");
        else
            bad(c, c->region_line, "%s", c->region_problem);
    }
    if (c->out->lines == 0)
        bad(c, 1, "the file is empty");
    c->out->in_doubt = journal_doubt_count(&c->doubt);
    c->out->in_doubt_at_most = c->doubt.overflow > 0;
    if (c->broken || c->region_line > 0)
        return; /* heads behind the first bad line cannot be judged */
    for (; c->heads_at < c->heads_len; c->heads_at++) {
        c->out->heads++;
        c->out->heads_missing++;
        bad(c, c->out->lines + 1,
            "the end was cut off: the database remembers a line with seq %lld",
            (long long)c->heads[c->heads_at].seq);
    }
}

static enum err_code walk(struct check *c, struct err *e)
{
    struct journal_piece p = {.ends = true};
    struct journal_line first;
    const char *why;
    bool ended = true;
    enum err_code code = journal_read_next(&c->read, &p, e);

    if (code != ERR_OK)
        return code;
    str_copy(c->out->last_hash, sizeof c->out->last_hash, JOURNAL_ZEROS);
    if (p.len > 0 && journal_read_line(&p, &first, &why)) {
        const size_t room = sizeof c->out->log_id - 1;
        memcpy(c->out->log_id, first.log, first.log_len < room ? first.log_len : room);
    }
    code = load_heads(c, e);
    while (code == ERR_OK && p.len > 0 && !c->broken) {
        ended = p.ends;
        take_piece(c, &p);
        code = journal_read_next(&c->read, &p, e);
    }
    if (code == ERR_OK)
        finish(c, ended);
    return code;
}

/* What is whole under the lock stays so: lines are only added. */
static enum err_code open_file(const char *path, int *fd, int64_t *size, struct err *e)
{
    struct stat st;
    enum err_code code;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot read audit trail '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE_TYPE, "audit trail '%s' is no regular file", path);
    code = journal_read_lock(*fd, LOCK_SH, path, e);
    if (code != ERR_OK)
        return code;
    if (fstat(*fd, &st) != 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot read audit trail '%s'", path);
    *size = st.st_size;
    (void)flock(*fd, LOCK_UN);
    (void)posix_fadvise(*fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return code;
}

enum err_code journal_verify(const char *dir, struct tracker *tracker, struct journal_report *out,
                             struct err *e)
{
    struct check c = {.out = out, .tracker = tracker};
    char path[4096];
    int64_t size = 0;
    int fd = -1;
    enum err_code code;

    memset(out, 0, sizeof *out);
    if (snprintf(path, sizeof path, "%s/audit.jsonl", dir) >= (int)sizeof path)
        return err_set(e, ERR_CONFIG, "the log folder's name is too long");
    code = open_file(path, &fd, &size, e);
    if (code == ERR_OK)
        code = digest_init(&c.sha, DIGEST_SHA256, e);
    if (code == ERR_OK)
        code = digest_init(&c.region, DIGEST_SHA256, e);
    if (code == ERR_OK)
        code = journal_doubt_init(&c.doubt, e);
    if (code == ERR_OK)
        code = journal_read_init(&c.read, fd, path, 0, size, e);
    if (code == ERR_OK)
        code = walk(&c, e);
    if (code == ERR_OK && out->bad_line > 0)
        code = err_set(e, ERR_CONFLICT, "audit trail '%s' line %lld: %s", path,
                       (long long)out->bad_line, out->problem);
    journal_read_release(&c.read);
    journal_doubt_release(&c.doubt);
    digest_release(&c.region);
    digest_release(&c.sha);
    free(c.heads);
    if (fd >= 0)
        close(fd);
    return code;
}
