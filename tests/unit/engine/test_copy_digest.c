#include "engine/copy_digest.h"

#include "blobferry/codec/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct copy_rule exact[2] = {{true, TRACKER_KIND_ANY}, {true, TRACKER_KIND_ANY}};
static const struct copy_rule common[2] = {{false, TRACKER_KIND_TEXT}, {false, TRACKER_KIND_TIME}};

struct world {
    struct copy_digest d;
    char hex[65], other[65];
};

static int setup(void **state)
{
    static struct world w;

    copy_digest_init(&w.d);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    copy_digest_release(&w->d);
    return 0;
}

static struct tracker_value text(const char *s)
{
    return (struct tracker_value){.type = TRACKER_TEXT, .bytes = s, .len = strlen(s)};
}

static void add(struct world *w, struct tracker_value a, struct tracker_value b,
                const struct copy_rule *rules)
{
    const struct tracker_value row[2] = {a, b};

    assert_true(copy_digest_add(&w->d, row, rules, 2));
}

static const char *hex(struct world *w, char *out)
{
    copy_digest_hex(&w->d, out);
    copy_digest_reset(&w->d);
    return out;
}

static void test_copy_digest_of_nothing_is_zero(void **state)
{
    struct world *w = *state;

    hex(w, w->hex);
    for (int i = 0; i < 64; i++)
        assert_int_equal(w->hex[i], '0');
}

static void test_copy_digest_does_not_depend_on_the_order(void **state)
{
    struct world *w = *state;
    char a[20], b[20];

    for (int i = 0; i < 500; i++) {
        snprintf(a, sizeof a, "id-%d", i);
        snprintf(b, sizeof b, "v%d", i * 7);
        add(w, text(a), text(b), exact);
    }
    assert_int_equal(w->d.rows, 500);
    hex(w, w->hex);
    for (int i = 499; i >= 0; i--) {
        snprintf(a, sizeof a, "id-%d", i);
        snprintf(b, sizeof b, "v%d", i * 7);
        add(w, text(a), text(b), exact);
    }
    assert_string_equal(hex(w, w->other), w->hex);
    for (int i = 0; i < 500; i++) { /* two values change places */
        snprintf(a, sizeof a, "id-%d", i);
        snprintf(b, sizeof b, "v%d", (i == 3 ? 4 : i == 4 ? 3 : i) * 7);
        add(w, text(a), text(b), exact);
    }
    assert_string_not_equal(hex(w, w->other), w->hex);
}

/* Carries and all: the sum of one row with itself 2^k times is a shift. */
static void test_copy_digest_counts_rows_that_are_equal(void **state)
{
    struct world *w = *state;

    add(w, text("a"), text("b"), exact);
    hex(w, w->hex);
    for (int i = 0; i < 256; i++)
        add(w, text("a"), text("b"), exact);
    hex(w, w->other);
    assert_int_equal(strncmp(w->other, "00", 2), 0); /* little-endian: shifted by one byte */
    assert_int_equal(strncmp(w->other + 2, w->hex, 62), 0);
}

static void test_copy_digest_tells_values_apart(void **state)
{
    struct world *w = *state;
    const struct tracker_value null = {.type = TRACKER_NULL, .bytes = ""};
    const struct tracker_value blob = {.type = TRACKER_BLOB, .bytes = "7", .len = 1};
    const struct tracker_value seven = {.type = TRACKER_INTEGER, .integer = 7, .bytes = ""};
    const struct tracker_value values[] = {null, text(""), text("7"), blob, seven, text("7 ")};
    char all[6][65];

    for (size_t i = 0; i < 6; i++) {
        add(w, values[i], text("x"), exact);
        hex(w, all[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(all[i], all[k]);
    }
    /* where one value ends is part of it */
    add(w, text("ab"), text("c"), exact);
    hex(w, w->hex);
    add(w, text("a"), text("bc"), exact);
    assert_string_not_equal(hex(w, w->other), w->hex);
}

static void test_copy_digest_common_form_joins_databases(void **state)
{
    struct world *w = *state;
    const struct tracker_value seven = {.type = TRACKER_INTEGER, .integer = 7, .bytes = ""};

    add(w, text("7"), text("2024-05-01T10:00:00+02:00"), common);
    hex(w, w->hex);
    add(w, seven, text("2024-05-01 08:00:00"), common);
    assert_string_equal(hex(w, w->other), w->hex);
    add(w, seven, text("2024-05-01 08:00:00.000001"), common);
    assert_string_not_equal(hex(w, w->other), w->hex);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copy_digest_of_nothing_is_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_digest_does_not_depend_on_the_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_copy_digest_counts_rows_that_are_equal, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_copy_digest_tells_values_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_digest_common_form_joins_databases, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
