#include "blobferry/base/str.h"
#include "unit/base/scratch.h"

static void test_str_copy_truncates_and_terminates(void **state)
{
    (void)state;
    char dst[4] = "zzz";
    assert_true(str_copy(dst, sizeof dst, "abc"));
    assert_string_equal(dst, "abc");
    assert_false(str_copy(dst, sizeof dst, "wxyz"));
    assert_string_equal(dst, "wxy");
    assert_false(str_copy(dst, 0, "q"));
    assert_string_equal(dst, "wxy");
    assert_true(str_copy(dst, 1, ""));
    assert_string_equal(dst, "");
}

static void test_str_compares(void **state)
{
    (void)state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_eq("a", "a"));
    assert_false(str_eq("a", "A"));
    assert_true(str_ieq("aBz-9", "AbZ-9"));
    assert_false(str_ieq("a", "ab"));
    assert_false(str_ieq("ab", "a"));
    assert_false(str_ieq("[", "{"));
    assert_false(str_ieq(NULL, ""));
    assert_false(str_ieq("", NULL));
    assert_true(str_empty(NULL) && str_empty("") && !str_empty(" "));
    assert_true(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("a", "ab"));
    assert_true(str_ends("abc", "bc") && str_ends("abc", "") && !str_ends("c", "bc"));
}

static void test_str_dup_owns(void **state)
{
    (void)state;
    char *s = str_dup("abc");
    assert_string_equal(s, "abc");
    free(s);
    assert_null(str_dup(NULL));
}

static void test_str_to_u64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x10",
                                      "1.0",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "a"};
    uint64_t n = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_to_u64(bad[i], &n));
    assert_false(str_to_u64(NULL, &n));
    assert_int_equal(n, 5);
    assert_true(str_to_u64("0", &n) && n == 0);
    assert_true(str_to_u64("007", &n) && n == 7);
    assert_true(str_to_u64("18446744073709551615", &n) && n == UINT64_MAX);
}

static void test_str_to_size_reads_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},          {"17", 17},           {"8M", 8 << 20},     {"8MiB", 8 << 20},
        {"8mib", 8 << 20}, {"5GB", 5368709120u}, {"1k", 1024},        {"2T", 2199023255552u},
        {"10B", 10},       {"1P", 1ull << 50},   {"15E", 15ull << 60}};
    static const char *const bad[] = {"",
                                      "M",
                                      "8 M",
                                      "8Mi",
                                      "8MM",
                                      "8iB",
                                      "1.5G",
                                      "-1M",
                                      "16E",
                                      "8X",
                                      "8MBs",
                                      "8bb",
                                      "99999999999999999999K"};
    uint64_t n = 5;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(str_to_size(good[i].text, &n));
        assert_int_equal(n, good[i].bytes);
    }
    n = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_to_size(bad[i], &n));
    assert_false(str_to_size(NULL, &n));
    assert_int_equal(n, 5);
}

static void test_str_to_duration_reads_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},          {"90", 90000},     {"90s", 90000},     {"15m", 900000},
                {"24h", 86400000}, {"7d", 604800000}, {"2w", 1209600000}, {"250ms", 250}};
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "1 s",
                                      "1S",
                                      "1y",
                                      "1.5h",
                                      "1h30m",
                                      "9223372036854775807",
                                      "106751991168d",
                                      "18446744073709551615ms"};
    int64_t ms = 5;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(str_to_duration_ms(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    ms = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_to_duration_ms(bad[i], &ms));
    assert_false(str_to_duration_ms(NULL, &ms));
    assert_int_equal(ms, 5);
    assert_true(str_to_duration_ms("106751991167d", &ms));
}

static void test_str_from_size_rounds_once(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1536, "1.5 KiB"},
                 {1075, "1.0 KiB"},
                 {1076, "1.1 KiB"},
                 {1048575, "1.0 MiB"},
                 {1048576, "1.0 MiB"},
                 {1610612736, "1.5 GiB"},
                 {5497558138880, "5.0 TiB"},
                 {UINT64_MAX, "16.0 EiB"}};
    char dst[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(str_from_size(dst, sizeof dst, cases[i].bytes), cases[i].text);
}

