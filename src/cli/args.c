#include "cli/args.h"

#include "blobferry/base/str.h"

#include <string.h>

/* Edit distance, for "did you mean"; both at most 31 bytes. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], n = strlen(b);

    if (strlen(a) > 31 || n > 31)
        return 99;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

struct suggestion {
    const char *word;
    size_t distance;
};

static void consider(struct suggestion *s, const char *given, const char *candidate)
{
    size_t d = distance(given, candidate);
    if (d < s->distance && d <= 1 + strlen(candidate) / 3)
        *s = (struct suggestion){candidate, d};
}

static const struct option_spec *find_option(const struct command *c, const char *name)
{
    if (c == NULL || c->options == NULL)
        return NULL;
    for (const struct option_spec *o = c->options; o->name != NULL; o++) {
        if (str_eq(o->name, name))
            return o;
    }
    return NULL;
}

static const struct config_setting *find_setting(const char *name)
{
    size_t n;
    const struct config_setting *s = config_settings(&n);
    for (size_t i = 0; i < n; i++) {
        if (str_eq(s[i].name, name))
            return &s[i];
    }
    return NULL;
}

static enum err_code unknown_option(const struct args *a, const char *name, struct err *e)
{
    struct suggestion s = {NULL, 99};
    size_t n;
    const struct config_setting *settings = config_settings(&n);

    if (a->command != NULL && a->command->options != NULL) {
        for (const struct option_spec *o = a->command->options; o->name != NULL; o++)
            consider(&s, name, o->name);
    }
    for (size_t i = 0; i < n; i++)
        consider(&s, name, settings[i].name);
    err_set(e, ERR_USAGE, "unknown option '--%s'%s%s", name, a->command != NULL ? " for " : "",
            a->command != NULL ? a->command->name : "");
    if (s.word != NULL)
        return err_hint(e, "did you mean --%s?", s.word);
    return err_hint(e, "see: blobferry %s%s--help", a->command != NULL ? a->command->name : "",
                    a->command != NULL ? " " : "");
}

static enum err_code unknown_command(const char *word, const struct command *commands,
                                     struct err *e)
{
    struct suggestion s = {NULL, 99};

    for (const struct command *c = commands; c->name != NULL; c++)
        consider(&s, word, c->name);
    err_set(e, ERR_USAGE, "unknown command '%s'", word);
    if (s.word != NULL)
        return err_hint(e, "did you mean '%s'?", s.word);
    return err_hint(e, "see: blobferry --help");
}

static enum err_code take_word(struct args *a, const char *word, const struct command *commands,
                               struct err *e)
{
    if (a->command == NULL) {
        for (const struct command *c = commands; c->name != NULL; c++) {
            if (str_eq(c->name, word)) {
                a->command = c;
                return ERR_OK;
            }
        }
        return unknown_command(word, commands, e);
    }
    if (a->command->subcommands != NULL && a->subcommand == NULL) {
        for (const char *const *s = a->command->subcommands; *s != NULL; s++) {
            if (str_eq(*s, word)) {
                a->subcommand = *s;
                return ERR_OK;
            }
        }
        err_set(e, ERR_USAGE, "unknown command '%s %s'", a->command->name, word);
        return err_hint(e, "see: blobferry %s --help", a->command->name);
    }
    if (!a->command->words || a->word_count == ARGS_VALUES_MAX) {
        err_set(e, ERR_USAGE, "'%s' takes no argument '%s'", a->command->name, word);
        return err_hint(e, "see: blobferry %s --help", a->command->name);
    }
    a->words[a->word_count++] = word;
    return ERR_OK;
}

static enum err_code take_own(struct args *a, const struct option_spec *o, const char *value,
                              struct err *e)
{
    if (!o->repeatable && args_has(a, o->name))
        return err_set(e, ERR_USAGE, "'--%s' is given twice", o->name);
    if (o->argument != NULL && value[0] == '\0')
        return err_set(e, ERR_USAGE, "'--%s' is empty", o->name);
    if (a->count == ARGS_VALUES_MAX)
        return err_set(e, ERR_USAGE, "too many options");
    a->given[a->count] = o;
    a->values[a->count++] = value;
    return ERR_OK;
}

struct option {
    char name[64];
    const char *value; /* after '=', or NULL */
};

static enum err_code split(const char *arg, struct option *o, struct err *e)
{
    static const struct {
        const char *letter, *name;
    } letters[] = {{"-h", "help"}, {"-V", "version"}, {"-q", "quiet"}, {"-v", "verbose"}};
    const char *equals = strchr(arg, '=');
    size_t n = equals != NULL ? (size_t)(equals - arg) : strlen(arg);

    o->value = equals != NULL ? equals + 1 : NULL;
    if (arg[1] != '-') {
        for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
            if (str_eq(arg, letters[i].letter)) {
                str_copy(o->name, sizeof o->name, letters[i].name);
                return ERR_OK;
            }
        }
        return err_set(e, ERR_USAGE, "unknown option '%s'", arg);
    }
    if (n - 2 >= sizeof o->name)
        return err_set(e, ERR_USAGE, "unknown option '%s'", arg);
    memcpy(o->name, arg + 2, n - 2);
    o->name[n - 2] = '\0';
    return ERR_OK;
}

/* The value that follows. One that looks like an option is more likely a forgotten value: "--batch-id --confirm" must not
 * become a batch of that name. */
static enum err_code next_value(const char *name, char **argv, int argc, int *i, const char **value,
                                struct err *e)
{
    if (*i + 1 >= argc)
        return err_set(e, ERR_USAGE, "'--%s' needs a value", name);
    if (str_starts(argv[*i + 1], "--")) {
        err_set(e, ERR_USAGE, "'--%s' needs a value, and '%s' looks like an option", name,
                argv[*i + 1]);
        return err_hint(e, "if it is the value, write --%s=%s", name, argv[*i + 1]);
    }
    *value = argv[++*i];
    return ERR_OK;
}

