#include "s3_part_list.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/xml.h"
#include "s3_headers.h"

#include <string.h>

#define TEXT_MAX ((size_t)8 << 10)

struct reader {
    struct s3_part_listed part; /* the open one */
    bool right, truncated, bad;
    uint64_t next, last;
    s3_part_list_fn *fn;
    void *user;
    enum err_code code;
};

static void take_field(struct reader *d, const struct xml *x)
{
    const char *text = buf_cstr(&x->text);
    uint64_t size;
    bool weak;

    if (str_eq(x->name, "PartNumber")) {
        d->bad = d->bad || !str_to_u64(text, &d->part.number);
    } else if (str_eq(x->name, "Size")) {
        if (str_to_u64(text, &size) && size <= INT64_MAX)
            d->part.size = (int64_t)size;
        else
            d->bad = true;
    } else if (str_eq(x->name, "ETag")) {
        (void)s3_headers_etag(text, d->part.etag, &weak);
    }
}

static void take_part(struct reader *d, struct err *e)
{
    d->bad = d->bad || d->part.number == 0 || d->part.size < 0;
    if (d->bad)
        return;
    d->last = d->part.number > d->last ? d->part.number : d->last;
    d->code = d->fn(d->user, &d->part, e);
}

static void take(struct reader *d, const struct xml *x, struct err *e)
{
    if (x->event == XML_OPEN) {
        if (x->depth == 1)
            d->right = str_eq(x->name, "ListPartsResult");
        if (x->depth == 2 && str_eq(x->name, "Part"))
            d->part = (struct s3_part_listed){.size = -1};
        return;
    }
    if (x->depth == 3 && x->leaf)
        take_field(d, x);
    else if (x->depth == 2 && str_eq(x->name, "Part"))
        take_part(d, e);
    else if (x->depth == 2 && x->leaf && str_eq(x->name, "IsTruncated"))
        d->truncated = str_eq(buf_cstr(&x->text), "true");
    else if (x->depth == 2 && x->leaf && str_eq(x->name, "NextPartNumberMarker"))
        (void)str_to_u64(buf_cstr(&x->text), &d->next);
}

enum err_code s3_part_list_parse(const void *body, size_t n, uint64_t marker, s3_part_list_fn *fn,
                                 void *user, uint64_t *next, struct err *e)
{
    struct reader d = {.fn = fn, .user = user, .code = ERR_OK};
    struct xml x;

    *next = 0;
    xml_init(&x, body, n, TEXT_MAX);
    while (d.code == ERR_OK && !d.bad && xml_next(&x)) {
        if (x.depth == 1 || d.right)
            take(&d, &x, e);
    }
    d.bad = d.bad || x.failed || !d.right;
    xml_release(&x);
    if (d.code != ERR_OK)
        return d.code;
    if (d.truncated && d.next <= marker)
        d.next = d.last; /* some leave the marker out, or repeat the old one */
    if (d.bad || (d.truncated && d.next <= marker))
        return err_set(e, ERR_STORE_UNAVAILABLE, "the answer is no list of parts");
    *next = d.truncated ? d.next : 0;
    return ERR_OK;
}
