/* log: one file per run. Each event is one write(2), so that lines of several threads never mix and a
 * kill leaves whole lines. What could not be written is counted, and told as soon as it can be. */
#include "blobferry/base/log.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)256 * 1024)
#define NAMES_TRIED    10000
#define HELD_BYTES     ((size_t)64 * 1024) /* of whole lines, between log_hold and log_unhold */

struct log {
    pthread_mutex_t lock;
    int fd;
    char *path;
    char *command;
    char *run_id;
    bool json;
    enum log_level level;
    off_t size;   /* bytes of whole lines */
    int64_t lost; /* lines not written since the last one that was */
    bool holding;
    struct buf line; /* the one that is being made */
    struct buf held; /* whole lines that are written together */
    int64_t held_lines;
    atomic_int failure; /* errno of the first line that could not be written */
};

/* The command becomes part of a file name. */
static char *safe_command(const char *command)
{
    char *copy = str_dup(str_empty(command) ? "blobferry" : command);

    for (char *c = copy; c != NULL && *c != '\0'; c++) {
        const bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                           (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
        if (!plain)
            *c = '_';
    }
    return copy;
}

/* O_EXCL decides who has a name, so that two runs in one second have two files (A8). */
static enum err_code create(struct log *l, const char *dir, struct err *e)
{
    char stamp[32];

    log_line_stamp(stamp, clock_wall_ms());
    for (int i = 1; i <= NAMES_TRIED; i++) {
        char suffix[16] = "";
        if (i > 1)
            snprintf(suffix, sizeof suffix, "-%d", i);
        free(l->path);
        l->path = NULL;
        if (asprintf(&l->path, "%s/%s_%s%s.log", dir, l->command, stamp, suffix) < 0) {
            l->path = NULL;
            return err_set(e, ERR_NOMEM, "out of memory");
        }
        l->fd =
            open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (l->fd >= 0)
            return ERR_OK;
        if (errno != EEXIST)
            break;
    }
    const enum err_code code =
        err_set_errno(e, ERR_FILE, errno, "cannot create log file '%s'", l->path);
    err_hint(e, "set --log-dir to a directory that can be written");
    return code;
}

enum err_code log_open(struct log **out, const struct log_options *o, struct err *e)
{
    const char *dir = str_empty(o->dir) ? "." : o->dir;
    enum err_code code;
    struct log *l = calloc(1, sizeof *l);

    *out = NULL;
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->fd = -1;
    l->json = o->json;
    l->level = o->level;
    buf_init(&l->line, LINE_MAX_BYTES);
    buf_init(&l->held, HELD_BYTES + LINE_MAX_BYTES);
    pthread_mutex_init(&l->lock, NULL);
    l->command = safe_command(o->command);
    l->run_id = str_dup(o->run_id);
    if (l->command == NULL || (o->run_id != NULL && l->run_id == NULL)) {
        code = err_set(e, ERR_NOMEM, "out of memory");
        goto fail;
    }
    code = fsio_mkdirs(dir, 0700, e);
    if (code == ERR_OK)
        code = create(l, dir, e);
    if (code != ERR_OK)
        goto fail;
    *out = l;
    return ERR_OK;
fail:
    log_close(l);
    return code;
}

const char *log_path(const struct log *l)
{
    return l == NULL ? "" : l->path;
}

/* One write; a line that is torn by a full disk is taken back, so that every line stays whole. */
static bool put(struct log *l, const struct buf *line)
{
    ssize_t n;

    do {
        n = write(l->fd, line->data, line->len);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)line->len) {
        l->size += n;
        return true;
    }
    if (l->failure == 0)
        l->failure = n < 0 ? errno : ENOSPC;
    if (n > 0 && ftruncate(l->fd, l->size) != 0)
        l->size += n;
    return false;
}

static void write_held(struct log *l)
{
    if (l->held_lines > 0 && !put(l, &l->held))
        l->lost += l->held_lines;
    l->held_lines = 0;
    buf_reset(&l->held);
}

static bool put_event(struct log *l, enum log_level level, const char *event,
                      const struct log_field *fields)
{
    const struct log_line line = {.time_ms = clock_wall_ms(),
                                  .level = level,
                                  .command = l->command,
                                  .run_id = l->run_id,
                                  .event = event};
    struct buf *b = &l->line;
    bool ok;

    buf_reset(b);
    ok = log_line_render(b, l->json, &line, fields);
    if (!ok && l->failure == 0)
        l->failure = ENOMEM;
    if (ok && l->holding && buf_append(&l->held, b->data, b->len)) {
        l->held_lines++;
        if (l->held.len >= HELD_BYTES)
            write_held(l);
    } else {
        ok = ok && put(l, b);
    }
    return ok;
}

void log_event(struct log *l, enum log_level level, const char *event,
               const struct log_field *fields)
{
    if (l == NULL || level > l->level)
        return;
    pthread_mutex_lock(&l->lock);
    if (l->lost > 0) {
        const struct log_field lost[] = {{"lines", LOG_INT, .integer = l->lost}, {0}};
        if (put_event(l, LOG_ERROR, "log_lines_lost", lost))
            l->lost = 0;
    }
    if (l->lost > 0 || !put_event(l, level, event, fields))
        l->lost++;
    pthread_mutex_unlock(&l->lock);
}

void log_hold(struct log *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->holding = true;
    pthread_mutex_unlock(&l->lock);
}

void log_unhold(struct log *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    write_held(l);
    l->holding = false;
    pthread_mutex_unlock(&l->lock);
}

void log_message(struct log *l, enum log_level level, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    if (l == NULL || level > l->level)
        return;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    log_event(l, level, "message",
              (struct log_field[]){{"text", LOG_TEXT, .text = text != NULL ? text : fmt}, {0}});
    free(text);
}

enum err_code log_status(const struct log *l, struct err *e)
{
    int failure = 0;

    if (l != NULL)
        failure = l->failure;
    if (failure == 0)
        return ERR_OK;
    return err_set_errno(e, ERR_FILE, failure, "cannot write log file '%s'", l->path);
}

void log_close(struct log *l)
{
    if (l == NULL)
        return;
    if (l->fd >= 0) {
        write_held(l);
        close(l->fd);
    }
    buf_release(&l->line);
    buf_release(&l->held);
    pthread_mutex_destroy(&l->lock);
    free(l->path);
    free(l->command);
    free(l->run_id);
    free(l);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"error", LOG_ERROR},
                 {"warn", LOG_WARN},
                 {"warning", LOG_WARN},
                 {"info", LOG_INFO},
                 {"debug", LOG_DEBUG}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_ieq(name, names[i].name)) {
            *out = names[i].level;
            return true;
        }
    }
    return false;
}
