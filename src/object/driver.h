/* driver: what a driver of objstore provides. One static const table per driver; its store begins with struct objstore.
 *
 * A driver's submit functions copy their arguments, return before anything is called back, and call back exactly once from
 * run, cancel_all or close. Keys have passed objkey_check when a driver sees them, those of remove_many and list excepted. */
#ifndef BLOBFERRY_SRC_OBJECT_DRIVER_H
#define BLOBFERRY_SRC_OBJECT_DRIVER_H

#include "blobferry/object/objstore.h"

struct driver_deferred;

struct objstore {
    const struct objstore_ops *ops;
    enum objstore_profile profile;
    unsigned features;
    bool probed;
    bool closing; /* nothing is submitted any more */
    char *prefix; /* owned, "" none */
    char *name;   /* owned */
    struct driver_deferred *deferred, **deferred_end;
    size_t deferred_count;
};

/* A target taken apart; strings are owned. */
struct driver_target {
    char *place;  /* bucket, or absolute path of the directory */
    char *prefix; /* of keys, "" none */
};

struct objstore_ops {
    const char *scheme; /* "s3://" */
    bool resumes;       /* put honours resume_upload */
    enum err_code (*parse)(const char *rest, struct driver_target *t, struct err *e);
    /* Allocates the store, zeroed, and sets its profile, features and name. */
    enum err_code (*open)(struct objstore **out, const struct driver_target *t,
                          const struct objstore_options *o, struct err *e);
    void (*close)(struct objstore *s); /* frees the store, callbacks first */

    enum err_code (*stat)(struct objstore *s, const char *key, objstore_done_fn *done, void *user,
                          struct err *e);
    enum err_code (*get)(struct objstore *s, const struct objstore_get *g, objstore_done_fn *done,
                         void *user, struct err *e);
    enum err_code (*put)(struct objstore *s, const struct objstore_put *p, objstore_done_fn *done,
                         void *user, struct err *e);
    enum err_code (*remove)(struct objstore *s, const char *key, const char *if_match,
                            objstore_done_fn *done, void *user, struct err *e);
    enum err_code (*remove_many)(struct objstore *s, const struct objstore_bulk_item *items,
                                 size_t n, objstore_bulk_fn *done, void *user, struct err *e);
    enum err_code (*abort)(struct objstore *s, const char *key, const char *upload_id,
                           objstore_done_fn *done, void *user, struct err *e);
    enum err_code (*list)(struct objstore *s, const struct objstore_list *l, objstore_page_fn *done,
                          void *user, struct err *e);
    enum err_code (*list_uploads)(struct objstore *s, const struct objstore_list *l,
                                  objstore_page_fn *done, void *user, struct err *e);
    enum err_code (*ping)(struct objstore *s, objstore_done_fn *done, void *user, struct err *e);

    enum err_code (*run)(struct objstore *s, int timeout_ms, struct err *e);
    void (*wakeup)(struct objstore *s); /* optional: where run may sleep */
    size_t (*active)(const struct objstore *s);
    void (*cancel_all)(struct objstore *s);
    void (*requests)(const struct objstore *s, struct objstore_requests *out);
    int64_t (*skew_ms)(const struct objstore *s);           /* optional */
    bool (*lead_ms)(const struct objstore *s, int64_t *ms); /* optional */
    struct limiter *(*limiter)(struct objstore *s);         /* optional */
    /* Optional: blocks; NULL: what open said is all there is to know. */
    enum err_code (*probe)(struct objstore *s, unsigned *features, struct err *e);
};

extern const struct objstore_ops s3_ops;
extern const struct objstore_ops dir_ops;

/* The features a profile promises without a probe. */
unsigned objstore_profile_features(enum objstore_profile p);

/* A key as it may stand in a message: printable, and short enough to leave room for what is said of it. */
struct driver_shown {
    char text[200];
};
struct driver_shown driver_shown(const char *key);

#endif
