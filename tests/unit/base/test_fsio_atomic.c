#include "blobferry/base/fsio.h"
#include "unit/base/scratch.h"

#include <errno.h>
#include <sys/syscall.h>

/* The program's own fsync(2), write(2) and renameat2(2), so that a test can fail them. */
static int fsync_fails_at; /* the nth call from now; 0 never */
static int fsync_calls;
static int write_errno;
static int renameat2_errno;

int fsync(int fd)
{
    if (++fsync_calls == fsync_fails_at) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

ssize_t write(int fd, const void *p, size_t n)
{
    if (write_errno != 0) {
        errno = write_errno;
        return -1;
    }
    return syscall(SYS_write, fd, p, n);
}

int renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name,
              unsigned int flags)
{
    if (renameat2_errno != 0) {
        errno = renameat2_errno;
        return -1;
    }
    return (int)syscall(SYS_renameat2, old_dir, old_name, new_dir, new_name, flags);
}

static void reset_faults(void)
{
    fsync_fails_at = fsync_calls = write_errno = renameat2_errno = 0;
}

static void begin(struct fsio_atomic *a, struct scratch *s, const char *name, const char *text)
{
    assert_int_equal(fsio_atomic_begin(a, scratch_path(s, name), 0600, NULL), ERR_OK);
    assert_int_equal(fsio_atomic_write(a, text, strlen(text), NULL), ERR_OK);
}

static void holds(struct scratch *s, const char *name, const char *expected)
{
    char *text = scratch_read(scratch_path(s, name));
    assert_string_equal(text, expected);
    free(text);
}

static void test_fsio_atomic_new_appears_whole_on_commit(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct stat st;
    scratch_init(&s);
    reset_faults();
    begin(&a, &s, "f", "hello ");
    assert_int_equal(fsio_atomic_write(&a, "world", 5, NULL), ERR_OK);
    assert_false(fsio_exists(scratch_path(&s, "f")));
    assert_int_equal(scratch_count(&s), 1);
    assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, NULL), ERR_OK);
    assert_int_equal(fsync_calls, 2); /* the file, then its directory */
    holds(&s, "f", "hello world");
    assert_int_equal(scratch_count(&s), 1);
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_nlink, 1);
    fsio_atomic_abort(&a);
    assert_true(fsio_exists(s.path));
    scratch_release(&s);
}

static void test_fsio_atomic_new_never_overwrites(void **state)
{
    (void)state;
    static const int reasons[] = {0, EINVAL, ENOSYS}; /* renameat2, then its two fallbacks */
    struct scratch s;
    struct fsio_atomic a;
    struct err e;
    scratch_init(&s);
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        reset_faults();
        scratch_write(&s, "f", "first");
        begin(&a, &s, "f", "second");
        renameat2_errno = reasons[i];
        assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, &e), ERR_CONFLICT);
        assert_non_null(strstr(e.message, "exists already"));
        holds(&s, "f", "first");
        assert_int_equal(scratch_count(&s), 1);
    }
    scratch_release(&s);
}

static void test_fsio_atomic_new_refuses_a_dangling_link(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    scratch_init(&s);
    reset_faults();
    assert_int_equal(symlink("elsewhere", scratch_path(&s, "f")), 0);
    begin(&a, &s, "f", "x");
    assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, NULL), ERR_CONFLICT);
    assert_false(fsio_exists(scratch_path(&s, "elsewhere")));
    assert_int_equal(scratch_count(&s), 1);
    scratch_release(&s);
}

static void test_fsio_atomic_new_works_without_renameat2(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct stat st;
    scratch_init(&s);
    reset_faults();
    begin(&a, &s, "f", "linked");
    renameat2_errno = EINVAL;
    assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, NULL), ERR_OK);
    holds(&s, "f", "linked");
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(scratch_count(&s), 1);
    scratch_release(&s);
}

static void test_fsio_atomic_replace_replaces(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    scratch_init(&s);
    reset_faults();
    scratch_write(&s, "f", "old and longer");
    begin(&a, &s, "f", "new");
    holds(&s, "f", "old and longer");
    assert_int_equal(fsio_atomic_commit(&a, FSIO_REPLACE, NULL), ERR_OK);
    holds(&s, "f", "new");
    begin(&a, &s, "g", "fresh");
    assert_int_equal(fsio_atomic_commit(&a, FSIO_REPLACE, NULL), ERR_OK);
    holds(&s, "g", "fresh");
    assert_int_equal(scratch_count(&s), 2);
    scratch_release(&s);
}

