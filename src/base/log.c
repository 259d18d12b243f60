#include "blobferry/base/log.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)
#define NAMES_TRIED    1000

struct log {
    int fd;
    char *path;
    char *command;
    char *run_id;
    bool json;
    enum log_level level;
    struct err fault; /* sticky */
    struct buf line;
    pthread_mutex_t lock;
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < 4; i++) {
        if (str_ieq(name, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    if (str_ieq(name, "warning")) {
        *out = LOG_WARN;
        return true;
    }
    return false;
}

static void utc(int64_t ms, struct tm *t)
{
    time_t s = (time_t)(ms / 1000);
    gmtime_r(&s, t);
}

/* <dir>/<command>_YYYYMMDD_HHMMSS.log, then -2, -3 ... within one second. */
static enum err_code create(struct log *l, const char *dir, struct err *e)
{
    struct buf path;
    struct tm t;
    enum err_code code = ERR_OK;

    buf_init(&path, 8192);
    utc(clock_wall_ms(), &t);
    for (int i = 1; i <= NAMES_TRIED; i++) {
        buf_reset(&path);
        buf_printf(&path, "%s/%s_%04d%02d%02d_%02d%02d%02d", dir, l->command, t.tm_year + 1900,
                   t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
        if (i > 1)
            buf_printf(&path, "-%d", i);
        buf_str(&path, ".log");
        l->fd = open(buf_cstr(&path),
                     O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (l->fd >= 0 || errno != EEXIST)
            break;
    }
    if (l->fd < 0) {
        err_set_errno(e, ERR_FILE, errno, "cannot create log file '%s'", buf_cstr(&path));
        code = err_hint(e, "set --log-dir to a folder that can be written");
        code = code == ERR_OK ? ERR_FILE : code;
    } else if ((l->path = buf_steal(&path)) == NULL) {
        code = err_set(e, ERR_NOMEM, "out of memory");
    }
    buf_release(&path);
    return code;
}

enum err_code log_open(struct log **out, const struct log_options *o, struct err *e)
{
    struct log *l = calloc(1, sizeof *l);
    enum err_code code;

    *out = NULL;
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->fd = -1;
    l->json = o->json;
    l->level = o->level;
    l->command = str_dup(o->command);
    l->run_id = str_dup(o->run_id != NULL ? o->run_id : "");
    buf_init(&l->line, LINE_MAX_BYTES);
    pthread_mutex_init(&l->lock, NULL);
    code = l->command != NULL && l->run_id != NULL ? fsio_mkdirs(o->dir, 0700, e)
                                                   : err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK)
        code = create(l, o->dir, e);
    if (code != ERR_OK) {
        log_close(l);
        return code;
    }
    *out = l;
    return ERR_OK;
}

const char *log_path(const struct log *l)
{
    return l != NULL ? l->path : "";
}

static void append_time(struct buf *b)
{
    int64_t ms = clock_wall_ms();
    struct tm t;

    utc(ms, &t);
    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
               t.tm_hour, t.tm_min, t.tm_sec, (int)(ms % 1000));
}

/* Printable text in quotes of either kind: the quote and the backslash get a backslash, so that one event stays one line
 * and no value can pretend to be another field (F2). */
static void append_quoted(struct buf *b, const char *text, char quote)
{
    char safe[8 << 10];
    const char *at = safe;

    str_printable(safe, sizeof safe, text);
    buf_char(b, quote);
    for (; *at != '\0'; at++) {
        if (*at == quote || *at == '\\')
            buf_char(b, '\\');
        buf_char(b, *at);
    }
    buf_char(b, quote);
}

static void compose(struct log *l, enum log_level level, const char *event,
                    const struct log_field *fields)
{
    struct buf *b = &l->line;

    buf_reset(b);
    if (l->json) {
        buf_str(b, "{\"time\":\"");
        append_time(b);
        buf_printf(b, "\",\"level\":\"%s\",\"command\":", level_names[level]);
        append_quoted(b, l->command, '"');
        buf_str(b, ",\"run\":");
        append_quoted(b, l->run_id, '"');
        buf_str(b, ",\"event\":");
        append_quoted(b, event, '"');
    } else {
        append_time(b);
        buf_printf(b, " %-5s %s", level_names[level], event);
    }
    for (; fields != NULL && fields->name != NULL; fields++) {
        buf_printf(b, l->json ? ",\"%s\":" : " %s=", fields->name);
        if (fields->type == LOG_INT)
            buf_printf(b, "%lld", (long long)fields->integer);
        else if (fields->text == NULL)
            buf_str(b, "null");
        else
            append_quoted(b, fields->text, l->json ? '"' : '\'');
    }
    buf_str(b, l->json ? "}\n" : "\n");
}

void log_event(struct log *l, enum log_level level, const char *event,
               const struct log_field *fields)
{
    if (l == NULL || level > l->level)
        return;
    pthread_mutex_lock(&l->lock);
    compose(l, level, event, fields);
    if (!buf_ok(&l->line))
        compose(l, level, "line_too_long", NULL);
    secret_redact(l->line.data, l->line.len);
    if (l->fault.code == ERR_OK)
        fsio_write_all(l->fd, l->line.data, l->line.len, l->path, &l->fault);
    pthread_mutex_unlock(&l->lock);
}

void log_message(struct log *l, enum log_level level, const char *fmt, ...)
{
    char text[2048];
    struct log_field fields[] = {{"text", LOG_TEXT, text, 0}, {NULL, LOG_TEXT, NULL, 0}};
    va_list ap;

    va_start(ap, fmt);
    if (vsnprintf(text, sizeof text, fmt, ap) < 0)
        text[0] = '\0';
    va_end(ap);
    log_event(l, level, "message", fields);
}

enum err_code log_status(const struct log *l, struct err *e)
{
    if (l == NULL || l->fault.code == ERR_OK)
        return ERR_OK;
    if (e != NULL)
        *e = l->fault;
    return l->fault.code;
}

void log_close(struct log *l)
{
    if (l == NULL)
        return;
    if (l->fd >= 0)
        close(l->fd);
    free(l->path);
    free(l->command);
    free(l->run_id);
    buf_release(&l->line);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
