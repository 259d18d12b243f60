/* dir: a local directory as an object store.
 *
 *     ROOT/<key>                                     the bytes of each object, under its own key
 *     ROOT/.blobferry/meta/<hh>/<sha256(key)>-<etag> its metadata
 *     ROOT/.blobferry/tmp/                           what is being written
 *     ROOT/.blobferry/uploads/<id>, <id>.key         multipart uploads under way or left behind
 *
 * The ETag is made of the size and of a modification time that is unique to the nanosecond; since the side file bears it in its
 * name, bytes and metadata belong together though two files cannot change at once: whoever changes the bytes changes the
 * ETag, and loses the metadata. A side file is durable before the bytes appear. */
#ifndef BLOBFERRY_SRC_OBJECT_DIR_H
#define BLOBFERRY_SRC_OBJECT_DIR_H

#include "driver.h"

#include <sys/stat.h>

#define DIR_PRIVATE ".blobferry"

struct dir_job;
/* Names of one directory, sorted, kept between two pages of a listing. */
struct dir_window {
    char **names; /* owned; directories end in '/' */
    size_t count, cap;
    size_t next; /* the first that is not listed yet */
    bool cut;    /* the directory has more names after these */
};
struct dir_store {
    struct objstore base;
    char *path;  /* of the root */
    int root_fd; /* -1 while the root is not there */
    struct dir_job *jobs, **jobs_end;
    size_t job_count;
    struct objstore_requests counts;
    unsigned char *slice; /* DIR_SLICE bytes for copying */
    bool swept;           /* dead temporaries were removed */
    struct {              /* where the last page ended */
        char *dir;        /* owned, NULL nothing kept */
        char *prefix;     /* of that listing, owned */
        struct dir_window window;
        uint64_t changes;
        int64_t read_ms;
    } list;
    uint64_t changes; /* own PUTs and DELETEs */
};
#define DIR_SLICE ((size_t)1 << 20)

/* One operation that waits for objstore_run. `step` returns true when it has called back; `cancel` calls back with CANCELLED.
 * Either is followed by `release`, which frees what is inside and the job. */
struct dir_job {
    struct dir_job *next;
    bool (*step)(struct dir_store *s, struct dir_job *j);
    void (*cancel)(struct dir_job *j);
    void (*release)(struct dir_job *j);
};
void dir_submit(struct dir_store *s, struct dir_job *j);

/* A job with one result. `key` and `extra` (ETag, upload id or NULL) are copied. */
struct dir_op {
    struct dir_job job;
    objstore_done_fn *done;
    void *user;
    char *key, *extra;
    struct objstore_result result; /* starts as DONE, size -1 */
};
/* `size` bytes, zeroed, that begin with a struct dir_op; NULL with e filled. */
void *dir_op_new(size_t size, const char *key, const char *extra, objstore_done_fn *done,
                 void *user, struct err *e);
void dir_op_cancel(struct dir_job *j);
void dir_op_release(struct dir_job *j);
bool dir_op_end(struct dir_op *op); /* calls back; returns true */
/* Fill a result from errno: the class of failure decides whether the file or the run fails. Returns true, for steps. */
void dir_fault(struct objstore_result *r, int errnum, const char *what, const char *key);
void dir_reject(struct objstore_result *r, const char *key, const char *why);
void dir_absent(struct objstore_result *r, const char *key);

/* ---- dir_path: names to descriptors, never through a symbolic link -------------------------------- */
/* The folder that `key` lies in, as a descriptor that can be synced, and its last segment in `leaf`. -1 with r filled:
 * ABSENT, REJECTED, DENIED or UNAVAILABLE. `create` makes folders, durably. */
int dir_path_parent(struct dir_store *s, const char *key, bool create, const char **leaf,
                    struct objstore_result *r);
/* ROOT/.blobferry/<name>, made when it is not there. */
int dir_path_private(struct dir_store *s, const char *name, struct objstore_result *r);
/* Makes the root when its own parent is there. */
bool dir_path_root(struct dir_store *s, bool create, struct objstore_result *r);
/* Remove folders that `key` has left empty. */
void dir_path_prune(struct dir_store *s, const char *key);

