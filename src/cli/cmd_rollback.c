#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "blobferry/engine/rollback.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS 86400000

const struct option_spec cmd_rollback_options[] = {
    {"batch-id", "ID", "this batch", false},
    {"user-id", "ID", "this user's files", false},
    {"start-date", "DATE", "files migrated on or after this day (YYYY-MM-DD, UTC)", false},
    {"end-date", "DATE", "files migrated on or before this day, all of it", false},
    {"failed-only", NULL, "failed files only", false},
    {"full-rollback", NULL, "everything", false},
    {"database-only", NULL, "keep the objects", false},
    {"r2-only", NULL, "delete objects, keep the rows: the application's pointers break", false},
    {"dry-run", NULL, "show what would happen (the default)", false},
    {"prove", NULL, "dry run: look at every original and object (the default with a target)",
     false},
    {"no-prove", NULL, "dry run: look at no original and no object", false},
    {"confirm", NULL, "do it", false},
    {"force", NULL, "do not ask; needed without a terminal", false},
    {"no-backup", NULL, "make no backup first", false},
    {"allow-missing-source", NULL, "delete objects although their original is gone", false},
    {"trust-unmarked", NULL, "objects without our metadata: trust the recorded checksum", false},
    {"limit", "N", "at most so many files", false},
    {"yes-plan", "HASH", "only if the plan is still the previewed one", false},
    {NULL, NULL, NULL, false},
};

struct request {
    struct rollback_options options;
    bool confirm, force, prove, no_target;
};

static enum err_code dates(struct cli *cli, struct tracker_filter *f)
{
    const char *from = args_value(&cli->args, "start-date"),
               *to = args_value(&cli->args, "end-date");
    const char *bad = NULL;

    if (from != NULL && !timefmt_parse_day(from, &f->from_ms))
        bad = from;
    if (to != NULL && !timefmt_parse_day(to, &f->to_ms))
        bad = to;
    if (bad != NULL) {
        err_set(&cli->err, ERR_USAGE, "'%s' is no date", bad);
        return err_hint(&cli->err, "a real day, written YYYY-MM-DD");
    }
    f->has_from = from != NULL;
    f->has_to = to != NULL;
    if (to != NULL)
        f->to_ms += DAY_MS - 1; /* the whole of the last day */
    if (f->has_from && f->has_to && f->from_ms > f->to_ms)
        return cli_usage(cli, "--start-date is after --end-date", "turn them round");
    return ERR_OK;
}

static enum err_code contradictions(struct cli *cli, const struct request *r)
{
    static const char *const pairs[][2] = {
        {"database-only", "r2-only"}, {"failed-only", "full-rollback"},
        {"dry-run", "confirm"},       {"dry-run", "force"},
        {"prove", "confirm"},         {"no-prove", "confirm"},
        {"prove", "no-prove"},        {"full-rollback", "batch-id"},
        {"full-rollback", "user-id"}, {"full-rollback", "start-date"},
        {"full-rollback", "end-date"}};
    static const char *const scopes[] = {"batch-id", "user-id",     "start-date",
                                         "end-date", "failed-only", "full-rollback"};
    bool scoped = false;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (args_has(&cli->args, pairs[i][0]) && args_has(&cli->args, pairs[i][1])) {
            err_set(&cli->err, ERR_USAGE, "--%s and --%s contradict each other", pairs[i][0],
                    pairs[i][1]);
            return err_hint(&cli->err, "nothing was done");
        }
    }
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
        scoped = scoped || args_has(&cli->args, scopes[i]);
    if (!scoped)
        return cli_usage(cli, "no scope is given",
                         "give --batch-id, --user-id, --start-date, --end-date, --failed-only or "
                         "--full-rollback");
    if (r->force && !r->confirm)
        return cli_usage(cli, "--force without --confirm does nothing",
                         "give both, or look at the dry run first");
    if (r->confirm && !r->force && (isatty(STDIN_FILENO) != 1 || cli->out.json))
        return cli_usage(cli, "a confirmed rollback without a terminal needs --force",
                         "nothing was done");
    return ERR_OK;
}

static enum err_code read_options(struct cli *cli, struct request *r)
{
    const struct args *a = &cli->args;
    struct rollback_options *o = &r->options;
    enum err_code code;