static enum err_code take_config_file(struct args *a, const char *value, struct err *e)
{
    if (a->config_file != NULL || value == NULL)
        return err_set(e, ERR_USAGE, "'--config' is given twice");
    if (value[0] == '\0')
        return err_set(e, ERR_USAGE, "'--config' is empty");
    a->config_file = value;
    return ERR_OK;
}

static enum err_code take_setting(struct config *config, const struct config_setting *s,
                                  const char *value, struct err *e)
{
    if (s->argument != NULL && config->value[s->key] != NULL)
        return err_set(e, ERR_USAGE, "'--%s' is given twice", s->name);
    return config_set(config, s->name, value != NULL ? value : "yes", "--option", e);
}

static enum err_code take_option(struct args *a, const struct option *o, char **argv, int argc,
                                 int *i, struct config *config, struct err *e)
{
    const struct option_spec *own = find_option(a->command, o->name);
    const struct config_setting *global = own == NULL ? find_setting(o->name) : NULL;
    bool is_config = own == NULL && str_eq(o->name, "config");
    bool help = str_eq(o->name, "help"), version = str_eq(o->name, "version");
    bool wants;
    const char *value = o->value;

    if (own == NULL && global == NULL && !is_config && !help && !version)
        return unknown_option(a, o->name, e);
    wants = is_config || (own != NULL && own->argument != NULL) ||
            (global != NULL && global->argument != NULL);
    if (wants && value == NULL && next_value(o->name, argv, argc, i, &value, e) != ERR_OK)
        return ERR_USAGE;
    if (!wants && value != NULL)
        return err_set(e, ERR_USAGE, "'--%s' takes no value", o->name);
    a->help = a->help || help;
    a->version = a->version || version;
    if (is_config)
        return take_config_file(a, value, e);
    if (own != NULL)
        return take_own(a, own, value != NULL ? value : "", e);
    return global != NULL ? take_setting(config, global, value, e) : ERR_OK;
}

/* Does an option that stands before the command take a value? Global ones are known; of the others any command's own. */
static bool takes_value(const char *name, const struct command *commands)
{
    const struct config_setting *s = find_setting(name);

    if (str_eq(name, "config"))
        return true;
    for (const struct command *c = commands; s == NULL && c->name != NULL; c++) {
        const struct option_spec *o = find_option(c, name);
        if (o != NULL && o->argument != NULL)
            return true;
    }
    return s != NULL && s->argument != NULL;
}

/* The command's own options are known only with the command, which may stand after options: find it first. *at is its place
 * in argv, 0 without one. */
static enum err_code find_command(struct args *a, int argc, char **argv,
                                  const struct command *commands, int *at, struct err *e)
{
    bool only_words = false;

    for (*at = 1; *at < argc; ++*at) {
        const char *arg = argv[*at];
        struct option o;

        if (only_words || arg[0] != '-' || arg[1] == '\0')
            return take_word(a, arg, commands, e);
        only_words = str_eq(arg, "--");
        if (only_words)
            continue;
        if (split(arg, &o, e) != ERR_OK)
            return ERR_USAGE;
        if (o.value == NULL && takes_value(o.name, commands))
            ++*at;
    }
    *at = 0;
    return ERR_OK;
}

enum err_code args_parse(struct args *a, int argc, char **argv, const struct command *commands,
                         struct config *config, struct err *e)
{
    bool only_words = false;
    int command_at = 0;
    enum err_code code;

    memset(a, 0, sizeof *a);
    code = find_command(a, argc, argv, commands, &command_at, e);
    for (int i = 1; i < argc && code == ERR_OK; i++) {
        struct option o;

        if (i == command_at)
            continue;
        if (!only_words && str_eq(argv[i], "--")) {
            only_words = true;
        } else if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            code = take_word(a, argv[i], commands, e);
        } else {
            code = split(argv[i], &o, e);
            if (code == ERR_OK)
                code = take_option(a, &o, argv, argc, &i, config, e);
        }
    }
    return code;
}

bool args_has(const struct args *a, const char *name)
{
    return args_value(a, name) != NULL;
}

const char *args_value(const struct args *a, const char *name)
{
    for (size_t i = a->count; i > 0; i--) {
        if (str_eq(a->given[i - 1]->name, name))
            return a->values[i - 1];
    }
    return NULL;
}

size_t args_all(const struct args *a, const char *name, const char **dst, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count && n < max; i++) {
        if (str_eq(a->given[i]->name, name))
            dst[n++] = a->values[i];
    }
    return n;
}

enum err_code args_number(const struct args *a, const char *name, int64_t low, int64_t high,
                          int64_t *out, struct err *e)
{
    const char *v = args_value(a, name);
    uint64_t n;

    if (v == NULL)
        return ERR_OK;
    if (!str_to_u64(v, &n) || n > (uint64_t)high || (int64_t)n < low) {
        err_set(e, ERR_USAGE, "'%s' is no value for '--%s'", v, name);
        return err_hint(e, "a whole number from %lld to %lld", (long long)low, (long long)high);
    }
    *out = (int64_t)n;
    return ERR_OK;
}

enum err_code args_size(const struct args *a, const char *name, uint64_t *out, struct err *e)
{
    const char *v = args_value(a, name);

    if (v == NULL)
        return ERR_OK;
    if (!str_to_size(v, out)) {
        err_set(e, ERR_USAGE, "'%s' is no value for '--%s'", v, name);
        return err_hint(e, "a number of bytes with an optional K, M or G, such as 16M");
    }
    return ERR_OK;
}
