#include "migrate_world.h"

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    if (w == NULL)
        return -1;
    world_open(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static int all_requests(const struct world *w)
{
    int n = 0;
    for (int i = 0; i < TAP_OPS; i++)
        n += w->tap->counts[i];
    return n;
}

/* ---- the happy path -------------------------------------------------------------------------------------- */

static void test_migrate_completes_and_points(void **state)
{
    struct world *w = *state;
    const char *sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    world_file(w, "a.txt", "hello");
    world_file(w, "dir/empty.bin", "");
    world_row(w, (struct world_row){.id = "r1", .path = "a.txt"});
    world_row(w, (struct world_row){.id = "r2", .path = "dir/empty.bin"});
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.completed, 2);
    assert_int_equal(w->result.bytes_sent, 5);
    assert_int_equal(w->events[ENGINE_FILE_DONE], 2);
    assert_string_equal(world_status(w, "r1"), "completed");
    assert_string_equal(world_status(w, "r2"), "completed");
    assert_true(world_same(w, "a.txt", "k/a.txt"));
    assert_true(world_same(w, "dir/empty.bin", "k/dir/empty.bin"));
    assert_string_equal(world_pointer(w, "r1"), "k/a.txt");
    assert_string_equal(world_text(w, "SELECT checksum FROM files WHERE id = 'f-r1'"), sum);
    assert_string_equal(
        world_text(w, "SELECT migrated_checksum FROM file_migrations WHERE id = 'r1'"), sum);
    assert_int_equal(world_number(w, "SELECT file_size FROM file_migrations WHERE id = 'r1'"), 5);
    assert_string_equal(world_own(w, "r1", "object_owner"), "r1");
    assert_string_not_equal(world_own(w, "r1", "etag"), "NULL");
    assert_string_equal(world_own(w, "r1", "lease_owner"), "NULL");
    assert_string_equal(world_text(w, "SELECT status FROM migration_batches"), "completed");
    assert_int_equal(world_audit(w, "upload_intent", NULL), 2);
    assert_int_equal(world_audit(w, "upload_outcome", "\"to\":\"completed\""), 2);
    world_check(w);
}

static void test_migrate_rerun_does_nothing(void **state)
{
    struct world *w = *state;
    int before, changes;

    world_file(w, "a.txt", "hello");
    world_row(w, (struct world_row){.id = "r1", .path = "a.txt"});
    assert_int_equal(world_migrate(w), ERR_OK);
    before = all_requests(w);
    changes = world_number(w, "SELECT sum(seq) FROM blobferry_heads");
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(all_requests(w), before);
    assert_int_equal(world_number(w, "SELECT sum(seq) FROM blobferry_heads"), changes);
    assert_int_equal(w->result.completed, 0);
    world_check(w);
}

static void test_migrate_three_hundred_files(void **state)
{
    struct world *w = *state;
    char name[64], id[32], key[80];

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "d%d/file %03d é.bin", i % 7, i);
        snprintf(id, sizeof id, "r%03d", i);
        world_big(w, name, (size_t)i * 97);
        world_row(w, (struct world_row){.id = id, .path = name});
    }
    w->o.concurrency = 16;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.completed, 300);
    assert_int_equal(w->tap->counts[TAP_PUT], 300);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "d%d/file %03d é.bin", i % 7, i);
        snprintf(key, sizeof key, "k/%s", name);
        assert_true(world_same(w, name, key));
    }
    assert_int_equal(world_number(w, "SELECT count(*) FROM files WHERE r2_key IS NULL"), 0);
    world_check(w);
}

static void test_migrate_sends_big_files_in_parts(void **state)
{
    struct world *w = *state;

    world_big(w, "big.bin", (size_t)12 << 20);
    world_big(w, "middle.bin", ((size_t)5 << 20) - 1);
    world_row(w, (struct world_row){.id = "r1", .path = "big.bin", .size = 12 << 20});
    world_row(w, (struct world_row){.id = "r2", .path = "middle.bin"});
    w->o.part_size = 5 << 20;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_true(world_same(w, "big.bin", "k/big.bin"));
    assert_true(world_same(w, "middle.bin", "k/middle.bin"));
    assert_int_equal(world_audit(w, "upload_begin", NULL), 1);
    assert_string_equal(world_own(w, "r1", "upload_id"), "NULL");
    world_check(w);
}

