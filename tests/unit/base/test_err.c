#include "blobferry/base/err.h"
#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"
#include "unit/base/scratch.h"

#include <errno.h>

static void test_err_init_clears(void **state)
{
    (void)state;
    struct err e;
    memset(&e, 'x', sizeof e);
    err_init(&e);
    assert_int_equal(e.code, ERR_OK);
    assert_false(e.retryable);
    assert_string_equal(e.message, "");
    assert_string_equal(e.hint, "");
    err_init(NULL);
}

static void test_err_set_fills_and_returns_code(void **state)
{
    (void)state;
    struct err e;
    err_init(&e);
    assert_int_equal(err_set(&e, ERR_DB, "row '%d' is gone", 7), ERR_DB);
    assert_int_equal(e.code, ERR_DB);
    assert_string_equal(e.message, "row '7' is gone");
    assert_false(e.retryable);
    assert_int_equal(err_set(&e, ERR_DB_BUSY, "locked"), ERR_DB_BUSY);
    assert_true(e.retryable);
}

static void test_err_set_forgets_the_former_hint(void **state)
{
    (void)state;
    struct err e;
    err_init(&e);
    err_set(&e, ERR_CONFIG, "first");
    assert_int_equal(err_hint(&e, "do %s", "this"), ERR_CONFIG);
    assert_string_equal(e.hint, "do this");
    err_set(&e, ERR_FILE, "second");
    assert_string_equal(e.hint, "");
}

static void test_err_null_is_allowed_everywhere(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_PARSE, "x"), ERR_PARSE);
    assert_int_equal(err_set_errno(NULL, ERR_FILE, ENOENT, "x"), ERR_FILE_MISSING);
    assert_int_equal(err_wrap(NULL, "x"), ERR_FILE_MISSING); /* the code stays what was set */
    assert_int_equal(err_set(NULL, ERR_DB_SCHEMA, "x"), ERR_DB_SCHEMA);
    assert_int_equal(err_hint(NULL, "x"), ERR_DB_SCHEMA);
}

static void test_err_set_errno_picks_the_class(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum err_code code;
    } cases[] = {{ENOENT, ERR_FILE_MISSING}, {EACCES, ERR_FILE_DENIED}, {EPERM, ERR_FILE_DENIED},
                 {EROFS, ERR_FILE_DENIED},   {ENOSPC, ERR_FILE_SPACE},  {EDQUOT, ERR_FILE_SPACE},
                 {EFBIG, ERR_FILE_SPACE},    {EISDIR, ERR_FILE_TYPE},   {ENOTDIR, ERR_FILE_TYPE},
                 {ELOOP, ERR_FILE_TYPE},     {EIO, ERR_FILE},           {EMFILE, ERR_FILE},
                 {ENOMEM, ERR_NOMEM}};
    struct err e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err_init(&e);
        assert_int_equal(err_set_errno(&e, ERR_FILE, cases[i].errnum, "x"), cases[i].code);
        assert_int_equal(e.code, cases[i].code);
    }
    assert_int_equal(err_set_errno(&e, ERR_DB, ENOENT, "cannot open '%s'", "a.db"), ERR_DB);
    assert_string_equal(e.message, "cannot open 'a.db': No such file or directory");
}

static void test_err_set_errno_keeps_the_cause_of_a_long_subject(void **state)
{
    (void)state;
    struct err e;
    char path[2000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    err_set_errno(&e, ERR_FILE, ENOSPC, "cannot write '%s'", path);
    assert_true(strlen(e.message) < sizeof e.message);
    assert_true(str_ends(e.message, "...: No space left on device"));
}

static void test_err_wrap_prepends_and_keeps_code_and_hint(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_STORE, "no answer");
    err_hint(&e, "look");
    assert_int_equal(err_wrap(&e, "cannot send '%s'", "k"), ERR_STORE);
    assert_string_equal(e.message, "cannot send 'k': no answer");
    assert_string_equal(e.hint, "look");
}

static void test_err_arguments_may_be_its_own_texts(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_STORE, "inner");
    err_hint(&e, "ask");
    err_set(&e, ERR_DB, "[%s] [%s]", e.message, e.hint);
    assert_string_equal(e.message, "[inner] [ask]");
    err_wrap(&e, "<%s>", e.message);
    assert_string_equal(e.message, "<[inner] [ask]>: [inner] [ask]");
}

static void test_err_over_long_texts_are_cut_and_marked(void **state)
{
    (void)state;
    struct err e;
    char text[5000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&e, ERR_PARSE, "%s", text);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    assert_true(str_ends(e.message, "a..."));
    err_wrap(&e, "%s", text);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    err_hint(&e, "%s", text);
    assert_int_equal(strlen(e.hint), sizeof e.hint - 1);
}

