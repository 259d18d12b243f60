/* driver: what a driver of the tracker is: one static const table of functions and a struct that begins with struct tracker.
 * tracker.c checks arguments and dispatches; a driver may rely on what is said there. */
#ifndef BLOBFERRY_TRACK_DRIVER_H
#define BLOBFERRY_TRACK_DRIVER_H

#include "blobferry/track/tracker.h"
#include "blobferry/track/tracker_copy.h"
#include "track/check_rule.h"

#define DRIVER_PAGE_MAX 10000 /* rows of one page or claim, whatever the caller asks for (P10) */

/* One cell of an answer to SQL of ours; borrowed. */
struct tracker_cell {
    const char *name;
    const char *text; /* NULL: SQL NULL */
};
typedef enum err_code tracker_cells_fn(void *user, const struct tracker_cell *cells, size_t n,
                                       struct err *e);

struct tracker_ops {
    const char *scheme; /* "sqlite:" */
    /* rest: the URL after the scheme. Fills (*out)->ops and (*out)->name. */
    enum err_code (*open)(struct tracker **out, const struct tracker_options *o, const char *rest,
                          struct err *e);
    void (*close)(struct tracker *t);

    enum err_code (*inspect)(struct tracker *t, struct tracker_schema *out, struct err *e);
    enum err_code (*require)(struct tracker *t, struct err *e);
    enum err_code (*init)(struct tracker *t, int *created, struct err *e);
    enum err_code (*prepare)(struct tracker *t, struct err *e);

    enum err_code (*heads)(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e);
    enum err_code (*set_head)(struct tracker *t, const struct tracker_head *h, struct err *e);
    enum err_code (*run_begin)(struct tracker *t, const struct tracker_run *r, struct err *e);
    enum err_code (*run_end)(struct tracker *t, const struct tracker_run *r, struct err *e);
    enum err_code (*lock)(struct tracker *t, const struct tracker_lock *l, struct err *e);
    enum err_code (*unlock)(struct tracker *t, const char *owner, struct err *e);

    enum err_code (*plan)(struct tracker *t, tracker_plan_next_fn *next, tracker_plan_done_fn *done,
                          void *user, const struct tracker_head *head, struct err *e);
    enum err_code (*key_holder)(struct tracker *t, const char *key_digest, char *batch, size_t size,
                                struct err *e);
    enum err_code (*batch_exists)(struct tracker *t, const char *batch_id, bool *exists,
                                  struct err *e);
    enum err_code (*file_exists)(struct tracker *t, const char *file_id, bool *exists,
                                 struct err *e);
    enum err_code (*files_without_key)(struct tracker *t, const char *source_column,
                                       const char *after_id, size_t limit, struct record_list *out,
                                       struct err *e);

    enum err_code (*claim)(struct tracker *t, const struct tracker_claim *c,
                           struct record_list *out, struct err *e);
    enum err_code (*owners)(struct tracker *t, const char *me, tracker_owner_fn *fn, void *user,
                            struct err *e);
    /* optional: without it, what owners tells */
    enum err_code (*workers)(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e);
    /* optional: without it, sleep */
    enum err_code (*wait)(struct tracker *t, int64_t timeout_ms, enum tracker_wait *how,
                          struct err *e);
    enum err_code (*renew)(struct tracker *t, const char *owner, int64_t until_ms, struct err *e);
    enum err_code (*release)(struct tracker *t, const char *owner, int64_t *released,
                             struct err *e);
    enum err_code (*set_upload)(struct tracker *t, const char *id, const char *owner,
                                const char *upload_id, int64_t part_size, struct err *e);

    enum err_code (*apply)(struct tracker *t, struct tracker_move *moves, size_t n,
                           const struct tracker_head *head, struct err *e);
    enum err_code (*debts_paid)(struct tracker *t, const char *const *ids, size_t n,
                                const struct tracker_head *head, struct err *e);
    enum err_code (*shared_keys)(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                 struct err *e);
    enum err_code (*refresh)(struct tracker *t, const char *batch_id, int64_t *changed,
                             struct err *e);

    enum err_code (*records)(struct tracker *t, const struct tracker_filter *f,
                             const char *after_id, size_t limit, struct record_list *out,
                             struct err *e);
    enum err_code (*totals)(struct tracker *t, const struct tracker_filter *f,
                            struct tracker_totals *out, struct err *e);
    enum err_code (*batches)(struct tracker *t, const char *batch_id, size_t limit,
                             struct batch_list *out, struct err *e);
    /* optional: without it, all batches are counted. statuses are known ones, at least one */
    enum err_code (*open_batches)(struct tracker *t, unsigned statuses, size_t limit,
                                  tracker_batch_fn *fn, void *user, struct err *e);
    enum err_code (*dump)(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                          void *user, struct err *e);
    enum err_code (*restore)(struct tracker *t, const struct tracker_restore *r,
                             struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e);

    size_t rows_at_once; /* 0: TRACKER_ROWS */
    bool side_by_side;   /* more than one connection can write at once */

    /* `db check` and `db upgrade` (tracker_check.c); check_begin or upgrade NULL: not possible here. Between check_begin and
     * check_end everything is read from one snapshot. */
    enum err_code (*check_begin)(struct tracker *t, struct check_rules *out, struct err *e);
    enum err_code (*check_end)(struct tracker *t, enum err_code code, struct err *e);
    enum err_code (*ask)(struct tracker *t, const char *sql, tracker_cells_fn *fn, void *user,
                         struct err *e);
    const char *check_false; /* the constant, in this dialect */
    const char *index_list;  /* SQL that lists the indexes there are */
    enum err_code (*missing_indexes)(struct tracker *t, tracker_step_fn *fn, void *user,
                                     struct err *e);
    enum err_code (*upgrade)(struct tracker *t, const struct tracker_upgrade *o,
                             tracker_step_fn *fn, void *user, struct err *e);

    /* `db copy` (tracker_copy.c); copy_in NULL: not possible here. copy_out inside copy_in's callbacks reads in its transaction. */
    bool strict; /* columns have types that values must fit */
    enum err_code (*columns)(struct tracker *t, const char *table, struct tracker_columns *out,
                             struct err *e);
    enum err_code (*copy_out)(struct tracker *t, const struct tracker_copy_shape *what,
                              tracker_copy_fn *fn, void *user, struct err *e);
    enum err_code (*copy_in)(struct tracker *t, const struct tracker_copy_in *c, struct err *e);
    enum err_code (*copy_put)(struct tracker *t, size_t table, const struct tracker_value *values,
                              size_t n, struct err *e);
};

struct tracker {
    const struct tracker_ops *ops;
    char *name; /* owned; URL without secrets */
    struct err spare;
};

extern const struct tracker_ops sqlite_ops;
extern const struct tracker_ops postgres_ops;      /* postgres:// */
extern const struct tracker_ops postgres_long_ops; /* postgresql:// */
extern const struct tracker_ops d1_ops;            /* d1:// */

#endif
