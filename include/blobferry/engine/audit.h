/* audit: reading the audit trail: its runs, its lines, its signatures. Reads only, in constant memory; whether the trail is whole is
 * journal_verify's to say. Lines that are damaged are counted and passed over.
 *
 *     audit_list(dir, 50, on_run, user, &tally, e);
 *     audit_lines(dir, &(struct audit_filter){.run = "0199…"}, on_line, user, &tally, e);
 */
#ifndef BLOBFERRY_ENGINE_AUDIT_H
#define BLOBFERRY_ENGINE_AUDIT_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"
#include "blobferry/engine/signature.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_NAME 128 /* a run or log, with NUL */
#define AUDIT_TIME 25  /* 2026-11-21T12:00:00.123Z, with NUL */

struct audit_tally {
    int64_t lines;   /* given */
    int64_t damaged; /* passed over: see journal_verify */
};

/* ---- lines --------------------------------------------------------------------------------------------- */
struct audit_line {
    const char *text; /* the whole line without LF, borrowed; not terminated */
    size_t len;
    char time[AUDIT_TIME];
    char run[AUDIT_NAME];
    char action[AUDIT_NAME];
    int64_t seq;
};
struct audit_filter {
    const char *
        run; /* its id or the beginning of it; NULL any. ERR_NOTFOUND, ERR_CONFLICT when several begin so */
    bool has_from, has_to;
    int64_t from_ms, to_ms; /* inclusive */
};
typedef enum err_code audit_line_fn(void *user, const struct audit_line *l, struct err *e);
/* ERR_FILE_MISSING when there is no trail. */
enum err_code audit_lines(const char *dir, const struct audit_filter *f, audit_line_fn *fn,
                          void *user, struct audit_tally *out, struct err *e);
/* A member as printable text into dst, "" when it is absent; numbers and others as JSON. Returns dst. */
const char *audit_field(const struct audit_line *l, const char *name, char *dst, size_t size);
/* "timestamp,run,…" and one record of it, by RFC 4180, with LF. Control characters become \xNN, so that a record is a line. */
bool audit_csv_head(struct buf *b);
bool audit_csv_line(struct buf *b, const struct audit_line *l);

/* ---- runs ---------------------------------------------------------------------------------------------- */
struct audit_run {
    char run[AUDIT_NAME];
    char command[64];
    char begun[AUDIT_TIME], last[AUDIT_TIME]; /* first and last line */
    int64_t lines;
    int64_t succeeded, failed, refused; /* outcomes of files */
    bool ended;
    bool success;    /* of an ended one */
    char result[48]; /* err_code_name; "" not ended */
    int64_t duration_ms;
    char key[SIGNATURE_ID]; /* that its closing line says to be signed by; "" none */
};
typedef enum err_code audit_run_fn(void *user, const struct audit_run *r, struct err *e);
/* The newest `limit` runs (0: 10,000, and never more), newest first. */
enum err_code audit_list(const char *dir, size_t limit, audit_run_fn *fn, void *user,
                         struct audit_tally *out, struct err *e);

/* ---- signatures ---------------------------------------------------------------------------------------- */
struct audit_signatures {
    int64_t closed;          /* closing lines */
    int64_t good;            /* signed by one of the keys */
    int64_t unsigned_before; /* before the first signed one: from the time before there was a key */
    int64_t first_signed_line;
    int64_t
        bad_line; /* first one that is wrong, unsigned after a signed one, or by another key; 0 none */
    char problem[160];
};
/* For a trail that journal_verify has found whole. A signature speaks for all lines before it. ERR_CONFLICT when one is wrong or
 * missing, or there is none at all. */
enum err_code audit_check(const char *dir, struct signature *const *keys, size_t n,
                          struct audit_signatures *out, struct err *e);

#endif
