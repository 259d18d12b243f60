#include "track/pointer.h"

static enum pointer_act decide_set(const struct pointer_look *l)
{
    /* Written before by this same migration: what was there before that is what counts. */
    if (l->set && l->is_target)
        return POINTER_SET_AGAIN;
    return l->is_expected ? POINTER_SET : POINTER_REFUSED;
}

static enum pointer_act decide_restore(const struct tracker_move *m, const struct pointer_look *l)
{
    if (l->set && l->is_target) /* P3: not even the prior value may point at what is about to go */
        return m->delete_owed && l->prior_is_target ? POINTER_EMPTY : POINTER_RESTORE;
    if (l->set) /* put back already, by whomever; anything else is the application's */
        return l->is_prior ? POINTER_FORGET : POINTER_REFUSED;
    if (!l->is_target)
        return POINTER_NONE; /* never ours, and it does not point at the object */
    if (l->claimed)          /* the application's own pointer at that key: its object must stay */
        return m->delete_owed ? POINTER_REFUSED : POINTER_NONE;
    return POINTER_CLEAR;
}

enum pointer_act pointer_decide(const struct tracker_move *m, const struct pointer_look *l)
{
    if (m->pointer == TRACKER_POINTER_KEEP || m->file_id == NULL || !l->there)
        return POINTER_NONE; /* also an orphan: there is no row to point from */
    return m->pointer == TRACKER_POINTER_SET ? decide_set(l) : decide_restore(m, l);
}
