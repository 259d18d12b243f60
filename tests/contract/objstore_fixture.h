/* objstore_fixture: a store of each kind for the contract suite, and blocking helpers. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_CONTRACT_OBJSTORE_FIXTURE_H
#define BLOBFERRY_TESTS_CONTRACT_OBJSTORE_FIXTURE_H

#include "blobferry/base/buf.h"
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

#define FIXTURE_LIMIT_MS 60000 /* a test that hangs fails by then */
#define FIXTURE_KEYS     8
#define MIB              ((size_t)1 << 20)

enum fixture_kind { FIXTURE_DIR, FIXTURE_S3 };

struct fixture {
    enum fixture_kind kind;
    struct objstore *store; /* NULL: there is none of this kind here */
    struct objstore_credentials credentials;
    char dir[256];
    char target[512];
    char prefix[64]; /* of all keys of this test */
    char keys[FIXTURE_KEYS][1200];
    size_t next_key;
    struct err err;
};

/* prefix + name; good for a few calls. */
static inline const char *fixture_key(struct fixture *f, const char *name)
{
    char *key = f->keys[f->next_key++ % FIXTURE_KEYS];
    (void)snprintf(key, sizeof f->keys[0], "%s%s", f->prefix, name);
    return key;
}

static inline const char *fixture_env(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* False when the environment names no S3 server. */
static inline bool fixture_s3_options(struct fixture *f, struct objstore_options *o)
{
    const char *endpoint = fixture_env("BLOBFERRY_TEST_S3_ENDPOINT");
    const char *bucket = fixture_env("BLOBFERRY_TEST_S3_BUCKET");
    const char *key = fixture_env("AWS_ACCESS_KEY_ID");
    const char *secret = fixture_env("AWS_SECRET_ACCESS_KEY");

    if (endpoint == NULL || bucket == NULL || key == NULL || secret == NULL)
        return false;
    (void)snprintf(f->target, sizeof f->target, "s3://%s", bucket);
    str_copy(f->credentials.access_key, sizeof f->credentials.access_key, key);
    if (!secret_is_set(&f->credentials.secret))
        assert_int_equal(secret_set(&f->credentials.secret, secret, strlen(secret), NULL), ERR_OK);
    *o = (struct objstore_options){.target = f->target,
                                   .endpoint_url = endpoint,
                                   .credentials = &f->credentials,
                                   .profile = OBJSTORE_CEPH};
    return true;
}

static inline struct objstore *fixture_open(struct fixture *f)
{
    struct objstore_options o = {.target = f->target};
    struct objstore *s = NULL;

    if (f->kind == FIXTURE_S3 && !fixture_s3_options(f, &o))
        return NULL;
    if (f->kind == FIXTURE_DIR)
        (void)snprintf(f->target, sizeof f->target, "file://%s", f->dir);
    assert_int_equal(objstore_open(&s, &o, &f->err), ERR_OK);
    return s;
}

/* The store of this test; skips where there is none. */
static inline struct fixture *fixture_of(void **state)
{
    struct fixture *f = *state;
    if (f->store == NULL)
        skip();
    return f;
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

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

static inline void fixture_run(struct fixture *f, const int *calls, int wanted)
{
    const int64_t deadline = clock_mono_ms() + FIXTURE_LIMIT_MS;

    while (*calls < wanted) {
        assert_int_equal(objstore_run(f->store, 100, &f->err), ERR_OK);
        if (clock_mono_ms() > deadline)
            fail_msg("no answer within %d ms", FIXTURE_LIMIT_MS);
    }
    assert_int_equal(*calls, wanted);
}

/* Fails with what the store said. */
static inline void expect_outcome(const struct objstore_result *r, enum objstore_outcome wanted)
{
    if (r->outcome != wanted)
        fail_msg("outcome %d instead of %d: %s (%s)", r->outcome, wanted, r->err.message,
                 r->err.hint);
    if (wanted == OBJSTORE_DONE)
        assert_int_equal(r->err.code, ERR_OK);
    else
        assert_int_not_equal(r->err.code, ERR_OK);
}

/* ---- objects ------------------------------------------------------------------------------------------- */

struct object {
    const void *data; /* or fd */
    int fd;
    size_t size;
    char sha256[DIGEST_SHA256_HEX];
    struct objstore_put put;
};

/* A PUT of `data` by record "record-1" of batch "batch-1", to be changed at will. */
static inline struct object object_of(const char *key, const void *data, size_t size)
{
    struct object o = {.data = data, .fd = -1, .size = size};

    digest_sha256_hex(data, size, o.sha256);
    o.put = (struct objstore_put){.key = key,
                                  .data = data,
                                  .fd = -1,
                                  .size = size,
                                  .condition = OBJSTORE_IF_ABSENT,
                                  .meta = {.record_id = "record-1",
                                           .batch_id = "batch-1",
                                           .filename = "photo.jpg",
                                           .content_type = "image/jpeg"}};
    return o;
}

static inline struct objstore_result fixture_put(struct fixture *f, struct object *o)
{
    struct got g = {0};

    o->put.sha256 = o->put.meta.sha256 = o->sha256;
    assert_int_equal(objstore_put(f->store, &o->put, got_it, &g, &f->err), ERR_OK);
    assert_int_equal(g.calls, 0); /* never from inside the submit */
    fixture_run(f, &g.calls, 1);
    return g.r;
}

static inline struct objstore_result fixture_put_text(struct fixture *f, const char *key,
                                                      const char *text)
{
    struct object o = object_of(key, text, strlen(text));
    const struct objstore_result r = fixture_put(f, &o);

    expect_outcome(&r, OBJSTORE_DONE);
    return r;
}

static inline struct objstore_result fixture_stat(struct fixture *f, const char *key)
{
    struct objstore_result r;

    assert_int_equal(objstore_stat_wait(f->store, key, &r, &f->err), ERR_OK);
    return r;
}

static inline struct objstore_result fixture_remove(struct fixture *f, const char *key,
                                                    const char *if_match)
{
    struct objstore_result r;

    assert_int_equal(objstore_remove_wait(f->store, key, if_match, &r, &f->err), ERR_OK);
    return r;
}

struct reading {
    struct buf b;
    bool stop;
};

static inline bool reading_take(void *user, const void *p, size_t n)
{
    struct reading *r = user;

    if (p == NULL && n == 0) {
        buf_reset(&r->b);
        return true;
    }
    return !r->stop && buf_append(&r->b, p, n);
}

static inline struct objstore_result fixture_get(struct fixture *f, struct objstore_get *in,
                                                 struct reading *out)
{
    struct got g = {0};

    buf_reset(&out->b);
    in->sink = reading_take;
    in->sink_user = out;
    assert_int_equal(objstore_get(f->store, in, got_it, &g, &f->err), ERR_OK);
    fixture_run(f, &g.calls, 1);
    return g.r;
}

static inline void expect_content(struct fixture *f, const char *key, const void *data, size_t n)
{
    struct reading out = {.stop = false};
    struct objstore_get in = {.key = key};

    buf_init(&out.b, n + 1);
    const struct objstore_result r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(out.b.len, n);
    if (n > 0)
        assert_memory_equal(out.b.data, data, n);
    buf_release(&out.b);
}

static inline void expect_absent(struct fixture *f, const char *key)
{
    const struct objstore_result r = fixture_stat(f, key);
    expect_outcome(&r, OBJSTORE_ABSENT);
    assert_int_equal(r.err.code, ERR_NOTFOUND);
}

/* ---- lists ----------------------------------------------------------------------------------------------- */

#define LISTED_MAX 600
struct listed {
    int calls, pages;
    struct objstore_result r;
    size_t n;
    char *keys[LISTED_MAX];
    char *upload_ids[LISTED_MAX];
    int64_t sizes[LISTED_MAX];
    char etags[LISTED_MAX][OBJINFO_ETAG_MAX];
    int64_t modified[LISTED_MAX];
    char *next; /* token, NULL at the end */
};

static inline void listed_take(void *user, const struct objstore_result *r,
                               const struct objstore_page *page)
{
    struct listed *l = user;

    l->calls++;
    l->pages++;
    l->r = *r;
    for (size_t i = 0; i < page->n; i++) {
        const struct objstore_entry *entry = &page->entries[i];
        assert_true(l->n < LISTED_MAX);
        assert_int_equal(strlen(entry->key), entry->key_len);
        l->keys[l->n] = str_dup(entry->key);
        l->upload_ids[l->n] = str_dup(entry->upload_id);
        l->sizes[l->n] = entry->size;
        l->modified[l->n] = entry->last_modified_ms;
        str_copy(l->etags[l->n], sizeof l->etags[0], entry->etag);
        l->n++;
    }
    free(l->next);
    l->next = str_dup(page->next);
}

static inline void listed_release(struct listed *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->keys[i]);
        free(l->upload_ids[i]);
    }
    free(l->next);
    free(l);
}

