/* Contract: reading: filters, pages, totals, batches; a bare three-table database is read without being written. */
#ifndef BLOBFERRY_TEST_TRACKER_READ_H
#define BLOBFERRY_TEST_TRACKER_READ_H

#include "contract/tracker_apply.h" /* note_head */
#include "contract/tracker_claim.h" /* note_owner */

/* All pages of a filter as "id id …". */
static const char *page_through(struct fixture *f, const struct tracker_filter *filter,
                                size_t limit)
{
    char after[64] = "";
    size_t used = 0;

    f->answer[0] = '\0';
    do {
        OK(f,
           tracker_records(f->t, filter, after[0] != '\0' ? after : NULL, limit, &f->list, &f->e));
        assert_true(f->list.len <= limit);
        for (size_t i = 0; i < f->list.len; i++) {
            str_copy(after, sizeof after, f->list.items[i].id);
            used += (size_t)snprintf(f->answer + used, sizeof f->answer - used, "%s%s",
                                     used > 0 ? " " : "", after);
        }
    } while (f->list.len > 0);
    return f->answer;
}
#define EXPECT_IDS(f, want, ...)                                                                   \
    do {                                                                                           \
        const struct tracker_filter filter_ = {__VA_ARGS__};                                       \
        assert_string_equal(page_through((f), &filter_, 1), (want));                               \
        assert_string_equal(page_through((f), &filter_, 100), (want));                             \
    } while (0)

/* r4 and r5 have dates that only a column without a type can hold. */
static void some_rows(struct fixture *f)
{
    sql(f, "INSERT INTO migration_batches (id, batch_id, total_files, status, created_at) VALUES"
           " ('1', 'b', 4, 'processing', '2024-01-01 00:00:00'),"
           " ('2', 'b%%', 1, 'pending', '2024-01-02 00:00:00'),"
           " ('3', 'empty', 0, 'pending', '2024-01-03 00:00:00')");
    sql(f, "INSERT INTO files (id, filename, user_id, r2_key) VALUES ('f1', 'n1', 'user1', 'k1'),"
           " ('f2', 'n2', 'user_', NULL), ('f3', 'n3', 'user1', NULL)");
    sql(f,
        "INSERT INTO file_migrations (id, batch_id, file_id, target_r2_key, file_size, status,"
        " started_at) VALUES"
        " ('r1', 'b', 'f1', 'k1', 10, 'completed', '2024-01-31 23:59:59'),"
        " ('r2', 'b', 'f2', 'k2', 20, 'failed', '2024-02-01T00:00:00.5Z'),"
        " ('r3', 'b', 'gone', 'k3', NULL, 'pending', NULL),"
        " ('r4', 'b', NULL, 'k4', 40, 'COMPLETED', %s),"
        " ('r5', 'b%%', 'f3', 'k5', 50, 'rolled_back', %s),"
        " ('r6', 'nobatch', 'f3', 'k6', 60, 'verified', '2024-02-01 01:00:00+01:00')",
        SQL_BY(f, "1706745600", "to_timestamp(1706745600)"), SQL_BY(f, "'31/01/2024'", "NULL"));
}

static void check_filters(struct fixture *f)
{
    EXPECT_IDS(f, "r1 r2 r3 r4 r5 r6", .batch_id = NULL);
    EXPECT_IDS(f, "r1 r2 r3 r4", .batch_id = "b");
    EXPECT_IDS(f, "r5", .batch_id = "b%"); /* exact: no pattern */
    EXPECT_IDS(f, "", .batch_id = "B");
    EXPECT_IDS(f, "r1 r5 r6", .user_id = "user1");
    EXPECT_IDS(f, "r2", .user_id = "user_");
    EXPECT_IDS(f, "r1", .user_id = "user1", .batch_id = "b");
    EXPECT_IDS(f, "r2", .statuses = TRACKER_STATUS(FILE_FAILED));
    EXPECT_IDS(f, "r1 r2 r6",
               .statuses = TRACKER_STATUS(FILE_FAILED) | TRACKER_STATUS(FILE_COMPLETED) |
                           TRACKER_STATUS(FILE_VERIFIED));
    EXPECT_IDS(f, "r1", .batch_id = "b",
               .statuses = TRACKER_STATUS(FILE_COMPLETED) | TRACKER_STATUS(FILE_VERIFIED));
    EXPECT_IDS(f, "r4", .statuses = TRACKER_STATUS(FILE_UNKNOWN));
    EXPECT_IDS(f, "r3 r4", .statuses = TRACKER_STATUS(FILE_UNKNOWN) | TRACKER_STATUS(FILE_PENDING));
    EXPECT_IDS(f, "", .delete_owed = true);
    EXPECT_IDS(f, "", .with_upload = true);
}