static void test_str_utf8_valid_follows_rfc_3629(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "abc",
                                       "\xC2\x80",
                                       "\xDF\xBF",
                                       "\xE0\xA0\x80",
                                       "\xED\x9F\xBF",
                                       "\xEE\x80\x80",
                                       "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80",
                                       "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80",
                                      "\xBF",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xC2",
                                      "\xC2\x41",
                                      "\xE0\x80\x80",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xED\xBF\xBF",
                                      "\xE2\x82",
                                      "\xF0\x80\x80\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xF0\x9F\x9A",
                                      "\xF8\x88\x80\x80\x80",
                                      "\xFE",
                                      "\xFF",
                                      "ok\xC3"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(str_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_utf8_valid(bad[i], strlen(bad[i])));
    assert_true(str_utf8_valid("a\0b", 3));
    assert_false(str_utf8_valid("\xC3\xA9", 1));
}

static void test_str_utf8_next_decodes(void **state)
{
    (void)state;
    uint32_t point = 0;
    assert_int_equal(str_utf8_next("\xE2\x82\xAC!", 4, &point), 3);
    assert_int_equal(point, 0x20AC);
    assert_int_equal(str_utf8_next("\xF0\x9F\x9A\xA2", 4, &point), 4);
    assert_int_equal(point, 0x1F6A2);
    assert_int_equal(str_utf8_next("", 0, &point), 0);
}

static void test_str_printable_escapes_what_moves_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *shown;
    } cases[] = {{"plain", "plain"},
                 {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x9A\xA2", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x9A\xA2"},
                 {"a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"},
                 {"\x1B[2J", "\\x1b[2J"},
                 {"\x7F", "\\x7f"},
                 {"\xC2\x9B"
                  "31m",
                  "\\u{009b}31m"},
                 {"\xE2\x80\xA8\xE2\x80\xA9", "\\u{2028}\\u{2029}"},
                 {"\xE2\x80\xAA\xE2\x80\xAE", "\\u{202a}\\u{202e}"},
                 {"\xE2\x81\xA6\xE2\x81\xA9", "\\u{2066}\\u{2069}"},
                 {"\xE2\x80\x8E\xE2\x80\x8F\xD8\x9C", "\\u{200e}\\u{200f}\\u{061c}"},
                 {"\xEF\xBB\xBF", "\\u{feff}"},
                 {"\xFF\xC3", "\\xff\\xc3"},
                 {"\xED\xA0\x80", "\\xed\\xa0\\x80"}};
    char dst[64];
    char again[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(str_printable(dst, sizeof dst, cases[i].raw), cases[i].shown);
        /* what is safe once stays as it is */
        assert_string_equal(str_printable(again, sizeof again, dst), dst);
    }
    assert_string_equal(str_printable(dst, sizeof dst, NULL), "");
}

static void test_str_printable_truncates_on_whole_units(void **state)
{
    (void)state;
    char dst[16];
    assert_string_equal(str_printable(dst, 8, "1234567"), "1234567");
    assert_string_equal(str_printable(dst, 8, "12345678"), "1234...");
    assert_string_equal(str_printable(dst, 8, "123\n5678"), "123...");
    assert_string_equal(str_printable(dst, 8, "123\xF0\x9F\x9A\xA2"), "123\xF0\x9F\x9A\xA2");
    assert_string_equal(str_printable(dst, 8, "123\xF0\x9F\x9A\xA2!"), "123...");
    assert_string_equal(str_printable(dst, 3, "1234"), "..");
    assert_string_equal(str_printable(dst, 1, "1"), "");
    dst[0] = 'k';
    str_printable(dst, 0, "1");
    assert_int_equal(dst[0], 'k');
}

static void test_str_printable_never_overruns(void **state)
{
    (void)state;
    /* every size, against text that mixes lengths 1 to 8 */
    const char *text = "a\n\xE2\x80\xAE\xC3\xA9\xFF\xF0\x9F\x9A\xA2z\x1B";
    char dst[80];
    for (size_t size = 1; size < sizeof dst - 1; size++) {
        memset(dst, '#', sizeof dst);
        str_printable(dst, size, text);
        assert_true(strlen(dst) < size);
        assert_int_equal(dst[size], '#');
        assert_true(str_utf8_valid(dst, strlen(dst)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str_copy_truncates_and_terminates),
        cmocka_unit_test(test_str_compares),
        cmocka_unit_test(test_str_dup_owns),
        cmocka_unit_test(test_str_to_u64_is_strict),
        cmocka_unit_test(test_str_to_size_reads_units),
        cmocka_unit_test(test_str_to_duration_reads_units),
        cmocka_unit_test(test_str_from_size_rounds_once),
        cmocka_unit_test(test_str_utf8_valid_follows_rfc_3629),
        cmocka_unit_test(test_str_utf8_next_decodes),
        cmocka_unit_test(test_str_printable_escapes_what_moves_a_terminal),
        cmocka_unit_test(test_str_printable_truncates_on_whole_units),
        cmocka_unit_test(test_str_printable_never_overruns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
