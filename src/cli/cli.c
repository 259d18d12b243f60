#include "cli/cli.h"

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"

#include <string.h>

enum err_code cli_open(struct cli *cli, const struct wire_needs *needs, const char *verb)
{
    enum err_code code;

    progress_init(&cli->progress, &cli->out, verb);
    code = wire_open(&cli->wire, &cli->config, needs, &cli->err);
    cli->opened = true;
    cli->wire.engine.on_event = progress_event;
    cli->wire.engine.event_user = &cli->progress;
    out_document_begin(&cli->out, cli->args.command->name, cli->wire.run_id);
    if (code == ERR_OK && cli->out.verbose && cli->wire.log != NULL)
        out_note(&cli->out, "log: %s", out_safe(log_path(cli->wire.log)).text);
    return code;
}

/* What the run came to, for the audit's closing line: the class and message of its error, if any. */
static const char *summary(const struct cli *cli, enum err_code code, struct buf *b)
{
    struct json_out o;

    json_out_init(&o, b, 0);
    json_out_object(&o, NULL);
    json_out_string(&o, "result", err_code_name(code));
    if (code != ERR_OK)
        json_out_string(&o, "message", cli->err.message);
    json_out_end(&o);
    return buf_ok(b) ? buf_cstr(b) : NULL;
}

static int exit_code_of(enum err_code code)
{
    if (code == ERR_CANCELLED && process_stop_signal() != 0)
        return 128 + process_stop_signal();
    return err_exit_code(code);
}

/* NULL when the fault is before the command's name. */
static const char *command_name(const struct cli *cli)
{
    return cli->args.command != NULL ? cli->args.command->name : NULL;
}

int cli_close(struct cli *cli, enum err_code code)
{
    struct err ending;
    struct buf b;
    int status = exit_code_of(code);

    buf_init(&b, 16 << 10);
    err_init(&ending);
    if (cli->opened) {
        progress_end(&cli->progress);
        if (wire_close(&cli->wire, status, summary(cli, code, &b), &ending) != ERR_OK) {
            if (code == ERR_OK) {
                code = ending.code;
                cli->err = ending;
                status = exit_code_of(code);
            } else {
                out_error(&cli->out, &ending);
            }
        }
    }
    buf_release(&b);
    if (!cli->opened)
        out_document_begin(&cli->out, command_name(cli), NULL);
    out_document_end(&cli->out, status, code != ERR_OK ? &cli->err : NULL);
    if (code != ERR_OK)
        out_error(&cli->out, &cli->err);
    if (!out_finish(&cli->out) && status == 0)
        status = 1;
    cli->closed = true;
    return status;
}

enum err_code cli_usage(struct cli *cli, const char *message, const char *hint)
{
    err_set(&cli->err, ERR_USAGE, "%s", message);
    return err_hint(&cli->err, "%s", hint);
}
