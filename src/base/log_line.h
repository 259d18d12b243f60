/* log_line: one event rendered as one line, text or JSON; no input can make it two (F2). */
#ifndef BLOBFERRY_SRC_BASE_LOG_LINE_H
#define BLOBFERRY_SRC_BASE_LOG_LINE_H

#include "blobferry/base/buf.h"
#include "blobferry/base/log.h"

/* What stands in front of every event of one file. */
struct log_line {
    int64_t time_ms;
    enum log_level level;
    const char *command;
    const char *run_id; /* NULL: absent */
    const char *event;
};

/* A field's text is cut after this many bytes, so that a line stays bounded. */
#define LOG_LINE_TEXT_MAX 4096

const char *log_line_level(enum log_level level);
/* "2026-11-21T12:00:00.123Z" */
void log_line_time(char dst[32], int64_t ms);
/* "20261121_120000" */
void log_line_stamp(char dst[32], int64_t ms);
/* Append the line and its LF to b; false when b failed. Registered secrets are redacted (P8). */
bool log_line_render(struct buf *b, bool json, const struct log_line *line,
                     const struct log_field *fields);

#endif
