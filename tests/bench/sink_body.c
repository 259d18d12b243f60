/* A request's body: hashed with --check (the framing of aws-chunked taken off), kept if it is XML, else forgotten. */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

enum frame { FRAME_SIZE, FRAME_LINE, FRAME_DATA, FRAME_GAP, FRAME_TRAILER };

void sink_body_start(struct sink_body *body, const struct sink_head *head, bool check,
                     struct sink_text *keep)
{
    body->left = head->length;
    body->keep = keep;
    body->framed = head->content_sha256 && strncmp(head->content_sha256, "STREAMING-", 10) == 0;
    body->frame_state = FRAME_SIZE;
    body->frame_left = 0;
    if (!check)
        return;
    if (!body->hash)
        body->hash = EVP_MD_CTX_new();
    if (!body->hash || !EVP_DigestInit_ex(body->hash, EVP_sha256(), NULL))
        abort();
}

bool sink_body_looks(const struct sink_body *body)
{
    return body->hash || body->keep;
}

static void take(struct sink_body *body, const char *data, size_t len)
{
    if (body->hash && !EVP_DigestUpdate(body->hash, data, len))
        abort();
    if (body->keep && body->keep->len + len <= SINK_XML_MAX)
        sink_text_printf(body->keep, "%.*s", (int)len, data);
}

static void frame_char(struct sink_body *body, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = memchr(digits, c | 0x20, 16);
    switch (body->frame_state) {
    case FRAME_SIZE: /* hex, then ";chunk-signature=..." */
        if (digit) {
            body->frame_left = body->frame_left * 16 + (uint64_t)(digit - digits);
            break;
        }
        body->frame_state = FRAME_LINE;
        break;
    case FRAME_LINE:
        if (c == '\n')
            body->frame_state = body->frame_left ? FRAME_DATA : FRAME_TRAILER;
        break;
    case FRAME_GAP: /* the CRLF after the data */
        if (c == '\n')
            body->frame_state = FRAME_SIZE;
        break;
    default:
        break;
    }
}

void sink_body_feed(struct sink_body *body, const char *data, size_t len)
{
    body->left -= len;
    if (!sink_body_looks(body))
        return;
    if (!body->framed) {
        take(body, data, len);
        return;
    }
    for (size_t i = 0; i < len;) {
        if (body->frame_state != FRAME_DATA) {
            frame_char(body, data[i++]);
            continue;
        }
        size_t n = len - i < body->frame_left ? len - i : (size_t)body->frame_left;
        take(body, data + i, n);
        i += n;
        body->frame_left -= n;
        if (body->frame_left == 0)
            body->frame_state = FRAME_GAP;
    }
}

void sink_body_end(struct sink_body *body, char out[SINK_SHA_HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    out[0] = '\0';
    if (!body->hash)
        return;
    if (!EVP_DigestFinal_ex(body->hash, digest, &n) || n != 32)
        abort();
    for (unsigned int i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void sink_body_release(struct sink_body *body)
{
    EVP_MD_CTX_free(body->hash);
    body->hash = NULL;
}
