#include "blobferry/base/fsio.h"
#include "unit/base/scratch.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Every case is run twice: with openat2(2), and in a child where the kernel denies knowing it. */
struct open_case {
    const char *root; /* NULL: the scratch folder */
    const char *name;
    enum err_code code; /* ERR_OK: opens, and reads "inside" */
};

static const struct open_case open_cases[] = {
    {NULL, "file", ERR_OK},
    {NULL, "./file", ERR_OK},
    {NULL, "dir//sub/./file", ERR_OK},
    {NULL, "dir/..file", ERR_OK},
    {NULL, "link", ERR_FILE_TYPE},
    {NULL, "absolute-link", ERR_FILE_TYPE},
    {NULL, "dangling", ERR_FILE_TYPE},
    {NULL, "loop", ERR_FILE_TYPE},
    {NULL, "dirlink/sub/file", ERR_FILE_TYPE},
    {NULL, "dir/up/file", ERR_FILE_TYPE},
    {NULL, "fifo", ERR_FILE_TYPE},
    {NULL, "socket", ERR_FILE_TYPE},
    {NULL, "dir", ERR_FILE_TYPE},
    {NULL, ".", ERR_FILE_TYPE},
    {NULL, "file/", ERR_FILE_TYPE},
    {NULL, "absent", ERR_FILE_MISSING},
    {NULL, "absent/file", ERR_FILE_MISSING},
    {NULL, "file/x", ERR_FILE_MISSING},
    {NULL, "file/.", ERR_FILE_MISSING},
    {NULL, "", ERR_FILE_MISSING},
    {NULL, "..", ERR_FILE_OUTSIDE},
    {NULL, "../file", ERR_FILE_OUTSIDE},
    {NULL, "dir/../file", ERR_FILE_OUTSIDE},
    {NULL, "dir/sub/../../../file", ERR_FILE_OUTSIDE},
    {NULL, "dir/..", ERR_FILE_OUTSIDE},
    {NULL, "/etc/passwd", ERR_FILE_OUTSIDE},
    {NULL, "/", ERR_FILE_OUTSIDE},
    {NULL, "//etc/passwd", ERR_FILE_OUTSIDE},
    {NULL, "/proc/self/environ", ERR_FILE_OUTSIDE},
    {"/", "/proc/self/environ", ERR_FILE_TYPE},
    {"/proc", "version", ERR_FILE_TYPE},
    {"/proc", "self/exe", ERR_FILE_TYPE},
    {"/dev", "null", ERR_FILE_TYPE},
    {"/dev", "/dev/zero", ERR_FILE_TYPE},
    {"/dev", "/devices", ERR_FILE_OUTSIDE},
};

static void make_tree(struct scratch *s)
{
    /* the folder's own name may be too long for an address */
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    char here[PATH_MAX];

    scratch_init(s);
    scratch_write(s, "file", "inside");
    assert_int_equal(mkdir(scratch_path(s, "dir"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(s, "dir/sub"), 0700), 0);
    scratch_write(s, "dir/sub/file", "inside");
    scratch_write(s, "dir/..file", "inside");
    assert_int_equal(symlink("file", scratch_path(s, "link")), 0);
    assert_int_equal(symlink("/etc/passwd", scratch_path(s, "absolute-link")), 0);
    assert_int_equal(symlink("nowhere", scratch_path(s, "dangling")), 0);
    assert_int_equal(symlink("loop", scratch_path(s, "loop")), 0);
    assert_int_equal(symlink("dir", scratch_path(s, "dirlink")), 0);
    assert_int_equal(symlink("..", scratch_path(s, "dir/up")), 0);
    assert_int_equal(mkfifo(scratch_path(s, "fifo"), 0600), 0);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(s->dir), 0);
    const int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(bound, 0);
    close(fd);
}

/* What opening gives: the class, and for ERR_OK whether the right bytes are behind it. */
static enum err_code try_open(const char *root, const char *name)
{
    char text[16] = "";
    struct err e;
    enum err_code code;

    err_init(&e);
    const int root_fd = fsio_open_root(root, &e);
    if (root_fd < 0)
        return ERR_GENERAL;
    const int fd = fsio_open_beneath(root_fd, root, name, &e);
    code = e.code;
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) != 6 || strcmp(text, "inside") != 0 ||
            (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0 || write(fd, "x", 1) >= 0)
            code = ERR_STORE_CORRUPT;
        close(fd);
    } else if (code == ERR_OK || e.message[0] == '\0') {
        code = ERR_GENERAL;
    }
    close(root_fd);
    return code;
}

