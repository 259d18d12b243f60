#include "blobferry/base/buf.h"
#include "unit/base/scratch.h"

static void test_buf_appends_and_terminates(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_string_equal(buf_cstr(&b), "");
    assert_true(buf_str(&b, "a="));
    assert_true(buf_printf(&b, "%d,%s", 7, "x"));
    assert_true(buf_char(&b, '!'));
    assert_true(buf_append(&b, "\0z", 2));
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "a=7,x!\0z", 9);
    buf_release(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
}

static void test_buf_grows_over_many_appends(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 20000; i++)
        assert_true(buf_printf(&b, "%05d", i));
    assert_int_equal(b.len, 100000);
    assert_memory_equal(b.data + 5 * 12345, "12345", 5);
    assert_int_equal(b.data[b.len], '\0');
    buf_release(&b);
}

static void test_buf_maximum_is_exact(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    assert_true(buf_str(&b, "12345678"));
    assert_true(buf_ok(&b));
    assert_true(buf_append(&b, NULL, 0));
    assert_false(buf_char(&b, '9'));
    assert_false(buf_ok(&b));
    assert_string_equal(buf_cstr(&b), "12345678");
    buf_release(&b);
}

static void test_buf_failure_is_sticky_until_reset(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    assert_false(buf_printf(&b, "%s", "12345"));
    assert_false(buf_char(&b, 'a'));
    assert_int_equal(b.len, 0);
    buf_reset(&b);
    assert_true(buf_ok(&b));
    assert_true(buf_char(&b, 'a'));
    assert_string_equal(buf_cstr(&b), "a");
    buf_release(&b);
}

static void test_buf_absurd_sizes_fail_cleanly(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    assert_true(buf_str(&b, "abc"));
    assert_false(buf_append(&b, "x", SIZE_MAX));
    buf_reset(&b);
    assert_true(buf_str(&b, "abc"));
    assert_false(buf_append(&b, "x", SIZE_MAX - 1)); /* the sum would wrap around */
    buf_release(&b);
    buf_init(&b, 0);
    assert_true(buf_str(&b, ""));
    assert_false(buf_char(&b, 'x'));
    buf_release(&b);
}

static void test_buf_reset_keeps_memory(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_str(&b, "hello");
    const char *data = b.data;
    buf_reset(&b);
    assert_string_equal(buf_cstr(&b), "");
    buf_str(&b, "bye");
    assert_ptr_equal(b.data, data);
    assert_string_equal(b.data, "bye");
    buf_release(&b);
}

static void test_buf_steal_hands_over_and_empties(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_str(&b, "mine");
    char *s = buf_steal(&b);
    assert_string_equal(s, "mine");
    free(s);
    assert_int_equal(b.len, 0);
    s = buf_steal(&b);
    assert_non_null(s);
    assert_string_equal(s, "");
    free(s);
    assert_false(buf_str(&b, "longer than ten"));
    assert_null(buf_steal(&b));
    assert_true(buf_str(&b, "again"));
    buf_release(&b);
}

static void test_buf_wipe_releases(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_str(&b, "s3cr3t");
    buf_wipe(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    assert_int_equal(b.max, 10);
    buf_wipe(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_appends_and_terminates),
        cmocka_unit_test(test_buf_grows_over_many_appends),
        cmocka_unit_test(test_buf_maximum_is_exact),
        cmocka_unit_test(test_buf_failure_is_sticky_until_reset),
        cmocka_unit_test(test_buf_absurd_sizes_fail_cleanly),
        cmocka_unit_test(test_buf_reset_keeps_memory),
        cmocka_unit_test(test_buf_steal_hands_over_and_empties),
        cmocka_unit_test(test_buf_wipe_releases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