/* All pages. */
static inline struct listed *fixture_list(struct fixture *f, const struct objstore_list *in,
                                          bool uploads)
{
    struct listed *l = calloc(1, sizeof *l);
    struct objstore_list page = *in;

    assert_non_null(l);
    do {
        char *token = l->next;
        l->next = NULL;
        page.token = token;
        l->calls = 0;
        assert_int_equal(uploads ? objstore_list_uploads(f->store, &page, listed_take, l, &f->err)
                                 : objstore_list(f->store, &page, listed_take, l, &f->err),
                         ERR_OK);
        fixture_run(f, &l->calls, 1);
        free(token);
        expect_outcome(&l->r, OBJSTORE_DONE);
        assert_true(l->pages < LISTED_MAX + 2);
    } while (l->next != NULL);
    return l;
}

static inline size_t fixture_count_uploads(struct fixture *f)
{
    struct listed *l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix}, true);
    const size_t n = l->n;

    listed_release(l);
    return n;
}

/* ---- files ------------------------------------------------------------------------------------------------- */

/* Bytes that repeat nowhere near, the same in every run. */
static inline unsigned char *pattern(size_t n, uint64_t seed)
{
    unsigned char *p = malloc(n + 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        p[i] = (unsigned char)(seed >> 32);
    }
    return p;
}

