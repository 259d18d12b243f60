/* Several event loops share a batch: each with a store of its own, one queue, one writer of results. */
#include "migrate_world.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOOPS 3
#define ROWS  400

struct lanes {
    struct world w;
    struct objstore *inner[LOOPS];
    struct tap *taps[LOOPS];
    atomic_int opened;
    int fail_open; /* the how-many-th store cannot be opened; 0: all can */
};
static struct lanes lanes;
static atomic_int puts_seen;

static enum err_code open_store(void *user, int concurrency, struct objstore **out, struct err *e)
{
    struct lanes *l = user;
    const int n = atomic_fetch_add(&l->opened, 1);
    char url[300];

    if (concurrency < 1 || n >= LOOPS || n + 1 == l->fail_open)
        return err_set(e, ERR_NOMEM, "no more stores");
    snprintf(url, sizeof url, "file://%s", l->w.store);
    if (objstore_open(&l->inner[n], &(struct objstore_options){.target = url}, e) != ERR_OK)
        return e->code;
    l->taps[n] = tap_new(l->inner[n]);
    l->taps[n]->before = l->w.tap->before;
    *out = &l->taps[n]->base;
    return ERR_OK;
}

static int setup(void **state)
{
    memset(&lanes, 0, sizeof lanes);
    atomic_store(&puts_seen, 0);
    world_open(&lanes.w);
    lanes.w.o.loops = LOOPS;
    lanes.w.o.concurrency = 9;
    lanes.w.g.store_open = open_store;
    lanes.w.g.store_user = &lanes;
    *state = &lanes;
    return 0;
}

static int teardown(void **state)
{
    struct lanes *l = *state;

    world_close(&l->w);
    return 0;
}

/* The stores behind the taps, which the engine does not know. */
static void close_inner(struct lanes *l)
{
    for (int i = 0; i < LOOPS; i++) {
        objstore_close(l->inner[i]);
        l->inner[i] = NULL;
    }
    atomic_store(&l->opened, 0);
}

static void make_rows(struct world *w, int n)
{
    char sql[600];

    world_file(w, "a", "the same bytes");
    world_row(w, (struct world_row){.id = "r0", .path = "a"});
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key,"
             " status) SELECT 'r' || i, 'b', 'f-r' || i, 'a', 'k/' || i, 'pending' FROM n",
             n - 1);
    world_sql(w, sql);
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO files (id, filename, user_id) SELECT 'f-r' || i, 'a', 'u' FROM n",
             n - 1);
    world_sql(w, sql);
    snprintf(sql, sizeof sql, "UPDATE migration_batches SET total_files = %d", n);
    world_sql(w, sql);
}

static int rows_that_are(struct world *w, const char *status)
{
    char sql[200];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM file_migrations WHERE status = '%s'", status);
    return world_number(w, sql);
}

static bool count_puts(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    (void)r;
    if (op == TAP_PUT)
        atomic_fetch_add(&puts_seen, 1);
    return false;
}

static void test_migrate_lanes_share_a_batch(void **state)
{
    struct lanes *l = *state;
    struct world *w = &l->w;
    int busy = 0;

    make_rows(w, ROWS);
    w->tap->before = count_puts;
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.completed, ROWS);
    assert_int_equal(rows_that_are(w, "completed"), ROWS);
    assert_int_equal(atomic_load(&puts_seen), ROWS); /* each file once */
    assert_int_equal(w->events[ENGINE_FILE_DONE], ROWS);
    assert_int_equal(l->opened, LOOPS);
    for (int i = 0; i < LOOPS; i++)
        busy += l->inner[i] != NULL;
    assert_int_equal(busy, LOOPS);
    assert_int_equal(w->tap->counts[TAP_PUT], 0); /* the first store only looks */
    close_inner(l);
    assert_int_equal(world_migrate(w), ERR_OK); /* P7 */
    assert_int_equal(atomic_load(&puts_seen), ROWS);
    close_inner(l);
}

static bool deny_some(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op != TAP_PUT || atomic_fetch_add(&puts_seen, 1) != 20)
        return false;
    r->outcome = OBJSTORE_DENIED;
    r->status = 403;
    err_set(&r->err, ERR_STORE_DENIED, "no");
    return true;
}

