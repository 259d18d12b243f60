/* cmd_status_workers: status --workers: who does what. A worker is a process that holds rows or the lock of a batch. */
#include "blobferry/base/clock.h"
#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "cli/cmd_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCHES_TEXT 200 /* of their names in a table; --json has all */

static const struct out_column columns[] = {{"HOST", false, true},   {"PID", true, false},
                                            {"STATE", false, false}, {"COMMAND", false, false},
                                            {"FILES", true, false},  {"BATCHES", false, true},
                                            {"LEASE", true, false},  {"SINCE", false, false}};

struct view {
    struct cli *cli;
    const char *batch_id; /* NULL: all */
    struct out_table *table;
    int64_t workers, files, now_ms;

    /* the worker whose batches are coming in */
    char *owner;   /* owned; NULL: none yet */
    char *command; /* owned; NULL unknown */
    struct buf batches;
    int64_t batches_more, rows, lease_until_ms, started_ms;
};

static const char *life_name(const char *owner)
{
    switch (process_owner_life(owner)) {
    case PROCESS_ALIVE:
        return "alive";
    case PROCESS_DEAD:
        return "dead";
    default:
        return "unknown"; /* another host, or a container of its own */
    }
}

static void json_time(struct json_out *w, const char *name, int64_t ms)
{
    char text[TIMEFMT_SIZE];

    if (ms > 0)
        timefmt_iso(ms, text);
    json_out_string(w, name, ms > 0 ? text : NULL);
}

/* ---- one worker ---------------------------------------------------------------------------------------------- */

static void begin_json(const struct view *v)
{
    struct json_out *w = &v->cli->out.writer;
    char host[PROCESS_OWNER_SIZE];
    int64_t pid;

    json_out_object(w, NULL);
    json_out_string(w, "owner", v->owner);
    if (process_owner_host(v->owner, host, sizeof host, &pid)) {
        json_out_string(w, "host", host);
        json_out_integer(w, "pid", pid);
    }
    json_out_string(w, "state", life_name(v->owner));
    json_out_string(w, "command", v->command);
    json_time(w, "started_at", v->started_ms);
    json_out_array(w, "batches");
}

static void end_json(const struct view *v)
{
    struct json_out *w = &v->cli->out.writer;

    json_out_end(w);
    json_out_integer(w, "files", v->rows);
    json_time(w, "lease_until", v->lease_until_ms);
    json_out_boolean(w, "lease_expired", v->lease_until_ms <= v->now_ms);
    json_out_end(w);
}

static void end_line(struct view *v)
{
    char host[PROCESS_OWNER_SIZE], pid[24] = "", files[24], since[TIMEFMT_SIZE] = "";
    const char *life = life_name(v->owner);
    const bool expired = v->lease_until_ms <= v->now_ms;
    struct out_text left = out_duration(v->lease_until_ms - v->now_ms);
    int64_t number;
    const bool known = process_owner_host(v->owner, host, sizeof host, &number);

    if (known)
        snprintf(pid, sizeof pid, "%" PRId64, number);
    snprintf(files, sizeof files, "%" PRId64, v->rows);
    if (v->started_ms > 0)
        timefmt_db(v->started_ms, since);
    if (v->batches_more > 0)
        buf_printf(&v->batches, " and %" PRId64 " more", v->batches_more);
    const char *cells[] = {known ? host : v->owner,
                           pid,
                           life,
                           v->command != NULL ? v->command : "",
                           files,
                           buf_cstr(&v->batches),
                           expired ? "expired" : left.text,
                           since};
    out_table_row(v->table,
                  str_eq(life, "dead") ? OUT_RED
                  : expired            ? OUT_YELLOW
                                       : OUT_PLAIN,
                  cells, sizeof cells / sizeof *cells);
}

static void end_worker(struct view *v)
{
    if (v->owner == NULL)
        return;
    if (v->cli->out.json)
        end_json(v);
    else
        end_line(v);
    free(v->owner);
    free(v->command);
    v->owner = v->command = NULL;
    buf_reset(&v->batches);
    v->batches_more = v->rows = v->lease_until_ms = v->started_ms = 0;
}

static enum err_code begin_worker(struct view *v, const struct tracker_worker *w, struct err *e)
{
    end_worker(v);
    v->owner = str_dup(w->owner);
    v->command = w->command != NULL ? str_dup(w->command) : NULL;
    if (v->owner == NULL || (w->command != NULL && v->command == NULL))
        return err_set(e, ERR_NOMEM, "out of memory");
    v->started_ms = w->started_ms;
    if (v->workers++ == 0)
        v->table = out_table_new(&v->cli->out, columns, sizeof columns / sizeof *columns);
    if (v->cli->out.json)
        begin_json(v);
    return ERR_OK;
}

/* ---- its batches ----------------------------------------------------------------------------------------------- */

static void add_batch(struct view *v, const struct tracker_worker *w)
{
    struct json_out *out = &v->cli->out.writer;

    v->rows += w->rows;
    v->files += w->rows;
    if (w->lease_until_ms > v->lease_until_ms)
        v->lease_until_ms = w->lease_until_ms;
    if (v->cli->out.json) {
        json_out_object(out, NULL);
        json_out_string(out, "batch_id", w->batch_id);
        json_out_integer(out, "files", w->rows);
        json_out_string(out, "lock", w->lock);
        json_out_end(out);
    } else if (w->batch_id != NULL && v->batches.len < BATCHES_TEXT) {
        buf_printf(&v->batches, "%s%s", v->batches.len > 0 ? ", " : "",
                   str_eq(w->batch_id, "*") ? "all" : out_safe(w->batch_id).text);
    } else if (w->batch_id != NULL) {
        v->batches_more++;
    }
}

static enum err_code on_worker(void *user, const struct tracker_worker *w, struct err *e)
{
    struct view *v = user;
    enum err_code code = ERR_OK;

    if (v->batch_id != NULL && !str_eq(w->batch_id, v->batch_id) && !str_eq(w->batch_id, "*"))
        return ERR_OK;
    if (!str_eq(v->owner, w->owner))
        code = begin_worker(v, w, e);
    if (code == ERR_OK)
        add_batch(v, w);
    return code;
}

enum err_code cmd_status_workers(struct cli *cli, const char *batch_id)
{
    struct view v = {.cli = cli, .batch_id = batch_id, .now_ms = clock_wall_ms()};

    buf_init(&v.batches, 8192);
    if (cli->out.json)
        json_out_array(&cli->out.writer, "workers");
    enum err_code code = tracker_workers(cli->wire.engine.tracker, on_worker, &v, &cli->err);
    end_worker(&v);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    out_table_print(v.table);
    if (code == ERR_OK && v.workers == 0)
        out_line(&cli->out, "no worker holds a file");
    else if (code == ERR_OK)
        out_line(&cli->out, "%lld workers hold %lld files", (long long)v.workers,
                 (long long)v.files);
    buf_release(&v.batches);
    return code;
}
