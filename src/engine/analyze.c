#include "blobferry/engine/analyze.h"

#include "blobferry/base/lines.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "engine/analyze_count.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_LIMIT   ((size_t)1 << 20)
#define DAY_MS       INT64_C(86400000)
#define FOREIGN_FROM 16 /* lines without one of ours: the file is none of ours */

struct survey {
    const struct analyze_options *o;
    struct analyze_result *out;
    int64_t from_ms;
    char from[TIMEFMT_SIZE]; /* the same as text; "" none */
    struct analyze_count count;
};

/* What is remembered of one file while it is read. */
struct reading {
    char run[64];                 /* text logs say it once */
    int64_t lines, good, damaged; /* good: ours, also those that are too old to count */
    int64_t first_damaged;        /* line number */
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

/* ---- one file ------------------------------------------------------------------------------------- */

static void skip(struct analyze_result *out, const char *name, const char *why)
{
    char safe[160];

    if (out->skipped_count < ANALYZE_SKIPPED)
        snprintf(out->skipped[out->skipped_count], sizeof out->skipped[0], "%s: %s",
                 str_printable(safe, sizeof safe, name), why);
    out->skipped_count++;
}

static bool read_line(struct survey *s, const struct lines *in, struct reading *r)
{
    struct analyze_line l;

    if (in->too_long || in->torn)
        return false;
    if (s->from[0] != '\0' && analyze_line_is_older(in->line, in->len, s->from))
        return true;
    if (!analyze_line_parse(in->line, in->len, &l))
        return false;
    if (l.run[0] == '\0')
        str_copy(l.run, sizeof l.run, r->run);
    else
        str_copy(r->run, sizeof r->run, l.run);
    if (l.time_ms >= s->from_ms)
        analyze_count_line(&s->count, &l);
    return true;
}

/* Damaged lines are passed over and counted; a file that begins without a line of ours is foreign. */
static enum err_code read_lines(struct survey *s, struct lines *in, struct reading *r,
                                struct err *e)
{
    bool more = true;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && (r->good > 0 || r->damaged < FOREIGN_FROM)) {
        code = lines_next(in, &more, e);
        if (code != ERR_OK || !more)
            break;
        r->lines++;
        if (read_line(s, in, r)) {
            r->good++;
        } else if (r->damaged++ == 0) {
            r->first_damaged = in->number;
        }
    }
    if (code == ERR_OK && r->good == 0 && r->damaged > 0)
        code = err_set(e, ERR_PARSE, "'%s' is no log of blobferry's", in->path);
    return code;
}

static enum err_code read_file(struct survey *s, const char *path, const char *name, struct err *e)
{
    struct reading r;
    struct lines in;
    enum err_code code = lines_open(&in, path, LINE_LIMIT, e);

    if (code != ERR_OK)
        return code;
    memset(&r, 0, sizeof r);
    code = read_lines(s, &in, &r, e);
    lines_close(&in);
    if (r.good > 0 || code == ERR_OK) {
        s->out->files_read++;
        s->out->lines += r.lines;
        s->out->damaged_lines += r.damaged;
    }
    if (r.good > 0 && r.damaged > 0) {
        char why[80];
        snprintf(why, sizeof why, "%lld damaged lines, the first is line %lld",
                 (long long)r.damaged, (long long)r.first_damaged);
        skip(s->out, name, why);
    }
    return code;
}

/* ---- the folder ------------------------------------------------------------------------------------- */

static void read_or_skip(struct survey *s, const char *path, const char *name, bool may_be_absent)
{
    struct err fault;
    enum err_code code;

    err_init(&fault);
    code = read_file(s, path, name, &fault);
    if (code == ERR_PARSE)
        skip(s->out, name, "is none of ours");
    else if (code != ERR_OK && !(code == ERR_FILE_MISSING && may_be_absent))
        skip(s->out, name, code == ERR_FILE_TYPE ? "is no regular file" : "cannot be read");
}

static enum err_code nothing_read(struct survey *s, struct err *e)
{
    if (s->o->log_file == NULL)
        err_set(e, ERR_NOTFOUND, "no logs of the last %d days in '%s'",
                s->o->days > 0 ? s->o->days : 7, s->o->dir);
    else
        err_set(e, ERR_NOTFOUND, "'%s' tells of nothing%s", s->o->log_file,
                s->o->days > 0 ? " in these days" : "");
    return err_hint(e, "see --days, --log-dir and --log-file");
}

static enum err_code read_folder(struct survey *s, struct err *e)
{
    DIR *dir = opendir(s->o->dir);
    const struct dirent *entry;
    char path[4400];

    if (dir == NULL)
        return err_set_errno(e, ERR_FILE, errno, "cannot open folder '%s'", s->o->dir);
    /* first the audit: what it tells of is not counted once more from logs */
    snprintf(path, sizeof path, "%.4000s/audit.jsonl", s->o->dir);
    read_or_skip(s, path, "audit.jsonl", true);
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;

        if (!str_ends(entry->d_name, ".log"))
            continue;
        snprintf(path, sizeof path, "%.4000s/%s", s->o->dir, entry->d_name);
        if (stat(path, &st) == 0 && (int64_t)st.st_mtime * 1000 + 999 < s->from_ms)
            continue;
        read_or_skip(s, path, entry->d_name, false);
    }
    closedir(dir);
    return ERR_OK;
}

enum err_code analyze_run(const struct analyze_options *o, struct analyze_result *out,
                          struct err *e)
{
    struct survey *s = calloc(1, sizeof *s);
    enum err_code code;

    memset(out, 0, sizeof *out);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->o = o;
    s->out = out;
    s->from_ms = INT64_MIN;
    if (o->log_file == NULL || o->days > 0) {
        s->from_ms = o->now_ms - (o->days > 0 ? o->days : 7) * DAY_MS;
        timefmt_iso(s->from_ms, s->from);
    }
    code = analyze_count_init(&s->count, out, e);
    if (code == ERR_OK)
        code = o->log_file == NULL ? read_folder(s, e) : read_file(s, o->log_file, o->log_file, e);
    if (code == ERR_OK)
        analyze_count_end(&s->count);
    if (code == ERR_OK && out->first_time[0] == '\0')
        code = nothing_read(s, e);
    analyze_count_release(&s->count);
    free(s);
    return code;
}
