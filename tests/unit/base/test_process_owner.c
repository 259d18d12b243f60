#include "blobferry/base/process.h"
#include "blobferry/base/str.h"
#include "unit/base/scratch.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { UNSUPPORTED = 250 };

struct owner_child {
    pid_t pid;
    char owner[PROCESS_OWNER_SIZE];
};

static void *wait_for_ever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static void live_on(int fd, bool leader_leaves)
{
    char owner[PROCESS_OWNER_SIZE] = "";
    pthread_t thread;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (leader_leaves && pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        _exit(1);
    process_owner(owner);
    if (write(fd, owner, sizeof owner) != (ssize_t)sizeof owner)
        _exit(1);
    if (leader_leaves)
        pthread_exit(NULL);
    wait_for_ever(NULL);
}

/* A child that names itself and then lives until it is killed. */
static struct owner_child start(bool leader_leaves)
{
    struct owner_child c;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0)
        live_on(ends[1], leader_leaves);
    close(ends[1]);
    assert_int_equal(read(ends[0], c.owner, sizeof c.owner), (int)sizeof c.owner);
    close(ends[0]);
    return c;
}

/* Killed, and a zombie from now on. */
static void stop(const struct owner_child *c)
{
    siginfo_t info;
    assert_int_equal(kill(c->pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT), 0);
}

static void reap(const struct owner_child *c)
{
    assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
}

/* Field `index` of owner replaced by text. */
static void with_field(char dst[2 * PROCESS_OWNER_SIZE], const char *owner, int index,
                       const char *text)
{
    char copy[PROCESS_OWNER_SIZE];
    char *rest = copy;
    size_t at = 0;
    assert_true(str_copy(copy, sizeof copy, owner));
    for (int i = 0; rest != NULL; i++) {
        const char *field = strsep(&rest, ":");
        at += (size_t)snprintf(dst + at, 2 * PROCESS_OWNER_SIZE - at, "%s%s", i > 0 ? ":" : "",
                               i == index ? text : field);
    }
}

static void test_process_owner_has_six_fields_and_is_stable(void **state)
{
    (void)state;
    char owner[PROCESS_OWNER_SIZE];
    char again[PROCESS_OWNER_SIZE];
    char pid[32];
    char *rest = again;
    const char *field[6];
    process_owner(owner);
    process_owner(again);
    assert_string_equal(owner, again);
    for (int i = 0; i < 6; i++) {
        field[i] = strsep(&rest, ":");
        assert_non_null(field[i]);
        assert_false(str_empty(field[i]));
    }
    assert_null(rest);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_string_equal(field[3], pid);
    assert_int_equal(strlen(field[1]), 36);
    assert_int_equal(strlen(field[5]), 16);
    assert_string_not_equal(field[4], "0");
}

static void test_process_owner_of_a_living_process_is_alive(void **state)
{
    (void)state;
    char owner[PROCESS_OWNER_SIZE];
    process_owner(owner);
    assert_false(process_owner_is_dead(owner));
    const struct owner_child c = start(false);
    assert_string_not_equal(c.owner, owner);
    assert_false(process_owner_is_dead(c.owner));
    stop(&c);
    reap(&c);
}

static void test_process_owner_of_a_killed_process_is_dead(void **state)
{
    (void)state;
    const struct owner_child c = start(false);
    stop(&c);
    assert_true(process_owner_is_dead(c.owner)); /* a zombie does nothing any more */
    reap(&c);
    assert_true(process_owner_is_dead(c.owner));
}

static void test_process_owner_whose_pid_is_reused_is_dead(void **state)
{
    (void)state;
    char owner[PROCESS_OWNER_SIZE];
    char other[2 * PROCESS_OWNER_SIZE];
    process_owner(owner);
    with_field(other, owner, 4, "1");
    assert_true(process_owner_is_dead(other));
}

static void test_process_owner_elsewhere_is_never_declared_dead(void **state)
{
    (void)state;
    char other[2 * PROCESS_OWNER_SIZE];
    const struct owner_child c = start(false);
    stop(&c);
    reap(&c);
    assert_true(process_owner_is_dead(c.owner));
    with_field(other, c.owner, 0, "another-host");
    assert_false(process_owner_is_dead(other));
    with_field(other, c.owner, 1, "00000000-0000-0000-0000-000000000000");
    assert_false(process_owner_is_dead(other));
    with_field(other, c.owner, 2, "4026531000-4026531001");
    assert_false(process_owner_is_dead(other));
    with_field(other, c.owner, 4, "0"); /* a start time that could not be read */
    assert_false(process_owner_is_dead(other));
}

