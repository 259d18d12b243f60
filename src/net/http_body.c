/* http_body: exactly `length` bytes of a file or of memory, never one more, and a short file never passes for a whole one
 * (P1): the transfer is aborted before the server could take it for complete. */
#include "http_body.h"

#include "blobferry/base/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_US 1000

/* Bytes read; 0 after filling in why there are none. */
static size_t read_file(struct http_transfer *t, char *p, size_t n)
{
    const off_t at = (off_t)(t->request.offset + t->handed);
    ssize_t got;

    do {
        got = pread(t->request.fd, p, n, at);
    } while (got < 0 && errno == EINTR);
    if (got > 0)
        return (size_t)got;
    t->response.local_errno = got < 0 ? errno : 0; /* 0: the file ended early */
    t->read_failed = true;
    return 0;
}

size_t http_body_read(char *p, size_t size, size_t count, void *user)
{
    struct http_transfer *t = user;
    const uint64_t left = t->request.length - t->handed;
    size_t n = size * count;

    if (left == 0)
        return 0;
    if (n > left)
        n = (size_t)left;
    if (t->setup->pace.rate > 0) {
        n = http_pace_take(&t->setup->pace, n, clock_mono_ns() / NS_PER_US);
        if (n == 0) {
            t->paused = true;
            TAILQ_INSERT_TAIL(t->paused_list, t, paused_entry);
            return CURL_READFUNC_PAUSE;
        }
    }
    if (t->request.body != NULL) {
        const char *body = t->request.body;
        memcpy(p, body + t->handed, n);
    } else {
        n = read_file(t, p, n);
        if (n == 0)
            return CURL_READFUNC_ABORT;
    }
    t->handed += n;
    if (t->request.tap != NULL)
        t->request.tap(t->request.user, p, n);
    return n;
}

/* libcurl starts the body again when a reused connection turned out to be dead. */
int http_body_seek(void *user, curl_off_t offset, int origin)
{
    struct http_transfer *t = user;

    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_FAIL;
    if (t->handed > 0 && t->request.tap != NULL)
        t->request.tap(t->request.user, NULL, 0);
    t->handed = 0;
    return CURL_SEEKFUNC_OK;
}
