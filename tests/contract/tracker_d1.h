/* The D1 driver's part of the contract tests: workerd serves the file over the query endpoint (tests/harness/d1), and raw access
 * opens the same file beside it. Every test begins with an empty database.
 */
#ifndef BLOBFERRY_TEST_TRACKER_D1_H
#define BLOBFERRY_TEST_TRACKER_D1_H

#include "contract/tracker_sqlite.h"

#define D1_TEXT(name) d1_variable("BLOBFERRY_TEST_D1_" name)

TEST_UNUSED const char *d1_variable(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL)
        fail_msg("%s is not set", name);
    return value;
}

/* Tables and views of the test before; those of workerd and SQLite stay. */
TEST_UNUSED void d1_empty(struct fixture *f)
{
    char names[64][100];
    size_t n = 0;
    sqlite3_stmt *q = NULL;

    assert_int_equal(sqlite3_prepare_v2(f->raw,
                                        "SELECT type || ' \"' || name || '\"' FROM sqlite_schema"
                                        " WHERE type IN ('table', 'view') AND name NOT LIKE"
                                        " 'sqlite@_%' ESCAPE '@' AND name NOT LIKE '@_cf@_%'"
                                        " ESCAPE '@'",
                                        -1, &q, NULL),
                     SQLITE_OK);
    while (n < 64 && sqlite3_step(q) == SQLITE_ROW)
        str_copy(names[n++], sizeof names[0], (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
    sql(f, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < n; i++)
        sql(f, "DROP %s", names[i]);
    sql(f, "COMMIT");
}

TEST_UNUSED void d1_fresh(struct fixture *f)
{
    sqlite3 *db = NULL;
    const char *token = D1_TEXT("TOKEN");

    snprintf(f->url, sizeof f->url, "d1://%s/%s", D1_TEXT("ACCOUNT"), D1_TEXT("DATABASE"));
    f->api = D1_TEXT("URL");
    assert_int_equal(secret_set(&f->token, token, strlen(token), NULL), ERR_OK);
    assert_int_equal(sqlite3_open(D1_TEXT("FILE"), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 20000);
    /* The file is another program's, and only a test's: it need not survive the machine. */
    assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
    f->raw = db;
    d1_empty(f);
}

TEST_UNUSED void d1_drop(struct fixture *f)
{
    d1_empty(f);
    sqlite3_close(f->raw);
    secret_release(&f->token);
}

/* All pages as they are to a reader, whatever is in the -wal. */
TEST_UNUSED void d1_snapshot(struct fixture *f, char *dst, size_t size)
{
    char hex[DIGEST_SHA256_HEX];
    sqlite3_int64 n = 0;
    unsigned char *bytes = sqlite3_serialize(f->raw, "main", &n, 0);

    assert_non_null(bytes);
    digest_sha256_hex(bytes, (size_t)n, hex);
    sqlite3_free(bytes);
    str_copy(dst, size, hex);
}

static const struct driver d1_driver = {.name = "d1",
                                        .utf8_only = true,
                                        .make = d1_fresh,
                                        .drop = d1_drop,
                                        .sql = sqlite_sql,
                                        .text = sqlite_text,
                                        .snapshot = d1_snapshot};

TEST_UNUSED int d1_setup(void **state)
{
    return fixture_setup(state, &d1_driver);
}

#endif