static void test_migrate_compares_recorded_checksums(void **state)
{
    struct world *w = *state;

    world_file(w, "a", "hello");
    world_row(w, (struct world_row){.id = "md5",
                                    .path = "a",
                                    .key = "k/1",
                                    .checksum = "5D41402ABC4B2A76B9719D911017C592"});
    world_row(
        w, (struct world_row){
               .id = "rails", .path = "a", .key = "k/2", .checksum = "XUFAKrxLKna5cZ2REBfFkg=="});
    world_row(w, (struct world_row){.id = "sha1",
                                    .path = "a",
                                    .key = "k/3",
                                    .checksum = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"});
    world_row(w, (struct world_row){.id = "wrong",
                                    .path = "a",
                                    .key = "k/4",
                                    .checksum = "00000000000000000000000000000000"});
    world_row(w, (struct world_row){.id = "odd", .path = "a", .key = "k/5", .checksum = "crc:12"});
    world_row(w, (struct world_row){.id = "size", .path = "a", .key = "k/6", .size = 6});
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_status(w, "md5"), "completed");
    assert_string_equal(world_status(w, "rails"), "completed");
    assert_string_equal(world_status(w, "sha1"), "completed");
    assert_string_equal(world_status(w, "wrong"), "failed");
    assert_non_null(strstr(world_error(w, "wrong"), "recorded checksum"));
    assert_string_equal(world_own(w, "wrong", "error_class"), "file_changed");
    assert_string_equal(world_status(w, "odd"), "failed");
    assert_non_null(strstr(world_error(w, "odd"), "no known form"));
    assert_string_equal(world_status(w, "size"), "failed");
    assert_non_null(strstr(world_error(w, "size"), "5 bytes, its record says 6"));
    assert_false(world_has_object(w, "k/4"));
    assert_false(world_has_object(w, "k/5"));
    assert_false(world_has_object(w, "k/6"));
    assert_int_equal(w->result.failed, 3);
    world_check(w);
}

/* ---- refusals ----------------------------------------------------------------------------------------------- */

static void test_migrate_refuses_bad_sources_and_goes_on(void **state)
{
    struct world *w = *state;
    char path[400];

    world_file(w, "good", "x");
    snprintf(path, sizeof path, "%s/fifo", w->source);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/link", w->source);
    assert_int_equal(symlink("good", path), 0);
    world_row(w, (struct world_row){.id = "good", .path = "good"});
    world_row(w, (struct world_row){.id = "missing", .path = "not/there"});
    world_row(w, (struct world_row){.id = "fifo", .path = "fifo"});
    world_row(w, (struct world_row){.id = "link", .path = "link"});
    world_row(w, (struct world_row){.id = "outside", .path = "../app.db", .key = "k/db"});
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_int_equal(w->result.completed, 1);
    assert_int_equal(w->result.failed, 4);
    assert_string_equal(world_own(w, "missing", "error_class"), "file_missing");
    assert_string_equal(world_own(w, "fifo", "error_class"), "file_type");
    assert_string_equal(world_own(w, "link", "error_class"), "file_type");
    assert_string_equal(world_own(w, "outside", "error_class"), "file_outside");
    assert_string_equal(world_text(w, "SELECT status FROM migration_batches"), "partial");
    assert_non_null(strstr(w->e.hint, "--retry-failed"));
    world_check(w);
}

static void test_migrate_refuses_bad_keys_and_pointers(void **state)
{
    struct world *w = *state;

    world_file(w, "a", "x");
    world_row(w, (struct world_row){.id = "good", .path = "a"});
    world_row(w, (struct world_row){.id = "dots", .path = "a", .key = "k/../x"});
    world_row(w, (struct world_row){.id = "points", .path = "a", .key = "k/p"});
    world_row(w, (struct world_row){.id = "same", .path = "a", .key = "k/s"});
    world_row(w, (struct world_row){.id = "blob", .path = "a", .key = "k/blob"});
    world_sql(w, "UPDATE files SET r2_key = 'elsewhere' WHERE id = 'f-points'");
    world_sql(w, "UPDATE files SET r2_key = 'k/s' WHERE id = 'f-same'");
    world_sql(w, "UPDATE file_migrations SET source_path = x'0001' WHERE id = 'blob'");
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_status(w, "dots"), "failed");
    assert_string_equal(world_status(w, "points"), "failed");
    assert_non_null(strstr(world_error(w, "points"), "points at 'elsewhere' already"));
    assert_string_equal(world_pointer(w, "points"), "elsewhere");
    assert_string_equal(world_status(w, "same"), "completed");
    assert_string_equal(world_status(w, "blob"), "failed");
    assert_false(world_has_object(w, "k/p"));
    world_check(w);
}