/* The number of cases that came out otherwise. */
static int run_cases(const char *dir)
{
    int wrong = 0;

    for (size_t i = 0; i < sizeof open_cases / sizeof *open_cases; i++) {
        const struct open_case *c = &open_cases[i];
        const enum err_code code = try_open(c->root != NULL ? c->root : dir, c->name);
        if (code != c->code) {
            print_error("'%s': %s, expected %s\n", c->name, err_code_name(code),
                        err_code_name(c->code));
            wrong++;
        }
    }
    return wrong;
}

/* From now on openat2(2) fails with `reason` in this process. */
static bool forbid_openat2(unsigned reason)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | reason),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno == (int)reason;
}

enum { NO_SECCOMP = 250 };

/* run(dir) in a child without openat2; its result, or NO_SECCOMP. */
static int without_openat2(int (*run)(const char *dir), const char *dir, unsigned reason)
{
    int status;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!forbid_openat2(reason))
            _exit(NO_SECCOMP);
        _exit(run(dir));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_fsio_open_beneath_with_openat2(void **state)
{
    (void)state;
    struct scratch s;
    make_tree(&s);
    assert_int_equal(run_cases(s.dir), 0);
    scratch_release(&s);
}

static void walk_cases(unsigned reason)
{
    struct scratch s;
    make_tree(&s);
    const int result = without_openat2(run_cases, s.dir, reason);
    scratch_release(&s);
    if (result == NO_SECCOMP)
        skip();
    assert_int_equal(result, 0);
}

static void test_fsio_open_beneath_without_openat2(void **state)
{
    (void)state;
    walk_cases(ENOSYS);
}

static void test_fsio_open_beneath_in_a_sandbox(void **state)
{
    (void)state;
    walk_cases(EPERM);
}

static void test_fsio_open_beneath_takes_absolute_names_below_the_root(void **state)
{
    (void)state;
    struct scratch s;
    char root[300];
    make_tree(&s);
    snprintf(root, sizeof root, "%s//", s.dir);
    assert_int_equal(try_open(s.dir, scratch_path(&s, "file")), ERR_OK);
    assert_int_equal(try_open(root, scratch_path(&s, "dir/sub/file")), ERR_OK);
    assert_int_equal(try_open("/", scratch_path(&s, "file")), ERR_OK);
    assert_int_equal(try_open(s.dir, s.dir), ERR_FILE_OUTSIDE);
    snprintf(root, sizeof root, "%s/", s.dir);
    assert_int_equal(try_open(s.dir, root), ERR_FILE_TYPE);
    snprintf(root, sizeof root, "%s2/file", s.dir); /* a sibling whose name merely begins so */
    assert_int_equal(try_open(s.dir, root), ERR_FILE_OUTSIDE);
    assert_int_equal(try_open(s.dir, scratch_path(&s, "dir/../file")), ERR_FILE_OUTSIDE);
    scratch_release(&s);
}

static void test_fsio_open_root_may_be_a_link_or_relative(void **state)
{
    (void)state;
    struct scratch s;
    char here[PATH_MAX];
    char link[300];
    make_tree(&s);
    snprintf(link, sizeof link, "%s/dirlink", s.dir);
    assert_int_equal(try_open(link, "sub/file"), ERR_OK);
    assert_int_equal(try_open(link, scratch_path(&s, "dir/sub/file")), ERR_OK);
    assert_int_equal(try_open(link, scratch_path(&s, "dirlink/sub/file")), ERR_OK);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(s.dir), 0);
    const enum err_code relative = try_open("dir", "sub/file");
    const enum err_code absolute = try_open("dir", scratch_path(&s, "dir/sub/file"));
    assert_int_equal(chdir(here), 0);
    assert_int_equal(relative, ERR_OK);
    assert_int_equal(absolute, ERR_OK);
    scratch_release(&s);
}

static void test_fsio_open_root_refuses_what_is_no_directory(void **state)
{
    (void)state;
    struct scratch s;
    struct err e;
    make_tree(&s);
    assert_int_equal(fsio_open_root(scratch_path(&s, "none"), &e), -1);
    assert_int_equal(e.code, ERR_FILE_MISSING);
    assert_int_equal(fsio_open_root(scratch_path(&s, "file"), &e), -1);
    assert_int_equal(e.code, ERR_FILE_TYPE);
    scratch_release(&s);
}

static int run_long(const char *dir)
{
    static char name[PATH_MAX + 10];
    memset(name, 'n', 300);
    const enum err_code component = try_open(dir, name);
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "d/", 2);
    name[sizeof name - 2] = 'f';
    const enum err_code path = try_open(dir, name);
    return component == ERR_FILE && (path == ERR_FILE || path == ERR_FILE_MISSING) ? 0 : 1;
}