#define FEBRUARY INT64_C(1706745600000) /* 2024-02-01T00:00:00Z */

static void check_dates(struct fixture *f)
{
    struct tracker_totals totals;

    /* Instants: text with ' ' or T, a zone, a fraction, epoch seconds. */
    EXPECT_IDS(f, "r1", .has_to = true, .to_ms = FEBRUARY - 1);
    EXPECT_IDS(f, "r2 r4 r6", .has_from = true, .from_ms = FEBRUARY);
    EXPECT_IDS(f, "r4 r6", .has_from = true, .from_ms = FEBRUARY, .has_to = true,
               .to_ms = FEBRUARY);
    EXPECT_IDS(f, "r2", .has_from = true, .from_ms = FEBRUARY + 1);
    OK(f, tracker_totals(f->t, &(struct tracker_filter){.has_from = true, .from_ms = FEBRUARY},
                         &totals, &f->e));
    assert_int_equal(state_counts_total(&totals.counts), 3);
    /* NULL is not unparsable, only absent */
    assert_int_equal(totals.unparsable_dates, SQL_BY(f, 1, 0));
    assert_true(totals.bytes == 120);
}

static void check_totals(struct fixture *f)
{
    struct tracker_totals totals;

    OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
    assert_int_equal(totals.counts.by[FILE_COMPLETED], 1);
    assert_int_equal(totals.counts.by[FILE_FAILED], 1);
    assert_int_equal(totals.counts.by[FILE_PENDING], 1);
    assert_int_equal(totals.counts.by[FILE_UNKNOWN], 1);
    assert_int_equal(totals.counts.by[FILE_ROLLED_BACK], 1);
    assert_int_equal(totals.counts.by[FILE_VERIFIED], 1);
    assert_true(totals.bytes == 180);
    assert_int_equal(totals.orphan_files, 1);
    assert_int_equal(totals.unparsable_dates + totals.owed + totals.unusable_ids, 0);
}

static void check_batches(struct fixture *f)
{
    struct batch_list l;

    record_batches_init(&l, 0);
    OK(f, tracker_batches(f->t, NULL, 0, &l, &f->e));
    assert_int_equal(l.len, 3);
    assert_string_equal(l.items[0].batch_id, "empty"); /* newest first */
    assert_int_equal(state_counts_total(&l.items[0].counts), 0);
    assert_string_equal(l.items[2].batch_id, "b");
    assert_int_equal(l.items[2].counts.by[FILE_COMPLETED], 1);
    assert_int_equal(l.items[2].counts.by[FILE_UNKNOWN], 1);
    assert_int_equal(state_counts_total(&l.items[2].counts), 4);
    assert_true(l.items[2].bytes == 70);
    assert_int_equal(l.items[2].total_files, 4);
    assert_int_equal(l.items[2].status, BATCH_PROCESSING);
    OK(f, tracker_batches(f->t, NULL, 2, &l, &f->e));
    assert_int_equal(l.len, 2);
    OK(f, tracker_batches(f->t, "b%", 0, &l, &f->e));
    assert_int_equal(l.len, 1);
    assert_string_equal(l.items[0].batch_id, "b%");
    OK(f, tracker_batches(f->t, "nope", 0, &l, &f->e));
    assert_int_equal(l.len, 0);
    record_batches_release(&l);
}

static void test_tracker_reads_with_our_tables(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    some_rows(f);
    check_filters(f);
    check_dates(f);
    check_totals(f);
    check_batches(f);
}

static enum err_code count_rows(void *user, const char *table, const struct tracker_value *values,
                                size_t n, struct err *e)
{
    int *count = user;

    (void)table;
    (void)values;
    (void)n;
    (void)e;
    ++*count;
    return ERR_OK;
}

