/* buf: a growing byte buffer with a maximum (P10). Failure is sticky, so that a caller may append a
 * dozen times and ask once. */
#include "blobferry/base/buf.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 128

/* Room for `more` bytes and the terminating NUL. */
static bool reserve(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more > b->max || b->len > b->max - more || b->max == SIZE_MAX)
        goto fail;
    const size_t need = b->len + more + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max + 1)
        cap = b->max + 1;
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        b->no_memory = true;
        goto fail;
    }
    b->data = data;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

void buf_init(struct buf *b, size_t max)
{
    memset(b, 0, sizeof *b);
    b->max = max < SIZE_MAX ? max : SIZE_MAX - 1;
}

void buf_release(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->cap);
    buf_release(b);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = b->no_memory = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

enum err_code buf_status(const struct buf *b, enum err_code code, const char *message,
                         struct err *e)
{
    if (buf_ok(b))
        return ERR_OK;
    return b->no_memory ? err_set(e, ERR_NOMEM, "out of memory") : err_set(e, code, "%s", message);
}

bool buf_reserve(struct buf *b, size_t more)
{
    return reserve(b, more);
}

bool buf_append(struct buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return false;
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

bool buf_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

bool buf_char(struct buf *b, char c)
{
    if (b->len + 1 < b->cap && b->len < b->max && !b->failed) {
        b->data[b->len++] = c;
        b->data[b->len] = '\0';
        return true;
    }
    return buf_append(b, &c, 1);
}

/* First into the room that there is; only what does not fit is made twice. */
bool buf_printf(struct buf *b, const char *fmt, ...)
{
    const size_t room = b->data == NULL || b->failed ? 0 : b->cap - b->len;
    char *end = room > 0 ? b->data + b->len : NULL;
    va_list ap;
    va_list again;
    bool ok = false;

    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(end, room, fmt, ap);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < room && b->len + (size_t)n <= b->max) {
        ok = true;
    } else {
        if (end != NULL)
            *end = '\0'; /* what does not fit leaves nothing */
        ok = reserve(b, (size_t)n);
        if (ok)
            vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    }
    if (ok)
        b->len += (size_t)n;
    va_end(again);
    va_end(ap);
    return ok;
}

const char *buf_cstr(const struct buf *b)
{
    return b->len > 0 ? b->data : "";
}

char *buf_steal(struct buf *b)
{
    char *data = NULL;

    if (reserve(b, 0)) {
        data = b->data;
        data[b->len] = '\0';
        b->data = NULL;
    }
    buf_release(b);
    return data;
}
