#include "blobferry/base/plain.h"
#include "unit/base/scratch.h"

#include <inttypes.h>

static bool stands_for_itself(char c, char quote)
{
    return c >= ' ' && c <= '~' && c != quote && c != '\\';
}

/* Every byte at every place, before and behind plain ones. */
static void test_plain_length_ends_at_the_first_odd_byte(void **state)
{
    static const char quotes[] = {'"', '\''};
    char text[40];

    (void)state;
    for (size_t q = 0; q < sizeof quotes; q++) {
        for (int c = 0; c < 256; c++) {
            for (size_t at = 0; at < sizeof text; at++) {
                memset(text, 'a', sizeof text);
                text[at] = (char)c;
                assert_int_equal(plain_length(text, sizeof text, quotes[q]),
                                 stands_for_itself((char)c, quotes[q]) ? sizeof text : at);
                assert_int_equal(plain_length(text, at, quotes[q]), at);
            }
        }
    }
}

static void test_plain_length_of_neighbours(void **state)
{
    char text[8];

    (void)state;
    /* Pairs: what an odd byte does to the one above it must not hide where the first one is. */
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            memset(text, '~', sizeof text);
            text[3] = (char)a;
            text[4] = (char)b;
            const size_t expected = !stands_for_itself((char)a, '"')   ? 3
                                    : !stands_for_itself((char)b, '"') ? 4
                                                                       : sizeof text;
            assert_int_equal(plain_length(text, sizeof text, '"'), expected);
        }
    }
    assert_int_equal(plain_length(NULL, 0, '"'), 0);
}

static void test_plain_integer_is_what_printf_says(void **state)
{
    static const int64_t values[] = {0,         1,         -1,   9,         10,
                                     -10,       99,        100,  INT32_MAX, INT32_MIN,
                                     INT64_MAX, INT64_MIN, 4096, -4096,     INT64_MIN + 1};
    char room[PLAIN_INTEGER], expected[32];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *text = plain_integer(room, values[i], &n);
        snprintf(expected, sizeof expected, "%" PRId64, values[i]);
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(text, expected, n);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_length_ends_at_the_first_odd_byte),
        cmocka_unit_test(test_plain_length_of_neighbours),
        cmocka_unit_test(test_plain_integer_is_what_printf_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
