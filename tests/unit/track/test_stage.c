#include "blobferry/track/stage.h"

#include "blobferry/codec/digest.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NO_DIGEST "not a digest"

static struct tracker_plan_row row(const char *id, const char *key, const char *digest)
{
    return (struct tracker_plan_row){
        .id = id, .source_path = id, .target_key = key, .key_digest = digest, .size = -1};
}

static enum stage_verdict add(struct stage *s, const struct tracker_plan_row *r, char *other,
                              size_t size)
{
    enum stage_verdict verdict = STAGE_ADDED;
    struct err e;

    err_init(&e);
    if (stage_add(s, r, &verdict, other, size, &e) != ERR_OK)
        fail_msg("%s", e.message);
    return verdict;
}

static struct stage *opened(const char *dir)
{
    struct stage *s = NULL;
    struct err e;

    err_init(&e);
    if (stage_open(&s, dir, &e) != ERR_OK)
        fail_msg("%s", e.message);
    return s;
}

static void test_stage_tells_twins_apart(void **unused)
{
    (void)unused;
    struct stage *s = opened(NULL);
    char a[65], b[65], other[32];
    digest_sha256_hex("a", 1, a);
    digest_sha256_hex("b", 1, b);
    struct tracker_plan_row r = row("first", "caf\xc3\xa9", a);
    r.file_id = "f1";
    assert_int_equal(add(s, &r, other, sizeof other), STAGE_ADDED);
    assert_string_equal(other, "");
    r = row("second", "caf\xc3\xa9", a);
    assert_int_equal(add(s, &r, other, sizeof other), STAGE_SAME_KEY);
    assert_string_equal(other, "first");
    r = row("third", "cafe\xcc\x81", a); /* another key, one NFC form: one digest */
    assert_int_equal(add(s, &r, other, sizeof other), STAGE_COLLIDING_KEY);
    assert_string_equal(other, "first");
    r = row("fourth", "b", b);
    r.file_id = "f1";
    assert_int_equal(add(s, &r, other, 3), STAGE_SAME_FILE);
    assert_string_equal(other, "fi");
    r.file_id = "f2";
    assert_int_equal(add(s, &r, NULL, 0), STAGE_ADDED);
    r = row("fifth", "c", NO_DIGEST); /* compared as it is */
    assert_int_equal(add(s, &r, NULL, 0), STAGE_ADDED);
    assert_int_equal(add(s, &r, NULL, 0), STAGE_SAME_KEY);
    assert_int_equal(stage_rows(s), 3);
    stage_close(s);
}

static void test_stage_gives_back_every_field_in_order(void **unused)
{
    (void)unused;
    struct stage *s = opened(NULL);
    const struct tracker_plan_row in = {.id = "z",
                                        .batch_id = "b",
                                        .file_id = "f",
                                        .source_path = "p\xff\xfe",
                                        .target_key = "k",
                                        .key_digest = NO_DIGEST,
                                        .checksum = "",
                                        .size = INT64_MAX,
                                        .filename = "n",
                                        .user_id = "u",
                                        .content_type = "t/t",
                                        .make_file_row = true};
    const struct tracker_plan_row bare = row("a", "other", "d2");
    struct tracker_plan_row out;
    struct err e;
    bool more = false;

    assert_int_equal(add(s, &in, NULL, 0), STAGE_ADDED);
    assert_int_equal(add(s, &bare, NULL, 0), STAGE_ADDED);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stage_rewind(s, &e), ERR_OK);
        assert_int_equal(stage_next(s, &out, &more, &e), ERR_OK);
        assert_true(more);
        assert_string_equal(out.id, "z");
        assert_string_equal(out.batch_id, "b");
        assert_string_equal(out.file_id, "f");
        assert_string_equal(out.source_path, "p\xff\xfe");
        assert_string_equal(out.target_key, "k");
        assert_string_equal(out.key_digest, NO_DIGEST);
        assert_string_equal(out.checksum, "");
        assert_true(out.size == INT64_MAX);
        assert_string_equal(out.filename, "n");
        assert_string_equal(out.user_id, "u");
        assert_string_equal(out.content_type, "t/t");
        assert_true(out.make_file_row);
        assert_int_equal(stage_next(s, &out, &more, &e), ERR_OK);
        assert_true(more);
        assert_string_equal(out.id, "a");
        assert_true(out.size == -1);
        assert_null(out.batch_id);
        assert_null(out.checksum);
        assert_false(out.make_file_row);
        for (int i = 0; i < 2; i++) { /* the end stays the end */
            assert_int_equal(stage_next(s, &out, &more, &e), ERR_OK);
            assert_false(more);
        }
    }
    stage_close(s);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *in = fopen("/proc/self/statm", "r");

    assert_non_null(in);
    assert_int_equal(fscanf(in, "%*d %ld", &pages), 1);
    fclose(in);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Sanitizers and valgrind keep what is freed: there, memory says nothing about us. */
