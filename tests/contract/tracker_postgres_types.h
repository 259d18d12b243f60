/* What only PostgreSQL can be: ids, times and statuses of the application's own types, keys between the tables, a schema found by
 * search_path, texts that are too long or no UTF-8, many rows at once. */
#ifndef BLOBFERRY_TEST_TRACKER_POSTGRES_TYPES_H
#define BLOBFERRY_TEST_TRACKER_POSTGRES_TYPES_H

#include "contract/tracker_postgres.h"

#define UUID_OF(n) "0192f0c1-2345-7abc-8def-0000000000" #n

/* Rails and Prisma make tables like these. */
static void with_typed_tables(struct fixture *f, const char *id, const char *time)
{
    sql(f,
        "CREATE TYPE stage AS ENUM ('pending', 'processing', 'completed', 'verified', 'failed',"
        " 'rolled_back', 'archived');"
        "CREATE TABLE migration_batches (id %s PRIMARY KEY, batch_id VARCHAR(40) UNIQUE NOT NULL,"
        " total_files INTEGER NOT NULL DEFAULT 0, completed_files INTEGER DEFAULT 0, failed_files"
        " INTEGER DEFAULT 0, verified_files INTEGER DEFAULT 0, status TEXT DEFAULT 'pending',"
        " started_at %s, completed_at %s, created_at %s DEFAULT now())",
        id, time, time, time);
    sql(f,
        "CREATE TABLE files (id %s PRIMARY KEY, filename VARCHAR(30) NOT NULL, user_id BIGINT NOT"
        " NULL, r2_key VARCHAR(1024), checksum TEXT, created_at %s, updated_at %s);"
        "CREATE TABLE file_migrations (id %s PRIMARY KEY, batch_id VARCHAR(40) NOT NULL REFERENCES"
        " migration_batches (batch_id), file_id %s REFERENCES files (id), source_path TEXT,"
        " target_r2_key VARCHAR(1024), original_checksum TEXT, migrated_checksum TEXT, file_size"
        " INTEGER, status stage DEFAULT 'pending', error_message TEXT, started_at %s, completed_at"
        " %s, created_at %s); CREATE INDEX ON file_migrations (batch_id, status, id)",
        id, time, time, id, id, time, time, time);
}

struct typed {
    struct tracker_plan_row rows[8];
    size_t n, at, refused;
    char why[8][300];
};

static enum err_code next_typed(void *user, struct tracker_plan_row *row, bool *more, struct err *e)
{
    struct typed *p = user;

    (void)e;
    *more = p->at < p->n;
    if (*more)
        *row = p->rows[p->at++];
    return ERR_OK;
}

static void done_typed(void *user, const struct tracker_plan_row *row)
{
    struct typed *p = user;

    if (row->refused != NULL && p->refused < 8)
        str_copy(p->why[p->refused++], sizeof p->why[0], row->refused);
}

static struct tracker_plan_row typed_row(const char *id, const char *file_id, const char *key)
{
    static char digests[64][DIGEST_SHA256_HEX];
    static int at;
    char *digest = digests[at++ % 64];

    digest_of(key, digest);
    return (struct tracker_plan_row){.id = id,
                                     .batch_id = "b-1",
                                     .file_id = file_id,
                                     .source_path = "a/b",
                                     .target_key = key,
                                     .key_digest = digest,
                                     .size = 5,
                                     .filename = "b",
                                     .user_id = "7",
                                     .make_file_row = true};
}

