/* tracker_copy: whole tables from one tracking database into another, of whatever kind.
 *
 *     tracker_copy_look(source, &shape, e);                      (which tables and columns there are)
 *     tracker_copy_in(target, &(struct tracker_copy_in){.source = &shape, .fill = fill, .verify = verify, …}, e);
 *         fill:   tracker_copy_out(source, &shape, on_row, …); on_row: tracker_copy_put(target, table, values, n, e)
 *         verify: tracker_copy_out(target, &shape, …): what has been written is read back before it is committed
 *     tracker_copy_release(&shape);
 *
 * The tables of the contract, blobferry_records, blobferry_runs and blobferry_heads. Locks are of the moment, and
 * the version of our tables is the target's own: neither is copied.
 */
#ifndef BLOBFERRY_TRACK_TRACKER_COPY_H
#define BLOBFERRY_TRACK_TRACKER_COPY_H

#include "blobferry/track/tracker_value.h"

#define TRACKER_COPIED      6
#define TRACKER_COLUMN_NAME 128
#define TRACKER_COLUMNS_MAX 500

struct tracker_column {
    char name[TRACKER_COLUMN_NAME];
    enum tracker_kind kind;
    bool not_null, unique; /* unique: primary key or unique index on this column alone */
};
struct tracker_columns {
    struct tracker_column *items; /* owned */
    size_t n;                     /* 0: there is no such table */
};
struct tracker_copy_shape {
    struct tracker_columns tables[TRACKER_COPIED];
};
const char *tracker_copy_table(size_t table); /* "migration_batches", … */
/* Zeroed before; generated columns are left out. ERR_CONFIG: this kind of database cannot be copied. */
enum err_code tracker_copy_look(struct tracker *t, struct tracker_copy_shape *out, struct err *e);
void tracker_copy_release(struct tracker_copy_shape *s);
enum err_code tracker_copy_count(struct tracker *t, size_t table, int64_t *rows, struct err *e);
/* Do values keep their types only as far as the column has them (PostgreSQL), or just as they are (SQLite)? */
bool tracker_copy_strict(const struct tracker *t);

/* The values are borrowed, in the order of the shape's columns. */
typedef enum err_code tracker_copy_fn(void *user, size_t table, const struct tracker_value *values,
                                      size_t n, struct err *e);
/* All rows of the tables of `what`, one snapshot, constant memory, in no order. Inside tracker_copy_in it reads what was put. */
enum err_code tracker_copy_out(struct tracker *t, const struct tracker_copy_shape *what,
                               tracker_copy_fn *fn, void *user, struct err *e);

struct tracker_copy_in {
    const struct tracker_copy_shape
        *source; /* of the rows to come; tables of it that are missing are made */
    bool
        replace; /* rows that are there are removed first, in the same transaction; else there may be none */
    int64_t now_ms; /* wall clock: locks that have not expired by then hold */
    enum err_code (*fill)(void *user, struct err *e);   /* the tables are there; puts all rows */
    enum err_code (*verify)(void *user, struct err *e); /* an error leaves everything as it was */
    void *user;
    const struct tracker_head *head;
};
/* One transaction: all of it or nothing, also after kill -9. ERR_REFUSED: there are rows and not replace, or other tables refer to
 * them; ERR_CONFLICT: a migration or rollback is under way; ERR_DB_SCHEMA names a column that the target's table lacks. */
enum err_code tracker_copy_in(struct tracker *t, const struct tracker_copy_in *c, struct err *e);
/* Only inside `fill`, tables one after the other. */
enum err_code tracker_copy_put(struct tracker *t, size_t table, const struct tracker_value *values,
                               size_t n, struct err *e);

#endif
