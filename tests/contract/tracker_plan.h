/* Contract: planning: all of it or nothing, keys held once, files asked about. */
#ifndef BLOBFERRY_TEST_TRACKER_PLAN_H
#define BLOBFERRY_TEST_TRACKER_PLAN_H

#include "contract/tracker_support.h"

static void test_tracker_plan_writes_batch_rows_and_files(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    expect_batch(f, "b-1", "pending 3 0 0 0");
    EXPECT(f, "b-1 file-00002 dir/00002.txt key/00002 2 pending",
           "SELECT batch_id || ' ' || file_id || ' ' || source_path || ' ' || target_r2_key || ' '"
           " || file_size || ' ' || status FROM file_migrations WHERE id = 'row-00002'");
    EXPECT(f, "1",
           "SELECT started_at IS NULL AND completed_at IS NULL AND original_checksum IS"
           " NULL AND created_at IS NOT NULL FROM file_migrations WHERE id = 'row-00002'");
    EXPECT(f, "00002.txt anna 1",
           "SELECT filename || ' ' || user_id || ' ' || (CASE WHEN r2_key IS NULL AND checksum IS"
           " NULL THEN 1 ELSE 0 END) FROM files WHERE id = 'file-00002'");
    EXPECT(f, "text/plain",
           "SELECT content_type FROM blobferry_records WHERE record_id ="
           " 'row-00002'");
}

static void test_tracker_plan_keeps_files_that_are_there(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    sql(f, "INSERT INTO files (id, filename, user_id, r2_key) VALUES ('file-00001', 'own.name',"
           " 'otto', 'old')");
    plan(f, "b-1", 1, 2);
    EXPECT(f, "own.name otto old",
           "SELECT filename || ' ' || user_id || ' ' || r2_key FROM files WHERE id = 'file-00001'");
    EXPECT(f, "2", "SELECT count(*) FROM files");
}

static void test_tracker_plan_without_a_user_makes_no_file(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-1", .user = NULL, .from = 1, .count = 2};

    with_tables(f);
    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    EXPECT(f, "0", "SELECT count(*) FROM files");
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations");
}

static void test_tracker_plan_refuses_keys_that_are_held(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-2", .user = "anna", .from = 2, .count = 4};
    char digest[DIGEST_SHA256_HEX], batch[64];

    with_tables(f);
    plan(f, "b-1", 1, 3);
    sql(f, "UPDATE file_migrations SET id = 'x' || id, file_id = NULL");
    sql(f, "UPDATE blobferry_records SET record_id = 'x' || record_id");
    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    assert_int_equal(p.refused, 2); /* key/00002, key/00003 */
    assert_string_equal(p.why, "target key is planned already in batch 'b-1'");
    expect_batch(f, "b-2", "pending 2 0 0 0");
    digest_of("key/00001", digest);
    OK(f, tracker_key_holder(f->t, digest, batch, sizeof batch, &f->e));
    assert_string_equal(batch, "b-1");
    digest_of("key/99999", digest);
    OK(f, tracker_key_holder(f->t, digest, batch, sizeof batch, &f->e));
    assert_string_equal(batch, "");
}

static void test_tracker_plan_reuses_keys_of_rows_rolled_back(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-2", .user = "anna", .from = 1, .count = 3};

    with_tables(f);
    plan(f, "b-1", 1, 3);
    sql(f, "UPDATE file_migrations SET status = 'rolled_back', id = 'x' || id");
    sql(f, "UPDATE blobferry_records SET record_id = 'x' || record_id");
    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    assert_int_equal(p.refused, 0);
    EXPECT(f, "6", "SELECT count(*) FROM file_migrations");
}

static void test_tracker_plan_sees_keys_of_rows_that_another_tool_made(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-2", .user = "anna", .from = 1, .count = 3};
    char digest[DIGEST_SHA256_HEX], batch[64];

    with_bare_tables(f, "TEXT");
    sql(f,
        "INSERT INTO file_migrations (id, batch_id, target_r2_key, status) VALUES"
        " ('a', 'theirs', 'key/00002', 'completed'), ('b', 'theirs', 'key/00003', 'rolled_back')");
    f->t = open_tracker(f, true);
    digest_of("key/00002", digest);
    OK(f, tracker_key_holder(f->t, digest, batch, sizeof batch, &f->e));
    assert_string_equal(batch, "theirs");
    digest_of("key/00003", digest);
    OK(f, tracker_key_holder(f->t, digest, batch, sizeof batch, &f->e));
    assert_string_equal(batch, "");
    reopen(f, false);
    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    assert_int_equal(p.refused, 1);
    assert_non_null(strstr(p.why, "'theirs'"));
}

static void test_tracker_plan_into_an_existing_batch_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-1", .user = "anna", .from = 50, .count = 3};
    bool exists = false;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    CODE(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e), ERR_CONFLICT);
    assert_non_null(strstr(f->e.message, "b-1"));
    EXPECT(f, "3", "SELECT count(*) FROM file_migrations");
    OK(f, tracker_batch_exists(f->t, "b-1", &exists, &f->e));
    assert_true(exists);
    OK(f, tracker_batch_exists(f->t, "B-1", &exists, &f->e));
    assert_false(exists);
}

