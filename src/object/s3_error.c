#include "s3_error.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/xml.h"

#include <string.h>

#define TEXT_MAX ((size_t)64 << 10)

/* Codes, regions and header names are plain words; blanks around them come from pretty printers. Anything else is
 * not believed. */
static void take_word(char *dst, size_t size, const char *text)
{
    size_t n;

    text += strspn(text, " \t\r\n");
    n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_");
    if (n == 0 || n >= size || text[n + strspn(text + n, " \t\r\n")] != '\0')
        return;
    memcpy(dst, text, n);
    dst[n] = '\0';
}

bool s3_error_parse(const void *body, size_t n, struct s3_error *out)
{
    struct xml x;
    bool is_error = false;

    memset(out, 0, sizeof *out);
    xml_init(&x, body, n, TEXT_MAX);
    while (xml_next(&x)) {
        if (x.event == XML_OPEN && x.depth == 1) {
            is_error = str_eq(x.name, "Error");
            if (!is_error)
                break;
        }
        if (x.event != XML_CLOSE || x.depth != 2 || !x.leaf)
            continue;
        const char *text = buf_cstr(&x.text);
        if (str_eq(x.name, "Code"))
            take_word(out->code, sizeof out->code, text);
        else if (str_eq(x.name, "Message"))
            str_printable(out->message, sizeof out->message, text);
        else if (str_eq(x.name, "Region"))
            take_word(out->region, sizeof out->region, text);
        else if (str_eq(x.name, "Header"))
            take_word(out->header, sizeof out->header, text);
    }
    xml_release(&x);
    return is_error;
}
