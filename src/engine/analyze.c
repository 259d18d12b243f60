#include "blobferry/engine/analyze.h"

#include "blobferry/base/lines.h"
#include "blobferry/base/str.h"
#include "engine/analyze_line.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_LIMIT   ((size_t)1 << 20)
#define DAY_MS       86400000
#define LONG_RUN_MS  (30 * 60 * 1000)
#define FAILURE_RATE 500 /* hundredths of a percent */
/* Durations fall into buckets that grow by 1/16 of a power of two: 4 % wide at the most. */
#define STEPS           16
#define BUCKETS         (44 * STEPS)
#define RUNS_REMEMBERED 65536

struct survey {
    const struct analyze_options *o;
    struct analyze_result *out;
    int64_t from_ms;
    uint32_t buckets[BUCKETS];
    uint64_t runs
        [RUNS_REMEMBERED]; /* hashes of runs that the audit told of: their logs add no operations */
    int64_t first_ms, last_ms;
};

const char *analyze_kind_name(enum analyze_kind k)
{
    static const char *const names[ANALYZE_KINDS] = {"uploads", "verifications", "rollbacks"};
    return names[k];
}

const char *analyze_alert_text(enum analyze_alert a)
{
    static const char *const texts[ANALYZE_ALERTS] = {"failure rate over 5 %",
                                                      "a run took over 30 minutes",
                                                      "database errors", "object store errors"};
    return texts[a];
}

int64_t analyze_success_rate(const struct analyze_result *r)
{
    int64_t good = 0, all = 0;

    for (int k = 0; k < ANALYZE_KINDS; k++) {
        good += r->kind[k].succeeded;
        all += r->kind[k].succeeded + r->kind[k].failed;
    }
    return all > 0 ? good * 10000 / all : -1;
}

/* ---- durations -------------------------------------------------------------------------------- */

static size_t bucket_of(int64_t ms)
{
    uint64_t v = ms > 0 ? (uint64_t)ms : 0;
    unsigned power;
    size_t at;

    if (v < 2 * STEPS)
        return (size_t)v;
    power = 63u - (unsigned)__builtin_clzll(v);
    at = (size_t)(power - 3) * STEPS + (size_t)((v >> (power - 4)) & (STEPS - 1));
    return at < BUCKETS ? at : BUCKETS - 1;
}

static int64_t bucket_value(size_t at)
{
    if (at < 2 * STEPS)
        return (int64_t)at;
    return (int64_t)((STEPS + at % STEPS) << (at / STEPS - 1));
}

static int64_t percentile(const struct survey *s, int64_t hundredths)
{
    int64_t wanted = (s->out->durations * hundredths + 99) / 100, seen = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        seen += s->buckets[i];
        if (seen >= wanted && seen > 0)
            return bucket_value(i);
    }
    return 0;
}

static void note_slow(struct analyze_result *out, const struct analyze_line *l)
{
    size_t at = ANALYZE_SLOWEST;

    while (at > 0 && out->slowest[at - 1].duration_ms < l->duration_ms)
        at--;
    if (at == ANALYZE_SLOWEST || l->duration_ms <= 0)
        return;
    memmove(&out->slowest[at + 1], &out->slowest[at],
            (ANALYZE_SLOWEST - 1 - at) * sizeof out->slowest[0]);
    str_copy(out->slowest[at].name, sizeof out->slowest[at].name, l->name);
    out->slowest[at].duration_ms = l->duration_ms;
    out->slowest[at].bytes = l->bytes > 0 ? l->bytes : 0;
}

/* ---- counting ----------------------------------------------------------------------------------- */

static void note_class(struct analyze_result *out, const char *name)
{
    size_t i = 0;

    if (name[0] == '\0')
        name = "unknown";
    while (i < ANALYZE_CLASSES - 1 && out->classes[i].name[0] != '\0' &&
           !str_eq(out->classes[i].name, name))
        i++;
    if (out->classes[i].name[0] == '\0')
        str_copy(out->classes[i].name, sizeof out->classes[i].name,
                 i == ANALYZE_CLASSES - 1 ? "other" : name);
    out->classes[i].count++;
    while (i > 0 && out->classes[i].count > out->classes[i - 1].count) {
        struct analyze_class t = out->classes[i];
        out->classes[i] = out->classes[i - 1];
        out->classes[--i] = t;
    }
    out->alert[ANALYZE_DATABASE] = out->alert[ANALYZE_DATABASE] || str_starts(name, "database");
    out->alert[ANALYZE_STORE] = out->alert[ANALYZE_STORE] || str_starts(name, "store");
}