static void test_migrate_refuses_keys_outside_of_the_prefix(void **state)
{
    struct world *w = *state;

    world_file(w, "a", "x");
    world_row(w, (struct world_row){.id = "in", .path = "a", .key = "app/a"});
    world_row(w, (struct world_row){.id = "out", .path = "a", .key = "other/a"});
    free(w->tap->base.prefix);
    w->tap->base.prefix = str_dup("app/");
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_status(w, "in"), "completed");
    assert_string_equal(world_status(w, "out"), "failed");
    assert_string_equal(world_own(w, "out", "error_class"), "refused");
}

static void test_migrate_wants_a_batch_that_is_there(void **state)
{
    struct world *w = *state;

    assert_int_equal(world_migrate(w), ERR_NOTFOUND);
    assert_non_null(strstr(w->e.message, "batch 'b' not found"));
    w->o.batch_count = 0;
    assert_int_equal(migrate_run(&w->g, &w->o, &w->result, &w->e), ERR_NOTFOUND);
    assert_int_equal(all_requests(w), 0);
}

static void test_migrate_all_takes_every_batch(void **state)
{
    struct world *w = *state;
    char batch[16], id[16];

    world_file(w, "a", "x");
    for (int i = 0; i < 20; i++) { /* more than one window */
        snprintf(batch, sizeof batch, "b%02d", i);
        snprintf(id, sizeof id, "r%02d", i);
        world_row(w, (struct world_row){.id = id, .batch = batch, .path = "a", .key = id});
    }
    assert_int_equal(migrate_run(&w->g, &w->o, &w->result, &w->e), ERR_OK);
    assert_int_equal(w->result.completed, 20);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM migration_batches WHERE status <> 'completed'"), 0);
    world_check(w);
}

static void test_migrate_retries_failed_files_only_when_asked(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "late"});
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    world_file(w, "late", "now");
    assert_int_equal(world_migrate(w), ERR_PARTIAL); /* failed from before: not a success */
    assert_int_equal(w->result.failed, 0);
    assert_string_equal(world_status(w, "r1"), "failed");
    w->o.retry_failed = true;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_true(world_same(w, "late", "k/late"));
    assert_string_equal(world_error(w, "r1"), "NULL");
    assert_int_equal(world_migrate(w), ERR_OK);
    world_check(w);
}

static void test_migrate_retry_takes_each_failed_file_once(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "never"});
    world_row(w, (struct world_row){.id = "r2", .path = "never2"});
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    w->o.retry_failed = true;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_int_equal(w->result.failed, 2);
    assert_string_equal(world_own(w, "r1", "attempts"), "2");
}

static void test_migrate_leaves_rolled_back_files_unless_again(void **state)
{
    struct world *w = *state;

    world_file(w, "a", "x");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_sql(w, "UPDATE file_migrations SET status = 'rolled_back'");
    assert_int_equal(world_migrate(w), ERR_NOTFOUND);
    assert_non_null(strstr(w->e.hint, "--again"));
    assert_int_equal(all_requests(w), 0);
    w->o.again = true;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_string_equal(world_status(w, "r1"), "completed");
    world_check(w);
}

/* ---- limits ---------------------------------------------------------------------------------------------------- */

