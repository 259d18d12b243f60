/* args: the command line. Options are matched exactly (an abbreviated --force would be one keystroke from a mistake), may stand
 * before or after the command, as --name value or --name=value; "--" ends them. Unknown ones are errors with a suggestion. */
#ifndef BLOBFERRY_SRC_CLI_ARGS_H
#define BLOBFERRY_SRC_CLI_ARGS_H

#include "blobferry/app/config.h"
#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

struct option_spec {
    const char *name;     /* without dashes; NULL ends a table */
    const char *argument; /* "ID"; NULL: a switch */
    const char *help;
    bool repeatable;
};

struct command {
    const char *name;
    const char *summary;
    const char *usage; /* what follows "blobferry NAME " */
    const struct option_spec *options;
    const char *const *subcommands; /* NULL, or the allowed first words ("verify", NULL) */
    bool words;                     /* takes words that are no options */
    int (*run)(struct cli *cli);    /* returns the exit code */
};

#define ARGS_VALUES_MAX 512

struct args {
    const struct command *command;
    const char *subcommand; /* NULL without */
    const struct option_spec *given[ARGS_VALUES_MAX];
    const char *values[ARGS_VALUES_MAX];
    size_t count;
    const char *words[ARGS_VALUES_MAX];
    size_t word_count;
    const char *config_file;
    bool help, version;
};

/* commands: ends with a name of NULL. Global settings go into config with origin "--name". ERR_USAGE. Everything is borrowed from argv. */
enum err_code args_parse(struct args *a, int argc, char **argv, const struct command *commands,
                         struct config *config, struct err *e);
bool args_has(const struct args *a, const char *name);
const char *args_value(const struct args *a, const char *name); /* the last; NULL when not given */
/* All values of a repeatable option; at most max; returns how many. */
size_t args_all(const struct args *a, const char *name, const char **dst, size_t max);
/* Whole numbers with bounds; *out is left alone when the option is not given. */
enum err_code args_number(const struct args *a, const char *name, int64_t low, int64_t high,
                          int64_t *out, struct err *e);
enum err_code args_size(const struct args *a, const char *name, uint64_t *out, struct err *e);

#endif
