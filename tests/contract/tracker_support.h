/* What the tracker's contract tests share: a fresh database of one driver, raw access to it that does not go through the
 * tracker, and short ways to plan, claim and move. Every check goes by raw SQL wherever the database can be asked. */
#ifndef BLOBFERRY_TEST_TRACKER_SUPPORT_H
#define BLOBFERRY_TEST_TRACKER_SUPPORT_H

#include "blobferry/base/clock.h"
#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/track/tracker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW  INT64_C(1790000000000) /* 2026-09-21 14:13:20 UTC */
#define HOUR INT64_C(3600000)

struct fixture;
/* Raw SQL is said in one of these: SQL_BY(f, "for SQLite", "for PostgreSQL"). */
enum dialect { DIALECT_SQLITE, DIALECT_POSTGRES };
/* One kind of database. `make` opens raw access to a fresh, empty one and fills url. */
struct driver {
    const char *name;
    enum dialect dialect;
    bool utf8_only; /* takes no other text */
    void (*make)(struct fixture *f);
    void (*drop)(struct fixture *f);
    void (*sql)(struct fixture *f, const char *sql);
    /* first column of the first row as text, "NULL", or "" without a row */
    void (*text)(struct fixture *f, const char *sql, char *dst, size_t size);
    /* a digest of everything a reader could have changed: bytes, files beside it */
    void (*snapshot)(struct fixture *f, char *dst, size_t size);
};
struct fixture {
    const struct driver *driver;
    char dir[256];
    char url[512];
    void *raw;
    struct tracker *t;
    struct err e;
    struct record_list list;
    char answer[4096];
    struct secret token; /* d1 */
    const char *api;
};

#define TEST_UNUSED                 __attribute__((unused)) static
#define SQL_BY(f, sqlite, postgres) ((f)->driver->dialect == DIALECT_SQLITE ? (sqlite) : (postgres))

TEST_UNUSED void expect_code(struct fixture *f, enum err_code got, enum err_code want,
                             const char *what, int line)
{
    if (got != want)
        fail_msg("line %d: %s gives %s, not %s: %s (%s)", line, what, err_code_name(got),
                 err_code_name(want), f->e.message, f->e.hint);
}
#define CODE(f, expr, want)                                                                        \
    do {                                                                                           \
        err_init(&(f)->e);                                                                         \
        expect_code(f, (expr), (want), #expr, __LINE__);                                           \
    } while (0)
#define OK(f, expr) CODE(f, expr, ERR_OK)

/* ---- raw SQL ----------------------------------------------------------------------------------------- */
__attribute__((format(printf, 2, 3))) TEST_UNUSED void sql(struct fixture *f, const char *fmt, ...)
{
    char text[8192];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    f->driver->sql(f, text);
}

__attribute__((format(printf, 2, 3))) TEST_UNUSED const char *ask(struct fixture *f,
                                                                  const char *fmt, ...)
{
    char text[4096];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    f->driver->text(f, text, f->answer, sizeof f->answer);
    return f->answer;
}
#define EXPECT(f, want, ...) assert_string_equal(ask((f), __VA_ARGS__), (want))

/* ---- opening ------------------------------------------------------------------------------------------- */
TEST_UNUSED struct tracker *open_tracker(struct fixture *f, bool read_only)
{
    struct tracker *t = NULL;

    OK(f, tracker_open(&t,
                       &(struct tracker_options){.url = f->url,
                                                 .read_only = read_only,
                                                 .create = !read_only,
                                                 .busy_timeout_ms = 20000,
                                                 .password = &f->token,
                                                 .d1_api = f->api},
                       &f->e));
    return t;
}

TEST_UNUSED void reopen(struct fixture *f, bool read_only)
{
    tracker_close(f->t);
    f->t = open_tracker(f, read_only);
}

TEST_UNUSED int fixture_setup(void **state, const struct driver *driver)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->driver = driver;
    record_list_init(&f->list, 0);
    driver->make(f);
    *state = f;
    return 0;
}

