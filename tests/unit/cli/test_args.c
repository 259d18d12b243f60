#include "cli/args.h"
#include "unit/base/scratch.h"

static const struct option_spec copy_options[] = {
    {"from", "PATH", "from here", false},
    {"force", NULL, "do not ask", false},
    {"full-copy", NULL, "all of it", false},
    {"tag", "NAME", "may be repeated", true},
    {"limit", "N", "at most", false},
    {"size", "SIZE", "of parts", false},
    {NULL, NULL, NULL, false},
};
static const char *const log_words[] = {"show", "verify", NULL};
static const struct command commands[] = {
    {"copy", "copies", "--from PATH", copy_options, NULL, false, NULL},
    {"list", "lists", "[WORD...]", NULL, NULL, true, NULL},
    {"log", "shows", "show | verify", NULL, log_words, false, NULL},
    {NULL, NULL, NULL, NULL, NULL, false, NULL},
};

struct parsed {
    struct args args;
    struct config config;
    struct err err;
    enum err_code code;
};

/* Up to 12 words; NULL ends them. */
static void parse(struct parsed *p, const char *const *words)
{
    static char program[] = "blobferry";
    static char copies[16][600];
    char *argv[17] = {program};
    int argc = 1;

    for (; words[argc - 1] != NULL; argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", words[argc - 1]);
        argv[argc] = copies[argc];
    }
    config_init(&p->config);
    err_init(&p->err);
    p->code = args_parse(&p->args, argc, argv, commands, &p->config, &p->err);
    assert_int_equal(p->code, p->err.code);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_refused(const char *part, const char *hint, const char *const *words)
{
    struct parsed p;

    parse(&p, words);
    assert_int_equal(p.code, ERR_USAGE);
    if (strstr(p.err.message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, p.err.message);
    if (strstr(p.err.hint, hint) == NULL)
        fail_msg("'%s' is not in '%s'", hint, p.err.hint);
    config_release(&p.config);
}

static void assert_parsed(struct parsed *p, const char *command, const char *const *words)
{
    parse(p, words);
    if (p->code != ERR_OK)
        fail_msg("%s", p->err.message);
    if (command == NULL)
        assert_null(p->args.command);
    else
        assert_string_equal(p->args.command->name, command);
}

static void test_args_values_follow_or_are_joined(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "copy", WORDS("copy", "--from", "a b", "--limit=7", "--size=16M"));
    assert_string_equal(args_value(&p.args, "from"), "a b");
    assert_string_equal(args_value(&p.args, "limit"), "7");
    assert_false(args_has(&p.args, "force"));
    assert_null(args_value(&p.args, "force"));
    config_release(&p.config);
    assert_parsed(&p, "copy", WORDS("copy", "--from=--x=y", "--force"));
    assert_string_equal(args_value(&p.args, "from"), "--x=y");
    assert_true(args_has(&p.args, "force"));
    config_release(&p.config);
}

/* docs/decisions/0006: an abbreviated --force would be one keystroke from a mistake. */
static void test_args_nothing_is_abbreviated(void **state)
{
    static const char *const cut[] = {"--fo",    "--forc", "--f",      "--fro=x", "--full",
                                      "--FORCE", "-force", "--force-", "---force"};

    (void)state;
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        assert_refused("unknown option", "", WORDS("copy", cut[i]));
    assert_refused("unknown command 'cop'", "did you mean 'copy'?", WORDS("cop"));
}

static void test_args_unknown_options_get_a_suggestion(void **state)
{
    (void)state;
    assert_refused("unknown option '--form' for copy", "did you mean --from?",
                   WORDS("copy", "--form=x"));
    assert_refused("unknown option '--forse' for copy", "did you mean --force?",
                   WORDS("copy", "--forse"));
    assert_refused("unknown option '--qiet' for list", "did you mean --quiet?",
                   WORDS("list", "--qiet"));
    assert_refused("unknown option '--zzzzzzzz' for copy", "see: blobferry copy --help",
                   WORDS("copy", "--zzzzzzzz"));
    assert_refused("unknown option '--zzzzzzzz'", "see: blobferry --help", WORDS("--zzzzzzzz"));
    assert_refused("unknown option '-x'", "", WORDS("copy", "-x"));
    assert_refused("unknown option '-qv'", "", WORDS("copy", "-qv"));
    /* another command's option */
    assert_refused("unknown option '--from' for log", "", WORDS("log", "show", "--from=x"));
}

static void test_args_long_garbage_is_refused(void **state)
{
    char word[600];

    (void)state;
    memset(word, 'a', sizeof word - 1);
    word[0] = word[1] = '-';
    word[sizeof word - 1] = '\0';
    assert_refused("unknown option", "", WORDS("copy", word));
    assert_refused("unknown command", "", WORDS(word + 2));
}

static void test_args_globals_stand_before_and_after_the_command(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "copy",
                  WORDS("--db", "sqlite:a", "--json", "copy", "--region=eu", "--force", "-v"));
    assert_string_equal(config_get(&p.config, CONFIG_DB), "sqlite:a");
    assert_string_equal(config_get(&p.config, CONFIG_REGION), "eu");
    assert_true(config_is(&p.config, CONFIG_JSON));
    assert_true(config_is(&p.config, CONFIG_VERBOSE));
    assert_true(args_has(&p.args, "force"));
    assert_true(strncmp(p.config.origin[CONFIG_DB], "--", 2) == 0);
    config_release(&p.config);
}

