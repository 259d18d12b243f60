#include "s3_xml.h"

bool s3_xml_text(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            buf_str(b, "&amp;");
            break;
        case '<':
            buf_str(b, "&lt;");
            break;
        case '>':
            buf_str(b, "&gt;");
            break;
        case '"':
            buf_str(b, "&quot;");
            break;
        case '\'':
            buf_str(b, "&apos;");
            break;
        default:
            /* A parser may fold or drop a bare CR, LF or tab. */
            if ((unsigned char)*text < 0x20 || *text == 0x7f)
                buf_printf(b, "&#x%X;", (unsigned)(unsigned char)*text);
            else
                buf_char(b, *text);
            break;
        }
    }
    return buf_ok(b);
}

bool s3_xml_element(struct buf *b, const char *name, const char *text)
{
    buf_printf(b, "<%s>", name);
    s3_xml_text(b, text);
    return buf_printf(b, "</%s>", name);
}
