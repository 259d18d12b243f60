/* Contract: state moves: each guarded by itself, counters and batch following, the audit head along with them. */
#ifndef BLOBFERRY_TEST_TRACKER_APPLY_H
#define BLOBFERRY_TEST_TRACKER_APPLY_H

#include "contract/tracker_support.h"

/* One row in status `from`, as only the database knows it. */
static void put_row(struct fixture *f, enum file_status from)
{
    sql(f, "DELETE FROM file_migrations; DELETE FROM blobferry_records; DELETE FROM files;"
           "DELETE FROM migration_batches");
    sql(f, "INSERT INTO migration_batches (id, batch_id) VALUES ('i', 'b-1');"
           "INSERT INTO files (id, filename, user_id) VALUES ('file', 'n', 'u');"
           "INSERT INTO blobferry_records (record_id, lease_owner) VALUES ('row', 'me')");
    sql(f,
        "INSERT INTO file_migrations (id, batch_id, file_id, target_r2_key, status) VALUES"
        " ('row', 'b-1', 'file', 'key', '%s')",
        state_file_name(from));
}

static void test_tracker_apply_makes_legal_moves_and_no_other(void **state)
{
    struct fixture *f = *state;
    int legal = 0;

    with_tables(f);
    for (int from = 0; from <= FILE_UNKNOWN; from++) {
        for (int to = 0; to <= FILE_UNKNOWN; to++) {
            struct tracker_move m = {.id = "row",
                                     .batch_id = "b-1",
                                     .owner = from == FILE_PROCESSING ? "me" : NULL,
                                     .from = (enum file_status)from,
                                     .to = (enum file_status)to,
                                     .now_ms = NOW,
                                     .size = -1};
            /* processing is entered by a claim alone: it brings the lease */
            const bool allowed = state_move_legal(m.from, m.to) && to != FILE_PROCESSING;

            put_row(f, m.from);
            CODE(f, tracker_apply(f->t, &m, 1, NULL, &f->e), allowed ? ERR_OK : ERR_GENERAL);
            EXPECT(f, state_file_name(allowed ? m.to : m.from),
                   "SELECT status FROM file_migrations");
            assert_int_equal(m.applied, allowed ? TRACKER_APPLIED : TRACKER_LOST);
            legal += allowed;
        }
    }
    assert_int_equal(legal, 10);
}

static void test_tracker_apply_loses_rows_in_another_status(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    for (int from = 0; from < FILE_UNKNOWN; from++) {
        for (int real = 0; real <= FILE_UNKNOWN; real++) {
            const struct tracker_move m = {.id = "row",
                                           .batch_id = "b-1",
                                           .owner = from == FILE_PROCESSING ? "me" : NULL,
                                           .from = (enum file_status)from,
                                           .to = from == FILE_ROLLED_BACK  ? FILE_PENDING
                                                 : from == FILE_COMPLETED  ? FILE_VERIFIED
                                                 : from == FILE_PROCESSING ? FILE_FAILED
                                                                           : FILE_ROLLED_BACK,
                                           .size = -1};
            if (real == from || from == FILE_PENDING)
                continue;
            put_row(f, (enum file_status)real);
            assert_int_equal(move_one(f, m), TRACKER_LOST);
            EXPECT(f, state_file_name((enum file_status)real),
                   "SELECT status FROM file_migrations");
            EXPECT(f, "me", "SELECT lease_owner FROM blobferry_records");
        }
    }
}

static void test_tracker_apply_needs_the_lease(void **state)
{
    struct fixture *f = *state;
    struct tracker_move m;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 1);
    m = move_of(&f->list.items[0], "you", FILE_COMPLETED);
    assert_int_equal(move_one(f, m), TRACKER_LOST);
    EXPECT(f, "processing me NULL",
           "SELECT m.status || ' ' || r.lease_owner || ' ' || coalesce(f.r2_key, 'NULL')"
           " FROM file_migrations m, blobferry_records r, files f WHERE m.id = 'row-00001' AND"
           " r.record_id = m.id AND f.id = m.file_id");
    m.owner = NULL;
    CODE(f, tracker_apply(f->t, &m, 1, NULL, &f->e), ERR_GENERAL);
    m.owner = "me";
    m.batch_id = "b-2"; /* a row of another batch is another row */
    assert_int_equal(move_one(f, m), TRACKER_LOST);
    m.batch_id = "b-1";
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    assert_int_equal(move_one(f, m), TRACKER_LOST); /* twice is once */
    expect_batch(f, "b-1", "processing 2 1 0 0");
}

