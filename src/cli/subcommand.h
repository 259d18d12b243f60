/* subcommand: commands that have further commands under them (audit list, backup restore): which one, with which options and words. */
#ifndef BLOBFERRY_SRC_CLI_SUBCOMMAND_H
#define BLOBFERRY_SRC_CLI_SUBCOMMAND_H

#include "cli/cli.h"

struct subcommand {
    const char *word; /* NULL ends a table */
    const char *
        options; /* of the command's options, those that mean something here; between blanks: " key run " */
    const char *operand; /* the one word that must follow, for messages: "FILE"; NULL none */
    enum err_code (*run)(struct cli *cli);
};
/* NULL with cli->err filled (ERR_USAGE) when no word is given, an option does not belong to it, or the operand is missing. */
const struct subcommand *subcommand_pick(struct cli *cli, const struct subcommand *all);
/* Picks, runs and closes: the body of a command. */
int subcommand_run(struct cli *cli, const struct subcommand *all);

#endif
