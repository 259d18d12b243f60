/* objstore_cases_objects: one object at a time. */
#ifndef BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_OBJECTS_H
#define BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_OBJECTS_H

#include "contract/objstore_fixture.h"

static void test_objstore_put_can_be_looked_at(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "one.jpg");
    struct object o = object_of(key, "hello", 5);
    const struct objstore_result put = fixture_put(f, &o);
    const struct objstore_result stat = fixture_stat(f, key);

    expect_outcome(&put, OBJSTORE_DONE);
    assert_true(put.verified);
    assert_false(put.resolved_by_look);
    assert_int_equal(put.info.size, 5);
    assert_int_equal(put.bytes, 5);
    assert_true(put.attempts >= 1);
    expect_outcome(&stat, OBJSTORE_DONE);
    assert_string_not_equal(put.info.etag, "");
    assert_string_equal(stat.info.etag, put.info.etag);
    assert_null(strchr(stat.info.etag, '"'));
    assert_int_equal(stat.info.size, 5);
    assert_string_equal(stat.info.record_id, "record-1");
    assert_string_equal(stat.info.batch_id, "batch-1");
    assert_string_equal(stat.info.sha256, o.sha256);
    assert_string_equal(stat.info.content_type, "image/jpeg");
    assert_true(llabs(stat.info.last_modified_ms - clock_wall_ms()) < 60000);
    expect_content(f, key, "hello", 5);
}

static void test_objstore_absent_is_absent(void **state)
{
    struct fixture *f = fixture_of(state);
    struct reading out = {.stop = false};
    struct objstore_get in = {.key = fixture_key(f, "nothing/here")};

    buf_init(&out.b, 100);
    expect_absent(f, in.key);
    expect_absent(f, fixture_key(f, "nothing"));
    const struct objstore_result r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_ABSENT);
    assert_int_equal(r.err.code, ERR_NOTFOUND);
    assert_int_equal(out.b.len, 0);
    buf_release(&out.b);
}

static void test_objstore_empty_object(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "empty");
    struct object o = object_of(key, "", 0);
    struct objstore_result r = fixture_put(f, &o);

    expect_outcome(&r, OBJSTORE_DONE);
    r = fixture_stat(f, key);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.info.size, 0);
    expect_content(f, key, "", 0);
    assert_int_equal(objstore_hash_wait(f->store, key, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(r.info.sha256, o.sha256);
    assert_int_equal(r.info.size, 0);
}

static void expect_range(struct fixture *f, const char *key, uint64_t offset, uint64_t length,
                         const char *wanted)
{
    struct reading out = {.stop = false};
    struct objstore_get in = {.key = key, .offset = offset, .length = length};

    buf_init(&out.b, 100);
    const struct objstore_result r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(buf_cstr(&out.b), wanted);
    assert_int_equal(r.info.size, 10); /* of the object, not of the range */
    assert_int_equal(r.bytes, strlen(wanted));
    buf_release(&out.b);
}

static void test_objstore_get_ranges(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "digits");
    struct reading out = {.stop = false};
    struct objstore_get in = {.key = key, .offset = 11};

    fixture_put_text(f, key, "0123456789");
    expect_range(f, key, 0, 0, "0123456789");
    expect_range(f, key, 0, 1, "0");
    expect_range(f, key, 3, 4, "3456");
    expect_range(f, key, 9, 1, "9");
    expect_range(f, key, 7, 0, "789");
    expect_range(f, key, 7, 100, "789"); /* as far as there is */
    buf_init(&out.b, 100);
    const struct objstore_result r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_REJECTED);
    assert_int_equal(out.b.len, 0);
    buf_release(&out.b);
}

static void test_objstore_get_on_condition(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "conditional");
    const struct objstore_result put = fixture_put_text(f, key, "bytes");
    struct reading out = {.stop = false};
    struct objstore_get in = {.key = key, .if_match = put.info.etag};

    buf_init(&out.b, 100);
    struct objstore_result r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(buf_cstr(&out.b), "bytes");
    in.if_match = "00000000000000000000000000000000";
    r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_int_equal(out.b.len, 0);
    buf_release(&out.b);
}

static void test_objstore_reader_may_stop(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "stopped");
    struct reading out = {.stop = true};
    struct objstore_get in = {.key = key};

    fixture_put_text(f, key, "bytes");
    buf_init(&out.b, 100);
    const struct objstore_result r = fixture_get(f, &in, &out);
    expect_outcome(&r, OBJSTORE_CANCELLED);
    buf_release(&out.b);
}

/* P5: what is there is not overwritten, and the caller is told what it is. */
static void test_objstore_put_finds_another_object(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "taken");
    struct object second = object_of(key, "second", 6);
    const struct objstore_result first = fixture_put_text(f, key, "first");
    struct objstore_result r;

    second.put.meta.record_id = "record-2";
    r = fixture_put(f, &second);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_int_equal(r.err.code, ERR_CONFLICT);
    assert_string_equal(r.info.record_id, "record-1");
    assert_string_equal(r.info.etag, first.info.etag);
    assert_int_equal(r.info.size, 5);
    assert_false(r.resolved_by_look);
    expect_content(f, key, "first", 5);
    /* the right id does not make other bytes ours */
    second.put.meta.record_id = "record-1";
    r = fixture_put(f, &second);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    expect_content(f, key, "first", 5);
    /* nor do the same bytes make somebody else's object ours */
    struct object same = object_of(key, "first", 5);
    same.put.meta.record_id = "record-3";
    r = fixture_put(f, &same);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.sha256, same.sha256);
}

