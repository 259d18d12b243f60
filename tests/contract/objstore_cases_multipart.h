/* objstore_cases_multipart: large objects in parts, and what becomes of uploads that fail. */
#ifndef BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_MULTIPART_H
#define BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_MULTIPART_H

#include "contract/objstore_fixture.h"

#define PART (5 * MIB)

struct upload {
    struct fixture *f;
    int calls;
    char id[256];
    uint64_t part_size;
    bool fail;
    int spoil; /* fd to change when the upload begins */
    uint64_t puts_before;
};

static enum err_code on_upload(void *user, const char *upload_id, uint64_t part_size, struct err *e)
{
    struct upload *u = user;
    struct objstore_requests n;

    objstore_requests(u->f->store, &n);
    u->puts_before = n.put;
    u->calls++;
    u->part_size = part_size;
    str_copy(u->id, sizeof u->id, upload_id);
    if (u->spoil > 0)
        assert_int_equal(pwrite(u->spoil, "#", 1, (off_t)PART + 3), 1);
    return u->fail ? err_set(e, ERR_DB, "the upload cannot be recorded") : ERR_OK;
}

static struct object large(struct fixture *f, struct upload *u, const char *key, const void *bytes,
                           size_t n)
{
    struct object o = object_of(key, bytes, n);

    *u = (struct upload){.f = f};
    o.put.part_size = PART;
    o.put.on_upload = on_upload;
    o.put.upload_user = u;
    return o;
}

static void expect_large(struct fixture *f, size_t n, bool from_file, bool hashed)
{
    unsigned char *bytes = pattern(n, n);
    unsigned char sums[8][32];
    struct upload u;
    const char *key = fixture_key(f, "large");
    struct object o = large(f, &u, key, bytes, n);
    const int fd = from_file ? file_of(bytes, n) : -1;
    struct objstore_result r;

    for (size_t i = 0; i * PART < n; i++)
        digest_sha256(bytes + i * PART, n - i * PART < PART ? n - i * PART : PART, sums[i]);
    if (from_file) {
        o.put.data = NULL;
        o.put.fd = fd;
    }
    if (hashed)
        o.put.part_sha256 = (const unsigned char(*)[32])sums;
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    assert_int_equal(u.calls, 1);
    assert_int_equal(u.part_size, PART);
    assert_string_not_equal(u.id, "");
    assert_int_equal(fixture_count_uploads(f), 0);
    const struct objstore_result stat = fixture_stat(f, key);
    assert_int_equal(stat.info.size, n);
    assert_string_equal(stat.info.etag, r.info.etag);
    assert_string_not_equal(stat.info.etag, "");
    assert_string_equal(stat.info.record_id, "record-1");
    assert_string_equal(stat.info.batch_id, "batch-1");
    assert_string_equal(stat.info.sha256, o.sha256);
    assert_string_equal(stat.info.content_type, "image/jpeg");
    assert_int_equal(objstore_hash_wait(f->store, key, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(r.info.sha256, o.sha256);
    assert_int_equal(r.info.size, n);
    r = fixture_remove(f, key, stat.info.etag);
    expect_outcome(&r, OBJSTORE_DONE);
    if (fd >= 0)
        assert_int_equal(close(fd), 0);
    free(bytes);
}

static void test_objstore_multipart_around_part_boundaries(void **state)
{
    struct fixture *f = fixture_of(state);

    expect_large(f, PART + 1, true, false);
    expect_large(f, 2 * PART - 1, true, true);
    expect_large(f, 2 * PART, true, false);
    expect_large(f, 2 * PART + 1, true, true);
    expect_large(f, PART, true, false); /* one part */
}

static void test_objstore_multipart_from_memory(void **state)
{
    struct fixture *f = fixture_of(state);

    expect_large(f, 2 * PART + 100, false, false);
    expect_large(f, 2 * PART + 100, false, true);
}

static void test_objstore_multipart_never_overwrites(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "taken");
    unsigned char *bytes = pattern(PART + 10, 5);
    struct upload u;
    struct object o = large(f, &u, key, bytes, PART + 10);
    struct objstore_result r;

    fixture_put_text(f, key, "small");
    o.put.meta.record_id = "record-2";
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.record_id, "record-1");
    assert_int_equal(fixture_count_uploads(f), 0);
    expect_content(f, key, "small", 5);
    o.put.condition = OBJSTORE_OVERWRITE;
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_content(f, key, bytes, PART + 10);
    /* and once more, if it is ours already */
    o.put.condition = OBJSTORE_IF_ABSENT;
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    assert_int_equal(u.calls, 1); /* without an upload */
    assert_int_equal(fixture_count_uploads(f), 0);
    free(bytes);
}

