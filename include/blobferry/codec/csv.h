/* csv: RFC 4180 records, streamed from a FILE in constant memory: quotes, doubled quotes, line feeds inside quotes, LF or CRLF,
 * a UTF-8 BOM. NUL bytes, a quote that never closes, and fields over the maximum are errors that name the line. */
#ifndef BLOBFERRY_CODEC_CSV_H
#define BLOBFERRY_CODEC_CSV_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CSV_FIELDS_MAX 64
struct csv {
    FILE *in;
    const char *name; /* for messages */
    size_t line;      /* line the current record began on, from 1 */
    size_t next_line;
    struct buf data;
    size_t starts[CSV_FIELDS_MAX];
    size_t fields;
    bool eof; /* nothing more is read, also after a fault */
    bool begun;
    unsigned char pending[3]; /* read while looking for a BOM */
    size_t pending_len, pending_at;
};

/* `in` and `name` stay the caller's; max_record_bytes 0: 1 MiB. */
void csv_init(struct csv *c, FILE *in, const char *name, size_t max_record_bytes);
/* ERR_OK with *more false at the end; ERR_PARSE names 'file' and line, ERR_FILE when reading fails;
 * after either the rest is not read. Empty lines are skipped. */
enum err_code csv_next(struct csv *c, bool *more, struct err *e);
const char *csv_field(const struct csv *c,
                      size_t i); /* borrowed until the next csv_next; NULL if absent */
void csv_release(struct csv *c);

#endif
