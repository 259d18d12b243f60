/* Ids, times and SQL in the types of the application: no server is needed for it. */
#include "track/postgres.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct postgres_column text = {.kind = POSTGRES_TEXT, .type = "text"};
static const struct postgres_column uuid = {.kind = POSTGRES_UUID, .type = "uuid"};
static const struct postgres_column small = {.kind = POSTGRES_INT2, .type = "smallint"};
static const struct postgres_column integer = {.kind = POSTGRES_INT4, .type = "integer"};
static const struct postgres_column big = {.kind = POSTGRES_INT8, .type = "bigint"};

static void test_postgres_type_id_has_one_form_only(void **state)
{
    static const struct {
        const struct postgres_column *c;
        const char *id;
        bool fits;
    } cases[] = {
        {&text, "", true},
        {&text, "07", true},
        {&text, "\xc3\xa4", true},
        {&text, "\xff", false},
        {&integer, "7", true},
        {&integer, "0", true},
        {&integer, "-7", true},
        {&integer, "2147483647", true},
        {&integer, "-2147483648", true},
        {&integer, "2147483648", false},
        {&integer, "07", false},
        {&integer, "+7", false},
        {&integer, "-0", false},
        {&integer, " 7", false},
        {&integer, "7 ", false},
        {&integer, "7.0", false},
        {&integer, "", false},
        {&integer, "x", false},
        {&small, "32767", true},
        {&small, "32768", false},
        {&big, "9223372036854775807", true},
        {&big, "9223372036854775808", false},
        {&big, "-9223372036854775808", true},
        {&uuid, "01a1fedd-8f45-7691-b1c0-8950760d433c", true},
        {&uuid, "01A1FEDD-8F45-7691-B1C0-8950760D433C", false},
        {&uuid, "{01a1fedd-8f45-7691-b1c0-8950760d433c}", false},
        {&uuid, "01a1fedd8f457691b1c08950760d433c", false},
        {&uuid, "01a1fedd-8f45-7691-b1c0-8950760d433", false},
        {&uuid, "01a1fedd-8f45-7691-b1c0-8950760d433c0", false},
        {&uuid, "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = postgres_type_id(cases[i].c, cases[i].id);
        if (got != (cases[i].fits ? cases[i].id : NULL))
            fail_msg("'%s' as %s", cases[i].id, cases[i].c->type);
    }
    assert_null(postgres_type_id(&text, NULL));
}

static void test_postgres_type_time_says_its_zone_where_there_is_one(void **state)
{
    static const struct postgres_column zoned = {.kind = POSTGRES_STAMPTZ};
    static const struct postgres_column plain = {.kind = POSTGRES_STAMP};
    char dst[POSTGRES_TIME_SIZE];

    (void)state;
    assert_string_equal(postgres_type_time(&zoned, 1790000000999, dst), "2026-09-21 14:13:20+00");
    assert_string_equal(postgres_type_time(&plain, 1790000000999, dst), "2026-09-21 14:13:20");
    assert_string_equal(postgres_type_time(&text, 0, dst), "1970-01-01 00:00:00");
}

static void expect_as(const struct postgres_column *from, const struct postgres_column *to,
                      const char *want)
{
    struct buf b;

    buf_init(&b, 1024);
    postgres_type_as(&b, "m.x", from, to);
    assert_string_equal(buf_cstr(&b), want);
    buf_release(&b);
}

static void test_postgres_type_as_never_casts_what_cannot_be(void **state)
{
    (void)state;
    expect_as(&text, &text, "m.x");
    expect_as(&uuid, &uuid, "m.x");
    expect_as(&integer, &big, "m.x");
    expect_as(&uuid, &text, "m.x::text");
    expect_as(&big, &text, "m.x::text");
    expect_as(&text, &uuid,
              "CASE WHEN m.x::text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
              " THEN m.x::text::uuid END");
    expect_as(&text, &integer,
              "CASE WHEN m.x::text ~ '^(0|-?[1-9][0-9]{0,17})$' THEN m.x::text::bigint"
              " WHEN m.x::text ~ '^-?[1-9][0-9]{18}$' THEN CASE WHEN m.x::text::numeric BETWEEN"
              " -9223372036854775808 AND 9223372036854775807 THEN m.x::text::bigint END END");
}

static void test_postgres_array_is_a_literal(void **state)
{
    struct postgres_array a;

    (void)state;
    postgres_array_init(&a);
    assert_string_equal(postgres_array_end(&a), "{}");
    postgres_array_reset(&a);
    postgres_array_text(&a, "plain");
    postgres_array_text(&a, "");
    postgres_array_text(&a, NULL);
    postgres_array_text(&a, "NULL");
    postgres_array_text(&a, "a\"b\\c{d},e\n'");
    postgres_array_integer(&a, INT64_MIN);
    assert_string_equal(postgres_array_end(&a),
                        "{\"plain\",\"\",NULL,\"NULL\",\"a\\\"b\\\\c{d},e\n'\","
                        "-9223372036854775808}");
    postgres_array_release(&a);
}

/* NULL would stand for no values at all: what was too large must not be taken for that. */
static void test_postgres_array_that_is_too_large_is_refused_by_the_server(void **state)
{
    struct postgres_array a;

    (void)state;
    postgres_array_init(&a);
    a.text.max = 8;
    postgres_array_text(&a, "longer than that");
    const char *literal = postgres_array_end(&a);
    assert_non_null(literal);
    assert_true(literal[0] == '{' && literal[strlen(literal) - 1] != '}');
    postgres_array_release(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postgres_type_id_has_one_form_only),
        cmocka_unit_test(test_postgres_type_time_says_its_zone_where_there_is_one),
        cmocka_unit_test(test_postgres_type_as_never_casts_what_cannot_be),
        cmocka_unit_test(test_postgres_array_is_a_literal),
        cmocka_unit_test(test_postgres_array_that_is_too_large_is_refused_by_the_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
