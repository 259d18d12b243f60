/* Contract: files.r2_key and files.checksum: set, restored, left alone where the application has been (P3); debts; shared keys. */
#ifndef BLOBFERRY_TEST_TRACKER_POINTER_H
#define BLOBFERRY_TEST_TRACKER_POINTER_H

#include "contract/tracker_support.h"

#define POINTER "SELECT coalesce(r2_key, 'NULL') || ' ' || coalesce(checksum, 'NULL') FROM files"

/* One row, completed, in a database whose files row held these values before. */
static void completed_over(struct fixture *f, const char *r2_key, const char *checksum)
{
    with_tables(f);
    plan(f, "b-1", 1, 1);
    sql(f, "UPDATE files SET r2_key = %s, checksum = %s", r2_key, checksum);
    claim(f, "me", "b-1", 1);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "key/00001 sha", POINTER);
    rows_of(f, "b-1");
}

static struct tracker_move restoring(struct fixture *f, bool owed)
{
    struct tracker_move m = move_of(&f->list.items[0], NULL, FILE_ROLLED_BACK);

    m.delete_owed = owed;
    return m;
}

static void test_tracker_pointer_returns_to_null(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "NULL", "NULL");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_APPLIED);
    EXPECT(f, "NULL NULL", POINTER);
    rows_of(f, "b-1");
    assert_int_equal(f->list.items[0].status, FILE_ROLLED_BACK);
    assert_true(f->list.items[0].delete_owed);
    assert_false(f->list.items[0].pointer_set);
    assert_string_equal(f->list.items[0].migrated_checksum, "sha"); /* history */
    expect_batch(f, "b-1", "rolled_back 1 0 0 0");
}

static void test_tracker_pointer_returns_to_what_was_there(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "'old key'", "'md5'");
    assert_string_equal(f->list.items[0].prior_r2_key, "old key");
    assert_string_equal(f->list.items[0].prior_checksum, "md5");
    assert_int_equal(move_one(f, restoring(f, false)), TRACKER_APPLIED);
    EXPECT(f, "old key md5", POINTER);
    EXPECT(f, "1", "SELECT updated_at = '2026-09-21 14:13:21' FROM files");
}

static void test_tracker_pointer_returns_to_the_empty_string(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "''", "NULL");
    assert_int_equal(move_one(f, restoring(f, false)), TRACKER_APPLIED);
    EXPECT(f, "1", "SELECT r2_key = '' AND checksum IS NULL FROM files");
}

static void test_tracker_pointer_that_the_application_changed_is_left(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "NULL", "NULL");
    sql(f, "UPDATE files SET r2_key = 'theirs'");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_POINTER_CHANGED);
    EXPECT(f, "theirs sha", POINTER);
    EXPECT(f, "completed 0",
           "SELECT m.status || ' ' || r.delete_owed FROM file_migrations m,"
           " blobferry_records r");
    expect_batch(f, "b-1", "completed 1 1 0 0");
    struct tracker_move lost = restoring(f, true); /* a row that is lost is lost first */
    lost.from = FILE_VERIFIED;
    assert_int_equal(move_one(f, lost), TRACKER_LOST);
    /* Back to what it was before us by the application itself: nothing is left to be done. */
    sql(f, "UPDATE files SET r2_key = ''");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_APPLIED);
    EXPECT(f, " sha", POINTER);
}

static void test_tracker_pointer_is_compared_exactly(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "NULL", "NULL");
    sql(f, "UPDATE files SET r2_key = 'KEY/00001'");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_POINTER_CHANGED);
}

static void test_tracker_pointer_never_stays_on_an_object_that_goes(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "'key/00001'", "'md5'");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_APPLIED);
    EXPECT(f, "NULL md5", POINTER);
}

static void test_tracker_pointer_of_the_application_keeps_its_object(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 1);
    sql(f, "UPDATE files SET r2_key = 'key/00001'");
    claim(f, "me", "b-1", 1);
    move_all(f, &f->list, "me", FILE_FAILED); /* we never set it */
    rows_of(f, "b-1");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_POINTER_CHANGED);
    assert_int_equal(move_one(f, restoring(f, false)), TRACKER_APPLIED);
    EXPECT(f, "key/00001 NULL", POINTER);
}

static void test_tracker_pointer_set_by_another_tool_is_cleared(void **state)
{
    struct fixture *f = *state;

    with_bare_tables(f, "TEXT");
    sql(f, "INSERT INTO files VALUES ('f', 'n', 'u', 'k', 'their sha', '/p');"
           "INSERT INTO file_migrations (id, batch_id, file_id, target_r2_key, migrated_checksum,"
           " status) VALUES ('row', 'b-1', 'f', 'k', 'their sha', 'completed')");
    f->t = open_tracker(f, false);
    rows_of(f, "b-1");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_APPLIED);
    EXPECT(f, "NULL NULL", POINTER);
    EXPECT(f, "1", "SELECT delete_owed FROM blobferry_records");
}

static void test_tracker_pointer_set_again_keeps_the_first_prior(void **state)
{
    struct fixture *f = *state;

    completed_over(f, "'old'", "'md5'");
    struct tracker_move m = move_of(&f->list.items[0], NULL, FILE_FAILED);
    assert_int_equal(move_one(f, m), TRACKER_APPLIED); /* the pointer is kept */
    OK(f, tracker_claim(
              f->t,
              &(struct tracker_claim){
                  .owner = "me", .now_ms = NOW, .lease_ms = HOUR, .limit = 1, .retry_failed = true},
              &f->list, &f->e));
    move_all(f, &f->list, "me", FILE_COMPLETED);
    rows_of(f, "b-1");
    assert_string_equal(f->list.items[0].prior_r2_key, "old");
    assert_int_equal(move_one(f, restoring(f, false)), TRACKER_APPLIED);
    EXPECT(f, "old md5", POINTER);
}

