#include "engine/analyze_runs.h"

#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * ANALYZE_RUNS_MAX)

enum err_code analyze_runs_init(struct analyze_runs *r, struct err *e)
{
    memset(r, 0, sizeof *r);
    r->slots = calloc(SLOTS, sizeof *r->slots); /* pages that are never touched cost nothing */
    return r->slots != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

void analyze_runs_release(struct analyze_runs *r)
{
    free(r->slots);
    r->slots = NULL;
}

/* FNV-1a; never 0. Two runs with one fingerprint would be counted as one, no more. */
static uint64_t fingerprint(const char *run)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (; *run != '\0'; run++)
        h = (h ^ (unsigned char)*run) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    return h != 0 ? h : 1;
}

/* Where the run is, or the empty slot where it would go. */
static struct analyze_seen *find(const struct analyze_runs *r, uint64_t run)
{
    size_t at = run & (SLOTS - 1);

    while (r->slots[at].run != 0 && r->slots[at].run != run)
        at = (at + 1) & (SLOTS - 1);
    return &r->slots[at];
}

static struct analyze_seen *remember(struct analyze_runs *r, const struct analyze_line *l)
{
    struct analyze_seen *s;
    uint64_t run;

    if (l->run[0] == '\0')
        return NULL;
    run = fingerprint(l->run);
    s = find(r, run);
    if (s->run != 0)
        return s;
    if (r->used == ANALYZE_RUNS_MAX)
        return NULL;
    r->used++;
    *s = (struct analyze_seen){.run = run, .first_ms = l->time_ms, .last_ms = l->time_ms};
    return s;
}

void analyze_runs_see(struct analyze_runs *r, const struct analyze_line *l)
{
    struct analyze_seen *s = remember(r, l);
    bool end = str_eq(l->event, "run_end");

    r->audit_read = r->audit_read || l->audit;
    if (s == NULL && end) {
        r->ended++;
        r->failed += l->success == 0;
        if (l->duration_ms > r->longest_ms)
            r->longest_ms = l->duration_ms;
    }
    if (s == NULL)
        return;
    s->audit = s->audit || l->audit;
    if (l->time_ms < s->first_ms)
        s->first_ms = l->time_ms;
    if (l->time_ms > s->last_ms)
        s->last_ms = l->time_ms;
    if (end) {
        s->ended = true;
        s->failed = l->success == 0;
        s->duration_ms = l->duration_ms;
    }
}

bool analyze_runs_audited(const struct analyze_runs *r, const struct analyze_line *l)
{
    const struct analyze_seen *s;

    if (l->audit || !r->audit_read)
        return false;
    if (l->run[0] == '\0') /* a text log that does not say its run: rather not counted than twice */
        return true;
    s = find(r, fingerprint(l->run));
    return s->run != 0 ? s->audit : r->used == ANALYZE_RUNS_MAX;
}

void analyze_runs_total(const struct analyze_runs *r, struct analyze_runs_sum *out)
{
    *out = (struct analyze_runs_sum){
        .runs = r->ended + (int64_t)r->used, .failed = r->failed, .longest_ms = r->longest_ms};
    for (size_t i = 0; i < SLOTS; i++) {
        const struct analyze_seen *s = &r->slots[i];
        /* a run that was killed, or is still at work, took as long as its lines tell */
        int64_t took = s->ended && s->duration_ms >= 0 ? s->duration_ms : s->last_ms - s->first_ms;

        if (s->run == 0)
            continue;
        out->failed += s->failed;
        out->unfinished += s->audit && !s->ended;
        if (took > out->longest_ms)
            out->longest_ms = took;
    }
}