/* P6: an answer was lost, or a worker died before it could record it: the same PUT again is done already. */
static void test_objstore_put_finds_its_own_object(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "again");
    struct object o = object_of(key, "mine", 4);
    const struct objstore_result first = fixture_put(f, &o);
    const struct objstore_result again = fixture_put(f, &o);

    expect_outcome(&first, OBJSTORE_DONE);
    expect_outcome(&again, OBJSTORE_DONE);
    assert_true(again.resolved_by_look);
    assert_true(again.verified);
    assert_string_equal(again.info.etag, first.info.etag);
    assert_int_equal(again.info.size, 4);
}

static void test_objstore_put_overwrites_when_told(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "overwritten");
    struct object o = object_of(key, "new bytes", 9);
    const struct objstore_result first = fixture_put_text(f, key, "old");
    struct objstore_result r;

    o.put.condition = OBJSTORE_OVERWRITE;
    o.put.meta.record_id = "record-9";
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_not_equal(r.info.etag, first.info.etag);
    expect_content(f, key, "new bytes", 9);
    r = fixture_stat(f, key);
    assert_string_equal(r.info.record_id, "record-9");
    /* and makes what was not there */
    o.put.key = fixture_key(f, "not/overwritten");
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_content(f, o.put.key, "new bytes", 9);
}

/* P1: bytes that are not the ones that were hashed are never taken for them. */
static void test_objstore_put_of_changed_bytes_fails(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "changed");
    struct object o = object_of(key, "as hashed", 9);

    o.put.data = "as sent !";
    const struct objstore_result r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_LOCAL);
    assert_int_equal(r.err.code, ERR_FILE_CHANGED);
    expect_absent(f, key);
}

static void test_objstore_put_from_file(void **state)
{
    struct fixture *f = fixture_of(state);
    const size_t n = 3 * MIB + 17;
    unsigned char *bytes = pattern(n, 3);
    const int fd = file_of(bytes, n);
    struct object o = object_of(fixture_key(f, "from/file"), bytes, n);
    struct objstore_result r;

    o.put.data = NULL;
    o.put.fd = fd;
    assert_int_equal(lseek(fd, 1000, SEEK_SET), 1000); /* the offset of others does not matter */
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 1000);
    expect_content(f, o.put.key, bytes, n);
    /* a file that became shorter */
    assert_int_equal(ftruncate(fd, (off_t)n - 1), 0);
    o.put.key = fixture_key(f, "from/short");
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_LOCAL);
    expect_absent(f, o.put.key);
    assert_int_equal(close(fd), 0);
    free(bytes);
}

static void test_objstore_put_keeps_awkward_ids(void **state)
{
    static const char id[] = "id 100% \xc3\xa9\xf0\x9f\x98\x80 \"q\" a+b=c; \\ ,x";
    static const char batch[] = "\xe6\x97\xa5\xe6\x9c\xac b-7 %41";
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "ids");
    struct object o = object_of(key, "x", 1);
    struct objstore_result r;

    o.put.meta.record_id = id;
    o.put.meta.batch_id = batch;
    o.put.meta.filename = "na\xc3\xafve\r\nx-amz-acl: public-read \xff\xfe.jpg";
    o.put.meta.content_type = "text/plain\r\nx-amz-acl: public-read";
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    r = fixture_stat(f, key);
    assert_string_equal(r.info.record_id, id);
    assert_string_equal(r.info.batch_id, batch);
    assert_string_equal(r.info.content_type, "application/octet-stream");
    r = fixture_put(f, &o); /* recognised by them */
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
}

static void test_objstore_remove_is_idempotent(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "deep/down/removed");
    struct objstore_result r;

    fixture_put_text(f, key, "bytes");
    r = fixture_remove(f, key, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_absent(f, key);
    r = fixture_remove(f, key, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    fixture_put_text(f, key, "again"); /* the key is free again */
    fixture_put_text(f, fixture_key(f, "deep/down2"), "beside");
    r = fixture_remove(f, key, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    fixture_put_text(f, fixture_key(f, "deep/down"), "where a folder was");
}

/* P4: only the one that is meant. */
static void test_objstore_remove_on_condition(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "meant");
    const struct objstore_result put = fixture_put_text(f, key, "bytes");
    struct objstore_result r = fixture_remove(f, key, "00000000000000000000000000000000");

    expect_outcome(&r, OBJSTORE_PRECONDITION);
    assert_string_equal(r.info.etag, put.info.etag);
    assert_string_equal(r.info.record_id, "record-1");
    expect_content(f, key, "bytes", 5);
    r = fixture_remove(f, key, put.info.etag);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_absent(f, key);
    r = fixture_remove(f, key, put.info.etag);
    expect_outcome(&r, OBJSTORE_DONE);
}

static void test_objstore_refuses_impossible_calls(void **state)
{
    struct fixture *f = fixture_of(state);
    struct object o = object_of(fixture_key(f, "k"), "x", 1);
    struct got g = {0};

    o.put.sha256 = "ABC";
    assert_int_not_equal(objstore_put(f->store, &o.put, got_it, &g, &f->err), ERR_OK);
    o.put.sha256 = o.sha256;
    o.put.data = NULL;
    assert_int_not_equal(objstore_put(f->store, &o.put, got_it, &g, &f->err), ERR_OK);
    o.put.data = "x";
    o.put.size = 10 * MIB;
    o.put.part_size = 1 * MIB;
    assert_int_equal(objstore_put(f->store, &o.put, got_it, &g, &f->err), ERR_LIMIT);
    assert_int_equal(objstore_remove_many(f->store, NULL, 0, NULL, NULL, &f->err), ERR_LIMIT);
    assert_int_equal(objstore_active(f->store), 0);
    assert_int_equal(g.calls, 0);
    /* too large is the object's fault, not the call's */
    o.put.part_size = 0;
    o.put.size = (size_t)6 << 30;
    const struct objstore_result r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_REJECTED);
}

#endif
