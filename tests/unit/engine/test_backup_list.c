/* What lies in the backup folder: engine/backup_info, backup_list, backup_prune, backup_take. */
#include "migrate_world.h"

#include "blobferry/engine/backup.h"

#include <dirent.h>

#define NOW  INT64_C(1795262400000) /* 2026-11-21T12:00:00Z */
#define HOUR INT64_C(3600000)
#define KEY  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct fixture {
    struct world w;
    struct secret key;
    char seen[40][300]; /* name and what was told */
    size_t len;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    world_open(&f->w);
    secret_init(&f->key);
    assert_int_equal(secret_set(&f->key, KEY, 64, NULL), ERR_OK);
    world_row(&f->w, (struct world_row){.id = "r1", .path = "a.txt"});
    world_row(&f->w, (struct world_row){.id = "r2", .batch = "c", .path = "b.txt"});
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    clock_set_wall_for_tests(-1);
    process_stop_for_tests(0);
    secret_release(&f->key);
    world_close(&f->w);
    free(f);
    return 0;
}

static struct backup_result made_at(struct fixture *f, int64_t ms, bool sealed)
{
    static const struct tracker_filter b = {.batch_id = "b"};
    struct backup_result made;

    clock_set_wall_for_tests(ms);
    f->w.g.backup_key = sealed ? &f->key : NULL;
    assert_int_equal(backup_create(&f->w.g, &b, &made, NULL), ERR_OK);
    f->w.g.backup_key = &f->key;
    clock_set_wall_for_tests(NOW);
    return made;
}

static const char *name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static enum err_code on_info(void *user, const struct backup_info *i, struct err *e)
{
    struct fixture *f = user;
    (void)e;

    snprintf(f->seen[f->len++], sizeof f->seen[0], "%s %s %lld rows%s", name_of(i->path),
             i->whole ? "whole" : err_code_name(i->fault), (long long)i->rows,
             i->encrypted ? " encrypted" : "");
    assert_true(i->whole == (i->problem[0] == '\0'));
    return ERR_OK;
}

static void on_fate(void *user, const struct backup_info *i, enum backup_fate fate,
                    const struct err *why)
{
    static const char *const fates[] = {"kept", "unknown", "due", "removed", "failed"};
    struct fixture *f = user;

    assert_true(fate != BACKUP_FAILED || why->code != ERR_OK);
    snprintf(f->seen[f->len++], sizeof f->seen[0], "%s %s", name_of(i->path), fates[fate]);
}

static void write_in(struct fixture *f, const char *name, const char *text)
{
    world_write(f->w.backups, name, text, strlen(text));
}

