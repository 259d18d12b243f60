/* log_line: one event rendered as one line. Texts are redacted whole before they are cut or escaped,
 * because an escape inside a secret would hide it from redaction; the line is redacted once more. */
#include "log_line.h"

#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"

#include <inttypes.h>
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

void log_line_time(char dst[32], int64_t ms)
{
    struct tm tm;
    const int rest = split_time(ms, &tm);
    const size_t n = strftime(dst, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(dst + n, 32 - n, ".%03dZ", rest);
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
        size_t plain = 0;
        while (plain < n && s[plain] >= ' ' && s[plain] < 0x7f && s[plain] != quote &&
               s[plain] != '\\')
            plain++;
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
static void quoted(struct buf *b, bool json, const char *s)
{
    const size_t n = strnlen(s, REDACT_WINDOW);
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
    buf_char(b, ' ');
    for (; *name != '\0'; name++)
        buf_char(b, *name > ' ' && *name < 0x7F && *name != '=' && *name != '\'' ? *name : '_');
    buf_char(b, '=');
}

static void render_fields(struct buf *b, bool json, const struct log_field *f)
{
    for (; f != NULL && f->name != NULL; f++) {
        field_name(b, json, f->name);
        if (f->type == LOG_INT)
            buf_printf(b, "%" PRId64, f->integer);
        else if (f->text == NULL)
            buf_str(b, "null");
        else
            quoted(b, json, f->text);
    }
}

bool log_line_render(struct buf *b, bool json, const struct log_line *line,
                     const struct log_field *fields)
{
    const size_t start = b->len;
    const char *level = log_line_level(line->level);
    char time_text[32];

    log_line_time(time_text, line->time_ms);
    if (json) {
        buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"command\":", time_text, level);
        quoted(b, true, line->command);
        if (line->run_id != NULL) {
            buf_str(b, ",\"run\":");
            quoted(b, true, line->run_id);
        }
        buf_str(b, ",\"event\":");
        quoted(b, true, line->event);
    } else {
        buf_printf(b, "%s %-5s ", time_text, level);
        escape(b, false, line->event, strlen(line->event));
    }
    render_fields(b, json, fields);
    buf_str(b, json ? "}" : "");
    if (buf_ok(b) && b->len > start)
        secret_redact(b->data + start, b->len - start);
    buf_char(b, '\n');
    return buf_ok(b);
}
