#include "cli/subcommand.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>

/* "list, show, …" */
static void words_of(const struct subcommand *all, char *dst, size_t size)
{
    size_t n = 0;

    dst[0] = '\0';
    for (; all->word != NULL && n < size; all++)
        n += (size_t)snprintf(dst + n, size - n, "%s%s", n > 0 ? ", " : "", all->word);
}

static bool belongs(const struct subcommand *s, const char *option)
{
    char padded[80];

    snprintf(padded, sizeof padded, " %s ", option);
    return strstr(s->options, padded) != NULL;
}

static const struct subcommand *refuse(struct cli *cli, const char *message)
{
    err_set(&cli->err, ERR_USAGE, "%s", message);
    err_hint(&cli->err, "see: blobferry %s --help", cli->args.command->name);
    return NULL;
}

const struct subcommand *subcommand_pick(struct cli *cli, const struct subcommand *all)
{
    const struct args *a = &cli->args;
    const struct subcommand *s = all;
    char message[300], words[200];

    if (a->subcommand == NULL) {
        words_of(all, words, sizeof words);
        snprintf(message, sizeof message, "'%s' needs one of: %s", a->command->name, words);
        return refuse(cli, message);
    }
    while (s->word != NULL && !str_eq(s->word, a->subcommand))
        s++;
    if (s->word == NULL)
        return refuse(cli, "no such command");
    for (size_t i = 0; i < a->count; i++) {
        if (!belongs(s, a->given[i]->name)) {
            snprintf(message, sizeof message, "'--%s' means nothing to '%s %s'", a->given[i]->name,
                     a->command->name, s->word);
            return refuse(cli, message);
        }
    }
    if (s->operand == NULL ? a->word_count > 0 : a->word_count != 1) {
        snprintf(message, sizeof message, "'%s %s' takes %s%s", a->command->name, s->word,
                 s->operand != NULL ? "one " : "no further word",
                 s->operand != NULL ? s->operand : "");
        return refuse(cli, message);
    }
    if (s->operand != NULL && a->words[0][0] == '\0') {
        snprintf(message, sizeof message, "%s is empty", s->operand);
        return refuse(cli, message);
    }
    return s;
}

int subcommand_run(struct cli *cli, const struct subcommand *all)
{
    const struct subcommand *s = subcommand_pick(cli, all);

    return cli_close(cli, s != NULL ? s->run(cli) : cli->err.code);
}
