/* dir: a directory that others can reach too: links, foreign files, changed bytes, killed writers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/object/dir_world.h"

#include <errno.h>
#include <sys/file.h>

static void expect(const struct objstore_result *r, enum objstore_outcome wanted)
{
    if (r->outcome != wanted)
        fail_msg("outcome %d instead of %d: %s", r->outcome, wanted, r->err.message);
}

static void test_dir_keeps_bytes_under_their_key(void **state)
{
    struct world w;
    struct objstore_result r;
    char text[10] = "";

    (void)state;
    world_open(&w);
    r = world_put_text(&w, "users/7/a b.txt", "bytes");
    expect(&r, OBJSTORE_DONE);
    const int fd = open(world_path(&w, "users/7/a b.txt"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof text), 5);
    assert_memory_equal(text, "bytes", 5);
    assert_int_equal(close(fd), 0);
    assert_int_equal(world_count(&w, ".blobferry/meta"), 1);
    assert_int_equal(world_count(&w, ".blobferry/tmp"), 0);
    assert_int_equal(objstore_remove_wait(w.store, "users/7/a b.txt", NULL, &r, &w.err), ERR_OK);
    assert_int_equal(world_count(&w, ".blobferry/meta"), 0);
    assert_int_equal(access(world_path(&w, "users"), F_OK), -1); /* empty folders go */
    world_close(&w);
}