static int entries(const char *dir)
{
    int n = -2;
    DIR *d = opendir(dir);

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void test_backup_list_tells_every_backup_in_order_of_time(void **state)
{
    static const char *const wanted[] = {
        "migration_backup_20200101_000000.json parse 0 rows",
        "migration_backup_20261121_110000.json whole 4 rows",
        "migration_backup_20261121_110000-2.json whole 4 rows",
        "migration_backup_20261121_110000-10.json conflict 0 rows",
        "migration_backup_20261121_120000.json.enc whole 4 rows encrypted",
        "migration_backup_20261121_130000.json file_type 0 rows",
    };
    struct fixture *f = *state;
    struct backup_result r;
    char path[600];

    made_at(f, NOW - HOUR, false);
    made_at(f, NOW - HOUR, false);
    r = made_at(f, NOW, true);
    assert_int_equal(truncate(r.path, r.bytes), 0);
    write_in(f, "migration_backup_20261121_110000-10.json",
             "{\"format\":\"blobferry-backup\",\"version\":1,\"cr");
    write_in(f, "migration_backup_20200101_000000.json", "somebody else's");
    write_in(f, "README.md", "no backup");
    write_in(f, "migration_backup_x.txt", "no backup");
    snprintf(path, sizeof path, "%s/migration_backup_20261121_130000.json", f->w.backups);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(backup_list_each(f->w.backups, &f->key, on_info, f, NULL), ERR_OK);
    assert_int_equal(f->len, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(f->seen[i], wanted[i]);
    f->len = 0;
    assert_int_equal(backup_list_each(f->w.backups, NULL, on_info, f, NULL), ERR_OK);
    assert_string_equal(f->seen[4],
                        "migration_backup_20261121_120000.json.enc config 0 rows encrypted");
}

static void test_backup_list_of_no_folder_is_empty(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(backup_list_each("/nonexistent/folder", NULL, on_info, f, NULL), ERR_OK);
    assert_int_equal(f->len, 0);
    assert_int_equal(backup_list_each("/dev/null", NULL, on_info, f, NULL), ERR_FILE_TYPE);
}

static void test_backup_info_says_what_a_backup_holds(void **state)
{
    struct fixture *f = *state;
    struct backup_result r = made_at(f, NOW - HOUR, false);
    struct backup_info i;

    assert_int_equal(backup_info_read(&i, r.path, NULL, NULL), ERR_OK);
    assert_true(i.whole);
    assert_string_equal(i.created, "2026-11-21T11:00:00.000Z");
    assert_string_equal(i.sha256, r.sha256);
    assert_string_equal(i.head.run, f->w.run_id);
    assert_string_equal(i.head.filter.batch_id, "b");
    assert_int_equal(i.tables[TRACKER_BATCHES], 1);
    assert_int_equal(i.tables[TRACKER_MIGRATIONS], 1);
    assert_int_equal(i.tables[TRACKER_FILES], 1);
    assert_int_equal(i.bytes, r.bytes);
    backup_info_release(&i);
    r = made_at(f, NOW, true);
    assert_int_equal(backup_info_read(&i, r.path, NULL, NULL), ERR_OK);
    assert_false(i.whole);
    assert_true(i.encrypted);
    assert_int_equal(i.fault, ERR_CONFIG);
    assert_string_equal(i.created, "2026-11-21T12:00:00.000Z");
    assert_int_equal(strlen(i.key_id), 16);
    backup_info_release(&i);
    assert_int_equal(backup_info_read(&i, "/nonexistent", NULL, NULL), ERR_FILE_MISSING);
    backup_info_release(&i);
}

static void prune(struct fixture *f, int64_t older, bool confirm, struct backup_prune_result *out,
                  enum err_code wanted)
{
    const struct backup_prune_options o = {
        .older_than_ms = older, .now_ms = NOW, .confirm = confirm};

    f->len = 0;
    assert_int_equal(backup_prune(&f->w.g, &o, on_fate, f, out, &f->w.e), wanted);
}

static void test_backup_prune_removes_only_old_whole_backups_of_ours(void **state)
{
    struct fixture *f = *state;
    struct backup_prune_result out;
    struct backup_result damaged;
    char path[600];

    made_at(f, NOW - 48 * HOUR, false);
    made_at(f, NOW - 24 * HOUR, true); /* exactly as old as asked */
    made_at(f, NOW - 24 * HOUR + 1, false);
    made_at(f, NOW + HOUR, false); /* a clock was wrong */
    damaged = made_at(f, NOW - 72 * HOUR, false);
    assert_int_equal(truncate(damaged.path, damaged.bytes - 1), 0);
    write_in(f, "migration_backup_20200101_000000.json", "somebody else's");
    write_in(f, "other.json", "not even named like one");
    snprintf(path, sizeof path, "%s/migration_backup_20200102_000000.json", f->w.backups);
    assert_int_equal(symlink("migration_backup_20261119_120000.json", path), 0);

    prune(f, 24 * HOUR, false, &out, ERR_OK);
    assert_int_equal(out.due, 2);
    assert_int_equal(out.kept, 2);
    assert_int_equal(out.unknown, 3); /* the symlink as well: it is not the backup */
    assert_int_equal(out.removed, 0);
    assert_int_equal(entries(f->w.backups), 8);
    assert_int_equal(world_audit(&f->w, "prune_intent", NULL), 0);

    prune(f, 24 * HOUR, true, &out, ERR_OK);
    assert_int_equal(out.removed, 2);
    assert_int_equal(entries(f->w.backups), 6);
    assert_string_equal(f->seen[0], "migration_backup_20200101_000000.json unknown");
    assert_string_equal(f->seen[1], "migration_backup_20200102_000000.json unknown");
    assert_string_equal(f->seen[2], "migration_backup_20261118_120000.json unknown");
    assert_string_equal(f->seen[3], "migration_backup_20261119_120000.json removed");
    assert_string_equal(f->seen[4], "migration_backup_20261120_120000.json kept");
    assert_string_equal(f->seen[5], "migration_backup_20261120_120000.json.enc removed");
    assert_int_equal(world_audit(&f->w, "prune_intent", NULL), 2);
    assert_int_equal(world_audit(&f->w, "prune_outcome", "\"success\":true"), 2);
    prune(f, 24 * HOUR, true, &out, ERR_OK);
    assert_int_equal(out.removed, 0);
}

static void test_backup_prune_keeps_what_it_has_no_key_for(void **state)
{
    struct fixture *f = *state;
    struct backup_prune_result out;

    made_at(f, NOW - 48 * HOUR, true);
    f->w.g.backup_key = NULL;
    prune(f, HOUR, true, &out, ERR_OK);
    assert_int_equal(out.unknown, 1);
    assert_int_equal(entries(f->w.backups), 1);
}

/* Removed by somebody else between the look and the removal. */
static void vanish(void *user, const struct backup_info *i, enum backup_fate fate,
                   const struct err *why)
{
    (void)why;
    on_fate(user, i, fate, why);
    if (fate == BACKUP_KEPT || fate == BACKUP_REMOVED) { /* the next one changes now */
        struct fixture *f = user;
        char path[600];
        snprintf(path, sizeof path, "%s/migration_backup_20261120_120000.json", f->w.backups);
        unlink(path);
    }
}

static void test_backup_prune_goes_on_when_one_cannot_be_removed(void **state)
{
    struct fixture *f = *state;
    struct backup_prune_result out;
    const struct backup_prune_options o = {.older_than_ms = 1, .now_ms = NOW, .confirm = true};

    if (geteuid() ==
        0) { /* no right can be taken from root: let it vanish instead, which is no failure of ours */
        made_at(f, NOW - 48 * HOUR, false);
        made_at(f, NOW - 24 * HOUR, false);
        assert_int_equal(backup_prune(&f->w.g, &o, vanish, f, &out, &f->w.e), ERR_OK);
        assert_int_equal(out.removed, 1);
        assert_int_equal(out.unknown, 1);
        return;
    }
    made_at(f, NOW - 48 * HOUR, false);
    assert_int_equal(chmod(f->w.backups, 0500), 0);
    prune(f, HOUR, true, &out, ERR_PARTIAL);
    assert_int_equal(out.failed, 1);
    assert_int_equal(world_audit(&f->w, "prune_outcome", "\"success\":false"), 1);
    assert_int_equal(chmod(f->w.backups, 0700), 0);
}

static void test_backup_prune_stops_by_a_signal(void **state)
{
    struct fixture *f = *state;
    struct backup_prune_result out;

    made_at(f, NOW - 48 * HOUR, false);
    process_stop_for_tests(SIGINT);
    prune(f, HOUR, true, &out, ERR_CANCELLED);
    assert_int_equal(entries(f->w.backups), 1);
}

static void test_backup_take_is_audited_and_never_empty(void **state)
{
    static const struct tracker_filter none = {.batch_id = "no such"}, all;
    struct fixture *f = *state;
    struct backup_result made;
    struct err e;

    err_init(&e);
    assert_int_equal(backup_take(&f->w.g, &none, &made, &e), ERR_NOTFOUND);
    assert_string_equal(e.message, "No migration records found");
    assert_int_equal(access(f->w.backups, F_OK), -1);
    assert_int_equal(backup_take(&f->w.g, &all, &made, NULL), ERR_OK);
    assert_int_equal(made.rows, 8);
    assert_int_equal(world_audit(&f->w, "backup", made.sha256), 1);
    f->w.g.backup_dir = "/dev/null/x";
    assert_int_not_equal(backup_take(&f->w.g, &all, &made, &e), ERR_OK);
    assert_int_equal(world_audit(&f->w, "backup", "\"success\":false"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backup_list_tells_every_backup_in_order_of_time),
        TEST(test_backup_list_of_no_folder_is_empty),
        TEST(test_backup_info_says_what_a_backup_holds),
        TEST(test_backup_prune_removes_only_old_whole_backups_of_ours),
        TEST(test_backup_prune_keeps_what_it_has_no_key_for),
        TEST(test_backup_prune_goes_on_when_one_cannot_be_removed),
        TEST(test_backup_prune_stops_by_a_signal),
        TEST(test_backup_take_is_audited_and_never_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
