/* capture: what a piece of code prints on standard output and standard error.
 *
 *     struct capture c;
 *     capture_begin(&c);  … print …  capture_end(&c);
 *     assert_string_equal(c.out, "…");  capture_release(&c);
 */
#ifndef BLOBFERRY_TESTS_UNIT_CLI_CAPTURE_H
#define BLOBFERRY_TESTS_UNIT_CLI_CAPTURE_H

#include "unit/base/scratch.h"

struct capture {
    struct scratch scratch;
    int saved[2];
    char *out, *err;
};

static inline void capture_swap(const char *path, int target, int *saved)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    *saved = dup(target);
    assert_true(*saved >= 0);
    assert_int_equal(dup2(fd, target), target);
    close(fd);
}

static inline void capture_begin(struct capture *c)
{
    scratch_init(&c->scratch);
    fflush(stdout);
    fflush(stderr);
    capture_swap(scratch_path(&c->scratch, "out"), STDOUT_FILENO, &c->saved[0]);
    capture_swap(scratch_path(&c->scratch, "err"), STDERR_FILENO, &c->saved[1]);
}

static inline void capture_end(struct capture *c)
{
    fflush(stdout);
    fflush(stderr);
    assert_int_equal(dup2(c->saved[0], STDOUT_FILENO), STDOUT_FILENO);
    assert_int_equal(dup2(c->saved[1], STDERR_FILENO), STDERR_FILENO);
    close(c->saved[0]);
    close(c->saved[1]);
    clearerr(stdout);
    c->out = scratch_read(scratch_path(&c->scratch, "out"));
    c->err = scratch_read(scratch_path(&c->scratch, "err"));
}

static inline void capture_release(struct capture *c)
{
    free(c->out);
    free(c->err);
    scratch_release(&c->scratch);
}

#endif
