/* rollback_world: a migrated world to roll back in. What came of it is read with the sqlite3 library and from the folders. */
#ifndef BLOBFERRY_TESTS_ROLLBACK_WORLD_H
#define BLOBFERRY_TESTS_ROLLBACK_WORLD_H

#include "unit/engine/migrate_world.h"

#include "blobferry/engine/rollback.h"

/* ---- bulk removal through the tap: each key is asked of `before` by itself -------------------------------- */

struct bulk_call {
    struct tap *tap;
    objstore_bulk_fn *done;
    void *user;
    struct objstore_bulk_result each[OBJSTORE_BULK_MAX];
    bool answered[OBJSTORE_BULK_MAX];
    size_t n;
};

static inline void bulk_done(void *user, const struct objstore_result *whole,
                             const struct objstore_bulk_result *each, size_t n)
{
    struct bulk_call *c = user;

    for (size_t i = 0, k = 0; i < c->n && each != NULL; i++) {
        if (!c->answered[i] && k < n)
            c->each[i] = each[k++];
    }
    c->done(c->user, whole, each != NULL ? c->each : NULL, each != NULL ? c->n : 0);
    free(c);
}

static inline enum err_code tap_remove_many(struct objstore *s,
                                            const struct objstore_bulk_item *items, size_t n,
                                            objstore_bulk_fn *done, void *user, struct err *e)
{
    struct objstore_bulk_item rest[OBJSTORE_BULK_MAX];
    struct bulk_call *c = calloc(1, sizeof *c);
    size_t left = 0;
    enum err_code code;

    assert_non_null(c);
    *c = (struct bulk_call){.tap = tap_of(s), .done = done, .user = user, .n = n};
    for (size_t i = 0; i < n; i++) {
        struct objstore_result r = {.outcome = OBJSTORE_DONE};

        c->tap->counts[TAP_REMOVE]++;
        c->answered[i] =
            c->tap->before != NULL && c->tap->before(c->tap, TAP_REMOVE, items[i].key, &r);
        c->each[i] = (struct objstore_bulk_result){.outcome = r.outcome, .locked = r.locked};
        snprintf(c->each[i].message, sizeof c->each[i].message, "%.100s", r.err.message);
        if (!c->answered[i])
            rest[left++] = items[i];
    }
    if (left == 0) { /* nothing is left to ask: answered from a look at what is not there */
        rest[left++] = (struct objstore_bulk_item){"no/such/key", NULL};
    }
    code = objstore_remove_many(c->tap->inner, rest, left, bulk_done, c, e);
    if (code != ERR_OK)
        free(c);
    return code;
}

/* ---- the world ------------------------------------------------------------------------------------------------ */

struct rollback_world {
    struct world w;
    struct objstore_ops ops;
    struct rollback_options o;
    struct rollback_result result;
    struct rollback_preview preview;
    struct stat sources[64]; /* as they were */
    size_t source_count;
    bool stop; /* what g.stopping says */
};

static bool rollback_world_stop;
static inline bool rollback_world_stopping(void)
{
    return rollback_world_stop;
}

/* One request at a time and no bulk, or as the directory does it. */
static inline void rollback_world_features(struct rollback_world *r, unsigned without)
{
    objstore_set_features(&r->w.tap->base, objstore_features(r->w.dir_store) & ~without);
}

static inline void rollback_world_enter(struct rollback_world *r)
{
    r->ops = tap_ops;
    r->ops.remove_many = tap_remove_many;
    r->w.tap->base.ops = &r->ops;
    r->w.g.stopping = rollback_world_stopping;
    r->w.run.command = "rollback";
}

/* A new process. */
static inline void rollback_world_reenter(struct rollback_world *r)
{
    world_leave(&r->w);
    world_enter(&r->w);
    rollback_world_enter(r);
}

static inline int rollback_world_setup(void **state)
{
    struct rollback_world *r = calloc(1, sizeof *r);

    if (r == NULL)
        return -1;
    rollback_world_stop = false;
    world_open(&r->w);
    rollback_world_enter(r);
    rollback_preview_init(&r->preview);
    r->o.scope.batch_id = "b";
    *state = r;
    return 0;
}

static inline int rollback_world_teardown(void **state)
{
    struct rollback_world *r = *state;

    clock_set_wall_for_tests(-1);
    rollback_preview_release(&r->preview);
    world_close(&r->w);
    free(r);
    return 0;
}

#define rollback_test(test)                                                                        \
    cmocka_unit_test_setup_teardown(test, rollback_world_setup, rollback_world_teardown)

/* A file, its row in `batch` for `user`, not migrated yet. */
static inline void rollback_world_add(struct rollback_world *r, const char *id, const char *batch,
                                      const char *user)
{
    char text[200], path[100], sql[300];

    snprintf(text, sizeof text, "the bytes of file %s", id);
    snprintf(path, sizeof path, "%s.txt", id);
    world_file(&r->w, path, text);
    world_row(&r->w, (struct world_row){.id = id, .batch = batch, .path = path});
    snprintf(sql, sizeof sql, "UPDATE files SET user_id = '%s' WHERE id = 'f-%s'", user, id);
    world_sql(&r->w, sql);
}

