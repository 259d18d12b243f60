/* log_line: one event rendered as one line. Texts are redacted whole before they are cut or escaped,
 * because an escape inside a secret would hide it from redaction; the line is redacted once more. A text
 * that is neither cut nor escaped stands in the line as it is: there it is sought with the line, and only
 * where a secret is found the line is made anew, with care. */
#include "log_line.h"

#include "blobferry/base/plain.h"
#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Enough that a secret which begins before LOG_LINE_TEXT_MAX is seen to its end. */
#define REDACT_WINDOW ((size_t)128 * 1024)

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

const char *log_line_level(enum log_level level)
{
    const int index = (int)level;
    return index >= 0 && index <= (int)LOG_DEBUG ? level_names[index] : "debug";
}

/* The civil time in UTC of ms, and the milliseconds in its second. */
static int split_time(int64_t ms, struct tm *tm)
{
    time_t seconds = (time_t)(ms / 1000);
    int rest = (int)(ms % 1000);

    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    if (gmtime_r(&seconds, tm) == NULL)
        memset(tm, 0, sizeof *tm);
    return rest;
}

/* Many events fall into one second: its text is kept. */
void log_line_time(char dst[32], int64_t ms)
{
    static _Thread_local char text[32];
    static _Thread_local int64_t second = INT64_MIN;
    static _Thread_local size_t n;
    const int rest = (int)(ms % 1000) + (ms % 1000 < 0 ? 1000 : 0);
    const int64_t now = ms / 1000 - (ms % 1000 < 0 ? 1 : 0);

    if (now != second) {
        struct tm tm;
        (void)split_time(ms, &tm);
        n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
        second = now;
    }
    memcpy(dst, text, n);
    if (n > 32 - 6) {
        snprintf(dst + n, 32 - n, ".%03dZ", rest);
        return;
    }
    dst[n] = '.';
    dst[n + 1] = (char)('0' + rest / 100);
    dst[n + 2] = (char)('0' + rest / 10 % 10);
    dst[n + 3] = (char)('0' + rest % 10);
    dst[n + 4] = 'Z';
    dst[n + 5] = '\0';
}

void log_line_stamp(char dst[32], int64_t ms)
{
    struct tm tm;
    split_time(ms, &tm);
    if (strftime(dst, 32, "%Y%m%d_%H%M%S", &tm) == 0)
        dst[0] = '\0';
}

static void escape_point(struct buf *b, bool json, uint32_t point)
{
    if (json)
        buf_printf(b, "\\u%04x", (unsigned)point); /* all controls lie in the basic plane */
    else if (point < 0x80)
        buf_printf(b, "\\x%02x", (unsigned)point);
    else
        buf_printf(b, "\\u{%04x}", (unsigned)point);
}

/* n bytes of s inside quotes. JSON keeps control characters as escapes that parse back to them;
 * a byte that is no UTF-8 becomes the four characters \xNN in both forms. */
static void escape(struct buf *b, bool json, const char *s, size_t n)
{
    const char quote = json ? '"' : '\'';
    uint32_t point;

    while (n > 0) {
        const size_t plain = plain_length(s, n, quote);
        if (plain > 0) {
            buf_append(b, s, plain);
            s += plain;
            n -= plain;
            continue;
        }
        const size_t used = str_utf8_next(s, n, &point);
        if (used == 0) {
            buf_printf(b, json ? "\\\\x%02x" : "\\x%02x", (unsigned)(unsigned char)*s);
        } else if (str_is_control(point)) {
            escape_point(b, json, point);
        } else {
            if (*s == quote || *s == '\\')
                buf_char(b, '\\');
            buf_append(b, s, used);
        }
        s += used == 0 ? 1 : used;
        n -= used == 0 ? 1 : used;
    }
}

