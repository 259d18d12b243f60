/* Contract: leases: claiming, taking over, renewing, giving back, uploads under way. */
#ifndef BLOBFERRY_TEST_TRACKER_CLAIM_H
#define BLOBFERRY_TEST_TRACKER_CLAIM_H

#include "contract/tracker_support.h"

static void test_tracker_claim_leases_in_id_order(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 5);
    assert_int_equal(claim(f, "me", "b-1", 3), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct record *r = &f->list.items[i];
        char id[16];
        snprintf(id, sizeof id, "row-%05zu", i + 1);
        assert_string_equal(r->id, id);
        assert_int_equal(r->status, FILE_PROCESSING);
        assert_string_equal(r->lease_owner, "me");
        assert_true(r->lease_until_ms == NOW + HOUR);
        assert_int_equal(r->attempts, 1);
        assert_false(r->taken_over);
        assert_true(r->file_row);
        assert_string_equal(r->user_id, "anna");
        assert_string_equal(r->content_type, "text/plain");
        assert_string_equal(r->started_at, "2026-09-21 14:13:20");
        assert_true(r->file_size == (int64_t)i + 1);
    }
    EXPECT(f, "3",
           "SELECT count(*) FROM file_migrations WHERE status = 'processing' AND"
           " started_at = '2026-09-21 14:13:20'");
    EXPECT(f, "3",
           "SELECT count(*) FROM blobferry_records WHERE lease_owner = 'me' AND attempts ="
           " 1 AND lease_until = %lld",
           (long long)(NOW + HOUR));
    expect_batch(f, "b-1", "processing 5 0 0 0");
    EXPECT(f, "2026-09-21 14:13:20", "SELECT started_at FROM migration_batches");
}

static void test_tracker_claim_gives_each_row_once_then_nothing(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 5);
    assert_int_equal(claim(f, "me", "b-1", 4), 4);
    assert_int_equal(claim(f, "you", "b-1", 4), 1);
    assert_string_equal(f->list.items[0].id, "row-00005");
    assert_int_equal(claim(f, "you", "b-1", 4), 0);
    assert_int_equal(claim(f, "me", "b-1", 4), 0); /* what one holds is not claimed again */
}

static void test_tracker_claim_keeps_to_its_batches(void **state)
{
    struct fixture *f = *state;
    const char *const two[] = {"b-3", "b-1"};
    struct tracker_claim c = {.batch_ids = two,
                              .batch_count = 2,
                              .owner = "me",
                              .now_ms = NOW,
                              .lease_ms = HOUR,
                              .limit = 5};

    with_tables(f);
    plan(f, "b-1", 1, 3);
    plan(f, "b-2", 11, 3);
    plan(f, "b-3", 21, 3);
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 5);
    assert_string_equal(f->list.items[2].id, "row-00003"); /* one order over all batches */
    assert_string_equal(f->list.items[3].id, "row-00021");
    EXPECT(f, "3",
           "SELECT count(*) FROM file_migrations WHERE batch_id = 'b-2' AND status ="
           " 'pending'");
    assert_int_equal(claim(f, "me", "b_1", 5), 0);
    assert_int_equal(claim(f, "me", NULL, 10), 4); /* every batch */
    expect_batch(f, "b-2", "processing 3 0 0 0");
}

static void test_tracker_claim_takes_many_batches(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 150 };
    static char names[MANY][16];
    const char *ids[MANY];
    size_t total = 0, got;

    with_tables(f);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "batch-%03d", i);
        ids[i] = names[i];
        if (i % 10 == 0)
            plan(f, names[i], i * 10, 2);
    }
    plan(f, "other", 5000, 2);
    do {
        OK(f, tracker_claim(f->t,
                            &(struct tracker_claim){.batch_ids = ids,
                                                    .batch_count = MANY,
                                                    .owner = "me",
                                                    .now_ms = NOW,
                                                    .lease_ms = HOUR,
                                                    .limit = 7},
                            &f->list, &f->e));
        got = f->list.len;
        total += got;
    } while (got > 0);
    assert_int_equal(total, 30);
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations WHERE status = 'pending'");
}

static void test_tracker_claim_goes_on_after_an_id(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 5);
    OK(f,
       tracker_claim(
           f->t,
           &(struct tracker_claim){
               .owner = "me", .now_ms = NOW, .lease_ms = HOUR, .limit = 2, .after_id = "row-00003"},
           &f->list, &f->e));
    assert_int_equal(f->list.len, 2);
    assert_string_equal(f->list.items[0].id, "row-00004");
}

static void test_tracker_claim_takes_over_leases_that_expired(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "gone", "b-1", 1);
    assert_int_equal(claim_by(f, f->t, "me", "b-1", 9, NOW + HOUR - 1, &f->list), 1);
    assert_string_equal(f->list.items[0].id, "row-00002");
    assert_int_equal(claim_by(f, f->t, "me", "b-1", 9, NOW + HOUR, &f->list), 1);
    assert_string_equal(f->list.items[0].id, "row-00001");
    assert_true(f->list.items[0].taken_over);
    assert_int_equal(f->list.items[0].attempts, 2);
    EXPECT(f, "me", "SELECT lease_owner FROM blobferry_records WHERE record_id = 'row-00001'");
}

