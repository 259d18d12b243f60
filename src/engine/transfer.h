/* transfer: one file on its way, as a state machine that never blocks on the network: a step does what can be done at once, submits
 * an operation or asks for time, and names the step that goes on after it. Callbacks only note their result.
 *
 *     open -> load | hash slices -> what earlier attempts left -> [look] -> PUT -> [look | read and hash] -> source unchanged? -> end
 *
 * Rooms: transfer (the middle: sending), transfer_open (row and source), transfer_look (existing objects, lost answers, removal
 * of what must not stay), transfer_aside (the object that --if-exists=overwrite replaces), recover (uploads left behind).
 */
#ifndef BLOBFERRY_SRC_ENGINE_TRANSFER_H
#define BLOBFERRY_SRC_ENGINE_TRANSFER_H

#include "blobferry/engine/source.h"
#include "engine/results.h"
#include "engine/verify_hash.h"

#include <pthread.h>
#include <stdatomic.h>

#define TRANSFER_UPLOADS_MAX 32 /* stale uploads of one key that are looked after in one go */

/* The tracker, which the lanes share with the main thread. */
struct transfer_books {
    pthread_mutex_t lock;
    atomic_int wanted; /* lanes that wait for it */
};
void transfer_books_take(struct transfer_books *b);
void transfer_books_give(struct transfer_books *b);

/* Files that were not in memory: what the prefetcher goes by. */
struct transfer_cold {
    _Atomic int64_t last_ms; /* monotonic; 0 never */
    atomic_int seen;         /* in this spell */
};

/* What one event loop has of its own; every loop has its own store. */
struct transfer_lane {
    const struct engine *g;
    const struct migrate_options *o;
    const struct source_root *root;
    struct objstore *store;
    struct transfer_books *books;
    struct transfer_cold *cold;
    size_t load_max; /* bytes of a file that is kept in memory while it is sent … */
    size_t load_all; /* … and of all of them (P10) */
    size_t loaded;
    uint64_t hash_budget; /* bytes that may still be read and hashed in this turn of the loop */
    struct err fatal;     /* not ERR_OK: the whole run must stop (P8, A7, D1) */
};

struct transfer;
typedef void transfer_step_fn(struct transfer *t);
struct transfer_aside;

struct transfer {
    struct transfer_lane *lane;
    struct migrate_page *page;
    const struct record *r;
    transfer_step_fn *then; /* NULL: the slot is free, or the file has ended */
    bool waiting;           /* for a callback */
    bool hashing;           /* wants its next slice soon */
    bool ended;
    int64_t wake_ms; /* monotonic; 0: at once */
    int64_t began_ms;

    struct source source;
    bool opened;
    size_t loaded; /* bytes in memory */
    struct objstore_layout layout;
    struct objstore_result result; /* of the last operation */
    struct verify_hash hash;
    bool hash_is_ours;   /* what is read back is what was just sent */
    struct objinfo seen; /* the object that was looked at */
    struct err why;      /* the fault that is told once what must be done first is done */
    int rounds;          /* times the object has turned out to be another than a moment ago */
    bool sent;           /* an object of this attempt is there */
    bool lost;           /* the lease is another worker's */

    char *
        upload_id; /* owned: multipart upload of this attempt, or of an earlier one, still to be aborted */
    char *
        resume_id; /* owned: upload of an earlier attempt that the PUT is to continue; NULL: none */
    char *stale[TRANSFER_UPLOADS_MAX]; /* owned */
    size_t stale_len;
    char *list_token; /* owned */
    transfer_step_fn *after_recovery;
    struct transfer_aside *aside;
    struct outcome outcome;
};

/* ---- transfer_open.c */
void transfer_begin(struct transfer *t, struct transfer_lane *lane, struct migrate_page *page,
                    const struct record *r);
/* Two of a lane that are `hashing`: a slice of each, before they are stepped. */
void transfer_hash_two(struct transfer *a, struct transfer *b);
const char *transfer_filename(const struct record *r); /* the row's, or the source's last segment */

/* ---- transfer.c */
void transfer_store(struct transfer *t); /* the source is read and hashed: on to the store */
void transfer_put(struct transfer *t, enum objstore_if condition);
void transfer_put_new(struct transfer *t);
/* The object is there and holds the bytes: completed, if the source still has them too. */
void transfer_accept(struct transfer *t, const struct objinfo *info, const char *owner,
                     bool pre_existed);
/* Ends. The upload under way is aborted first (P11). */
void transfer_fail(struct transfer *t, const struct err *why);
void transfer_stop(struct transfer *t, const struct err *why); /* the whole run stops */
void transfer_end(struct transfer *t, enum outcome_end end);
/* For callbacks: notes the result and wakes the transfer. */
void transfer_done(void *user, const struct objstore_result *r);
/* After a submit: waits when it was accepted, fails the file when not. */
void transfer_wait(struct transfer *t, enum err_code code, const struct err *e,
                   transfer_step_fn *then);
/* The run stops: whatever was under way has been cancelled. Leaves upload_id when an upload is still to be aborted. */
void transfer_cancel(struct transfer *t);
void transfer_free(struct transfer *t); /* the slot may be used again */

/* An audit line about this file; `durable`: on disk before anything that follows (P6). */
enum err_code transfer_note(struct transfer *t, const struct journal_entry *entry, bool durable,
                            struct err *e);

/* ---- transfer_look.c */
void transfer_look(struct transfer *t, transfer_step_fn *then); /* HEAD; result in t->result */
/* After any look or read: true with DONE, ABSENT or PRECONDITION; else the transfer has ended. */
bool transfer_answered(struct transfer *t);
void transfer_look_first(struct transfer *t); /* look before acting, then put or judge */
void transfer_judge(struct transfer *t, const struct objinfo *info); /* something is there */
void transfer_read_back(struct transfer *t, bool ours);              /* GET and hash */
void transfer_unanswered(struct transfer *t); /* the PUT's answer is lost for good */
void transfer_withdraw(struct transfer *t,
                       const struct err *why); /* remove our object, then fail */

/* ---- transfer_aside.c */
void transfer_aside_begin(struct transfer *t); /* copy t->seen aside, then overwrite it */
void transfer_aside_free(struct transfer *t);

#endif
