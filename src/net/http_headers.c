#include "http_headers.h"

#include "blobferry/base/str.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define OWN_LINES 2

/* RFC 9110 section 5.6.2. */
static bool is_token(char c)
{
    const char folded = (char)(c | 0x20);

    return (folded >= 'a' && folded <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-!#$%&'*+.^_`|~", c) != NULL);
}

/* RFC 9110 section 5: a line break in a value would smuggle in another header. */
static bool is_legal(const struct http_header *h)
{
    if (str_empty(h->name) || h->value == NULL)
        return false;
    for (const char *p = h->name; *p != '\0'; p++) {
        if (!is_token(*p))
            return false;
    }
    for (const char *p = h->value; *p != '\0'; p++) {
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            return false;
    }
    return !str_ieq(h->name, "Transfer-Encoding") && !str_ieq(h->name, "Expect") &&
           !str_ieq(h->name, "Connection");
}

static bool is_length(const struct http_header *h)
{
    return str_ieq(h->name, "Content-Length"); /* libcurl's own */
}

static char *put(char *to, const char *s, size_t n)
{
    memcpy(to, s, n);
    return to + n;
}

/* curl takes "Name:" as an order to leave the header out and wants "Name;" for an empty value. */
static char *put_header(char *to, const struct http_header *h)
{
    to = put(to, h->name, strlen(h->name));
    if (h->value[strspn(h->value, " \t")] == '\0')
        return put(to, ";", 2);
    to = put(to, ": ", 2);
    return put(to, h->value, strlen(h->value) + 1);
}

enum err_code http_headers_make(struct http_headers *h, const struct http_request *q, struct err *e)
{
    /* Not to be invented by curl: R2 never answers 100-continue, and a form's type would be stored. */
    static const char *const own[OWN_LINES] = {"Expect:", "Content-Type:"};
    size_t lines = 1, text = strlen(own[0]) + 1;
    bool typed = false;
    struct curl_slist *node;
    char *to;

    *h = (struct http_headers){.list = NULL};
    for (size_t i = 0; i < q->header_count; i++) {
        if (!is_legal(&q->headers[i]))
            return err_set(e, ERR_GENERAL, "request header number %zu is malformed", i + 1);
        if (is_length(&q->headers[i]))
            continue;
        typed = typed || str_ieq(q->headers[i].name, "Content-Type");
        text += strlen(q->headers[i].name) + strlen(q->headers[i].value) + 3;
        lines++;
    }
    if (!typed) {
        text += strlen(own[1]) + 1;
        lines++;
    }
    h->size = lines * sizeof *node + text;
    h->list = node = malloc(h->size);
    if (node == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    to = (char *)(node + lines);
    for (size_t i = 0; i < q->header_count; i++) {
        if (is_length(&q->headers[i]))
            continue;
        *node = (struct curl_slist){.data = to, .next = node + 1};
        node++;
        to = put_header(to, &q->headers[i]);
    }
    for (size_t i = 0; i < (typed ? 1U : 2U); i++) {
        *node = (struct curl_slist){.data = to, .next = node + 1};
        node++;
        to = put(to, own[i], strlen(own[i]) + 1);
    }
    node[-1].next = NULL;
    return ERR_OK;
}

void http_headers_release(struct http_headers *h)
{
    if (h->list != NULL)
        OPENSSL_cleanse(h->list, h->size); /* P8: Authorization, x-amz-security-token */
    free(h->list);
    *h = (struct http_headers){.list = NULL};
}