/* One loop's fault ends all of them; what was done is on record, the rest is pending again. */
static void test_migrate_lanes_stop_when_one_is_denied(void **state)
{
    struct lanes *l = *state;
    struct world *w = &l->w;

    make_rows(w, ROWS);
    w->tap->before = deny_some;
    assert_int_equal(world_migrate(w), ERR_STORE_DENIED);
    close_inner(l);
    assert_int_equal(w->result.failed, 0);
    assert_true(w->result.completed < ROWS);
    assert_int_equal(rows_that_are(w, "completed"), (int)w->result.completed);
    assert_int_equal(rows_that_are(w, "pending"), ROWS - (int)w->result.completed);
    assert_int_equal(rows_that_are(w, "processing"), 0);
    w->tap->before = NULL;
    assert_int_equal(world_migrate(w), ERR_OK);
    close_inner(l);
    assert_int_equal(rows_that_are(w, "completed"), ROWS);
}

static bool signal_at_forty(struct tap *t, enum tap_op op, const char *key,
                            struct objstore_result *r)
{
    (void)t;
    (void)key;
    (void)r;
    if (op == TAP_PUT && atomic_fetch_add(&puts_seen, 1) == 40)
        process_stop_for_tests(15);
    return false;
}

static void test_migrate_lanes_stop_on_a_signal(void **state)
{
    struct lanes *l = *state;
    struct world *w = &l->w;

    make_rows(w, ROWS);
    w->tap->before = signal_at_forty;
    assert_int_equal(world_migrate(w), ERR_CANCELLED);
    process_stop_for_tests(0);
    close_inner(l);
    assert_true(w->result.completed >= 40 - 9 && w->result.completed < ROWS);
    assert_int_equal(rows_that_are(w, "completed"), (int)w->result.completed);
    assert_int_equal(rows_that_are(w, "processing"), 0);
    assert_int_equal(w->result.failed, 0);
}

static void test_migrate_lanes_record_uploads_in_parts(void **state)
{
    struct lanes *l = *state;
    struct world *w = &l->w;
    char id[16], path[16];

    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "r%d", i);
        snprintf(path, sizeof path, "big%d", i);
        world_big(w, path, (size_t)(11 << 20) + (size_t)i);
        world_row(w, (struct world_row){.id = id, .path = path});
    }
    w->o.part_size = OBJSTORE_PART_MIN;
    w->tap->before = count_puts;
    assert_int_equal(world_migrate(w), ERR_OK);
    close_inner(l);
    assert_int_equal(w->result.completed, 6);
    assert_int_equal(atomic_load(&puts_seen), 6);
}

static void test_migrate_lanes_store_that_does_not_open(void **state)
{
    struct lanes *l = *state;
    struct world *w = &l->w;

    make_rows(w, 5);
    l->fail_open = 2;
    assert_int_equal(world_migrate(w), ERR_NOMEM);
    close_inner(l);
    assert_int_equal(rows_that_are(w, "pending"), 5);
}

static void test_migrate_lanes_limit_of_failures(void **state)
{
    struct lanes *l = *state;
    struct world *w = &l->w;

    make_rows(w, ROWS);
    world_sql(w, "UPDATE file_migrations SET source_path = 'gone'");
    w->o.max_failures = 3;
    assert_int_equal(world_migrate(w), ERR_PARTIAL);
    close_inner(l);
    assert_true(w->result.failed >= 3);
    assert_int_equal(rows_that_are(w, "failed") + rows_that_are(w, "pending"), ROWS);
    assert_int_equal(rows_that_are(w, "failed"), (int)w->result.failed);
    assert_int_equal(rows_that_are(w, "processing"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_migrate_lanes_share_a_batch),
        T(test_migrate_lanes_stop_when_one_is_denied),
        T(test_migrate_lanes_stop_on_a_signal),
        T(test_migrate_lanes_record_uploads_in_parts),
        T(test_migrate_lanes_store_that_does_not_open),
        T(test_migrate_lanes_limit_of_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
