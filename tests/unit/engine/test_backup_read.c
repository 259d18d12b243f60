#include "engine/backup_read.h"

#include "blobferry/base/clock.h"

#include "unit/base/scratch.h"

#include <errno.h>
#include <sqlite3.h>

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct fixture {
    struct scratch s;
    char url[1100], dir[300];
    struct engine g;
    struct secret key;
    struct backup_result made;
    struct backup_read r;
    struct err e;
};

static void sql(struct fixture *f, const char *text)
{
    sqlite3 *db;
    char *why = NULL;

    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", text, why);
    sqlite3_close(db);
}

static const char content[] =
    "INSERT INTO migration_batches (id, batch_id, total_files) VALUES ('B', 'b-1', 2), ('C', "
    "'c-2', 1);"
    "INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key, file_size, "
    "status,"
    " error_message) VALUES"
    " ('m1', 'b-1', 'f1', CAST(x'612fff62' AS TEXT), 'k\"}],\"tables\":{\\', 9223372036854775807, "
    "'completed', ''),"
    " ('m2', 'b-1', 'f2', x'00ff00', 'k2', 12.5, 'failed', NULL),"
    " ('m3', 'c-2', 'f3', 'a' || char(0) || 'b', 'k3', 3, 'pending', x'');"
    "INSERT INTO files (id, filename, user_id) VALUES ('f1', 'one', 'u1'), ('f2', 'two', 'u2'), "
    "('f3', '3', 'u1');"
    "INSERT INTO blobferry_records (record_id, etag, prior_checksum) VALUES ('m1', 'e1', 3.0);";

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int created;

    assert_non_null(f);
    scratch_init(&f->s);
    snprintf(f->url, sizeof f->url, "sqlite:%s", scratch_path(&f->s, "t.db"));
    snprintf(f->dir, sizeof f->dir, "%s/backups", f->s.dir);
    secret_init(&f->key);
    assert_int_equal(secret_set(&f->key, KEY, 64, NULL), ERR_OK);
    assert_int_equal(
        tracker_open(&f->g.tracker, &(struct tracker_options){.url = f->url, .create = true}, NULL),
        ERR_OK);
    assert_int_equal(tracker_init(f->g.tracker, &created, NULL), ERR_OK);
    sql(f, content);
    f->g.backup_dir = f->dir;
    f->g.run_id = "run-7";
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    clock_set_wall_for_tests(-1);
    tracker_close(f->g.tracker);
    secret_release(&f->key);
    scratch_release(&f->s);
    free(f);
    return 0;
}

static void make(struct fixture *f, const struct tracker_filter *filter, bool sealed)
{
    static const struct tracker_filter all;

    f->g.backup_key = sealed ? &f->key : NULL;
    assert_int_equal(backup_create(&f->g, filter != NULL ? filter : &all, &f->made, NULL), ERR_OK);
}

static enum err_code open_made(struct fixture *f, const char *path)
{
    err_init(&f->e);
    return backup_read_open(&f->r, path, &f->key, &f->e);
}

/* Rows of the dump and of the backup side by side. */
static enum err_code compare(void *user, const char *table, const struct tracker_value *values,
                             size_t n, struct err *e)
{
    struct backup_read *r = user;
    bool more = false;

    assert_int_equal(backup_read_next(r, true, &more, e), ERR_OK);
    assert_true(more);
    assert_string_equal(tracker_table_name(r->table), table);
    assert_int_equal(r->row.n, n);
    for (size_t i = 0; i < n; i++) {
        const struct tracker_value *a = &r->row.values[i], *b = &values[i];
        assert_string_equal(a->column, b->column);
        assert_int_equal(a->type, b->type);
        assert_true(a->integer == b->integer);
        assert_memory_equal(&a->real, &b->real, sizeof a->real);
        assert_int_equal(a->len, b->len);
        assert_memory_equal(a->bytes, b->bytes, a->len);
    }
    return ERR_OK;
}

static void test_backup_read_gives_the_rows_of_the_dump(void **state)
{
    struct fixture *f = *state;
    bool more = true;

    for (int sealed = 0; sealed < 2; sealed++) {
        make(f, NULL, sealed);
        assert_int_equal(open_made(f, f->made.path), ERR_OK);
        assert_int_equal(tracker_dump(f->g.tracker, NULL, compare, &f->r, NULL), ERR_OK);
        assert_int_equal(backup_read_next(&f->r, true, &more, NULL), ERR_OK);
        assert_false(more);
        assert_string_equal(f->r.sha256, f->made.sha256);
        assert_int_equal(f->r.all_rows, 9);
        assert_int_equal(f->r.rows[TRACKER_MIGRATIONS], 3);
        assert_int_equal(f->r.all_rows, f->made.rows);
        assert_int_equal(backup_read_next(&f->r, true, &more, NULL), ERR_OK); /* asked once more */
        assert_false(more);
        backup_read_close(&f->r);
    }
    assert_non_null(strstr(f->made.path, ".json.enc"));
}

