#include "blobferry/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_code;
} classes[ERR_CODE_COUNT] = {
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

void err_init(struct err *e)
{
    if (e == NULL)
        return;
    e->code = ERR_OK;
    e->retryable = false;
    e->message[0] = '\0';
    e->hint[0] = '\0';
}

/* Messages end up in terminals, logs and databases: no control character may get there (F2). Cuts a torn UTF-8 sequence at the end. */
static void clean(char *s)
{
    size_t n = strlen(s), k = n;

    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            s[i] = '?';
    }
    while (k > 0 && n - k < 4 && ((unsigned char)s[k - 1] & 0xc0) == 0x80)
        k--;
    if (k > 0 && n - k < 4 && (unsigned char)s[k - 1] >= 0xc0) {
        unsigned char lead = (unsigned char)s[k - 1];
        size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
        if (n - (k - 1) < want)
            s[k - 1] = '\0';
    }
}

__attribute__((format(printf, 3, 0))) static void fill(char *dst, size_t size, const char *fmt,
                                                       va_list ap)
{
    if (vsnprintf(dst, size, fmt, ap) < 0)
        dst[0] = '\0';
    clean(dst);
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL)
        return code;
    err_init(e);
    e->code = code;
    e->retryable = code == ERR_DB_BUSY || code == ERR_STORE_UNAVAILABLE;
    va_start(ap, fmt);
    fill(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    return code;
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
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FILE_SPACE;
    case ELOOP:
    case EISDIR:
    case ENOTDIR:
    case ENXIO:
        return ERR_FILE_TYPE;
    case EXDEV:
        return ERR_FILE_OUTSIDE;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_FILE;
    }
}

enum err_code err_set_errno(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
{
    va_list ap;
    char text[128];
    size_t n;

    if (code == ERR_FILE)
        code = from_errno(errnum);
    if (e == NULL)
        return code;
    err_init(e);
    e->code = code;
    va_start(ap, fmt);
    fill(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    n = strlen(e->message);
    snprintf(e->message + n, sizeof e->message - n, ": %s", strerror_r(errnum, text, sizeof text));
    return code;
}

enum err_code err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[ERR_MESSAGE_MAX];
    va_list ap;
    size_t n;

    if (e == NULL)
        return ERR_GENERAL;
    memcpy(inner, e->message, sizeof inner);
    va_start(ap, fmt);
    fill(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    n = strlen(e->message);
    if (inner[0] != '\0')
        snprintf(e->message + n, sizeof e->message - n, ": %s", inner);
    clean(e->message);
    return e->code;
}

enum err_code err_hint(struct err *e, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL)
        return ERR_GENERAL;
    va_start(ap, fmt);
    fill(e->hint, sizeof e->hint, fmt, ap);
    va_end(ap);
    return e->code;
}

const char *err_code_name(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? classes[code].name : "general";
}

int err_exit_code(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? classes[code].exit_code : 1;
}
