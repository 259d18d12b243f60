/* pointer: what a move does to files.r2_key and files.checksum, decided from what was seen. The same for every database (P3):
 * a driver looks while nobody can change what it sees, asks here, and writes what it is told. */
#ifndef BLOBFERRY_TRACK_POINTER_H
#define BLOBFERRY_TRACK_POINTER_H

#include "blobferry/track/tracker.h"

enum pointer_act {
    POINTER_NONE,
    POINTER_REFUSED,   /* the application has changed it */
    POINTER_SET,       /* set; what is there becomes prior (kept before it is written) */
    POINTER_SET_AGAIN, /* ours already: prior stays what it is */
    POINTER_RESTORE,   /* back to prior */
    POINTER_EMPTY,     /* likewise, but r2_key to NULL */
    POINTER_CLEAR,     /* another tool's: r2_key to NULL */
    POINTER_FORGET     /* back already */
};
/* What the guards need to know of a record and its files row. */
struct pointer_look {
    bool there;       /* the files row */
    bool is_target;   /* files.r2_key is the move's target_key */
    bool is_expected; /* … is what was seen at claim (NULL and '' alike) */
    bool is_prior;    /* … is what it was before us (NULL and '' alike) */
    bool prior_is_target;
    bool set;     /* we have written it */
    bool claimed; /* we have worked on this record at all */
};
enum pointer_act pointer_decide(const struct tracker_move *m, const struct pointer_look *l);

#endif
