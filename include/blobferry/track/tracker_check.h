/* tracker_check: what can be wrong with the rows of a tracking database, and bringing our own tables up to date.
 *
 *     tracker_check(t, on_finding, user, &totals, e);         (reads only, one snapshot, constant memory)
 *     tracker_upgrade(t, &(struct tracker_upgrade){.dry_run = true}, on_step, user, e);
 *
 * Both need the contract's three tables (ERR_DB_SCHEMA names what is missing).
 */
#ifndef BLOBFERRY_TRACK_TRACKER_CHECK_H
#define BLOBFERRY_TRACK_TRACKER_CHECK_H

#include "blobferry/track/tracker.h"

enum tracker_severity {
    TRACKER_PROBLEM,
    TRACKER_NOTE /* worth knowing, and no fault: the application may have wanted it so */
};

#define TRACKER_EXAMPLES 5
/* What one check found; strings are borrowed during the call. */
struct tracker_finding {
    const char *name;   /* stable: "orphan_batch" */
    const char *group;  /* "orphans", "duplicates", "counters", "values", "pointers", "indexes" */
    const char *what;   /* for people, in the plural: "rows whose batch is not there" */
    const char *remedy; /* what to do about it; NULL: nothing general can be said */
    enum tracker_severity severity;
    int64_t count;
    const char *sql;                      /* lists them all: runs as it stands in sqlite3 or psql */
    char examples[TRACKER_EXAMPLES][320]; /* "id='x', status='COMPLETED'", printable */
    size_t example_count;
};
/* Called for every check, also when count is 0. */
typedef enum err_code tracker_finding_fn(void *user, const struct tracker_finding *f,
                                         struct err *e);
struct tracker_check_totals {
    int64_t batches, migrations, files; /* rows that were looked at */
    int checks;
    int64_t problems, notes; /* checks that found something */
};
enum err_code tracker_check(struct tracker *t, tracker_finding_fn *fn, void *user,
                            struct tracker_check_totals *out, struct err *e);

/* ---- upgrade ------------------------------------------------------------------------------------------------ */
enum tracker_step_kind { TRACKER_STEP_TABLES, TRACKER_STEP_INDEX };
struct tracker_step {
    enum tracker_step_kind kind;
    int version;       /* TABLES: the version that it leads to */
    const char *table; /* INDEX: of the contract */
    const char *name;  /* "blobferry_ix_migrations_batch", or "blobferry_*" */
    const char *sql;   /* INDEX: the statement that makes it */
    bool done;         /* made now; else only missing */
};
typedef enum err_code tracker_step_fn(void *user, const struct tracker_step *s, struct err *e);
struct tracker_upgrade {
    bool dry_run; /* only tell */
    bool
        indexes; /* make the helpful indexes that are missing on the contract's tables; rows and columns stay as they are */
};
/* Our tables to the newest version; told of every step, and of every missing index whether it is made or not. Idempotent. */
enum err_code tracker_upgrade(struct tracker *t, const struct tracker_upgrade *o,
                              tracker_step_fn *fn, void *user, struct err *e);

#endif
