/* postgres_restore: values and rows of backups, for the files of the PostgreSQL driver that write and read them. */
#ifndef BLOBFERRY_TRACK_POSTGRES_RESTORE_H
#define BLOBFERRY_TRACK_POSTGRES_RESTORE_H

#include "track/postgres.h"

/* ---- postgres_value.c, postgres_shape.c ---- */
/* For this transaction: values come in the formats that postgres_value_read expects. */
enum err_code postgres_value_formats(struct postgres *p, struct err *e);
/* Bytes are borrowed from q or mem; false when memory is short. */
bool postgres_value_read(const PGresult *q, int row, int column, struct arena *mem,
                         struct tracker_value *v);
bool postgres_value_same(const struct tracker_value *a, const struct tracker_value *b);
/* As a parameter (in mem; NULL: NULL). */
enum err_code postgres_value_text(const struct tracker_value *v, struct arena *mem,
                                  const char **out, struct err *e);

struct postgres_shape_column {
    char *name, *type; /* owned */
    bool passive;      /* generated: neither compared nor written */
    bool
        derived; /* counters and status of a batch: they follow from its rows, whatever the backup says */
    bool differs; /* in the row at hand */
};
/* What the rows of a backup look like, kept as long as they look alike. Zeroed: unknown. */
struct postgres_shape {
    bool known, absent; /* absent: the table is not there yet (ours, in a dry run) */
    enum tracker_table table;
    size_t n, key;       /* columns; index of the primary key */
    size_t completed_at; /* index of that column of a batch; n: none */
    struct postgres_shape_column *columns;
    struct tracker_value *now; /* of the row in the database */
    struct postgres_arg *args; /* room for n + 1 */
    struct buf select;         /* $1 is the key; after the columns stands how many rows have it */
    struct buf insert, update; /* insert: the columns that are not passive, in order */
};
void postgres_shape_release(struct postgres_shape *h);
bool postgres_shape_fits(const struct postgres_shape *h, const struct tracker_restore_row *row);
enum err_code postgres_shape_to(struct postgres *p, struct postgres_shape *h,
                                const struct tracker_restore_row *row, bool locked, struct err *e);
/* The UPDATE of the columns that differ: those in order, then the key; NULL when memory is short. */
const char *postgres_shape_update(struct postgres_shape *h);

#endif
