/* engine: what every use case needs, handed down by app/wire; the engine picks no driver and prints nothing.
 *
 * Safe orders (FAILURES.md). Migrate: claim (committed) -> audit intent (fsync) -> open confined, hash -> PUT -> re-check the source -> proof ->
 * one transaction: record, pointer, counters, audit head. Rollback: lock -> backup (fsync) -> intent -> original re-hashed ->
 * object proven ours -> one transaction: pointer back, rolled_back, delete owed -> DELETE -> absent -> debt cleared, outcome.
 */
#ifndef BLOBFERRY_ENGINE_ENGINE_H
#define BLOBFERRY_ENGINE_ENGINE_H

#include "blobferry/base/err.h"
#include "blobferry/base/log.h"
#include "blobferry/base/process.h"
#include "blobferry/base/secret.h"
#include "blobferry/engine/journal.h"
#include "blobferry/object/objstore.h"
#include "blobferry/track/tracker.h"

#include <stdbool.h>
#include <stdint.h>

/* One thing that happened, for progress lines and --json; strings borrowed during the call. */
enum engine_event_kind {
    ENGINE_PROGRESS, /* totals below have moved; at most 10 a second */
    ENGINE_FILE_DONE,
    ENGINE_FILE_FAILED,
    ENGINE_FILE_REFUSED,
    ENGINE_FILE_SKIPPED,
    ENGINE_NOTE /* message only */
};
struct engine_event {
    enum engine_event_kind kind;
    const struct record *record; /* may be NULL */
    const struct err *err;       /* failed, refused */
    const char *message;
    int64_t files_done, files_failed, files_total; /* total -1: unknown */
    int64_t bytes_done, bytes_total;               /* bytes */
};
typedef void engine_event_fn(void *user, const struct engine_event *ev);

/* The run's row in blobferry_runs: made by engine_run_record, ended by app/wire. */
struct engine_run {
    const char *command;
    int64_t started_ms; /* wall clock */
    bool recorded;
};

struct engine {
    struct tracker *tracker;
    /* Another connection to the same database, for work beside the first; NULL: that would gain nothing. */
    enum err_code (*tracker_open)(void *user, struct tracker **out, struct err *e);
    void *tracker_user;
    struct objstore *store; /* NULL for commands without one */
    /* Another store of the same target, with so many connections: one for each event loop; NULL: there is only `store`. */
    enum err_code (*store_open)(void *user, int concurrency, struct objstore **out, struct err *e);
    void *store_user;
    struct journal *journal; /* NULL for commands that only read */
    struct log *log;         /* may be NULL */
    const char *
        source_root; /* directory; NULL: "/" is NOT assumed: paths must then be absolute and are opened beneath "/" */
    const char *backup_dir;
    const struct secret *backup_key; /* backups are encrypted with it; NULL or unset: not */
    const char *batch_dir;           /* batches/ */
    const char *run_id;
    struct engine_run *run; /* NULL: runs are not recorded */
    char owner[PROCESS_OWNER_SIZE];
    engine_event_fn *on_event; /* may be NULL */
    void *event_user;
    bool (*stopping)(void); /* NULL: process_stopping */
};
bool engine_stopping(const struct engine *g);
void engine_emit(const struct engine *g, const struct engine_event *ev);
/* Makes the run's row, once (engine_run.c). Every use case calls it before its first write to the database and not earlier,
 * so that a run that finds nothing to do changes no row (P7). */
enum err_code engine_run_record(const struct engine *g, struct err *e);

#endif
