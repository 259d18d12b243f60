/* copy_ddl: what the drivers share when a table is made after one of another database. */
#ifndef BLOBFERRY_SRC_TRACK_COPY_DDL_H
#define BLOBFERRY_SRC_TRACK_COPY_DDL_H

#include "blobferry/track/tracker_copy.h"

#define COPY_DDL_CONTRACT 3 /* the first so many tables are the contract's */

/* "…" with every quote doubled. */
void copy_ddl_quote(struct buf *b, const char *name);
/* "CREATE TABLE <name> (…)": columns, NOT NULL and uniqueness as in the source, types by kind, the contract's defaults. */
void copy_ddl_create(struct buf *b, const char *name, const struct tracker_columns *c,
                     const char *const types[TRACKER_KINDS]);
/* Is a column of that name a time by the contract, whatever it is declared as? */
bool copy_ddl_is_time(const char *table, const char *column);
const struct tracker_column *copy_ddl_find(const struct tracker_columns *c, const char *name);
/* Has the target's table all columns of the source's? Else ERR_DB_SCHEMA names the first that is missing. */
enum err_code copy_ddl_fits(const char *table, const struct tracker_columns *source,
                            const struct tracker_columns *target, struct err *e);

#endif
