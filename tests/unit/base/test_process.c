#include "blobferry/base/process.h"
#include "unit/base/scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* run() in a child; its exit status, or 128 + the signal that killed it. */
static int in_child(int (*run)(void))
{
    int status;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_harden(void)
{
    struct rlimit core;
    struct sigaction pipe_action;
    struct sigaction size_action;
    process_harden();
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
        return 1;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    sigaction(SIGPIPE, NULL, &pipe_action);
    sigaction(SIGXFSZ, NULL, &size_action);
    return pipe_action.sa_handler == SIG_IGN && size_action.sa_handler == SIG_IGN ? 0 : 3;
}

static void test_process_harden_leaves_no_core(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_harden), 0);
}

static int run_harden_closed(void)
{
    close(0);
    close(1);
    close(2);
    process_harden();
    for (int fd = 0; fd <= 2; fd++) {
        struct stat st;
        if (fstat(fd, &st) != 0 || !S_ISCHR(st.st_mode))
            return 1;
    }
    return 0;
}

static int run_harden_middle(void)
{
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], 0) != 0 || dup2(ends[1], 2) != 2)
        return 1;
    close(1);
    process_harden();
    struct stat kept;
    struct stat filled;
    return fstat(0, &kept) == 0 && S_ISFIFO(kept.st_mode) && fstat(1, &filled) == 0 &&
                   S_ISCHR(filled.st_mode) && fstat(2, &kept) == 0 && S_ISFIFO(kept.st_mode)
               ? 0
               : 2;
}

static void test_process_harden_fills_the_standard_descriptors(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_harden_closed), 0);
    assert_int_equal(in_child(run_harden_middle), 0);
}

static int run_pipe(void)
{
    int ends[2];
    process_harden();
    if (pipe(ends) != 0)
        return 1;
    close(ends[0]);
    return write(ends[1], "x", 1) == -1 && errno == EPIPE ? 0 : 2;
}

static void test_process_harden_survives_a_closed_pipe(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_pipe), 0);
}

static int run_signal(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    process_catch_signals();
    if (process_stopping() || process_stop_signal() != 0)
        return 1;
    raise(SIGHUP);
    if (!process_stopping() || process_stop_signal() != SIGHUP)
        return 2;
    raise(SIGTERM); /* the second one ends us at once */
    return 3;
}

static void test_process_second_signal_exits(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_signal), 128 + SIGTERM);
}

static int run_interrupt(void)
{
    struct sigaction action;
    signal(SIGINT, SIG_DFL);
    process_catch_signals();
    for (int i = 0; i < 2; i++) {
        if (sigaction(i == 0 ? SIGINT : SIGTERM, NULL, &action) != 0 ||
            (action.sa_flags & SA_RESTART) != 0)
            return 1; /* a wait would go on as if nothing had happened */
    }
    raise(SIGINT);
    return process_stop_signal() == SIGINT ? 0 : 2;
}

static void test_process_interrupt_sets_the_flag(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_interrupt), 0);
}

static int run_nohup(void)
{
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    process_catch_signals();
    raise(SIGHUP);
    raise(SIGINT);
    if (process_stopping())
        return 1;
    raise(SIGTERM);
    return process_stop_signal() == SIGTERM ? 0 : 2;
}

static void test_process_ignored_signals_stay_ignored(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_nohup), 0);
}

static void test_process_stop_can_be_set_by_tests(void **state)
{
    (void)state;
    assert_false(process_stopping());
    process_stop_for_tests(SIGTERM);
    assert_true(process_stopping());
    assert_int_equal(process_stop_signal(), SIGTERM);
    process_stop_for_tests(0);
    assert_false(process_stopping());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_harden_leaves_no_core),
        cmocka_unit_test(test_process_harden_fills_the_standard_descriptors),
        cmocka_unit_test(test_process_harden_survives_a_closed_pipe),
        cmocka_unit_test(test_process_second_signal_exits),
        cmocka_unit_test(test_process_interrupt_sets_the_flag),
        cmocka_unit_test(test_process_ignored_signals_stay_ignored),
        cmocka_unit_test(test_process_stop_can_be_set_by_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
