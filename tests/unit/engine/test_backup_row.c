#include "engine/backup_row.h"

#include "unit/base/scratch.h"

#include <math.h>

static enum err_code parse(struct backup_row *r, const char *text)
{
    return backup_row_parse(r, text, strlen(text), NULL);
}

static void test_backup_row_gives_types_and_bytes(void **state)
{
    struct backup_row r;
    (void)state;

    backup_row_init(&r);
    assert_int_equal(
        parse(&r, "{\"a\":null,\"b\":0,\"c\":-9007199254740992,\"d\":\"\",\"e\":\"t\\u00e9\","
                  "\"f\":{\"b64\":\"AP8=\"},\"g\":{\"blob\":\"\"},\"h\":{\"blob\":\"AAEC\"},"
                  "\"i\":{\"real\":\"-0\"},\"j\":{\"real\":\"0.10000000000000001\"},"
                  "\"k\":{\"integer\":\"-9223372036854775808\"},\"l\":{\"real\":\"inf\"},"
                  "\"m\":{\"real\":\"4.9406564584124654e-324\"}}"),
        ERR_OK);
    assert_int_equal(r.n, 13);
    assert_string_equal(r.values[0].column, "a");
    assert_int_equal(r.values[0].type, TRACKER_NULL);
    assert_int_equal(r.values[1].type, TRACKER_INTEGER);
    assert_int_equal(r.values[1].integer, 0);
    assert_true(r.values[2].integer == -INT64_C(9007199254740992));
    assert_int_equal(r.values[3].type, TRACKER_TEXT);
    assert_int_equal(r.values[3].len, 0);
    assert_int_equal(r.values[4].len, 3);
    assert_memory_equal(r.values[4].bytes, "t\xc3\xa9", 3);
    assert_int_equal(r.values[5].type, TRACKER_TEXT);
    assert_int_equal(r.values[5].len, 2);
    assert_memory_equal(r.values[5].bytes, "\0\xff", 2);
    assert_int_equal(r.values[6].type, TRACKER_BLOB);
    assert_int_equal(r.values[6].len, 0);
    assert_int_equal(r.values[7].len, 3);
    assert_memory_equal(r.values[7].bytes, "\0\1\2", 3);
    assert_int_equal(r.values[8].type, TRACKER_REAL);
    assert_true(r.values[8].real == 0.0 && signbit(r.values[8].real));
    assert_true(r.values[9].real == 0.1);
    assert_int_equal(r.values[10].type, TRACKER_INTEGER);
    assert_true(r.values[10].integer == INT64_MIN);
    assert_true(isinf(r.values[11].real));
    assert_true(r.values[12].real == 4.9406564584124654e-324);
    assert_int_equal(parse(&r, "{\"only\":7}"), ERR_OK);
    assert_int_equal(r.n, 1);
    assert_int_equal(parse(&r, "{}"), ERR_OK);
    assert_int_equal(r.n, 0);
    backup_row_release(&r);
}

static void test_backup_row_refuses_what_no_backup_holds(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[1]",
        "7",
        "{\"a\":1",
        "{\"a\":1,\"a\":2}",
        "{\"a\":true}",
        "{\"a\":1.5}",
        "{\"a\":1e3}",
        "{\"a\":9007199254740993}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"a\":{\"b64\":1}}",
        "{\"a\":{\"b64\":\"A\"}}",
        "{\"a\":{\"b64\":\"AP8\"}}",
        "{\"a\":{\"blob\":\"====\"}}",
        "{\"a\":{\"blob\":\"AAEC\",\"b64\":\"AAEC\"}}",
        "{\"a\":{\"other\":\"AAEC\"}}",
        "{\"a\":{\"real\":\"\"}}",
        "{\"a\":{\"real\":\" 1\"}}",
        "{\"a\":{\"real\":\"1x\"}}",
        "{\"a\":{\"real\":\"1,5\"}}",
        "{\"a\":{\"integer\":\"1.0\"}}",
        "{\"a\":{\"integer\":\"9223372036854775808\"}}",
        "{\"a\":{\"integer\":\"\"}}",
    };
    struct backup_row r;
    (void)state;

    backup_row_init(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(&r, bad[i]), ERR_PARSE);
    assert_int_equal(parse(&r, "{\"a\":1}"), ERR_OK);
    backup_row_release(&r);
    backup_row_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backup_row_gives_types_and_bytes),
        cmocka_unit_test(test_backup_row_refuses_what_no_backup_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
