/* Values of backups as PostgreSQL sends and takes them; the answers are made by libpq itself, no server is asked. */
#include "track/postgres_restore.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTEA = 17, INT8 = 20, INT2 = 21, INT4 = 23, TEXT = 25, FLOAT4 = 700, FLOAT8 = 701 };

/* One row with one column; NULL: NULL. */
static PGresult *answer(Oid type, const char *text)
{
    char name[] = "c";
    PGresAttDesc column = {.name = name, .typid = type, .typlen = -1, .atttypmod = -1};
    PGresult *q = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    char *copy = text != NULL ? strdup(text) : NULL;

    assert_non_null(q);
    assert_int_equal(PQsetResultAttrs(q, 1, &column), 1);
    assert_int_equal(PQsetvalue(q, 0, 0, copy, copy != NULL ? (int)strlen(copy) : -1), 1);
    free(copy);
    return q;
}

static struct tracker_value read_one(PGresult *q, struct arena *mem)
{
    struct tracker_value v = {.column = "c"};

    assert_true(postgres_value_read(q, 0, 0, mem, &v));
    return v;
}

static void test_postgres_value_reads_by_type(void **state)
{
    static const struct {
        Oid type;
        const char *text;
        enum tracker_value_type want;
        int64_t integer;
        double real;
        const char *bytes;
        size_t len;
    } cases[] = {
        {INT8, "-9223372036854775808", TRACKER_INTEGER, INT64_MIN, 0, "", 0},
        {INT2, "7", TRACKER_INTEGER, 7, 0, "", 0},
        {INT4, NULL, TRACKER_NULL, 0, 0, "", 0},
        {FLOAT8, "0.1", TRACKER_REAL, 0, 0.1, "", 0},
        {FLOAT8, "NaN", TRACKER_TEXT, 0, 0, "NaN", 3},
        {FLOAT4, "-Infinity", TRACKER_TEXT, 0, 0, "-Infinity", 9},
        {BYTEA, "\\x00ff", TRACKER_BLOB, 0, 0, "\0\xff", 2},
        {BYTEA, "\\x", TRACKER_BLOB, 0, 0, "", 0},
        {TEXT, "", TRACKER_TEXT, 0, 0, "", 0},
        {TEXT, "12", TRACKER_TEXT, 0, 0, "12", 2},
    };
    struct arena mem;
    (void)state;

    arena_init(&mem, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PGresult *q = answer(cases[i].type, cases[i].text);
        const struct tracker_value v = read_one(q, &mem);
        assert_int_equal(v.type, cases[i].want);
        assert_true(v.integer == cases[i].integer);
        assert_int_equal(v.len, cases[i].len);
        assert_memory_equal(v.bytes, cases[i].bytes, v.len);
        if (v.type == TRACKER_REAL)
            assert_true(fabs(v.real - cases[i].real) < 1e-300);
        PQclear(q);
    }
    arena_release(&mem);
}

static void test_postgres_value_that_is_no_hex_or_has_no_room_is_refused(void **state)
{
    struct tracker_value v = {.column = "c"};
    struct arena mem;
    (void)state;

    arena_init(&mem, 4096);
    PGresult *q = answer(BYTEA, "\\xzz");
    assert_false(postgres_value_read(q, 0, 0, &mem, &v));
    PQclear(q);
    char *large = malloc(20003);
    assert_non_null(large);
    memset(large, '0', 20002);
    memcpy(large, "\\x", 2);
    large[20002] = '\0';
    q = answer(BYTEA, large);
    assert_false(postgres_value_read(q, 0, 0, &mem, &v));
    PQclear(q);
    free(large);
    arena_release(&mem);
}

static const char *text_of(struct arena *mem, struct tracker_value v)
{
    const char *text = "?";

    assert_int_equal(postgres_value_text(&v, mem, &text, NULL), ERR_OK);
    return text;
}

static void test_postgres_value_becomes_a_parameter(void **state)
{
    struct arena mem;
    const char *text = NULL;
    struct err e;
    (void)state;

    err_init(&e);
    arena_init(&mem, 4096);
    assert_null(text_of(&mem, (struct tracker_value){.type = TRACKER_NULL}));
    assert_string_equal(
        text_of(&mem, (struct tracker_value){.type = TRACKER_INTEGER, .integer = INT64_MIN}),
        "-9223372036854775808");
    const char *real = text_of(&mem, (struct tracker_value){.type = TRACKER_REAL, .real = 0.1});
    assert_true(fabs(strtod(real, NULL) - 0.1) < 1e-300); /* to the bit */
    assert_string_equal(
        text_of(&mem, (struct tracker_value){.type = TRACKER_BLOB, .bytes = "\0\xff", .len = 2}),
        "\\x00ff");
    assert_string_equal(
        text_of(&mem, (struct tracker_value){.type = TRACKER_TEXT, .bytes = "abc", .len = 2}),
        "ab");
    struct tracker_value nul = {.type = TRACKER_TEXT, .bytes = "a\0b", .len = 3, .column = "name"};
    assert_int_equal(postgres_value_text(&nul, &mem, &text, &e), ERR_DB);
    assert_non_null(strstr(e.message, "'name'"));
    arena_release(&mem);
}

static void test_postgres_value_compares_by_type_and_bytes(void **state)
{
    const struct tracker_value one = {.type = TRACKER_INTEGER, .integer = 1};
    const struct tracker_value text = {.type = TRACKER_TEXT, .bytes = "1", .len = 1};
    const struct tracker_value blob = {.type = TRACKER_BLOB, .bytes = "1", .len = 1};
    const struct tracker_value empty = {.type = TRACKER_TEXT, .bytes = "", .len = 0};
    const struct tracker_value null = {.type = TRACKER_NULL};
    const struct tracker_value plus = {.type = TRACKER_REAL, .real = 0.0},
                               minus = {.type = TRACKER_REAL, .real = -0.0};
    (void)state;

    assert_true(postgres_value_same(&one, &one));
    assert_true(postgres_value_same(&text, &text));
    assert_true(postgres_value_same(&null, &null));
    assert_false(postgres_value_same(&one, &text));
    assert_false(postgres_value_same(&text, &blob));
    assert_false(postgres_value_same(&empty, &null));
    assert_false(postgres_value_same(&empty, &text));
    assert_false(postgres_value_same(&plus, &minus));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postgres_value_reads_by_type),
        cmocka_unit_test(test_postgres_value_that_is_no_hex_or_has_no_room_is_refused),
        cmocka_unit_test(test_postgres_value_becomes_a_parameter),
        cmocka_unit_test(test_postgres_value_compares_by_type_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
