/* restore: the rows of a backup put back, in one transaction or not at all. First restore_preview (reads only), then restore_run.
 *
 * Rows that come back may claim objects (files.r2_key, completed, verified). P1 and P3 hold for them as well: what a backup claims and the
 * store does not hold is refused before anything is written, unless `database_only` says that objects are not to be looked at.
 */
#ifndef BLOBFERRY_ENGINE_RESTORE_H
#define BLOBFERRY_ENGINE_RESTORE_H

#include "blobferry/engine/backup.h"
#include "blobferry/engine/engine.h"

struct restore_options {
    const char *path;
    bool force;         /* also into another database than the one it was made of */
    bool database_only; /* do not look at objects */
    bool no_backup;     /* of the rows as they are before */
    int concurrency;    /* HEADs at once; 0: 16 */
};

/* One row that would change; texts are printable and cut. */
struct restore_difference {
    enum tracker_table table;
    bool inserted;
    char key[120];
    char column[64]; /* the first that differs; "" inserted */
    char now[120], then[120];
};
#define RESTORE_FIRST 10
struct restore_preview {
    struct backup_head head;
    char database[1024]; /* which database this is, in the form of head.database */
    char sha256[65];
    struct tracker_restore_counts tables[TRACKER_TABLES];
    int64_t rows, changes; /* changes: inserted and changed */
    struct restore_difference first[RESTORE_FIRST];
    size_t first_len;
    int64_t claims; /* objects that rows would claim anew */
    bool looked;    /* at them */
    int64_t missing, different;
    char first_missing[256]; /* key, printable */
};
void restore_preview_init(struct restore_preview *p);
void restore_preview_release(struct restore_preview *p);
/* Looks at objects when there is a store and not database_only. ERR_PARSE, ERR_CONFLICT: not a backup of ours, or altered; ERR_REFUSED:
 * of another database; ERR_NOTFOUND: holds no row; ERR_DB_SCHEMA: the tables have changed. */
enum err_code restore_preview(const struct engine *g, const struct restore_options *o,
                              struct restore_preview *out, struct err *e);

struct restore_result {
    struct restore_preview preview; /* under the lock */
    struct tracker_restore_counts tables[TRACKER_TABLES];
    struct backup_result before; /* backup of the rows as they were; path "" none */
    bool nothing_to_do;
    int64_t elapsed_ms;
};
void restore_result_init(struct restore_result *r);
void restore_result_release(struct restore_result *r);
/* As above, and ERR_REFUSED when objects are missing; ERR_CONFIG when there are claims and no store; ERR_CONFLICT when a migration or
 * rollback runs, or the database changes under way; ERR_PARTIAL when triggers of the application changed rows again, or rows have
 * no usable key. Only in the last case anything was written. */
enum err_code restore_run(const struct engine *g, const struct restore_options *o,
                          struct restore_result *out, struct err *e);

#endif
