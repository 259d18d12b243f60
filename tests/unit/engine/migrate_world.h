/* migrate_world: a small world to migrate in: source folder, directory store, SQLite database, audit trail, all below one
 * temporary folder. What came of it is read back with the sqlite3 library and from the store's folder, not with our own code. */
#ifndef BLOBFERRY_TESTS_MIGRATE_WORLD_H
#define BLOBFERRY_TESTS_MIGRATE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/engine/migrate.h"
#include "blobferry/engine/verify.h"
#include "tap_store.h"

#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
    char dir[200];
    char source[256], store[256], logs[256], backups[256], db[256];
    struct tracker *tracker;
    struct objstore *dir_store;
    struct tap *tap;
    struct journal *journal;
    struct engine g;
    struct engine_run run;
    char run_id[CLOCK_UUID_SIZE];
    struct migrate_options o;
    struct migrate_result result;
    struct err e;
    int events[ENGINE_NOTE + 1];
    char last_failure[ERR_MESSAGE_MAX];
    void (*on_done)(struct world *w, const struct record *r); /* a test's own */
};

static inline void world_event(void *user, const struct engine_event *ev)
{
    struct world *w = user;
    w->events[ev->kind]++;
    if (ev->err != NULL)
        str_copy(w->last_failure, sizeof w->last_failure, ev->err->message);
    if (w->on_done != NULL && ev->kind == ENGINE_FILE_DONE)
        w->on_done(w, ev->record);
}

static inline void world_journal_open(struct world *w)
{
    assert_int_equal(journal_open(&w->journal,
                                  &(struct journal_options){
                                      .dir = w->logs, .run_id = w->run_id, .command = "migrate"},
                                  &w->e),
                     ERR_OK);
    w->g.journal = w->journal;
}

/* A new process's view: owner, tracker, journal. */
static inline void world_enter(struct world *w)
{
    char url[300];

    err_init(&w->e);
    clock_uuid(w->run_id);
    snprintf(url, sizeof url, "sqlite:%s", w->db);
    assert_int_equal(
        tracker_open(&w->tracker, &(struct tracker_options){.url = url, .create = true}, &w->e),
        ERR_OK);
    w->run = (struct engine_run){.command = "migrate", .started_ms = clock_wall_ms()};
    w->g = (struct engine){.tracker = w->tracker,
                           .source_root = w->source,
                           .backup_dir = w->backups,
                           .run_id = w->run_id,
                           .run = &w->run,
                           .on_event = world_event,
                           .event_user = w};
    process_owner(w->g.owner);
    world_journal_open(w);
    snprintf(url, sizeof url, "file://%s", w->store);
    assert_int_equal(objstore_open(&w->dir_store, &(struct objstore_options){.target = url}, &w->e),
                     ERR_OK);
    w->tap = tap_new(w->dir_store);
    w->tap->user = w;
    w->g.store = &w->tap->base;
}

static inline void world_leave(struct world *w)
{
    objstore_close(&w->tap->base);
    objstore_close(w->dir_store);
    journal_close(w->journal);
    tracker_close(w->tracker);
}

static inline void world_open(struct world *w)
{
    const char *tmp = getenv("TMPDIR");
    int created = 0;

    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "%s/blobferry-migrate-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->source, sizeof w->source, "%s/source", w->dir);
    snprintf(w->store, sizeof w->store, "%s/store", w->dir);
    snprintf(w->logs, sizeof w->logs, "%s/logs", w->dir);
    snprintf(w->backups, sizeof w->backups, "%s/backups", w->dir);
    snprintf(w->db, sizeof w->db, "%s/app.db", w->dir);
    assert_int_equal(mkdir(w->source, 0700), 0);
    assert_int_equal(mkdir(w->store, 0700), 0);
    world_enter(w);
    assert_int_equal(tracker_init(w->tracker, &created, &w->e), ERR_OK);
    w->o = (struct migrate_options){.max_failures = -1, .concurrency = 4};
}