/* Nothing is followed out of the directory, whoever put the link there. */
static void test_dir_follows_no_link(void **state)
{
    struct world w;
    struct objstore_result r;
    char outside[400], text[100];

    (void)state;
    world_open(&w);
    (void)snprintf(outside, sizeof outside, "%s/outside", w.dir);
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(symlink(outside, world_path(&w, "folder")), 0);
    (void)snprintf(outside, sizeof outside, "%s/outside/secret", w.dir);
    world_write(outside, "secret");
    assert_int_equal(symlink(outside, world_path(&w, "file")), 0);
    r = world_put_text(&w, "folder/new", "x");
    expect(&r, OBJSTORE_REJECTED);
    assert_non_null(strstr(r.err.message, "symbolic link"));
    r = world_stat(&w, "folder/secret");
    expect(&r, OBJSTORE_REJECTED);
    r = world_stat(&w, "file");
    expect(&r, OBJSTORE_REJECTED);
    r = world_put_text(&w, "file", "x");
    expect(&r, OBJSTORE_REJECTED);
    struct objstore_put p = world_put_of("file", "x");
    p.condition = OBJSTORE_OVERWRITE;
    r = world_put(&w, &p);
    expect(&r, OBJSTORE_REJECTED);
    assert_int_equal(objstore_hash_wait(w.store, "file", &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_REJECTED);
    assert_int_equal(objstore_remove_wait(w.store, "file", NULL, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_REJECTED);
    assert_int_equal(objstore_remove_wait(w.store, "folder/secret", NULL, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_REJECTED);
    const int fd = open(outside, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text), 6);
    assert_memory_equal(text, "secret", 6);
    assert_int_equal(close(fd), 0);
    world_close(&w);
}

static void test_dir_opens_no_fifo(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    assert_int_equal(mkfifo(world_path(&w, "fifo"), 0600), 0);
    r = world_stat(&w, "fifo");
    expect(&r, OBJSTORE_REJECTED);
    assert_int_equal(objstore_hash_wait(w.store, "fifo", &r, &w.err), ERR_OK); /* does not block */
    expect(&r, OBJSTORE_REJECTED);
    world_close(&w);
}

/* Its own folder is no place for objects. */
static void test_dir_keeps_its_own_folder(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    r = world_put_text(&w, ".blobferry/meta/x", "x");
    expect(&r, OBJSTORE_REJECTED);
    r = world_put_text(&w, ".blobferry", "x");
    expect(&r, OBJSTORE_REJECTED);
    r = world_stat(&w, ".blobferry/uploads");
    expect(&r, OBJSTORE_REJECTED);
    r = world_put_text(&w, ".blobferry-probe/x", "x");
    expect(&r, OBJSTORE_DONE);
    r = world_put_text(&w, "a/.blobferry/x", "x"); /* elsewhere it is a name like any other */
    expect(&r, OBJSTORE_DONE);
    world_close(&w);
}

static void note_upload(void *user, const struct objstore_result *r,
                        const struct objstore_page *page)
{
    char *found = user;

    assert_int_equal(r->outcome, OBJSTORE_DONE);
    assert_int_equal(page->n, 1);
    assert_string_equal(page->entries[0].key, "photos/x");
    assert_int_equal(page->entries[0].size, 0);
    assert_true(page->entries[0].last_modified_ms > clock_wall_ms() - 60000);
    snprintf(found, 64, "%s", page->entries[0].upload_id);
}

/* P11: a writer that is killed at once leaves the upload's key alone; it is found and aborted like any other. */
static void test_dir_upload_without_bytes_is_found_and_aborted(void **state)
{
    static const char id[] = "01a1febf-48b1-741f-a51b-22fdfb1cc4b1";
    char path[] = ".blobferry/uploads/01a1febf-48b1-741f-a51b-22fdfb1cc4b1.key", found[64] = "";
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    r = world_put_text(&w, "photos/y", "x");
    expect(&r, OBJSTORE_DONE);
    (void)mkdir(world_path(&w, ".blobferry/uploads"), 0700);
    world_write(world_path(&w, path), "photos/x");
    assert_int_equal(objstore_list_uploads(w.store, &(struct objstore_list){.prefix = "photos/"},
                                           note_upload, found, &w.err),
                     ERR_OK);
    while (objstore_active(w.store) > 0)
        assert_int_equal(objstore_run(w.store, 1000, &w.err), ERR_OK);
    assert_string_equal(found, id);
    assert_int_equal(objstore_abort_wait(w.store, "photos/x", id, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_DONE);
    assert_int_equal(access(world_path(&w, path), F_OK), -1);
    world_close(&w);
}

/* What S3 can and a directory cannot: a key that is a folder of others. Refused, not mangled. */
static void test_dir_refuses_object_and_folder_of_one_name(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    r = world_put_text(&w, "a", "x");
    expect(&r, OBJSTORE_DONE);
    r = world_put_text(&w, "a/b", "x");
    expect(&r, OBJSTORE_REJECTED);
    r = world_stat(&w, "a/b");
    expect(&r, OBJSTORE_ABSENT);
    r = world_put_text(&w, "c/d", "x");
    expect(&r, OBJSTORE_DONE);
    r = world_put_text(&w, "c", "x");
    expect(&r, OBJSTORE_REJECTED);
    struct objstore_put p = world_put_of("c", "x");
    p.condition = OBJSTORE_OVERWRITE;
    r = world_put(&w, &p);
    expect(&r, OBJSTORE_REJECTED);
    r = world_stat(&w, "c");
    expect(&r, OBJSTORE_ABSENT);
    assert_int_equal(objstore_remove_wait(w.store, "c", NULL, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_DONE);
    r = world_stat(&w, "c/d");
    expect(&r, OBJSTORE_DONE);
    assert_int_equal(world_count(&w, ".blobferry/tmp"), 0);
    assert_int_equal(world_count(&w, ".blobferry/meta"), 2);
    world_close(&w);
}

/* P4: whoever changes the bytes changes the ETag, and the object is not ours any more. */
static void test_dir_changed_bytes_lose_their_metadata(void **state)
{
    struct world w;
    struct objstore_result r;
    char etag[OBJINFO_ETAG_MAX];

    (void)state;
    world_open(&w);
    r = world_put_text(&w, "k", "bytes");
    expect(&r, OBJSTORE_DONE);
    str_copy(etag, sizeof etag, r.info.etag);
    r = world_stat(&w, "k");
    assert_string_equal(r.info.record_id, "r-1");
    assert_string_equal(r.info.sha256, r.info.stored_sha256);
    world_write(world_path(&w, "k"), "bytEs"); /* the same size */
    r = world_stat(&w, "k");
    expect(&r, OBJSTORE_DONE);
    assert_string_not_equal(r.info.etag, etag);
    assert_string_equal(r.info.record_id, "");
    assert_string_equal(r.info.stored_sha256, "");
    assert_int_equal(objstore_remove_wait(w.store, "k", etag, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_PRECONDITION);
    world_close(&w);
}

/* A file that was there before us is an object without metadata. */
static void test_dir_takes_foreign_files_as_objects(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    world_write(world_path(&w, "foreign"), "theirs");
    r = world_put_text(&w, "foreign", "ours");
    expect(&r, OBJSTORE_PRECONDITION);
    assert_int_equal(r.info.size, 6);
    assert_string_equal(r.info.record_id, "");
    world_close(&w);
}

static void test_dir_overwriting_leaves_one_side_file(void **state)
{
    struct world w;
    struct objstore_put p;

    (void)state;
    world_open(&w);
    for (int i = 0; i < 20; i++) { /* the same bytes: each version has an ETag of its own */
        p = world_put_of("k", "same");
        p.condition = OBJSTORE_OVERWRITE;
        assert_int_equal(world_put(&w, &p).outcome, OBJSTORE_DONE);
        assert_int_equal(world_count(&w, ".blobferry/meta"), 1);
        assert_string_equal(world_stat(&w, "k").info.record_id, "r-1");
    }
    world_close(&w);
}

/* A side file that was tampered with says nothing. */
static void test_dir_believes_no_damaged_side_file(void **state)
{
    static const char *const damage[] = {"", "{", "[1]",
                                         "{\"key\":\"other\",\"record_id\":\"r-1\"}",
                                         "{\"key\":\"k\",\"record_id\":7,\"sha256\":\"zz\"}"};
    char name[300];
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    r = world_put_text(&w, "k", "bytes");
    char hex[DIGEST_SHA256_HEX];
    digest_sha256_hex("k", 1, hex);
    (void)snprintf(name, sizeof name, ".blobferry/meta/%.2s/%s-%s", hex, hex, r.info.etag);
    assert_int_equal(access(world_path(&w, name), F_OK), 0);
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        world_write(world_path(&w, name), damage[i]);
        r = world_stat(&w, "k");
        expect(&r, OBJSTORE_DONE);
        assert_string_equal(r.info.record_id, "");
        assert_string_equal(r.info.sha256, "");
        assert_int_equal(r.info.size, 5);
    }
    world_close(&w);
}

/* What a killed writer left goes; what another one is writing stays. */
static void test_dir_sweeps_dead_temporaries_only(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    r = world_put_text(&w, "first", "x");
    expect(&r, OBJSTORE_DONE);
    world_write(world_path(&w, ".blobferry/tmp/dead"), "half");
    world_write(world_path(&w, ".blobferry/tmp/alive"), "half");
    const int lock = open(world_path(&w, ".blobferry/tmp/alive"), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    objstore_close(w.store);
    world_open_store(&w);
    r = world_put_text(&w, "second", "x");
    expect(&r, OBJSTORE_DONE);
    assert_int_equal(access(world_path(&w, ".blobferry/tmp/dead"), F_OK), -1);
    assert_int_equal(access(world_path(&w, ".blobferry/tmp/alive"), F_OK), 0);
    assert_int_equal(close(lock), 0);
    world_close(&w);
}

/* A root that is not there proves nothing (a disk may not be mounted); the first PUT makes it. */
static void test_dir_missing_root(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    world_open(&w);
    objstore_close(w.store);
    assert_int_equal(rmdir(w.root), 0);
    world_open_store(&w);
    r = world_stat(&w, "k");
    expect(&r, OBJSTORE_DENIED);
    assert_int_equal(objstore_remove_wait(w.store, "k", NULL, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_DENIED);
    assert_int_equal(objstore_ping_wait(w.store, &r, &w.err), ERR_OK);
    expect(&r, OBJSTORE_DONE); /* it can be made */
    assert_int_equal(access(w.root, F_OK), -1);
    r = world_put_text(&w, "k", "x");
    expect(&r, OBJSTORE_DONE);
    r = world_stat(&w, "k");
    expect(&r, OBJSTORE_DONE);
    world_close(&w);
}

static void test_dir_target_is_a_url(void **state)
{
    static const char *const bad[] = {"file://", "file://relative", "file://host/dir",
                                      "file:///a%2", "file:///a%00b"};
    struct objstore *s;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(objstore_open(&s, &(struct objstore_options){.target = bad[i]}, &e),
                         ERR_CONFIG);
    assert_int_equal(
        objstore_open(&s, &(struct objstore_options){.target = "file:///no%20such/dir//"}, &e),
        ERR_OK);
    assert_string_equal(objstore_name(s), "file:///no such/dir");
    objstore_close(s);
}

/* A full or forbidden disk stops the run; nothing half-made stays. */
static void test_dir_unwritable_root_is_denied(void **state)
{
    struct world w;
    struct objstore_result r;

    (void)state;
    if (geteuid() == 0)
        skip(); /* root may write anywhere */
    world_open(&w);
    assert_int_equal(chmod(w.root, 0500), 0);
    r = world_put_text(&w, "k", "x");
    expect(&r, OBJSTORE_DENIED);
    assert_int_equal(r.err.code, ERR_STORE_DENIED);
    assert_int_equal(chmod(w.root, 0700), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dir_keeps_bytes_under_their_key),
        cmocka_unit_test(test_dir_follows_no_link),
        cmocka_unit_test(test_dir_opens_no_fifo),
        cmocka_unit_test(test_dir_keeps_its_own_folder),
        cmocka_unit_test(test_dir_upload_without_bytes_is_found_and_aborted),
        cmocka_unit_test(test_dir_refuses_object_and_folder_of_one_name),
        cmocka_unit_test(test_dir_changed_bytes_lose_their_metadata),
        cmocka_unit_test(test_dir_takes_foreign_files_as_objects),
        cmocka_unit_test(test_dir_overwriting_leaves_one_side_file),
        cmocka_unit_test(test_dir_believes_no_damaged_side_file),
        cmocka_unit_test(test_dir_sweeps_dead_temporaries_only),
        cmocka_unit_test(test_dir_missing_root),
        cmocka_unit_test(test_dir_target_is_a_url),
        cmocka_unit_test(test_dir_unwritable_root_is_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
