#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/upload_mark.h"

#include <stdlib.h>
#include <string.h>

#define SUM   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER "03b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void expect(const char *id, const char *sha256)
{
    char *mark = upload_mark_make(id, sha256), *back = upload_mark_id(mark);

    assert_non_null(mark);
    assert_string_equal(back, id);
    assert_true(upload_mark_is_of(mark, SUM) == (strcmp(sha256, SUM) == 0));
    assert_false(upload_mark_is_of(mark, OTHER));
    free(back);
    free(mark);
}

static void test_upload_mark_keeps_id_and_hash(void **state)
{
    (void)state;
    expect("2~abc.DEF_-", SUM);
    expect("a#sha256=b", SUM); /* whatever an id looks like */
    expect("#sha256=" SUM, SUM);
    expect("u", "");
}

static void test_upload_mark_of_earlier_versions_is_an_id(void **state)
{
    static const char *const plain[] = {"upload-1", "#sha256=short", "x#sha256=" SUM "0", ""};

    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        char *id = upload_mark_id(plain[i]);
        assert_string_equal(id, plain[i]);
        assert_false(upload_mark_is_of(plain[i], SUM));
        free(id);
    }
    assert_null(upload_mark_id(NULL));
    assert_false(upload_mark_is_of(NULL, SUM));
    assert_false(upload_mark_is_of("u#sha256=" SUM, NULL));
    assert_false(upload_mark_is_of("u#sha256=" SUM, "e3b0"));
    assert_true(upload_mark_is_of("u#sha256=" SUM, SUM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_mark_keeps_id_and_hash),
        cmocka_unit_test(test_upload_mark_of_earlier_versions_is_an_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