static void test_backup_read_tells_the_head(void **state)
{
    struct fixture *f = *state;
    char real[4096];

    clock_set_wall_for_tests(INT64_C(1795262400123));
    make(f,
         &(struct tracker_filter){.batch_id = "b-1",
                                  .user_id = "u\"1",
                                  .has_to = true,
                                  .to_ms = 5,
                                  .statuses = TRACKER_STATUS(FILE_FAILED)},
         false);
    assert_int_equal(open_made(f, f->made.path), ERR_OK);
    assert_string_equal(f->r.head.created, "2026-11-21T12:00:00.123Z");
    assert_string_equal(f->r.head.run, "run-7");
    assert_non_null(realpath(f->url + strlen("sqlite:"), real));
    assert_true(strncmp(f->r.head.database, "sqlite:", 7) == 0);
    assert_string_equal(f->r.head.database + 7, real);
    assert_string_equal(f->r.head.filter.batch_id, "b-1");
    assert_string_equal(f->r.head.filter.user_id, "u\"1");
    assert_true(f->r.head.filter.has_to && !f->r.head.filter.has_from);
    assert_int_equal(f->r.head.filter.to_ms, 5);
    assert_int_equal(f->r.head.filter.statuses, TRACKER_STATUS(FILE_FAILED));
    assert_int_equal(backup_read_rest(&f->r, NULL), ERR_OK);
    assert_int_equal(f->r.all_rows, 0);
    backup_read_close(&f->r);
}

