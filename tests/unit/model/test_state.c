/* The whole move table and the whole derivation, not samples of them. */
#include "blobferry/model/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const file_texts[] = {"pending",  "processing", "completed",
                                         "verified", "failed",     "rolled_back"};
static const char *const batch_texts[] = {"pending", "processing", "completed",
                                          "partial", "failed",     "rolled_back"};

static void test_state_file_names_round_trip(void **unused)
{
    (void)unused;
    for (int i = 0; i < 6; i++) {
        assert_string_equal(state_file_name((enum file_status)i), file_texts[i]);
        assert_int_equal(state_file_parse(file_texts[i]), i);
    }
    assert_string_equal(state_file_name(FILE_UNKNOWN), "unknown");
}

static void test_state_batch_names_round_trip(void **unused)
{
    (void)unused;
    for (int i = 0; i < 6; i++) {
        assert_string_equal(state_batch_name((enum batch_status)i), batch_texts[i]);
        assert_int_equal(state_batch_parse(batch_texts[i]), i);
    }
    assert_string_equal(state_batch_name(BATCH_UNKNOWN), "unknown");
}

static void test_state_parse_never_guesses(void **unused)
{
    (void)unused;
    static const char *const odd[] = {"",           "COMPLETED",  "Completed", " completed",
                                      "completed ", "complete",   "done",      "unknown",
                                      "rolledback", "rolled-back"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_int_equal(state_file_parse(odd[i]), FILE_UNKNOWN);
        assert_int_equal(state_batch_parse(odd[i]), BATCH_UNKNOWN);
    }
    assert_int_equal(state_file_parse(NULL), FILE_UNKNOWN);
    assert_int_equal(state_batch_parse(NULL), BATCH_UNKNOWN);
    assert_int_equal(state_file_parse("partial"), FILE_UNKNOWN);
    assert_int_equal(state_batch_parse("verified"), BATCH_UNKNOWN);
}

static void test_state_names_survive_values_outside_the_enum(void **unused)
{
    (void)unused;
    static const int odd[] = {-1, FILE_STATUS_COUNT, 1000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_string_equal(state_file_name((enum file_status)odd[i]), "unknown");
        assert_string_equal(state_batch_name((enum batch_status)odd[i]), "unknown");
        assert_false(state_move_legal((enum file_status)odd[i], FILE_PENDING));
        assert_false(state_move_legal(FILE_PENDING, (enum file_status)odd[i]));
    }
}

static void test_state_moves_are_these_and_no_others(void **unused)
{
    (void)unused;
    static const char *const legal[] = {
        "pending>processing",    "processing>completed",  "processing>failed",
        "processing>pending",    "processing>processing", "failed>processing",
        "completed>verified",    "completed>failed",      "verified>failed",
        "completed>rolled_back", "verified>rolled_back",  "failed>rolled_back",
        "rolled_back>pending",
    };
    int found = 0;
    for (int from = 0; from < FILE_STATUS_COUNT; from++) {
        for (int to = 0; to < FILE_STATUS_COUNT; to++) {
            char move[64];
            bool expected = false;
            (void)snprintf(move, sizeof move, "%s>%s", state_file_name((enum file_status)from),
                           state_file_name((enum file_status)to));
            for (size_t i = 0; i < sizeof legal / sizeof legal[0]; i++)
                expected = expected || strcmp(move, legal[i]) == 0;
            if (state_move_legal((enum file_status)from, (enum file_status)to) != expected)
                fail_msg("move %s should be %s", move, expected ? "legal" : "illegal");
            found += expected ? 1 : 0;
        }
    }
    assert_int_equal(found, sizeof legal / sizeof legal[0]);
}

static void test_state_counts_add_up(void **unused)
{
    (void)unused;
    struct state_counts c = {.by = {1, 2, 4, 8, 16, 32, 64}};
    assert_int_equal(state_counts_total(&c), 127);
    assert_int_equal(state_counts_completed(&c), 4 + 8);
    struct state_counts large = {
        .by = {[FILE_COMPLETED] = INT64_C(5000000000), [FILE_VERIFIED] = INT64_C(5000000000)}};
    assert_true(state_counts_total(&large) == INT64_C(10000000000));
}

