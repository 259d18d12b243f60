/* Several processes, one batch: each file is sent once, and what a killed worker leaves is taken up. */
#include "migrate_world.h"

#include <signal.h>

#define FILES 400

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    char name[32], id[32];

    if (w == NULL)
        return -1;
    world_open(w);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%03d", i);
        snprintf(id, sizeof id, "r%03d", i);
        world_big(w, name, (size_t)i * 37);
        world_row(w, (struct world_row){.id = id, .path = name});
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static void tell_parent(struct world *w, const struct record *r)
{
    (void)r;
    if (write(w->tap->held_signal, "x", 1) != 1)
        _exit(9);
}

/* A process of its own; every recorded file is told through *told. */
static pid_t worker(struct world *w, int *told)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct world mine = *w;
        close(ends[0]);
        world_enter(&mine);
        mine.tap->held_signal = ends[1]; /* only carried */
        mine.on_done = tell_parent;
        if (world_migrate(&mine) == ERR_OK)
            _exit(0);
        fprintf(stderr, "worker: %s\n", mine.e.message);
        _exit(1);
    }
    close(ends[1]);
    *told = ends[0];
    return pid;
}

static int drain(int fd)
{
    char text[256];
    int n = 0;

    for (ssize_t got = 1; got > 0; n += got > 0 ? (int)got : 0)
        got = read(fd, text, sizeof text);
    close(fd);
    return n;
}

static void check_all(struct world *w)
{
    char name[32], key[40];

    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%03d", i);
        snprintf(key, sizeof key, "k/%s", name);
        assert_true(world_same(w, name, key));
    }
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM file_migrations WHERE status = 'completed'"), FILES);
    assert_int_equal(world_number(w, "SELECT count(*) FROM files WHERE r2_key IS NULL"), 0);
    world_check(w);
}

static void test_migrate_workers_share_a_batch(void **state)
{
    struct world *w = *state;
    int told[3], status, sent = 0;
    pid_t pids[3];

    for (int i = 0; i < 3; i++)
        pids[i] = worker(w, &told[i]);
    for (int i = 0; i < 3; i++)
        sent += drain(told[i]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(sent, FILES);
    assert_int_equal(world_audit(w, "upload_outcome", "\"to\":\"completed\""), FILES);
    check_all(w);
}

static void test_migrate_workers_are_killed_and_replaced(void **state)
{
    struct world *w = *state;
    int told, status, recorded = 0;
    char c;

    for (int round = 0; round < 3; round++) {
        pid_t pid = worker(w, &told);
        for (int i = 0; i < 60; i++)
            assert_int_equal(read(told, &c, 1), 1); /* it is in the middle of the work */
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        close(told);
    }
    recorded = world_number(w, "SELECT count(*) FROM file_migrations WHERE status = 'completed'");
    assert_true(recorded >= 180 && recorded < FILES);
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->result.completed, FILES - recorded);
    assert_true(w->result.taken_over > 0);
    /* none twice after being recorded */
    assert_true(w->tap->counts[TAP_PUT] <= FILES - recorded);
    check_all(w);
    memset(w->tap->counts, 0, sizeof w->tap->counts);
    assert_int_equal(world_migrate(w), ERR_OK);
    assert_int_equal(w->tap->counts[TAP_PUT], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_migrate_workers_share_a_batch),
        T(test_migrate_workers_are_killed_and_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
