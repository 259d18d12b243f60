#include "engine/analyze_count.h"

#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define LONG_RUN_MS     INT64_C(1800000)
#define FAILURE_PERCENT 5

enum err_code analyze_count_init(struct analyze_count *c, struct analyze_result *out, struct err *e)
{
    memset(c, 0, sizeof *c);
    memset(out, 0, sizeof *out);
    c->out = out;
    return analyze_runs_init(&c->runs, e);
}

void analyze_count_release(struct analyze_count *c)
{
    analyze_runs_release(&c->runs);
}

/* ---- durations -------------------------------------------------------------------------------- */

static size_t bucket_of(int64_t ms)
{
    uint64_t v = ms > 0 ? (uint64_t)ms : 0;
    unsigned power;
    size_t at;

    if (v < 2 * ANALYZE_STEPS)
        return (size_t)v;
    power = 63u - (unsigned)__builtin_clzll(v);
    at = (size_t)(power - 3) * ANALYZE_STEPS + (size_t)((v >> (power - 4)) & (ANALYZE_STEPS - 1));
    return at < ANALYZE_BUCKETS ? at : ANALYZE_BUCKETS - 1;
}

/* The middle of a bucket. */
static int64_t bucket_value(size_t at)
{
    size_t shift;

    if (at < 2 * ANALYZE_STEPS)
        return (int64_t)at;
    shift = at / ANALYZE_STEPS - 1;
    return (int64_t)(((ANALYZE_STEPS + at % ANALYZE_STEPS) << shift) + ((size_t)1 << shift) / 2);
}

/* The smallest value that at least `percent` of all do not exceed. */
static int64_t percentile(const struct analyze_count *c, int64_t percent)
{
    int64_t wanted = (c->out->durations * percent + 99) / 100, seen = 0;

    for (size_t i = 0; i < ANALYZE_BUCKETS; i++) {
        seen += c->buckets[i];
        if (seen >= wanted && seen > 0)
            return bucket_value(i) < c->out->max_ms ? bucket_value(i) : c->out->max_ms;
    }
    return 0;
}

static bool is_slower(const struct analyze_line *l, const struct analyze_slow *s)
{
    if (l->duration_ms != s->duration_ms)
        return l->duration_ms > s->duration_ms;
    return strcmp(l->name, s->name) < 0; /* the same order whatever order the files are read in */
}

static void note_slow(struct analyze_result *out, const struct analyze_line *l)
{
    size_t at = ANALYZE_SLOWEST;

    while (at > 0 && is_slower(l, &out->slowest[at - 1]))
        at--;
    if (at == ANALYZE_SLOWEST || l->duration_ms <= 0)
        return;
    memmove(&out->slowest[at + 1], &out->slowest[at],
            (ANALYZE_SLOWEST - 1 - at) * sizeof out->slowest[0]);
    str_copy(out->slowest[at].name, sizeof out->slowest[at].name, l->name);
    out->slowest[at].duration_ms = l->duration_ms;
    out->slowest[at].bytes = l->bytes > 0 ? l->bytes : 0;
}

static void note_duration(struct analyze_count *c, const struct analyze_line *l)
{
    c->out->durations++;
    c->buckets[bucket_of(l->duration_ms)]++;
    if (l->duration_ms > c->out->max_ms)
        c->out->max_ms = l->duration_ms;
    note_slow(c->out, l);
}

/* ---- classes and alerts ------------------------------------------------------------------------- */

static void note_alerts(struct analyze_result *out, const char *class_name)
{
    out->alert[ANALYZE_DATABASE] =
        out->alert[ANALYZE_DATABASE] || str_starts(class_name, "database");
    out->alert[ANALYZE_STORE] = out->alert[ANALYZE_STORE] || str_starts(class_name, "store");
}

/* The last place is kept for "other"; a class that is really called so joins it. */
static void note_class(struct analyze_count *c, const char *class_name)
{
    struct analyze_class *classes = c->out->classes;
    const char *name = class_name[0] != '\0' ? class_name : "unknown";
    size_t i = 0;

    note_alerts(c->out, name);
    while (i < ANALYZE_CLASSES - 1 && classes[i].name[0] != '\0' && !str_eq(classes[i].name, name))
        i++;
    if (i == ANALYZE_CLASSES - 1 || str_eq(name, "other")) {
        c->other++;
        return;
    }
    str_copy(classes[i].name, sizeof classes[i].name, name);
    classes[i].count++;
}

