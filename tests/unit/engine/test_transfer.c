/* What is at the key already, and what the store answers: each outcome of one file's transfer. */
#include "migrate_world.h"

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    if (w == NULL)
        return -1;
    world_open(w);
    world_file(w, "a", "hello");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static void world_object(struct world *w, const char *key, const char *text)
{
    world_write(w->store, key, text, strlen(text));
}

static bool object_is(struct world *w, const char *key, const char *text)
{
    size_t n = 0;
    char *p = world_read(w->store, key, &n);
    bool is = p != NULL && n == strlen(text) && memcmp(p, text, n) == 0;
    free(p);
    return is;
}

/* ---- something is there already ------------------------------------------------------------------------ */

static void test_transfer_same_bytes_are_accepted(void **state)
{
    struct world *w = *state;

    world_object(w, "k/a", "hello");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_string_equal(world_status(w, "r1"), "completed");
    assert_string_equal(world_own(w, "r1", "pre_existed"), "1");
    assert_string_equal(world_own(w, "r1", "object_owner"), "NULL");
    assert_string_equal(world_pointer(w, "r1"), "k/a");
    assert_int_equal(w->result.already_there, 1);
    assert_int_equal(w->result.bytes_sent, 0);
    assert_int_equal(w->events[ENGINE_FILE_SKIPPED], 1);
    world_check(w);
}

static void test_transfer_other_bytes_are_never_replaced(void **state)
{
    struct world *w = *state;

    world_object(w, "k/a", "jello");
    world_object(w, "k/b", "much longer");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/b"});
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_true(object_is(w, "k/a", "jello"));
    assert_true(object_is(w, "k/b", "much longer"));
    assert_string_equal(world_own(w, "r1", "error_class"), "conflict");
    assert_non_null(strstr(world_error(w, "r1"), "another object is at key 'k/a'"));
    assert_non_null(strstr(world_error(w, "r2"), "11 bytes, the file has 5"));
    assert_string_equal(world_pointer(w, "r1"), "NULL");
    world_check(w);
}

static void test_transfer_if_exists_fail_refuses_even_the_same(void **state)
{
    struct world *w = *state;

    world_object(w, "k/a", "hello");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->o.if_exists = MIGRATE_FAIL;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_own(w, "r1", "error_class"), "conflict");
    assert_string_equal(world_own(w, "r1", "etag"), "NULL");
    world_check(w);
}

