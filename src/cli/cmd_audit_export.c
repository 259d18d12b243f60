#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "blobferry/engine/audit.h"
#include "cli/cmd_audit.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS   86400000
#define FLUSH_AT ((size_t)64 << 10)

/* To standard output, or into a file that appears when it is whole. */
struct target {
    struct cli *cli;
    bool csv, to_file;
    struct fsio_atomic file;
    struct buf text;
};

static enum err_code flush(struct target *t, size_t above, struct err *e)
{
    enum err_code code = ERR_OK;

    if (!buf_ok(&t->text))
        return err_set(e, ERR_LIMIT, "an audit line is too long");
    if (t->text.len <= above)
        return ERR_OK;
    if (t->to_file)
        code = fsio_atomic_write(&t->file, t->text.data, t->text.len, e);
    else if (fwrite(t->text.data, 1, t->text.len, stdout) != t->text.len) {
        t->cli->out.failed = true;
        code = err_set(e, ERR_FILE, "cannot write to standard output");
    }
    buf_reset(&t->text);
    return code;
}

static enum err_code on_line(void *user, const struct audit_line *l, struct err *e)
{
    struct target *t = user;

    if (t->csv) {
        audit_csv_line(&t->text, l);
    } else {
        buf_append(&t->text, l->text, l->len);
        buf_char(&t->text, '\n');
    }
    return flush(t, FLUSH_AT, e);
}

static enum err_code read_date(struct cli *cli, const char *name, bool end_of_day, bool *has,
                               int64_t *ms)
{
    const char *text = args_value(&cli->args, name);

    *has = text != NULL;
    if (text == NULL)
        return ERR_OK;
    if (timefmt_parse_day(text, ms)) {
        *ms += end_of_day ? DAY_MS - 1 : 0;
        return ERR_OK;
    }
    if (timefmt_parse(text, ms))
        return ERR_OK;
    err_set(&cli->err, ERR_USAGE, "'%s' is no date", text);
    return err_hint(&cli->err, "YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SSZ");
}

static enum err_code read_options(struct cli *cli, struct audit_filter *f, struct target *t)
{
    const char *format = args_value(&cli->args, "format");
    enum err_code code;

    f->run = args_value(&cli->args, "run");
    t->csv = str_eq(format, "csv");
    t->to_file = args_has(&cli->args, "output");
    if (format != NULL && !t->csv && !str_eq(format, "jsonl"))
        return cli_usage(cli, "unknown format", "--format jsonl or --format csv");
    if (cli->out.json && !t->to_file)
        return cli_usage(cli, "with --json an export goes into a file", "give --output FILE");
    code = read_date(cli, "from", false, &f->has_from, &f->from_ms);
    if (code == ERR_OK)
        code = read_date(cli, "to", true, &f->has_to, &f->to_ms);
    if (code == ERR_OK && f->has_from && f->has_to && f->from_ms > f->to_ms)
        code = cli_usage(cli, "--from is after --to", "turn them round");
    return code;
}

static enum err_code export_lines(struct cli *cli, const struct audit_filter *f, struct target *t,
                                  struct audit_tally *tally)
{
    const char *path = args_value(&cli->args, "output");
    enum err_code code = ERR_OK;

    if (t->to_file)
        code = fsio_atomic_begin(&t->file, path, 0600, &cli->err);
    if (code == ERR_OK && t->csv)
        audit_csv_head(&t->text);
    if (code == ERR_OK)
        code =
            audit_lines(config_get(&cli->config, CONFIG_LOG_DIR), f, on_line, t, tally, &cli->err);
    if (code == ERR_OK && tally->lines == 0) /* nothing is no export (P9) */
        code = err_set(&cli->err, ERR_NOTFOUND, "no audit lines match");
    if (code == ERR_OK)
        code = flush(t, 0, &cli->err);
    if (code == ERR_OK && t->to_file)
        code = fsio_atomic_commit(&t->file, FSIO_NEW, &cli->err);
    fsio_atomic_abort(&t->file);
    return code;
}

enum err_code cmd_audit_export(struct cli *cli)
{
    struct target t = {.cli = cli, .file = {.fd = -1}};
    struct audit_filter filter;
    struct audit_tally tally = {0};
    enum err_code code;

    memset(&filter, 0, sizeof filter);
    buf_init(&t.text, (size_t)16 << 20);
    code = read_options(cli, &filter, &t);
    if (code == ERR_OK)
        code = cli_open(cli, &(struct wire_needs){.command = "audit"}, "read");
    if (code == ERR_OK)
        code = export_lines(cli, &filter, &t, &tally);
    if (code == ERR_OK && cli->out.json) {
        json_out_string(&cli->out.writer, "file", args_value(&cli->args, "output"));
        json_out_integer(&cli->out.writer, "lines", tally.lines);
    }
    if (tally.damaged > 0)
        out_note(&cli->out, "%lld lines cannot be read; see: blobferry audit verify",
                 (long long)tally.damaged);
    if (code == ERR_OK && t.to_file)
        out_note(&cli->out, "%lld lines in %s", (long long)tally.lines,
                 out_safe(args_value(&cli->args, "output")).text);
    buf_release(&t.text);
    return code;
}
