#include "migrate_world.h"

struct verified {
    struct world w;
    struct verify_options o;
    struct verify_result out;
};

static int setup(void **state)
{
    struct verified *v = calloc(1, sizeof *v);

    if (v == NULL)
        return -1;
    world_open(&v->w);
    world_file(&v->w, "a", "hello");
    world_file(&v->w, "b", "world!");
    world_row(&v->w, (struct world_row){.id = "r1", .path = "a"});
    world_row(&v->w, (struct world_row){.id = "r2", .path = "b"});
    v->o.batch_id = "b";
    *state = v;
    return 0;
}

static int teardown(void **state)
{
    struct verified *v = *state;
    world_close(&v->w);
    free(v);
    return 0;
}

static enum err_code run(struct verified *v)
{
    err_init(&v->w.e);
    return verify_run(&v->w.g, &v->o, &v->out, &v->w.e);
}

static void migrated(struct verified *v)
{
    assert_int_equal(world_migrate(&v->w), ERR_OK);
    memset(v->w.tap->counts, 0, sizeof v->w.tap->counts);
}

static void object_gone(struct world *w, const char *key)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", w->store, key);
    assert_int_equal(unlink(path), 0);
}

static void test_verify_good_files_become_verified(void **state)
{
    struct verified *v = *state;
    int heads;

    migrated(v);
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->out.checked, 2);
    assert_int_equal(v->out.newly_verified, 2);
    assert_string_equal(world_status(&v->w, "r1"), "verified");
    assert_int_equal(v->w.tap->counts[TAP_STAT], 2);
    assert_int_equal(v->w.tap->counts[TAP_GET], 0);
    assert_int_equal(world_number(&v->w, "SELECT verified_files FROM migration_batches"), 2);
    assert_int_equal(world_audit(&v->w, "verify_outcome", "\"to\":\"verified\""), 2);
    world_check(&v->w);
    /* again: looks, and changes nothing */
    heads = world_number(&v->w, "SELECT sum(seq) FROM blobferry_heads");
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->out.verified, 2);
    assert_int_equal(v->out.newly_verified, 0);
    assert_int_equal(world_number(&v->w, "SELECT sum(seq) FROM blobferry_heads"), heads);
    assert_int_equal(world_audit(&v->w, "verify_outcome", NULL), 2);
}

static void test_verify_deep_reads_the_bytes(void **state)
{
    struct verified *v = *state;

    migrated(v);
    v->o.deep = true;
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->out.bytes, 11);
    assert_int_equal(v->w.tap->counts[TAP_GET], 2);
    assert_int_equal(v->w.tap->counts[TAP_STAT], 0);
    assert_int_equal(v->out.newly_verified, 2);
}

static void test_verify_missing_object_fails_and_frees_the_pointer(void **state)
{
    struct verified *v = *state;

    migrated(v);
    object_gone(&v->w, "k/a");
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.missing, 1);
    assert_int_equal(v->out.verified, 1);
    assert_string_equal(world_status(&v->w, "r1"), "failed");
    assert_string_equal(world_own(&v->w, "r1", "error_class"), "not_found");
    assert_string_equal(world_pointer(&v->w, "r1"), "NULL");
    assert_string_equal(world_text(&v->w, "SELECT checksum FROM files WHERE id = 'f-r1'"), "NULL");
    assert_string_equal(world_pointer(&v->w, "r2"), "k/b");
    world_check(&v->w);
    v->w.o.retry_failed = true; /* and it can be sent again */
    assert_int_equal(world_migrate(&v->w), ERR_OK);
    assert_string_equal(world_pointer(&v->w, "r1"), "k/a");
    assert_int_equal(run(v), ERR_OK);
}

static void test_verify_other_bytes_are_found(void **state)
{
    struct verified *v = *state;

    migrated(v);
    world_write(v->w.store, "k/a", "jello", 5);
    world_write(v->w.store, "k/b", "longer than it was", 18);
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.different, 2);
    assert_string_equal(world_status(&v->w, "r1"), "failed");
    assert_string_equal(world_own(&v->w, "r1", "error_class"), "store_corrupt");
    assert_string_equal(world_pointer(&v->w, "r1"), "NULL");
    assert_int_equal(v->w.tap->counts[TAP_GET], 1); /* another size needs no reading */
    world_check(&v->w);
}

