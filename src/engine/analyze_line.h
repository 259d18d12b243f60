/* analyze_line: one line of ours, whatever its form, as flat fields. */
#ifndef BLOBFERRY_SRC_ENGINE_ANALYZE_LINE_H
#define BLOBFERRY_SRC_ENGINE_ANALYZE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct analyze_line {
    bool audit; /* from an audit trail, else from a log */
    char time[32];
    int64_t time_ms;
    char level[8];  /* logs */
    char event[48]; /* event or action */
    char run[64];
    char name[160];             /* file name or key, printable */
    char class_[48];            /* error_class */
    int64_t bytes, duration_ms; /* -1 absent */
    int success;                /* -1 absent */
};

/* False when the line is none of ours. */
bool analyze_line_parse(const char *line, size_t n, struct analyze_line *out);

#endif
