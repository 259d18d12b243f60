/* out: all printing. Results go to standard output, messages and progress to standard error; --json leaves one document on standard output and
 * nothing else. Text from databases, file names and servers passes through out_safe. */
#ifndef BLOBFERRY_SRC_CLI_OUT_H
#define BLOBFERRY_SRC_CLI_OUT_H

#include "blobferry/app/config.h"
#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"
#include "blobferry/codec/json.h"

#include <stdbool.h>
#include <stdint.h>

enum out_color { OUT_PLAIN, OUT_GREEN, OUT_RED, OUT_YELLOW, OUT_BOLD };

struct out {
    bool json, quiet, verbose;
    bool color_out, color_err; /* terminals, without NO_COLOR */
    bool progress;             /* standard error is a terminal and not --quiet */
    struct buf document;       /* --json: written by out_document_end */
    struct json_out writer;
    bool failed;      /* standard output could not be written */
    int failed_errno; /* why */
};

void out_init(struct out *o, const struct config *c);
void out_release(struct out *o);

/* A line of the result; nothing under --json or --quiet. */
void out_line(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A message to standard error; nothing under --quiet. */
void out_note(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "blobferry: message" and "hint: …" to standard error, always. */
void out_error(struct out *o, const struct err *e);
const char *out_paint(const struct out *o, enum out_color c); /* escape sequence, or "" */
const char *out_reset(const struct out *o);
enum out_color out_status_color(const char *status);

/* The one document of --json: out_document_begin opens the root object, members are added by o->writer, out_document_end adds exit_code and error
 * and prints it. Harmless without --json. */
void out_document_begin(struct out *o, const char *command, const char *run_id);
void out_document_end(struct out *o, int exit_code, const struct err *e);
/* Flush standard output; false (and a message) when something could not be written: then 0 would be a lie (P9). */
bool out_finish(struct out *o);

#define OUT_SAFE_SIZE 400
struct out_text {
    char text[OUT_SAFE_SIZE];
};
/* Printable form of hostile text, by value so that it can stand in an argument list: out_safe(x).text */
struct out_text out_safe(const char *s);
struct out_text out_size(int64_t bytes); /* "1.5 GiB" */
struct out_text out_duration(int64_t ms);

/* ---- tables (libsmartcols) ------------------------------------------------------------------------ */
struct out_column {
    const char *name;
    bool right; /* numbers */
    bool cut;   /* may be cut to fit a terminal; never elsewhere */
};
struct out_table;
/* NULL when memory is short or under --json; every call takes NULL. */
struct out_table *out_table_new(struct out *o, const struct out_column *columns, size_t n);
/* n cells of text, made printable; the colour is for the whole line. */
void out_table_row(struct out_table *t, enum out_color color, const char *const *cells, size_t n);
void out_table_print(struct out_table *t); /* prints and frees */

#endif
