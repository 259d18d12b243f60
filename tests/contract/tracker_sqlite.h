/* The SQLite driver's part of the contract tests: a fresh file, raw access by a second connection. */
#ifndef BLOBFERRY_TEST_TRACKER_SQLITE_H
#define BLOBFERRY_TEST_TRACKER_SQLITE_H

#include "contract/tracker_support.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

TEST_UNUSED void sqlite_fresh(struct fixture *f)
{
    const char *tmp = getenv("TMPDIR");
    sqlite3 *db = NULL;
    char path[400];

    snprintf(f->dir, sizeof f->dir, "%s/bf-tracker-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(path, sizeof path, "%s/t.db", f->dir);
    snprintf(f->url, sizeof f->url, "sqlite:%s", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 20000);
    f->raw = db;
}

TEST_UNUSED void sqlite_drop(struct fixture *f)
{
    static const char *const names[] = {"t.db", "t.db-wal", "t.db-shm", "t.db-journal"};
    char path[400];

    sqlite3_close(f->raw);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
}

TEST_UNUSED void sqlite_sql(struct fixture *f, const char *text)
{
    char *message = NULL;

    if (sqlite3_exec(f->raw, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
}

TEST_UNUSED void sqlite_text(struct fixture *f, const char *text, char *dst, size_t size)
{
    sqlite3_stmt *q = NULL;

    dst[0] = '\0';
    if (sqlite3_prepare_v2(f->raw, text, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(f->raw));
    if (sqlite3_step(q) == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(q, 0);
        str_copy(dst, size, value != NULL ? value : "NULL");
    }
    sqlite3_finalize(q);
}

/* The raw connection is closed and opened again around it: its own locks and -wal are not the reader's. */
TEST_UNUSED void sqlite_snapshot(struct fixture *f, char *dst, size_t size)
{
    char path[400], other[420], hex[DIGEST_SHA256_HEX];
    struct stat st;

    snprintf(path, sizeof path, "%s/t.db", f->dir);
    sqlite3_close(f->raw);
    f->raw = NULL;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    char *bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, in), st.st_size);
    fclose(in);
    digest_sha256_hex(bytes, (size_t)st.st_size, hex);
    free(bytes);
    snprintf(other, sizeof other, "%s-wal", path);
    const bool wal = access(other, F_OK) == 0;
    snprintf(other, sizeof other, "%s-shm", path);
    snprintf(dst, size, "%s wal=%d shm=%d", hex, wal, access(other, F_OK) == 0);
}

/* After snapshots, raw access is needed no more, except to be dropped. */
static const struct driver sqlite_driver = {.name = "sqlite",
                                            .make = sqlite_fresh,
                                            .drop = sqlite_drop,
                                            .sql = sqlite_sql,
                                            .text = sqlite_text,
                                            .snapshot = sqlite_snapshot};

TEST_UNUSED int sqlite_setup(void **state)
{
    return fixture_setup(state, &sqlite_driver);
}

#endif
