#include "blobferry/base/process.h"
#include "cli/cli.h"
#include "cli/help.h"

#include <stdio.h>

static int run(struct cli *cli, int argc, char **argv)
{
    if (args_parse(&cli->args, argc, argv, cli_commands, &cli->config, &cli->err) != ERR_OK)
        return err_exit_code(cli->err.code);
    if (cli->args.version) {
        puts("blobferry " BLOBFERRY_VERSION);
        return 0;
    }
    if (cli->args.help || cli->args.command == NULL) {
        if (cli->args.command != NULL)
            help_command(cli->args.command);
        else
            help_general(cli_commands);
        return cli->args.help ? 0 : 2;
    }
    if (cli->args.command->subcommands != NULL && cli->args.subcommand == NULL) {
        err_set(&cli->err, ERR_USAGE, "'%s' needs to know what to do", cli->args.command->name);
        err_hint(&cli->err, "see: blobferry %s --help", cli->args.command->name);
        return 2;
    }
    if (config_load(&cli->config, cli->args.config_file, &cli->err) != ERR_OK)
        return err_exit_code(cli->err.code);
    out_init(&cli->out, &cli->config);
    err_init(&cli->err);
    return cli->args.command->run(cli);
}

int main(int argc, char **argv)
{
    static struct cli cli;
    int status;

    process_harden();
    process_catch_signals();
    config_init(&cli.config);
    err_init(&cli.err);
    status = run(&cli, argc, argv);
    if (!cli.closed) { /* no command has run: nobody has printed yet */
        if (cli.err.code != ERR_OK)
            out_error(&cli.out, &cli.err);
        if (!out_finish(&cli.out) && status == 0)
            status = 1;
    }
    out_release(&cli.out);
    config_release(&cli.config);
    return status;
}
