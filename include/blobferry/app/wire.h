/* wire: the only place that picks drivers: turns a configuration into an engine.
 *
 *     struct wire w;
 *     wire_open(&w, &config, &(struct wire_needs){.command = "migrate", .write = true, .store = true}, e);
 *     migrate_run(&w.engine, &options, &result, e);
 *     wire_close(&w, exit_code, summary_json);
 */
#ifndef BLOBFERRY_APP_WIRE_H
#define BLOBFERRY_APP_WIRE_H

#include "blobferry/app/config.h"
#include "blobferry/base/clock.h"
#include "blobferry/engine/engine.h"

struct wire_needs {
    const char *command;
    bool tracker;  /* open the tracking database */
    bool create;   /* … and create its file when it is missing */
    bool write;    /* … for writing, with our own tables; else read-only */
    bool as_it_is; /* … but our own tables are neither made nor brought up to date (db upgrade) */
    bool store;    /* open the object store; ERR_CONFIG when no target is set */
    bool audit;    /* open the journal: run_begin now, run_end at wire_close */
    bool backup;   /* read or write backups; implied by audit */
    bool log_file; /* write logs/<command>_….log */
    int concurrency;                   /* 0: default */
    const struct bandwidth *bandwidth; /* NULL: no limit; copied */
};

struct wire {
    struct engine engine;
    struct log *log;
    char run_id[CLOCK_UUID_SIZE];
    struct secret backup_key;
    struct signature *signature; /* of the audit's closing line; NULL none */
    struct engine_run run;       /* recorded: its row is in the database */
    const struct config *config; /* borrowed; with needs, for further stores */
    struct wire_needs needs;
};

/* The configuration must live as long as the wire, which does not move. */
enum err_code wire_open(struct wire *w, const struct config *c, const struct wire_needs *n,
                        struct err *e);
/* Opens one more tracking database, by a URL as --db takes it, its tables as they are. */
enum err_code wire_open_tracker(struct tracker **out, const struct config *c,
                                const struct tracker_options *o, struct err *e);
/* Records the end of the run: the journal's closing line, and the row of a run that has written to the database. summary_json is an object of ours or NULL. May be called after a
 * failed wire_open. Returns the first error of ending, else ERR_OK. */
enum err_code wire_close(struct wire *w, int exit_code, const char *summary_json, struct err *e);

#endif
