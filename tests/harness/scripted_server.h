/* scripted_server: an HTTP server for tests that says what it was told to say, byte for byte, and remembers what it was
 * asked. Listens on 127.0.0.1 at a free port; a thread for each connection; nothing here checks signatures.
 *
 *     struct scripted *s = scripted_start(NULL);
 *     scripted_add_text(s, "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n");
 *     scripted_add(s, &(struct scripted_reply){.file = "…/065-403-before-body-close.http",
 *                                            .method = "PUT", .early = true, .reset = true});
 *     … talk to scripted_url(s) …
 *     assert_int_equal(scripted_count(s), 2);
 *     assert_string_equal(scripted_request_at(s, 0)->method, "PUT");
 *     scripted_stop(s);                       (also ends connections that are still open)
 *
 * Each request takes the first reply that is not used up and whose `method` and `target` fit. When none is left the answer
 * is "599 Unscripted", and scripted_unscripted() counts it: assert that it is 0.
 *
 * The connection is closed after an answer that says "Connection: close" or whose end only a close can show (neither
 * Content-Length nor chunked; HEAD, 1xx, 204 and 304 need none), so the files of vectors/s3responses can be served as they
 * stand. An empty reply closes without a word. On anything that fails inside the server: abort(), for tests only.
 */
#ifndef HARNESS_SCRIPTED_SERVER_H
#define HARNESS_SCRIPTED_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The strings of a reply are copied. */
struct scripted_reply {
    const char *method; /* only for this method; NULL: any */
    const char *target; /* only when the request target contains this; NULL: any */

    const char *text;  /* the answer, NUL-terminated … */
    const void *bytes; /* … or raw bytes, with `length` … */
    size_t length;
    const char *file; /* … or the contents of a file. All are copied by scripted_add. None: empty */

    bool repeat;    /* never used up */
    bool immediate; /* answer as soon as the connection stands, before reading anything */
    bool early;     /* answer when the header block has been read, before the body */
    bool
        close; /* FIN after the answer; without an answer: it is lost after the server has read all */
    bool reset;   /* RST after the answer (SO_LINGER 0) */
    bool hang;    /* after the answer: neither read, send nor close until the client goes */
    bool endless; /* after the answer: send 'x' for ever, until the client goes */
    int delay_ms; /* wait before answering */
    size_t bytes_per_second; /* send the answer (and read the body) that slowly; 0: at once */
    size_t
        stop_after; /* send only so many bytes of the answer; 0: all. Then close, reset or hang */
};

struct scripted_request {
    char method[16];
    char *target;            /* "/bucket/key?query" as it came */
    char *header_block;      /* raw, request line included, up to and with the empty line */
    unsigned char *body;     /* the first 4 MiB of it, NUL-terminated */
    size_t body_kept;        /* bytes in body */
    uint64_t body_length;    /* bytes that were read */
    uint64_t content_length; /* as announced; UINT64_MAX when absent */
    size_t connection;       /* 0 for the first one accepted, … */
};

struct scripted_options {
    const char *tls_certificate; /* PEM file; speaks TLS when given */
    const char *tls_key;
    int tls_max_version; /* such as TLS1_1_VERSION; 0: OpenSSL's */
    bool silent;         /* accepts connections and never reads or answers (a dead peer) */
};

struct scripted;
struct scripted *scripted_start(const struct scripted_options *o); /* NULL: plain HTTP */
void scripted_stop(struct scripted *s);
int scripted_port(const struct scripted *s);
const char *scripted_url(const struct scripted *s); /* "http://127.0.0.1:PORT", no slash */

void scripted_add(struct scripted *s, const struct scripted_reply *r);
void scripted_add_text(struct scripted *s, const char *raw);
void scripted_add_file(struct scripted *s, const char *path);
/* "HTTP/1.1 <status> Scripted", `headers` ("Name: value\r\n…" or NULL), Content-Length and `body` (or NULL). */
void scripted_add_status(struct scripted *s, int status, const char *headers, const char *body);

/* Requests in the order in which they had been read to their end (or to where the client gave up, or to the end of the
 * header block for `early`), each counted before it is answered. What scripted_request_at returns is borrowed until
 * scripted_stop; NULL beyond the last. */
size_t scripted_count(struct scripted *s);
size_t scripted_count_of(struct scripted *s, const char *method);
const struct scripted_request *scripted_request_at(struct scripted *s, size_t i);
/* Value of a request header (any case) into dst; false when absent or too long. */
bool scripted_header(const struct scripted_request *r, const char *name, char *dst, size_t size);
size_t scripted_connections(struct scripted *s); /* accepted so far */
size_t scripted_unscripted(struct scripted *s);
/* Until `count` requests have been seen; false after timeout_ms. */
bool scripted_wait(struct scripted *s, size_t count, int timeout_ms);
/* Until `count` connections have been accepted; false after timeout_ms. */
bool scripted_wait_connections(struct scripted *s, size_t count, int timeout_ms);

#endif
