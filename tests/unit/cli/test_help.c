#include "cli/cli.h"
#include "cli/help.h"
#include "unit/cli/capture.h"

static void test_help_general_names_every_command_and_setting(void **state)
{
    struct capture c;
    size_t n;
    const struct config_setting *s = config_settings(&n);
    char flag[64];

    (void)state;
    capture_begin(&c);
    help_general(cli_commands, stdout);
    capture_end(&c);
    for (const struct command *command = cli_commands; command->name != NULL; command++) {
        assert_non_null(strstr(c.out, command->name));
        assert_non_null(strstr(c.out, command->summary));
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(flag, sizeof flag, "  --%s", s[i].name);
        assert_non_null(strstr(c.out, flag));
    }
    assert_non_null(strstr(c.out, "Exit codes: 0 "));
    assert_string_equal(c.err, "");
    capture_release(&c);
}

static void test_help_command_names_its_options(void **state)
{
    char flag[64];

    (void)state;
    for (const struct command *command = cli_commands; command->name != NULL; command++) {
        struct capture c;

        capture_begin(&c);
        help_command(command);
        capture_end(&c);
        assert_non_null(strstr(c.out, command->usage));
        for (const struct option_spec *o = command->options; o != NULL && o->name != NULL; o++) {
            snprintf(flag, sizeof flag, "  --%s%s%s", o->name, o->argument != NULL ? " " : "",
                     o->argument != NULL ? o->argument : "");
            assert_non_null(strstr(c.out, flag));
            assert_non_null(strstr(c.out, o->help));
        }
        capture_release(&c);
    }
}

/* A command's own option would hide a global one of the same name. */
static void test_help_no_option_is_named_twice(void **state)
{
    (void)state;
    for (const struct command *command = cli_commands; command->name != NULL; command++) {
        for (const struct option_spec *o = command->options; o != NULL && o->name != NULL; o++) {
            assert_null(config_find(o->name));
            assert_string_not_equal(o->name, "config");
            assert_string_not_equal(o->name, "help");
            assert_string_not_equal(o->name, "version");
            for (const struct option_spec *k = o + 1; k->name != NULL; k++)
                assert_string_not_equal(o->name, k->name);
        }
        assert_non_null(command->run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_general_names_every_command_and_setting),
        cmocka_unit_test(test_help_command_names_its_options),
        cmocka_unit_test(test_help_no_option_is_named_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
