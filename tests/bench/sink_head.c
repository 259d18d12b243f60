/* The head of a request: its line, the headers that matter here, and its parameters. */
#include "sink.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_of(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void sink_head_decode(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (*s == '%' && hex_of(s[1]) >= 0 && hex_of(s[2]) >= 0) {
            *out++ = (char)(hex_of(s[1]) * 16 + hex_of(s[2]));
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

bool sink_head_query(const struct sink_head *head, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *p = head->query; *p;) {
        size_t len = strcspn(p, "&");
        if (len >= n && strncmp(p, name, n) == 0 && (len == n || p[n] == '=')) {
            const char *value = p + n + (len > n);
            size_t value_len = len > n ? len - n - 1 : 0;
            if (value_len >= size)
                value_len = size - 1;
            memcpy(out, value, value_len);
            out[value_len] = '\0';
            sink_head_decode(out);
            return true;
        }
        p += len + (p[len] == '&');
    }
    return false;
}

static enum sink_method method_of(const char *name)
{
    static const char *const names[] = {[SINK_GET] = "GET",
                                        [SINK_HEAD] = "HEAD",
                                        [SINK_PUT] = "PUT",
                                        [SINK_POST] = "POST",
                                        [SINK_DELETE] = "DELETE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum sink_method)i;
    return SINK_OTHER;
}

/* A header that HEAD and GET give back goes along with the object. */
static void keep_header(struct sink_head *head, const char *name, const char *value)
{
    struct sink_text text = {.data = head->headers};
    if (head->headers) {
        text.len = strlen(head->headers);
        text.size = text.len + 1;
    }
    sink_text_printf(&text, "%s: %s\r\n", name, value);
    head->headers = text.data;
}

static void take_header(struct sink_head *head, const char *name, const char *value)
{
    if (strcasecmp(name, "content-length") == 0)
        head->length = strtoull(value, NULL, 10);
    else if (strcasecmp(name, "x-amz-decoded-content-length") == 0)
        head->decoded_length = strtoull(value, NULL, 10);
    else if (strcasecmp(name, "x-amz-content-sha256") == 0)
        head->content_sha256 = value;
    else if (strcasecmp(name, "if-match") == 0)
        head->if_match = value;
    else if (strcasecmp(name, "if-none-match") == 0)
        head->if_none_match = value;
    else if (strcasecmp(name, "x-amz-copy-source") == 0)
        head->copy_source = value;
    else if (strcasecmp(name, "connection") == 0)
        head->close = strcasecmp(value, "close") == 0;
    else if (strcasecmp(name, "expect") == 0)
        head->expect = true;
    else if (strcasecmp(name, "transfer-encoding") == 0)
        head->chunked = true;
    else if (strncasecmp(name, "x-amz-meta-", 11) == 0 || strcasecmp(name, "content-type") == 0 ||
             strncasecmp(name, "x-amz-checksum-", 15) == 0)
        keep_header(head, name, value);
}

/* "METHOD /path?query HTTP/1.1"; false if it is none. */
static bool request_line(struct sink_head *head, char *line)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strncmp(version + 1, "HTTP/1.", 7) != 0 || target[1] != '/')
        return false;
    *target = *version = '\0';
    head->method = method_of(line);
    head->close = strcmp(version + 1, "HTTP/1.0") == 0;
    head->path = target + 2;
    head->query = strchr(head->path, '?');
    if (head->query)
        *head->query++ = '\0';
    else
        head->query = version; /* the NUL */
    sink_head_decode(head->path);
    return true;
}

int sink_head_parse(struct sink_head *head, char *data, size_t len)
{
    char *end = memmem(data, len, "\r\n\r\n", 4);
    if (!end)
        return len >= SINK_HEAD_MAX ? -1 : 0;
    *head = (struct sink_head){.decoded_length = UINT64_MAX};
    end[2] = '\0';
    char *line = data, *eol = strstr(line, "\r\n");
    *eol = '\0';
    if (!request_line(head, line))
        return -1;
    for (line = eol + 2; *line; line = eol + 2) {
        eol = strstr(line, "\r\n");
        if (!eol)
            return -1;
        *eol = '\0';
        char *value = strchr(line, ':');
        if (!value)
            return -1;
        *value++ = '\0';
        value += strspn(value, " \t");
        take_header(head, line, value);
    }
    return (int)(end - data) + 4;
}

void sink_head_release(struct sink_head *head)
{
    free(head->headers);
    head->headers = NULL;
}