static void test_tracker_apply_stores_what_the_move_tells(void **state)
{
    struct fixture *f = *state;
    const struct source_identity source = {
        .device = 1, .inode = UINT64_MAX - 1, .size = 3, .mtime_ns = -4, .ctime_ns = 5};

    with_tables(f);
    plan(f, "b-1", 1, 1);
    sql(f, "UPDATE file_migrations SET file_size = NULL, error_message = 'old'");
    claim(f, "me", "b-1", 1);
    OK(f, tracker_set_upload(f->t, "row-00001", "me", "up", 8 << 20, &f->e));
    struct tracker_move m = move_of(&f->list.items[0], "me", FILE_COMPLETED);
    m.version_id = "v1";
    m.object_owner = "row-00001";
    m.pre_existed = true;
    m.source = &source;
    m.size = 77;
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    rows_of(f, "b-1");
    const struct record *r = &f->list.items[0];
    assert_int_equal(r->status, FILE_COMPLETED);
    assert_string_equal(r->migrated_checksum, "sha");
    assert_string_equal(r->etag, "etag");
    assert_string_equal(r->version_id, "v1");
    assert_string_equal(r->object_owner, "row-00001");
    assert_true(r->pre_existed && r->pointer_set && r->has_source);
    assert_memory_equal(&r->source, &source, sizeof source);
    assert_true(r->file_size == 77);
    assert_null(r->error_message);
    assert_null(r->lease_owner);
    assert_null(r->upload_id);
    assert_string_equal(r->completed_at, "2026-09-21 14:13:21");
    assert_string_equal(r->file_r2_key, "key/00001");
    assert_string_equal(r->file_checksum, "sha");
}

static void test_tracker_apply_leaves_what_the_move_does_not_tell(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 1);
    claim(f, "me", "b-1", 1);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    rows_of(f, "b-1");
    move_all(f, &f->list, "me", FILE_VERIFIED);
    expect_batch(f, "b-1", "completed 1 1 1 0");
    rows_of(f, "b-1");
    assert_string_equal(f->list.items[0].etag, "etag");
    assert_string_equal(f->list.items[0].migrated_checksum, "sha");
    assert_true(f->list.items[0].file_size == 1); /* known before: kept */
    struct tracker_move m = move_of(&f->list.items[0], NULL, FILE_FAILED);
    m.error_message = "other bytes";
    m.error_class = "store_corrupt";
    m.pointer = TRACKER_POINTER_RESTORE;
    assert_int_equal(move_one(f, m), TRACKER_APPLIED);
    rows_of(f, "b-1");
    assert_string_equal(f->list.items[0].error_message, "other bytes");
    assert_string_equal(f->list.items[0].error_class, "store_corrupt");
    assert_string_equal(f->list.items[0].etag, "etag");
    assert_null(f->list.items[0].file_r2_key);
    expect_batch(f, "b-1", "failed 1 0 0 1");
}

static void test_tracker_apply_refuses_one_and_moves_the_others(void **state)
{
    struct fixture *f = *state;
    struct tracker_move moves[3];

    with_tables(f);
    plan(f, "b-1", 1, 3);
    claim(f, "me", "b-1", 3);
    for (size_t i = 0; i < 3; i++)
        moves[i] = move_of(&f->list.items[i], "me", FILE_COMPLETED);
    sql(f, "UPDATE files SET r2_key = 'theirs' WHERE id = 'file-00002'");
    sql(f, "UPDATE file_migrations SET status = 'failed' WHERE id = 'row-00003'");
    OK(f, tracker_apply(f->t, moves, 3, NULL, &f->e));
    assert_int_equal(moves[0].applied, TRACKER_APPLIED);
    assert_int_equal(moves[1].applied, TRACKER_POINTER_CHANGED);
    assert_int_equal(moves[2].applied, TRACKER_LOST);
    EXPECT(
        f, "processing me NULL",
        "SELECT m.status || ' ' || r.lease_owner || ' ' || coalesce(r.etag, 'NULL') FROM"
        " file_migrations m, blobferry_records r WHERE m.id = 'row-00002' AND r.record_id = m.id");
    EXPECT(f, "theirs", "SELECT r2_key FROM files WHERE id = 'file-00002'");
    EXPECT(f, "1", "SELECT completed_files FROM migration_batches");
}