/* A value in quotes, redacted, cut to LOG_LINE_TEXT_MAX on a character's border. */
static void quoted_careful(struct buf *b, bool json, const char *s, size_t n)
{
    char *copy = malloc(n + 1);
    size_t shown = n;

    if (copy == NULL) {
        b->failed = true;
        return;
    }
    memcpy(copy, s, n);
    copy[n] = '\0';
    secret_redact(copy, n);
    if (shown > LOG_LINE_TEXT_MAX) {
        shown = LOG_LINE_TEXT_MAX;
        while (shown > LOG_LINE_TEXT_MAX - 4 && ((unsigned char)copy[shown] & 0xC0) == 0x80)
            shown--;
    }
    buf_char(b, json ? '"' : '\'');
    escape(b, json, copy, shown);
    buf_str(b, shown < n ? "..." : "");
    buf_char(b, json ? '"' : '\'');
    free(copy);
}

static void quoted(struct buf *b, bool json, const char *s, bool careful)
{
    const char quote = json ? '"' : '\'';
    const size_t n = strnlen(s, REDACT_WINDOW);

    if (careful || n > LOG_LINE_TEXT_MAX || plain_length(s, n, quote) < n) {
        quoted_careful(b, json, s, n);
        return;
    }
    buf_char(b, quote);
    buf_append(b, s, n);
    buf_char(b, quote);
}

/* Names come from our own code, yet none may break the line or hide the fields in front. */
static void field_name(struct buf *b, bool json, const char *name)
{
    static const char *const taken[] = {"time", "level", "command", "run", "event"};

    if (json) {
        buf_str(b, ",\"");
        escape(b, true, name, strlen(name));
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
            buf_str(b, str_eq(name, taken[i]) ? "_" : "");
        buf_str(b, "\":");
        return;
    }
    const size_t n = strlen(name), at = b->len + 1;
    buf_char(b, ' ');
    if (!buf_append(b, name, n))
        return;
    for (char *c = b->data + at; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7F || *c == '=' || *c == '\'')
            *c = '_';
    }
    buf_char(b, '=');
}

static void integer(struct buf *b, int64_t value)
{
    char room[PLAIN_INTEGER];
    size_t n;
    const char *digits = plain_integer(room, value, &n);

    buf_append(b, digits, n);
}

static void render_fields(struct buf *b, bool json, const struct log_field *f, bool careful)
{
    for (; f != NULL && f->name != NULL; f++) {
        field_name(b, json, f->name);
        if (f->type == LOG_INT)
            integer(b, f->integer);
        else if (f->text == NULL)
            buf_str(b, "null");
        else
            quoted(b, json, f->text, careful);
    }
}

static void render(struct buf *b, bool json, const struct log_line *line,
                   const struct log_field *fields, bool careful)
{
    const char *level = log_line_level(line->level);
    char time_text[32];

    log_line_time(time_text, line->time_ms);
    if (json) {
        buf_str(b, "{\"time\":\"");
        buf_str(b, time_text);
        buf_str(b, "\",\"level\":\"");
        buf_str(b, level);
        buf_str(b, "\",\"command\":");
        quoted(b, true, line->command, careful);
        if (line->run_id != NULL) {
            buf_str(b, ",\"run\":");
            quoted(b, true, line->run_id, careful);
        }
        buf_str(b, ",\"event\":");
        quoted(b, true, line->event, careful);
    } else {
        buf_str(b, time_text);
        buf_char(b, ' ');
        buf_str(b, level);
        buf_append(b, "      ", 6 - strlen(level)); /* as wide as the longest, and one */
        escape(b, false, line->event, strlen(line->event));
    }
    render_fields(b, json, fields, careful);
    buf_str(b, json ? "}" : "");
}

bool log_line_render(struct buf *b, bool json, const struct log_line *line,
                     const struct log_field *fields)
{
    const size_t start = b->len;

    render(b, json, line, fields, false);
    if (buf_ok(b) && secret_within(b->data + start, b->len - start)) { /* hardly ever */
        b->len = start;
        render(b, json, line, fields, true);
        if (buf_ok(b))
            secret_redact(b->data + start, b->len - start);
    }
    buf_char(b, '\n');
    return buf_ok(b);
}
