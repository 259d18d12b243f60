/* http_response: header block and body of an answer, bounded (P10) and suspicious (P1): lengths that contradict each other
 * make the answer worthless. */
#include "http_response.h"

#include "blobferry/base/str.h"

#include <string.h>
#include <strings.h>

#define BODY_MAX_DEFAULT ((size_t)64 * 1024)
#define DROP_MAX         ((uint64_t)8 * 1024 * 1024)

void http_response_begin(struct http_intake *in, struct http_response *r,
                         const struct http_request *q)
{
    *in = (struct http_intake){.response = r, .sink = q->sink, .user = q->user};
    in->body_max = q->body_max > 0 ? q->body_max : BODY_MAX_DEFAULT;
    in->content_length = -1;
    in->bodiless = strcmp(q->method, "HEAD") == 0;
    memset(r, 0, sizeof *r);
    buf_init(&r->body, in->body_max);
    buf_init(&r->header_block, HTTP_RESPONSE_HEADER_MAX);
    (void)buf_reserve(&r->header_block, 1024);
}

void http_response_release(struct http_response *r)
{
    buf_release(&r->body);
    buf_release(&r->header_block);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const char **p, size_t *n)
{
    while (*n > 0 && is_blank(**p)) {
        (*p)++;
        (*n)--;
    }
    while (*n > 0 && is_blank((*p)[*n - 1]))
        (*n)--;
}

/* "HTTP/1.1 200 OK"; 0 when it is no status line of HTTP/1. */
static int status_of(const char *p, size_t n)
{
    const char *blank = n > 7 && strncmp(p, "HTTP/1.", 7) == 0 ? memchr(p, ' ', n) : NULL;
    int status = 0;

    if (blank == NULL || n - (size_t)(blank - p) < 4)
        return 0;
    for (int i = 1; i <= 3; i++) {
        if (blank[i] < '0' || blank[i] > '9')
            return 0;
        status = status * 10 + (blank[i] - '0');
    }
    return status;
}

/* RFC 9112 section 6.3: unlike or malformed lengths are an unrecoverable error. curl takes the last one. */
static bool accept_length(struct http_intake *in, const char *p, size_t n)
{
    int64_t length = 0;

    if (n == 0 || n > 18) {
        in->fault = "malformed Content-Length";
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            in->fault = "malformed Content-Length";
            return false;
        }
        length = length * 10 + (p[i] - '0');
    }
    if (in->content_length >= 0 && in->content_length != length) {
        in->fault = "two Content-Length headers that differ";
        return false;
    }
    in->content_length = length;
    return true;
}

static bool name_is(const char *p, size_t n, const char *name)
{
    return n == strlen(name) && strncasecmp(p, name, n) == 0;
}

static bool add_header(struct http_intake *in, const char *p, size_t n)
{
    struct buf *block = &in->response->header_block;
    const char *colon = memchr(p, ':', n);

    if (is_blank(p[0])) { /* obsolete line folding: belongs to the value before it */
        trim(&p, &n);
        if (block->len > 0 && n > 0) {
            block->len--;
            buf_char(block, ' ');
            buf_append(block, p, n);
            buf_char(block, '\0');
        }
        return true;
    }
    if (colon == NULL)
        return true; /* not a header: nobody will ask for it */
    const char *value = colon + 1;
    size_t name_len = (size_t)(colon - p);
    size_t value_len = n - name_len - 1;
    trim(&p, &name_len);
    trim(&value, &value_len);
    if (name_is(p, name_len, "Content-Length") && !accept_length(in, value, value_len))
        return false;
    if (name_is(p, name_len, "Transfer-Encoding"))
        in->chunked = true;
    buf_append(block, p, name_len);
    buf_str(block, ": ");
    buf_append(block, value, value_len);
    buf_char(block, '\0');
    return true;
}

static void end_of_block(struct http_intake *in)
{
    const int status = in->block_status;

    if (status < 200)
        return; /* interim, or 101, which we never asked for */
    in->head_done = true;
    in->response->status = status;
    in->bodiless = in->bodiless || status == 204 || status == 304;
}

size_t http_response_take_header(char *p, size_t size, size_t count, void *user)
{
    struct http_intake *in = user;
    const size_t n = size * count;

    in->header_bytes += n;
    if (in->header_bytes > HTTP_RESPONSE_HEADER_MAX) {
        in->fault = "header block larger than 64 KiB";
        return 0;
    }
    if (in->head_done)
        return n; /* trailers */
    const int status = status_of(p, n);
    if (status != 0) {
        in->block_status = status;
        in->content_length = -1;
        in->chunked = false;
        buf_reset(&in->response->header_block);
        return n;
    }
    if (n <= 2 && (p[0] == '\r' || p[0] == '\n')) {
        end_of_block(in);
        return n;
    }
    if (!add_header(in, p, n) || !buf_ok(&in->response->header_block)) {
        if (in->fault == NULL)
            in->fault = "out of memory for a header block";
        return 0;
    }
    return n;
}

/* What fits; the rest is dropped, so that a large error page does not cost the connection, but not without end. */
static bool keep(struct http_intake *in, const char *p, size_t n)
{
    struct http_response *r = in->response;
    const size_t room = in->body_max - r->body.len;
    const size_t kept = n < room ? n : room;

    if (kept > 0 && !buf_append(&r->body, p, kept)) {
        in->fault = "out of memory for a body";
        return false;
    }
    if (kept == n)
        return true;
    r->body_truncated = true;
    in->dropped += n - kept;
    if (in->dropped > DROP_MAX)
        in->fault = "body far larger than expected";
    return in->fault == NULL;
}

size_t http_response_take_body(char *p, size_t size, size_t count, void *user)
{
    struct http_intake *in = user;
    const size_t n = size * count;
    const int status = in->response->status;

    in->response->bytes_received += n;
    if (in->sink != NULL && status >= 200 && status < 300) {
        in->sink_refused = !in->sink(in->user, p, n);
        return in->sink_refused ? 0 : n;
    }
    return keep(in, p, n) ? n : 0;
}

bool http_response_is_whole(const struct http_intake *in)
{
    if (!in->head_done || in->fault != NULL || in->sink_refused)
        return false;
    if (in->bodiless)
        return true;
    return !in->chunked && in->content_length >= 0 &&
           in->response->bytes_received == (uint64_t)in->content_length;
}

const char *http_response_header(const struct http_response *r, const char *name)
{
    const size_t n = strlen(name);
    const struct buf *block = &r->header_block;

    for (size_t at = 0; at < block->len;) {
        const char *line = block->data + at;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 2;
        at += strlen(line) + 1;
    }
    return NULL;
}
