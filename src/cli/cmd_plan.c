#include "blobferry/base/str.h"
#include "blobferry/engine/plan.h"
#include "cli/cli.h"

#include <stdio.h>

#define PROBLEMS_SHOWN 50
#define PROBLEMS_KEPT  1000

const struct option_spec cmd_plan_options[] = {
    {"from-dir", "DIR", "every regular file below DIR", false},
    {"from-csv", "FILE", "rows of a CSV file with a header line; - for standard input", false},
    {"from-jsonl", "FILE", "one JSON object per line; - for standard input", false},
    {"from-table", NULL, "rows of the table files that have no r2_key", false},
    {"source-column", "NAME", "from table: the column of files that holds the path", false},
    {"source-template", "TEXT", "from table: path made of {file_id} {filename} {user_id}", false},
    {"batch-id", "ID", "name of the batch (batch_<time>_<random>)", false},
    {"batch-size", "N", "split into batches ID-001, ID-002 ... of N files", false},
    {"user-id", "ID", "user of rows that name none", false},
    {"key-template", "TEXT",
     "object key made of {user_id} {file_id} {filename} {path} {sha256} {ext}", false},
    {"checksum", NULL, "hash every file now and record it", false},
    {"dry-run", NULL, "count and check only; nothing is written", false},
    {NULL, NULL, NULL, false},
};

struct problems {
    struct cli *cli;
    int64_t shown;
};

static void on_problem(void *user, const struct plan_problem *p)
{
    struct problems *ps = user;
    struct out *o = &ps->cli->out;

    ps->shown++;
    if (o->json && ps->shown <= PROBLEMS_KEPT) {
        if (ps->shown == 1)
            json_out_array(&o->writer, "problems");
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "source", p->source);
        json_out_string(&o->writer, "key", p->key);
        if (p->line > 0)
            json_out_integer(&o->writer, "line", p->line);
        json_out_string(&o->writer, "class", err_code_name(p->err.code));
        json_out_string(&o->writer, "message", p->err.message);
        json_out_end(&o->writer);
    }
    if (ps->shown > PROBLEMS_SHOWN || o->json)
        return;
    if (p->line > 0)
        out_note(o, "not planned: line %lld '%s': %s", (long long)p->line, out_safe(p->source).text,
                 out_safe(p->err.message).text);
    else
        out_note(o, "not planned: '%s': %s", out_safe(p->source).text,
                 out_safe(p->err.message).text);
}

static enum err_code read_options(struct cli *cli, struct plan_options *o)
{
    static const struct {
        const char *name;
        enum plan_from from;
    } inputs[] = {{"from-dir", PLAN_FROM_DIR},
                  {"from-csv", PLAN_FROM_CSV},
                  {"from-jsonl", PLAN_FROM_JSONL},
                  {"from-table", PLAN_FROM_TABLE}};
    const struct args *a = &cli->args;
    int given = 0;

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (args_has(a, inputs[i].name)) {
            o->from = inputs[i].from;
            o->input = args_value(a, inputs[i].name);
            given++;
        }
    }
    if (given != 1)
        return cli_usage(cli, given == 0 ? "nothing to plan from" : "more than one input is given",
                         "give one of --from-dir, --from-csv, --from-jsonl, --from-table");
    o->source_column = args_value(a, "source-column");
    o->source_template = args_value(a, "source-template");
    if (o->from != PLAN_FROM_TABLE && (o->source_column != NULL || o->source_template != NULL))
        return cli_usage(cli, "--source-column and --source-template go with --from-table",
                         "see: blobferry plan --help");
    if (o->from == PLAN_FROM_TABLE && (o->source_column == NULL) == (o->source_template == NULL))
        return cli_usage(cli, "--from-table needs to know where the files lie",
                         "give --source-column NAME or --source-template 'uploads/{file_id}'");
    o->batch_id = args_value(a, "batch-id");
    o->user_id = args_value(a, "user-id");
    o->key_template = args_value(a, "key-template");
    o->checksum = args_has(a, "checksum");
    o->dry_run = args_has(a, "dry-run");
    return args_number(a, "batch-size", 1, 1000000000, &o->batch_size, &cli->err);
}

