/* d1_value: every value that SQLite can hold goes out as text and comes back as it was; ids and dates are judged as SQLite's driver
 * and timefmt_parse() judge them. The SQL runs on SQLite itself.
 */
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "track/d1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static int setup(void **state)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    *state = db;
    return 0;
}

static int teardown(void **state)
{
    sqlite3_close(*state);
    return 0;
}

/* "SELECT <sql over x> FROM (SELECT <value> AS x)", stepped to its row. */
static sqlite3_stmt *query(sqlite3 *db, const struct buf *expression, const char *value)
{
    struct buf sql;
    sqlite3_stmt *q = NULL;

    buf_init(&sql, 65536);
    buf_printf(&sql, "SELECT %s FROM (SELECT %s AS x)", buf_cstr(expression), value);
    if (sqlite3_prepare_v2(db, buf_cstr(&sql), -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", buf_cstr(&sql), sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    buf_release(&sql);
    return q;
}

/* What D1 would send for it, through JSON. */
static struct json *sent(sqlite3_stmt *q)
{
    struct buf b;
    struct json_out o;

    buf_init(&b, 1 << 20);
    json_out_init(&o, &b, 0);
    json_out_array(&o, NULL);
    json_out_string(&o, NULL, (const char *)sqlite3_column_text(q, 0));
    json_out_end(&o);
    struct json *root = json_parse(buf_cstr(&b), b.len, NULL);
    assert_non_null(root);
    buf_release(&b);
    return root;
}

static const char *const values[] = {
    "NULL",
    "0",
    "-1",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "0.1",
    "1.0",
    "1e300",
    "-2.5e-300",
    "''",
    "'plain text'",
    "'NULL'",
    "'i7'",
    "'two' || char(10) || 'lines'",
    "'a' || char(0) || 'b'",
    "'\xc3\xa4\xe2\x82\xac'",
    "CAST(x'61ff' AS TEXT)",
    "x''",
    "x'00ff41'",
};

static void test_d1_value_comes_back_by_type_and_bytes(void **state)
{
    struct buf there;
    struct arena mem;

    buf_init(&there, 8192);
    arena_init(&mem, 1 << 20);
    d1_value_sql(&there, "x", 0);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct tracker_value was, now;
        struct buf as_is, written;
        buf_init(&as_is, 16);
        buf_init(&written, 4096);
        buf_str(&as_is, "x");
        sqlite3_stmt *plain = query(*state, &as_is, values[i]);
        sqlite3_stmt *q = query(*state, &there, values[i]);
        sqlite_value_read(plain, 0, &was);
        struct json *root = sent(q);
        assert_true(d1_value_read(json_item(root, 0), &now, &mem));
        if (!sqlite_value_same(&was, &now))
            fail_msg("%s came back otherwise: %s", values[i], json_string(json_item(root, 0)));
        if (was.type != TRACKER_NULL &&
            was.type != TRACKER_REAL) { /* our own writing is the same */
            assert_true(d1_value_write(&written, &was));
            assert_int_equal(strcasecmp(buf_cstr(&written), json_string(json_item(root, 0))), 0);
        }
        json_free(root);
        sqlite3_finalize(q);
        sqlite3_finalize(plain);
        buf_release(&as_is);
        buf_release(&written);
    }
    arena_release(&mem);
    buf_release(&there);
}

static void test_d1_value_of_what_is_none_is_refused(void **state)
{
    static const char text[] = "[\"\", \"x1\", \"u0\", \"bzz\", 7, true]";
    struct json *root = json_parse(text, strlen(text), NULL);
    struct tracker_value v;
    struct arena mem;

    (void)state;
    arena_init(&mem, 65536);
    assert_int_equal(json_length(root), 6);
    for (size_t i = 0; i < json_length(root); i++)
        assert_false(d1_value_read(json_item(root, i), &v, &mem));
    assert_false(d1_value_read(NULL, &v, &mem));
    json_free(root);
    arena_release(&mem);
}

static void test_d1_value_ms_reads_dates_as_timefmt_does(void **state)
{
    static const char *const dates[] = {"2024-01-31 23:59:59",
                                        "2024-02-01T00:00:00.5Z",
                                        "2024-02-01 01:00:00+01:00",
                                        "2024-02-01 01:00:00-11:30",
                                        "2024-02-29",
                                        "2024-02-01 12:34",
                                        "2024-02-01T12:34:56.789",
                                        "1706745600",
                                        "1706745600123",
                                        "2024-02-30",
                                        "2023-02-29 00:00:00",
                                        "2024-13-01",
                                        "2024-02-01 24:00:00",
                                        "2024-02-01 23:60:00",
                                        "2024-02-01 23:59:60",
                                        "31/01/2024",
                                        "now",
                                        "12:00",
                                        "2460000",
                                        "",
                                        "2024-02-01x"};
    struct buf sql;

    buf_init(&sql, 8192);
    d1_value_ms_sql(&sql, "x");
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        char value[64];
        int64_t want = 0;
        const bool is = timefmt_parse(dates[i], &want);
        (void)snprintf(value, sizeof value, "'%s'", dates[i]);
        sqlite3_stmt *q = query(*state, &sql, value);
        const bool got = sqlite3_column_type(q, 0) != SQLITE_NULL;
        if (is != got || (is && sqlite3_column_int64(q, 0) != want))
            fail_msg("'%s': %lld, not %lld", dates[i], (long long)sqlite3_column_int64(q, 0),
                     (long long)want);
        sqlite3_finalize(q);
    }
    buf_release(&sql);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_d1_value_comes_back_by_type_and_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_d1_value_of_what_is_none_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d1_value_ms_reads_dates_as_timefmt_does, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
