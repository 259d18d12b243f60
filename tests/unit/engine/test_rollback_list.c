/* Proof by LIST: cheap where the selection is dense, never weaker than HEAD where something differs. */
#include "unit/engine/rollback_world.h"

#define FILES 60

static struct rollback_world *dense(void **state)
{
    struct rollback_world *r = *state;
    char id[8];

    for (int i = 0; i < FILES; i++) {
        snprintf(id, sizeof id, "n%02d", i);
        rollback_world_add(r, id, "b", "u");
    }
    rollback_world_migrate(r, "b");
    r->w.tap->counts[TAP_STAT] = 0;
    return r;
}

static int left(struct rollback_world *r)
{
    char id[16], key[32];
    int n = 0;

    for (int i = 0; i < FILES; i++) {
        snprintf(id, sizeof id, "n%02d", i);
        snprintf(key, sizeof key, "k/%s.txt", id);
        n += world_has_object(&r->w, key);
    }
    return n;
}

static void test_rollback_list_dense_selection_needs_no_head(void **state)
{
    struct rollback_world *r = dense(state);
    struct objstore_requests before, after;

    objstore_requests(r->w.dir_store, &before);
    rollback_world_expect(r, ERR_OK);
    objstore_requests(r->w.dir_store, &after);
    assert_int_equal(r->result.r2_deletions, FILES);
    assert_int_equal(left(r), 0);
    assert_int_equal(r->w.tap->counts[TAP_STAT], 0);
    assert_true(after.get - before.get <= 2); /* ping and LIST */
    rollback_world_check(r);
}

static void test_rollback_list_differences_are_looked_at_and_refused(void **state)
{
    struct rollback_world *r = dense(state);
    char path[400];

    world_write(r->w.store, "k/n07.txt", "the bytes of file n07", 21); /* another object */
    world_write(r->w.store, "k/n08.txt", "other", 5);
    world_sql(&r->w, "UPDATE blobferry_records SET etag = 'other' WHERE record_id = 'n09'");
    snprintf(path, sizeof path, "%s/k/n10.txt", r->w.store);
    assert_int_equal(unlink(path), 0);
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_NOT_OURS], 3);
    assert_int_equal(r->result.already_absent, 1);
    assert_int_equal(r->result.r2_deletions, FILES - 4);
    assert_int_equal(r->w.tap->counts[TAP_STAT], 4); /* those that LIST could not vouch for */
    assert_string_equal(world_status(&r->w, "n07"), "completed");
    assert_string_equal(world_status(&r->w, "n10"), "rolled_back");
    assert_int_equal(left(r), 3);
    rollback_world_check(r);
}

/* LIST says nothing of the original: its proof is as strict as ever (P4). */
static void test_rollback_list_originals_are_still_proven(void **state)
{
    struct rollback_world *r = dense(state);
    char path[400];

    snprintf(path, sizeof path, "%s/n11.txt", r->w.source);
    assert_int_equal(unlink(path), 0);
    world_file(&r->w, "n12.txt", "THE bytes of file n12");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_int_equal(r->result.refused_by[ROLLBACK_SOURCE_MISSING], 1);
    assert_int_equal(r->result.refused_by[ROLLBACK_SOURCE_ALTERED], 1);
    assert_int_equal(left(r), 2);
    rollback_world_check(r);
}

/* Rows of another tool, and rows whose object was there before, never rest on LIST. */
static void test_rollback_list_is_only_for_objects_that_we_wrote(void **state)
{
    struct rollback_world *r = dense(state);

    world_sql(&r->w, "UPDATE blobferry_records SET pre_existed = 1 WHERE record_id = 'n13';"
                     "UPDATE blobferry_records SET object_owner = NULL WHERE record_id = 'n14';"
                     "UPDATE blobferry_records SET etag = NULL WHERE record_id = 'n15'");
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->w.tap->counts[TAP_STAT], 3);
    assert_int_equal(r->result.kept_objects, 1);
    assert_int_equal(left(r), 1);
    rollback_world_check(r);
}

static void test_rollback_list_few_files_are_looked_at_one_by_one(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    r->w.tap->counts[TAP_STAT] = 0;
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->w.tap->counts[TAP_STAT], 3);
}

/* A sparse selection in a large store: LIST is given up, and the verdicts are the same. */
static void test_rollback_list_sparse_selection_goes_by_head(void **state)
{
    struct rollback_world *r = dense(state);
    char name[40];

    for (int i = 0; i < 2500; i++) {
        snprintf(name, sizeof name, "k/n00.txt-%04d", i); /* between the first key and the second */
        world_write(r->w.store, name, "", 0);
    }
    rollback_world_expect(r, ERR_OK);
    assert_int_equal(r->result.r2_deletions, FILES);
    assert_int_equal(r->w.tap->counts[TAP_STAT], FILES - 1);
    assert_int_equal(left(r), 0);
    rollback_world_check(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rollback_test(test_rollback_list_dense_selection_needs_no_head),
        rollback_test(test_rollback_list_differences_are_looked_at_and_refused),
        rollback_test(test_rollback_list_originals_are_still_proven),
        rollback_test(test_rollback_list_is_only_for_objects_that_we_wrote),
        rollback_test(test_rollback_list_few_files_are_looked_at_one_by_one),
        rollback_test(test_rollback_list_sparse_selection_goes_by_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
