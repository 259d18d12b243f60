#include "s3_deleted.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/xml.h"
#include "s3_xml.h"

#include <string.h>

#define TEXT_MAX ((size_t)64 << 10)

void s3_deleted_begin(struct buf *b)
{
    buf_reset(b);
    buf_str(b, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
}

void s3_deleted_object(struct buf *b, const char *key, const char *etag)
{
    buf_str(b, "<Object>");
    s3_xml_element(b, "Key", key);
    if (etag != NULL) {
        buf_str(b, "<ETag>&quot;");
        s3_xml_text(b, etag);
        buf_str(b, "&quot;</ETag>");
    }
    buf_str(b, "</Object>");
}

bool s3_deleted_end(struct buf *b)
{
    return buf_str(b, "<Quiet>false</Quiet></Delete>");
}

/* One open <Deleted> or <Error>. */
struct item {
    bool failed, has_key;
    struct buf key;
    struct s3_error error;
};

static void take_field(struct item *item, const struct xml *x)
{
    const char *text = buf_cstr(&x->text);

    if (str_eq(x->name, "Key")) {
        buf_reset(&item->key);
        item->has_key = buf_append(&item->key, text, x->text.len);
    } else if (str_eq(x->name, "Code")) {
        str_printable(item->error.code, sizeof item->error.code, text);
    } else if (str_eq(x->name, "Message")) {
        str_printable(item->error.message, sizeof item->error.message, text);
    }
}

bool s3_deleted_parse(const void *body, size_t n, s3_deleted_fn *fn, void *user)
{
    struct item item = {.failed = false};
    struct xml x;
    bool right = false, inside = false;

    buf_init(&item.key, TEXT_MAX);
    xml_init(&x, body, n, TEXT_MAX);
    while (xml_next(&x)) {
        const bool error = str_eq(x.name, "Error");
        const bool is_item = x.depth == 2 && (error || str_eq(x.name, "Deleted"));
        if (x.event == XML_OPEN && x.depth == 1) {
            right = str_eq(x.name, "DeleteResult");
            if (!right)
                break;
        } else if (x.event == XML_OPEN && is_item) {
            inside = true;
            item.failed = error;
            item.has_key = false;
            memset(&item.error, 0, sizeof item.error);
        } else if (x.event == XML_CLOSE && is_item) {
            inside = false;
            if (item.has_key)
                fn(user, buf_cstr(&item.key), item.failed ? &item.error : NULL);
        } else if (x.event == XML_CLOSE && x.depth == 3 && x.leaf && inside) {
            take_field(&item, &x);
        }
    }
    right = right && !x.failed && x.done;
    xml_release(&x);
    buf_release(&item.key);
    return right;
}