static inline int world_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void world_close(struct world *w)
{
    world_leave(w);
    nftw(w->dir, world_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- making things ---------------------------------------------------------------------------------- */

static inline void world_write(const char *folder, const char *name, const void *p, size_t n)
{
    char path[700], *slash;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(fsio_mkdirs(path, 0700, NULL), ERR_OK);
    *slash = '/';
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fsio_write_all(fd, p, n, path, NULL), ERR_OK);
    close(fd);
}

/* n bytes that depend on the name and on their place. */
static inline void world_big(struct world *w, const char *name, size_t n)
{
    unsigned char *p = malloc(n + 1);
    uint32_t x = (uint32_t)strlen(name) + (unsigned char)name[0];

    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)((x = x * 1664525u + 1013904223u) >> 24);
    world_write(w->source, name, p, n);
    free(p);
}

static inline void world_file(struct world *w, const char *name, const char *text)
{
    world_write(w->source, name, text, strlen(text));
}

/* A row of batch "b" (or another), file_id "f-<id>", user "u", key "k/<path>". Zero members get these defaults. */
struct world_row {
    const char *id, *batch, *path, *key, *checksum;
    int64_t size; /* 0: NULL */
    bool no_file_row;
    bool done;
};

static inline enum err_code world_next(void *user, struct tracker_plan_row *row, bool *more,
                                       struct err *e)
{
    static char key[300], file_id[300], digest[65];
    struct world_row *r = user;

    (void)e;
    *more = !r->done;
    if (r->done)
        return ERR_OK;
    r->done = true;
    snprintf(key, sizeof key, "k/%s", r->path);
    snprintf(file_id, sizeof file_id, "f-%s", r->id);
    *row = (struct tracker_plan_row){.id = r->id,
                                     .batch_id = r->batch != NULL ? r->batch : "b",
                                     .file_id = r->no_file_row ? NULL : file_id,
                                     .source_path = r->path,
                                     .target_key = r->key != NULL ? r->key : key,
                                     .key_digest = digest,
                                     .checksum = r->checksum,
                                     .size = r->size > 0 ? r->size : -1,
                                     .filename = r->path,
                                     .user_id = r->no_file_row ? NULL : "u",
                                     .make_file_row = !r->no_file_row};
    digest_sha256_hex(row->target_key, strlen(row->target_key), digest);
    return ERR_OK;
}

static inline void world_told(void *user, const struct tracker_plan_row *row)
{
    (void)user;
    assert_null(row->refused);
}

static inline void world_sql(struct world *w, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    assert_int_equal(sqlite3_open(w->db, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(db);
}

static inline const char *world_text(struct world *w, const char *sql)
{
    static char text[8][1024];
    static int turn;
    char *out = text[turn++ % 8];
    sqlite3 *db;
    sqlite3_stmt *q;

    out[0] = '\0';
    assert_int_equal(sqlite3_open(w->db, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0) != NULL)
        str_copy(out, 1024, (const char *)sqlite3_column_text(q, 0));
    else
        str_copy(out, 1024, "NULL");
    sqlite3_finalize(q);
    sqlite3_close(db);
    return out;
}

static inline int world_number(struct world *w, const char *sql)
{
    return (int)strtol(world_text(w, sql), NULL, 10);
}

/* The first row of a batch makes it; further ones are inserted as an application would. */
static inline void world_row(struct world *w, struct world_row r)
{
    char sql[1400], digest[65], key[300];

    snprintf(key, sizeof key, "k/%s", r.path);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM migration_batches WHERE batch_id = '%s'",
             r.batch != NULL ? r.batch : "b");
    if (world_number(w, sql) == 0) {
        assert_int_equal(tracker_plan(w->tracker, world_next, world_told, &r, NULL, &w->e), ERR_OK);
        return;
    }
    (void)digest;
    snprintf(
        sql, sizeof sql,
        "INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key,"
        " original_checksum, file_size, status) VALUES ('%s', '%s', %s%s%s, '%s', '%s', %s%s%s,"
        " nullif(%lld, 0), 'pending');",
        r.id, r.batch != NULL ? r.batch : "b", r.no_file_row ? "NULL" : "'f-",
        r.no_file_row ? "" : r.id, r.no_file_row ? "" : "'", r.path, r.key != NULL ? r.key : key,
        r.checksum != NULL ? "'" : "NULL", r.checksum != NULL ? r.checksum : "",
        r.checksum != NULL ? "'" : "", (long long)r.size);
    world_sql(w, sql);
    if (!r.no_file_row) {
        snprintf(sql, sizeof sql,
                 "INSERT INTO files (id, filename, user_id) VALUES ('f-%s', '%s', 'u')", r.id,
                 r.path);
        world_sql(w, sql);
    }
    world_sql(w, "UPDATE migration_batches SET total_files = (SELECT count(*) FROM file_migrations"
                 " WHERE batch_id = migration_batches.batch_id)");
}

/* Somebody who has died: its owner string is of a process that has ended. */
static inline void world_dead_owner(char owner[PROCESS_OWNER_SIZE])
{
    int ends[2], status = 0;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        process_owner(owner);
        _exit(write(ends[1], owner, PROCESS_OWNER_SIZE) == PROCESS_OWNER_SIZE ? 0 : 1);
    }
    assert_int_equal(read(ends[0], owner, PROCESS_OWNER_SIZE), PROCESS_OWNER_SIZE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ends[0]);
    close(ends[1]);
}