static void test_transfer_two_rows_with_one_key(void **state)
{
    struct world *w = *state;

    world_file(w, "b", "other");
    world_row(w, (struct world_row){.id = "r1", .path = "a", .key = "k/x"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/x"});
    world_row(w, (struct world_row){.id = "r3", .path = "b", .key = "k/x"});
    w->o.concurrency = 1;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_true(object_is(w, "k/x", "hello"));
    assert_string_equal(world_own(w, "r1", "pre_existed"), "0");
    assert_string_equal(world_status(w, "r2"), "completed");
    assert_string_equal(world_own(w, "r2", "pre_existed"), "1");
    assert_string_equal(world_own(w, "r2", "object_owner"), "r1");
    assert_string_equal(world_status(w, "r3"), "failed");
    world_check(w);
}

static void test_transfer_overwrite_keeps_a_copy(void **state)
{
    struct world *w = *state;
    size_t n = 0;
    char *copy, *json;

    world_object(w, "k/a", "what was here before");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_row(w, (struct world_row){.id = "x/../y", .path = "a", .key = "k/new"});
    w->o.if_exists = MIGRATE_OVERWRITE;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_true(object_is(w, "k/a", "hello"));
    assert_true(object_is(w, "k/new", "hello"));
    copy = world_read(w->backups, "overwritten/r1.bin", &n);
    assert_non_null(copy);
    assert_int_equal(n, 20);
    assert_memory_equal(copy, "what was here before", 20);
    json = world_read(w->backups, "overwritten/r1.json", &n);
    assert_non_null(json);
    assert_non_null(strstr(json, "\"key\": \"k/a\""));
    assert_non_null(strstr(json, "\"sha256\": \""));
    free(copy);
    free(json);
    assert_string_equal(world_own(w, "r1", "object_owner"), "r1");
    assert_string_equal(world_own(w, "r1", "pre_existed"), "0");
    assert_int_equal(world_audit(w, "\"action\":\"overwrite\"", "overwritten/r1"), 1);
    world_check(w);
}

static void test_transfer_overwrite_leaves_the_same_bytes(void **state)
{
    struct world *w = *state;

    world_object(w, "k/a", "hello");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->o.if_exists = MIGRATE_OVERWRITE;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->tap->counts[TAP_PUT], 0);
    assert_string_equal(world_own(w, "r1", "pre_existed"), "1");
    assert_int_equal(world_audit(w, "\"action\":\"overwrite\"", NULL), 0);
}

static void test_transfer_overwrite_needs_room_for_the_copy(void **state)
{
    struct world *w = *state;

    world_object(w, "k/a", "what was here before");
    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_write(w->dir, "backups", "no folder", 9);
    w->o.if_exists = MIGRATE_OVERWRITE;
    assert_int_equal(err_exit_code(world_migrate(w)), 5);
    assert_true(object_is(w, "k/a", "what was here before"));
    assert_string_equal(world_status(w, "r1"), "pending");
    world_check(w);
}

/* ---- what the store says of a PUT ------------------------------------------------------------------------ */

static void set(struct objstore_result *r, enum objstore_outcome outcome, enum err_code code,
                int status)
{
    r->outcome = outcome;
    r->status = status;
    err_set(&r->err, code, "as the test says");
}

static bool refuse_b(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    if (op != TAP_PUT || !str_eq(key, "k/b"))
        return false;
    set(r, OBJSTORE_REJECTED, ERR_STORE, 400);
    return true;
}

static void test_transfer_rejected_fails_one_file(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a", .key = "k/b"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/c"});
    w->tap->before = refuse_b;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_status(w, "r1"), "failed");
    assert_string_equal(world_error(w, "r1"), "as the test says");
    assert_string_equal(world_status(w, "r2"), "completed");
    world_check(w);
}

static bool deny_puts(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op != TAP_PUT)
        return false;
    set(r, OBJSTORE_DENIED, ERR_STORE_DENIED, 403);
    return true;
}

static void test_transfer_denied_stops_the_run(void **state)
{
    struct world *w = *state;
    char id[16];

    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "r%02d", i);
        world_row(w, (struct world_row){.id = id, .path = "a", .key = id});
    }
    w->tap->before = deny_puts;
    assert_int_equal(world_migrate(w), ERR_STORE_DENIED);
    assert_true(w->tap->counts[TAP_PUT] <= w->o.concurrency);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM file_migrations WHERE status = 'pending'"), 20);
    assert_int_equal(w->result.failed, 0);
    assert_int_equal(w->result.released, 20);
    world_check(w);
}

static bool deny_ping(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op == TAP_PING)
        set(r, OBJSTORE_DENIED, ERR_STORE_DENIED, 403);
    return op == TAP_PING;
}

static void test_transfer_wrong_secret_touches_no_row(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->before = deny_ping;
    assert_int_equal(world_migrate(w), ERR_STORE_DENIED);
    assert_string_equal(world_status(w, "r1"), "pending");
    assert_string_equal(world_text(w, "SELECT started_at FROM file_migrations"), "NULL");
    assert_int_equal(w->tap->counts[TAP_PING], 1);
    assert_int_equal(w->tap->counts[TAP_PUT], 0);
}

static void lose_first_answer(struct tap *t, enum tap_op op, const char *key,
                              struct objstore_result *r)
{
    (void)key;
    if (op == TAP_PUT && t->counts[TAP_PUT] == 1)
        set(r, OBJSTORE_UNAVAILABLE, ERR_STORE_UNAVAILABLE, 0);
}

static void test_transfer_lost_answer_is_looked_for(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->after = lose_first_answer;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->tap->counts[TAP_PUT], 1);
    assert_string_equal(world_own(w, "r1", "object_owner"), "r1");
    assert_string_equal(world_own(w, "r1", "pre_existed"), "0");
    assert_int_equal(w->result.bytes_sent, 5);
    world_check(w);
}