static void test_fsio_open_beneath_refuses_over_long_names(void **state)
{
    (void)state;
    struct scratch s;
    make_tree(&s);
    assert_int_equal(run_long(s.dir), 0);
    const int walked = without_openat2(run_long, s.dir, ENOSYS);
    assert_true(walked == 0 || walked == NO_SECCOMP);
    scratch_release(&s);
}

static int run_unreadable(const char *dir)
{
    struct err e;
    const int root_fd = fsio_open_root(dir, NULL); /* before rights are dropped */
    if (root_fd < 0 || (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)))
        return 2;
    err_init(&e);
    return fsio_open_beneath(root_fd, dir, "file", &e) < 0 && e.code == ERR_FILE_DENIED ? 0 : 1;
}

static void test_fsio_open_beneath_reports_denied_files(void **state)
{
    (void)state;
    struct scratch s;
    int status;
    make_tree(&s);
    assert_int_equal(chmod(s.dir, 0755), 0);
    assert_int_equal(chmod(scratch_path(&s, "file"), 0), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run_unreadable(s.dir));
    assert_int_equal(waitpid(child, &status, 0), child);
    scratch_release(&s);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_fsio_open_beneath_leaks_no_descriptor(void **state)
{
    (void)state;
    struct scratch s;
    make_tree(&s);
    const int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    assert_int_equal(run_cases(s.dir), 0);
    const int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(after);
    assert_int_equal(before, after);
    scratch_release(&s);
}

/* While a child exchanges a directory with a link that leads outside, no open may get outside. */
static int run_race(const char *dir)
{
    int opened = 0;
    int root_fd = fsio_open_root(dir, NULL);

    if (root_fd < 0)
        return 2;
    /* on a busy machine the child may sleep through thousands of opens */
    for (int i = 0; i < 3000 || (opened == 0 && i < 3000000); i++) {
        char text[16] = "";
        struct err e;
        err_init(&e);
        const int fd = fsio_open_beneath(root_fd, dir, "swap/file", &e);
        if (fd < 0 && e.code != ERR_FILE_TYPE)
            return 3;
        if (fd < 0)
            continue;
        opened++;
        if (read(fd, text, sizeof text - 1) != 6 || strcmp(text, "inside") != 0)
            return 4;
        close(fd);
    }
    close(root_fd);
    return opened > 0 ? 0 : 5;
}

static void swap_for_ever(struct scratch *s)
{
    char a[1100];
    char b[1100];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(a, sizeof a, "%s/root/swap", s->dir);
    snprintf(b, sizeof b, "%s/root/other", s->dir);
    for (;;) {
        if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0)
            _exit(1);
    }
}

static void test_fsio_open_beneath_wins_the_race_with_a_link(void **state)
{
    (void)state;
    struct scratch s;
    char root[300];
    scratch_init(&s);
    assert_int_equal(mkdir(scratch_path(&s, "outside"), 0700), 0);
    scratch_write(&s, "outside/file", "secret");
    assert_int_equal(mkdir(scratch_path(&s, "root"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(&s, "root/swap"), 0700), 0);
    scratch_write(&s, "root/swap/file", "inside");
    assert_int_equal(symlink("../outside", scratch_path(&s, "root/other")), 0);
    snprintf(root, sizeof root, "%s/root", s.dir);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        swap_for_ever(&s);
    const int with = run_race(root);
    const int walked = without_openat2(run_race, root, ENOSYS);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    scratch_release(&s);
    assert_int_equal(with, 0);
    assert_true(walked == 0 || walked == NO_SECCOMP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsio_open_beneath_with_openat2),
        cmocka_unit_test(test_fsio_open_beneath_without_openat2),
        cmocka_unit_test(test_fsio_open_beneath_in_a_sandbox),
        cmocka_unit_test(test_fsio_open_beneath_takes_absolute_names_below_the_root),
        cmocka_unit_test(test_fsio_open_root_may_be_a_link_or_relative),
        cmocka_unit_test(test_fsio_open_root_refuses_what_is_no_directory),
        cmocka_unit_test(test_fsio_open_beneath_refuses_over_long_names),
        cmocka_unit_test(test_fsio_open_beneath_reports_denied_files),
        cmocka_unit_test(test_fsio_open_beneath_leaks_no_descriptor),
        cmocka_unit_test(test_fsio_open_beneath_wins_the_race_with_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
