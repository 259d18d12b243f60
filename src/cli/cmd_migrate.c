#include "blobferry/base/str.h"
#include "blobferry/engine/migrate.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define BATCHES_MAX ARGS_VALUES_MAX /* as many as a command line can hold */

const struct option_spec cmd_migrate_options[] = {
    {"batch-id", "ID", "migrate this batch (may be repeated)", true},
    {"all", NULL, "migrate every batch that has work", false},
    {"retry-failed", NULL, "try failed files again", false},
    {"again", NULL, "migrate rolled back files again", false},
    {"watch", NULL, "wait for new work until stopped", false},
    {"concurrency", "auto|N", "files and requests at once (auto: more while throughput rises)",
     false},
    {"part-size", "SIZE", "part size of multipart uploads, 5M to 5G (16M)", false},
    {"bwlimit", "RATE|TIMES", "bytes per second, such as 10M, or '08:00,512K 18:00,30M 23:00,off'",
     false},
    {"max-failures", "N|N%", "stop after so many failed files (never)", false},
    {"if-exists", "HOW", "an object is there already: skip-same (default), fail, overwrite", false},
    {NULL, NULL, NULL, false},
};

static enum err_code failures_option(struct cli *cli, struct migrate_options *o)
{
    const char *v = args_value(&cli->args, "max-failures");
    char number[24];
    uint64_t n;

    o->max_failures = -1;
    if (v == NULL)
        return ERR_OK;
    if (str_ends(v, "%") && str_copy(number, sizeof number, v)) {
        number[strlen(number) - 1] = '\0';
        if (str_to_u64(number, &n) && n >= 1 && n <= 100) {
            o->max_failure_percent = (int)n;
            return ERR_OK;
        }
    } else if (str_to_u64(v, &n) && n <= 1000000000) {
        o->max_failures = (int64_t)n;
        return ERR_OK;
    }
    err_set(&cli->err, ERR_USAGE, "'%s' is no value for '--max-failures'", v);
    return err_hint(&cli->err, "a number of files such as 100, or a percentage such as 5%%");
}

static enum err_code exists_option(struct cli *cli, struct migrate_options *o)
{
    static const struct {
        const char *name;
        enum migrate_if_exists how;
    } ways[] = {
        {"skip-same", MIGRATE_SKIP_SAME}, {"fail", MIGRATE_FAIL}, {"overwrite", MIGRATE_OVERWRITE}};
    const char *v = args_value(&cli->args, "if-exists");

    if (v == NULL)
        return ERR_OK;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (str_eq(v, ways[i].name)) {
            o->if_exists = ways[i].how;
            return ERR_OK;
        }
    }
    err_set(&cli->err, ERR_USAGE, "'%s' is no value for '--if-exists'", v);
    return err_hint(&cli->err, "skip-same, fail or overwrite");
}

/* For tests and measurements; not worth an option. */
static int loops_wanted(void)
{
    uint64_t n = 0;

    return str_to_u64(getenv("BLOBFERRY_LOOPS"), &n) && n <= 1024 ? (int)n : 0;
}

static enum err_code read_options(struct cli *cli, struct migrate_options *o, const char **batches,
                                  struct bandwidth *bandwidth)
{
    const struct args *a = &cli->args;
    int64_t concurrency = 0;
    enum err_code code;

    o->batch_count = args_all(a, "batch-id", batches, BATCHES_MAX);
    o->batch_ids = o->batch_count > 0 ? batches : NULL;
    if ((o->batch_count > 0) == args_has(a, "all"))
        return cli_usage(cli,
                         o->batch_count > 0 ? "--batch-id and --all contradict each other"
                                            : "no batch is named",
                         "give --batch-id ID or --all (see: blobferry status)");
    o->retry_failed = args_has(a, "retry-failed");
    o->again = args_has(a, "again");
    o->watch = args_has(a, "watch");
    code = str_eq(args_value(a, "concurrency"), "auto")
               ? ERR_OK
               : args_number(a, "concurrency", 1, 1024, &concurrency, &cli->err);
    o->concurrency = (int)concurrency;
    o->loops = loops_wanted();
    if (code == ERR_OK)
        code = args_size(a, "part-size", &o->part_size, &cli->err);
    if (code == ERR_OK && o->part_size != 0 &&
        (o->part_size < OBJSTORE_PART_MIN || o->part_size > OBJSTORE_PART_MAX))
        code = cli_usage(cli, "--part-size is out of range", "from 5M to 5G");
    if (code == ERR_OK)
        code = bandwidth_parse(bandwidth, args_value(a, "bwlimit"), &cli->err);
    if (code == ERR_OK)
        code = failures_option(cli, o);
    return code == ERR_OK ? exists_option(cli, o) : code;
}

static void print_json(struct json_out *w, const struct migrate_result *r)
{
    json_out_integer(w, "completed", r->completed);
    json_out_integer(w, "failed", r->failed);
    json_out_integer(w, "already_there", r->already_there);
    json_out_integer(w, "taken_over", r->taken_over);
    json_out_integer(w, "released", r->released);
    json_out_integer(w, "elsewhere", r->elsewhere);
    json_out_integer(w, "bytes", r->bytes_sent);
    json_out_integer(w, "elapsed_ms", r->elapsed_ms);
}

static void print_text(struct out *o, const struct migrate_result *r)
{
    int64_t ms = r->elapsed_ms > 0 ? r->elapsed_ms : 1;

    out_line(o, "%s%lld completed%s, %s%lld failed%s, %s in %s (%s/s)", out_paint(o, OUT_GREEN),
             (long long)r->completed, out_reset(o), r->failed > 0 ? out_paint(o, OUT_RED) : "",
             (long long)r->failed, r->failed > 0 ? out_reset(o) : "", out_size(r->bytes_sent).text,
             out_duration(r->elapsed_ms).text, out_size(r->bytes_sent * 1000 / ms).text);
    if (r->already_there > 0)
        out_line(o, "%lld of them were there already with the same bytes",
                 (long long)r->already_there);
    if (r->taken_over > 0)
        out_line(o, "%lld rows were taken over from workers that have died",
                 (long long)r->taken_over);
    if (r->released > 0)
        out_line(o, "%lld rows went back to pending", (long long)r->released);
    if (r->elsewhere > 0)
        out_line(o, "%lld rows are in the hands of other workers", (long long)r->elsewhere);
}

int cmd_migrate(struct cli *cli)
{
    const char *batches[BATCHES_MAX];
    struct migrate_options options = {0};
    struct migrate_result result = {0};
    struct bandwidth bandwidth = {0};
    struct wire_needs needs = {.command = "migrate",
                               .tracker = true,
                               .write = true,
                               .store = true,
                               .audit = true,
                               .log_file = true,
                               .bandwidth = &bandwidth};
    enum err_code code = read_options(cli, &options, batches, &bandwidth);

    if (code == ERR_OK) {
        needs.concurrency = options.concurrency;
        code = cli_open(cli, &needs, "migrated");
    }
    if (code == ERR_OK) {
        code = migrate_run(&cli->wire.engine, &options, &result, &cli->err);
        progress_end(&cli->progress);
        if (cli->out.json)
            print_json(&cli->out.writer, &result);
        else if (code != ERR_NOTFOUND)
            print_text(&cli->out, &result);
        if (code == ERR_OK && options.batch_count > 0)
            out_line(&cli->out, "next: blobferry verify --batch-id %s", out_safe(batches[0]).text);
    }
    return cli_close(cli, code);
}
