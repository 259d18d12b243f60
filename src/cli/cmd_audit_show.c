/* cmd_audit_show: audit list and audit show. */
#include "blobferry/base/str.h"
#include "blobferry/engine/audit.h"
#include "cli/cmd_audit.h"

#include <stdio.h>
#include <string.h>

static void note_damage(struct cli *cli, const struct audit_tally *tally)
{
    if (tally->damaged > 0)
        out_note(&cli->out, "%lld lines cannot be read; see: blobferry audit verify",
                 (long long)tally->damaged);
}

/* ---- list -------------------------------------------------------------------------------------------------- */

struct listing {
    struct cli *cli;
    struct out_table *table;
    int64_t runs;
};

static void run_json(struct json_out *w, const struct audit_run *r)
{
    json_out_object(w, NULL);
    json_out_string(w, "run", r->run);
    json_out_string(w, "command", r->command);
    json_out_string(w, "begun", r->begun);
    json_out_string(w, "last", r->last);
    json_out_boolean(w, "ended", r->ended);
    if (r->ended) {
        json_out_boolean(w, "success", r->success);
        json_out_string(w, "result", r->result);
        json_out_integer(w, "duration_ms", r->duration_ms);
    }
    json_out_integer(w, "lines", r->lines);
    json_out_integer(w, "succeeded", r->succeeded);
    json_out_integer(w, "failed", r->failed);
    json_out_integer(w, "refused", r->refused);
    json_out_string(w, "signed_by", r->key[0] != '\0' ? r->key : NULL);
    json_out_end(w);
}

static enum err_code on_run(void *user, const struct audit_run *r, struct err *e)
{
    struct listing *l = user;
    char lines[24], good[24], bad[24];
    struct out_text took = out_duration(r->duration_ms);
    const char *cells[] = {
        r->run, r->begun, r->command, r->ended ? r->result : "no end", r->ended ? took.text : "",
        lines,  good,     bad};
    (void)e;

    l->runs++;
    if (l->cli->out.json) {
        run_json(&l->cli->out.writer, r);
        return ERR_OK;
    }
    snprintf(lines, sizeof lines, "%lld", (long long)r->lines);
    snprintf(good, sizeof good, "%lld", (long long)r->succeeded);
    snprintf(bad, sizeof bad, "%lld", (long long)r->failed + (long long)r->refused);
    out_table_row(l->table,
                  !r->ended    ? OUT_YELLOW
                  : r->success ? OUT_PLAIN
                               : OUT_RED,
                  cells, sizeof cells / sizeof *cells);
    return ERR_OK;
}

enum err_code cmd_audit_show_list(struct cli *cli)
{
    static const struct out_column columns[] = {{.name = "RUN"},
                                                {.name = "BEGAN"},
                                                {.name = "COMMAND"},
                                                {.name = "RESULT"},
                                                {.name = "TOOK", .right = true},
                                                {.name = "LINES", .right = true},
                                                {.name = "OK", .right = true},
                                                {.name = "FAILED", .right = true}};
    struct listing l = {.cli = cli};
    struct audit_tally tally = {0};
    int64_t limit = 50;
    enum err_code code = args_number(&cli->args, "limit", 1, 10000, &limit, &cli->err);

    if (code == ERR_OK)
        code = cli_open(cli, &(struct wire_needs){.command = "audit"}, "read");
    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        json_out_array(&cli->out.writer, "runs");
    l.table = out_table_new(&cli->out, columns, sizeof columns / sizeof *columns);
    code = audit_list(config_get(&cli->config, CONFIG_LOG_DIR), (size_t)limit, on_run, &l, &tally,
                      &cli->err);
    out_table_print(l.table);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    note_damage(cli, &tally);
    if (code == ERR_OK && l.runs == 0)
        out_line(&cli->out, "no runs");
    return code;
}

/* ---- show -------------------------------------------------------------------------------------------------- */

static void line_json(struct json_out *w, const struct audit_line *l)
{
    static const char *const names[] = {
        "file_id",     "record_id",  "batch_id", "filename",    "target_key", "source_path",
        "etag",        "version_id", "sha256",   "from",        "to",         "size",
        "duration_ms", "success",    "error",    "error_class", "detail",     "dry_run"};
    char value[16384];

    json_out_object(w, NULL);
    json_out_string(w, "time", l->time);
    json_out_string(w, "run", l->run);
    json_out_integer(w, "seq", l->seq);
    json_out_string(w, "action", l->action);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t n;
        bool number = str_eq(names[i], "size") || str_eq(names[i], "duration_ms");
        bool truth = str_eq(names[i], "success") || str_eq(names[i], "dry_run");

        if (audit_field(l, names[i], value, sizeof value)[0] == '\0')
            continue;
        if (number && str_to_u64(value, &n))
            json_out_integer(w, names[i], (int64_t)n);
        else if (truth)
            json_out_boolean(w, names[i], str_eq(value, "true"));
        else
            json_out_string(w, names[i], value);
    }
    json_out_end(w);
}

/* What says most about the line, on one screen line. */
static void line_text(struct out *o, const struct audit_line *l)
{
    static const char *const names[] = {"batch_id",    "target_key", "to",
                                        "error_class", "error",      "detail"};
    char value[4096], text[1200];
    size_t n = 0;
    bool failed = str_eq(audit_field(l, "success", value, sizeof value), "false") ||
                  str_ends(l->action, "_refused");

    text[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names && n < sizeof text; i++) {
        if (audit_field(l, names[i], value, sizeof value)[0] != '\0')
            n += (size_t)snprintf(text + n, sizeof text - n, "  %.300s", value);
    }
    out_line(o, "%s%s %6lld %-18s%s%s", out_paint(o, failed ? OUT_RED : OUT_PLAIN), l->time,
             (long long)l->seq, l->action, text, out_reset(o));
}

static enum err_code on_line(void *user, const struct audit_line *l, struct err *e)
{
    struct cli *cli = user;
    (void)e;

    if (cli->out.json)
        line_json(&cli->out.writer, l);
    else
        line_text(&cli->out, l);
    return ERR_OK;
}

enum err_code cmd_audit_show_run(struct cli *cli)
{
    const struct audit_filter filter = {.run = cli->args.words[0]};
    struct audit_tally tally = {0};
    enum err_code code = cli_open(cli, &(struct wire_needs){.command = "audit"}, "read");

    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        json_out_array(&cli->out.writer, "lines");
    code = audit_lines(config_get(&cli->config, CONFIG_LOG_DIR), &filter, on_line, cli, &tally,
                       &cli->err);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    note_damage(cli, &tally);
    return code;
}
