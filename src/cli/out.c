#include "cli/out.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOCUMENT_MAX ((size_t)256 << 20)

void out_init(struct out *o, const struct config *c)
{
    bool plain = config_is(c, CONFIG_NO_COLOR);

    memset(o, 0, sizeof *o);
    o->json = config_is(c, CONFIG_JSON);
    o->quiet = config_is(c, CONFIG_QUIET);
    o->verbose = config_is(c, CONFIG_VERBOSE);
    o->color_out = !plain && isatty(STDOUT_FILENO) == 1;
    o->color_err = !plain && isatty(STDERR_FILENO) == 1;
    o->progress = !o->quiet && isatty(STDERR_FILENO) == 1;
    buf_init(&o->document, DOCUMENT_MAX);
}

void out_release(struct out *o)
{
    buf_release(&o->document);
}

/* The first reason counts: later calls find the stream broken without one. */
static void write_failed(struct out *o)
{
    if (!o->failed)
        o->failed_errno = errno;
    o->failed = true;
}

void out_line(struct out *o, const char *fmt, ...)
{
    va_list ap;

    if (o->json || o->quiet)
        return;
    va_start(ap, fmt);
    if (vprintf(fmt, ap) < 0 || putchar('\n') == EOF)
        write_failed(o);
    va_end(ap);
}

void out_note(struct out *o, const char *fmt, ...)
{
    va_list ap;

    if (o->quiet)
        return;
    fflush(stdout);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void out_error(struct out *o, const struct err *e)
{
    char text[ERR_MESSAGE_MAX * 4];

    fflush(stdout);
    fprintf(stderr, "%sblobferry: %s%s\n", o->color_err ? "\033[31m" : "",
            str_printable(text, sizeof text, e->message), o->color_err ? "\033[0m" : "");
    if (e->hint[0] != '\0')
        fprintf(stderr, "hint: %s\n", str_printable(text, sizeof text, e->hint));
}

const char *out_paint(const struct out *o, enum out_color c)
{
    static const char *const codes[] = {"", "\033[32m", "\033[31m", "\033[33m", "\033[1m"};
    return o->color_out ? codes[c] : "";
}

const char *out_reset(const struct out *o)
{
    return o->color_out ? "\033[0m" : "";
}

enum out_color out_status_color(const char *status)
{
    static const struct {
        const char *status;
        enum out_color color;
    } colors[] = {{"completed", OUT_GREEN},
                  {"verified", OUT_GREEN},
                  {"failed", OUT_RED},
                  {"partial", OUT_YELLOW},
                  {"processing", OUT_YELLOW}};

    for (size_t i = 0; i < sizeof colors / sizeof *colors; i++) {
        if (str_eq(status, colors[i].status))
            return colors[i].color;
    }
    return OUT_PLAIN;
}

void out_document_begin(struct out *o, const char *command, const char *run_id)
{
    if (!o->json)
        return;
    json_out_init(&o->writer, &o->document, 2);
    json_out_object(&o->writer, NULL);
    json_out_string(&o->writer, "command", command);
    if (!str_empty(run_id))
        json_out_string(&o->writer, "run", run_id);
}

void out_document_end(struct out *o, int exit_code, const struct err *e)
{
    if (!o->json)
        return;
    json_out_integer(&o->writer, "exit_code", exit_code);
    if (e != NULL && e->code != ERR_OK) {
        json_out_object(&o->writer, "error");
        json_out_string(&o->writer, "class", err_code_name(e->code));
        json_out_string(&o->writer, "message", e->message);
        json_out_string(&o->writer, "hint", e->hint);
        json_out_end(&o->writer);
    } else {
        json_out_null(&o->writer, "error");
    }
    json_out_end(&o->writer);
    buf_char(&o->document, '\n');
    errno = ENOMEM;
    if (!buf_ok(&o->document) ||
        fwrite(o->document.data, 1, o->document.len, stdout) != o->document.len)
        write_failed(o);
}

bool out_finish(struct out *o)
{
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout))
        write_failed(o);
    if (o->failed && o->failed_errno != EPIPE) /* whoever closed the pipe has seen enough */
        fprintf(stderr, "blobferry: cannot write to standard output: %s\n",
                o->failed_errno != 0 ? strerror(o->failed_errno) : "an earlier write failed");
    return !o->failed;
}

struct out_text out_safe(const char *s)
{
    struct out_text t = {""};
    str_printable(t.text, sizeof t.text, s != NULL ? s : "");
    return t;
}

struct out_text out_size(int64_t bytes)
{
    struct out_text t = {""};
    str_from_size(t.text, sizeof t.text, bytes > 0 ? (uint64_t)bytes : 0);
    return t;
}

struct out_text out_duration(int64_t ms)
{
    struct out_text t;
    int64_t s = ms / 1000;

    if (s < 10)
        snprintf(t.text, sizeof t.text, "%lld.%lld s", (long long)s, (long long)(ms % 1000 / 100));
    else if (s < 120)
        snprintf(t.text, sizeof t.text, "%lld s", (long long)s);
    else
        snprintf(t.text, sizeof t.text, "%lld:%02lld:%02lld", (long long)(s / 3600),
                 (long long)(s / 60 % 60), (long long)(s % 60));
    return t;
}
