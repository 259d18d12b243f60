#include "cli/help.h"

#include <stdio.h>

static void option_line(const char *name, const char *argument, const char *help)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    printf("  %-26s %s\n", left, help);
}

static void global_options(void)
{
    size_t n;
    const struct config_setting *s = config_settings(&n);

    puts("\nGlobal options (each with an environment variable BLOBFERRY_*):");
    option_line("config", "FILE", "configuration file (./blobferry.conf)");
    for (size_t i = 0; i < n; i++)
        option_line(s[i].name, s[i].argument, s[i].help);
    option_line("version", NULL, "the version");
    option_line("help", NULL, "this text");
}

void help_general(const struct command *commands)
{
    puts("usage: blobferry [GLOBAL OPTIONS] COMMAND [OPTIONS]\n\n"
         "Moves an application's files into S3-compatible object storage, records every one of "
         "them,\n"
         "proves that the bytes arrived, and takes any part of it back.\n\nCommands:");
    for (const struct command *c = commands; c->name != NULL; c++)
        printf("  %-10s %s\n", c->name, c->summary);
    global_options();
    puts("\nExit codes: 0 all that was asked for is done; 1 general, or some files failed or were\n"
         "refused; 2 configuration or usage; 3 database; 4 object store; 5 file operation;\n"
         "128 + N stopped by signal N.\n\nSee: blobferry COMMAND --help");
}

void help_command(const struct command *c)
{
    printf("usage: blobferry [GLOBAL OPTIONS] %s %s\n\n%s\n", c->name, c->usage, c->summary);
    if (c->options != NULL && c->options->name != NULL) {
        puts("\nOptions:");
        for (const struct option_spec *o = c->options; o->name != NULL; o++)
            option_line(o->name, o->argument, o->help);
    }
    global_options();
}