/* FNV-1a; never 0. A collision loses the operations of one log beside its audit, no more. */
static uint64_t hash_run(const char *run)
{
    uint64_t h = 1469598103934665603u;
    for (; *run != '\0'; run++)
        h = (h ^ (unsigned char)*run) * 1099511628211u;
    return h != 0 ? h : 1;
}

static bool run_known(struct survey *s, const char *run, bool remember)
{
    uint64_t h = hash_run(run);
    size_t at = h % RUNS_REMEMBERED;

    for (size_t tries = 0; tries < 64; tries++, at = (at + 1) % RUNS_REMEMBERED) {
        if (s->runs[at] == h)
            return true;
        if (s->runs[at] == 0) {
            if (remember)
                s->runs[at] = h;
            return false;
        }
    }
    return false;
}

static bool kind_of(const struct analyze_line *l, enum analyze_kind *kind, bool *good)
{
    static const struct {
        const char *event;
        enum analyze_kind kind;
        int success; /* -1: the line says */
    } known[] = {
        {"upload_outcome", ANALYZE_UPLOAD, -1},     {"verify_outcome", ANALYZE_VERIFY, -1},
        {"rollback_outcome", ANALYZE_ROLLBACK, -1}, {"debt_outcome", ANALYZE_ROLLBACK, -1},
        {"rollback_refused", ANALYZE_ROLLBACK, 0},  {"file_completed", ANALYZE_UPLOAD, 1},
        {"file_failed", ANALYZE_UPLOAD, 0},         {"file_verified", ANALYZE_VERIFY, 1},
        {"file_verify_failed", ANALYZE_VERIFY, 0},  {"file_rolled_back", ANALYZE_ROLLBACK, 1},
        {"file_refused", ANALYZE_ROLLBACK, 0}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (str_eq(l->event, known[i].event)) {
            *kind = known[i].kind;
            *good = known[i].success >= 0 ? known[i].success == 1 : l->success == 1;
            return true;
        }
    }
    return false;
}

static void count_operation(struct survey *s, const struct analyze_line *l)
{
    struct analyze_result *out = s->out;
    enum analyze_kind kind;
    bool good;

    if (!kind_of(l, &kind, &good))
        return;
    if (good) {
        out->kind[kind].succeeded++;
        out->kind[kind].bytes += l->bytes > 0 ? l->bytes : 0;
    } else {
        out->kind[kind].failed++;
        note_class(out, l->class_);
    }
    if (kind == ANALYZE_UPLOAD && l->duration_ms >= 0) {
        out->durations++;
        s->buckets[bucket_of(l->duration_ms)]++;
        if (l->duration_ms > out->max_ms)
            out->max_ms = l->duration_ms;
        note_slow(out, l);
    }
}

static void count_line(struct survey *s, const struct analyze_line *l)
{
    struct analyze_result *out = s->out;

    if (l->time_ms < s->from_ms)
        return;
    if (s->first_ms == 0 || l->time_ms < s->first_ms) {
        s->first_ms = l->time_ms;
        str_copy(out->first_time, sizeof out->first_time, l->time);
    }
    if (l->time_ms >= s->last_ms) {
        s->last_ms = l->time_ms;
        str_copy(out->last_time, sizeof out->last_time, l->time);
    }
    out->errors += str_eq(l->level, "error");
    out->warnings += str_eq(l->level, "warn");
    if (l->audit && l->run[0] != '\0')
        run_known(s, l->run, true);
    else if (!l->audit && run_known(s, l->run, false))
        return;
    if (str_eq(l->event, "run_end")) {
        out->runs++;
        out->runs_failed += l->success == 0;
        if (l->duration_ms > out->longest_run_ms)
            out->longest_run_ms = l->duration_ms;
    }
    count_operation(s, l);
}

