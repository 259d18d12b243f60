#include "app/d1_local.h"
#include "blobferry/track/tracker.h"
#include "unit/app/fixture.h"

/* A database with the three tables. */
static void make_database(const char *name)
{
    struct tracker *t = NULL;
    char url[300];
    int created = 0;
    struct err e;

    err_init(&e);
    snprintf(url, sizeof url, "sqlite:%s", name);
    assert_int_equal(tracker_open(&t, &(struct tracker_options){.url = url, .create = true}, &e),
                     ERR_OK);
    assert_int_equal(tracker_init(t, &created, &e), ERR_OK);
    assert_true(created >= 3);
    tracker_close(t);
}

/* What wrangler leaves beside it: a database without the tables. */
static void make_other(struct fixture *f, const char *name)
{
    struct tracker *t = NULL;
    char url[300];
    struct err e;

    (void)f;
    err_init(&e);
    snprintf(url, sizeof url, "sqlite:%s", name);
    assert_int_equal(tracker_open(&t, &(struct tracker_options){.url = url, .create = true}, &e),
                     ERR_OK);
    tracker_close(t);
}

static void assert_finds(const char *pattern, const char *url)
{
    struct buf b;
    struct err e;

    err_init(&e);
    buf_init(&b, 8192);
    if (d1_local_find(pattern, &b, &e) != ERR_OK)
        fail_msg("%s", e.message);
    assert_string_equal(buf_cstr(&b), url);
    buf_release(&b);
}

static void assert_refuses(const char *pattern, const char *part, const char *part2)
{
    struct buf b;
    struct err e;

    err_init(&e);
    buf_init(&b, 8192);
    assert_int_equal(d1_local_find(pattern, &b, &e), ERR_CONFIG);
    assert_int_equal(err_exit_code(e.code), 2);
    if (strstr(e.message, part) == NULL || strstr(e.message, part2) == NULL)
        fail_msg("'%s' or '%s' is not in '%s'", part, part2, e.message);
    assert_non_null(strstr(e.hint, "D1_LOCAL_PATH"));
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void test_d1_local_finds_the_one_file(void **state)
{
    (void)state;
    make_database("0123abcd.sqlite");
    assert_finds("*.sqlite", "sqlite:0123abcd.sqlite");
    assert_finds("0123abcd.sqlite", "sqlite:0123abcd.sqlite");
}

static void test_d1_local_passes_over_metadata_and_foreign_files(void **state)
{
    struct fixture *f = *state;

    make_other(f, "metadata.sqlite");
    make_database("db.sqlite");
    scratch_write(&f->scratch, "a-text.sqlite", "this is no database at all, but has some length");
    scratch_write(&f->scratch, "empty.sqlite", "");
    assert_int_equal(mkdir("folder.sqlite", 0700), 0);
    assert_finds("*.sqlite", "sqlite:db.sqlite");
}

static void test_d1_local_none_lists_what_was_found(void **state)
{
    struct fixture *f = *state;

    assert_refuses("*.sqlite", "no file matches '*.sqlite'", "");
    make_other(f, "metadata.sqlite");
    assert_refuses("*.sqlite", "0 D1 databases among 1 files", "'metadata.sqlite' (not all");
}

static void test_d1_local_several_list_them_in_order(void **state)
{
    (void)state;
    make_database("b.sqlite");
    make_database("a.sqlite");
    assert_refuses("*.sqlite", "2 D1 databases", "'a.sqlite', 'b.sqlite'");
}

static void test_d1_local_many_names_do_not_break_the_message(void **state)
{
    char name[80];

    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "a-rather-long-name-of-a-database-file-%02d.sqlite", i);
        make_database(name);
    }
    assert_refuses("*.sqlite", "20 D1 databases among 20 files", "file-00.sqlite");
}

static void test_d1_local_knows_the_home_folder(void **state)
{
    struct fixture *f = *state;
    char url[400];

    make_database("db.sqlite");
    snprintf(url, sizeof url, "sqlite:%s/db.sqlite", f->scratch.dir);
    assert_finds("~/*.sqlite", url);
}

static void test_d1_local_writes_nothing(void **state)
{
    struct fixture *f = *state;
    int before;

    make_database("db.sqlite");
    make_other(f, "metadata.sqlite");
    before = scratch_count(&f->scratch);
    assert_finds("*.sqlite", "sqlite:db.sqlite");
    assert_int_equal(scratch_count(&f->scratch), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_d1_local_finds_the_one_file),
        fixture_test(test_d1_local_passes_over_metadata_and_foreign_files),
        fixture_test(test_d1_local_none_lists_what_was_found),
        fixture_test(test_d1_local_several_list_them_in_order),
        fixture_test(test_d1_local_many_names_do_not_break_the_message),
        fixture_test(test_d1_local_knows_the_home_folder),
        fixture_test(test_d1_local_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