static char *load(const char *path, size_t *n)
{
    FILE *file = fopen(path, "r");
    char *text = malloc(1 << 20);

    assert_non_null(file);
    assert_non_null(text);
    *n = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

static enum err_code read_text(struct fixture *f, const char *text, size_t n, bool parse)
{
    FILE *file;
    enum err_code code;
    bool more = true;

    unlink(scratch_path(&f->s, "damaged.json")); /* truncating would make ext4 wait for the disk */
    file = fopen(scratch_path(&f->s, "damaged.json"), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
    code = open_made(f, scratch_path(&f->s, "damaged.json"));
    while (code == ERR_OK && more)
        code = backup_read_next(&f->r, parse, &more, &f->e);
    backup_read_close(&f->r);
    return code;
}

static void check_refused(struct fixture *f, const char *text, size_t n)
{
    for (int parse = 0; parse < 2; parse++) {
        const enum err_code code = read_text(f, text, n, parse);
        assert_true(code == ERR_CONFLICT || code == ERR_PARSE || code == ERR_CONFIG);
        assert_int_equal(f->e.code, code);
    }
}

static void test_backup_read_refuses_every_altered_byte(void **state)
{
    struct fixture *f = *state;
    size_t n;
    char *text;

    for (int sealed = 0; sealed < 2; sealed++) {
        make(f, &(struct tracker_filter){.batch_id = "c-2"}, sealed);
        text = load(f->made.path, &n);
        assert_int_equal(read_text(f, text, n, true), ERR_OK);
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 1;
            check_refused(f, text, n);
            text[i] = (char)(text[i] ^ 1 ^ 0x20);
            check_refused(f, text, n);
            text[i] ^= 0x20;
        }
        free(text);
    }
}

static void test_backup_read_refuses_every_cut_and_any_more(void **state)
{
    struct fixture *f = *state;
    size_t n;
    char *text;

    make(f, &(struct tracker_filter){.batch_id = "c-2"}, false);
    text = load(f->made.path, &n);
    for (size_t cut = 0; cut < n; cut++)
        check_refused(f, text, cut);
    memcpy(text + n, "\n", 1);
    check_refused(f, text, n + 1);
    memcpy(text + n, text, n);
    check_refused(f, text, 2 * n);
    free(text);
}

static void test_backup_read_says_what_is_wrong(void **state)
{
    struct fixture *f = *state;
    struct backup_result found;
    size_t n;
    char *text;

    assert_int_equal(read_text(f, "", 0, true), ERR_PARSE);
    assert_int_equal(read_text(f, "{\"a\":1}\n", 8, true), ERR_PARSE);
    assert_non_null(strstr(f->e.message, "no backup of blobferry's"));
    assert_int_equal(open_made(f, scratch_path(&f->s, "absent")), ERR_FILE_MISSING);
    backup_read_close(&f->r);
    make(f, NULL, false);
    text = load(f->made.path, &n);
    assert_int_equal(read_text(f, text, n - 10, true), ERR_CONFLICT);
    assert_non_null(strstr(f->e.message, "truncated or has been altered"));
    free(text);
    assert_int_equal(backup_check(f->made.path, &found, NULL), ERR_OK);
    assert_string_equal(found.sha256, f->made.sha256);
    assert_int_equal(found.bytes, f->made.bytes);
    assert_int_equal(found.rows, 9);
    make(f, NULL, true);
    assert_int_equal(backup_check(f->made.path, &found, &f->e), ERR_CONFIG); /* it has no key */
}

/* Whoever makes a document of his own with a right sum still gives only rows of our tables. */
static void test_backup_read_takes_only_our_tables(void **state)
{
    static const char front[] = "{\"format\":\"blobferry-backup\",\"version\":1,\"tables\":{"
                                "\"sqlite_schema\":[{\"id\":1}]}";
    struct fixture *f = *state;
    char text[500], sum[65];

    digest_sha256_hex(front, strlen(front), sum);
    snprintf(text, sizeof text, "%s,\"sha256\":\"%s\"}\n", front, sum);
    assert_int_equal(read_text(f, text, strlen(text), true), ERR_PARSE);
    assert_non_null(strstr(f->e.message, "sqlite_schema"));
}

static void test_backup_read_wants_the_counts_to_be_true(void **state)
{
    static const struct {
        const char *front;
        enum err_code code;
    } cases[] = {
        {"\"tables\":{},\"counts\":{}", ERR_OK},
        {"\"tables\":{}", ERR_OK},
        {"\"tables\":{\"files\":[]},\"counts\":{\"files\":0}", ERR_OK},
        {"\"tables\":{\"files\":[{\"id\":1},{\"id\":2}]},\"counts\":{\"files\":2}", ERR_OK},
        {"\"tables\":{\"files\":[{\"id\":1}]},\"counts\":{\"files\":2}", ERR_CONFLICT},
        {"\"tables\":{\"files\":[{\"id\":1}]},\"counts\":{}", ERR_CONFLICT},
        {"\"tables\":{\"files\":[{\"id\":1}]},\"rows\":0", ERR_CONFLICT},
        {"\"tables\":{\"files\":[{\"id\":1} ]}", ERR_CONFLICT},
        {"\"tables\":[]", ERR_CONFLICT},
        {"\"tables\":{\"files\":[7]}", ERR_PARSE},
        {"\"tables\":{\"files\":[{\"id\":]}", ERR_PARSE},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char front[500], text[700], sum[65];
        snprintf(front, sizeof front, "{\"format\":\"blobferry-backup\",\"version\":1,%s",
                 cases[i].front);
        digest_sha256_hex(front, strlen(front), sum);
        snprintf(text, sizeof text, "%s,\"sha256\":\"%s\"}\n", front, sum);
        assert_int_equal(read_text(f, text, strlen(text), true), cases[i].code);
    }
}

static void test_backup_read_rows_of_megabytes(void **state)
{
    struct fixture *f = *state;

    sql(f, "UPDATE file_migrations SET error_message = replace(hex(zeroblob(1000000)), '00', "
           "'a\"\\') WHERE id = 'm2';"
           "UPDATE file_migrations SET error_message = zeroblob(6000000) WHERE id = 'm1'");
    for (int sealed = 0; sealed < 2; sealed++) {
        bool more = true;
        make(f, NULL, sealed);
        assert_true(f->made.bytes > 10000000);
        assert_int_equal(open_made(f, f->made.path), ERR_OK);
        assert_int_equal(tracker_dump(f->g.tracker, NULL, compare, &f->r, NULL), ERR_OK);
        assert_int_equal(backup_read_next(&f->r, true, &more, NULL), ERR_OK);
        assert_false(more);
        backup_read_close(&f->r);
    }
}

/* P12: what could not be read back is not made. */
static void test_backup_is_refused_when_a_row_is_too_large_to_come_back(void **state)
{
    static const struct tracker_filter all;
    struct fixture *f = *state;
    struct err e;

    sql(f, "UPDATE file_migrations SET error_message = zeroblob(49000000) WHERE id = 'm1'");
    make(f, NULL, false);
    sql(f, "UPDATE file_migrations SET error_message = zeroblob(51000000) WHERE id = 'm1'");
    unlink(f->made.path);
    err_init(&e);
    assert_int_equal(backup_create(&f->g, &all, &f->made, &e), ERR_LIMIT);
    assert_int_equal(rmdir(f->dir), 0); /* nothing was left in it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backup_read_gives_the_rows_of_the_dump),
        TEST(test_backup_read_tells_the_head),
        TEST(test_backup_read_refuses_every_altered_byte),
        TEST(test_backup_read_refuses_every_cut_and_any_more),
        TEST(test_backup_read_says_what_is_wrong),
        TEST(test_backup_read_takes_only_our_tables),
        TEST(test_backup_read_wants_the_counts_to_be_true),
        TEST(test_backup_read_rows_of_megabytes),
        TEST(test_backup_is_refused_when_a_row_is_too_large_to_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