static void test_args_own_options_may_stand_before_the_command(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "copy", WORDS("--from", "list", "--force", "copy"));
    assert_string_equal(args_value(&p.args, "from"), "list");
    config_release(&p.config);
}

static void test_args_config_file_is_told(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "copy", WORDS("--config", "a.conf", "copy"));
    assert_string_equal(p.args.config_file, "a.conf");
    config_release(&p.config);
    assert_parsed(&p, "copy", WORDS("copy", "--config=b.conf"));
    assert_string_equal(p.args.config_file, "b.conf");
    config_release(&p.config);
    assert_refused("'--config' is given twice", "", WORDS("--config=a", "copy", "--config=b"));
    assert_refused("'--config' is empty", "", WORDS("copy", "--config="));
    assert_refused("'--config' needs a value", "", WORDS("copy", "--config"));
}

static void test_args_duplicates_are_errors_unless_repeatable(void **state)
{
    struct parsed p;
    const char *tags[2];

    (void)state;
    assert_refused("'--from' is given twice", "", WORDS("copy", "--from=a", "--from=b"));
    assert_refused("'--force' is given twice", "", WORDS("copy", "--force", "--force"));
    assert_refused("'--db' is given twice", "", WORDS("--db=sqlite:a", "copy", "--db=sqlite:b"));
    assert_parsed(&p, "copy", WORDS("copy", "--tag=a", "--tag", "b", "--tag=c", "-q", "-q"));
    assert_int_equal(args_all(&p.args, "tag", tags, 2), 2);
    assert_string_equal(tags[0], "a");
    assert_string_equal(tags[1], "b");
    assert_string_equal(args_value(&p.args, "tag"), "c");
    config_release(&p.config);
}

static void test_args_values_are_neither_empty_nor_forgotten(void **state)
{
    (void)state;
    assert_refused("'--from' is empty", "", WORDS("copy", "--from="));
    assert_refused("'--from' is empty", "", WORDS("copy", "--from", ""));
    assert_refused("'db' is empty", "", WORDS("copy", "--db="));
    assert_refused("'--from' needs a value", "", WORDS("copy", "--from"));
    assert_refused("'--from' needs a value, and '--force' looks like an option",
                   "write --from=--force", WORDS("copy", "--from", "--force"));
    assert_refused("'--db' needs a value", "", WORDS("--db", "--json", "copy"));
    assert_refused("'--force' takes no value", "", WORDS("copy", "--force=yes"));
    assert_refused("'--json' takes no value", "", WORDS("copy", "--json=yes"));
    assert_refused("'--help' takes no value", "", WORDS("copy", "--help=x"));
}

static void test_args_a_dash_and_negative_values_are_values(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "copy", WORDS("copy", "--from", "-", "--tag", "-5"));
    assert_string_equal(args_value(&p.args, "from"), "-");
    assert_string_equal(args_value(&p.args, "tag"), "-5");
    config_release(&p.config);
}

static void test_args_words_and_subcommands(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "log", WORDS("log", "verify"));
    assert_string_equal(p.args.subcommand, "verify");
    config_release(&p.config);
    assert_parsed(&p, "log", WORDS("log"));
    assert_null(p.args.subcommand);
    config_release(&p.config);
    assert_refused("unknown command 'log verif'", "", WORDS("log", "verif"));
    assert_refused("'log' takes no argument 'x'", "", WORDS("log", "show", "x"));
    assert_refused("'copy' takes no argument 'x'", "", WORDS("copy", "x"));
    assert_parsed(&p, "list", WORDS("list", "a", "-", "b"));
    assert_int_equal(p.args.word_count, 3);
    assert_string_equal(p.args.words[1], "-");
    config_release(&p.config);
}