static void test_fsio_atomic_replace_fails_on_a_directory(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct err e;
    scratch_init(&s);
    reset_faults();
    assert_int_equal(mkdir(scratch_path(&s, "d"), 0700), 0);
    begin(&a, &s, "d", "x");
    assert_int_equal(fsio_atomic_commit(&a, FSIO_REPLACE, &e), ERR_FILE_TYPE);
    assert_int_equal(scratch_count(&s), 1);
    scratch_release(&s);
}

static void test_fsio_atomic_abort_leaves_nothing(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    scratch_init(&s);
    reset_faults();
    begin(&a, &s, "f", "never");
    fsio_atomic_abort(&a);
    assert_int_equal(scratch_count(&s), 0);
    fsio_atomic_abort(&a);
    assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, NULL), ERR_GENERAL);
    assert_int_equal(fsio_atomic_write(&a, "x", 1, NULL), ERR_GENERAL);
    scratch_release(&s);
}

static void test_fsio_atomic_begin_fails_cleanly(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct err e;
    scratch_init(&s);
    reset_faults();
    assert_int_equal(fsio_atomic_begin(&a, scratch_path(&s, "no/f"), 0600, &e), ERR_FILE_MISSING);
    assert_non_null(strstr(e.message, "/no/f'"));
    fsio_atomic_abort(&a);
    assert_int_equal(scratch_count(&s), 0);
    scratch_release(&s);
}

static void test_fsio_atomic_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct err e;
    scratch_init(&s);
    reset_faults();
    begin(&a, &s, "f", "part");
    write_errno = ENOSPC;
    const enum err_code code = fsio_atomic_write(&a, "more", 4, &e);
    write_errno = 0;
    assert_int_equal(code, ERR_FILE_SPACE);
    assert_non_null(strstr(e.message, "/f'"));
    fsio_atomic_abort(&a);
    assert_int_equal(scratch_count(&s), 0);
    scratch_release(&s);
}

static void test_fsio_atomic_failed_fsync_is_final(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct err e;
    scratch_init(&s);
    scratch_write(&s, "f", "old");
    reset_faults();
    begin(&a, &s, "f", "new");
    fsync_fails_at = 1;
    assert_int_equal(fsio_atomic_commit(&a, FSIO_REPLACE, &e), ERR_FILE);
    assert_int_equal(fsync_calls, 1); /* a second one might lie (A7) */
    assert_int_equal(fsio_atomic_commit(&a, FSIO_REPLACE, NULL), ERR_GENERAL);
    holds(&s, "f", "old");
    assert_int_equal(scratch_count(&s), 1);
    scratch_release(&s);
}

static void test_fsio_atomic_failed_directory_sync_is_an_error(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    struct err e;
    scratch_init(&s);
    reset_faults();
    begin(&a, &s, "f", "whole");
    fsync_fails_at = 2;
    assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, &e), ERR_FILE);
    holds(&s, "f", "whole"); /* whole, if not provably durable */
    assert_int_equal(scratch_count(&s), 1);
    scratch_release(&s);
}

static void test_fsio_atomic_accepts_the_longest_name(void **state)
{
    (void)state;
    struct scratch s;
    struct fsio_atomic a;
    char name[256];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    scratch_init(&s);
    reset_faults();
    begin(&a, &s, name, "x");
    assert_int_equal(fsio_atomic_commit(&a, FSIO_NEW, NULL), ERR_OK);
    holds(&s, name, "x");
    scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsio_atomic_new_appears_whole_on_commit),
        cmocka_unit_test(test_fsio_atomic_new_never_overwrites),
        cmocka_unit_test(test_fsio_atomic_new_refuses_a_dangling_link),
        cmocka_unit_test(test_fsio_atomic_new_works_without_renameat2),
        cmocka_unit_test(test_fsio_atomic_replace_replaces),
        cmocka_unit_test(test_fsio_atomic_replace_fails_on_a_directory),
        cmocka_unit_test(test_fsio_atomic_abort_leaves_nothing),
        cmocka_unit_test(test_fsio_atomic_begin_fails_cleanly),
        cmocka_unit_test(test_fsio_atomic_full_disk_leaves_nothing),
        cmocka_unit_test(test_fsio_atomic_failed_fsync_is_final),
        cmocka_unit_test(test_fsio_atomic_failed_directory_sync_is_an_error),
        cmocka_unit_test(test_fsio_atomic_accepts_the_longest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
