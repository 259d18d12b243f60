#include "http_trace.h"

#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_BYTES  ((size_t)4096)
#define EVENT_MAX_BYTES ((size_t)64 * 1024)

/* The value of a header that carries a credential, whatever it is. */
static void hide_header(char *line, size_t size)
{
    static const char *const names[] = {
        "authorization", "proxy-authorization", "x-amz-security-token", "x-auth-key",
        "cookie",        "set-cookie"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t n = strlen(names[i]);
        if (strncasecmp(line, names[i], n) == 0 && line[n] == ':')
            str_copy(line + n + 1, size - n - 1, " *");
    }
}

/* Presigned queries: "X-Amz-Signature=…". */
static void hide_query(char *line)
{
    static const char *const names[] = {
        "X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Security-Token="};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (char *p = line; (p = strcasestr(p, names[i])) != NULL;) {
            p += strlen(names[i]);
            memset(p, '*', strcspn(p, "& \t"));
        }
    }
}

static void add_line(struct buf *out, char mark, const char *p, size_t n)
{
    char line[LINE_MAX_BYTES];
    char safe[LINE_MAX_BYTES];

    if (n >= sizeof line)
        n = sizeof line - 1;
    memcpy(line, p, n);
    line[n] = '\0';
    secret_redact(line, n);
    hide_header(line, sizeof line);
    hide_query(line);
    buf_printf(out, "%c %s\n", mark, str_printable(safe, sizeof safe, line));
}

void http_trace_format(struct buf *out, char mark, const char *p, size_t n)
{
    while (n > 0) {
        const char *end = memchr(p, '\n', n);
        const size_t whole = end != NULL ? (size_t)(end - p) + 1 : n;
        size_t shown = whole;
        while (shown > 0 && (p[shown - 1] == '\n' || p[shown - 1] == '\r'))
            shown--;
        add_line(out, mark, p, shown);
        p += whole;
        n -= whole;
    }
}

int http_trace_write(CURL *easy, curl_infotype type, char *p, size_t n, void *user)
{
    static const char marks[] = {
        [CURLINFO_TEXT] = '*', [CURLINFO_HEADER_IN] = '<', [CURLINFO_HEADER_OUT] = '>'};
    struct buf out;

    (void)easy;
    (void)user;
    if (type != CURLINFO_TEXT && type != CURLINFO_HEADER_IN && type != CURLINFO_HEADER_OUT)
        return 0;
    buf_init(&out, EVENT_MAX_BYTES);
    http_trace_format(&out, marks[type], p, n);
    fwrite(buf_cstr(&out), 1, out.len, stderr);
    buf_release(&out);
    return 0;
}
