/* dir_world: a directory store in a folder of the test's own. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_UNIT_OBJECT_DIR_WORLD_H
#define BLOBFERRY_TESTS_UNIT_OBJECT_DIR_WORLD_H

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/object/objstore.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    char dir[256];
    char root[300]; /* DIR/store: there, unless the test wants it otherwise */
    char path[5000];
    struct objstore *store;
    struct err err;
};

static inline void world_open_store(struct world *w)
{
    char target[512];

    (void)snprintf(target, sizeof target, "file://%s", w->root);
    if (objstore_open(&w->store, &(struct objstore_options){.target = target}, &w->err) != ERR_OK)
        fail_msg("%s", w->err.message);
}

static inline void world_open(struct world *w)
{
    const char *base = getenv("TMPDIR");

    memset(w, 0, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s/blobferry-dir-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->root, sizeof w->root, "%s/store", w->dir);
    assert_int_equal(mkdir(w->root, 0700), 0);
    world_open_store(w);
}

static inline int world_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void world_close(struct world *w)
{
    objstore_close(w->store);
    assert_int_equal(nftw(w->dir, world_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* A path below the root; borrowed until the next call. */
static inline const char *world_path(struct world *w, const char *name)
{
    (void)snprintf(w->path, sizeof w->path, "%s/%s", w->root, name);
    return w->path;
}

struct got {
    int calls;
    struct objstore_result r;
};

static inline void got_it(void *user, const struct objstore_result *r)
{
    struct got *g = user;
    g->calls++;
    g->r = *r;
}

static inline struct objstore_put world_put_of(const char *key, const char *text)
{
    static char sha256[8][DIGEST_SHA256_HEX];
    static size_t next;
    char *hex = sha256[next++ % 8];

    digest_sha256_hex(text, strlen(text), hex);
    return (struct objstore_put){.key = key,
                                 .data = text,
                                 .fd = -1,
                                 .size = strlen(text),
                                 .sha256 = hex,
                                 .condition = OBJSTORE_IF_ABSENT,
                                 .meta = {.record_id = "r-1", .sha256 = hex}};
}

static inline struct objstore_result world_put(struct world *w, const struct objstore_put *p)
{
    struct got g = {0};

    assert_int_equal(objstore_put(w->store, p, got_it, &g, &w->err), ERR_OK);
    while (g.calls == 0)
        assert_int_equal(objstore_run(w->store, 100, &w->err), ERR_OK);
    assert_int_equal(g.calls, 1);
    return g.r;
}

static inline struct objstore_result world_put_text(struct world *w, const char *key,
                                                    const char *text)
{
    const struct objstore_put p = world_put_of(key, text);
    return world_put(w, &p);
}

static inline struct objstore_result world_stat(struct world *w, const char *key)
{
    struct objstore_result r;
    assert_int_equal(objstore_stat_wait(w->store, key, &r, &w->err), ERR_OK);
    return r;
}

static inline void world_write(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    assert_int_equal(close(fd), 0);
}

/* Regular files below the root's folder `name`. */
static inline int world_count_one(const char *path, const struct stat *st, int type,
                                  struct FTW *ftw);
static int world_counted;
static inline int world_count_one(const char *path, const struct stat *st, int type,
                                  struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    world_counted += type == FTW_F;
    return 0;
}

static inline int world_count(struct world *w, const char *name)
{
    world_counted = 0;
    (void)nftw(world_path(w, name), world_count_one, 16, FTW_PHYS);
    return world_counted;
}

#endif
