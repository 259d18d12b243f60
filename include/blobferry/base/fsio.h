/* fsio: files of ours appear atomically (temporary, fsync, rename, fsync of the directory);
 * files of the user are opened confined and read-only (P2). */
#ifndef BLOBFERRY_BASE_FSIO_H
#define BLOBFERRY_BASE_FSIO_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A file that appears under its name only when it is whole.
 *     struct fsio_atomic a;
 *     fsio_atomic_begin(&a, "batches/b-7.json", 0600, e);
 *     fsio_atomic_write(&a, data, n, e);
 *     fsio_atomic_commit(&a, FSIO_NEW, e);      or fsio_atomic_abort(&a);
 */
enum fsio_mode { FSIO_NEW /* fails with ERR_CONFLICT if the name exists */, FSIO_REPLACE };
struct fsio_atomic {
    int fd;
    char *path;
    char *temporary;
};
enum err_code fsio_atomic_begin(struct fsio_atomic *a, const char *path, mode_t mode,
                                struct err *e);
enum err_code fsio_atomic_write(struct fsio_atomic *a, const void *p, size_t n, struct err *e);
enum err_code fsio_atomic_commit(struct fsio_atomic *a, enum fsio_mode mode, struct err *e);
void fsio_atomic_abort(struct fsio_atomic *a); /* harmless after commit */

/* All of n bytes, through short writes and EINTR. */
enum err_code fsio_write_all(int fd, const void *p, size_t n, const char *name, struct err *e);
/* Whole file into b (its maximum is the cap); name is for messages. */
enum err_code fsio_read_file(const char *path, struct buf *b, struct err *e);
/* mkdir -p with the mode given for what is created; existing directories are left alone. */
enum err_code fsio_mkdirs(const char *path, mode_t mode, struct err *e);
enum err_code fsio_sync_dir(const char *path, struct err *e); /* fsync of a directory */
enum err_code fsio_sync_parent(const char *path, struct err *e);
bool fsio_exists(const char *path);

/* Open a directory to be used as the root of confined opens. Symlinks in `path` itself are the
 * operator's own and are followed. Returns an O_PATH descriptor >= 0, or -1 with e filled. */
int fsio_open_root(const char *path, struct err *e);
/* Open `rel` read-only beneath root: openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_MAGICLINKS), O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, regular files only. `rel` may be
 * absolute only if it lies below `root_path`. Returns fd >= 0, or -1 with e filled
 * (ERR_FILE_MISSING, _DENIED, _TYPE, _OUTSIDE). Never blocks on a FIFO; never opens a device. */
int fsio_open_beneath(int root_fd, const char *root_path, const char *rel, struct err *e);
/* The same, and what fstat says of it. */
int fsio_open_stat_beneath(int root_fd, const char *root_path, const char *rel, struct stat *st,
                           struct err *e);
/* What the name stands for now, without opening it: to be compared with what was opened, and not confined: links in the middle
 * of the path are followed. */
bool fsio_stat_beneath(int root_fd, const char *root_path, const char *rel, struct stat *st);

#endif
