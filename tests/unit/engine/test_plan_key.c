#include "unit/base/scratch.h"

#include "engine/plan_key.h"

static void test_plan_key_expands_placeholders(void **state)
{
    const struct plan_key_values v = {.of = {[PLAN_KEY_USER_ID] = "u1",
                                             [PLAN_KEY_FILE_ID] = "f1",
                                             [PLAN_KEY_FILENAME] = "a{b}.txt",
                                             [PLAN_KEY_PATH] = "x/a",
                                             [PLAN_KEY_SHA256] = "00ff",
                                             [PLAN_KEY_EXT] = "txt"}};
    static const struct {
        const char *template, *want;
        unsigned used;
    } cases[] = {
        {"plain", "plain", 0},
        {"{path}", "x/a", PLAN_KEY_BIT(PLAN_KEY_PATH)},
        {"{user_id}/{file_id}/{filename}", "u1/f1/a{b}.txt",
         PLAN_KEY_BIT(PLAN_KEY_USER_ID) | PLAN_KEY_BIT(PLAN_KEY_FILE_ID) |
             PLAN_KEY_BIT(PLAN_KEY_FILENAME)},
        {"a-{sha256}.{ext}}", "a-00ff.txt}",
         PLAN_KEY_BIT(PLAN_KEY_SHA256) | PLAN_KEY_BIT(PLAN_KEY_EXT)},
    };
    struct buf b;
    unsigned used;
    (void)state;

    buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_reset(&b);
        assert_int_equal(plan_key_check(cases[i].template, PLAN_KEY_ANY, &used, NULL), ERR_OK);
        assert_int_equal(used, cases[i].used);
        assert_int_equal(plan_key_expand(&b, cases[i].template, &v, NULL), ERR_OK);
        assert_string_equal(buf_cstr(&b), cases[i].want);
    }
    buf_release(&b);
}

static void test_plan_key_names_what_is_unknown(void **state)
{
    static const struct {
        const char *template, *named;
    } cases[] = {{"{nope}", "'{nope}'"}, {"a{}b", "'{}'"},          {"{path", "'{path'"},
                 {"{Path}", "'{Path}'"}, {"{{path}}", "'{{path}'"}, {"x{sha256}", "'{sha256}'"}};
    struct err e;
    unsigned used;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err_init(&e);
        assert_int_equal(plan_key_check(cases[i].template,
                                        PLAN_KEY_ANY & ~PLAN_KEY_BIT(PLAN_KEY_SHA256), &used, &e),
                         ERR_USAGE);
        assert_non_null(strstr(e.message, cases[i].named));
        assert_non_null(strstr(e.hint, "{path}"));
        assert_null(strstr(e.hint, "{sha256}"));
    }
}

static void test_plan_key_names_what_is_missing(void **state)
{
    const struct plan_key_values v = {.of = {[PLAN_KEY_USER_ID] = ""}};
    struct err e;
    struct buf b;
    (void)state;

    err_init(&e);
    buf_init(&b, 10);
    assert_int_equal(plan_key_expand(&b, "{user_id}", &v, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.message, "{user_id}"));
    buf_reset(&b);
    assert_int_equal(plan_key_expand(&b, "{ext}", &v, &e), ERR_NOTFOUND);
    buf_reset(&b);
    assert_int_equal(plan_key_expand(&b, "more than ten bytes", &v, &e), ERR_LIMIT);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_key_expands_placeholders),
        cmocka_unit_test(test_plan_key_names_what_is_unknown),
        cmocka_unit_test(test_plan_key_names_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
