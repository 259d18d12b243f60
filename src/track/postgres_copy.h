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

/* postgres_check.c, postgres_check_rules.c */
void postgres_check_rules(const struct postgres *p, struct check_rules *out);
enum err_code postgres_check_begin(struct tracker *t, struct check_rules *out, struct err *e);
enum err_code postgres_check_end(struct tracker *t, enum err_code code, struct err *e);
extern const char postgres_check_list[]; /* SQL that lists the indexes there are */
enum err_code postgres_check_missing(struct tracker *t, tracker_step_fn *fn, void *user,
                                     struct err *e);
enum err_code postgres_check_upgrade(struct tracker *t, const struct tracker_upgrade *o,
                                     tracker_step_fn *fn, void *user, struct err *e);

/* postgres_schema.c: our tables to the newest version, or why not (postgres_schema_prepare goes on with older ones) */
enum err_code postgres_schema_upgrade(struct tracker *t, struct err *e);

#endif
