#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "cli/cli.h"
#include "cli/help.h"

#include <locale.h>
#include <stdio.h>

/* --help, --version, or no command at all; false when there is a command to run. */
static bool answer(struct cli *cli, int *status)
{
    const struct args *a = &cli->args;

    *status = a->help || a->version ? 0 : 2;
    if (a->version)
        puts("blobferry " BLOBFERRY_VERSION);
    else if (a->command != NULL && a->help)
        help_command(a->command);
    else if (a->command == NULL)
        help_general(cli_commands, a->help ? stdout : stderr);
    return a->version || a->help || a->command == NULL;
}

static enum err_code prepare(struct cli *cli)
{
    const struct args *a = &cli->args;
    /* init writes the file that --config names */
    bool may_be_missing = str_eq(a->command->name, "init");

    if (a->command->subcommands != NULL && a->subcommand == NULL) {
        err_set(&cli->err, ERR_USAGE, "'%s' needs to know what to do", a->command->name);
        return err_hint(&cli->err, "see: blobferry %s --help", a->command->name);
    }
    return config_load(&cli->config, a->config_file, may_be_missing, &cli->err);
}

static int run(struct cli *cli, int argc, char **argv)
{
    int status;
    enum err_code code = args_parse(&cli->args, argc, argv, cli_commands, &cli->config, &cli->err);

    if (code == ERR_OK && answer(cli, &status))
        return status;
    if (code == ERR_OK)
        code = prepare(cli);
    out_init(&cli->out, &cli->config);
    if (code != ERR_OK) {
        for (int i = 1; i < argc; i++) /* also where parsing has not come to it */
            cli->out.json = cli->out.json || str_eq(argv[i], "--json");
        return cli_close(cli, code);
    }
    err_init(&cli->err);
    return cli->args.command->run(cli);
}

int main(int argc, char **argv)
{
    static struct cli cli;
    int status;

    process_harden();
    process_catch_signals();
    setlocale(LC_CTYPE, "C.UTF-8"); /* what we print is UTF-8, whatever the terminal thinks */
    config_init(&cli.config);
    err_init(&cli.err);
    status = run(&cli, argc, argv);
    if (!cli.closed && !out_finish(&cli.out) && status == 0)
        status = 1;
    out_release(&cli.out);
    config_release(&cli.config);
    return status;
}
