/* Which planned rows a database can hold, told before anything is sent to it. */
#include "track/postgres_plan.h"

#include "blobferry/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void set(struct postgres *p, enum postgres_name n, enum postgres_kind kind, const char *type,
                int limit)
{
    p->info.column[n].kind = kind;
    p->info.column[n].limit = limit;
    str_copy(p->info.column[n].type, sizeof p->info.column[n].type, type);
}

static void texts(struct postgres *p)
{
    memset(p, 0, sizeof *p);
    for (int i = 0; i < POSTGRES_COLUMNS; i++)
        set(p, (enum postgres_name)i, POSTGRES_TEXT, "text", 0);
    set(p, POSTGRES_M_SIZE, POSTGRES_INT8, "bigint", 0);
}

static struct tracker_plan_row row(void)
{
    return (struct tracker_plan_row){.id = "i",
                                     .batch_id = "b",
                                     .file_id = "7",
                                     .source_path = "d/\xc3\xa4",
                                     .target_key = "k",
                                     .key_digest = "x",
                                     .size = 1,
                                     .filename = "\xc3\xa4\xc3\xa4",
                                     .user_id = "u",
                                     .make_file_row = true};
}

static void expect(const struct postgres *p, struct tracker_plan_row r, const char *want)
{
    char why[300] = "";

    assert_int_equal(postgres_group_fits(p, &r, why, sizeof why), want == NULL);
    if (want != NULL)
        assert_non_null(strstr(why, want));
}

static void test_postgres_plan_group_fits_texts(void **state)
{
    struct postgres p;
    struct tracker_plan_row r = row();
    (void)state;

    texts(&p);
    expect(&p, r, NULL);
    r.source_path = "caf\xe9";
    expect(&p, r, "source path is not UTF-8");
    r = row();
    set(&p, POSTGRES_F_NAME, POSTGRES_TEXT, "text", 2); /* characters, not bytes */
    expect(&p, r, NULL);
    r.filename = "abc";
    expect(&p, r, "file name is longer than the 2 characters");
    r.make_file_row = false; /* then it is not stored */
    expect(&p, r, NULL);
}

static void test_postgres_plan_group_fits_types(void **state)
{
    struct postgres p;
    struct tracker_plan_row r = row();
    (void)state;

    texts(&p);
    set(&p, POSTGRES_M_FILE, POSTGRES_INT8, "bigint", 0);
    set(&p, POSTGRES_F_ID, POSTGRES_INT8, "bigint", 0);
    expect(&p, r, NULL);
    r.file_id = "07";
    expect(&p, r, "file id '07' is no bigint");
    r.file_id = NULL;
    expect(&p, r, NULL);
    set(&p, POSTGRES_M_SIZE, POSTGRES_INT4, "integer", 0);
    r.size = INT32_MAX;
    expect(&p, r, NULL);
    r.size = (int64_t)INT32_MAX + 1;
    expect(&p, r, "file_size (integer)");
}

static void test_postgres_plan_group_is_due_when_full_or_counted(void **state)
{
    struct postgres_group *g = calloc(1, sizeof *g);
    struct postgres p;
    const struct tracker_plan_row r = row();
    (void)state;

    assert_non_null(g);
    texts(&p);
    postgres_group_init(g, 0);
    assert_false(postgres_group_due(&p, g));
    assert_int_equal(postgres_group_add(g, &r, NULL), ERR_OK);
    assert_false(postgres_group_due(&p, g));
    assert_ptr_not_equal(g->rows[0].source_path, r.source_path); /* its own copies */
    assert_string_equal(g->rows[0].source_path, r.source_path);
    while (g->len < POSTGRES_GROUP_MAX)
        assert_int_equal(postgres_group_add(g, &r, NULL), ERR_OK);
    assert_true(postgres_group_due(&p, g));
    postgres_group_release(g);
    postgres_group_init(g, 0);
    set(&p, POSTGRES_M_ID, POSTGRES_INT4, "integer",
        0); /* the database counts: its id is wanted at once */
    assert_int_equal(postgres_group_add(g, &r, NULL), ERR_OK);
    assert_true(postgres_group_due(&p, g));
    postgres_group_release(g);
    postgres_group_init(g, 0);
    set(&p, POSTGRES_M_ID, POSTGRES_UUID, "uuid", 0);
    char *large = malloc((1 << 20) + 1);
    assert_non_null(large);
    memset(large, 'x', 1 << 20);
    large[1 << 20] = '\0';
    struct tracker_plan_row long_row = r;
    long_row.source_path = large;
    while (!postgres_group_due(&p, g)) /* P10: long before there are 500 */
        assert_int_equal(postgres_group_add(g, &long_row, NULL), ERR_OK);
    assert_true(g->len < 10);
    free(large);
    postgres_group_release(g);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postgres_plan_group_fits_texts),
        cmocka_unit_test(test_postgres_plan_group_fits_types),
        cmocka_unit_test(test_postgres_plan_group_is_due_when_full_or_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
