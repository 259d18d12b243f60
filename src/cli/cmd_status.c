#include "cli/cmd_status.h"
#include "blobferry/base/process.h"
#include "blobferry/base/str.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_EVERY_MS 2000
#define PAGE           1000

const struct option_spec cmd_status_options[] = {
    {"batch-id", "ID", "files of this batch", false},
    {"user-id", "ID", "files of this user", false},
    {"status", "NAME", "only files in this status", false},
    {"limit", "N", "at most so many rows (50)", false},
    {"workers", NULL, "who holds which files, and whether it still runs", false},
    {"watch", NULL, "again every two seconds until stopped", false},
    {NULL, NULL, NULL, false},
};

struct view {
    struct tracker_filter filter;
    int64_t limit;
    bool files; /* files, not batches */
    bool workers;
};

static enum err_code read_options(struct cli *cli, struct view *v)
{
    const char *status = args_value(&cli->args, "status");

    v->limit = 50;
    v->filter.batch_id = args_value(&cli->args, "batch-id");
    v->filter.user_id = args_value(&cli->args, "user-id");
    if (status != NULL) {
        enum file_status s = state_file_parse(status);
        if (s == FILE_UNKNOWN && !str_eq(status, "unknown")) {
            err_set(&cli->err, ERR_USAGE, "'%s' is no status", status);
            return err_hint(
                &cli->err,
                "pending, processing, completed, verified, failed, rolled_back, unknown");
        }
        v->filter.statuses = TRACKER_STATUS(s);
    }
    v->workers = args_has(&cli->args, "workers");
    if (v->workers && (v->filter.user_id != NULL || status != NULL))
        return cli_usage(cli, "--workers goes with --batch-id only",
                         "workers hold files of batches, whoever's they are");
    v->files = v->filter.batch_id != NULL || v->filter.user_id != NULL || status != NULL;
    return args_number(&cli->args, "limit", 1, 100000, &v->limit, &cli->err);
}

static void json_counts(struct json_out *w, const struct state_counts *c)
{
    json_out_object(w, "files");
    json_out_integer(w, "total", state_counts_total(c));
    for (int s = 0; s < FILE_STATUS_COUNT; s++)
        json_out_integer(w, state_file_name((enum file_status)s), c->by[s]);
    json_out_end(w);
}

static void batch_line(struct out *o, struct out_table *t, const struct batch *b)
{
    char numbers[6][24];
    const char *cells[10] = {b->batch_id, b->status_text};
    const int64_t values[6] = {state_counts_total(&b->counts),
                               state_counts_completed(&b->counts),
                               b->counts.by[FILE_VERIFIED],
                               b->counts.by[FILE_FAILED],
                               b->counts.by[FILE_PENDING] + b->counts.by[FILE_PROCESSING],
                               b->counts.by[FILE_ROLLED_BACK]};
    struct out_text size = out_size(b->bytes);

    if (o->json) {
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "batch_id", b->batch_id);
        json_out_string(&o->writer, "status", b->status_text);
        json_counts(&o->writer, &b->counts);
        json_out_integer(&o->writer, "bytes", b->bytes);
        json_out_string(&o->writer, "created_at", b->created_at);
        json_out_string(&o->writer, "started_at", b->started_at);
        json_out_string(&o->writer, "completed_at", b->completed_at);
        json_out_end(&o->writer);
        return;
    }
    for (size_t i = 0; i < 6; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)values[i]);
        cells[2 + i] = numbers[i];
    }
    cells[8] = size.text;
    cells[9] = b->created_at;
    out_table_row(t, out_status_color(b->status_text), cells, 10);
}

static enum err_code show_batches(struct cli *cli, const struct view *v)
{
    static const struct out_column columns[] = {
        {"BATCH", false, true},     {"STATUS", false, false},     {"FILES", true, false},
        {"COMPLETED", true, false}, {"VERIFIED", true, false},    {"FAILED", true, false},
        {"OPEN", true, false},      {"ROLLED BACK", true, false}, {"SIZE", true, false},
        {"CREATED", false, false}};
    struct batch_list list;
    struct out_table *t = NULL;
    enum err_code code;