static void test_tracker_pointer_of_an_orphan_is_skipped(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    sql(f, "DELETE FROM files WHERE id = 'file-00001'");
    sql(f, "UPDATE file_migrations SET file_id = NULL WHERE id = 'row-00002'");
    claim(f, "me", "b-1", 2);
    assert_false(f->list.items[0].file_row || f->list.items[1].file_row);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    rows_of(f, "b-1");
    assert_false(f->list.items[0].pointer_set || f->list.items[1].pointer_set);
    move_all(f, &f->list, NULL, FILE_ROLLED_BACK);
    expect_batch(f, "b-1", "rolled_back 2 0 0 0");
}

static void test_tracker_pointer_ignored_by_a_trigger_moves_nothing(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 2);
    sql(f, "%s",
        SQL_BY(f,
               "CREATE TRIGGER no BEFORE UPDATE ON files WHEN old.id = 'file-00002'"
               " BEGIN SELECT RAISE(IGNORE); END",
               "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END"
               " $$; CREATE TRIGGER no BEFORE UPDATE ON files FOR EACH ROW WHEN (old.id ="
               " 'file-00002') EXECUTE FUNCTION no()"));
    struct tracker_move moves[] = {move_of(&f->list.items[0], "me", FILE_COMPLETED),
                                   move_of(&f->list.items[1], "me", FILE_COMPLETED)};
    CODE(f, tracker_apply(f->t, moves, 2, NULL, &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "file-00002"));
    assert_int_equal(moves[0].applied, TRACKER_LOST);
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations WHERE status = 'processing'");
    EXPECT(f, "0", "SELECT count(*) FROM files WHERE r2_key IS NOT NULL");
}

static void test_tracker_debts_are_found_and_paid(void **state)
{
    struct fixture *f = *state;
    const char *const ids[] = {"row-00001"};
    struct tracker_totals totals;

    completed_over(f, "NULL", "NULL");
    assert_int_equal(move_one(f, restoring(f, true)), TRACKER_APPLIED);
    OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
    assert_int_equal(totals.owed, 1);
    OK(f, tracker_records(f->t, &(struct tracker_filter){.delete_owed = true, .batch_id = "b-1"},
                          NULL, 9, &f->list, &f->e));
    assert_int_equal(f->list.len, 1);
    OK(f, tracker_debts_paid(f->t, ids, 1, &(struct tracker_head){"log", "run", 3, "h"}, &f->e));
    EXPECT(f, "3", "SELECT seq FROM blobferry_heads");
    OK(f, tracker_records(f->t, &(struct tracker_filter){.delete_owed = true}, NULL, 9, &f->list,
                          &f->e));
    assert_int_equal(f->list.len, 0);
}

static void test_tracker_shared_keys_are_seen(void **state)
{
    struct fixture *f = *state;
    struct tracker_key_ref refs[1000];

    with_tables(f);
    plan(f, "b-1", 1, 6);
    sql(f, "UPDATE file_migrations SET status = 'completed'");
    sql(f, "INSERT INTO file_migrations (id, batch_id, target_r2_key, status) VALUES"
           " ('x1', 'b-2', 'key/00002', 'verified'), ('x2', 'b-2', 'key/00003', 'rolled_back'),"
           " ('x3', 'b-2', 'KEY/00005', 'completed')");
    sql(f, "UPDATE files SET r2_key = 'key/00004' WHERE id IN ('file-00004', 'file-00001')");
    sql(f, "UPDATE files SET r2_key = 'key/00006' WHERE id = 'file-00006'");
    rows_of(f, "b-1");
    for (size_t n = 6; n <= 1000; n += 994) {
        for (size_t i = 0; i < n; i++) {
            const struct record *r = &f->list.items[i % 6];
            refs[i] = (struct tracker_key_ref){
                .id = r->id, .file_id = r->file_id, .key = r->target_key, .shared = true};
        }
        OK(f, tracker_shared_keys(f->t, refs, n, &f->e));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(refs[i].shared, i % 6 == 1 || i % 6 == 3);
    }
    OK(f, tracker_shared_keys(f->t, refs, 0, &f->e));
}

#define TRACKER_POINTER_TESTS(TEST)                                                                \
    TEST(test_tracker_pointer_returns_to_null),                                                    \
        TEST(test_tracker_pointer_returns_to_what_was_there),                                      \
        TEST(test_tracker_pointer_returns_to_the_empty_string),                                    \
        TEST(test_tracker_pointer_that_the_application_changed_is_left),                           \
        TEST(test_tracker_pointer_is_compared_exactly),                                            \
        TEST(test_tracker_pointer_never_stays_on_an_object_that_goes),                             \
        TEST(test_tracker_pointer_of_the_application_keeps_its_object),                            \
        TEST(test_tracker_pointer_set_by_another_tool_is_cleared),                                 \
        TEST(test_tracker_pointer_set_again_keeps_the_first_prior),                                \
        TEST(test_tracker_pointer_of_an_orphan_is_skipped),                                        \
        TEST(test_tracker_pointer_ignored_by_a_trigger_moves_nothing),                             \
        TEST(test_tracker_debts_are_found_and_paid), TEST(test_tracker_shared_keys_are_seen)

#endif
