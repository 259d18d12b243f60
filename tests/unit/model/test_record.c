#include "blobferry/model/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_record_add_gives_a_blank_record(void **unused)
{
    (void)unused;
    struct record_list l;
    record_list_init(&l, 0);
    struct record *r = record_list_add(&l);
    assert_non_null(r);
    assert_int_equal(l.len, 1);
    assert_true(r->file_size == -1);
    assert_null(r->id);
    assert_int_equal(r->status, FILE_PENDING);
    assert_false(r->file_row || r->pre_existed || r->pointer_set || r->delete_owed ||
                 r->taken_over);
    assert_null(r->defect);
    record_list_release(&l);
}

static void test_record_items_keep_content_while_the_list_grows(void **unused)
{
    (void)unused;
    enum { COUNT = 5000 };
    struct record_list l;
    record_list_init(&l, 0);
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "file-%d", i);
        struct record *r = record_list_add(&l);
        assert_non_null(r);
        r->id = arena_strdup(&l.mem, id);
        r->file_size = i;
        assert_non_null(r->id);
    }
    assert_int_equal(l.len, COUNT);
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "file-%d", i);
        assert_string_equal(l.items[i].id, id);
        assert_true(l.items[i].file_size == i);
    }
    record_list_release(&l);
}

static void test_record_list_reset_keeps_room_and_clears_the_records(void **unused)
{
    (void)unused;
    struct record_list l;
    record_list_init(&l, 0);
    for (int i = 0; i < 100; i++) {
        struct record *r = record_list_add(&l);
        assert_non_null(r);
        r->defect = "old";
        r->attempts = 7;
    }
    const size_t cap = l.cap;
    record_list_reset(&l);
    assert_int_equal(l.len, 0);
    assert_int_equal(l.cap, cap);
    const struct record *r = record_list_add(&l);
    assert_non_null(r);
    assert_null(r->defect);
    assert_true(r->attempts == 0 && r->file_size == -1);
    record_list_release(&l);
}

/* P10: neither items nor strings, nor both together, pass the maximum. */
static void test_record_list_is_bounded(void **unused)
{
    (void)unused;
    const size_t max = (size_t)1 << 20;
    struct record_list l;
    record_list_init(&l, max);
    size_t n = 0;
    while (n < 1000000 && record_list_add(&l) != NULL)
        n++;
    assert_true(n > max / sizeof(struct record) / 2);
    assert_true(l.cap * sizeof(struct record) <= max);
    assert_int_equal(l.len, n);
    record_list_release(&l);

    record_list_init(&l, max);
    assert_non_null(arena_alloc(&l.mem, max - 64));
    assert_null(record_list_add(&l));
    assert_int_equal(l.len, 0);
    record_list_release(&l);

    record_list_init(&l, max); /* strings that come later count against room already there */
    assert_non_null(record_list_add(&l));
    assert_non_null(arena_alloc(&l.mem, max - 64));
    assert_null(record_list_add(&l));
    assert_int_equal(l.len, 1);
    record_list_release(&l);
}

static void test_record_list_released_can_be_released_again(void **unused)
{
    (void)unused;
    struct record_list l;
    record_list_init(&l, 0);
    assert_non_null(record_list_add(&l));
    record_list_release(&l);
    record_list_release(&l);
    assert_int_equal(l.len, 0);
    assert_null(l.items);
}

static void test_record_batches_grow_reset_and_are_blank(void **unused)
{
    (void)unused;
    struct batch_list l;
    record_batches_init(&l, 0);
    for (int i = 0; i < 1000; i++) {
        struct batch *b = record_batches_add(&l);
        assert_non_null(b);
        assert_null(b->id);
        assert_true(b->bytes == 0 && b->counts.by[FILE_FAILED] == 0);
        b->bytes = i;
        b->id = arena_strdup(&l.mem, "b");
        b->counts.by[FILE_FAILED] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_true(l.items[i].bytes == i && l.items[i].counts.by[FILE_FAILED] == i);
    record_batches_reset(&l);
    assert_int_equal(l.len, 0);
    const struct batch *b = record_batches_add(&l);
    assert_non_null(b);
    assert_null(b->id);
    record_batches_release(&l);
}

static void test_record_batches_are_bounded(void **unused)
{
    (void)unused;
    const size_t max = 64 * 1024;
    struct batch_list l;
    size_t n = 0;
    record_batches_init(&l, max);
    while (n < 100000 && record_batches_add(&l) != NULL)
        n++;
    assert_true(n > 0 && l.cap * sizeof(struct batch) <= max);
    record_batches_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_add_gives_a_blank_record),
        cmocka_unit_test(test_record_items_keep_content_while_the_list_grows),
        cmocka_unit_test(test_record_list_reset_keeps_room_and_clears_the_records),
        cmocka_unit_test(test_record_list_is_bounded),
        cmocka_unit_test(test_record_list_released_can_be_released_again),
        cmocka_unit_test(test_record_batches_grow_reset_and_are_blank),
        cmocka_unit_test(test_record_batches_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