/* The whole way there and back. */
static void there_and_back(struct fixture *f)
{
    struct tracker_totals totals;

    assert_int_equal(claim(f, "me", "b-1", 9), 2);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "2", "SELECT count(*) FROM files WHERE r2_key IS NOT NULL AND checksum = 'sha'");
    expect_batch(f, "b-1", "completed 2 2 0 0");
    OK(f, tracker_records(f->t, &(struct tracker_filter){.user_id = "7", .batch_id = "b-1"}, NULL,
                          9, &f->list, &f->e));
    assert_int_equal(f->list.len, 2);
    assert_string_equal(f->list.items[0].started_at, "2026-09-21 14:13:20");
    assert_string_equal(f->list.items[0].etag, "etag");
    assert_true(f->list.items[0].file_row && f->list.items[0].pointer_set);
    OK(f, tracker_records(f->t,
                          &(struct tracker_filter){
                              .has_from = true, .from_ms = NOW, .has_to = true, .to_ms = NOW},
                          f->list.items[0].id, 9, &f->list, &f->e));
    assert_int_equal(f->list.len, 1);
    move_all(f, &f->list, NULL, FILE_ROLLED_BACK);
    OK(f, tracker_totals(f->t, &(struct tracker_filter){.user_id = "7"}, &totals, &f->e));
    assert_int_equal(totals.counts.by[FILE_COMPLETED], 1);
    assert_int_equal(totals.counts.by[FILE_ROLLED_BACK], 1);
    assert_true(totals.bytes == 10 && totals.orphan_files == 0);
    expect_batch(f, "b-1", "partial 2 1 0 0");
    sql(f, "UPDATE file_migrations SET status = 'archived' WHERE status = 'rolled_back'");
    OK(f, tracker_records(f->t, &(struct tracker_filter){.statuses = TRACKER_STATUS(FILE_UNKNOWN)},
                          NULL, 9, &f->list, &f->e));
    assert_int_equal(f->list.len, 1);
    assert_string_equal(f->list.items[0].status_text, "archived");
}

static void test_tracker_postgres_uuids_enums_and_timestamps(void **state)
{
    struct fixture *f = *state;
    struct typed p = {.n = 2};
    bool exists = true;

    with_typed_tables(f, "UUID", "TIMESTAMP");
    f->t = open_tracker(f, false);
    p.rows[0] = typed_row(UUID_OF(01), UUID_OF(11), "k1");
    p.rows[1] = typed_row(UUID_OF(02), UUID_OF(12), "k2");
    OK(f, tracker_plan(f->t, next_typed, done_typed, &p, NULL, &f->e));
    assert_int_equal(p.refused, 0);
    OK(f, tracker_file_exists(f->t, "no uuid", &exists, &f->e));
    assert_false(exists);
    OK(f, tracker_file_exists(f->t, UUID_OF(12), &exists, &f->e));
    assert_true(exists);
    there_and_back(f);
}

static void test_tracker_postgres_identities_that_are_always_given(void **state)
{
    struct fixture *f = *state;
    struct typed p = {.n = 2};

    with_typed_tables(f, "BIGINT", "TIMESTAMPTZ");
    sql(f, "ALTER TABLE file_migrations ALTER id ADD GENERATED ALWAYS AS IDENTITY (START WITH 9);"
           "ALTER TABLE migration_batches ALTER id ADD GENERATED ALWAYS AS IDENTITY");
    f->t = open_tracker(f, false);
    p.rows[0] = typed_row("ignored", "101", "k1");
    p.rows[1] = typed_row("ignored", "102", "k2");
    OK(f, tracker_plan(f->t, next_typed, done_typed, &p, NULL, &f->e));
    assert_int_equal(p.refused, 0);
    EXPECT(f, "9 10",
           "SELECT string_agg(record_id, ' ' ORDER BY record_id::int) FROM"
           " blobferry_records");
    there_and_back(f);
}

static void test_tracker_postgres_plan_refuses_what_it_cannot_hold(void **state)
{
    struct fixture *f = *state;
    struct typed p = {.n = 7};

    with_typed_tables(f, "UUID", "TIMESTAMPTZ");
    f->t = open_tracker(f, false);
    for (size_t i = 0; i < p.n; i++)
        p.rows[i] = typed_row(UUID_OF(01), NULL, "k");
    p.rows[0].file_id = "file-1";
    p.rows[1].source_path = "caf\xe9";
    p.rows[2].file_id = p.rows[3].file_id = UUID_OF(11);
    p.rows[2].user_id = "anna";
    p.rows[3].filename = "a name of more than thirty characters";
    p.rows[4].size = INT64_C(1) << 40;
    /* The next one goes in, and holds the key of the last one. */
    OK(f, tracker_plan(f->t, next_typed, done_typed, &p, NULL, &f->e));
    assert_int_equal(p.refused, 6);
    assert_non_null(strstr(p.why[0], "'file-1' is no uuid"));
    assert_non_null(strstr(p.why[1], "source path is not UTF-8"));
    assert_non_null(strstr(p.why[2], "'anna' is no bigint"));
    assert_non_null(strstr(p.why[3], "30 characters"));
    assert_non_null(strstr(p.why[4], "file_size"));
    assert_non_null(strstr(p.why[5], "planned already in batch 'b-1'"));
    EXPECT(f, "1", "SELECT count(*) FROM file_migrations");
    expect_batch(f, "b-1", "pending 1 0 0 0");
}