    record_batches_init(&list, 0);
    code = tracker_batches(cli->wire.engine.tracker, NULL, (size_t)v->limit, &list, &cli->err);
    if (code == ERR_OK) {
        if (cli->out.json)
            json_out_array(&cli->out.writer, "batches");
        if (list.len > 0)
            t = out_table_new(&cli->out, columns, 10);
        for (size_t i = 0; i < list.len; i++)
            batch_line(&cli->out, t, &list.items[i]);
        if (cli->out.json)
            json_out_end(&cli->out.writer);
        out_table_print(t);
        if (list.len == 0)
            out_line(&cli->out, "no batches yet (see: blobferry plan --help)");
    }
    record_batches_release(&list);
    return code;
}

static void file_line(struct out *o, struct out_table *t, const struct record *r)
{
    struct out_text size = out_size(r->file_size);
    const char *cells[] = {
        r->id,      r->status_text, r->file_size >= 0 ? size.text : NULL,
        r->user_id, r->target_key,  r->error_message != NULL ? r->error_message : ""};

    if (o->json) {
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "id", r->id);
        json_out_string(&o->writer, "batch_id", r->batch_id);
        json_out_string(&o->writer, "file_id", r->file_id);
        json_out_string(&o->writer, "user_id", r->user_id);
        json_out_string(&o->writer, "status", r->status_text);
        json_out_string(&o->writer, "source_path", r->source_path);
        json_out_string(&o->writer, "target_r2_key", r->target_key);
        json_out_string(&o->writer, "r2_key", r->file_r2_key);
        json_out_string(&o->writer, "migrated_checksum", r->migrated_checksum);
        if (r->file_size >= 0)
            json_out_integer(&o->writer, "size", r->file_size);
        json_out_string(&o->writer, "error", r->error_message);
        json_out_string(&o->writer, "error_class", r->error_class);
        json_out_boolean(&o->writer, "delete_owed", r->delete_owed);
        json_out_string(&o->writer, "started_at", r->started_at);
        json_out_string(&o->writer, "completed_at", r->completed_at);
        json_out_end(&o->writer);
        return;
    }
    out_table_row(t, out_status_color(r->status_text), cells, sizeof cells / sizeof *cells);
}

/* What can be done next with one batch. */
static void next_commands(struct out *o, const char *batch_id, const struct tracker_totals *t)
{
    const int64_t *by = t->counts.by;
    struct out_text b = out_safe(batch_id);

    if (by[FILE_PENDING] + by[FILE_PROCESSING] > 0)
        out_line(o, "next: blobferry migrate --batch-id %s", b.text);
    if (by[FILE_FAILED] > 0) {
        out_line(o, "next: blobferry migrate --batch-id %s --retry-failed", b.text);
        out_line(o, "undo: blobferry rollback --batch-id %s --failed-only", b.text);
    }
    if (by[FILE_COMPLETED] > 0)
        out_line(o, "next: blobferry verify --batch-id %s", b.text);
    if (state_counts_completed(&t->counts) > 0)
        out_line(o, "undo: blobferry rollback --batch-id %s   (a dry run; then --confirm)", b.text);
    if (t->owed > 0)
        out_line(o, "owed: %lld deletions, paid by: blobferry rollback --batch-id %s --confirm",
                 (long long)t->owed, b.text);
}

