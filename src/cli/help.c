#include "cli/help.h"

static void option_line(FILE *to, const char *name, const char *argument, const char *help)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    fprintf(to, "  %-26s %s\n", left, help);
}

static void global_options(FILE *to)
{
    size_t n;
    const struct config_setting *s = config_settings(&n);

    fputs("\nGlobal options (each with an environment variable BLOBFERRY_*):\n", to);
    option_line(to, "config", "FILE", "configuration file (./blobferry.conf)");
    for (size_t i = 0; i < n; i++)
        option_line(to, s[i].name, s[i].argument, s[i].help);
    option_line(to, "version", NULL, "the version");
    option_line(to, "help", NULL, "this text");
}

void help_general(const struct command *commands, FILE *to)
{
    fputs("usage: blobferry [GLOBAL OPTIONS] COMMAND [OPTIONS]\n\n"
          "Moves an application's files into S3-compatible object storage, records every one of "
          "them,\n"
          "proves that the bytes arrived, and takes any part of it back.\n\nCommands:\n",
          to);
    for (const struct command *c = commands; c->name != NULL; c++)
        fprintf(to, "  %-10s %s\n", c->name, c->summary);
    global_options(to);
    fputs(
        "\nExit codes: 0 all that was asked for is done; 1 general, or some files failed or were\n"
        "refused; 2 configuration or usage; 3 database; 4 object store; 5 file operation;\n"
        "128 + N stopped by signal N.\n\nSee: blobferry COMMAND --help\n",
        to);
}

void help_command(const struct command *c)
{
    fprintf(stdout, "usage: blobferry [GLOBAL OPTIONS] %s %s\n\n%s\n", c->name, c->usage,
            c->summary);
    if (c->options != NULL && c->options->name != NULL) {
        fputs("\nOptions:\n", stdout);
        for (const struct option_spec *o = c->options; o->name != NULL; o++)
            option_line(stdout, o->name, o->argument, o->help);
    }
    global_options(stdout);
}
