#include "s3_listing.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "blobferry/codec/timefmt.h"
#include "blobferry/codec/xml.h"
#include "s3_headers.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX ((size_t)20000) /* servers send at most 1000 */
#define STRINGS_MAX ((size_t)32 << 20)
#define TEXT_MAX    ((size_t)64 << 10)

/* What is read of one document before it is judged. */
struct reader {
    struct s3_listing *l;
    const char *root, *item;     /* names of the elements */
    struct objstore_entry entry; /* the open one */
    bool truncated, decode;
    bool has_key, has_size, bad;
    char *key_marker, *id_marker; /* raw, in the arena */
    enum err_code code;
};

static bool is_named(const struct xml *x, const char *name)
{
    return str_eq(x->name, name);
}

/* NULL, and d->code set, when the page grows too large: then nothing of it is used. */
static char *keep(struct reader *d, const char *p, size_t n)
{
    char *copy = arena_strndup(&d->l->mem, p, n);
    if (copy == NULL)
        d->code = ERR_LIMIT;
    return copy;
}

static bool add_entry(struct reader *d)
{
    struct s3_listing *l = d->l;

    if (l->count == l->cap) {
        const size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct objstore_entry *grown = reallocarray(l->entries, cap, sizeof *grown);
        if (grown == NULL || cap > ENTRIES_MAX) {
            d->code = ERR_LIMIT;
            if (grown != NULL)
                l->entries = grown;
            return false;
        }
        l->entries = grown;
        l->cap = cap;
    }
    l->entries[l->count++] = d->entry;
    return true;
}

/* A leaf of one entry. Sizes are plain decimals: a sign makes the list worthless. */
static void take_field(struct reader *d, const struct xml *x)
{
    const char *text = buf_cstr(&x->text);
    char etag[OBJINFO_ETAG_MAX];
    uint64_t size;
    bool weak;

    if (is_named(x, "Key")) {
        d->entry.key = keep(d, text, x->text.len);
        d->entry.key_len = x->text.len;
        d->has_key = x->text.len > 0;
    } else if (is_named(x, "Size")) {
        d->has_size = str_to_u64(text, &size) && size <= INT64_MAX;
        d->entry.size = d->has_size ? (int64_t)size : -1;
        d->bad |= !d->has_size;
    } else if (is_named(x, "ETag")) {
        if (s3_headers_etag(text, etag, &weak))
            d->entry.etag = keep(d, etag, strlen(etag));
    } else if (is_named(x, "LastModified") || is_named(x, "Initiated")) {
        if (!timefmt_parse(text, &d->entry.last_modified_ms))
            d->entry.last_modified_ms = 0;
    } else if (is_named(x, "UploadId")) {
        d->entry.upload_id = keep(d, text, x->text.len);
    }
}

/* A leaf of the list itself. */
static void take_setting(struct reader *d, const struct xml *x)
{
    const char *text = buf_cstr(&x->text);

    if (is_named(x, "IsTruncated"))
        d->truncated = str_eq(text, "true");
    else if (is_named(x, "EncodingType"))
        d->decode = str_eq(text, "url");
    else if (is_named(x, "NextContinuationToken") || is_named(x, "NextKeyMarker"))
        d->key_marker = keep(d, text, x->text.len);
    else if (is_named(x, "NextUploadIdMarker"))
        d->id_marker = keep(d, text, x->text.len);
}

/* False when the document is none of the kind that was asked for. */
static bool read_document(struct reader *d, const void *body, size_t n)
{
    const bool uploads = str_eq(d->item, "Upload");
    struct xml x;
    bool inside = false, right = false;

    xml_init(&x, body, n, TEXT_MAX);
    while (d->code == ERR_OK && xml_next(&x)) {
        if (x.event == XML_OPEN && x.depth == 1) {
            right = is_named(&x, d->root);
            if (!right)
                break;
        } else if (x.event == XML_OPEN && x.depth == 2 && is_named(&x, d->item)) {
            inside = true;
            d->entry = (struct objstore_entry){.size = uploads ? -1 : 0, .etag = ""};
            d->has_key = d->has_size = false;
        } else if (x.event == XML_CLOSE && x.depth == 2 && is_named(&x, d->item)) {
            inside = false;
            d->bad |= !d->has_key || (uploads ? str_empty(d->entry.upload_id) : !d->has_size);
            if (!add_entry(d))
                break;
        } else if (x.event == XML_CLOSE && x.leaf && x.depth == 3 && inside) {
            take_field(d, &x);
        } else if (x.event == XML_CLOSE && x.leaf && x.depth == 2) {
            take_setting(d, &x);
        }
    }
    right = right && !x.failed && x.done;
    xml_release(&x);
    return right;
}

