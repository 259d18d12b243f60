#include "engine/upload_mark.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/str.h"

#include <string.h>
#include <strings.h>

#define TAG      "#sha256="
#define HEX      ((size_t)64)
#define TAIL     (sizeof TAG - 1 + HEX)
#define MARK_MAX ((size_t)16 << 10)

char *upload_mark_make(const char *upload_id, const char *sha256)
{
    struct buf b;

    buf_init(&b, MARK_MAX);
    buf_str(&b, upload_id);
    if (!str_empty(sha256)) {
        buf_str(&b, TAG);
        buf_str(&b, sha256);
    }
    if (buf_ok(&b))
        return buf_steal(&b);
    buf_release(&b);
    return NULL;
}

/* Where the tag begins; the end of the text when there is none. */
static size_t id_length(const char *mark)
{
    const size_t n = strlen(mark);

    if (n > TAIL && memcmp(mark + n - TAIL, TAG, sizeof TAG - 1) == 0 &&
        strspn(mark + n - HEX, "0123456789abcdefABCDEF") == HEX)
        return n - TAIL;
    return n;
}

char *upload_mark_id(const char *mark)
{
    return mark != NULL ? strndup(mark, id_length(mark)) : NULL;
}

bool upload_mark_is_of(const char *mark, const char *sha256)
{
    size_t n;

    if (mark == NULL || sha256 == NULL || strlen(sha256) != HEX)
        return false;
    n = id_length(mark);
    return mark[n] != '\0' && strcasecmp(mark + n + sizeof TAG - 1, sha256) == 0;
}