static void test_tracker_postgres_plan_names_the_row_of_a_group(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-1", .user = "anna", .from = 1, .count = 700};

    with_tables(f);
    sql(f, "ALTER TABLE file_migrations ADD CHECK (file_size <> 650)");
    CODE(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e), ERR_DB);
    assert_non_null(strstr(f->e.message, "'dir/00650.txt'"));
    EXPECT(f, "0", "SELECT count(*) FROM file_migrations");
}

/* So many that the keys in use are fetched at once instead of being asked for. */
static void test_tracker_postgres_plan_of_many_rows_refuses_exactly(void **state)
{
    struct fixture *f = *state;
    struct planning p = {.batch = "b-2", .user = "anna", .from = 1, .count = 2500};

    with_tables(f);
    plan(f, "b-1", 1, 20);
    sql(f, "UPDATE file_migrations SET id = 'x' || id, file_id = NULL, target_r2_key = 'key/0' ||"
           " (2000 + file_size); UPDATE file_migrations SET status = 'rolled_back' WHERE id ="
           " 'xrow-00007'; DELETE FROM blobferry_records");
    plan(f, "b-3", 2101, 10);
    sql(f, "UPDATE file_migrations SET id = 'y' || id WHERE batch_id = 'b-3'; UPDATE"
           " blobferry_records SET record_id = 'y' || record_id");
    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    assert_int_equal(p.refused, 19 + 10);
    expect_batch(f, "b-2", "pending 2471 0 0 0");
    EXPECT(f, "2471",
           "SELECT count(DISTINCT key_digest) FROM blobferry_records AS r JOIN"
           " file_migrations AS m ON m.id = r.record_id WHERE m.batch_id = 'b-2'");
}

static void test_tracker_postgres_finds_a_schema_by_search_path(void **state)
{
    struct fixture *f = *state;
    int created = 0;

    sql(f, "DROP SCHEMA IF EXISTS \"the App\" CASCADE; CREATE SCHEMA \"the App\"");
    str_copy(f->url + strlen(f->url), sizeof f->url - strlen(f->url),
             "?options=-csearch_path%3D%22the%5C%20App%22");
    f->t = open_tracker(f, false);
    OK(f, tracker_init(f->t, &created, &f->e));
    assert_int_equal(created, 8);
    plan(f, "b-1", 1, 2);
    assert_int_equal(claim(f, "me", "b-1", 9), 2);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    EXPECT(f, "8", "SELECT count(*) FROM pg_tables WHERE schemaname = 'the App'");
    EXPECT(f, "0", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    EXPECT(f, "2", "SELECT completed_files FROM \"the App\".migration_batches");
    sql(f, "DROP SCHEMA \"the App\" CASCADE");
}

static void test_tracker_postgres_names_hide_the_password(void **state)
{
    struct fixture *f = *state;
    const char *at = strchr(f->url, '@');
    char password[64] = "";

    f->t = open_tracker(f, true);
    const char *colon = strchr(strstr(f->url, "://") + 3, ':');
    assert_true(colon != NULL && at != NULL && colon < at);
    snprintf(password, sizeof password, "%.*s", (int)(at - colon - 1), colon + 1);
    assert_true(strlen(password) > 8);
    assert_null(strstr(tracker_name(f->t), password)); /* P8 */
    tracker_close(f->t);
    f->t = NULL;
    char *wrong = strstr(f->url, password);
    wrong[0] = wrong[0] == 'x' ? 'y' : 'x';
    CODE(f, tracker_open(&f->t, &(struct tracker_options){.url = f->url}, &f->e), ERR_DB);
    assert_null(strstr(f->e.message, password + 1));
    assert_non_null(strstr(f->e.hint, "password"));
}

#define TRACKER_POSTGRES_TYPES_TESTS(TEST)                                                         \
    TEST(test_tracker_postgres_uuids_enums_and_timestamps),                                        \
        TEST(test_tracker_postgres_identities_that_are_always_given),                              \
        TEST(test_tracker_postgres_plan_refuses_what_it_cannot_hold),                              \
        TEST(test_tracker_postgres_plan_names_the_row_of_a_group),                                 \
        TEST(test_tracker_postgres_plan_of_many_rows_refuses_exactly),                             \
        TEST(test_tracker_postgres_finds_a_schema_by_search_path),                                 \
        TEST(test_tracker_postgres_names_hide_the_password)

#endif
