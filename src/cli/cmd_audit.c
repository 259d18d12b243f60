#include "blobferry/base/fsio.h"
#include "blobferry/engine/journal.h"
#include "cli/cli.h"

#include <string.h>

const struct option_spec cmd_audit_options[] = {
    {"no-database", NULL, "check the chain alone, not the heads in the database", false},
    {NULL, NULL, NULL, false},
};

static void print_json(struct json_out *w, const struct journal_report *r)
{
    json_out_integer(w, "lines", r->lines);
    json_out_integer(w, "runs", r->runs);
    json_out_integer(w, "torn_tails", r->torn);
    json_out_integer(w, "heads_checked", r->heads);
    json_out_integer(w, "heads_missing", r->heads_missing);
    json_out_integer(w, "in_doubt", r->in_doubt);
    json_out_integer(w, "bad_line", r->bad_line);
    json_out_string(w, "problem", r->problem);
    json_out_string(w, "log", r->log_id);
    json_out_integer(w, "last_seq", r->last_seq);
    json_out_string(w, "last_hash", r->last_hash);
}

static void print_text(struct out *o, const struct journal_report *r, bool good)
{
    out_line(o, "%s%s%s: %lld lines, %lld runs, chain head %lld %s",
             out_paint(o, good ? OUT_GREEN : OUT_RED),
             good ? "audit trail is whole" : "audit trail is NOT whole", out_reset(o),
             (long long)r->lines, (long long)r->runs, (long long)r->last_seq, r->last_hash);
    if (r->bad_line > 0)
        out_line(o, "first bad line: %lld: %s", (long long)r->bad_line, out_safe(r->problem).text);
    out_line(o, "%lld heads of the database checked, %lld missing", (long long)r->heads,
             (long long)r->heads_missing);
    if (r->torn > 0)
        out_line(o, "%lld torn lines were recorded after crashes", (long long)r->torn);
    if (r->in_doubt > 0)
        out_line(o, "%lld intents have no outcome yet: the next run resolves them",
                 (long long)r->in_doubt);
}

int cmd_audit(struct cli *cli)
{
    struct journal_report report;
    struct wire_needs needs = {.command = "audit", .tracker = !args_has(&cli->args, "no-database")};
    enum err_code code = cli_open(cli, &needs, "checked");

    memset(&report, 0, sizeof report);
    if (code == ERR_OK) {
        code = journal_verify(config_get(&cli->config, CONFIG_LOG_DIR), cli->wire.engine.tracker,
                              &report, &cli->err);
        if (code == ERR_OK || code == ERR_CONFLICT) {
            if (cli->out.json)
                print_json(&cli->out.writer, &report);
            else
                print_text(&cli->out, &report, code == ERR_OK);
        }
    }
    return cli_close(cli, code);
}
