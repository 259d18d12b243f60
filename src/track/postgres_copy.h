/* postgres_copy: `db check`, `db upgrade` and `db copy` of the PostgreSQL driver. */
#ifndef BLOBFERRY_SRC_TRACK_POSTGRES_COPY_H
#define BLOBFERRY_SRC_TRACK_POSTGRES_COPY_H

#include "track/postgres.h"

/* postgres_copy.c, postgres_copy_in.c */
enum err_code postgres_copy_columns(struct tracker *t, const char *table,
                                    struct tracker_columns *out, struct err *e);
void postgres_copy_names(struct buf *b, const struct tracker_columns *c); /* quoted, with commas */
enum err_code postgres_copy_out(struct tracker *t, const struct tracker_copy_shape *what,
                                tracker_copy_fn *fn, void *user, struct err *e);
enum err_code postgres_copy_ask(struct tracker *t, const char *sql, tracker_cells_fn *fn,
                                void *user, struct err *e);
enum err_code postgres_copy_in(struct tracker *t, const struct tracker_copy_in *c, struct err *e);
enum err_code postgres_copy_put(struct tracker *t, size_t table, const struct tracker_value *values,
                                size_t n, struct err *e);

#endif