static void test_err_cut_never_splits_a_character(void **state)
{
    (void)state;
    struct err e;
    char text[2001];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xF0\x9F\x9A\xA2", 5);
        err_set(&e, ERR_PARSE, "%s", text);
        assert_true(str_utf8_valid(e.message, strlen(e.message)));
        assert_true(str_ends(e.message, "\xF0\x9F\x9A\xA2..."));
    }
}

static void test_err_control_characters_are_made_harmless(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_STORE, "a\r\n\x1B[31m\x7F\xE2\x80\xA8\xE2\x80\xAE\xC2\x85\xFF");
    err_wrap(&e, "con\ntext");
    err_hint(&e, "h\ti");
    assert_string_equal(e.message, "con\\x0atext: a\\x0d\\x0a\\x1b[31m\\x7f\\u{2028}\\u{202e}"
                                   "\\u{0085}\\xff");
    assert_string_equal(e.hint, "h\\x09i");
}

static void test_err_secrets_are_redacted_even_when_cut(void **state)
{
    (void)state;
    struct err e;
    struct secret s;
    char token[1501];
    memset(token, 'T', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    secret_init(&s);
    assert_int_equal(secret_set(&s, token, strlen(token), NULL), ERR_OK);
    err_set(&e, ERR_STORE, "server says '%s'", token);
    assert_null(strchr(e.message, 'T'));
    err_hint(&e, "not %s", token);
    assert_null(strchr(e.hint, 'T'));
    err_wrap(&e, "again %s", token);
    assert_null(strchr(e.message, 'T'));
    secret_release(&s);
}

static void test_err_names_are_stable_and_unique(void **state)
{
    (void)state;
    assert_string_equal(err_code_name(ERR_OK), "ok");
    assert_string_equal(err_code_name(ERR_FILE_MISSING), "file_missing");
    assert_string_equal(err_code_name(ERR_STORE_UNAVAILABLE), "store_unavailable");
    assert_string_equal(err_code_name(ERR_CODE_COUNT), "general");
    for (int a = 0; a < ERR_CODE_COUNT; a++) {
        const char *name = err_code_name((enum err_code)a);
        assert_false(str_empty(name));
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(name, err_code_name((enum err_code)b));
    }
}

static void test_err_exit_codes_follow_the_contract(void **state)
{
    (void)state;
    static const int expected[ERR_CODE_COUNT] = {[ERR_OK] = 0,
                                                 [ERR_GENERAL] = 1,
                                                 [ERR_NOMEM] = 1,
                                                 [ERR_LIMIT] = 1,
                                                 [ERR_PARSE] = 1,
                                                 [ERR_NOTFOUND] = 1,
                                                 [ERR_REFUSED] = 1,
                                                 [ERR_CONFLICT] = 1,
                                                 [ERR_CANCELLED] = 1,
                                                 [ERR_PARTIAL] = 1,
                                                 [ERR_USAGE] = 2,
                                                 [ERR_CONFIG] = 2,
                                                 [ERR_DB] = 3,
                                                 [ERR_DB_BUSY] = 3,
                                                 [ERR_DB_SCHEMA] = 3,
                                                 [ERR_STORE] = 4,
                                                 [ERR_STORE_DENIED] = 4,
                                                 [ERR_STORE_UNAVAILABLE] = 4,
                                                 [ERR_STORE_CORRUPT] = 4,
                                                 [ERR_FILE] = 5,
                                                 [ERR_FILE_MISSING] = 5,
                                                 [ERR_FILE_DENIED] = 5,
                                                 [ERR_FILE_TYPE] = 5,
                                                 [ERR_FILE_OUTSIDE] = 5,
                                                 [ERR_FILE_CHANGED] = 5,
                                                 [ERR_FILE_SPACE] = 5};
    for (int code = 0; code < ERR_CODE_COUNT; code++)
        assert_int_equal(err_exit_code((enum err_code)code), expected[code]);
    assert_int_equal(err_exit_code(ERR_CODE_COUNT), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_init_clears),
        cmocka_unit_test(test_err_set_fills_and_returns_code),
        cmocka_unit_test(test_err_set_forgets_the_former_hint),
        cmocka_unit_test(test_err_null_is_allowed_everywhere),
        cmocka_unit_test(test_err_set_errno_picks_the_class),
        cmocka_unit_test(test_err_set_errno_keeps_the_cause_of_a_long_subject),
        cmocka_unit_test(test_err_wrap_prepends_and_keeps_code_and_hint),
        cmocka_unit_test(test_err_arguments_may_be_its_own_texts),
        cmocka_unit_test(test_err_over_long_texts_are_cut_and_marked),
        cmocka_unit_test(test_err_cut_never_splits_a_character),
        cmocka_unit_test(test_err_control_characters_are_made_harmless),
        cmocka_unit_test(test_err_secrets_are_redacted_even_when_cut),
        cmocka_unit_test(test_err_names_are_stable_and_unique),
        cmocka_unit_test(test_err_exit_codes_follow_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