    o->scope.batch_id = args_value(a, "batch-id");
    o->scope.user_id = args_value(a, "user-id");
    o->failed_only = args_has(a, "failed-only");
    o->full = args_has(a, "full-rollback");
    o->database_only = args_has(a, "database-only");
    o->r2_only = args_has(a, "r2-only");
    o->no_backup = args_has(a, "no-backup");
    o->allow_missing_source = args_has(a, "allow-missing-source");
    o->trust_unmarked = args_has(a, "trust-unmarked");
    o->plan_hash = args_value(a, "yes-plan");
    r->confirm = args_has(a, "confirm");
    r->force = args_has(a, "force");
    r->no_target = config_get(&cli->config, CONFIG_TARGET) == NULL;
    /* What a dry run shows is what will be refused; without a target it can only count. */
    r->prove = !r->confirm && !args_has(a, "no-prove") &&
               (args_has(a, "prove") || o->database_only || !r->no_target);
    code = dates(cli, &o->scope);
    if (code == ERR_OK)
        code = args_number(a, "limit", 1, INT64_MAX / 2, &o->limit, &cli->err);
    if (code == ERR_OK && o->plan_hash != NULL &&
        (strlen(o->plan_hash) != 64 || strspn(o->plan_hash, "0123456789abcdef") != 64))
        code = cli_usage(cli, "--yes-plan is no plan's hash", "64 hex digits, as the dry run says");
    return code == ERR_OK ? contradictions(cli, r) : code;
}

static void preview_json(struct json_out *w, const struct request *r,
                         const struct rollback_preview *p)
{
    json_out_object(w, "preview");
    json_out_boolean(w, "dry_run", !r->confirm);
    json_out_boolean(w, "proved", r->prove);
    json_out_integer(w, "files", p->files);
    json_out_integer(w, "bytes", p->bytes);
    json_out_integer(w, "with_object", p->with_object);
    json_out_integer(w, "deletes_owed", p->debts);
    json_out_integer(w, "processing", p->processing);
    json_out_integer(w, "unknown_status", p->unknown);
    json_out_integer(w, "unparsable_dates", p->unparsable_dates);
    json_out_string(w, "plan", p->plan_hash);
    json_out_object(w, "refusals");
    for (int i = 1; i < ROLLBACK_REFUSALS; i++)
        json_out_integer(w, rollback_refusal_name((enum rollback_refusal)i), p->refused[i]);
    json_out_end(w);
    json_out_integer(w, "absent", p->absent);
    json_out_array(w, "first");
    for (size_t i = 0; i < p->first.len; i++) {
        const struct record *f = &p->first.items[i];
        json_out_object(w, NULL);
        json_out_string(w, "id", f->id);
        json_out_string(w, "batch_id", f->batch_id);
        json_out_string(w, "user_id", f->user_id);
        json_out_string(w, "status", f->status_text);
        json_out_string(w, "target_r2_key", f->target_key);
        json_out_integer(w, "size", f->file_size);
        json_out_end(w);
    }
    json_out_end(w);
    json_out_end(w);
}

/* What is in the scope and will yet not be touched. */
static void left_alone(struct out *o, const struct rollback_preview *p)
{
    if (p->processing > 0)
        out_line(o, "%s%lld rows are under way and left alone%s (blobferry migrate finishes them)",
                 out_paint(o, OUT_YELLOW), (long long)p->processing, out_reset(o));
    if (p->unknown > 0)
        out_line(o, "%s%lld rows have a status that the contract does not know: left alone%s",
                 out_paint(o, OUT_YELLOW), (long long)p->unknown, out_reset(o));
    if (p->unparsable_dates > 0)
        out_line(o, "%s%lld rows have a started_at that is no date: left out%s",
                 out_paint(o, OUT_YELLOW), (long long)p->unparsable_dates, out_reset(o));
}

