/* A whole migration in the groups that the engine uses: nothing lost, and how fast (printed, not judged: the machine is shared). */
#include "contract/tracker_sqlite.h"

enum { ROWS = 20 * 1024, GROUP = 256 };

static int setup(void **state)
{
    return sqlite_setup(state);
}

struct lap {
    int64_t claiming, moving; /* ns */
    int groups;
};

static void run_lap(struct fixture *f, struct lap *lap)
{
    static struct tracker_move moves[GROUP];
    const struct source_identity source = {1, 2, 3, 4, 5};

    for (;;) {
        int64_t began = clock_mono_ns();
        const size_t n = claim(f, "me", "b-1", GROUP);
        lap->claiming += clock_mono_ns() - began;
        if (n == 0)
            return;
        for (size_t i = 0; i < n; i++) {
            moves[i] = move_of(&f->list.items[i], "me", FILE_COMPLETED);
            moves[i].source = &source;
            moves[i].object_owner = moves[i].id;
        }
        const struct tracker_head head = {"log", "run", lap->groups + 1, "hash"};
        began = clock_mono_ns();
        OK(f, tracker_apply(f->t, moves, n, &head, &f->e));
        lap->moving += clock_mono_ns() - began;
        lap->groups++;
        for (size_t i = 0; i < n; i++)
            assert_int_equal(moves[i].applied, TRACKER_APPLIED);
    }
}

static void test_sqlite_apply_moves_a_batch_in_groups(void **state)
{
    struct fixture *f = *state;
    struct lap lap = {0};

    with_tables(f);
    plan(f, "b-1", 1, ROWS);
    run_lap(f, &lap);
    assert_int_equal(lap.groups, ROWS / GROUP);
    expect_batch(f, "b-1", "completed 20480 20480 0 0");
    EXPECT(f, "80", "SELECT seq FROM blobferry_heads");
    EXPECT(f, "20480", "SELECT count(*) FROM files WHERE r2_key IS NOT NULL AND checksum = 'sha'");
    EXPECT(f, "20480",
           "SELECT count(*) FROM blobferry_records WHERE pointer_set = 1 AND"
           " lease_owner IS NULL AND source_inode = 2");
    EXPECT(f, "ok", "PRAGMA integrity_check");
    print_message("# %d rows in groups of %d: %.0f claims/s, %.0f moves/s\n", ROWS, GROUP,
                  ROWS * 1e9 / (double)lap.claiming, ROWS * 1e9 / (double)lap.moving);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sqlite_apply_moves_a_batch_in_groups, setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