/* Everything that only reads; then nothing has changed, not a byte, and nothing lies beside it. */
static void read_everything(struct fixture *f)
{
    struct tracker_schema schema;
    struct tracker_key_ref ref = {.id = "r1", .file_id = "f2", .key = "k1"};
    char text[200] = "", batch[64];
    bool exists = false;
    int count = 0;

    f->t = open_tracker(f, true);
    OK(f, tracker_require(f->t, &f->e));
    OK(f, tracker_inspect(f->t, &schema, &f->e));
    check_filters(f);
    check_dates(f);
    check_totals(f);
    check_batches(f);
    OK(f, tracker_heads(f->t, note_head, text, &f->e));
    OK(f, tracker_owners(f->t, "me", note_owner, text, &f->e));
    assert_string_equal(text, "");
    OK(f, tracker_shared_keys(f->t, &ref, 1, &f->e));
    assert_true(ref.shared); /* f1 points at it */
    OK(f, tracker_key_holder(f->t, "none", batch, sizeof batch, &f->e));
    OK(f, tracker_file_exists(f->t, "f1", &exists, &f->e));
    assert_true(exists);
    OK(f, tracker_files_without_key(f->t, NULL, NULL, 9, &f->list, &f->e));
    OK(f, tracker_dump(f->t, NULL, count_rows, &count, &f->e));
    assert_int_equal(count, 2 + 6 + 3); /* without the empty batch */
    CODE(f, tracker_prepare(f->t, &f->e), schema.own ? ERR_OK : ERR_DB);
    CODE(f, tracker_set_head(f->t, &(struct tracker_head){"l", "r", 1, "h"}, &f->e), ERR_DB);
    tracker_close(f->t);
    f->t = NULL;
}

static void test_tracker_reads_a_bare_database_without_writing(void **state)
{
    struct fixture *f = *state;
    char before[256], after[256];

    with_bare_tables(f, "TEXT");
    some_rows(f);
    f->driver->snapshot(f, before, sizeof before);
    read_everything(f);
    f->driver->snapshot(f, after, sizeof after);
    assert_string_equal(before, after);
}

static void test_tracker_reads_our_own_database_without_writing(void **state)
{
    struct fixture *f = *state;
    char before[256], after[256];

    with_tables(f);
    some_rows(f);
    OK(f, tracker_run_begin(f->t, &(struct tracker_run){"run", "x", "me", NOW, 0, 0, NULL}, &f->e));
    tracker_close(f->t);
    f->t = NULL;
    f->driver->snapshot(f, before, sizeof before);
    read_everything(f);
    f->driver->snapshot(f, after, sizeof after);
    assert_string_equal(before, after);
}

static void test_tracker_records_carry_all_columns(void **state)
{
    struct fixture *f = *state;
    const char *completed = SQL_BY(f, "c", "2024-01-31 23:59:59");
    const char *created = SQL_BY(f, "d", "2024-01-31 00:00:00");

    with_bare_tables(f, "TEXT");
    some_rows(f);
    sql(f,
        "UPDATE file_migrations SET source_path = 'p', original_checksum = 'o',"
        " migrated_checksum = 'm', error_message = 'e', completed_at = '%s', created_at = '%s'"
        " WHERE id = 'r1'; UPDATE files SET checksum = 's' WHERE id = 'f1'",
        completed, created);
    f->t = open_tracker(f, true);
    rows_of(f, "b");
    const struct record *r = &f->list.items[0];
    assert_string_equal(r->source_path, "p");
    assert_string_equal(r->original_checksum, "o");
    assert_string_equal(r->migrated_checksum, "m");
    assert_string_equal(r->error_message, "e");
    assert_string_equal(r->completed_at, completed);
    assert_string_equal(r->created_at, created);
    assert_string_equal(r->filename, "n1");
    assert_string_equal(r->file_checksum, "s");
    assert_string_equal(r->file_r2_key, "k1");
    assert_true(r->file_row);
    assert_null(r->etag);
    assert_null(r->defect);
    assert_false(f->list.items[2].file_row);
    assert_true(f->list.items[2].file_size == -1);
    assert_int_equal(f->list.items[3].status, FILE_UNKNOWN);
    assert_string_equal(f->list.items[3].status_text, "COMPLETED");
    assert_string_equal(f->list.items[3].started_at,
                        SQL_BY(f, "1706745600", "2024-02-01 00:00:00"));
}

static void test_tracker_refresh_without_our_tables_counts_too(void **state)
{
    struct fixture *f = *state;
    int64_t changed = -1;

    with_bare_tables(f, "TEXT");
    some_rows(f);
    f->t = open_tracker(f, false);
    OK(f, tracker_refresh(f->t, "b", &changed, &f->e));
    assert_int_equal(changed, 1);
    EXPECT(f, "4 1 1 0 processing",
           "SELECT total_files || ' ' || completed_files || ' ' || failed_files || ' ' ||"
           " verified_files || ' ' || status FROM migration_batches WHERE batch_id = 'b'");
}

#define TRACKER_READ_TESTS(TEST)                                                                   \
    TEST(test_tracker_reads_with_our_tables),                                                      \
        TEST(test_tracker_reads_a_bare_database_without_writing),                                  \
        TEST(test_tracker_reads_our_own_database_without_writing),                                 \
        TEST(test_tracker_records_carry_all_columns),                                              \
        TEST(test_tracker_refresh_without_our_tables_counts_too)

#endif
