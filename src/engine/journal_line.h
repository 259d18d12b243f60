/* journal_line: one line of the audit trail: how it is made, taken apart and hashed. Private to the journal; see journal.h.
 *
 * {"v":1,"time":"<24 bytes>","log":"…","run":"…","seq":N,"action":"…", …members…,"hash":"<64 hex>"}
 * The order of the first six members is fixed, so that a scan needs no tree.
 */
#ifndef BLOBFERRY_SRC_ENGINE_JOURNAL_LINE_H
#define BLOBFERRY_SRC_ENGINE_JOURNAL_LINE_H

#include "blobferry/base/buf.h"
#include "blobferry/codec/digest.h"
#include "blobferry/engine/journal.h"

#define JOURNAL_LINE_MAX  ((size_t)1 << 20) /* bytes, without LF */
#define JOURNAL_NAME_SIZE 128               /* log and run, with NUL */
#define JOURNAL_ZEROS     "0000000000000000000000000000000000000000000000000000000000000000"

/* What stands before a line's own members; time is 24 bytes. */
struct journal_line_head {
    const char *time;
    const char *log;
    const char *run;
    int64_t seq;
};

/* A line taken apart; everything points into it, nothing is terminated. */
struct journal_line {
    const char *text;
    size_t len;
    const char *log, *run, *action, *hash; /* hash: 64 bytes */
    size_t log_len, run_len, action_len;
    int64_t seq;
    const char *members; /* after the action's value, up to the comma before "hash" */
    size_t members_len;
};

/* May `name` be a log, run or action: 1 to 127 printable ASCII characters without quote and backslash. */
bool journal_line_name_ok(const char *name);

/* The members of an entry, from "action" on, without braces; ERR_GENERAL, ERR_LIMIT. Secrets are
 * redacted (P8), over-long texts are cut and say so. */
enum err_code journal_line_members(struct buf *b, const struct journal_entry *entry, struct err *e);
/* Appends the whole line and LF; `hash` is the previous line's on the way in and this line's on the way out. */
bool journal_line_append(struct buf *b, struct digest *sha, const struct journal_line_head *head,
                         const char *members, char hash[DIGEST_SHA256_HEX]);

/* Is this an audit line in form? *why says what is not. Says nothing about its hash. */
bool journal_line_scan(const char *text, size_t len, struct journal_line *out, const char **why);
bool journal_line_is(const struct journal_line *l, const char *action);
/* The raw JSON value of a member (quotes included), or NULL. */
const char *journal_line_member(const struct journal_line *l, const char *name, size_t *len);
/* Non-negative integer member; -1 when absent or otherwise. */
int64_t journal_line_integer(const struct journal_line *l, const char *name);
/* What its hash ought to be after `previous` (64 hex). */
void journal_line_hash(const struct journal_line *l, struct digest *sha, const char *previous,
                       char out[DIGEST_SHA256_HEX]);

#endif