static void test_tracker_claim_takes_over_from_the_dead_and_from_nobody(void **state)
{
    struct fixture *f = *state;
    const char *const dead[] = {"somebody", "gone"};
    struct tracker_claim c = {.owner = "me",
                              .now_ms = NOW,
                              .lease_ms = HOUR,
                              .limit = 9,
                              .dead_owners = dead,
                              .dead_count = 2};

    with_tables(f);
    plan(f, "b-1", 1, 3);
    claim(f, "gone", "b-1", 1);
    claim(f, "alive", "b-1", 1);
    sql(f, "UPDATE file_migrations SET status = 'processing' WHERE id = 'row-00003'");
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 2);
    assert_string_equal(f->list.items[0].id, "row-00001");
    assert_string_equal(f->list.items[1].id, "row-00003"); /* processing without any lease */
    assert_true(f->list.items[0].taken_over && f->list.items[1].taken_over);
    EXPECT(f, "alive", "SELECT lease_owner FROM blobferry_records WHERE record_id = 'row-00002'");
}

static void test_tracker_claim_retries_failed_rows_only_when_asked(void **state)
{
    struct fixture *f = *state;
    struct tracker_claim c = {.owner = "me", .now_ms = NOW, .lease_ms = HOUR, .limit = 9};

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 9);
    move_all(f, &f->list, "me", FILE_FAILED);
    expect_batch(f, "b-1", "failed 2 0 0 2");
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 0);
    c.retry_failed = true;
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 2);
    assert_int_equal(f->list.items[0].attempts, 2);
    assert_false(f->list.items[0].taken_over);
    expect_batch(f, "b-1", "processing 2 0 0 0");
    EXPECT(f, "NULL", "SELECT completed_at FROM migration_batches");
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations WHERE completed_at IS NULL");
}

static void test_tracker_claim_of_rolled_back_rows_begins_anew(void **state)
{
    struct fixture *f = *state;
    struct tracker_claim c = {
        .owner = "me", .now_ms = NOW, .lease_ms = HOUR, .limit = 9, .retry_failed = true};

    with_tables(f);
    plan(f, "b-1", 1, 3);
    claim(f, "me", "b-1", 9);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    rows_of(f, "b-1");
    move_all(f, &f->list, "me", FILE_ROLLED_BACK);
    sql(f, "UPDATE blobferry_records SET delete_owed = 1 WHERE record_id = 'row-00002'");
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 0);
    c.again = true;
    OK(f, tracker_claim(f->t, &c, &f->list, &f->e));
    assert_int_equal(f->list.len, 2); /* the one that owes a delete is left */
    assert_string_equal(f->list.items[1].id, "row-00003");
    assert_null(f->list.items[0].etag);
    EXPECT(f, "2",
           "SELECT count(*) FROM blobferry_records WHERE etag IS NULL AND pointer_set = 0"
           " AND lease_owner = 'me'");
    expect_batch(f, "b-1", "processing 3 0 0 0");
}

static void test_tracker_release_gives_rows_back_uncounted(void **state)
{
    struct fixture *f = *state;
    int64_t released = -1;

    with_tables(f);
    plan(f, "b-1", 1, 600);
    claim(f, "me", "b-1", 599);
    claim(f, "you", "b-1", 9);
    OK(f, tracker_set_upload(f->t, "row-00007", "me", "upload-7", 5 << 20, &f->e));
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 599);
    EXPECT(f, "599", "SELECT count(*) FROM file_migrations WHERE status = 'pending'");
    EXPECT(f, "599",
           "SELECT count(*) FROM blobferry_records WHERE lease_owner IS NULL AND attempts"
           " = 0");
    EXPECT(f, "upload-7", "SELECT upload_id FROM blobferry_records WHERE record_id = 'row-00007'");
    expect_batch(f, "b-1", "processing 600 0 0 0");
    OK(f, tracker_release(f->t, "you", &released, &f->e));
    assert_int_equal(released, 1);
    expect_batch(f, "b-1", "pending 600 0 0 0");
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 0);
}

static void test_tracker_renew_extends_rows_and_locks(void **state)
{
    struct fixture *f = *state;
    const char *const ids[] = {"b-1"};

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 1);
    OK(f, tracker_lock(f->t, &(struct tracker_lock){ids, 1, TRACKER_LOCK_MIGRATE, "me", NOW, HOUR},
                       &f->e));
    OK(f, tracker_renew(f->t, "me", NOW + 5 * HOUR, &f->e));
    EXPECT(f, "1", "SELECT count(*) FROM blobferry_records WHERE lease_until = %lld",
           (long long)(NOW + 5 * HOUR));
    EXPECT(f, "1", "SELECT count(*) FROM blobferry_locks WHERE lease_until = %lld",
           (long long)(NOW + 5 * HOUR));
    assert_int_equal(claim_by(f, f->t, "you", "b-1", 9, NOW + 4 * HOUR, &f->list), 1);
}