static void test_migrate_stops_after_max_failures(void **state)
{
    struct world *w = *state;
    char id[16];

    world_file(w, "z", "x");
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "r%d", i);
        world_row(w, (struct world_row){.id = id, .path = "gone", .key = id});
    }
    w->o.max_failures = 3;
    w->o.concurrency = 1;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_true(w->result.failed >= 3 && w->result.failed < 10);
    assert_int_equal(w->result.failed + w->result.released, 10);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM file_migrations WHERE status = 'pending'"),
        (int)w->result.released);
    world_check(w);
}

static bool put_wants_stop(struct tap *t, enum tap_op op, const char *key,
                           struct objstore_result *r)
{
    (void)key;
    (void)r;
    if (op == TAP_PUT && t->counts[TAP_PUT] == 3)
        process_stop_for_tests(15);
    return false;
}

static void test_migrate_stops_cleanly_on_a_signal(void **state)
{
    struct world *w = *state;
    char id[16];

    world_file(w, "a", "x");
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof id, "r%02d", i);
        world_row(w, (struct world_row){.id = id, .path = "a", .key = id});
    }
    w->o.concurrency = 2;
    w->tap->before = put_wants_stop;
    assert_int_equal(world_migrate(w), ERR_CANCELLED);
    process_stop_for_tests(0);
    assert_true(w->result.completed >= 3); /* what was in flight has ended */
    assert_int_equal(w->result.completed + w->result.released, 30);
    assert_int_equal(w->result.failed, 0);
    world_check(w);
    w->tap->before = NULL;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->tap->counts[TAP_PUT], 30); /* none twice */
    world_check(w);
}

/* ---- watching ---------------------------------------------------------------------------------------------- */

static struct world *watched;

/* Asked again and again by the engine: brings the second batch when the first is done, and stops after it. */
static bool stop_after_the_second(void)
{
    if (world_number(watched, "SELECT count(*) FROM file_migrations WHERE batch_id = 'late'") ==
        0) {
        if (str_eq(world_status(watched, "r1"), "completed"))
            world_row(watched, (struct world_row){.id = "r2", .batch = "late", .path = "a"});
        return false;
    }
    return str_eq(world_status(watched, "r2"), "completed");
}

static void test_migrate_watch_waits_for_new_work(void **state)
{
    struct world *w = *state;

    watched = w;
    world_file(w, "a", "x");
    world_row(w, (struct world_row){.id = "r1", .path = "a", .key = "k/1"});
    w->g.stopping = stop_after_the_second;
    w->o.watch = true;
    assert_int_equal(migrate_run(&w->g, &w->o, &w->result, &w->e), ERR_CANCELLED);
    assert_int_equal(w->result.completed, 2);
    assert_string_equal(world_status(w, "r2"), "completed");
    world_check(w);
}

/* --all looks at so many batches in a round; the others come after. */
static void test_migrate_all_of_many_batches(void **state)
{
    struct world *w = *state;
    char id[16], batch[16], key[16];
    enum { BATCHES = 150 };

    world_file(w, "a", "x");
    for (int i = 0; i < BATCHES; i++) {
        snprintf(id, sizeof id, "r%03d", i);
        snprintf(batch, sizeof batch, "b%03d", i);
        snprintf(key, sizeof key, "k/%03d", i);
        world_row(w, (struct world_row){.id = id, .batch = batch, .path = "a", .key = key});
    }
    w->o.batch_count = 0;
    assert_int_equal(migrate_run(&w->g, &w->o, &w->result, &w->e), ERR_OK);
    assert_int_equal(w->result.completed, BATCHES);
    assert_int_equal(world_number(w, "SELECT count(*) FROM migration_batches WHERE status ="
                                     " 'completed'"),
                     BATCHES);
    world_check(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_migrate_all_of_many_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_completes_and_points, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_rerun_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_three_hundred_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_sends_big_files_in_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_compares_recorded_checksums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_refuses_bad_sources_and_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_migrate_refuses_bad_keys_and_pointers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_migrate_refuses_keys_outside_of_the_prefix, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_migrate_wants_a_batch_that_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_all_takes_every_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_retries_failed_files_only_when_asked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_migrate_retry_takes_each_failed_file_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_migrate_leaves_rolled_back_files_unless_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_migrate_stops_after_max_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_stops_cleanly_on_a_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migrate_watch_waits_for_new_work, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
