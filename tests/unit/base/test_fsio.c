#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "unit/base/scratch.h"

#include <errno.h>
#include <sys/syscall.h>

/* The program's own write(2) and fsync(2), so that a test can shorten and fail them. */
static size_t write_at_most = SIZE_MAX;
static int write_interrupts;
static int fsync_errno;
static int fsync_calls;

ssize_t write(int fd, const void *p, size_t n)
{
    if (write_interrupts > 0) {
        write_interrupts--;
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_write, fd, p, n < write_at_most ? n : write_at_most);
}

int fsync(int fd)
{
    fsync_calls++;
    if (fsync_errno != 0) {
        errno = fsync_errno;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void test_fsio_write_all_goes_on_after_short_writes(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    const int fd = open(scratch_path(&s, "f"), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    write_at_most = 3;
    write_interrupts = 2;
    const enum err_code code = fsio_write_all(fd, "0123456789", 10, "f", NULL);
    write_at_most = SIZE_MAX;
    assert_int_equal(code, ERR_OK);
    assert_int_equal(fsio_write_all(fd, NULL, 0, "f", NULL), ERR_OK);
    close(fd);
    char *text = scratch_read(s.path);
    assert_string_equal(text, "0123456789");
    free(text);
    scratch_release(&s);
}

static void test_fsio_write_all_reports_a_full_device(void **state)
{
    (void)state;
    struct err e;
    err_init(&e);
    const int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(fsio_write_all(fd, "abc", 3, "/the/path", &e), ERR_FILE_SPACE);
    assert_string_equal(e.message, "cannot write '/the/path': No space left on device");
    close(fd);
}

static void test_fsio_write_all_takes_no_progress_for_an_error(void **state)
{
    (void)state;
    const int fd = open("/dev/null", O_WRONLY);
    assert_true(fd >= 0);
    write_at_most = 0;
    const enum err_code code = fsio_write_all(fd, "abc", 3, "x", NULL);
    write_at_most = SIZE_MAX;
    assert_int_equal(code, ERR_FILE_SPACE);
    close(fd);
}

static void test_fsio_read_file_reads_all(void **state)
{
    (void)state;
    struct scratch s;
    struct buf b;
    char *text = malloc(100001);
    assert_non_null(text);
    for (int i = 0; i < 100000; i++)
        text[i] = (char)('a' + i % 26);
    text[100000] = '\0';
    scratch_init(&s);
    scratch_write(&s, "f", text);
    buf_init(&b, 100000);
    buf_str(&b, "what was there before");
    assert_int_equal(fsio_read_file(s.path, &b, NULL), ERR_OK);
    assert_int_equal(b.len, 100000);
    assert_string_equal(b.data, text);
    scratch_write(&s, "f", "");
    assert_int_equal(fsio_read_file(s.path, &b, NULL), ERR_OK);
    assert_int_equal(b.len, 0);
    buf_release(&b);
    free(text);
    scratch_release(&s);
}

static void test_fsio_read_file_is_capped(void **state)
{
    (void)state;
    struct buf b;
    struct err e;
    struct scratch s;
    scratch_init(&s);
    scratch_write(&s, "f", "12345");
    buf_init(&b, 4);
    assert_int_equal(fsio_read_file(s.path, &b, &e), ERR_LIMIT);
    assert_int_equal(fsio_read_file("/dev/zero", &b, &e), ERR_LIMIT);
    buf_release(&b);
    scratch_release(&s);
}

static void test_fsio_read_file_names_what_fails(void **state)
{
    (void)state;
    struct buf b;
    struct err e;
    err_init(&e);
    buf_init(&b, 100);
    assert_int_equal(fsio_read_file("/nonexistent/x", &b, &e), ERR_FILE_MISSING);
    assert_non_null(strstr(e.message, "'/nonexistent/x'"));
    assert_int_equal(fsio_read_file("/", &b, &e), ERR_FILE_TYPE);
    buf_release(&b);
}

static void test_fsio_mkdirs_makes_what_is_missing(void **state)
{
    (void)state;
    struct scratch s;
    struct stat st;
    scratch_init(&s);
    assert_int_equal(fsio_mkdirs(scratch_path(&s, "a//b/c/"), 0700, NULL), ERR_OK);
    assert_int_equal(stat(scratch_path(&s, "a/b/c"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(chmod(scratch_path(&s, "a"), 0750), 0);
    assert_int_equal(fsio_mkdirs(scratch_path(&s, "a/b"), 0700, NULL), ERR_OK);
    assert_int_equal(stat(scratch_path(&s, "a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(fsio_mkdirs("/", 0700, NULL), ERR_OK);
    assert_int_equal(fsio_mkdirs(".", 0700, NULL), ERR_OK);
    scratch_release(&s);
}

static void test_fsio_mkdirs_follows_links_to_directories(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    assert_int_equal(mkdir(scratch_path(&s, "real"), 0700), 0);
    assert_int_equal(symlink("real", scratch_path(&s, "link")), 0);
    assert_int_equal(fsio_mkdirs(scratch_path(&s, "link/sub"), 0700, NULL), ERR_OK);
    assert_true(fsio_exists(scratch_path(&s, "real/sub")));
    scratch_release(&s);
}

static void test_fsio_mkdirs_refuses_files_in_the_way(void **state)
{
    (void)state;
    struct scratch s;
    struct err e;
    scratch_init(&s);
    scratch_write(&s, "f", "x");
    assert_int_equal(fsio_mkdirs(s.path, 0700, &e), ERR_FILE_TYPE);
    assert_int_equal(fsio_mkdirs(scratch_path(&s, "f/sub"), 0700, &e), ERR_FILE_TYPE);
    assert_non_null(strstr(e.message, "/f'"));
    assert_int_equal(symlink("nowhere", scratch_path(&s, "dangling")), 0);
    assert_int_not_equal(fsio_mkdirs(s.path, 0700, &e), ERR_OK);
    assert_int_equal(fsio_mkdirs("", 0700, &e), ERR_FILE_MISSING);
    scratch_release(&s);
}

static void test_fsio_mkdirs_makes_new_entries_durable(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    fsync_calls = 0;
    assert_int_equal(fsio_mkdirs(scratch_path(&s, "a/b"), 0700, NULL), ERR_OK);
    assert_int_equal(fsync_calls, 2);
    assert_int_equal(fsio_mkdirs(s.path, 0700, NULL), ERR_OK);
    assert_int_equal(fsync_calls, 2);
    scratch_release(&s);
}

static void test_fsio_sync_reports_failure_once(void **state)
{
    (void)state;
    struct scratch s;
    struct err e;
    scratch_init(&s);
    assert_int_equal(fsio_sync_dir(s.dir, NULL), ERR_OK);
    fsync_errno = EIO;
    fsync_calls = 0;
    assert_int_equal(fsio_sync_dir(s.dir, &e), ERR_FILE);
    assert_int_equal(fsync_calls, 1); /* never retried (A7) */
    fsync_errno = ENOSPC;
    assert_int_equal(fsio_sync_parent(scratch_path(&s, "x"), &e), ERR_FILE_SPACE);
    fsync_errno = EINVAL; /* the file system cannot sync directories */
    assert_int_equal(fsio_sync_dir(s.dir, &e), ERR_OK);
    fsync_errno = 0;
    assert_int_equal(fsio_sync_dir(scratch_path(&s, "none"), &e), ERR_FILE_MISSING);
    scratch_release(&s);
}

static void test_fsio_sync_parent_finds_the_parent(void **state)
{
    (void)state;
    struct scratch s;
    struct err e;
    scratch_init(&s);
    assert_int_equal(fsio_sync_parent("name", NULL), ERR_OK);
    assert_int_equal(fsio_sync_parent("/name", NULL), ERR_OK);
    assert_int_equal(fsio_sync_parent("/", NULL), ERR_OK);
    assert_int_equal(fsio_sync_parent(scratch_path(&s, "x"), NULL), ERR_OK);
    assert_int_equal(fsio_sync_parent(scratch_path(&s, "x//"), NULL), ERR_OK);
    assert_int_equal(fsio_sync_parent(scratch_path(&s, "no/x"), &e), ERR_FILE_MISSING);
    assert_true(str_ends(e.message, "/no': No such file or directory"));
    scratch_release(&s);
}

static void test_fsio_exists_sees_names(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    assert_true(fsio_exists(s.dir));
    assert_false(fsio_exists(scratch_path(&s, "x")));
    assert_int_equal(symlink("nowhere", s.path), 0);
    assert_true(fsio_exists(s.path)); /* a dangling link is a name that is taken */
    scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsio_write_all_goes_on_after_short_writes),
        cmocka_unit_test(test_fsio_write_all_reports_a_full_device),
        cmocka_unit_test(test_fsio_write_all_takes_no_progress_for_an_error),
        cmocka_unit_test(test_fsio_read_file_reads_all),
        cmocka_unit_test(test_fsio_read_file_is_capped),
        cmocka_unit_test(test_fsio_read_file_names_what_fails),
        cmocka_unit_test(test_fsio_mkdirs_makes_what_is_missing),
        cmocka_unit_test(test_fsio_mkdirs_follows_links_to_directories),
        cmocka_unit_test(test_fsio_mkdirs_refuses_files_in_the_way),
        cmocka_unit_test(test_fsio_mkdirs_makes_new_entries_durable),
        cmocka_unit_test(test_fsio_sync_reports_failure_once),
        cmocka_unit_test(test_fsio_sync_parent_finds_the_parent),
        cmocka_unit_test(test_fsio_exists_sees_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