static void totals(struct cli *cli, const struct view *v, const struct tracker_totals *t)
{
    struct out *o = &cli->out;

    if (o->json) {
        json_counts(&o->writer, &t->counts);
        json_out_integer(&o->writer, "bytes", t->bytes);
        json_out_integer(&o->writer, "orphan_rows", t->orphan_files);
        json_out_integer(&o->writer, "deletes_owed", t->owed);
        return;
    }
    out_line(o,
             "%lld files, %s: %lld pending, %lld processing, %lld completed, %lld verified, %lld "
             "failed, %lld rolled back",
             (long long)state_counts_total(&t->counts), out_size(t->bytes).text,
             (long long)t->counts.by[FILE_PENDING], (long long)t->counts.by[FILE_PROCESSING],
             (long long)t->counts.by[FILE_COMPLETED], (long long)t->counts.by[FILE_VERIFIED],
             (long long)t->counts.by[FILE_FAILED], (long long)t->counts.by[FILE_ROLLED_BACK]);
    if (t->counts.by[FILE_UNKNOWN] > 0)
        out_line(o, "%s%lld rows have a status that the contract does not know%s",
                 out_paint(o, OUT_YELLOW), (long long)t->counts.by[FILE_UNKNOWN], out_reset(o));
    if (t->orphan_files > 0)
        out_line(o, "%s%lld rows name a file that is not in 'files'%s", out_paint(o, OUT_YELLOW),
                 (long long)t->orphan_files, out_reset(o));
    if (v->filter.batch_id != NULL)
        next_commands(o, v->filter.batch_id, t);
}

/* Up to v->limit rows, page by page; *shown counts them. */
static enum err_code list_files(struct cli *cli, const struct view *v, struct out_table *t,
                                int64_t *shown)
{
    struct record_list page;
    char *after = NULL;
    enum err_code code = ERR_OK;

    record_list_init(&page, 0);
    while (code == ERR_OK && *shown < v->limit) {
        int64_t room = v->limit - *shown;

        code = tracker_records(cli->wire.engine.tracker, &v->filter, after,
                               (size_t)(room < PAGE ? room : PAGE), &page, &cli->err);
        if (code != ERR_OK || page.len == 0)
            break;
        for (size_t i = 0; i < page.len; i++)
            file_line(&cli->out, t, &page.items[i]);
        *shown += (int64_t)page.len;
        free(after);
        after = str_dup(page.items[page.len - 1].id);
        if (after == NULL)
            code = err_set(&cli->err, ERR_NOMEM, "out of memory");
    }
    free(after);
    record_list_release(&page);
    return code;
}

static enum err_code show_files(struct cli *cli, const struct view *v)
{
    static const struct out_column columns[] = {{"ID", false, false},  {"STATUS", false, false},
                                                {"SIZE", true, false}, {"USER", false, true},
                                                {"KEY", false, true},  {"ERROR", false, true}};
    struct tracker_totals sums = {0};
    struct out_table *t;
    int64_t shown = 0;
    enum err_code code = tracker_totals(cli->wire.engine.tracker, &v->filter, &sums, &cli->err);

    if (code == ERR_OK && state_counts_total(&sums.counts) == 0) {
        code = err_set(&cli->err, ERR_NOTFOUND, "No migration records found");
        err_hint(&cli->err, "see: blobferry status");
    }
    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        json_out_array(&cli->out.writer, "records");
    t = out_table_new(&cli->out, columns, 6);
    code = list_files(cli, v, t, &shown);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    out_table_print(t);
    if (code != ERR_OK)
        return code;
    if (state_counts_total(&sums.counts) > shown)
        out_line(&cli->out, "the first %lld rows (see --limit)", (long long)shown);
    totals(cli, v, &sums);
    return ERR_OK;
}

int cmd_status(struct cli *cli)
{
    struct view view = {0};
    struct wire_needs needs = {.command = "status", .tracker = true};
    bool watch = args_has(&cli->args, "watch");
    enum err_code code = read_options(cli, &view);

    if (code == ERR_OK && watch && cli->out.json)
        code =
            cli_usage(cli, "--watch and --json contradict each other", "--json gives one document");
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "seen");
    while (code == ERR_OK) {
        if (watch && cli->out.color_out)
            out_line(&cli->out, "\033[H\033[J");
        code = view.workers ? cmd_status_workers(cli, view.filter.batch_id)
               : view.files ? show_files(cli, &view)
                            : show_batches(cli, &view);
        fflush(stdout);
        if (!watch || code != ERR_OK || process_stopping())
            break;
        poll(NULL, 0, WATCH_EVERY_MS); /* a signal ends it early */
        if (process_stopping())
            break;
    }
    return cli_close(cli, code);
}
