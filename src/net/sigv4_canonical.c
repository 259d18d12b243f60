/* sigv4_canonical: the canonical query, headers and request of Signature Version 4, S3 style: the path is taken as it
 * goes on the wire. Source: "Create a signed AWS API request", docs.aws.amazon.com/IAM, step 1. */
#include "sigv4_canonical.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ENCODED_MAX ((size_t)1024 * 1024)

/* A header or an encoded query pair, to be sorted. */
struct item {
    const char *name;
    const char *value;
    size_t index; /* keeps the order of repeated headers: qsort is not stable */
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int compare_names_folded(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

static int compare_headers(const struct item *a, const struct item *b)
{
    const int names = compare_names_folded(a->name, b->name);

    return names != 0 ? names : (a->index > b->index) - (a->index < b->index);
}

static int compare_pairs(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    const int names = strcmp(a->name, b->name);

    return names != 0 ? names : strcmp(a->value, b->value);
}

/* RFC 9110 token without the characters that the signed header list uses. */
static bool name_is_legal(const char *name)
{
    if (str_empty(name))
        return false;
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '-' || (*p >= '0' && *p <= '9') || (lower(*p) >= 'a' && lower(*p) <= 'z'))
            continue;
        if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p) != NULL)
            return false;
    }
    return true;
}

/* What goes on the wire is what is signed: no byte in it that curl or a proxy could take otherwise. */
static bool path_is_encoded(const char *path)
{
    if (path == NULL || path[0] != '/')
        return false;
    for (; *path != '\0'; path++) {
        if (*path <= ' ' || *path >= 0x7f || *path == '?' || *path == '#')
            return false;
    }
    return true;
}

/* A dozen, most of them in their place. */
static void sort_items(struct item *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const struct item moved = items[i];
        size_t at = i;

        for (; at > 0 && compare_headers(&items[at - 1], &moved) > 0; at--)
            items[at] = items[at - 1];
        items[at] = moved;
    }
}

/* The headers by lower-case name, repeated ones in their order; owned by the caller. */
static enum err_code sort_headers(const struct sigv4_request *r, struct item **out, struct err *e)
{
    struct item *items;

    if (r->header_count == 0)
        return err_set(e, ERR_GENERAL, "cannot sign a request without a 'host' header");
    items = malloc(r->header_count * sizeof *items);
    if (items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < r->header_count; i++) {
        const struct sigv4_pair *h = &r->headers[i];
        if (!name_is_legal(h->name) || h->value == NULL) {
            free(items);
            return err_set(e, ERR_GENERAL, "cannot sign header number %zu: malformed", i + 1);
        }
        items[i] = (struct item){.name = h->name, .value = h->value, .index = i};
    }
    sort_items(items, r->header_count);
    *out = items;
    return ERR_OK;
}

static void append_lower(struct buf *out, const char *s)
{
    const char *p = s;

    while (*p != '\0' && (*p < 'A' || *p > 'Z'))
        p++;
    buf_append(out, s, (size_t)(p - s)); /* nearly always all of it */
    for (; *p != '\0'; p++)
        buf_char(out, lower(*p));
}

/* Trimmed, and each run of blanks inside folded to one space. */
static void append_folded(struct buf *out, const char *s)
{
    const size_t n = strlen(s);
    bool gap = false;
    bool begun = false;

    if (n > 0 && strpbrk(s, " \t\n\v\f\r") == NULL) { /* nearly all */
        buf_append(out, s, n);
        return;
    }
    for (; *s != '\0'; s++) {
        if (blank(*s)) {
            gap = begun;
            continue;
        }
        if (gap)
            buf_char(out, ' ');
        buf_char(out, *s);
        gap = false;
        begun = true;
    }
}

static bool same_name(const struct item *a, const struct item *b)
{
    return compare_names_folded(a->name, b->name) == 0;
}

static void append_names(const struct item *items, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && same_name(&items[i - 1], &items[i]))
            continue;
        if (i > 0)
            buf_char(out, ';');
        append_lower(out, items[i].name);
    }
}

static void append_headers(const struct item *items, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && same_name(&items[i - 1], &items[i])) {
            buf_char(out, ',');
        } else {
            if (i > 0)
                buf_char(out, '\n');
            append_lower(out, items[i].name);
            buf_char(out, ':');
        }
        append_folded(out, items[i].value);
    }
    buf_char(out, '\n');
}

static enum err_code finished(const struct buf *out, struct err *e)
{
    return buf_ok(out) ? ERR_OK : err_set(e, ERR_LIMIT, "a request is too large to be signed");
}

enum err_code sigv4_canonical_signed_headers(const struct sigv4_request *r, struct buf *out,
                                             struct err *e)
{
    struct item *items = NULL;
    const enum err_code code = sort_headers(r, &items, e);

    if (items == NULL)
        return code;
    append_names(items, r->header_count, out);
    free(items);
    return finished(out, e);
}

/* Encoded "name\0value\0" for each pair. AWS sorts by the encoded form. */
static bool encode_pairs(const struct sigv4_pair *query, size_t n, struct buf *encoded)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = query[i].value != NULL ? query[i].value : "";
        text_uri_encode(encoded, query[i].name, strlen(query[i].name), false);
        buf_char(encoded, '\0');
        text_uri_encode(encoded, value, strlen(value), false);
        buf_char(encoded, '\0');
    }
    return buf_ok(encoded);
}

enum err_code sigv4_canonical_query(const struct sigv4_pair *query, size_t n, struct buf *out,
                                    struct err *e)
{
    enum err_code code = ERR_OK;
    struct item *items = NULL;
    struct buf encoded;

    if (n == 0)
        return ERR_OK;
    buf_init(&encoded, ENCODED_MAX);
    items = calloc(n, sizeof *items);
    if (items == NULL) {
        code = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        if (query[i].name == NULL) {
            code = err_set(e, ERR_GENERAL, "a query parameter has no name");
            goto out;
        }
    }
    if (!encode_pairs(query, n, &encoded)) {
        code = finished(&encoded, e);
        goto out;
    }
    const char *p = encoded.data;
    for (size_t i = 0; i < n; i++) {
        items[i].name = p;
        items[i].value = p + strlen(p) + 1;
        p = items[i].value + strlen(items[i].value) + 1;
    }
    qsort(items, n, sizeof *items, compare_pairs);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s=%s", i > 0 ? "&" : "", items[i].name, items[i].value);
    code = finished(out, e);
out:
    free(items);
    buf_wipe(&encoded); /* P8: X-Amz-Security-Token */
    return code;
}

enum err_code sigv4_canonical_request(const struct sigv4_request *r, struct buf *out, struct err *e)
{
    struct item *items = NULL;
    enum err_code code;

    if (!name_is_legal(r->method) || !path_is_encoded(r->path) || str_empty(r->payload_sha256))
        return err_set(e, ERR_GENERAL,
                       "cannot sign a request without a method, an encoded path "
                       "that begins with '/' and a payload digest");
    code = sort_headers(r, &items, e);
    if (items == NULL)
        return code;
    buf_str(out, r->method);
    buf_char(out, '\n');
    buf_str(out, r->path);
    buf_char(out, '\n');
    code = sigv4_canonical_query(r->query, r->query_count, out, e);
    if (code != ERR_OK)
        goto out;
    buf_char(out, '\n');
    append_headers(items, r->header_count, out);
    buf_char(out, '\n');
    append_names(items, r->header_count, out);
    buf_char(out, '\n');
    buf_str(out, r->payload_sha256);
    code = finished(out, e);
out:
    free(items);
    return code;
}