static void test_verify_same_bytes_written_anew_are_good(void **state)
{
    struct verified *v = *state;

    migrated(v);
    object_gone(&v->w, "k/a");
    world_write(v->w.store, "k/a", "hello", 5); /* another ETag, no metadata */
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->w.tap->counts[TAP_GET], 1);
    assert_string_equal(world_status(&v->w, "r1"), "verified");
}

static void flip_under_the_same_name(struct world *w, const char *key)
{
    char path[700];
    struct stat st;
    int fd;

    snprintf(path, sizeof path, "%s/%s", w->store, key);
    assert_int_equal(stat(path, &st), 0);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "#", 1, 0), 1);
    assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
    close(fd);
}

static void test_verify_deep_finds_silent_corruption(void **state)
{
    struct verified *v = *state;

    migrated(v);
    flip_under_the_same_name(&v->w, "k/a");
    assert_int_equal(run(v), ERR_OK); /* the store's words are unchanged */
    v->o.deep = true;
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.different, 1);
    assert_string_equal(world_status(&v->w, "r1"), "failed");
    assert_string_equal(world_pointer(&v->w, "r1"), "NULL");
    world_check(&v->w);
}

static void test_verify_rows_of_another_tool(void **state)
{
    struct verified *v = *state;
    struct world *w = &v->w;

    /* r1: SHA-256; r2: only the MD5 of the original; r3: nothing; r4: gone */
    world_row(w, (struct world_row){.id = "r3", .path = "c"});
    world_row(w, (struct world_row){.id = "r4", .path = "d"});
    world_write(w->store, "k/a", "hello", 5);
    world_write(w->store, "k/b", "world!", 6);
    world_write(w->store, "k/c", "?", 1);
    world_sql(w, "UPDATE file_migrations SET status = 'completed';"
                 "UPDATE files SET r2_key = 'k/' || filename;"
                 "UPDATE file_migrations SET migrated_checksum ="
                 " '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'"
                 " WHERE id IN ('r1', 'r4');"
                 "UPDATE file_migrations SET original_checksum ="
                 " '08cf82251c975a5e9734699fadf5e9c0' WHERE id = 'r2';");
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_string_equal(world_status(w, "r1"), "verified");
    assert_string_equal(world_status(w, "r2"), "verified");
    assert_string_equal(world_status(w, "r3"), "completed");
    assert_int_equal(v->out.errors, 1);
    assert_int_equal(world_audit(w, "verify_outcome", "no checksum is recorded"), 1);
    assert_string_equal(world_status(w, "r4"), "failed");
    assert_string_equal(world_pointer(w, "r4"), "NULL"); /* P3 */
    assert_string_equal(world_pointer(w, "r3"), "k/c");
    world_check(w);
}

static void test_verify_pre_existing_objects(void **state)
{
    struct verified *v = *state;

    world_write(v->w.store, "k/a", "hello", 5);
    migrated(v);
    assert_string_equal(world_own(&v->w, "r1", "pre_existed"), "1");
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->w.tap->counts[TAP_GET], 0); /* size and ETag are as recorded */
    world_check(&v->w);
}

static void test_verify_sources_too(void **state)
{
    struct verified *v = *state;

    migrated(v);
    world_file(&v->w, "b", "changed since");
    v->o.sources = true;
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.errors, 1);
    assert_string_equal(world_status(&v->w, "r1"), "verified");
    assert_string_equal(world_status(&v->w, "r2"), "completed"); /* its object is as recorded */
    assert_string_equal(world_pointer(&v->w, "r2"), "k/b");
    assert_int_equal(world_audit(&v->w, "verify_outcome", "file_changed"), 1);
}

/* ---- what cannot be checked ---------------------------------------------------------------------------------- */

static bool unavailable_a(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    if (op != TAP_STAT || !str_eq(key, "k/a"))
        return false;
    r->outcome = OBJSTORE_UNAVAILABLE;
    r->status = 503;
    err_set(&r->err, ERR_STORE_UNAVAILABLE, "slow down");
    return true;
}

static void test_verify_no_answer_changes_no_row(void **state)
{
    struct verified *v = *state;

    migrated(v);
    v->w.tap->before = unavailable_a;
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.errors, 1);
    assert_string_equal(world_status(&v->w, "r1"), "completed");
    assert_string_equal(world_pointer(&v->w, "r1"), "k/a");
    assert_string_equal(world_status(&v->w, "r2"), "verified");
    world_check(&v->w);
}