/* An unlinked file with these bytes. */
static inline int file_of(const void *data, size_t n)
{
    const char *base = fixture_env("TMPDIR");
    const int fd = open(base == NULL ? "/tmp" : base, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    for (size_t at = 0; at < n;) {
        const ssize_t w = write(fd, (const char *)data + at, n - at);
        assert_true(w > 0);
        at += (size_t)w;
    }
    return fd;
}

/* ---- set up and tear down ------------------------------------------------------------------------------------ */

static inline int fixture_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int fixture_setup(void **state, enum fixture_kind kind)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *base = fixture_env("TMPDIR");
    char id[CLOCK_UUID_SIZE];

    assert_non_null(f);
    f->kind = kind;
    secret_init(&f->credentials.secret);
    secret_init(&f->credentials.session_token);
    clock_uuid(id);
    (void)snprintf(f->prefix, sizeof f->prefix, "contract-%s/", id + 24);
    (void)snprintf(f->dir, sizeof f->dir, "%s/blobferry-objstore-XXXXXX",
                   base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(f->dir));
    f->store = fixture_open(f);
    *state = f;
    return 0;
}

static inline int fixture_setup_dir(void **state)
{
    return fixture_setup(state, FIXTURE_DIR);
}

static inline int fixture_setup_s3(void **state)
{
    return fixture_setup(state, FIXTURE_S3);
}

/* Nothing is left in a bucket that outlives us. */
static inline void fixture_empty(struct fixture *f)
{
    struct listed *l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix}, false);
    struct listed *u = fixture_list(f, &(struct objstore_list){.prefix = f->prefix}, true);
    struct objstore_result r;

    for (size_t i = 0; i < l->n; i++)
        (void)objstore_remove_wait(f->store, l->keys[i], NULL, &r, NULL);
    for (size_t i = 0; i < u->n; i++)
        (void)objstore_abort_wait(f->store, u->keys[i], u->upload_ids[i], &r, NULL);
    listed_release(l);
    listed_release(u);
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    if (f->kind == FIXTURE_S3 && f->store != NULL)
        fixture_empty(f);
    objstore_close(f->store);
    secret_release(&f->credentials.secret);
    (void)nftw(f->dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

#endif