static int by_count(const void *a, const void *b)
{
    const struct analyze_class *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void sort_classes(struct analyze_count *c)
{
    struct analyze_class *classes = c->out->classes;
    size_t n = 0;

    while (n < ANALYZE_CLASSES - 1 && classes[n].name[0] != '\0')
        n++;
    qsort(classes, n, sizeof *classes, by_count);
    if (c->other > 0) {
        str_copy(classes[n].name, sizeof classes[n].name, "other");
        classes[n].count = c->other;
    }
}

/* ---- operations ----------------------------------------------------------------------------------- */

/* Lines that tell of one file's outcome: audit actions (journal.h) and log events. */
static bool kind_of(const struct analyze_line *l, enum analyze_kind *kind, bool *good)
{
    enum said { GOOD, BAD, LINE_SAYS };
    static const struct {
        const char *event;
        enum analyze_kind kind;
        enum said said;
    } known[] = {{"upload_outcome", ANALYZE_UPLOAD, LINE_SAYS},
                 {"verify_outcome", ANALYZE_VERIFY, LINE_SAYS},
                 {"rollback_outcome", ANALYZE_ROLLBACK, LINE_SAYS},
                 {"debt_outcome", ANALYZE_ROLLBACK, LINE_SAYS},
                 {"rollback_refused", ANALYZE_ROLLBACK, BAD},
                 {"file_completed", ANALYZE_UPLOAD, GOOD},
                 {"file_failed", ANALYZE_UPLOAD, BAD},
                 {"file_verified", ANALYZE_VERIFY, GOOD},
                 {"file_verify_failed", ANALYZE_VERIFY, BAD},
                 {"file_rolled_back", ANALYZE_ROLLBACK, GOOD},
                 {"file_refused", ANALYZE_ROLLBACK, BAD}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!str_eq(l->event, known[i].event))
            continue;
        *kind = known[i].kind;
        *good = known[i].said == LINE_SAYS ? l->success == 1 : known[i].said == GOOD;
        /* an outcome that says neither is a file given back: nothing was done to it */
        return known[i].said != LINE_SAYS || l->success >= 0;
    }
    return false;
}

static void count_operation(struct analyze_count *c, const struct analyze_line *l)
{
    struct analyze_result *out = c->out;
    enum analyze_kind kind;
    bool good;

    if (!kind_of(l, &kind, &good))
        return;
    if (good) {
        out->kind[kind].succeeded++;
        out->kind[kind].bytes += l->bytes > 0 ? l->bytes : 0;
    } else {
        out->kind[kind].failed++;
        note_class(c, l->error_class);
    }
    if (kind == ANALYZE_UPLOAD && l->duration_ms >= 0)
        note_duration(c, l);
}

static void note_time(struct analyze_count *c, const struct analyze_line *l)
{
    struct analyze_result *out = c->out;

    if (out->first_time[0] == '\0' || l->time_ms < c->first_ms) {
        c->first_ms = l->time_ms;
        str_copy(out->first_time, sizeof out->first_time, l->time);
    }
    if (out->last_time[0] == '\0' || l->time_ms > c->last_ms) {
        c->last_ms = l->time_ms;
        str_copy(out->last_time, sizeof out->last_time, l->time);
    }
}

void analyze_count_line(struct analyze_count *c, const struct analyze_line *l)
{
    bool told = analyze_runs_audited(&c->runs, l);

    note_time(c, l);
    c->out->errors += str_eq(l->level, "error");
    c->out->warnings += str_eq(l->level, "warn");
    if (str_eq(l->level, "error") || str_eq(l->event, "run_end"))
        note_alerts(c->out, l->error_class);
    if (told)
        return;
    analyze_runs_see(&c->runs, l);
    count_operation(c, l);
}

void analyze_count_end(struct analyze_count *c)
{
    struct analyze_result *out = c->out;
    struct analyze_runs_sum runs;
    int64_t good = 0, bad = 0;

    for (int k = 0; k < ANALYZE_KINDS; k++) {
        good += out->kind[k].succeeded;
        bad += out->kind[k].failed;
    }
    analyze_runs_total(&c->runs, &runs);
    out->runs = runs.runs;
    out->runs_failed = runs.failed;
    out->runs_unfinished = runs.unfinished;
    out->longest_run_ms = runs.longest_ms;
    out->p50_ms = percentile(c, 50);
    out->p90_ms = percentile(c, 90);
    out->p99_ms = percentile(c, 99);
    sort_classes(c);
    out->alert[ANALYZE_FAILURE_RATE] = bad * 100 > (good + bad) * FAILURE_PERCENT;
    out->alert[ANALYZE_LONG_RUN] = out->longest_run_ms > LONG_RUN_MS;
}
