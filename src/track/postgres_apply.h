/* postgres_apply: what the files that make state moves share: a group of moves in which no row and no file occurs twice. */
#ifndef BLOBFERRY_TRACK_POSTGRES_APPLY_H
#define BLOBFERRY_TRACK_POSTGRES_APPLY_H

#include "track/pointer.h"
#include "track/postgres.h"

#define POSTGRES_MOVES_MAX TRACKER_ROWS_MAX

/* What was seen of a move while its rows were locked, and what is made of it. */
struct postgres_look {
    bool there;    /* the row, in the status that the move starts from, held by its owner */
    bool in_batch; /* … and of the move's batch */
    bool recorded; /* blobferry_records has a row for it */
    bool moved;
    struct pointer_look pointer;
    enum pointer_act act;
};
struct postgres_moves {
    struct tracker_move *moves;
    size_t n;
    struct postgres_look look[POSTGRES_MOVES_MAX];
};

/* postgres_guard.c: locks the rows, looks, and decides: look[].act, and moves[].applied of those that are refused. */
enum err_code postgres_guard(struct postgres *p, struct postgres_moves *g, struct err *e);
/* postgres_store.c: the compare-and-set on file_migrations (sets look[].moved), then what is kept beside it. */
enum err_code postgres_store_moves(struct postgres *p, struct postgres_moves *g, struct err *e);
enum err_code postgres_store_own(struct postgres *p, struct postgres_moves *g, struct err *e);
/* postgres_pointer.c */
enum err_code postgres_pointer_write(struct postgres *p, struct postgres_moves *g, struct err *e);

#endif
