/* verify_page: a page of rows, looked at with many objects in flight, then recorded as one group. */
#ifndef BLOBFERRY_SRC_ENGINE_VERIFY_PAGE_H
#define BLOBFERRY_SRC_ENGINE_VERIFY_PAGE_H

#include "blobferry/engine/source.h"
#include "engine/verify_item.h"

#define VERIFY_PAGE 256

/* What became of list.items[i]. */
struct verify_end {
    enum verify_verdict verdict;
    struct err why;
    int64_t duration_ms;
};

struct verify_job {
    const struct engine *g;
    const struct verify_options *o;
    struct verify_result *out;
    struct source_root root; /* with o->sources */
    struct record_list list;
    struct verify_end *ends;   /* VERIFY_PAGE of them */
    struct verify_item *slots; /* as many as may be in flight */
    size_t slot_count, busy;
    size_t next;       /* of the page, to be begun */
    size_t silent_run; /* files in a row without any answer */
    struct err fatal;  /* not ERR_OK: the run stops */
    int64_t total;     /* files to check, for progress */
    int64_t moved;
    int64_t progress_ms;
};

/* Looks at the rows of j->list; those that were not reached (fatal, stop) stay VERIFY_UNDECIDED. */
enum err_code verify_page_look(struct verify_job *j, struct err *e);
/* Audit lines, durable; then rows, pointers and head in one transaction. */
enum err_code verify_page_record(struct verify_job *j, struct err *e);

#endif
