/* help: texts of --help, made from the tables of commands, options and settings. */
#ifndef BLOBFERRY_SRC_CLI_HELP_H
#define BLOBFERRY_SRC_CLI_HELP_H

#include "cli/args.h"

#include <stdio.h>

void help_general(const struct command *commands, FILE *to);
void help_command(const struct command *c);

#endif
