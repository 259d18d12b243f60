#include "engine/scribe.h"

#include "engine/thread.h"

#include <string.h>

void scribe_init(struct scribe *s)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->done, NULL);
}

void scribe_release(struct scribe *s)
{
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
}

static void *work(void *scribe)
{
    struct scribe *s = scribe;

    pthread_mutex_lock(&s->lock);
    while (s->first != NULL || !s->quit) {
        struct scribe_job *job = s->first;

        if (job == NULL) {
            pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        s->first = job->next;
        pthread_mutex_unlock(&s->lock);
        job->run(job);
        pthread_mutex_lock(&s->lock);
        s->ended++;
        pthread_cond_broadcast(&s->done);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void scribe_start(struct scribe *s)
{
    s->quit = false;
    s->running = thread_start(&s->thread, work, s) == 0;
}

void scribe_stop(struct scribe *s)
{
    if (!s->running)
        return;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->running = false;
}

void scribe_hand(struct scribe *s, struct scribe_job *job)
{
    if (!s->running) {
        job->run(job);
        return;
    }
    pthread_mutex_lock(&s->lock);
    job->next = NULL;
    if (s->first == NULL)
        s->first = job;
    else
        s->last->next = job;
    s->last = job;
    s->handed++;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

void scribe_await(struct scribe *s)
{
    pthread_mutex_lock(&s->lock);
    const uint64_t until = s->handed;
    while (s->ended < until)
        pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