/* ---- files ---------------------------------------------------------------------------------------- */

static void skip(struct analyze_result *out, const char *name, const char *why)
{
    if (out->skipped_count < ANALYZE_SKIPPED) {
        char safe[200];
        snprintf(out->skipped[out->skipped_count], sizeof out->skipped[0], "%s: %s",
                 str_printable(safe, sizeof safe, name), why);
    }
    out->skipped_count++;
}

/* A file whose first line is none of ours is foreign; later bad lines are damage and counted. */
static enum err_code read_file(struct survey *s, const char *path, bool *foreign, struct err *e)
{
    struct analyze_line l;
    struct lines in;
    bool more = true;
    int64_t good = 0;
    enum err_code code = lines_open(&in, path, LINE_LIMIT, e);

    *foreign = false;
    while (code == ERR_OK && !*foreign) {
        code = lines_next(&in, &more, e);
        if (code != ERR_OK || !more)
            break;
        s->out->lines++;
        if (!in.too_long && analyze_line_parse(in.line, in.len, &l)) {
            good++;
            count_line(s, &l);
        } else if (good == 0) {
            *foreign = true;
        } else {
            s->out->damaged_lines++;
        }
    }
    lines_close(&in);
    s->out->files_read += code == ERR_OK && !*foreign;
    return code;
}

static bool is_log(const char *name)
{
    return str_ends(name, ".log");
}

static enum err_code read_folder(struct survey *s, struct err *e)
{
    DIR *dir = opendir(s->o->dir);
    const struct dirent *entry;
    char path[4200];
    bool foreign;
    struct err fault;

    if (dir == NULL)
        return err_set_errno(e, ERR_FILE, errno, "cannot open folder '%s'", s->o->dir);
    snprintf(path, sizeof path, "%.3900s/audit.jsonl", s->o->dir);
    err_init(&fault);
    if (read_file(s, path, &foreign, &fault) != ERR_OK && fault.code != ERR_FILE_MISSING)
        skip(s->out, "audit.jsonl", "cannot be read");
    else if (foreign)
        skip(s->out, "audit.jsonl", "is none of ours");
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;

        if (!is_log(entry->d_name))
            continue;
        snprintf(path, sizeof path, "%.3900s/%s", s->o->dir, entry->d_name);
        if (stat(path, &st) == 0 && (int64_t)st.st_mtime * 1000 < s->from_ms)
            continue;
        if (read_file(s, path, &foreign, &fault) != ERR_OK)
            skip(s->out, entry->d_name, "cannot be read");
        else if (foreign)
            skip(s->out, entry->d_name, "is none of ours");
    }
    closedir(dir);
    if (s->out->files_read > 0)
        return ERR_OK;
    err_set(e, ERR_NOTFOUND, "no logs in '%s'", s->o->dir);
    return err_hint(e, "see --log-dir");
}

static void conclude(struct survey *s)
{
    struct analyze_result *out = s->out;
    int64_t rate = analyze_success_rate(out);

    out->p50_ms = percentile(s, 50);
    out->p90_ms = percentile(s, 90);
    out->p99_ms = percentile(s, 99);
    out->alert[ANALYZE_FAILURE_RATE] = rate >= 0 && 10000 - rate > FAILURE_RATE;
    out->alert[ANALYZE_LONG_RUN] = out->longest_run_ms > LONG_RUN_MS;
}

enum err_code analyze_run(const struct analyze_options *o, struct analyze_result *out,
                          struct err *e)
{
    struct survey *s = calloc(1, sizeof *s);
    bool foreign = false;
    enum err_code code;

    memset(out, 0, sizeof *out);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->o = o;
    s->out = out;
    s->from_ms =
        o->log_file != NULL ? INT64_MIN : o->now_ms - (o->days > 0 ? o->days : 7) * (int64_t)DAY_MS;
    if (o->log_file == NULL) {
        code = read_folder(s, e);
    } else {
        code = read_file(s, o->log_file, &foreign, e);
        if (code == ERR_OK && foreign)
            code = err_set(e, ERR_PARSE, "'%s' is no log of blobferry's", o->log_file);
    }
    conclude(s);
    free(s);
    return code;
}
