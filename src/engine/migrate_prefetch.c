/* Cold files: reading one costs a wait for the disk, and a lane that waits sends nothing. When lanes have met files that were not in
 * memory, a thread goes ahead of them along the claimed rows and asks the kernel to read what is coming. For files that are in memory
 * it does nothing. It has no word in anything: whatever it opens is opened again, and looked at, by the lane. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/migrate_job.h"
#include "engine/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define STAYS_COLD_MS 1000 /* after the last file that was cold */
#define COLD_MIN      16   /* files in such a spell */
#define WARM_MAX      64   /* files in a row, and the spell is over */
#define NAP_NS        50000000
#define AHEAD_BYTES                                                                                \
    ((off_t)1 << 20) /* of one file; larger ones are read in order, which the kernel sees */

/* The path of the next row that no lane has taken, owned; NULL none. Under the lock. */
static char *next_path(struct migrate_job *j)
{
    for (struct migrate_page *p = j->pages; p != NULL; p = p->next) {
        if (p->ahead < p->started)
            p->ahead = p->started;
        while (p->ahead < p->list.len) {
            const char *path = p->list.items[p->ahead++].source_path;
            if (!str_empty(path))
                return str_dup(path);
        }
    }
    return NULL;
}

/* Was it cold? */
static bool fetch(struct migrate_job *j, const char *path)
{
    struct source s;
    char one;

    if (source_open(&s, &j->root, path, NULL, NULL) != ERR_OK)
        return false; /* the lane will say why */
    const bool cold =
        preadv2(s.fd, &(struct iovec){.iov_base = &one, .iov_len = 1}, 1, 0, RWF_NOWAIT) < 0 &&
        errno == EAGAIN;
    if (cold)
        (void)posix_fadvise(s.fd, 0, AHEAD_BYTES, POSIX_FADV_WILLNEED);
    source_close(&s);
    return cold;
}

/* Ahead of the lanes it meets the warm ones first: the spell ends here, not a second later. */
static void judge(struct transfer_cold *c, bool cold, unsigned *warm)
{
    *warm = cold ? 0 : *warm + 1;
    if (cold)
        atomic_store(&c->last_ms, clock_mono_ms());
    if (*warm < WARM_MAX)
        return;
    atomic_store(&c->last_ms, 0);
    *warm = 0;
}

/* A few cold files among warm ones are not worth opening everything twice. */
static bool is_cold(struct transfer_cold *c)
{
    const int64_t at = atomic_load(&c->last_ms);

    if (at != 0 && clock_mono_ms() - at < STAYS_COLD_MS)
        return atomic_load(&c->seen) >= COLD_MIN;
    atomic_store(&c->seen, 0);
    return false;
}

static void *prefetch(void *job)
{
    struct migrate_job *j = job;
    struct migrate_desk *d = &j->desk;
    unsigned warm = 0;

    pthread_mutex_lock(&d->lock);
    while (d->order <= MIGRATE_DRAIN && !d->no_prefetch) {
        char *path = is_cold(&d->cold) ? next_path(j) : NULL;

        if (path == NULL) {
            const int64_t until = clock_mono_ns() + NAP_NS;
            pthread_cond_timedwait(
                &d->ahead, &d->lock,
                &(struct timespec){.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000});
            continue;
        }
        pthread_mutex_unlock(&d->lock);
        judge(&d->cold, fetch(j, path), &warm);
        free(path);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

void migrate_prefetch_start(struct migrate_job *j)
{
    j->desk.no_prefetch = false;
    atomic_store(&j->desk.cold.last_ms, 0);
    atomic_store(&j->desk.cold.seen, 0);
    /* without it everything is as right, and slower */
    j->prefetching = thread_start(&j->prefetcher, prefetch, j) == 0;
}

void migrate_prefetch_stop(struct migrate_job *j)
{
    if (!j->prefetching)
        return;
    pthread_mutex_lock(&j->desk.lock);
    j->desk.no_prefetch = true;
    pthread_cond_signal(&j->desk.ahead);
    pthread_mutex_unlock(&j->desk.lock);
    pthread_join(j->prefetcher, NULL);
    j->prefetching = false;
}