/* More than one group has room for, and among them a row and a file that come twice: the later one sees what the former did. */
static void test_tracker_apply_makes_many_moves_in_their_order(void **state)
{
    enum { ROWS = 300, MOVES = ROWS + 2 };
    struct tracker_move moves[MOVES];
    struct fixture *f = *state;

    with_tables(f);
    assert_true(tracker_rows_at_once(f->t) >= TRACKER_ROWS);
    assert_true(tracker_rows_at_once(f->t) <= TRACKER_ROWS_MAX);
    assert_int_equal(tracker_side_by_side(f->t), f->driver->dialect == DIALECT_POSTGRES);
    plan(f, "b-1", 1, ROWS);
    sql(f, "UPDATE file_migrations SET file_id = 'file-00001' WHERE id = 'row-00003'");
    assert_int_equal(claim_by(f, f->t, "me", "b-1", ROWS, NOW, &f->list), ROWS);
    for (size_t i = 0; i < MOVES; i++)
        moves[i] = move_of(&f->list.items[i < 200    ? i
                                          : i == 200 ? 0
                                                     : i - 1],
                           "me", FILE_COMPLETED);
    moves[MOVES - 1] = move_of(&f->list.items[1], "me", FILE_FAILED);
    OK(f, tracker_apply(f->t, moves, MOVES, NULL, &f->e));
    for (size_t i = 0; i < MOVES; i++)
        assert_int_equal(moves[i].applied, i == 2                       ? TRACKER_POINTER_CHANGED
                                           : i == 200 || i == MOVES - 1 ? TRACKER_LOST
                                                                        : TRACKER_APPLIED);
    EXPECT(f, "299", "SELECT count(*) FROM file_migrations WHERE status = 'completed'");
    EXPECT(f, "processing", "SELECT status FROM file_migrations WHERE id = 'row-00003'");
    EXPECT(f, "key/00001", "SELECT r2_key FROM files WHERE id = 'file-00001'");
    EXPECT(f, "299", "SELECT completed_files FROM migration_batches");
}

static void test_tracker_apply_derives_every_status_of_a_batch(void **state)
{
    struct fixture *f = *state;
    int64_t changed;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    expect_batch(f, "b-1", "pending 3 0 0 0");
    claim(f, "me", "b-1", 1);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    expect_batch(f, "b-1", "processing 3 1 0 0");
    EXPECT(f, "NULL", "SELECT completed_at FROM migration_batches");
    claim(f, "me", "b-1", 1);
    move_all(f, &f->list, "me", FILE_FAILED);
    claim(f, "me", "b-1", 1);
    expect_batch(f, "b-1", "processing 3 1 0 1");
    move_all(f, &f->list, "me", FILE_COMPLETED);
    expect_batch(f, "b-1", "partial 3 2 0 1");
    EXPECT(f, "2026-09-21 14:13:21", "SELECT completed_at FROM migration_batches");
    rows_of(f, "b-1");
    move_all(f, &f->list, NULL, FILE_ROLLED_BACK);
    expect_batch(f, "b-1", "rolled_back 3 0 0 0");
    sql(f, "UPDATE file_migrations SET status = 'COMPLETED' WHERE id = 'row-00001'");
    OK(f, tracker_refresh(f->t, "b-1", &changed, &f->e));
    assert_int_equal(changed, 1);
    EXPECT(f, "partial", "SELECT status FROM migration_batches"); /* unknown: never guessed */
}

