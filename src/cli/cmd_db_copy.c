#include "blobferry/base/str.h"
#include "blobferry/engine/copy.h"
#include "cli/cmd_db.h"

#include <stdio.h>
#include <stdlib.h>

static void print_tables(struct out *o, const struct copy_report *r)
{
    static const struct out_column columns[] = {{.name = "TABLE"},
                                                {.name = "SOURCE", .right = true},
                                                {.name = "TARGET", .right = true},
                                                {.name = "DIGEST"}};
    struct out_table *t = out_table_new(o, columns, sizeof columns / sizeof *columns);

    for (size_t i = 0; i < TRACKER_COPIED; i++) {
        const struct copy_table *c = &r->tables[i];
        char rows[24], target[40], digest[24] = "";
        const char *cells[] = {tracker_copy_table(i), rows, target, digest};
        if (!c->there)
            continue;
        snprintf(rows, sizeof rows, "%lld", (long long)c->rows);
        snprintf(target, sizeof target, "%lld%s",
                 (long long)(r->done ? c->written : c->target_rows),
                 !r->done && c->made ? ", to be made" : "");
        snprintf(digest, sizeof digest, "%.16s", r->done ? c->written_digest : "");
        out_table_row(t, OUT_PLAIN, cells, sizeof cells / sizeof *cells);
    }
    out_table_print(t);
}

static void print(struct out *o, const struct copy_report *r, bool confirm, enum err_code code)
{
    if (r->rows == 0)
        return;
    out_line(o, "from %s", r->source);
    out_line(o, "to   %s", r->target);
    print_tables(o, r);
    for (size_t i = 0; i < r->problem_count; i++)
        out_line(o, "%s%s%s", out_paint(o, OUT_RED), r->problem[i], out_reset(o));
    if (r->problems > (int64_t)r->problem_count)
        out_line(o, "... %lld values in all", (long long)r->problems);
    if (r->before.path[0] != '\0')
        out_line(o, "the target as it was: %s", out_safe(r->before.path).text);
    if (r->done)
        out_line(o, "%scopied and read back%s: rows and digests agree, %s", out_paint(o, OUT_GREEN),
                 out_reset(o), out_duration(r->elapsed_ms).text);
    if (r->path[0] != '\0')
        out_line(o, "report: %s", out_safe(r->path).text);
    if (!confirm && code == ERR_OK)
        out_line(o, "dry run: nothing was changed. To do it: add --confirm");
}

/* The target is opened as it is. In a preview one that is not there yet is none. */
static enum err_code open_target(struct cli *cli, const char *url, bool confirm)
{
    const struct tracker_options o = {.url = url,
                                      .read_only = !confirm,
                                      .create = confirm,
                                      .discard = confirm,
                                      .may_be_missing = !confirm};

    return wire_open_tracker(&cli->wire.engine.tracker, &cli->config, &o, &cli->err);
}

static enum err_code copy(struct cli *cli, struct tracker *source, const struct copy_options *o,
                          bool confirm)
{
    struct copy_report *r = calloc(1, sizeof *r);
    enum err_code code;

    if (r == NULL)
        return err_set(&cli->err, ERR_NOMEM, "out of memory");
    code = confirm ? copy_run(&cli->wire.engine, source, o, r, &cli->err)
                   : copy_preview(&cli->wire.engine, source, o, r, &cli->err);
    progress_end(&cli->progress);
    if (r->in_hand > 0)
        out_note(&cli->out,
                 "%lld rows of the source are in the hands of workers: what they do from now on is "
                 "not in the copy",
                 (long long)r->in_hand);
    if (cli->out.json) {
        copy_report_json(&cli->out.writer, r);
        json_out_string(&cli->out.writer, "report", r->path[0] != '\0' ? r->path : NULL);
    } else {
        print(&cli->out, r, confirm, code);
    }
    free(r);
    return code;
}

/* As --db: of a known kind, and without a password in it (P8). */
static enum err_code check_url(struct cli *cli, const char *name, const char *url)
{
    struct config c;
    enum err_code code;

    config_init(&c);
    code = config_set(&c, "db", url, name, &cli->err);
    config_release(&c);
    return code == ERR_OK ? ERR_OK : err_wrap(&cli->err, "%s", name);
}

enum err_code cmd_db_copy(struct cli *cli)
{
    const struct args *a = &cli->args;
    const bool confirm = args_has(a, "confirm");
    const char *from = args_value(a, "from"), *to = args_value(a, "to");
    const struct copy_options o = {.replace = args_has(a, "replace"),
                                   .no_backup = args_has(a, "no-backup"),
                                   .target = to,
                                   .report_dir =
                                       confirm ? config_get(&cli->config, CONFIG_LOG_DIR) : NULL};
    const struct wire_needs needs = {
        .command = "copy", .audit = confirm, .backup = confirm, .log_file = confirm};
    struct tracker *source = NULL;
    enum err_code code;

    if (from == NULL)
        from = config_get(&cli->config, CONFIG_DB);
    if (str_empty(from) || str_empty(to))
        return cli_usage(cli, "'db copy' needs --to URL", "such as --to sqlite:PATH");
    code = check_url(cli, "--from", from);
    if (code == ERR_OK)
        code = check_url(cli, "--to", to);
    if (code != ERR_OK)
        return code;
    code = wire_open_tracker(&source, &cli->config,
                             &(struct tracker_options){.url = from, .read_only = true}, &cli->err);
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "copied");
    cli->progress.unit = "rows read and read back";
    if (code == ERR_OK)
        code = open_target(cli, to, confirm);
    if (code == ERR_OK)
        code = copy(cli, source, &o, confirm);
    tracker_close(source);
    return code;
}
