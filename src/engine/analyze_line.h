/* analyze_line: one line of ours, whatever its form (text log, JSON log, audit trail), as flat fields. */
#ifndef BLOBFERRY_SRC_ENGINE_ANALYZE_LINE_H
#define BLOBFERRY_SRC_ENGINE_ANALYZE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct analyze_line {
    bool audit;    /* from an audit trail, else from a log */
    char time[32]; /* 2026-11-21T12:00:00.123Z */
    int64_t time_ms;
    char level[8];  /* logs: error, warn, info, debug */
    char event[48]; /* event or action */
    char run[64];
    char name[160];       /* file name, key or path: printable */
    char error_class[48]; /* err_code_name, or a refusal; "" none */
    int64_t bytes;        /* -1 absent */
    int64_t duration_ms;  /* -1 absent */
    int success;          /* 0, 1; -1 absent */
};

/* False when the line is none of ours, or damaged. */
bool analyze_line_parse(const char *line, size_t n, struct analyze_line *out);
/* A line of ours that is older than `from` (a time as above)? Looks only at where our lines have their time. */
bool analyze_line_is_older(const char *line, size_t n, const char *from);

#endif