/* The header's sentence, read as sets of the statuses that occur. */
static enum batch_status by_sets(unsigned present)
{
    const unsigned pending = 1U << FILE_PENDING, processing = 1U << FILE_PROCESSING;
    const unsigned sent = 1U << FILE_COMPLETED | 1U << FILE_VERIFIED;
    const unsigned failed = 1U << FILE_FAILED, undone = 1U << FILE_ROLLED_BACK;
    const unsigned ended = sent | failed | undone;
    if ((present & ~pending) == 0)
        return BATCH_PENDING;
    if ((present & processing) != 0)
        return BATCH_PROCESSING;
    if ((present & pending) != 0 && (present & ended) != 0)
        return BATCH_PROCESSING;
    if ((present & ~sent) == 0)
        return BATCH_COMPLETED;
    if (present == failed)
        return BATCH_FAILED;
    return present == undone ? BATCH_ROLLED_BACK : BATCH_PARTIAL;
}

static void test_state_batch_follows_from_every_mixture(void **unused)
{
    (void)unused;
    for (int code = 0; code < 2187; code++) { /* 3^7: none, one, many of each */
        static const int64_t amounts[] = {0, 1, 1000003};
        struct state_counts c = {0};
        unsigned present = 0;
        int rest = code;
        for (unsigned s = 0; s < FILE_STATUS_COUNT; s++, rest /= 3) {
            c.by[s] = amounts[rest % 3];
            present |= rest % 3 != 0 ? 1U << s : 0;
        }
        if (state_batch_derive(&c) != by_sets(present))
            fail_msg("mixture %d gives %s", code, state_batch_name(state_batch_derive(&c)));
    }
}

static void test_state_batch_follows_from_named_cases(void **unused)
{
    (void)unused;
    static const struct {
        struct state_counts counts;
        enum batch_status expected;
    } cases[] = {
        {{.by = {0}}, BATCH_PENDING},
        {{.by = {[FILE_PENDING] = 3}}, BATCH_PENDING},
        {{.by = {[FILE_PENDING] = 3, [FILE_PROCESSING] = 1}}, BATCH_PROCESSING},
        {{.by = {[FILE_COMPLETED] = 9, [FILE_PROCESSING] = 1}}, BATCH_PROCESSING},
        {{.by = {[FILE_PENDING] = 1, [FILE_COMPLETED] = 9}}, BATCH_PROCESSING},
        {{.by = {[FILE_PENDING] = 1, [FILE_ROLLED_BACK] = 9}}, BATCH_PROCESSING},
        {{.by = {[FILE_COMPLETED] = 9, [FILE_VERIFIED] = 1}}, BATCH_COMPLETED},
        {{.by = {[FILE_VERIFIED] = 1}}, BATCH_COMPLETED},
        {{.by = {[FILE_FAILED] = 2}}, BATCH_FAILED},
        {{.by = {[FILE_ROLLED_BACK] = 2}}, BATCH_ROLLED_BACK},
        {{.by = {[FILE_COMPLETED] = 9, [FILE_FAILED] = 1}}, BATCH_PARTIAL},
        {{.by = {[FILE_COMPLETED] = 9, [FILE_ROLLED_BACK] = 1}}, BATCH_PARTIAL},
        {{.by = {[FILE_FAILED] = 1, [FILE_ROLLED_BACK] = 1}}, BATCH_PARTIAL},
        {{.by = {[FILE_UNKNOWN] = 1}}, BATCH_PARTIAL},
        {{.by = {[FILE_UNKNOWN] = 1, [FILE_PENDING] = 1}}, BATCH_PARTIAL},
        {{.by = {[FILE_UNKNOWN] = 1, [FILE_COMPLETED] = 1}}, BATCH_PARTIAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(state_batch_derive(&cases[i].counts), cases[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_file_names_round_trip),
        cmocka_unit_test(test_state_batch_names_round_trip),
        cmocka_unit_test(test_state_parse_never_guesses),
        cmocka_unit_test(test_state_names_survive_values_outside_the_enum),
        cmocka_unit_test(test_state_moves_are_these_and_no_others),
        cmocka_unit_test(test_state_counts_add_up),
        cmocka_unit_test(test_state_batch_follows_from_every_mixture),
        cmocka_unit_test(test_state_batch_follows_from_named_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