TEST_UNUSED int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    tracker_close(f->t);
    record_list_release(&f->list);
    f->driver->drop(f);
    free(f);
    return 0;
}

/* A database with all tables, opened for writing. */
TEST_UNUSED void with_tables(struct fixture *f)
{
    int created = 0;

    f->t = open_tracker(f, false);
    OK(f, tracker_init(f->t, &created, &f->e));
}

/* The contract's three tables as an application may have made them: nothing of ours, no index beyond the keys. */
TEST_UNUSED void with_bare_tables(struct fixture *f, const char *id_type)
{
    const char *time = SQL_BY(f, "DATETIME", "TIMESTAMPTZ");
    /* What SQLite understands by INTEGER PRIMARY KEY. */
    const char *counted = f->driver->dialect == DIALECT_SQLITE || strcmp(id_type, "INTEGER") != 0
                              ? id_type
                              : "INTEGER GENERATED BY DEFAULT AS IDENTITY";

    sql(f,
        "CREATE TABLE migration_batches (id %s PRIMARY KEY, batch_id TEXT UNIQUE NOT NULL,"
        " total_files INTEGER NOT NULL DEFAULT 0, completed_files INTEGER DEFAULT 0,"
        " failed_files INTEGER DEFAULT 0, verified_files INTEGER DEFAULT 0,"
        " status TEXT DEFAULT 'pending', started_at %s, completed_at %s,"
        " created_at %s DEFAULT CURRENT_TIMESTAMP, extra TEXT)",
        counted, time, time, time);
    sql(f,
        "CREATE TABLE file_migrations (id %s PRIMARY KEY, batch_id TEXT NOT NULL, file_id %s,"
        " source_path TEXT, target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT,"
        " file_size INTEGER, status TEXT DEFAULT 'pending', error_message TEXT,"
        " started_at %s, completed_at %s,"
        " created_at %s DEFAULT CURRENT_TIMESTAMP, priority INTEGER DEFAULT 5)",
        counted, id_type, time, time, time);
    sql(f,
        "CREATE TABLE files (id %s PRIMARY KEY, filename TEXT NOT NULL, user_id TEXT NOT NULL,"
        " r2_key TEXT, checksum TEXT, path TEXT)",
        id_type);
}

/* ---- planning -------------------------------------------------------------------------------------------- */
struct planning {
    const char *batch, *user;
    int from, count, at;
    char id[64], source[64], key[64], file[64], digest[DIGEST_SHA256_HEX];
    int refused;
    char why[512];
    int fail_at; /* 0: never; else the callback fails at this row */
};

TEST_UNUSED void digest_of(const char *key, char digest[DIGEST_SHA256_HEX])
{
    digest_sha256_hex(key, strlen(key), digest);
}

TEST_UNUSED enum err_code next_planned(void *user, struct tracker_plan_row *row, bool *more,
                                       struct err *e)
{
    struct planning *p = user;
    const int n = p->from + p->at;

    *more = p->at < p->count;
    if (!*more)
        return ERR_OK;
    if (p->fail_at > 0 && p->at + 1 == p->fail_at)
        return err_set(e, ERR_PARSE, "line %d is broken", p->fail_at);
    p->at++;
    snprintf(p->id, sizeof p->id, "row-%05d", n);
    snprintf(p->source, sizeof p->source, "dir/%05d.txt", n);
    snprintf(p->key, sizeof p->key, "key/%05d", n);
    snprintf(p->file, sizeof p->file, "file-%05d", n);
    digest_of(p->key, p->digest);
    *row = (struct tracker_plan_row){.id = p->id,
                                     .batch_id = p->batch,
                                     .file_id = p->file,
                                     .source_path = p->source,
                                     .target_key = p->key,
                                     .key_digest = p->digest,
                                     .size = n,
                                     .filename = p->source + 4,
                                     .user_id = p->user,
                                     .content_type = "text/plain",
                                     .make_file_row = true};
    return ERR_OK;
}