static void preview_text(struct cli *cli, const struct request *r, const struct rollback_preview *p)
{
    static const struct out_column columns[] = {{"ID", false, false},  {"BATCH", false, true},
                                                {"USER", false, true}, {"STATUS", false, false},
                                                {"SIZE", true, false}, {"KEY", false, true}};
    struct out_table *t = out_table_new(&cli->out, columns, 6);

    for (size_t i = 0; i < p->first.len; i++) {
        const struct record *f = &p->first.items[i];
        struct out_text size = out_size(f->file_size);
        const char *cells[] = {f->id,
                               f->batch_id,
                               f->user_id,
                               f->status_text,
                               f->file_size >= 0 ? size.text : NULL,
                               f->target_key};
        out_table_row(t, out_status_color(f->status_text), cells, 6);
    }
    out_table_print(t);
    if (p->files > (int64_t)p->first.len)
        out_line(&cli->out, "... %lld files in all", (long long)p->files);
    out_line(&cli->out,
             "%s %lld files, %s; %lld may own an object; %lld deletions owed from before",
             r->confirm ? "rolling back" : "would roll back", (long long)p->files,
             out_size(p->bytes).text, (long long)p->with_object, (long long)p->debts);
    for (int i = 1; i < ROLLBACK_REFUSALS; i++) {
        bool kept = i == ROLLBACK_PRE_EXISTED || i == ROLLBACK_SHARED;
        if (p->refused[i] > 0)
            out_line(&cli->out, "%swould %s %lld: %s%s", out_paint(&cli->out, OUT_YELLOW),
                     kept ? "keep the object of" : "refuse", (long long)p->refused[i],
                     rollback_refusal_name((enum rollback_refusal)i), out_reset(&cli->out));
    }
    if (!r->confirm && !r->prove)
        out_line(&cli->out, "originals and objects were not looked at%s",
                 r->no_target ? ": no target is set" : "");
    if (p->absent > 0)
        out_line(&cli->out, "%s%lld completed files have no object%s",
                 out_paint(&cli->out, OUT_YELLOW), (long long)p->absent, out_reset(&cli->out));
    if (r->options.r2_only)
        out_line(&cli->out,
                 "%s--r2-only: rows and files.r2_key stay, and point at nothing afterwards%s",
                 out_paint(&cli->out, OUT_RED), out_reset(&cli->out));
    left_alone(&cli->out, p);
    out_line(&cli->out, "plan %s", p->plan_hash);
    if (!r->confirm)
        out_line(&cli->out,
                 "dry run: nothing was changed. To do it: add --confirm (and --yes-plan with the "
                 "plan's hash to hold to this plan)");
}

static int64_t requests_of(const struct rollback_result *r)
{
    const struct objstore_requests *q = &r->requests;
    return (int64_t)(q->get + q->head + q->put + q->post + q->delete_);
}

static void result_json(struct json_out *w, const struct rollback_result *r)
{
    json_out_object(w, "result");
    json_out_integer(w, "total_files", r->total_files);
    json_out_integer(w, "database_rollbacks", r->database_rollbacks);
    json_out_integer(w, "r2_deletions", r->r2_deletions);
    json_out_integer(w, "already_absent", r->already_absent);
    json_out_integer(w, "kept_objects", r->kept_objects);
    json_out_integer(w, "failures", r->failures);
    json_out_integer(w, "skipped", r->skipped);
    json_out_integer(w, "refused", r->refused);
    json_out_object(w, "refusals");
    for (int i = 1; i < ROLLBACK_REFUSALS; i++)
        json_out_integer(w, rollback_refusal_name((enum rollback_refusal)i), r->refused_by[i]);
    json_out_end(w);
    json_out_integer(w, "debts_paid", r->debts_paid);
    json_out_integer(w, "bytes_freed", r->bytes_freed);
    json_out_integer(w, "requests", requests_of(r));
    json_out_integer(w, "elapsed_ms", r->elapsed_ms);
    json_out_string(w, "backup", r->backup.path);
    json_out_string(w, "audit", r->audit_path);
    json_out_end(w);
}

