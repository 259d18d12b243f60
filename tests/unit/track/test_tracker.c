/* The front: which driver a URL names, and what is refused before any driver is asked. */
#include "contract/tracker_sqlite.h"

static int setup(void **state)
{
    return sqlite_setup(state);
}

static void test_tracker_url_without_a_driver_is_refused(void **state)
{
    static const char *const urls[] = {NULL,      "",         "blobferry.db",
                                       "sqlite",  "sqlite:",  "sqlite://",
                                       "mysql:x", "SQLITE:x", "oracle://u:geheim@h/db"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        CODE(f, tracker_open(&f->t, &(struct tracker_options){.url = urls[i]}, &f->e), ERR_CONFIG);
        assert_null(f->t);
        assert_non_null(strstr(f->e.hint, "sqlite:PATH"));
        assert_null(strstr(f->e.message, "geheim"));
    }
    CODE(f, tracker_open(&f->t, NULL, &f->e), ERR_CONFIG);
}

static void test_tracker_close_of_nothing_is_harmless(void **state)
{
    struct fixture *f = *state;

    tracker_close(NULL);
    assert_int_equal(tracker_open(&f->t, &(struct tracker_options){.url = "x"}, NULL), ERR_CONFIG);
    assert_null(f->t);
}

static void test_tracker_path_means_a_file_whatever_it_looks_like(void **state)
{
    static const char *const names[] = {":memory:", "file:x?mode=memory", "a b%20c.db",
                                        "\xc3\xa4.db"};
    struct fixture *f = *state;
    char here[4096], url[300];

    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(f->dir), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int created;
        struct tracker_totals totals;

        snprintf(url, sizeof url, "sqlite:%s", names[i]);
        for (int again = 0; again < 2; again++) {
            OK(f, tracker_open(&f->t,
                               &(struct tracker_options){
                                   .url = url, .create = again == 0, .read_only = again == 1},
                               &f->e));
            if (again == 0)
                OK(f, tracker_init(f->t, &created, &f->e));
            OK(f, tracker_totals(f->t, NULL, &totals, &f->e));
            tracker_close(f->t);
            f->t = NULL;
        }
        assert_int_equal(access(names[i], F_OK), 0);
        assert_int_equal(unlink(names[i]), 0);
    }
    assert_int_equal(chdir(here), 0);
}

static void test_tracker_errors_may_go_nowhere(void **state)
{
    struct fixture *f = *state;
    struct tracker_totals totals;
    struct tracker_move m = {.id = "x", .from = FILE_PENDING, .to = FILE_COMPLETED};

    f->t = open_tracker(f, false);
    assert_int_equal(tracker_require(f->t, NULL), ERR_DB_SCHEMA);
    assert_int_equal(tracker_totals(f->t, NULL, &totals, NULL), ERR_DB_SCHEMA);
    assert_int_equal(tracker_apply(f->t, &m, 1, NULL, NULL), ERR_GENERAL);
    assert_int_equal(tracker_claim(f->t, &(struct tracker_claim){.limit = 1}, &f->list, NULL),
                     ERR_GENERAL);
    assert_int_equal(tracker_lock(f->t, &(struct tracker_lock){.owner = NULL}, NULL), ERR_GENERAL);
}

static void test_tracker_moves_that_cannot_be_are_refused_before_any_is_made(void **state)
{
    struct fixture *f = *state;

    with_tables(f);
    plan(f, "b-1", 1, 2);
    claim(f, "me", "b-1", 2);
    struct tracker_move moves[] = {move_of(&f->list.items[0], "me", FILE_COMPLETED),
                                   move_of(&f->list.items[1], "me", FILE_ROLLED_BACK)};
    CODE(f, tracker_apply(f->t, moves, 2, NULL, &f->e), ERR_GENERAL);
    assert_non_null(strstr(f->e.message, "row-00002"));
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations WHERE status = 'processing'");
    moves[1] = move_of(&f->list.items[1], "me", FILE_COMPLETED);
    moves[1].target_key = NULL;
    CODE(f, tracker_apply(f->t, moves, 2, NULL, &f->e), ERR_GENERAL);
    EXPECT(f, "2", "SELECT count(*) FROM file_migrations WHERE status = 'processing'");
}

static void test_tracker_asks_for_no_more_than_a_page(void **state)
{
    struct fixture *f = *state;
    struct tracker_key_ref *refs = calloc(1001, sizeof *refs);

    assert_non_null(refs);
    with_tables(f);
    CODE(f, tracker_shared_keys(f->t, refs, 1001, &f->e), ERR_GENERAL);
    free(refs);
    plan(f, "b-1", 1, 3);
    OK(f, tracker_records(f->t, NULL, NULL, 0, &f->list, &f->e)); /* 0: as many as a page takes */
    assert_int_equal(f->list.len, 3);
    OK(f, tracker_records(f->t, NULL, NULL, SIZE_MAX, &f->list, &f->e));
    assert_int_equal(f->list.len, 3);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_tracker_url_without_a_driver_is_refused),
        T(test_tracker_close_of_nothing_is_harmless),
        T(test_tracker_path_means_a_file_whatever_it_looks_like),
        T(test_tracker_errors_may_go_nowhere),
        T(test_tracker_moves_that_cannot_be_are_refused_before_any_is_made),
        T(test_tracker_asks_for_no_more_than_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
