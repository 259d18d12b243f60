/* objkey: keys that some store, proxy or library would take for another key are refused before
 * any request is made. */
#include "blobferry/codec/objkey.h"

#include "blobferry/base/str.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#define SHOWN_BYTES 300 /* of a key in a message, which may end in a database or on a terminal */

static enum err_code refuse(const char *key, const char *why, struct err *e)
{
    char shown[SHOWN_BYTES];
    return err_set(e, ERR_PARSE, "key '%s' %s", str_printable(shown, sizeof shown, key), why);
}

/* C0, DEL, C1 (U+0080 to U+009F), U+FFFE and U+FFFF; `key` is valid UTF-8. */
static bool has_forbidden_character(const char *key)
{
    const unsigned char *p = (const unsigned char *)key;
    for (; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f)
            return true;
        if (*p == 0xc2 && p[1] < 0xa0)
            return true;
        if (*p == 0xef && p[1] == 0xbf && p[2] >= 0xbe)
            return true;
    }
    return false;
}

/* curl, proxies and file systems fold '.', '..' and '//'; Ceph and R2 disagree on the last. */
static enum err_code check_segments(const char *key, struct err *e)
{
    if (key[0] == '/')
        return refuse(key, "begins with '/'", e);
    for (const char *segment = key;;) {
        const char *slash = strchr(segment, '/');
        const size_t n = slash == NULL ? strlen(segment) : (size_t)(slash - segment);
        if (n == 0)
            return refuse(key, slash == NULL ? "ends with '/'" : "has an empty segment '//'", e);
        if (n == 1 && segment[0] == '.')
            return refuse(key, "has a '.' segment", e);
        if (n == 2 && segment[0] == '.' && segment[1] == '.')
            return refuse(key, "has a '..' segment", e);
        if (slash == NULL)
            return ERR_OK;
        segment = slash + 1;
    }
}

enum err_code objkey_check(const char *key, struct err *e)
{
    if (key == NULL || *key == '\0')
        return err_set(e, ERR_PARSE, "key is empty");
    const size_t n = strlen(key);
    if (n > OBJKEY_MAX) {
        char shown[80];
        return err_set(e, ERR_PARSE, "key '%s' has %zu bytes, more than %d",
                       str_printable(shown, sizeof shown, key), n, OBJKEY_MAX);
    }
    if (!str_utf8_valid(key, n))
        return refuse(key, "is not valid UTF-8", e);
    if (has_forbidden_character(key))
        return refuse(key, "holds a control character or a noncharacter", e);
    return check_segments(key, e);
}

char *objkey_nfc(const char *key)
{
    if (key == NULL || !str_utf8_valid(key, strlen(key)))
        return NULL;
    utf8proc_uint8_t *out = NULL;
    const utf8proc_option_t how = UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    /* STABLE: the composition that Unicode promises never to change between versions. */
    if (utf8proc_map((const utf8proc_uint8_t *)key, 0, &out, how) < 0)
        return NULL;
    return (char *)out; /* from malloc, by utf8proc's contract */
}
