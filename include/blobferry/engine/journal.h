/* journal: the audit trail logs/audit.jsonl: append-only, hash-chained, shared by all processes that use the folder.
 *
 * One JSON object per line. Line i: {"v":1,"time":"2026-11-21T12:00:00.123Z","log":LOG,"run":RUN,"seq":N,"action":…,
 * …,"hash":H} where H = SHA-256 hex over (previous line's H, LF, this line's bytes without `,"hash":"…"`); the previous hash of the first
 * line is 64 zeros. LOG is a UUID chosen when the file is made and said by its first line (action "log_begin"); seq counts all lines
 * of the file from 1. The last (log, run, seq, hash) of a group goes into the tracking database in the same transaction as the
 * state change that it tells of, so that a cut tail shows (tracker_head).
 *
 * A group of lines is written under flock with one write(2); with `durable` followed by fdatasync (P6: intent before
 * an irreversible act). A torn last line (crash in the middle of a write) is kept: it is closed by LF and the next line is a record
 * {"action":"torn_tail","bytes":n,"sha256":…} that chains over the last whole line; n and sha256 are of what was torn, without
 * the closing LF. docs/audit.md describes the format for readers outside, docs/verify_audit.py checks it without our code.
 *
 *     struct journal *j;  journal_open(&j, &options, e);
 *     journal_add(j, &(struct journal_entry){.action = "upload_intent", .record = r}, e);  … (buffered)
 *     journal_commit(j, true, &head, e);           (one write, fsync; head is for tracker_apply)
 *     journal_close(j);
 *
 * Threads may add and commit at the same time: a commit takes along whatever is buffered.
 */
#ifndef BLOBFERRY_ENGINE_JOURNAL_H
#define BLOBFERRY_ENGINE_JOURNAL_H

#include "blobferry/base/err.h"
#include "blobferry/engine/signature.h"
#include "blobferry/track/tracker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

struct journal_options {
    const char *dir; /* log folder; created 0700 */
    const char *run_id;
    const char *command;
    const struct signature
        *signature; /* signs the run's closing line (signature.h); NULL: unsigned */
};
enum err_code journal_open(struct journal **out, const struct journal_options *o, struct err *e);
void journal_close(
    struct journal *j); /* NULL is harmless; buffered lines are dropped: commit first */

/* What happened to one file, or in the run. Absent (NULL, 0 with has_ false) members are left out. */
struct journal_entry {
    const char *
        action; /* run_begin run_end plan claim upload_intent upload_begin upload_outcome verify_outcome lease_taken
                             backup restore_intent restore_outcome prune_intent prune_outcome rollback_intent rollback_outcome delete_intent delete_outcome debt_paid conflict clock_skew … */
    const char *file_id;
    const char *record_id;
    const char *batch_id;
    const char *filename;
    const char *target_key;
    const char *source_path;
    const char *etag;
    const char *version_id;
    const char *sha256;
    const char *from, *to; /* statuses */
    const char *detail;    /* free text for people */
    const char *error;     /* message when it failed */
    const char *error_class;
    bool has_size;
    int64_t size; /* bytes */
    bool has_duration;
    int64_t duration_ms;
    bool has_success, success;
    bool dry_run;
    const char *
        extra_json; /* a whole JSON object of ours, embedded as "extra" (run_begin: configuration without secrets, counts) */
};
/* What is said of the file in every line; borrows the record's texts. */
struct journal_entry journal_entry_of(const struct record *r, const char *action);
enum err_code journal_add(struct journal *j, const struct journal_entry *entry, struct err *e);
size_t journal_pending(
    const struct journal
        *j); /* lines buffered; at most 4096 or 8 MiB, then journal_add commits by itself */
/* Names in *head belong to the journal. With nothing buffered: the current head. Any failure is
 * sticky: nothing irreversible may follow. Only the head of a durable commit may go into the database: after a power cut, another
 * one would look like a cut tail. */
enum err_code journal_commit(struct journal *j, bool durable, struct tracker_head *head,
                             struct err *e);
const char *journal_path(const struct journal *j);
const char *journal_run_id(const struct journal *j);

/* ---- verification: constant memory, no write ------------------------------------------------------------- */
struct journal_report {
    int64_t lines;
    int64_t runs;                 /* run_begin lines */
    int64_t torn;                 /* recorded torn tails */
    int64_t bad_line;             /* first bad line, from 1; 0: none */
    char problem[256];            /* what is wrong with it */
    int64_t heads, heads_missing; /* database heads checked against this file */
    int64_t heads_elsewhere;      /* heads of other files: other hosts', or one that was removed */
    int64_t in_doubt;             /* intents without an outcome since */
    bool in_doubt_at_most; /* too many were open at once (262,144): in_doubt may be too high */
    char log_id[64];
    int64_t last_seq;
    char last_hash[65];
};
/* tracker may be NULL: only the chain. Returns ERR_OK when all holds, ERR_CONFLICT when something does not (report says
 * what), ERR_FILE_* when it cannot be read. A head of another log_id belongs to another host's file: not checked. */
enum err_code journal_verify(const char *dir, struct tracker *tracker, struct journal_report *out,
                             struct err *e);

#endif