TEST_UNUSED void done_planned(void *user, const struct tracker_plan_row *row)
{
    struct planning *p = user;

    if (row->refused == NULL)
        return;
    p->refused++;
    str_copy(p->why, sizeof p->why, row->refused);
}

/* Rows row-<from> … of batch, with files file-<from> … of user. */
TEST_UNUSED void plan(struct fixture *f, const char *batch, int from, int count)
{
    struct planning p = {.batch = batch, .user = "anna", .from = from, .count = count};

    OK(f, tracker_plan(f->t, next_planned, done_planned, &p, NULL, &f->e));
    assert_int_equal(p.refused, 0);
}

/* ---- claiming and moving --------------------------------------------------------------------------------------- */
TEST_UNUSED size_t claim_by(struct fixture *f, struct tracker *t, const char *owner,
                            const char *batch, size_t limit, int64_t now, struct record_list *out)
{
    const char *const ids[] = {batch};
    const struct tracker_claim c = {.batch_ids = batch != NULL ? ids : NULL,
                                    .batch_count = batch != NULL,
                                    .owner = owner,
                                    .now_ms = now,
                                    .lease_ms = HOUR,
                                    .limit = limit};

    OK(f, tracker_claim(t, &c, out, &f->e));
    return out->len;
}

TEST_UNUSED size_t claim(struct fixture *f, const char *owner, const char *batch, size_t limit)
{
    return claim_by(f, f->t, owner, batch, limit, NOW, &f->list);
}

TEST_UNUSED struct tracker_move move_of(const struct record *r, const char *owner,
                                        enum file_status to)
{
    return (struct tracker_move){
        .id = r->id,
        .batch_id = r->batch_id,
        .owner = r->status == FILE_PROCESSING ? owner : NULL,
        .from = r->status,
        .to = to,
        .now_ms = NOW + 1000,
        .pointer = to == FILE_COMPLETED     ? TRACKER_POINTER_SET
                   : to == FILE_ROLLED_BACK ? TRACKER_POINTER_RESTORE
                                            : TRACKER_POINTER_KEEP,
        .file_id = r->file_id,
        .target_key = r->target_key,
        .expected_r2_key = r->file_r2_key,
        .migrated_checksum = to == FILE_COMPLETED ? "sha" : NULL,
        .etag = to == FILE_COMPLETED ? "etag" : NULL,
        .size = -1,
    };
}

/* Moves every record of the list; all must be applied. */
TEST_UNUSED void move_all(struct fixture *f, const struct record_list *l, const char *owner,
                          enum file_status to)
{
    struct tracker_move *moves = calloc(l->len + 1, sizeof *moves);

    assert_non_null(moves);
    for (size_t i = 0; i < l->len; i++)
        moves[i] = move_of(&l->items[i], owner, to);
    OK(f, tracker_apply(f->t, moves, l->len, NULL, &f->e));
    for (size_t i = 0; i < l->len; i++)
        assert_int_equal(moves[i].applied, TRACKER_APPLIED);
    free(moves);
}

TEST_UNUSED enum tracker_applied move_one(struct fixture *f, struct tracker_move m)
{
    OK(f, tracker_apply(f->t, &m, 1, NULL, &f->e));
    return m.applied;
}

/* The rows of a batch into f->list, in order. */
TEST_UNUSED size_t rows_of(struct fixture *f, const char *batch)
{
    OK(f, tracker_records(f->t, &(struct tracker_filter){.batch_id = batch}, NULL, 1000, &f->list,
                          &f->e));
    return f->list.len;
}

/* "status total completed verified failed" as stored, which tracker_refresh must agree with. */
TEST_UNUSED void expect_batch(struct fixture *f, const char *batch, const char *want)
{
    int64_t changed = -1;

    EXPECT(f, want,
           "SELECT status || ' ' || total_files || ' ' || completed_files || ' ' ||"
           " verified_files || ' ' || failed_files FROM migration_batches WHERE batch_id = '%s'",
           batch);
    OK(f, tracker_refresh(f->t, batch, &changed, &f->e));
    assert_int_equal(changed, 0);
}

#endif
