/* journal: writing. Lines are gathered without their place in the chain, which is known only under the lock. */
#include "blobferry/engine/journal.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "engine/audit_sign.h"
#include "engine/journal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME     "audit.jsonl"
#define PENDING_LINES ((size_t)4096)
#define PENDING_BYTES ((size_t)8 << 20)
#define GROUP_BYTES   (PENDING_BYTES + PENDING_LINES * 512) /* with what is put around each line */
/* What a power cut can damage was written since the last fdatasync: less than this. */
#define TAIL_WINDOW    ((int64_t)16 << 20)
#define UNSYNCED_LIMIT ((int64_t)1 << 20)

struct journal {
    pthread_mutex_t lock; /* for all that changes after journal_open */
    int fd;
    char *path;
    char run_id[JOURNAL_NAME_SIZE];
    char log_id[JOURNAL_NAME_SIZE];
    dev_t device;
    ino_t inode;
    struct journal_tail tail; /* the chain as this process saw it last */
    int64_t unsynced;         /* bytes written since the last fdatasync */
    struct buf pending;       /* per line: time (24 bytes), members, NUL */
    size_t lines;
    struct buf members, group;
    struct digest sha;
    const struct signature *signature; /* of closing lines; NULL: none */
    struct err failure;                /* sticky */
};

static enum err_code fail(struct journal *j, const struct err *why, struct err *e)
{
    j->failure = *why;
    if (e != NULL)
        *e = *why;
    return why->code;
}

/* ---- opening -------------------------------------------------------------------------------------------- */

/* The file appears whole, with its first line, or not at all; of two makers one wins. */
static enum err_code create(struct journal *j, struct err *e)
{
    char now[TIMEFMT_SIZE], log_id[CLOCK_UUID_SIZE], hash[DIGEST_SHA256_HEX] = JOURNAL_ZEROS;
    const struct journal_line_head head = {.time = now, .log = log_id, .run = j->run_id, .seq = 1};
    struct fsio_atomic file;
    enum err_code code;

    clock_uuid(log_id);
    timefmt_iso(clock_wall_ms(), now);
    buf_reset(&j->group);
    if (!journal_line_append(
            &j->group, &j->sha, &head,
            "\"action\":\"log_begin\",\"detail\":\"blobferry " BLOBFERRY_VERSION "\"", hash))
        return err_set(e, ERR_NOMEM, "out of memory");
    code = fsio_atomic_begin(&file, j->path, 0600, e);
    if (code != ERR_OK)
        return code;
    code = fsio_atomic_write(&file, j->group.data, j->group.len, e);
    if (code != ERR_OK) {
        fsio_atomic_abort(&file);
        return code;
    }
    code = fsio_atomic_commit(&file, FSIO_NEW, e);
    return code == ERR_CONFLICT ? ERR_OK : code; /* somebody else has made it */
}

static enum err_code open_file(struct journal *j, struct err *e)
{
    struct stat st;

