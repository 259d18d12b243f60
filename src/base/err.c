/* err: one fault, filled where it is seen. Texts are made safe here once, so that nothing further up
 * has to think about terminals (F2) or secrets (P8). */
#include "blobferry/base/err.h"

#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct class {
    const char *name;
    int exit_code;
};

static const struct class classes[ERR_CODE_COUNT] = {
    [ERR_OK] = {"ok", 0},
    [ERR_GENERAL] = {"general", 1},
    [ERR_NOMEM] = {"out_of_memory", 1},
    [ERR_LIMIT] = {"limit", 1},
    [ERR_PARSE] = {"parse", 1},
    [ERR_NOTFOUND] = {"not_found", 1},
    [ERR_REFUSED] = {"refused", 1},
    [ERR_CONFLICT] = {"conflict", 1},
    [ERR_CANCELLED] = {"cancelled", 1},
    [ERR_PARTIAL] = {"partial", 1},
    [ERR_USAGE] = {"usage", 2},
    [ERR_CONFIG] = {"config", 2},
    [ERR_DB] = {"database", 3},
    [ERR_DB_BUSY] = {"database_busy", 3},
    [ERR_DB_SCHEMA] = {"database_schema", 3},
    [ERR_STORE] = {"store", 4},
    [ERR_STORE_DENIED] = {"store_denied", 4},
    [ERR_STORE_UNAVAILABLE] = {"store_unavailable", 4},
    [ERR_STORE_CORRUPT] = {"store_corrupt", 4},
    [ERR_FILE] = {"file", 5},
    [ERR_FILE_MISSING] = {"file_missing", 5},
    [ERR_FILE_DENIED] = {"file_denied", 5},
    [ERR_FILE_TYPE] = {"file_type", 5},
    [ERR_FILE_OUTSIDE] = {"file_outside", 5},
    [ERR_FILE_CHANGED] = {"file_changed", 5},
    [ERR_FILE_SPACE] = {"file_space", 5},
};

static const struct class *class_of(enum err_code code)
{
    const int index = (int)code;
    return &classes[index >= 0 && index < (int)ERR_CODE_COUNT ? code : ERR_GENERAL];
}

/* The text is formatted whole before it is cut, so that no half of a secret survives redaction.
 * Arguments may point into the very struct that is filled. */
__attribute__((format(printf, 3, 0))) static void render(char *dst, size_t size, const char *fmt,
                                                         va_list ap)
{
    char *whole = NULL;
    const int n = vasprintf(&whole, fmt, ap);
    if (n < 0) { /* out of memory: the bare format still names the operation */
        str_printable(dst, size, fmt);
        return;
    }
    secret_redact(whole, (size_t)n);
    str_printable(dst, size, whole);
    free(whole);
}

/* For who has no struct err: what this thread set last, so that a hint does not change the code that is returned. */
static _Thread_local enum err_code last_code = ERR_GENERAL;

static void fill(struct err *e, enum err_code code, const char *message)
{
    str_copy(e->message, sizeof e->message, message);
    e->code = code;
    e->retryable = code == ERR_DB_BUSY || code == ERR_STORE_UNAVAILABLE;
    e->hint[0] = '\0';
}

static enum err_code from_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return ERR_FILE_MISSING;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_FILE_DENIED;
    case EISDIR:
    case ENOTDIR:
    case ELOOP:
    case ENXIO:
        return ERR_FILE_TYPE;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FILE_SPACE;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_FILE;
    }
}

void err_init(struct err *e)
{
    if (e != NULL)
        memset(e, 0, sizeof *e);
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    char message[ERR_MESSAGE_MAX];
    va_list ap;

    last_code = code;
    if (e == NULL)
        return code;
    va_start(ap, fmt);
    render(message, sizeof message, fmt, ap);
    va_end(ap);
    fill(e, code, message);
    return code;
}

enum err_code err_set_errno(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
{
    char reason[128];
    char message[ERR_MESSAGE_MAX];
    va_list ap;

    if (code == ERR_FILE)
        code = from_errno(errnum);
    last_code = code;
    if (e == NULL)
        return code;
    va_start(ap, fmt);
    render(message, sizeof message, fmt, ap);
    va_end(ap);
    fill(e, code, message);
    const char *why = strerror_r(errnum, reason, sizeof reason); /* the GNU form: thread-safe */
    /* The cause is worth more than the end of an over-long subject. */
    const size_t tail = strlen(why) + 3;
    size_t used = strlen(message);
    if (used + tail > sizeof e->message) {
        str_printable(e->message, sizeof e->message - tail + 1, message);
        used = strlen(e->message);
    }
    snprintf(e->message + used, sizeof e->message - used, ": %s", why);
    return code;
}

enum err_code err_wrap(struct err *e, const char *fmt, ...)
{
    char context[ERR_MESSAGE_MAX];
    char joined[2 * ERR_MESSAGE_MAX + 2];
    va_list ap;

    if (e == NULL)
        return last_code;
    va_start(ap, fmt);
    render(context, sizeof context, fmt, ap);
    va_end(ap);
    snprintf(joined, sizeof joined, "%s: %s", context, e->message);
    str_printable(e->message, sizeof e->message, joined);
    return e->code;
}

enum err_code err_hint(struct err *e, const char *fmt, ...)
{
    char hint[ERR_HINT_MAX];
    va_list ap;

    if (e == NULL)
        return last_code;
    va_start(ap, fmt);
    render(hint, sizeof hint, fmt, ap);
    va_end(ap);
    str_copy(e->hint, sizeof e->hint, hint);
    return e->code;
}

const char *err_code_name(enum err_code code)
{
    return class_of(code)->name;
}

int err_exit_code(enum err_code code)
{
    return class_of(code)->exit_code;
}