static void test_process_owner_of_unknown_form_is_never_declared_dead(void **state)
{
    (void)state;
    static const char *const pids[] = {"", "0", "-1", "+5", "99999999999", "1x", "4294967297"};
    char other[2 * PROCESS_OWNER_SIZE];
    const struct owner_child c = start(false);
    stop(&c);
    reap(&c);
    for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
        with_field(other, c.owner, 3, pids[i]);
        assert_false(process_owner_is_dead(other));
    }
    for (int field = 0; field < 6; field++) {
        with_field(other, c.owner, field, "");
        assert_false(process_owner_is_dead(other));
    }
    with_field(other, c.owner, 5, "random:seventh");
    assert_false(process_owner_is_dead(other));
    *strrchr(other, ':') = '\0'; /* back to six */
    assert_true(process_owner_is_dead(other));
    *strrchr(other, ':') = '\0'; /* five */
    assert_false(process_owner_is_dead(other));
    assert_false(process_owner_is_dead(NULL));
    assert_false(process_owner_is_dead(""));
    assert_false(process_owner_is_dead(":::::"));
    memset(other, 'x', sizeof other - 1);
    other[sizeof other - 1] = '\0';
    assert_false(process_owner_is_dead(other));
}

/* The state letter of a process. */
static char state_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    char *text = scratch_read(path);
    const char *end = strrchr(text, ')');
    const char letter = end != NULL ? end[2] : '?';
    free(text);
    return letter;
}

static void test_process_owner_with_a_living_thread_is_alive(void **state)
{
    (void)state;
    const struct owner_child c = start(true);
    const time_t deadline = time(NULL) + 30;
    while (state_of(c.pid) != 'Z' && time(NULL) < deadline)
        sched_yield();
    assert_int_equal(state_of(c.pid), 'Z'); /* its first thread has ended, the other has not */
    assert_false(process_owner_is_dead(c.owner));
    stop(&c);
    assert_true(process_owner_is_dead(c.owner));
    reap(&c);
}

static char outer_owner[PROCESS_OWNER_SIZE];

static int run_inside(void)
{
    char own[PROCESS_OWNER_SIZE];
    process_owner(own);
    if (process_owner_is_dead(own))
        return 1;
    if (process_owner_is_dead(outer_owner)) /* dead, but that cannot be seen from here */
        return 2;
    return strcmp(own, outer_owner) != 0 ? 0 : 3;
}

static int run_namespace(void)
{
    int status;
    if (unshare(CLONE_NEWPID) != 0)
        return UNSUPPORTED;
    const pid_t child = fork();
    if (child == 0)
        _exit(run_inside());
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static void test_process_owner_in_another_namespace_is_not_judged(void **state)
{
    (void)state;
    const struct owner_child c = start(false);
    stop(&c);
    reap(&c);
    assert_true(str_copy(outer_owner, sizeof outer_owner, c.owner));
    assert_true(process_owner_is_dead(outer_owner));
    int status;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run_namespace());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    const int result = WEXITSTATUS(status);
    if (result == UNSUPPORTED)
        skip();
    assert_int_equal(result, 0);
}

static void test_process_owner_says_alive_only_with_proof(void **state)
{
    char me[PROCESS_OWNER_SIZE], other[PROCESS_OWNER_SIZE];
    struct owner_child c = start(false);

    (void)state;
    process_owner(me);
    assert_int_equal(process_owner_life(me), PROCESS_ALIVE);
    assert_int_equal(process_owner_life(c.owner), PROCESS_ALIVE);
    kill(c.pid, SIGKILL);
    assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
    assert_int_equal(process_owner_life(c.owner), PROCESS_DEAD);
    snprintf(other, sizeof other, "elsewhere%.100s", strchr(me, ':'));
    assert_int_equal(process_owner_life(other), PROCESS_UNKNOWN);
    assert_int_equal(process_owner_life("anna"), PROCESS_UNKNOWN);
    assert_int_equal(process_owner_life(NULL), PROCESS_UNKNOWN);
}

static void test_process_owner_has_host_and_pid(void **state)
{
    char me[PROCESS_OWNER_SIZE], host[PROCESS_OWNER_SIZE];
    int64_t pid = 0;

    (void)state;
    process_owner(me);
    assert_true(process_owner_host(me, host, sizeof host, &pid));
    assert_int_equal(pid, getpid());
    assert_memory_equal(me, host, strlen(host));
    assert_false(process_owner_host("host:boot:space:0:1:r", host, sizeof host, &pid));
    assert_false(process_owner_host("host:boot:space:x:1:r", host, sizeof host, &pid));
    assert_false(process_owner_host("host:12", host, sizeof host, &pid));
    assert_false(process_owner_host("a:b:c:1:2:3:4", host, sizeof host, &pid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_owner_has_six_fields_and_is_stable),
        cmocka_unit_test(test_process_owner_of_a_living_process_is_alive),
        cmocka_unit_test(test_process_owner_of_a_killed_process_is_dead),
        cmocka_unit_test(test_process_owner_whose_pid_is_reused_is_dead),
        cmocka_unit_test(test_process_owner_elsewhere_is_never_declared_dead),
        cmocka_unit_test(test_process_owner_of_unknown_form_is_never_declared_dead),
        cmocka_unit_test(test_process_owner_with_a_living_thread_is_alive),
        cmocka_unit_test(test_process_owner_in_another_namespace_is_not_judged),
        cmocka_unit_test(test_process_owner_says_alive_only_with_proof),
        cmocka_unit_test(test_process_owner_has_host_and_pid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