static bool put_never_arrives(struct tap *t, enum tap_op op, const char *key,
                              struct objstore_result *r)
{
    (void)t;
    if (op != TAP_PUT || !str_eq(key, "k/b"))
        return false;
    set(r, OBJSTORE_UNAVAILABLE, ERR_STORE_UNAVAILABLE, 503);
    return true;
}

static void test_transfer_put_that_did_not_arrive_fails(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a", .key = "k/b"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/c"});
    w->tap->before = put_never_arrives;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_own(w, "r1", "error_class"), "store_unavailable");
    assert_string_equal(world_status(w, "r2"), "completed");
    world_check(w);
}

static bool all_dead(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op == TAP_PING && t->counts[TAP_PUT] == 0)
        return false;
    set(r, OBJSTORE_UNAVAILABLE, ERR_STORE_UNAVAILABLE, 0);
    return true;
}

static void test_transfer_dead_endpoint_stops_the_run(void **state)
{
    struct world *w = *state;
    char id[16];

    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "r%02d", i);
        world_row(w, (struct world_row){.id = id, .path = "a", .key = id});
    }
    w->tap->before = all_dead;
    w->o.concurrency = 8;
    assert_int_equal(world_migrate(w), ERR_STORE_UNAVAILABLE);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM file_migrations WHERE status = 'pending'"), 40);
    assert_true(w->tap->counts[TAP_PUT] <= 16);
    world_check(w);
}

static void test_transfer_dead_endpoint_with_few_files_left(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->before = all_dead;
    assert_int_equal(world_migrate(w), ERR_STORE_UNAVAILABLE);
    assert_string_equal(world_status(w, "r1"), "pending");
    world_check(w);
}

static void say_unverified(struct tap *t, enum tap_op op, const char *key,
                           struct objstore_result *r)
{
    (void)key;
    if (op == TAP_PUT)
        r->verified = false;
    if (op == TAP_PUT && str_eq(key, "k/bad")) { /* a lax store has other bytes than it says */
        struct world *w = t->user;
        char path[700];
        int fd;

        snprintf(path, sizeof path, "%s/k/bad", w->store);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, "j", 1, 0), 1);
        assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
        close(fd);
    }
}

static void test_transfer_unverified_put_is_read_back(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a", .key = "k/good"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/bad"});
    w->tap->after = say_unverified;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_status(w, "r1"), "completed");
    assert_string_equal(world_status(w, "r2"), "failed");
    assert_string_equal(world_own(w, "r2", "error_class"), "store_corrupt");
    assert_int_equal(w->tap->counts[TAP_GET], 2);
    assert_false(world_has_object(w, "k/bad")); /* ours, and wrong: it does not stay */
    assert_int_equal(world_audit(w, "delete_intent", "k/bad"), 1);
    world_check(w);
}

static void forget_etag(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op == TAP_PUT)
        r->info.etag[0] = '\0';
}

static void test_transfer_missing_etag_is_asked_for(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->after = forget_etag;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_string_not_equal(world_own(w, "r1", "etag"), "NULL");
    assert_int_equal(w->tap->counts[TAP_STAT], 1);
}

static void corrupt_put(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op == TAP_PUT)
        set(r, OBJSTORE_CORRUPT, ERR_STORE_CORRUPT, 200);
}

static void test_transfer_corrupt_put_leaves_nothing(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->after = corrupt_put;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_own(w, "r1", "error_class"), "store_corrupt");
    assert_false(world_has_object(w, "k/a"));
    world_check(w);
}

/* ---- the source moves ---------------------------------------------------------------------------------------- */

static void append_after_put(struct tap *t, enum tap_op op, const char *key,
                             struct objstore_result *r)
{
    struct world *w = t->user;
    (void)key;
    (void)r;
    if (op == TAP_PUT)
        world_file(w, "a", "hello world");
}

static void test_transfer_source_that_changes_is_withdrawn(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->after = append_after_put;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_own(w, "r1", "error_class"), "file_changed");
    assert_false(world_has_object(w, "k/a"));
    assert_string_equal(world_pointer(w, "r1"), "NULL");
    assert_string_equal(world_own(w, "r1", "etag"), "NULL");
    w->tap->after = NULL;
    w->o.retry_failed = true;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_true(object_is(w, "k/a", "hello world"));
    world_check(w);
}

