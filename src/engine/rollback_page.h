/* rollback_page: one page of a rollback, from selection to cleared debts. Rooms: rollback (orchestration), rollback_pages (the
 * selection page by page), rollback_lock (scope and its lock), rollback_select (which rows; the plan's hash), rollback_list and
 * rollback_prove (what may be deleted), rollback_act (intent, rows, outcome), rollback_store (objects), rollback_report (rollback_audit_*.json).
 *
 * A crash between any two steps leaves: before the rows move, nothing but an intent; after it, rows that owe a delete, paid first by the
 * next run; never a pointer to nothing (P3, P6).
 */
#ifndef BLOBFERRY_SRC_ENGINE_ROLLBACK_PAGE_H
#define BLOBFERRY_SRC_ENGINE_ROLLBACK_PAGE_H

#include "blobferry/base/fsio.h"
#include "blobferry/codec/json.h"
#include "blobferry/engine/rollback.h"
#include "blobferry/engine/source.h"

#define ROLLBACK_PAGE 500

struct rollback_item {
    const struct record *record;
    enum rollback_refusal
        refusal;    /* ROLLBACK_OK, PRE_EXISTED, SHARED: the row goes back; else it stays */
    struct err why; /* of a refusal, or of a delete that failed */
    bool remove;    /* the object is proven ours and goes */
    bool unsourced; /* … although its original is missing, as the caller allows */
    bool absent;    /* proven: there is no object */
    bool intended;  /* an intent is on record, and an outcome is due */
    bool moved;     /* the row is rolled back */
    bool lost;      /* somebody else has changed the row meanwhile: left alone */
    bool listed;    /* ETag and size were seen in a LIST, and are as recorded */
    bool removed;
    bool restored;                 /* the object that ours had replaced is back */
    bool unrestored;               /* … or could not be put back: still owed */
    bool done;                     /* no debt is left */
    enum objstore_outcome outcome; /* of HEAD, then of DELETE */
    struct objinfo info;
};

struct rollback_report {
    struct fsio_atomic file;
    struct buf text;
    struct json_out json;
    char started[40];
    bool open;
};

struct rollback_job {
    const struct engine *g;
    const struct rollback_options *o;
    struct source_root root;
    struct rollback_result *out; /* NULL for a preview */
    struct rollback_report report;
    struct record_list list;
    struct rollback_item *items; /* ROLLBACK_PAGE of them */
    size_t n;
    size_t in_flight;
    int64_t total;          /* files in the selection, for progress */
    int64_t seen, seen_bad; /* … looked at so far by a preview; would be refused */
    int64_t missing;        /* completed rows whose object was not found */
    bool sparse;            /* LIST has found too little: HEAD from here on */
    bool paying_debts;      /* rows are rolled back already: only the deletes are owed */
    bool locked;            /* the scope's lock is ours */
    int64_t renewed_ms;     /* monotonic: when the lock was last renewed */
    int64_t stop_seen_ms;   /* monotonic: when a signal was first noticed; 0 none */
    struct err store_fault; /* DENIED: stop */
};

/* ---- lock */
/* A rollback of everything only when everything is asked for. */
enum err_code rollback_lock_scoped(const struct rollback_options *o, struct err *e);
enum err_code rollback_lock_take(struct rollback_job *j, struct err *e);
/* Renews it when a third of its time has passed; harmless without one. To be called between any two steps that may take long. */
enum err_code rollback_lock_keep(struct rollback_job *j, struct err *e);
void rollback_lock_drop(struct rollback_job *j);

/* ---- pages */
typedef enum err_code rollback_page_fn(struct rollback_job *j, void *user, struct err *e);
enum err_code rollback_pages_open(struct rollback_job *j, const struct engine *g,
                                  const struct rollback_options *o, struct rollback_result *out,
                                  struct err *e);
void rollback_pages_close(struct rollback_job *j);
/* fn with j->items filled, no key twice among them. Rows that move leave the selection behind the cursor. */
enum err_code rollback_pages_each(struct rollback_job *j, const struct tracker_filter *f,
                                  rollback_page_fn *fn, void *user, struct err *e);

/* ---- select */
struct tracker_filter rollback_select_filter(const struct rollback_options *o);
struct tracker_filter rollback_select_debts(const struct rollback_options *o);
/* Does this failed row need rolling back: could there be an object of ours? */
bool rollback_select_takes(const struct rollback_options *o, const struct record *r);
/* All of rollback_preview that needs no look at objects: counts, first ten, plan hash. */
enum err_code rollback_select_survey(const struct engine *g, const struct rollback_options *o,
                                     struct rollback_preview *out, struct err *e);

/* ---- list: cheap evidence for many at once; items it has not seen are left to HEAD. Sends LISTs only. */
enum err_code rollback_list_page(struct rollback_job *j, struct err *e);

/* ---- prove: fills refusal, remove, absent of every item; sends LISTs and HEADs only. */
enum err_code rollback_prove_page(struct rollback_job *j, struct err *e);

/* A completed row, and no object. */
bool rollback_prove_missing(const struct rollback_item *it);

/* ---- doubt: outcomes that an earlier run owes the trail. The scope's lock is held. */
enum err_code rollback_doubt_settle(struct rollback_job *j, struct err *e);

/* ---- act */
/* May the row go back although its object stays? */
bool rollback_act_row_goes(const struct rollback_item *it);
enum err_code rollback_act_page(struct rollback_job *j, struct err *e);

/* ---- store */
/* One turn of the store's loop; renews the lock; some seconds after a signal ERR_CANCELLED. */
enum err_code rollback_store_turn(struct rollback_job *j, struct err *e);
/* Turns until nothing is under way; after a fault, or with one, everything is cancelled: nobody may call back into memory that
 * is gone. Returns the first fault. */
enum err_code rollback_store_finish(struct rollback_job *j, enum err_code code, struct err *e);
/* Deletes the object of every item that says remove; fills removed, done, why. */
enum err_code rollback_store_remove(struct rollback_job *j, struct err *e);

/* ---- report */
enum err_code rollback_report_begin(struct rollback_job *j, struct err *e);
enum err_code rollback_report_item(struct rollback_job *j, const struct rollback_item *item,
                                   struct err *e);
enum err_code rollback_report_end(struct rollback_job *j, const struct tracker_head *head,
                                  struct err *e);
void rollback_report_release(struct rollback_job *j);

#endif
