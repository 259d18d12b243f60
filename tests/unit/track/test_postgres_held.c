#include "track/postgres_plan.h"

#include "blobferry/codec/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 5000 };

static int begin(void **state)
{
    struct postgres_held *h = NULL;

    assert_int_equal(postgres_held_open(&h, NULL), ERR_OK);
    *state = h;
    return 0;
}

static int end(void **state)
{
    postgres_held_free(*state);
    return 0;
}

static void digest_of(int n, char hex[DIGEST_SHA256_HEX])
{
    char key[32];

    snprintf(key, sizeof key, "key/%d", n);
    digest_sha256_hex(key, strlen(key), hex);
}

static void expect(struct postgres_held *h, const char *digest, const char *want)
{
    char batch[64] = "untouched";
    bool found = false;

    assert_int_equal(postgres_held_find(h, digest, batch, sizeof batch, &found, NULL), ERR_OK);
    assert_int_equal(found, want != NULL);
    assert_string_equal(batch, want != NULL ? want : "untouched");
}

static void test_postgres_held_finds_what_was_added(void **state)
{
    char hex[DIGEST_SHA256_HEX];

    for (int i = 0; i < MANY; i += 2) {
        digest_of(i, hex);
        assert_int_equal(postgres_held_add(*state, hex, i % 4 == 0 ? "b-1" : "b'2", NULL), ERR_OK);
    }
    for (int i = 0; i < MANY; i++) {
        digest_of(i, hex);
        expect(*state, hex, i % 2 != 0 ? NULL : i % 4 == 0 ? "b-1" : "b'2");
    }
}

static void test_postgres_held_keeps_the_first_batch(void **state)
{
    char hex[DIGEST_SHA256_HEX];

    digest_of(1, hex);
    assert_int_equal(postgres_held_add(*state, hex, "first", NULL), ERR_OK);
    assert_int_equal(postgres_held_add(*state, hex, "second", NULL), ERR_OK);
    expect(*state, hex, "first");
}

static void test_postgres_held_compares_what_is_no_digest_exactly(void **state)
{
    assert_int_equal(postgres_held_add(*state, "none", "b", NULL), ERR_OK);
    expect(*state, "none", "b");
    expect(*state, "None", NULL);
    expect(*state, "", NULL);
}

static void test_postgres_held_knows_the_batches_of_a_plan(void **state)
{
    bool found = true;

    assert_int_equal(postgres_held_has_batch(*state, "b-1", &found, NULL), ERR_OK);
    assert_false(found);
    assert_int_equal(postgres_held_note_batch(*state, "b-1", NULL), ERR_OK);
    assert_int_equal(postgres_held_note_batch(*state, "b-1", NULL), ERR_OK);
    assert_int_equal(postgres_held_has_batch(*state, "b-1", &found, NULL), ERR_OK);
    assert_true(found);
    assert_int_equal(postgres_held_has_batch(*state, "B-1", &found, NULL), ERR_OK);
    assert_false(found);
    assert_int_equal(postgres_held_state(*state)->lookups, 0);
    assert_false(postgres_held_state(*state)->own_too);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_postgres_held_finds_what_was_added),
        TEST(test_postgres_held_keeps_the_first_batch),
        TEST(test_postgres_held_compares_what_is_no_digest_exactly),
        TEST(test_postgres_held_knows_the_batches_of_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
