#include "blobferry/engine/audit.h"

#include <string.h>

static const char *const columns[] = {
    "file_id",     "record_id",  "batch_id", "filename",    "target_key", "source_path",
    "etag",        "version_id", "sha256",   "from",        "to",         "size",
    "duration_ms", "success",    "error",    "error_class", "detail",     "dry_run"};

static bool put(struct buf *b, const char *text)
{
    if (strpbrk(text, ",\"\n\r") == NULL)
        return buf_str(b, text);
    buf_char(b, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            buf_char(b, '"');
        buf_char(b, *text);
    }
    return buf_char(b, '"');
}

bool audit_csv_head(struct buf *b)
{
    buf_str(b, "time,run,seq,action");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        buf_char(b, ',');
        buf_str(b, columns[i]);
    }
    return buf_char(b, '\n');
}

bool audit_csv_line(struct buf *b, const struct audit_line *l)
{
    char value[16384];

    put(b, l->time);
    buf_char(b, ',');
    put(b, l->run);
    buf_printf(b, ",%lld,", (long long)l->seq);
    put(b, l->action);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        buf_char(b, ',');
        put(b, audit_field(l, columns[i], value, sizeof value));
    }
    return buf_char(b, '\n');
}