    for (int tries = 0; j->fd < 0; tries++) {
        enum err_code code;

        j->fd = open(j->path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (j->fd >= 0)
            break;
        if (errno != ENOENT || tries == 3)
            return err_set_errno(e, ERR_FILE, errno, "cannot open audit trail '%s'", j->path);
        code = create(j, e);
        if (code != ERR_OK)
            return code;
    }
    if (fstat(j->fd, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot look at '%s'", j->path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE_TYPE, "audit trail '%s' is no regular file", j->path);
    j->device = st.st_dev;
    j->inode = st.st_ino;
    return ERR_OK;
}

/* The first line names the log that all others must belong to. */
static enum err_code read_log_id(struct journal *j, int64_t size, struct err *e)
{
    struct journal_read r;
    struct journal_piece p;
    struct journal_line l;
    const char *why;
    enum err_code code = journal_read_init(&r, j->fd, j->path, 0, size, e);

    if (code == ERR_OK)
        code = journal_read_next(&r, &p, e);
    if (code == ERR_OK) {
        if (journal_read_line(&p, &l, &why) && l.seq == 1 && journal_line_is(&l, "log_begin")) {
            memcpy(j->log_id, l.log, l.log_len);
        } else {
            code = err_set(e, ERR_CONFLICT, "'%s' does not begin as an audit trail", j->path);
            (void)err_hint(e, "move it away: a new one is begun then");
        }
    }
    journal_read_release(&r);
    return code;
}

/* The whole window, in which a power cut may have left holes; without changing anything. */
static enum err_code read_state(struct journal *j, struct err *e)
{
    struct stat st;
    enum err_code code = journal_read_lock(j->fd, LOCK_EX, j->path, e);

    if (code != ERR_OK)
        return code;
    if (fstat(j->fd, &st) != 0) {
        code = err_set_errno(e, ERR_FILE, errno, "cannot look at '%s'", j->path);
    } else {
        const int64_t from = st.st_size > TAIL_WINDOW ? st.st_size - TAIL_WINDOW : 0;
        code = read_log_id(j, st.st_size, e);
        if (code == ERR_OK)
            code = journal_read_tail(j->fd, j->path, from, st.st_size, from > 0, &j->tail, e);
    }
    (void)flock(j->fd, LOCK_UN);
    return code;
}

enum err_code journal_open(struct journal **out, const struct journal_options *o, struct err *e)
{
    struct journal *j;
    enum err_code code;

    *out = NULL;
    if (!journal_line_name_ok(o->run_id))
        return err_set(e, ERR_GENERAL, "a run id must be printable ASCII without blanks");
    j = calloc(1, sizeof *j);
    if (j == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&j->lock, NULL);
    j->fd = -1;
    j->signature = o->signature;
    str_copy(j->run_id, sizeof j->run_id, o->run_id);
    buf_init(&j->pending, PENDING_BYTES + JOURNAL_LINE_MAX);
    buf_init(&j->members, JOURNAL_LINE_MAX - 1024);
    buf_init(&j->group, GROUP_BYTES + JOURNAL_LINE_MAX);
    code = digest_init(&j->sha, DIGEST_SHA256, e);
    if (asprintf(&j->path, "%s/" FILE_NAME, o->dir) < 0)
        j->path = NULL;
    if (code == ERR_OK && j->path == NULL) {
        err_set(e, ERR_NOMEM, "out of memory");
        code = ERR_NOMEM;
    }
    if (code == ERR_OK)
        code = fsio_mkdirs(o->dir, 0700, e);
    if (code == ERR_OK)
        code = open_file(j, e);
    if (code == ERR_OK)
        code = read_state(j, e);
    if (code != ERR_OK) {
        journal_close(j);
        return code;
    }
    *out = j;
    return ERR_OK;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0)
        close(j->fd);
    digest_release(&j->sha);
    buf_release(&j->pending);
    buf_release(&j->members);
    buf_release(&j->group);
    pthread_mutex_destroy(&j->lock);
    free(j->path);
    free(j);
}

struct journal_entry journal_entry_of(const struct record *r, const char *action)
{
    return (struct journal_entry){.action = action,
                                  .file_id = r->file_id,
                                  .record_id = r->id,
                                  .batch_id = r->batch_id,
                                  .filename = r->filename,
                                  .target_key = r->target_key,
                                  .source_path = r->source_path};
}

/* ---- committing ----------------------------------------------------------------------------------------- */

/* Under the lock: is it still the same file, and has somebody else gone on with it? */
static enum err_code catch_up(struct journal *j, struct err *e)
{
    const int64_t known = j->tail.end + j->tail.torn;
    struct stat st, named;

    if (fstat(j->fd, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot look at '%s'", j->path);
    if (stat(j->path, &named) != 0 || named.st_dev != j->device || named.st_ino != j->inode)
        return err_set(e, ERR_CONFLICT, "audit trail '%s' was removed or replaced while in use",
                       j->path);
    if (st.st_size < known)
        return err_set(e, ERR_CONFLICT, "audit trail '%s' was cut while in use", j->path);
    if (st.st_size == known)
        return ERR_OK;
    /* What was torn may have been closed since, so the look begins at the last whole line. */
    return journal_read_tail(j->fd, j->path, j->tail.end, st.st_size, false, &j->tail, e);
}

static bool append_torn(struct journal *j, const char *now, struct journal_line_head *head,
                        char *hash)
{
    char members[192];

    if (j->tail.torn == 0)
        return true;
    snprintf(members, sizeof members,
             "\"action\":\"torn_tail\",\"bytes\":%" PRId64 ",\"sha256\":\"%s\"", j->tail.torn,
             j->tail.torn_sha256);
    head->time = now;
    head->seq++;
    return buf_char(&j->group, '\n') && /* closes what was torn */
           journal_line_append(&j->group, &j->sha, head, members, hash);
}

/* Give every pending line its place in the chain. */
static enum err_code compose(struct journal *j, struct journal_tail *after, struct err *e)
{
    struct journal_line_head head = {.log = j->log_id, .run = j->run_id, .seq = j->tail.seq};
    const char *line = j->pending.data;
    char now[TIMEFMT_SIZE];
    bool good;

    *after = j->tail;
    buf_reset(&j->group);
    timefmt_iso(clock_wall_ms(), now);
    good = append_torn(j, now, &head, after->hash);
    for (size_t i = 0; good && i < j->lines; i++) {
        head.time = line;
        head.seq++;
        if (j->signature != NULL && audit_sign_wants(line + 24))
            good =
                audit_sign_append(j->signature, &j->group, &j->sha, &head, line + 24, after->hash);
        else
            good = journal_line_append(&j->group, &j->sha, &head, line + 24, after->hash);
        line += strlen(line) + 1;
    }
    if (!good)
        return err_set(e, ERR_NOMEM, "out of memory for the audit trail");
    after->seq = head.seq;
    after->end = j->tail.end + j->tail.torn + (int64_t)j->group.len;
    after->torn = 0;
    return ERR_OK;
}

/* A short write leaves a torn tail, which is kept: nothing is ever cut off. */
static enum err_code write_group(struct journal *j, struct err *e)
{
    struct journal_tail after;
    enum err_code code = journal_read_lock(j->fd, LOCK_EX, j->path, e);

    if (code != ERR_OK)
        return code;
    code = catch_up(j, e);
    if (code == ERR_OK)
        code = compose(j, &after, e);
    if (code == ERR_OK)
        code = fsio_write_all(j->fd, j->group.data, j->group.len, j->path, e);
    (void)flock(j->fd, LOCK_UN);
    if (code == ERR_OK) {
        j->unsynced += (int64_t)j->group.len;
        j->tail = after;
        j->lines = 0;
        buf_reset(&j->pending);
    }
    return code;
}

static enum err_code commit(struct journal *j, bool durable, struct tracker_head *head,
                            struct err *e)
{
    struct err why = {0};
    enum err_code code = ERR_OK;

    if (j->failure.code != ERR_OK)
        return fail(j, &j->failure, e);
    if (j->lines > 0)
        code = write_group(j, &why);
    /* Outside the lock: others may write meanwhile, and whose fdatasync comes last covers all. One that
     * failed is never tried again (A7). */
    if (code == ERR_OK && j->unsynced > (durable ? 0 : UNSYNCED_LIMIT)) {
        if (fdatasync(j->fd) != 0)
            code = err_set_errno(&why, ERR_FILE, errno, "cannot make '%s' durable", j->path);
        else
            j->unsynced = 0;
    }
    if (code != ERR_OK)
        return fail(j, &why, e);
    if (head != NULL) {
        *head = (struct tracker_head){.log_id = j->log_id, .run_id = j->run_id, .seq = j->tail.seq};
        str_copy(head->hash, sizeof head->hash, j->tail.hash);
    }
    return ERR_OK;
}

/* ---- adding --------------------------------------------------------------------------------------------- */

static enum err_code add(struct journal *j, const struct journal_entry *entry, struct err *e)
{
    char now[TIMEFMT_SIZE];
    enum err_code code;

    if (j->failure.code != ERR_OK)
        return fail(j, &j->failure, e);
    code = journal_line_members(&j->members, entry, e);
    if (code != ERR_OK)
        return code;
    if (j->lines == PENDING_LINES || j->pending.len + j->members.len > PENDING_BYTES) {
        code = commit(j, true, NULL, e);
        if (code != ERR_OK)
            return code;
    }
    timefmt_iso(clock_wall_ms(), now);
    (void)buf_append(&j->pending, now, 24);
    (void)buf_append(&j->pending, j->members.data, j->members.len);
    if (!buf_char(&j->pending, '\0')) {
        struct err why = {0};
        err_set(&why, ERR_NOMEM, "out of memory for the audit trail");
        return fail(j, &why, e);
    }
    j->lines++;
    return ERR_OK;
}

enum err_code journal_add(struct journal *j, const struct journal_entry *entry, struct err *e)
{
    pthread_mutex_lock(&j->lock);
    const enum err_code code = add(j, entry, e);
    pthread_mutex_unlock(&j->lock);
    return code;
}

enum err_code journal_commit(struct journal *j, bool durable, struct tracker_head *head,
                             struct err *e)
{
    pthread_mutex_lock(&j->lock);
    const enum err_code code = commit(j, durable, head, e);
    pthread_mutex_unlock(&j->lock);
    return code;
}

size_t journal_pending(const struct journal *j)
{
    return j->lines;
}

const char *journal_path(const struct journal *j)
{
    return j->path;
}

const char *journal_run_id(const struct journal *j)
{
    return j->run_id;
}