static inline void rollback_world_migrate(struct rollback_world *r, const char *batch)
{
    r->w.o.batch_ids = &batch;
    r->w.o.batch_count = 1;
    if (world_migrate(&r->w) != ERR_OK)
        fail_msg("migrate: %s", r->w.e.message);
    r->w.o.batch_ids = NULL;
}

/* Three migrated files x, y, z of batch b and user u. */
static inline void rollback_world_three(struct rollback_world *r)
{
    rollback_world_add(r, "x", "b", "u");
    rollback_world_add(r, "y", "b", "u");
    rollback_world_add(r, "z", "b", "u");
    rollback_world_migrate(r, "b");
}

static inline enum err_code rollback_world_run(struct rollback_world *r)
{
    err_init(&r->w.e);
    memset(r->w.events, 0, sizeof r->w.events);
    return rollback_run(&r->w.g, &r->o, &r->result, &r->w.e);
}

static inline enum err_code rollback_world_look(struct rollback_world *r, bool prove)
{
    rollback_preview_release(&r->preview);
    rollback_preview_init(&r->preview);
    err_init(&r->w.e);
    return rollback_preview(&r->w.g, &r->o, prove, &r->preview, &r->w.e);
}

static inline void rollback_world_expect(struct rollback_world *r, enum err_code code)
{
    enum err_code got = rollback_world_run(r);

    if (got != code)
        fail_msg("rollback: %s and not %s: %s", err_code_name(got), err_code_name(code),
                 r->w.e.message);
    assert_int_equal(r->w.e.code, code);
}

/* Status, pointer and object of one file at once: "completed k/x.txt object", "rolled_back NULL gone". */
static inline const char *rollback_world_state(struct rollback_world *r, const char *id)
{
    static char text[4][400];
    static int turn;
    char key[120], *out = text[turn++ % 4];

    snprintf(key, sizeof key, "k/%s.txt", id);
    snprintf(out, 400, "%s %s %s", world_status(&r->w, id), world_pointer(&r->w, id),
             world_has_object(&r->w, key) ? "object" : "gone");
    return out;
}

#define assert_migrated(r, id)                                                                     \
    assert_string_equal(rollback_world_state(r, id), "completed k/" id ".txt object")
#define assert_rolled_back(r, id)                                                                  \
    assert_string_equal(rollback_world_state(r, id), "rolled_back NULL gone")

/* I2: no source was written, moved, touched or removed; called before and after. */
static inline void rollback_world_sources(struct rollback_world *r)
{
    char path[400];
    const char *names = "xyz";
    bool first = r->source_count == 0;

    for (size_t i = 0; i < 3; i++) {
        struct stat now;

        snprintf(path, sizeof path, "%s/%c.txt", r->w.source, names[i]);
        assert_int_equal(stat(path, &now), 0);
        if (first) {
            r->sources[r->source_count++] = now;
            continue;
        }
        assert_int_equal(now.st_ino, r->sources[i].st_ino);
        assert_int_equal(now.st_size, r->sources[i].st_size);
        assert_int_equal(now.st_mtim.tv_sec, r->sources[i].st_mtim.tv_sec);
        assert_int_equal(now.st_mtim.tv_nsec, r->sources[i].st_mtim.tv_nsec);
        assert_int_equal(now.st_ctim.tv_nsec, r->sources[i].st_ctim.tv_nsec);
    }
}

/* I3: every pointer (among the rows of files that `where` says) has its object. */
static inline void rollback_world_check_pointers(struct rollback_world *r, const char *where)
{
    char sql[200];
    sqlite3 *db;
    sqlite3_stmt *q;

    snprintf(sql, sizeof sql, "SELECT r2_key FROM files WHERE %s", where);
    assert_int_equal(sqlite3_open(r->w.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW)
        assert_true(world_has_object(&r->w, (const char *)sqlite3_column_text(q, 0)));
    sqlite3_finalize(q);
    sqlite3_close(db);
}

/* I3, I5, I6, and no lock stays. */
static inline void rollback_world_check(struct rollback_world *r)
{
    world_check(&r->w);
    rollback_world_check_pointers(r, "r2_key IS NOT NULL");
}

/* All rows as one digest: what P7 means by "changes no row". */
static inline void rollback_world_rows(struct rollback_world *r, char hex[65])
{
    static const char *const tables[] = {"migration_batches", "file_migrations", "files",
                                         "blobferry_records", "blobferry_runs",  "blobferry_heads",
                                         "blobferry_locks"};
    struct digest d;
    unsigned char sum[DIGEST_MAX];
    sqlite3 *db;

    assert_int_equal(digest_init(&d, DIGEST_SHA256, NULL), ERR_OK);
    assert_int_equal(sqlite3_open(r->w.db, &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char sql[100];
        sqlite3_stmt *q;

        snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY 1", tables[i]);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) {
            for (int k = 0; k < sqlite3_column_count(q); k++) {
                const char *v = (const char *)sqlite3_column_text(q, k);
                digest_update(&d, v != NULL ? v : "\001", v != NULL ? strlen(v) + 1 : 2);
            }
        }
        sqlite3_finalize(q);
    }
    sqlite3_close(db);
    digest_final(&d, sum);
    for (int i = 0; i < 32; i++)
        snprintf(hex + (ptrdiff_t)2 * i, 3, "%02x", sum[i]);
    digest_release(&d);
}

#endif