static void test_args_two_dashes_end_the_options(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, "list", WORDS("list", "--", "--json", "--"));
    assert_int_equal(p.args.word_count, 2);
    assert_string_equal(p.args.words[0], "--json");
    assert_string_equal(p.args.words[1], "--");
    assert_false(config_is(&p.config, CONFIG_JSON));
    config_release(&p.config);
    assert_parsed(&p, "log", WORDS("--", "log", "verify"));
    assert_string_equal(p.args.subcommand, "verify");
    config_release(&p.config);
    assert_refused("takes no argument 'junk'", "", WORDS("--", "copy", "junk"));
    assert_refused("unknown command '--force'", "", WORDS("--", "--force"));
}

static void test_args_help_and_version(void **state)
{
    struct parsed p;

    (void)state;
    assert_parsed(&p, NULL, WORDS("--help"));
    assert_true(p.args.help);
    config_release(&p.config);
    assert_parsed(&p, "copy", WORDS("copy", "-h"));
    assert_true(p.args.help);
    config_release(&p.config);
    assert_parsed(&p, NULL, WORDS("-V"));
    assert_true(p.args.version);
    assert_false(p.args.help);
    config_release(&p.config);
    assert_parsed(&p, NULL, (const char *const[]){NULL});
    assert_false(p.args.help);
    config_release(&p.config);
}

static void test_args_numbers_have_bounds(void **state)
{
    static const char *const bad[] = {"0", "11", "-1", "1.5", "1e3", " 1", "99999999999999999999"};
    struct parsed p;
    int64_t n = 5;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        parse(&p, WORDS("copy", "--limit", bad[i]));
        assert_int_equal(args_number(&p.args, "limit", 1, 10, &n, &p.err), ERR_USAGE);
        assert_non_null(strstr(p.err.hint, "from 1 to 10"));
        assert_int_equal(n, 5);
        config_release(&p.config);
    }
    parse(&p, WORDS("copy", "--limit=10"));
    assert_int_equal(args_number(&p.args, "limit", 1, 10, &n, &p.err), ERR_OK);
    assert_int_equal(n, 10);
    assert_int_equal(args_number(&p.args, "tag", 1, 2, &n, &p.err), ERR_OK); /* not given */
    assert_int_equal(n, 10);
    config_release(&p.config);
}

static void test_args_sizes(void **state)
{
    struct parsed p;
    uint64_t n = 7;

    (void)state;
    parse(&p, WORDS("copy", "--size=16M"));
    assert_int_equal(args_size(&p.args, "size", &n, &p.err), ERR_OK);
    assert_int_equal(n, 16 << 20);
    config_release(&p.config);
    parse(&p, WORDS("copy", "--size=16X"));
    assert_int_equal(args_size(&p.args, "size", &n, &p.err), ERR_USAGE);
    config_release(&p.config);
}

static void test_args_more_than_can_be_held_are_refused(void **state)
{
    static char tag[] = "--tag=x", program[] = "blobferry", copy[] = "copy";
    char *argv[ARGS_VALUES_MAX + 4] = {program, copy};
    struct args a;
    struct config c;
    struct err e;

    (void)state;
    for (size_t i = 2; i < ARGS_VALUES_MAX + 3; i++)
        argv[i] = tag;
    config_init(&c);
    err_init(&e);
    assert_int_equal(args_parse(&a, ARGS_VALUES_MAX + 2, argv, commands, &c, &e), ERR_OK);
    assert_int_equal(a.count, ARGS_VALUES_MAX);
    assert_int_equal(args_parse(&a, ARGS_VALUES_MAX + 3, argv, commands, &c, &e), ERR_USAGE);
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_args_values_follow_or_are_joined),
        cmocka_unit_test(test_args_nothing_is_abbreviated),
        cmocka_unit_test(test_args_unknown_options_get_a_suggestion),
        cmocka_unit_test(test_args_long_garbage_is_refused),
        cmocka_unit_test(test_args_globals_stand_before_and_after_the_command),
        cmocka_unit_test(test_args_own_options_may_stand_before_the_command),
        cmocka_unit_test(test_args_config_file_is_told),
        cmocka_unit_test(test_args_duplicates_are_errors_unless_repeatable),
        cmocka_unit_test(test_args_values_are_neither_empty_nor_forgotten),
        cmocka_unit_test(test_args_a_dash_and_negative_values_are_values),
        cmocka_unit_test(test_args_words_and_subcommands),
        cmocka_unit_test(test_args_two_dashes_end_the_options),
        cmocka_unit_test(test_args_help_and_version),
        cmocka_unit_test(test_args_numbers_have_bounds),
        cmocka_unit_test(test_args_sizes),
        cmocka_unit_test(test_args_more_than_can_be_held_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