static bool denied(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op != TAP_STAT)
        return false;
    r->outcome = OBJSTORE_DENIED;
    r->status = 403;
    err_set(&r->err, ERR_STORE_DENIED, "no");
    return true;
}

static void test_verify_denied_stops(void **state)
{
    struct verified *v = *state;

    migrated(v);
    v->w.tap->before = denied;
    assert_int_equal(run(v), ERR_STORE_DENIED);
    assert_string_equal(world_status(&v->w, "r1"), "completed");
    assert_string_equal(world_pointer(&v->w, "r1"), "k/a");
}

static void test_verify_nothing_is_not_success(void **state)
{
    struct verified *v = *state;

    assert_int_equal(run(v), ERR_NOTFOUND);
    assert_int_equal(v->out.not_checked, 2);
    v->o.batch_id = "no such batch";
    assert_int_equal(run(v), ERR_NOTFOUND);
    assert_non_null(strstr(v->w.e.message, "not found"));
    assert_int_equal(v->w.tap->counts[TAP_PING], 0);
}

static void test_verify_tells_rows_in_doubt(void **state)
{
    struct verified *v = *state;

    migrated(v);
    world_sql(&v->w, "UPDATE file_migrations SET status = 'processing' WHERE id = 'r2'");
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.in_doubt, 1);
    assert_int_equal(v->out.verified, 1);
    assert_non_null(strstr(v->w.e.message, "in doubt"));
}

static void test_verify_by_user(void **state)
{
    struct verified *v = *state;

    world_sql(&v->w, "UPDATE files SET user_id = 'user_%' WHERE id = 'f-r2'");
    migrated(v);
    v->o.batch_id = NULL;
    v->o.user_id = "user_%";
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->out.checked, 1);
    assert_string_equal(world_status(&v->w, "r1"), "completed");
    assert_string_equal(world_status(&v->w, "r2"), "verified");
}

static void test_verify_stops_on_a_signal(void **state)
{
    struct verified *v = *state;

    migrated(v);
    process_stop_for_tests(15);
    assert_int_equal(run(v), ERR_CANCELLED);
    process_stop_for_tests(0);
    assert_int_equal(run(v), ERR_OK);
}

static void rolled_back_meanwhile(struct tap *t, enum tap_op op, const char *key,
                                  struct objstore_result *r)
{
    struct verified *v = t->user;
    (void)r;
    if (op == TAP_STAT && str_eq(key, "k/a"))
        world_sql(&v->w, "UPDATE file_migrations SET status = 'rolled_back' WHERE id = 'r1'");
}

static void test_verify_leaves_rows_that_others_have_moved(void **state)
{
    struct verified *v = *state;

    migrated(v);
    v->w.tap->after = rolled_back_meanwhile; /* world is v's first member */
    assert_int_equal(run(v), ERR_PARTIAL);
    assert_int_equal(v->out.errors, 1);
    assert_string_equal(world_status(&v->w, "r1"), "rolled_back");
}

static void test_verify_more_than_a_page(void **state)
{
    struct verified *v = *state;
    char id[16];

    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof id, "s%03d", i);
        world_row(&v->w, (struct world_row){.id = id, .path = "a", .key = id});
    }
    migrated(v);
    assert_int_equal(run(v), ERR_OK);
    assert_int_equal(v->out.checked, 302);
    assert_int_equal(v->out.newly_verified, 302);
    world_check(&v->w);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_verify_good_files_become_verified),
        T(test_verify_deep_reads_the_bytes),
        T(test_verify_missing_object_fails_and_frees_the_pointer),
        T(test_verify_other_bytes_are_found),
        T(test_verify_same_bytes_written_anew_are_good),
        T(test_verify_deep_finds_silent_corruption),
        T(test_verify_rows_of_another_tool),
        T(test_verify_pre_existing_objects),
        T(test_verify_sources_too),
        T(test_verify_no_answer_changes_no_row),
        T(test_verify_denied_stops),
        T(test_verify_nothing_is_not_success),
        T(test_verify_tells_rows_in_doubt),
        T(test_verify_by_user),
        T(test_verify_stops_on_a_signal),
        T(test_verify_leaves_rows_that_others_have_moved),
        T(test_verify_more_than_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