/* P11: an upload that cannot be recorded is not left behind. */
static void test_objstore_multipart_not_recorded_is_aborted(void **state)
{
    struct fixture *f = fixture_of(state);
    unsigned char *bytes = pattern(PART + 1, 6);
    struct upload u;
    struct object o = large(f, &u, fixture_key(f, "unrecorded"), bytes, PART + 1);
    struct objstore_requests n;

    u.fail = true;
    const struct objstore_result r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_DB);
    assert_string_equal(r.err.message, "the upload cannot be recorded");
    assert_int_equal(u.calls, 1);
    if (f->kind == FIXTURE_S3) { /* told before the first part is sent */
        objstore_requests(f->store, &n);
        assert_int_equal(n.put, u.puts_before);
    }
    assert_int_equal(fixture_count_uploads(f), 0);
    expect_absent(f, o.put.key);
    free(bytes);
}

/* P1: the source changes between the hashing and the sending of a part. */
static void test_objstore_multipart_of_a_changing_file_fails(void **state)
{
    struct fixture *f = fixture_of(state);
    const size_t n = 2 * PART + 5;
    unsigned char *bytes = pattern(n, 7);
    unsigned char sums[3][32];
    struct upload u;

    for (int hashed = 0; hashed < 2; hashed++) {
        struct object o = large(f, &u, fixture_key(f, "changing"), bytes, n);
        for (size_t i = 0; i < 3; i++)
            digest_sha256(bytes + i * PART, i < 2 ? PART : 5, sums[i]);
        o.put.part_sha256 = hashed == 1 ? (const unsigned char(*)[32])sums : NULL;
        o.put.data = NULL;
        o.put.fd = u.spoil = file_of(bytes, n);
        const struct objstore_result r = fixture_put(f, &o);
        expect_outcome(&r, OBJSTORE_LOCAL);
        assert_int_equal(r.err.code, ERR_FILE_CHANGED);
        assert_int_equal(u.calls, 1);
        assert_int_equal(fixture_count_uploads(f), 0);
        expect_absent(f, o.put.key);
        assert_int_equal(close(o.put.fd), 0);
    }
    free(bytes);
}

/* Cancelled half-way, as by a signal: the upload stays, is found by whoever comes next, and aborted. */
static void test_objstore_multipart_cancelled_can_be_aborted(void **state)
{
    struct fixture *f = fixture_of(state);
    const size_t n = 4 * PART;
    unsigned char *bytes = pattern(n, 8);
    const char *key = fixture_key(f, "cancelled & found");
    struct upload u;
    struct object o = large(f, &u, key, bytes, n);
    struct got g = {0};
    struct listed *l;
    struct objstore_result r;

    o.put.sha256 = o.sha256;
    assert_int_equal(objstore_put(f->store, &o.put, got_it, &g, &f->err), ERR_OK);
    while (u.calls == 0)
        assert_int_equal(objstore_run(f->store, 0, &f->err), ERR_OK);
    assert_int_equal(g.calls, 0);
    objstore_cancel_all(f->store);
    assert_int_equal(g.calls, 1);
    expect_outcome(&g.r, OBJSTORE_CANCELLED);
    assert_int_equal(objstore_active(f->store), 0);
    expect_absent(f, key);
    l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix, .max = 1}, true);
    assert_int_equal(l->n, 1);
    assert_string_equal(l->keys[0], key);
    assert_string_equal(l->upload_ids[0], u.id);
    listed_release(l);
    assert_int_equal(objstore_abort_wait(f->store, fixture_key(f, "other"), u.id, &r, &f->err),
                     ERR_OK);
    assert_int_equal(objstore_abort_wait(f->store, key, u.id, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(fixture_count_uploads(f), 0);
    assert_int_equal(objstore_abort_wait(f->store, key, u.id, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_ABSENT);
    free(bytes);
}

#endif