static void test_tracker_set_upload_is_for_the_holder(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 1);
    OK(f, tracker_set_upload(f->t, "row-00001", "me", "up", 8 << 20, &f->e));
    EXPECT(f, "up 8388608",
           "SELECT upload_id || ' ' || part_size FROM blobferry_records WHERE"
           " record_id = 'row-00001'");
    CODE(f, tracker_set_upload(f->t, "row-00001", "you", "x", 1, &f->e), ERR_CONFLICT);
    CODE(f, tracker_set_upload(f->t, "row-00002", "me", "x", 1, &f->e), ERR_CONFLICT);
    OK(f, tracker_records(f->t, &(struct tracker_filter){.with_upload = true}, NULL, 9, &f->list,
                          &f->e));
    assert_int_equal(f->list.len, 1);
    assert_string_equal(f->list.items[0].upload_id, "up");
    assert_true(f->list.items[0].part_size == 8 << 20);
    OK(f, tracker_set_upload(f->t, "row-00001", "me", NULL, 0, &f->e));
    EXPECT(f, "NULL", "SELECT upload_id FROM blobferry_records WHERE record_id = 'row-00001'");
}

static enum err_code note_owner(void *user, const char *owner, int64_t rows, int64_t until,
                                struct err *e)
{
    char *text = user;
    const size_t used = strlen(text);

    (void)e;
    snprintf(text + used, 200 - used, "%s=%lld@%lld ", owner, (long long)rows,
             (long long)(until - NOW));
    return ERR_OK;
}

static void test_tracker_owners_tells_who_else_works(void **state)
{
    struct fixture *f = *state;
    char text[200] = "";

    with_tables(f);
    plan(f, "b-1", 1, 6);
    claim(f, "me", "b-1", 1);
    claim(f, "anna", "b-1", 2);
    claim(f, "bert", "b-1", 1);
    OK(f, tracker_owners(f->t, "me", note_owner, text, &f->e));
    assert_string_equal(text, "anna=2@3600000 bert=1@3600000 ");
}

/* The application takes two rows out of 'processing' behind the back of whoever holds them; he is still named in our table. */
static void test_tracker_lease_that_the_application_cut_off_does_no_harm(void **state)
{
    struct fixture *f = *state;
    struct tracker_move moves[3];
    int64_t released = -1;

    with_tables(f);
    plan(f, "b-1", 1, 3);
    claim(f, "me", "b-1", 9);
    sql(f, "UPDATE file_migrations SET status = 'pending' WHERE id < 'row-00003'");
    OK(f, tracker_renew(f->t, "me", NOW + 5 * HOUR, &f->e));
    for (size_t i = 0; i < 3; i++)
        moves[i] = move_of(&f->list.items[i], "me", FILE_FAILED);
    OK(f, tracker_apply(f->t, moves, 2, NULL, &f->e)); /* what he has to say is refused */
    assert_int_equal(moves[0].applied, TRACKER_LOST);
    assert_int_equal(moves[1].applied, TRACKER_LOST);
    assert_int_equal(claim(f, "you", "b-1", 1), 1);
    assert_string_equal(f->list.items[0].id, "row-00001");
    assert_false(f->list.items[0].taken_over);
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_int_equal(released, 1);
    EXPECT(f, "you processing 2",
           "SELECT lease_owner || ' ' || status || ' ' || attempts FROM blobferry_records JOIN"
           " file_migrations ON id = record_id WHERE id = 'row-00001'");
    EXPECT(f, "NULL", "SELECT lease_owner FROM blobferry_records WHERE record_id = 'row-00003'");
    /* Set back by the application: held at most until the lease ends, or its holder is known to be dead. */
    sql(f, "UPDATE file_migrations SET status = 'processing' WHERE id = 'row-00002'");
    assert_int_equal(claim_by(f, f->t, "you", "b-1", 9, NOW + 6 * HOUR, &f->list), 2);
    assert_string_equal(f->list.items[0].id, "row-00002");
    assert_true(f->list.items[0].taken_over);
    move_all(f, &f->list, "you", FILE_COMPLETED);
}

#define TRACKER_CLAIM_TESTS(TEST)                                                                  \
    TEST(test_tracker_claim_leases_in_id_order),                                                   \
        TEST(test_tracker_claim_gives_each_row_once_then_nothing),                                 \
        TEST(test_tracker_claim_keeps_to_its_batches),                                             \
        TEST(test_tracker_claim_takes_many_batches), TEST(test_tracker_claim_goes_on_after_an_id), \
        TEST(test_tracker_claim_takes_over_leases_that_expired),                                   \
        TEST(test_tracker_claim_takes_over_from_the_dead_and_from_nobody),                         \
        TEST(test_tracker_claim_retries_failed_rows_only_when_asked),                              \
        TEST(test_tracker_claim_of_rolled_back_rows_begins_anew),                                  \
        TEST(test_tracker_release_gives_rows_back_uncounted),                                      \
        TEST(test_tracker_lease_that_the_application_cut_off_does_no_harm),                        \
        TEST(test_tracker_renew_extends_rows_and_locks),                                           \
        TEST(test_tracker_set_upload_is_for_the_holder),                                           \
        TEST(test_tracker_owners_tells_who_else_works)

#endif