/* encoding-type=url, when the answer says that it obeyed: '+' is a space there (D19). */
static bool decode_keys(struct reader *d)
{
    struct buf raw;
    bool ok = true;

    if (!d->decode)
        return true;
    buf_init(&raw, TEXT_MAX);
    for (size_t i = 0; ok && i < d->l->count; i++) {
        struct objstore_entry *entry = &d->l->entries[i];
        buf_reset(&raw);
        ok = text_uri_decode(&raw, entry->key, entry->key_len, true) && raw.len > 0;
        if (ok)
            entry->key = keep(d, raw.data, raw.len);
        entry->key_len = raw.len;
    }
    buf_release(&raw);
    return ok;
}

static enum err_code corrupt(struct err *e, const char *why)
{
    return err_set(e, ERR_STORE_CORRUPT, "the store's listing %s", why);
}

static enum err_code finish(struct reader *d, const void *body, size_t n, struct err *e)
{
    const bool right = read_document(d, body, n);

    if (d->code != ERR_OK)
        return err_set(e, d->code, "a listing is too large");
    if (!right)
        return err_set(e, ERR_STORE_UNAVAILABLE, "the answer is no listing");
    if (d->bad)
        return corrupt(e, "has an entry without a key or a size");
    if (!decode_keys(d))
        return corrupt(e, "has a key that is not encoded as it says");
    return d->code == ERR_OK ? ERR_OK : err_set(e, d->code, "a listing is too large");
}

static struct reader begin(struct s3_listing *l, const char *root, const char *item)
{
    memset(l, 0, sizeof *l);
    arena_init(&l->mem, STRINGS_MAX);
    return (struct reader){.l = l, .root = root, .item = item};
}

enum err_code s3_listing_parse(struct s3_listing *l, const void *body, size_t n, const char *token,
                               struct err *e)
{
    struct reader d = begin(l, "ListBucketResult", "Contents");
    const enum err_code code = finish(&d, body, n, e);

    if (code != ERR_OK || !d.truncated)
        return code;
    if (str_empty(d.key_marker))
        return corrupt(e, "is truncated and names no continuation");
    if (str_eq(d.key_marker, token))
        return corrupt(e, "repeats its continuation token: it would never end");
    l->next = d.key_marker;
    return ERR_OK;
}

enum err_code s3_listing_parse_uploads(struct s3_listing *l, const void *body, size_t n,
                                       const char *token, struct err *e)
{
    struct reader d = begin(l, "ListMultipartUploadsResult", "Upload");
    const enum err_code code = finish(&d, body, n, e);
    struct buf key, next;
    bool ok;

    if (code != ERR_OK || !d.truncated)
        return code;
    if (str_empty(d.key_marker))
        return corrupt(e, "is truncated and names no continuation");
    buf_init(&key, TEXT_MAX);
    buf_init(&next, TEXT_MAX);
    ok = d.decode ? text_uri_decode(&key, d.key_marker, strlen(d.key_marker), true)
                  : buf_str(&key, d.key_marker);
    ok = ok && text_uri_encode(&next, key.data, key.len, false) && buf_char(&next, ' ') &&
         (d.id_marker == NULL || text_uri_encode(&next, d.id_marker, strlen(d.id_marker), false));
    l->next = ok ? arena_strndup(&l->mem, next.data, next.len) : NULL;
    buf_release(&key);
    buf_release(&next);
    if (l->next == NULL)
        return corrupt(e, "names a continuation that cannot be used");
    if (str_eq(l->next, token))
        return corrupt(e, "repeats its continuation: it would never end");
    return ERR_OK;
}

void s3_listing_release(struct s3_listing *l)
{
    arena_release(&l->mem);
    free(l->entries);
    memset(l, 0, sizeof *l);
}

bool s3_listing_markers(const char *token, struct buf *key, struct buf *upload_id)
{
    const char *space = strchr(token, ' ');

    return space != NULL && text_uri_decode(key, token, (size_t)(space - token), false) &&
           text_uri_decode(upload_id, space + 1, strlen(space + 1), false);
}
