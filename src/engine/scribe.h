/* scribe: a thread that does what it is handed, one job after the other in that order: audit lines become durable while the
 * tracker goes on. Where it has no thread (not started, stopped, or none to be had) whoever hands it a job does the job himself.
 *
 *     scribe_init(&s);  scribe_start(&s);
 *     scribe_hand(&s, &job);                  (by any thread)
 *     scribe_await(&s);                       (until all that was handed over so far is done)
 *     scribe_stop(&s);  scribe_release(&s);   (stop does what is left first)
 */
#ifndef BLOBFERRY_SRC_ENGINE_SCRIBE_H
#define BLOBFERRY_SRC_ENGINE_SCRIBE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Part of what the job is about; not touched any more once `run` has begun. */
struct scribe_job {
    void (*run)(struct scribe_job *job);
    struct scribe_job *next;
};

struct scribe {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    pthread_t thread;
    bool running, quit;
    struct scribe_job *first, *last;
    uint64_t handed, ended; /* jobs */
};

void scribe_init(struct scribe *s);
void scribe_release(struct scribe *s); /* after stop */
void scribe_start(struct scribe *s);
void scribe_stop(struct scribe *s); /* harmless when it is not running */
void scribe_hand(struct scribe *s, struct scribe_job *job);
void scribe_await(struct scribe *s);

#endif