static void test_tracker_plan_that_fails_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-1", .user = "anna", .from = 1, .count = 500, .fail_at = 400};
    const struct tracker_head head = {"log", "run", 7, "hash"};

    with_tables(f);
    CODE(f, tracker_plan(f->t, next_planned, done_planned, &p, &head, &f->e), ERR_PARSE);
    assert_string_equal(f->e.message, "line 400 is broken");
    EXPECT(f, "0",
           "SELECT (SELECT count(*) FROM file_migrations) + (SELECT count(*) FROM files) +"
           " (SELECT count(*) FROM migration_batches) + (SELECT count(*) FROM"
           " blobferry_records) + (SELECT count(*) FROM blobferry_heads)");
    plan(f, "b-1", 1, 2); /* and the connection is fit for use */
}

struct interleaved {
    struct planning p;
    int n;
};

static enum err_code next_interleaved(void *user, struct tracker_plan_row *row, bool *more,
                                      struct err *e)
{
    struct interleaved *i = user;

    i->p.batch = i->n++ % 2 == 0 ? "even" : "odd";
    return next_planned(&i->p, row, more, e);
}

static void test_tracker_plan_counts_batches_that_come_in_turn(void **state)
{
    struct fixture *f = *state;
    struct interleaved i = {.p = {.user = "anna", .from = 1, .count = 7}};

    with_tables(f);
    OK(f, tracker_plan(f->t, next_interleaved, done_planned, &i, NULL, &f->e));
    expect_batch(f, "even", "pending 4 0 0 0");
    expect_batch(f, "odd", "pending 3 0 0 0");
}

static void test_tracker_plan_names_the_column_that_forbids_it(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-1", .user = "anna", .from = 1, .count = 3};

    with_tables(f);
    sql(f, "DROP TABLE files; CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT NOT NULL,"
           " user_id TEXT NOT NULL, r2_key TEXT, checksum TEXT, tenant TEXT NOT NULL)");
    CODE(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e), ERR_DB);
    assert_non_null(
        strstr(f->e.message, SQL_BY(f, "files.tenant", "\"tenant\" of relation \"files\"")));
    EXPECT(f, "0", "SELECT count(*) FROM file_migrations");
}

static void test_tracker_file_exists_compares_exactly(void **state)
{
    struct fixture *f = *state;
    bool exists = true;

    with_tables(f);
    plan(f, "b-1", 1, 1);
    OK(f, tracker_file_exists(f->t, "file-00001", &exists, &f->e));
    assert_true(exists);
    OK(f, tracker_file_exists(f->t, "file-0000_", &exists, &f->e));
    assert_false(exists);
}

static void test_tracker_files_without_key_come_in_pages(void **state)
{
    struct fixture *f = *state;
    char after[64] = "";
    int seen = 0;

    with_bare_tables(f, "TEXT");
    sql(f, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25)"
           " INSERT INTO files (id, filename, user_id, checksum, path, r2_key)"
           " SELECT 'f' || CASE WHEN i < 10 THEN '0' ELSE '' END || i, 'n' || i, 'u', 'c', "
           "'/data/' || i,"
           "  CASE i %% 5 WHEN 0 THEN 'taken' WHEN 1 THEN '' END FROM n");
    sql(f, "INSERT INTO file_migrations (id, batch_id, file_id, status) VALUES"
           " ('a', 'b', 'f02', 'failed'), ('c', 'b', 'f03', 'rolled_back')");
    f->t = open_tracker(f, true);
    do {
        OK(f, tracker_files_without_key(f->t, "PATH", after[0] != '\0' ? after : NULL, 6, &f->list,
                                        &f->e));
        for (size_t i = 0; i < f->list.len; i++) {
            const struct record *r = &f->list.items[i];
            assert_true(strcmp(after, r->file_id) < 0);
            str_copy(after, sizeof after, r->file_id);
            assert_true(str_starts(r->source_path, "/data/"));
            assert_string_equal(r->user_id, "u");
            assert_string_equal(r->file_checksum, "c");
            assert_string_not_equal(r->file_id, "f02");
            assert_null(r->defect);
            seen++;
        }
    } while (f->list.len > 0);
    assert_int_equal(seen, 19); /* 25, less 5 taken, less f02 */
    CODE(f, tracker_files_without_key(f->t, "nope\" OR 1", NULL, 6, &f->list, &f->e),
         ERR_DB_SCHEMA);
    assert_non_null(strstr(f->e.message, "nope"));
}

#define TRACKER_PLAN_TESTS(TEST)                                                                   \
    TEST(test_tracker_plan_writes_batch_rows_and_files),                                           \
        TEST(test_tracker_plan_keeps_files_that_are_there),                                        \
        TEST(test_tracker_plan_without_a_user_makes_no_file),                                      \
        TEST(test_tracker_plan_refuses_keys_that_are_held),                                        \
        TEST(test_tracker_plan_reuses_keys_of_rows_rolled_back),                                   \
        TEST(test_tracker_plan_sees_keys_of_rows_that_another_tool_made),                          \
        TEST(test_tracker_plan_into_an_existing_batch_is_a_conflict),                              \
        TEST(test_tracker_plan_that_fails_leaves_nothing),                                         \
        TEST(test_tracker_plan_counts_batches_that_come_in_turn),                                  \
        TEST(test_tracker_plan_names_the_column_that_forbids_it),                                  \
        TEST(test_tracker_file_exists_compares_exactly),                                           \
        TEST(test_tracker_files_without_key_come_in_pages)

#endif
