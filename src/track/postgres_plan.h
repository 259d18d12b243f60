/* postgres_plan: what the planning files of the PostgreSQL driver share among themselves. */
#ifndef BLOBFERRY_TRACK_POSTGRES_PLAN_H
#define BLOBFERRY_TRACK_POSTGRES_PLAN_H

#include "track/postgres.h"

/* ---- postgres_held.c: keys in use, gathered on the side: a private SQLite file, gone with the process ----------------------------- */
enum err_code postgres_held_open(struct postgres_held **out, struct err *e);
/* The batch that came first with a digest is kept. */
enum err_code postgres_held_add(struct postgres_held *h, const char *key_digest, const char *batch,
                                struct err *e);
enum err_code postgres_held_find(struct postgres_held *h, const char *key_digest, char *batch,
                                 size_t size, bool *found, struct err *e);
/* Batches that a plan has made. */
enum err_code postgres_held_note_batch(struct postgres_held *h, const char *batch, struct err *e);
enum err_code postgres_held_has_batch(struct postgres_held *h, const char *batch, bool *found,
                                      struct err *e);
struct postgres_held_state {
    int64_t since_ms; /* clock_mono_ms when it was gathered */
    int64_t lookups;  /* in the database, since then … */
    int64_t asked_ns; /* … and how long it took over them */
    bool own_too; /* keys of our own rows are gathered as well: the database need not be asked */
};
struct postgres_held_state *postgres_held_state(struct postgres_held *h);

/* ---- postgres_keys.c ---- */
/* Makes p->held anew: what is in use by rows that another tool made. */
enum err_code postgres_keys_gather(struct postgres *p, struct err *e);
enum err_code postgres_keys_lookup(struct postgres *p, const char *key_digest, char *batch,
                                   size_t size, bool *held, struct err *e);

/* ---- postgres_plan_group.c ---- */
#define POSTGRES_GROUP_MAX 500
/* Rows of a plan that are written together. */
struct postgres_group {
    struct tracker_plan_row rows[POSTGRES_GROUP_MAX]; /* their texts lie in mem */
    size_t len;
    struct arena mem;
    int64_t now_ms;
    char given[24]; /* the id that the database gave to the last row */
};
void postgres_group_init(struct postgres_group *g, int64_t now_ms);
void postgres_group_release(struct postgres_group *g);
/* Why the database cannot hold this row (into `why`), or true. */
bool postgres_group_fits(const struct postgres *p, const struct tracker_plan_row *r, char *why,
                         size_t size);
enum err_code postgres_group_add(struct postgres_group *g, const struct tracker_plan_row *r,
                                 struct err *e);
/* Should it be written now? Where the database gives the ids, each row goes alone: its id is told at once. */
bool postgres_group_due(const struct postgres *p, const struct postgres_group *g);
/* Writes and empties it. A fault is told of the very row. */
enum err_code postgres_group_flush(struct postgres *p, struct postgres_group *g, struct err *e);

/* ---- postgres_plan.c, postgres_keys.c, postgres_files.c ---- */
enum err_code postgres_plan(struct tracker *t, tracker_plan_next_fn *next,
                            tracker_plan_done_fn *done, void *user, const struct tracker_head *head,
                            struct err *e);
enum err_code postgres_keys_holder(struct tracker *t, const char *key_digest, char *batch,
                                   size_t size, struct err *e);
enum err_code postgres_files_batch_exists(struct tracker *t, const char *batch_id, bool *found,
                                          struct err *e);
enum err_code postgres_files_exists(struct tracker *t, const char *file_id, bool *found,
                                    struct err *e);
enum err_code postgres_files_without_key(struct tracker *t, const char *source_column,
                                         const char *after_id, size_t limit,
                                         struct record_list *out, struct err *e);

#endif