static void test_tracker_refresh_repairs_counters(void **state)
{
    struct fixture *f = *state;
    int64_t changed = -1;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    plan(f, "b-2", 11, 2);
    claim(f, "me", "b-1", 3);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    sql(f,
        "UPDATE migration_batches SET total_files = 99, completed_files = NULL, status = 'odd',"
        " failed_files = %s WHERE batch_id = 'b-1'",
        SQL_BY(f, "'text'", "-3"));
    OK(f, tracker_refresh(f->t, NULL, &changed, &f->e));
    assert_int_equal(changed, 1);
    expect_batch(f, "b-1", "completed 3 3 0 0");
    expect_batch(f, "b-2", "pending 2 0 0 0");
}

static enum err_code note_head(void *user, const struct tracker_head *h, struct err *e)
{
    char *text = user;
    const size_t used = strlen(text);

    (void)e;
    snprintf(text + used, 200 - used, "%s %s %lld %s;", h->log_id, h->run_id, (long long)h->seq,
             h->hash);
    return ERR_OK;
}

static void test_tracker_heads_go_along_and_never_back(void **state)
{
    struct fixture *f = *state;
    char text[200] = "";

    with_tables(f);
    plan(f, "b-1", 1, 1);
    claim(f, "me", "b-1", 1);
    struct tracker_move m = move_of(&f->list.items[0], "me", FILE_COMPLETED);
    OK(f, tracker_apply(f->t, &m, 1, &(struct tracker_head){"log", "run-1", 9, "nine"}, &f->e));
    OK(f, tracker_set_head(f->t, &(struct tracker_head){"log", "run-2", 8, "eight"}, &f->e));
    OK(f, tracker_set_head(f->t, &(struct tracker_head){"other", "run-2", 1, "one"}, &f->e));
    OK(f, tracker_heads(f->t, note_head, text, &f->e));
    assert_string_equal(text, "log run-1 9 nine;other run-2 1 one;");
    /* A move that cannot be made takes its head back too. */
    sql(f, "%s",
        SQL_BY(f,
               "CREATE TRIGGER no BEFORE UPDATE ON file_migrations BEGIN SELECT RAISE(ABORT, 'not"
               " now'); END",
               "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
               " 'not now'; END $$; CREATE TRIGGER no BEFORE UPDATE ON file_migrations FOR EACH"
               " ROW EXECUTE FUNCTION no()"));
    rows_of(f, "b-1");
    m = move_of(&f->list.items[0], NULL, FILE_VERIFIED);
    CODE(f, tracker_apply(f->t, &m, 1, &(struct tracker_head){"log", "run-1", 10, "ten"}, &f->e),
         ERR_DB);
    assert_non_null(strstr(f->e.message, "not now"));
    EXPECT(f, "9", "SELECT seq FROM blobferry_heads WHERE log_id = 'log'");
}

static void test_tracker_runs_are_kept(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    OK(f, tracker_run_begin(f->t, &(struct tracker_run){"run", "migrate", "me", NOW, 0, 0, NULL},
                            &f->e));
    OK(f, tracker_run_end(
              f->t, &(struct tracker_run){"run", "migrate", "me", NOW, NOW + 5, 1, "{}"}, &f->e));
    EXPECT(f, "migrate me 5 1 {}",
           "SELECT command || ' ' || owner || ' ' || (ended_ms - started_ms) || ' ' || exit_code ||"
           " ' ' || summary FROM blobferry_runs");
}

#define TRACKER_APPLY_TESTS(TEST)                                                                  \
    TEST(test_tracker_apply_makes_legal_moves_and_no_other),                                       \
        TEST(test_tracker_apply_loses_rows_in_another_status),                                     \
        TEST(test_tracker_apply_needs_the_lease),                                                  \
        TEST(test_tracker_apply_stores_what_the_move_tells),                                       \
        TEST(test_tracker_apply_leaves_what_the_move_does_not_tell),                               \
        TEST(test_tracker_apply_refuses_one_and_moves_the_others),                                 \
        TEST(test_tracker_apply_makes_many_moves_in_their_order),                                  \
        TEST(test_tracker_apply_derives_every_status_of_a_batch),                                  \
        TEST(test_tracker_refresh_repairs_counters),                                               \
        TEST(test_tracker_heads_go_along_and_never_back), TEST(test_tracker_runs_are_kept)

#endif
