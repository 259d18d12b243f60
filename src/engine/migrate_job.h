/* migrate_job: what the rooms of migrate share. migrate (orchestration, verdict), migrate_work (which batches have work),
 * migrate_claim (pages of rows under a lease, their intents), migrate_loop (the event loop of one window of batches). */
#ifndef BLOBFERRY_SRC_ENGINE_MIGRATE_JOB_H
#define BLOBFERRY_SRC_ENGINE_MIGRATE_JOB_H

#include "engine/migrate_lane.h"
#include "engine/recover.h"
#include "engine/results.h"
#include "engine/transfer.h"

#define MIGRATE_PAGE                                                                               \
    200 /* rows of one claim, at least; when they go fast up to tracker_rows_at_once */
#define MIGRATE_GATHER 256 /* outcomes taken from the desk at once */
#define MIGRATE_OPEN   64  /* batches that are looked at and counted in one round of --all */
#define MIGRATE_WINDOW 16  /* batches that are worked on, and locked, at once */

/* Batches that have something to claim; ids are owned. */
struct migrate_work {
    char **ids;
    size_t n;
    int64_t files, bytes; /* still to do in them; bytes -1: not known */
    int64_t elsewhere;    /* rows that other workers hold */
    bool more;            /* there may be other batches with work: not looked at yet */
};

/* A second connection to the database, which claims (migrate_claimer.c). */
struct migrate_claimer {
    struct tracker *tracker; /* NULL: not opened yet */
    pthread_t thread;
    bool running; /* there is one */
    bool quit;    /* under desk.lock */
    /* ABSENT: there is none to be had, the main thread claims. READY: it may take over; from CLAIMS on only the thread changes what is
     * said of pages below. */
    _Atomic enum {
        CLAIMER_NONE,
        CLAIMER_OPENS,
        CLAIMER_ABSENT,
        CLAIMER_READY,
        CLAIMER_CLAIMS
    } state;
};

struct migrate_job {
    const struct engine *g;
    struct migrate_options o; /* defaults filled in, no batch twice */
    const char **named;       /* owned: o.batch_ids */
    struct migrate_result *out;
    struct source_root root;
    struct results results;
    struct scribe scribe; /* writes intents and outcomes into the audit trail */
    struct recover_owners owners;
    struct migrate_work work;

    /* the window under way */
    const char *const *batches;
    size_t batch_count;
    char *after_id;                     /* owned; NULL: claim from the first row */
    atomic_bool exhausted;              /* nothing more to claim in this window */
    struct migrate_page *pages, *spare; /* pages: under desk.lock, for lanes take rows from them */
    int64_t claimed_ms;                 /* monotonic, when the last page was claimed … */
    size_t claimed_rows;                /* … and its rows */
    size_t page;                        /* rows of the next one */
    size_t low;                         /* with fewer rows waiting the next page is claimed */

    size_t slot_total;
    struct migrate_desk desk;
    struct migrate_lane *lanes; /* NULL: not opened yet */
    size_t lane_count;
    struct migrate_claimer claimer;
    pthread_t prefetcher;
    bool prefetching;         /* there is one */
    struct outcome *gathered; /* MIGRATE_GATHER, on their way from desk to results */

    bool first_round;   /* failed and rolled back rows are taken once in a run, if at all */
    bool store_checked; /* ping and probe */
    bool halted;        /* no more claims: a limit of failures, a signal, a fault */
    bool limited;       /* … a limit of failures */
    int64_t claimed;    /* rows in this round */
    int64_t claimed_ever;
    int64_t skipped_batches; /* with --all: locked by a rollback */
    struct err skipped_why;
    int64_t halted_ms, renew_ms, progress_ms; /* monotonic */
    int64_t files_total, bytes_total;
    uint64_t bytes_sent_before; /* over the wire, by others than this run */
    int64_t wait_until_ms;      /* for rows that others hold; 0: not waiting */
    int64_t wait_rows, in_vain;
    int64_t round_ms; /* what the last round took */
};

/* ---- migrate_work.c */
/* ERR_NOTFOUND when a batch that was named does not exist or has no files, or there is nothing at all. */
enum err_code migrate_work_check(struct migrate_job *j, struct err *e);
enum err_code migrate_work_find(struct migrate_job *j, struct err *e);
void migrate_work_release(struct migrate_work *w);
/* What is left in the selected batches. */
enum err_code migrate_work_left(struct migrate_job *j, struct tracker_totals *out, struct err *e);

/* ---- migrate_claim.c */
/* The next page, claimed by this tracker (the engine's: under desk.books); its rows are offered to the lanes once their intents are
 * durable. An empty one sets exhausted. */
enum err_code migrate_claim_page(struct migrate_job *j, struct tracker *by, struct err *e);
/* Claimed rows that no slot has taken yet, those whose intents are being written among them. */
size_t migrate_claim_waiting(const struct migrate_job *j);
/* The next row that waits, in order of claiming; NULL none. Under desk.lock. */
const struct record *migrate_claim_next(struct migrate_job *j, struct migrate_page **page);
void migrate_claim_tidy(struct migrate_job *j); /* pages that are done may be used again */
/* Rows that no slot has taken: on record as released. */
enum err_code migrate_claim_release(struct migrate_job *j, struct err *e);
void migrate_claim_free(struct migrate_job *j);

/* ---- migrate_claimer.c */
void migrate_claimer_start(struct migrate_job *j);      /* if there can be one */
bool migrate_claimer_claims(struct migrate_job *j);     /* and not the main thread, from now on */
bool migrate_claimer_busy(const struct migrate_job *j); /* more rows may come from it */
void migrate_claimer_stop(struct migrate_job *j);       /* waits for a claim that is under way */
void migrate_claimer_close(struct migrate_job *j);

/* ---- migrate_loop.c */
/* Everything claimable in j->batches. ERR_OK also when halted by a limit. */
enum err_code migrate_loop_run(struct migrate_job *j, struct err *e);
void migrate_loop_progress(struct migrate_job *j, bool force);

/* ---- migrate_verdict.c */
enum err_code migrate_verdict(struct migrate_job *j, struct err *e);

#endif
