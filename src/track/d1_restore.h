/* d1_restore: shared by d1_shape.c and d1_restore.c. */
#ifndef BLOBFERRY_TRACK_D1_RESTORE_H
#define BLOBFERRY_TRACK_D1_RESTORE_H

#include "track/d1.h"

struct d1_shape_column {
    char *name;   /* owned */
    bool passive; /* generated: neither compared nor written */
    bool
        derived; /* counters and status of a batch: they follow from its rows, whatever the backup says */
};
/* What rows of a backup look like. Zeroed: unknown. */
struct d1_shape {
    enum tracker_table table;
    struct d1_shape_column *columns;
    size_t n;
    size_t key, batch, completed_at; /* indexes; n: none */
    int number;                      /* of the shapes that were staged */
    bool absent;                     /* the table is not there yet (ours, in a dry run) */
};
void d1_shape_release(struct d1_shape *h);
bool d1_shape_fits(const struct d1_shape *h, const struct tracker_restore_row *row);
enum err_code d1_shape_to(struct d1 *d, struct d1_shape *h, const struct tracker_restore_row *row,
                          struct err *e);
/* Rows by a JSON list of encoded keys: encoded key, how many rows have it, encoded columns. */
void d1_shape_look_sql(const struct d1_shape *h, struct buf *b);
#define D1_SHAPE_STATEMENTS 3 /* the last counts what is unlike */
void d1_shape_write(const struct d1_shape *h, struct d1_batch *b, const char *request);

#endif