static bool rewrite_before_put(struct tap *t, enum tap_op op, const char *key,
                               struct objstore_result *r)
{
    struct world *w = t->user;
    (void)key;
    (void)r;
    if (op == TAP_PUT)
        world_big(w, "bigger", (size_t)6 << 20); /* same size, other bytes than were hashed */
    return false;
}

static void test_transfer_source_rewritten_between_the_passes(void **state)
{
    struct world *w = *state;
    char *zeros = calloc(1, (size_t)6 << 20);

    world_write(w->source, "bigger", zeros, (size_t)6 << 20);
    free(zeros);
    world_row(w, (struct world_row){.id = "r1", .path = "bigger"});
    w->o.part_size = 5 << 20;
    w->tap->before = rewrite_before_put;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_own(w, "r1", "error_class"), "file_changed");
    assert_false(world_has_object(w, "k/bigger"));
    world_check(w);
}

/* ---- the application and other workers move --------------------------------------------------------------------- */

static void app_points_elsewhere(struct tap *t, enum tap_op op, const char *key,
                                 struct objstore_result *r)
{
    struct world *w = t->user;
    (void)key;
    (void)r;
    if (op == TAP_PUT)
        world_sql(w, "UPDATE files SET r2_key = 'its own' WHERE id = 'f-r1'");
}

static void test_transfer_pointer_of_the_application_stands(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    world_row(w, (struct world_row){.id = "r2", .path = "a", .key = "k/2"});
    w->tap->after = app_points_elsewhere;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    assert_string_equal(world_pointer(w, "r1"), "its own");
    assert_string_equal(world_status(w, "r1"), "failed");
    assert_string_equal(world_own(w, "r1", "error_class"), "conflict");
    assert_string_equal(world_own(w, "r1", "object_owner"), "r1"); /* for a rollback to find */
    assert_string_not_equal(world_own(w, "r1", "etag"), "NULL");
    assert_string_equal(world_status(w, "r2"), "completed");
    world_check(w);
}

static void steal_lease(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    struct world *w = t->user;
    (void)key;
    (void)r;
    if (op == TAP_PUT && t->counts[TAP_PUT] == 1)
        world_sql(w, "UPDATE blobferry_records SET lease_owner = 'somebody', lease_until = 1");
}

static void test_transfer_lost_lease_is_not_counted_twice(void **state)
{
    struct world *w = *state;

    world_row(w, (struct world_row){.id = "r1", .path = "a"});
    w->tap->after = steal_lease;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.completed, 1); /* taken over again, and found there */
    assert_int_equal(w->result.taken_over, 1);
    assert_int_equal(w->tap->counts[TAP_PUT], 1);
    assert_int_equal(world_audit(w, "lease_lost", NULL), 1);
    assert_string_equal(world_own(w, "r1", "pre_existed"), "0");
    world_check(w);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_transfer_same_bytes_are_accepted),
        T(test_transfer_other_bytes_are_never_replaced),
        T(test_transfer_if_exists_fail_refuses_even_the_same),
        T(test_transfer_two_rows_with_one_key),
        T(test_transfer_overwrite_keeps_a_copy),
        T(test_transfer_overwrite_leaves_the_same_bytes),
        T(test_transfer_overwrite_needs_room_for_the_copy),
        T(test_transfer_rejected_fails_one_file),
        T(test_transfer_denied_stops_the_run),
        T(test_transfer_wrong_secret_touches_no_row),
        T(test_transfer_lost_answer_is_looked_for),
        T(test_transfer_put_that_did_not_arrive_fails),
        T(test_transfer_dead_endpoint_stops_the_run),
        T(test_transfer_dead_endpoint_with_few_files_left),
        T(test_transfer_unverified_put_is_read_back),
        T(test_transfer_missing_etag_is_asked_for),
        T(test_transfer_corrupt_put_leaves_nothing),
        T(test_transfer_source_that_changes_is_withdrawn),
        T(test_transfer_source_rewritten_between_the_passes),
        T(test_transfer_pointer_of_the_application_stands),
        T(test_transfer_lost_lease_is_not_counted_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