static bool memory_is_ours(void)
{
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    const char *preload = getenv("LD_PRELOAD");
    return preload == NULL || strstr(preload, "valgrind") == NULL;
#endif
}

static void test_stage_holds_many_rows_in_constant_memory(void **unused)
{
    (void)unused;
    enum { MANY = 100000 };
    struct stage *s = opened(NULL);
    char id[40], key[200], digest[65];
    struct tracker_plan_row out;
    struct err e;
    bool more = true;
    long full = 0, seen = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "id-%08d", i);
        snprintf(key, sizeof key, "users/%08d/a/rather/long/path/of/an/application/%0100d", i, i);
        digest_sha256_hex(key, strlen(key), digest);
        const struct tracker_plan_row r = row(id, key, digest);
        assert_int_equal(add(s, &r, NULL, 0), STAGE_ADDED);
        if (i == MANY / 2) /* some 30 MB of rows: the cache of 16 MiB is full by now */
            full = resident_kib();
    }
    assert_int_equal(stage_rows(s), MANY);
    if (memory_is_ours())
        assert_true(resident_kib() - full < 2 * 1024);
    assert_int_equal(stage_rewind(s, &e), ERR_OK);
    while (stage_next(s, &out, &more, &e) == ERR_OK && more) {
        snprintf(id, sizeof id, "id-%08ld", seen++);
        assert_string_equal(out.id, id);
    }
    assert_int_equal(seen, MANY);
    if (memory_is_ours())
        assert_true(resident_kib() - full < 2 * 1024);
    stage_close(s);
}

static int entries_in(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void test_stage_leaves_nothing_in_its_folder(void **unused)
{
    (void)unused;
    char dir[] = "/tmp/bf-stage-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct stage *s = opened(dir);
    const struct tracker_plan_row r = row("a", "k", NO_DIGEST);
    assert_int_equal(add(s, &r, NULL, 0), STAGE_ADDED);
    assert_int_equal(entries_in(dir), 2); /* . and .. */
    stage_close(s);
    assert_int_equal(rmdir(dir), 0);
}

static void test_stage_without_a_folder_says_so(void **unused)
{
    (void)unused;
    struct stage *s = NULL;
    struct err e;
    err_init(&e);
    assert_int_equal(err_exit_code(stage_open(&s, "/nonexistent/folder", &e)), 5);
    assert_null(s);
    assert_non_null(strstr(e.message, "/nonexistent/folder"));
    assert_non_null(strstr(e.hint, "TMPDIR"));
    stage_close(NULL);
}

static void test_stage_needs_a_digest(void **unused)
{
    (void)unused;
    struct stage *s = opened(NULL);
    enum stage_verdict verdict;
    struct err e;
    const struct tracker_plan_row r = row("a", "k", NULL);
    err_init(&e);
    assert_int_equal(stage_add(s, &r, &verdict, NULL, 0, &e), ERR_GENERAL);
    assert_int_equal(stage_rows(s), 0);
    stage_close(s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stage_tells_twins_apart),
        cmocka_unit_test(test_stage_gives_back_every_field_in_order),
        cmocka_unit_test(test_stage_holds_many_rows_in_constant_memory),
        cmocka_unit_test(test_stage_leaves_nothing_in_its_folder),
        cmocka_unit_test(test_stage_without_a_folder_says_so),
        cmocka_unit_test(test_stage_needs_a_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