static void result_text(struct out *o, const struct rollback_result *r)
{
    out_line(o, "%s%lld of %lld rows rolled back%s, %lld objects deleted, %s freed in %s",
             out_paint(o, r->refused + r->failures > 0 ? OUT_YELLOW : OUT_GREEN),
             (long long)r->database_rollbacks, (long long)r->total_files, out_reset(o),
             (long long)r->r2_deletions, out_size(r->bytes_freed).text,
             out_duration(r->elapsed_ms).text);
    if (r->already_absent > 0)
        out_line(o, "%lld objects were absent already", (long long)r->already_absent);
    if (r->kept_objects > 0)
        out_line(o, "%lld objects were kept (there before us, or still needed)",
                 (long long)r->kept_objects);
    if (r->debts_paid > 0)
        out_line(o, "%lld deletions owed from before are done", (long long)r->debts_paid);
    for (int i = 1; i < ROLLBACK_REFUSALS; i++) {
        if (r->refused_by[i] > 0)
            out_line(o, "%srefused %lld: %s%s", out_paint(o, OUT_YELLOW),
                     (long long)r->refused_by[i], rollback_refusal_name((enum rollback_refusal)i),
                     out_reset(o));
    }
    if (r->failures > 0)
        out_line(o, "%s%lld failed%s", out_paint(o, OUT_RED), (long long)r->failures, out_reset(o));
    if (requests_of(r) > 0 && r->total_files > 0)
        out_line(o, "%lld requests to the store, %.4f a file", (long long)requests_of(r),
                 (double)requests_of(r) / (double)r->total_files);
    if (r->backup.path[0] != '\0')
        out_line(o, "backup: %s", out_safe(r->backup.path).text);
    if (r->audit_path[0] != '\0')
        out_line(o, "audit: %s", out_safe(r->audit_path).text);
}

/* At a terminal: the number of files must be typed. */
static enum err_code ask(struct cli *cli, const struct request *r, const struct rollback_preview *p)
{
    char line[64], wanted[32];

    if (!r->confirm || r->force)
        return ERR_OK;
    snprintf(wanted, sizeof wanted, "%lld", (long long)p->files);
    fprintf(stderr, "type the number of files (%s) to roll them back: ", wanted);
    fflush(stderr);
    if (fgets(line, sizeof line, stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (!str_eq(line, wanted)) {
        err_set(&cli->err, ERR_CANCELLED, "not confirmed");
        return err_hint(&cli->err, "nothing was done");
    }
    return ERR_OK;
}

/* Nothing is left to roll back; yet an earlier run that was cut off may still owe the trail its outcomes. */
static enum err_code settle(struct cli *cli, const struct request *r, struct rollback_result *out)
{
    struct err why;
    bool any = false;
    enum err_code code = cli->err.code;

    err_init(&why);
    if (rollback_in_doubt(&cli->wire.engine, &any, &why) != ERR_OK) {
        cli->err = why;
        return why.code;
    }
    if (any)
        code = rollback_run(&cli->wire.engine, &r->options, out, &cli->err);
    return code;
}

static enum err_code execute(struct cli *cli, struct request *r)
{
    struct rollback_preview preview;
    struct rollback_result result;
    enum err_code code;

    memset(&result, 0, sizeof result);
    rollback_preview_init(&preview);
    code = rollback_preview(&cli->wire.engine, &r->options, r->prove, &preview, &cli->err);
    progress_end(&cli->progress);
    if (code == ERR_NOTFOUND && r->confirm)
        code = settle(cli, r, &result);
    else if (code == ERR_OK) {
        if (cli->out.json)
            preview_json(&cli->out.writer, r, &preview);
        else
            preview_text(cli, r, &preview);
        code = ask(cli, r, &preview);
    }
    if (code == ERR_OK && r->confirm && preview.files + preview.debts > 0) {
        if (r->options.plan_hash == NULL)
            r->options.plan_hash = preview.plan_hash; /* what was shown is what is done */
        code = rollback_run(&cli->wire.engine, &r->options, &result, &cli->err);
        progress_end(&cli->progress);
        if (cli->out.json)
            result_json(&cli->out.writer, &result);
        else if (result.total_files > 0 || result.debts_paid > 0 || result.refused > 0 ||
                 result.backup.path[0] != '\0')
            result_text(&cli->out, &result);
    }
    rollback_preview_release(&preview);
    return code;
}

int cmd_rollback(struct cli *cli)
{
    struct request request;
    struct wire_needs needs = {.command = "rollback", .tracker = true};
    enum err_code code;

    memset(&request, 0, sizeof request);
    code = read_options(cli, &request);
    if (code == ERR_OK) {
        needs.write = needs.audit = needs.log_file = request.confirm;
        needs.store = !request.options.database_only && (request.confirm || request.prove);
        code = cli_open(cli, &needs, request.confirm ? "rolled back" : "looked at");
    }
    if (code == ERR_OK)
        code = execute(cli, &request);
    return cli_close(cli, code);
}