/* ---- dir_meta --------------------------------------------------------------------------------------- */
#define DIR_ETAG_SIZE 40
void dir_meta_etag(const struct stat *st, char etag[DIR_ETAG_SIZE]);
/* What is known of an object, from its stat and its side file. */
void dir_meta_read(struct dir_store *s, const char *key, const struct stat *st,
                   struct objinfo *info);
bool dir_meta_write(struct dir_store *s, const struct objstore_put *p, const char *etag,
                    struct objstore_result *r);
void dir_meta_remove(struct dir_store *s, const char *key, const char *etag);

/* ---- dir_get ------------------------------------------------------------------------------------------ */
/* Stat of the object, r->info filled. False with r filled: ABSENT, REJECTED, ... `parent` as from dir_path_parent. */
bool dir_get_look(struct dir_store *s, int parent, const char *leaf, const char *key,
                  struct objstore_result *r);
enum err_code dir_get_stat(struct objstore *s, const char *key, objstore_done_fn *done, void *user,
                           struct err *e);
enum err_code dir_get_start(struct objstore *s, const struct objstore_get *in,
                            objstore_done_fn *done, void *user, struct err *e);

/* ---- dir_put ------------------------------------------------------------------------------------------ */
enum err_code dir_put_start(struct objstore *s, const struct objstore_put *in,
                            objstore_done_fn *done, void *user, struct err *e);

/* ---- dir_temp: files that are not objects yet ----------------------------------------------------------- */
struct dir_temp {
    int dir_fd; /* the folder it lies in */
    int fd;     /* locked for as long as it is open */
    char name[64];
    bool upload; /* survives its writer, until it is aborted */
};
bool dir_temp_open(struct dir_store *s, const char *key, bool upload, struct dir_temp *t,
                   struct objstore_result *r);
void dir_temp_close(struct dir_temp *t, bool keep);

/* ---- dir_uploads: multipart uploads under way or left behind: ID holds the bytes, ID.key the key; it is there as long as ID.key is */
#define DIR_UPLOAD_FOLDER "uploads"
#define DIR_UPLOAD_KEY    ".key"
void dir_uploads_unlink(int dir, const char *id);
enum err_code dir_uploads_abort(struct objstore *s, const char *key, const char *upload_id,
                                objstore_done_fn *done, void *user, struct err *e);
enum err_code dir_uploads_list(struct objstore *s, const struct objstore_list *in,
                               objstore_page_fn *done, void *user, struct err *e);

/* ---- dir_remove --------------------------------------------------------------------------------------- */
enum err_code dir_remove_start(struct objstore *s, const char *key, const char *if_match,
                               objstore_done_fn *done, void *user, struct err *e);
enum err_code dir_remove_many(struct objstore *s, const struct objstore_bulk_item *items, size_t n,
                              objstore_bulk_fn *done, void *user, struct err *e);

/* ---- dir_list ------------------------------------------------------------------------------------------ */
enum err_code dir_list_start(struct objstore *s, const struct objstore_list *in,
                             objstore_page_fn *done, void *user, struct err *e);

/* ---- dir_window ---------------------------------------------------------------------------------------- */
struct dir_scan {
    const char *path;   /* of the folder, with its '/' */
    const char *prefix; /* of the listing: path begins with its last '/', at least */
    const char *
        after; /* names up to this one are listed, "" none; may lie inside a folder of this one … */
    bool whole; /* … or be a folder all of whose keys are listed */
};
/* False with errno; *w may be released in either case. */
bool dir_window_read(const struct dir_scan *scan, int fd, struct dir_window *w);
void dir_window_release(struct dir_window *w);
/* What the page before left of this very folder, if nothing has changed since that we know of. */
bool dir_window_recall(struct dir_store *s, const struct dir_scan *scan, struct dir_window *w);
/* Takes the window over for the next page. */
void dir_window_keep(struct dir_store *s, const struct dir_scan *scan, struct dir_window *w,
                     int64_t read_ms);
void dir_window_forget(struct dir_store *s);

#endif
