/* objstore: what the front does for every driver, layouts and profiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "object/driver.h"
#include "unit/object/dir_world.h"

static void expect_layout(uint64_t size, uint64_t requested, uint64_t part_size, uint64_t parts)
{
    struct objstore_layout l;

    assert_int_equal(objstore_layout(size, requested, &l, NULL), ERR_OK);
    assert_int_equal(l.part_size, part_size);
    assert_int_equal(l.parts, parts);
}

#define M ((uint64_t)1 << 20)

/* B6. */
static void test_objstore_layout_around_the_boundaries(void **state)
{
    struct objstore_layout l;
    struct err e;

    (void)state;
    expect_layout(0, 0, 0, 0);
    expect_layout(1, 0, 0, 0);
    expect_layout(16 * M, 0, 0, 0); /* single up to and including the part size */
    expect_layout(16 * M + 1, 0, 16 * M, 2);
    expect_layout(32 * M, 0, 16 * M, 2);
    expect_layout(32 * M + 1, 0, 16 * M, 3);
    expect_layout(5 * M + 1, 5 * M, 5 * M, 2);
    expect_layout(6 * M, 1, 5 * M, 2); /* never below what S3 takes */
    expect_layout(160000 * M, 0, 16 * M, 10000);
    expect_layout(160000 * M + 1, 0, 17 * M, 9412); /* raised until 10,000 suffice */
    expect_layout(OBJSTORE_SIZE_MAX, 0, 525 * M, 9987);
    expect_layout(OBJSTORE_SIZE_MAX, OBJSTORE_SIZE_MAX, OBJSTORE_PART_MAX, 1024);
    assert_int_equal(objstore_layout(OBJSTORE_SIZE_MAX + 1, 0, &l, &e), ERR_LIMIT);
    assert_int_equal(objstore_layout(UINT64_MAX, 0, &l, &e), ERR_LIMIT);
}

static void test_objstore_layout_always_fits(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= OBJSTORE_SIZE_MAX; size = size * 3 + 7) {
        struct objstore_layout l;
        assert_int_equal(objstore_layout(size, 8 * M, &l, NULL), ERR_OK);
        if (l.part_size == 0)
            continue;
        assert_true(l.parts >= 2 && l.parts <= OBJSTORE_PARTS_MAX);
        assert_true(l.part_size >= OBJSTORE_PART_MIN && l.part_size <= OBJSTORE_PART_MAX);
        assert_true(l.part_size * (l.parts - 1) < size && size <= l.part_size * l.parts);
    }
}

static void test_objstore_profiles_have_names(void **state)
{
    static const enum objstore_profile all[] = {OBJSTORE_AUTO, OBJSTORE_AWS,   OBJSTORE_R2,
                                                OBJSTORE_CEPH, OBJSTORE_MINIO, OBJSTORE_OTHER};
    enum objstore_profile p;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(objstore_profile_parse(objstore_profile_name(all[i]), &p));
        assert_int_equal(p, all[i]);
    }
    assert_true(objstore_profile_parse("R2", &p));
    assert_int_equal(p, OBJSTORE_R2);
    assert_false(objstore_profile_parse("gcs", &p));
    assert_false(objstore_profile_parse("", &p));
    assert_false(objstore_profile_parse(NULL, &p));
}

/* S3.md: what is unsettled is not set. */
static void test_objstore_profiles_promise_only_the_settled(void **state)
{
    const unsigned r2 = objstore_profile_features(OBJSTORE_R2);
    const unsigned ceph = objstore_profile_features(OBJSTORE_CEPH);

    (void)state;
    assert_int_equal(r2, OBJSTORE_IF_NONE_MATCH | OBJSTORE_BULK_DELETE | OBJSTORE_CHECKS_PAYLOAD);
    assert_int_equal(ceph, OBJSTORE_IF_NONE_MATCH | OBJSTORE_BULK_DELETE | OBJSTORE_CHECKS_PAYLOAD);
    assert_int_equal(objstore_profile_features(OBJSTORE_OTHER), 0);
    assert_int_equal(objstore_profile_features(OBJSTORE_AUTO), 0);
    assert_int_not_equal(objstore_profile_features(OBJSTORE_AWS) & OBJSTORE_DELETE_IF_MATCH, 0);
}

static void test_objstore_directory_needs_no_probe(void **state)
{
    struct world w;
    unsigned features = 0;

    (void)state;
    world_open(&w);
    assert_false(objstore_needs_probe(w.store));
    assert_int_equal(objstore_probe(w.store, &features, &w.err), ERR_OK);
    assert_int_equal(features, objstore_features(w.store));
    assert_int_not_equal(features & OBJSTORE_CHECKS_PAYLOAD, 0);
    world_close(&w);
}

/* A bad key is told later, once, and from the loop only. */
static void test_objstore_bad_key_is_told_from_the_loop(void **state)
{
    struct got g = {0};
    struct world w;

    (void)state;
    world_open(&w);
    assert_int_equal(objstore_stat(w.store, "a//b", got_it, &g, &w.err), ERR_OK);
    assert_int_equal(g.calls, 0);
    assert_int_equal(objstore_active(w.store), 1);
    assert_int_equal(objstore_run(w.store, 10000, &w.err), ERR_OK); /* at once, in spite of that */
    assert_int_equal(g.calls, 1);
    assert_int_equal(g.r.outcome, OBJSTORE_REJECTED);
    assert_int_equal(g.r.info.size, -1);
    assert_int_equal(objstore_active(w.store), 0);
    assert_int_equal(objstore_stat(w.store, "a//b", got_it, &g, &w.err), ERR_OK);
    objstore_cancel_all(w.store);
    assert_int_equal(g.calls, 2);
    assert_int_equal(g.r.outcome, OBJSTORE_CANCELLED);
    world_close(&w);
}

static void test_objstore_ids_that_do_not_fit_are_rejected(void **state)
{
    char id[OBJINFO_ID_MAX + 1];
    struct objstore_put p;
    struct world w;

    (void)state;
    memset(id, 'i', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    world_open(&w);
    p = world_put_of("k", "x");
    p.meta.record_id = id;
    assert_int_equal(world_put(&w, &p).outcome, OBJSTORE_REJECTED);
    p.meta.record_id = id + 1; /* the longest that fits */
    assert_int_equal(world_put(&w, &p).outcome, OBJSTORE_DONE);
    p = world_put_of("k2", "x");
    p.meta.batch_id = id;
    assert_int_equal(world_put(&w, &p).outcome, OBJSTORE_REJECTED);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objstore_layout_around_the_boundaries),
        cmocka_unit_test(test_objstore_layout_always_fits),
        cmocka_unit_test(test_objstore_profiles_have_names),
        cmocka_unit_test(test_objstore_profiles_promise_only_the_settled),
        cmocka_unit_test(test_objstore_directory_needs_no_probe),
        cmocka_unit_test(test_objstore_bad_key_is_told_from_the_loop),
        cmocka_unit_test(test_objstore_ids_that_do_not_fit_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
