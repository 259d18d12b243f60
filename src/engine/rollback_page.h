/* rollback_page: one page of a rollback, from selection to cleared debts. Rooms: rollback_select (which rows), rollback_prove (what may be
 * deleted), rollback_act (intent, rows, objects, outcome), rollback_report (rollback_audit_*.json), rollback (orchestration). */
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
    struct err why; /* of a refusal */
    bool remove;    /* the object is proven ours and goes */
    bool absent;    /* proven: there is no object */
    bool moved;     /* the row is rolled back */
    bool listed;    /* ETag and size were seen in a LIST, and are as recorded */
    bool removed;
    bool done;                     /* no debt is left */
    enum objstore_outcome outcome; /* of HEAD, then of DELETE */
    struct objinfo info;
};

struct rollback_report {
    struct fsio_atomic file;
    struct buf text;
    struct json_out json;
    bool open;
};

struct rollback_job {
    const struct engine *g;
    const struct rollback_options *o;
    struct source_root root;
    struct rollback_result *out;
    struct rollback_report report;
    struct record_list list;
    struct rollback_item *items; /* ROLLBACK_PAGE of them */
    size_t n;
    size_t in_flight;
    int64_t total;          /* files in the selection, for progress */
    bool sparse;            /* LIST has found too little: HEAD from here on */
    bool paying_debts;      /* rows are rolled back already: only the deletes are owed */
    struct err store_fault; /* DENIED: stop */
};

/* ---- select */
struct tracker_filter rollback_select_filter(const struct rollback_options *o);
/* Does this failed row need rolling back: could there be an object of ours? */
bool rollback_select_takes(const struct rollback_options *o, const struct record *r);
/* The rest of rollback_preview: counts, first ten, plan hash. */
enum err_code rollback_select_survey(const struct engine *g, const struct rollback_options *o,
                                     struct rollback_preview *out, struct err *e);

/* ---- list: cheap evidence for many at once; items it has not seen are left to HEAD. Sends LISTs only. */
enum err_code rollback_list_page(struct rollback_job *j, struct err *e);

/* ---- prove: fills refusal, remove, absent of every item; sends HEADs only. */
enum err_code rollback_prove_page(struct rollback_job *j, struct err *e);

/* ---- act */
enum err_code rollback_act_page(struct rollback_job *j, struct err *e);

/* ---- report */
enum err_code rollback_report_begin(struct rollback_job *j, struct err *e);
enum err_code rollback_report_item(struct rollback_job *j, const struct rollback_item *item,
                                   struct err *e);
enum err_code rollback_report_end(struct rollback_job *j, const struct tracker_head *head,
                                  struct err *e);
void rollback_report_release(struct rollback_job *j);

#endif
