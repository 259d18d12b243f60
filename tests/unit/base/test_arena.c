#include "blobferry/base/arena.h"
#include "unit/base/scratch.h"

static void test_arena_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena a;
    static const char zeros[100];
    arena_init(&a, 1 << 20);
    for (size_t n = 0; n < 100; n++) {
        char *p = arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_memory_equal(p, zeros, n);
        memset(p, 0xAA, n);
    }
    arena_release(&a);
    assert_int_equal(a.used, 0);
}

static void test_arena_maximum_holds(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    assert_non_null(arena_alloc(&a, 32));
    assert_null(arena_alloc(&a, 33));
    assert_non_null(arena_alloc(&a, 32));
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_strdup(&a, "x"));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 64));
    arena_release(&a);
    assert_null(a.head);
}

static void test_arena_absurd_sizes_fail_cleanly(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    assert_null(arena_alloc(&a, SIZE_MAX - 16));
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    assert_non_null(arena_alloc(&a, 1));
    arena_release(&a);
}

static void test_arena_blocks_are_added_for_large_and_many(void **state)
{
    (void)state;
    struct arena a;
    char *kept[300];
    arena_init(&a, 64 << 20);
    for (int i = 0; i < 300; i++) {
        kept[i] = arena_alloc(&a, 1000);
        assert_non_null(kept[i]);
        memset(kept[i], i & 0x7F, 1000);
    }
    char *large = arena_alloc(&a, 1 << 20);
    assert_non_null(large);
    memset(large, 0x55, 1 << 20);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(kept[i][0], i & 0x7F);
        assert_int_equal(kept[i][999], i & 0x7F);
    }
    arena_release(&a);
}

static void test_arena_reset_reuses_one_block_zeroed(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&a, 5000));
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    const struct arena_block *kept = a.head;
    assert_non_null(kept);
    const char *p = arena_alloc(&a, 5000);
    assert_ptr_equal(a.head, kept);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(p[i], 0);
    arena_reset(&a);
    arena_release(&a);
    arena_reset(&a);
    assert_null(a.head);
}

static void test_arena_copies_strings(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1000);
    assert_string_equal(arena_strdup(&a, "abc"), "abc");
    assert_string_equal(arena_strdup(&a, ""), "");
    assert_null(arena_strdup(&a, NULL));
    assert_memory_equal(arena_strndup(&a, "a\0b-", 3), "a\0b", 4);
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_arena_maximum_holds),
        cmocka_unit_test(test_arena_absurd_sizes_fail_cleanly),
        cmocka_unit_test(test_arena_blocks_are_added_for_large_and_many),
        cmocka_unit_test(test_arena_reset_reuses_one_block_zeroed),
        cmocka_unit_test(test_arena_copies_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