static void print_json(struct out *o, const struct plan_options *opt, const struct plan_result *r)
{
    struct json_out *w = &o->writer;
    char money[32];

    json_out_boolean(w, "dry_run", opt->dry_run);
    json_out_string(w, "batch_id", r->first_batch);
    json_out_integer(w, "batches", r->batches);
    json_out_integer(w, "planned", r->planned);
    json_out_integer(w, "bytes", r->bytes);
    json_out_integer(w, "refused", r->refused);
    json_out_integer(w, "missing", r->missing);
    json_out_integer(w, "duplicates", r->duplicates);
    json_out_integer(w, "not_regular", r->skipped_special);
    json_out_integer(w, "without_user", r->without_user);
    snprintf(money, sizeof money, "%.2f", r->estimated_usd_month);
    json_out_string(w, "estimated_usd_per_month", money);
    snprintf(money, sizeof money, "%.2f", r->estimated_usd_put);
    json_out_string(w, "estimated_usd_for_uploads", money);
}

static void print_text(struct out *o, const struct plan_options *opt, const struct plan_result *r)
{
    out_line(o, "%s%lld files, %s in %lld batch%s%s%s", opt->dry_run ? "would plan " : "planned ",
             (long long)r->planned, out_size(r->bytes).text, (long long)r->batches,
             r->batches == 1 ? "" : "es", r->planned > 0 ? ": " : "",
             out_safe(r->first_batch).text);
    if (r->refused > 0)
        out_line(o, "%snot planned %lld%s: %lld missing, %lld duplicate keys, %lld no regular file",
                 out_paint(o, OUT_RED), (long long)r->refused, out_reset(o), (long long)r->missing,
                 (long long)r->duplicates, (long long)r->skipped_special);
    if (r->without_user > 0)
        out_line(o, "%lld files have no user: no row in 'files' is made for them (see --user-id)",
                 (long long)r->without_user);
    out_line(o, "on R2 about $%.2f a month for storage, $%.2f once for uploads",
             r->estimated_usd_month, r->estimated_usd_put);
    if (!opt->dry_run && r->planned > 0)
        out_line(o, "next: blobferry migrate --batch-id %s", out_safe(r->first_batch).text);
}

/* The part of s3://bucket/prefix that every key begins with; file:///dir has none. */
static const char *target_prefix(const struct config *c)
{
    const char *target = config_get(c, CONFIG_TARGET);
    const char *slash;

    if (target == NULL || !str_starts(target, "s3://"))
        return NULL;
    slash = target + 5;
    while (*slash != '\0' && *slash != '/')
        slash++;
    return *slash == '/' && slash[1] != '\0' ? slash + 1 : NULL;
}

int cmd_plan(struct cli *cli)
{
    struct plan_options options = {0};
    struct plan_result result = {0};
    struct problems problems = {cli, 0};
    struct wire_needs needs = {.command = "plan", .tracker = true};
    enum err_code code = read_options(cli, &options);

    if (code == ERR_OK) {
        needs.write = needs.audit = needs.log_file = !options.dry_run;
        options.key_prefix = target_prefix(&cli->config);
        code = cli_open(cli, &needs, "planned");
    }
    if (code == ERR_OK) {
        code = plan_run(&cli->wire.engine, &options, on_problem, &problems, &result, &cli->err);
        progress_end(&cli->progress);
        if (cli->out.json && problems.shown > 0)
            json_out_end(&cli->out.writer);
        if (problems.shown > PROBLEMS_SHOWN && !cli->out.json)
            out_note(&cli->out, "... and %lld more", (long long)(problems.shown - PROBLEMS_SHOWN));
        if (code == ERR_OK || code == ERR_PARTIAL || code == ERR_NOTFOUND) {
            if (cli->out.json)
                print_json(&cli->out, &options, &result);
            else
                print_text(&cli->out, &options, &result);
        }
    }
    return cli_close(cli, code);
}
