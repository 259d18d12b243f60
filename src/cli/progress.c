#include "cli/progress.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PLAIN_EVERY_MS 10000
#define SHOWN_MAX      20

void progress_init(struct progress *p, struct out *o, const char *verb)
{
    memset(p, 0, sizeof *p);
    p->out = o;
    p->verb = verb;
    p->unit = "files";
    p->started_ms = p->drawn_ms = clock_mono_ms();
}

static void clear(struct progress *p)
{
    if (p->on_line)
        fputs("\r\033[K", stderr);
    p->on_line = false;
}

static size_t width(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col - 1u : 79;
}

static void draw(struct progress *p, const struct engine_event *ev, int64_t now)
{
    int64_t elapsed = now - p->started_ms > 0 ? now - p->started_ms : 1;
    int64_t ended = ev->files_done + ev->files_failed;
    char line[2048], eta[8 + OUT_SAFE_SIZE] = "";
    size_t n = 0;

    if (ev->files_total > ended && ended > 0)
        snprintf(eta, sizeof eta, ", ETA %s",
                 out_duration(
                     (int64_t)((double)elapsed / (double)ended * (double)(ev->files_total - ended)))
                     .text);
    n += (size_t)snprintf(line, sizeof line, "%s %lld", p->verb, (long long)ev->files_done);
    if (ev->files_total >= 0)
        n += (size_t)snprintf(line + n, sizeof line - n, " of %lld", (long long)ev->files_total);
    n += (size_t)snprintf(line + n, sizeof line - n, " %s", p->unit);
    if (ev->files_failed > 0)
        n += (size_t)snprintf(line + n, sizeof line - n, ", %lld failed",
                              (long long)ev->files_failed);
    snprintf(line + n, sizeof line - n, ", %s, %s/s%s", out_size(ev->bytes_done).text,
             out_size(ev->bytes_done * 1000 / elapsed).text, eta);
    if (p->out->progress) {
        fprintf(stderr, "\r\033[K%.*s", (int)width(), line);
        fflush(stderr);
        p->on_line = true;
    } else {
        fprintf(stderr, "%s\n", line);
    }
    p->drawn_ms = now;
}

void progress_event(void *user, const struct engine_event *ev)
{
    struct progress *p = user;
    int64_t now = clock_mono_ms();

    if (p->out->quiet)
        return;
    switch (ev->kind) {
    case ENGINE_FILE_FAILED:
    case ENGINE_FILE_REFUSED:
        if (p->failures_shown++ >= SHOWN_MAX)
            break;
        clear(p);
        fprintf(stderr, "%s '%s': %s\n", ev->kind == ENGINE_FILE_FAILED ? "failed" : "refused",
                out_safe(ev->record != NULL ? ev->record->source_path : "").text,
                out_safe(ev->err != NULL ? ev->err->message : ev->message).text);
        break;
    case ENGINE_NOTE:
        clear(p);
        fprintf(stderr, "%s\n", out_safe(ev->message).text);
        break;
    case ENGINE_PROGRESS:
        if (p->out->progress || now - p->drawn_ms >= PLAIN_EVERY_MS)
            draw(p, ev, now);
        break;
    case ENGINE_FILE_DONE:
    case ENGINE_FILE_SKIPPED:
        break;
    }
}

void progress_end(struct progress *p)
{
    clear(p);
    if (p->failures_shown > SHOWN_MAX)
        out_note(p->out, "... and %lld more", (long long)(p->failures_shown - SHOWN_MAX));
    p->failures_shown = 0; /* said once, however often it is called */
}