/* ---- doing and looking -------------------------------------------------------------------------------- */

static inline enum err_code world_migrate(struct world *w)
{
    static const char *const b[] = {"b"};
    if (w->o.batch_ids == NULL) {
        w->o.batch_ids = b;
        w->o.batch_count = 1;
    }
    err_init(&w->e);
    memset(w->events, 0, sizeof w->events);
    return migrate_run(&w->g, &w->o, &w->result, &w->e);
}

static inline const char *world_status(struct world *w, const char *id)
{
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT status FROM file_migrations WHERE id = '%s'", id);
    return world_text(w, sql);
}

static inline const char *world_error(struct world *w, const char *id)
{
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT error_message FROM file_migrations WHERE id = '%s'", id);
    return world_text(w, sql);
}

static inline const char *world_own(struct world *w, const char *id, const char *column)
{
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT %s FROM blobferry_records WHERE record_id = '%s'", column,
             id);
    return world_text(w, sql);
}

static inline const char *world_pointer(struct world *w, const char *id)
{
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT r2_key FROM files WHERE id = 'f-%s'", id);
    return world_text(w, sql);
}

/* Reads a whole file; NULL when it is not there. The caller frees. */
static inline char *world_read(const char *folder, const char *name, size_t *n)
{
    char path[700];
    struct stat st;
    char *p;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &st), 0);
    p = calloc(1, (size_t)st.st_size + 1);
    *n = 0;
    for (ssize_t got = 1; got > 0; *n += got > 0 ? (size_t)got : 0)
        got = read(fd, p + *n, (size_t)st.st_size - *n);
    close(fd);
    return p;
}

/* I1: the object at the key has the file's bytes. */
static inline bool world_same(struct world *w, const char *name, const char *key)
{
    size_t a = 0, b = 0;
    char *file = world_read(w->source, name, &a), *object = world_read(w->store, key, &b);
    bool same = file != NULL && object != NULL && a == b && memcmp(file, object, a) == 0;

    free(file);
    free(object);
    return same;
}

static inline bool world_has_object(struct world *w, const char *key)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", w->store, key);
    return fsio_exists(path);
}

/* Lines of the audit trail that hold all of the given texts. */
static inline int world_audit(struct world *w, const char *a, const char *b)
{
    size_t n = 0;
    char *all = world_read(w->logs, "audit.jsonl", &n), *line, *rest = all;
    int found = 0;

    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
        found += strstr(line, a) != NULL && (b == NULL || strstr(line, b) != NULL);
    free(all);
    return found;
}

/* I5, I6: the chain holds, nothing is in doubt, no row is in work, the counters are those of the rows. */
static inline void world_check(struct world *w)
{
    struct journal_report report;
    struct err e;

    err_init(&e);
    if (journal_verify(w->logs, w->tracker, &report, &e) != ERR_OK)
        fail_msg("audit: %s %s", e.message, report.problem);
    assert_int_equal(report.in_doubt, 0);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM file_migrations WHERE status = 'processing'"), 0);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM migration_batches AS b WHERE completed_files <>"
                        " (SELECT count(*) FROM file_migrations WHERE batch_id = b.batch_id AND"
                        " status IN ('completed', 'verified')) OR failed_files <> (SELECT count(*)"
                        " FROM file_migrations WHERE batch_id = b.batch_id AND status = 'failed')"),
        0);
    assert_int_equal(world_number(w, "SELECT count(*) FROM blobferry_locks"), 0);
}

#endif
