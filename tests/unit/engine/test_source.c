#include "unit/base/scratch.h"

#include "blobferry/codec/text.h"
#include "blobferry/engine/source.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Of "hello world", from coreutils and openssl. */
#define HELLO            "hello world"
#define HELLO_SHA256     "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
#define HELLO_SHA256_B64 "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="
#define HELLO_MD5_B64    "XrY7u+Ae7tCTyyK7j1rNww=="
#define HELLO_MD5_HEX    "5EB63BBBE01EEED093CB22BB8F5ACDC3"
#define HELLO_SHA1_HEX   "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"
#define EMPTY_SHA256     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct place {
    struct scratch folder;
    struct source_root root;
    struct source source;
    struct err err;
};

static void place_init(struct place *p)
{
    memset(p, 0, sizeof *p);
    p->source.fd = -1;
    err_init(&p->err);
    scratch_init(&p->folder);
    scratch_write(&p->folder, "a.txt", HELLO);
    assert_int_equal(source_root_open(&p->root, p->folder.dir, &p->err), ERR_OK);
}

static void place_release(struct place *p)
{
    source_close(&p->source);
    source_root_close(&p->root);
    scratch_release(&p->folder);
}

static enum err_code open_it(struct place *p, const char *path, const char *expected)
{
    source_close(&p->source);
    return source_open(&p->source, &p->root, path, expected, &p->err);
}

static enum err_code hash_all(struct place *p, uint64_t part_size, uint64_t step)
{
    bool done = false;
    enum err_code code = source_hash_begin(&p->source, part_size, &p->err);

    for (int i = 0; code == ERR_OK && !done && i < 1000; i++)
        code = source_hash_step(&p->source, step, &done, &p->err);
    if (code == ERR_OK)
        assert_true(done);
    return code;
}

static enum err_code unchanged(struct place *p)
{
    return source_unchanged(&p->source, &p->root, "a.txt", &p->err);
}

static void test_source_load_reads_and_hashes(void **state)
{
    struct place p;
    (void)state;

    place_init(&p);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    assert_int_equal(p.source.identity.size, 11);
    assert_int_equal(source_load(&p.source, 11, &p.err), ERR_OK);
    assert_string_equal(p.source.data, HELLO);
    assert_string_equal(p.source.sha256, HELLO_SHA256);
    assert_true(p.source.matches);
    assert_int_equal(p.source.hashed, 11);
    assert_int_equal(lseek(p.source.fd, 0, SEEK_CUR), 0);
    assert_int_equal(unchanged(&p), ERR_OK);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    assert_int_equal(source_load(&p.source, 10, &p.err), ERR_LIMIT);
    place_release(&p);
}

static void test_source_empty_file_hashes(void **state)
{
    struct place p;
    (void)state;

    place_init(&p);
    scratch_write(&p.folder, "empty", "");
    assert_int_equal(open_it(&p, "empty", NULL), ERR_OK);
    assert_int_equal(source_load(&p.source, 100, &p.err), ERR_OK);
    assert_string_equal(p.source.sha256, EMPTY_SHA256);
    assert_non_null(p.source.data);
    assert_int_equal(open_it(&p, "empty", EMPTY_SHA256), ERR_OK);
    assert_int_equal(hash_all(&p, 5, 5), ERR_OK);
    assert_string_equal(p.source.sha256, EMPTY_SHA256);
    assert_true(p.source.matches);
    assert_int_equal(p.source.parts, 1);
    place_release(&p);
}

static void test_source_compares_with_any_form_of_checksum(void **state)
{
    static const struct {
        const char *text;
        bool matches;
    } cases[] = {
        {NULL, true},
        {"", true},
        {HELLO_SHA256, true},
        {HELLO_SHA256_B64, true},
        {HELLO_MD5_B64, true},
        {HELLO_MD5_HEX, true},
        {HELLO_SHA1_HEX, true},
        {EMPTY_SHA256, false},
        {"1B2M2Y8AsgTpgAmY7PhCfg==", false},
        {"da39a3ee5e6b4b0d3255bfef95601890afd80709", false},
    };
    struct place p;
    (void)state;

    place_init(&p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(open_it(&p, "a.txt", cases[i].text), ERR_OK);
        assert_int_equal(source_load(&p.source, 100, &p.err), ERR_OK);
        assert_int_equal(p.source.matches, cases[i].matches);
        assert_int_equal(open_it(&p, "a.txt", cases[i].text), ERR_OK);
        assert_int_equal(hash_all(&p, 4, 3), ERR_OK);
        assert_int_equal(p.source.matches, cases[i].matches);
        assert_string_equal(p.source.sha256, HELLO_SHA256);
    }
    assert_int_equal(open_it(&p, "a.txt", "not a checksum"), ERR_PARSE);
    assert_non_null(strstr(p.err.message, "a.txt"));
    assert_int_equal(p.source.fd, -1);
    place_release(&p);
}

/* Parts of every size, in steps of every size, against hashing each part by itself. */
static void test_source_part_hashes_equal_independent_hashing(void **state)
{
    static char text[300001];
    struct place p;
    char want[DIGEST_SHA256_HEX], got[DIGEST_SHA256_HEX];
    const uint64_t part_sizes[] = {1000, 4096, 100000, 150000, 150001, 300000, 400000};
    const uint64_t steps[] = {999, 131072, 1000000};
    (void)state;

    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = (char)('a' + i * 7 % 23);
    place_init(&p);
    scratch_write(&p.folder, "big", text);
    for (size_t a = 0; a < sizeof part_sizes / sizeof *part_sizes; a++) {
        for (size_t b = 0; b < sizeof steps / sizeof *steps; b++) {
            const uint64_t size = part_sizes[a];
            assert_int_equal(open_it(&p, "big", NULL), ERR_OK);
            assert_int_equal(hash_all(&p, size, steps[b]), ERR_OK);
            digest_sha256_hex(text, sizeof text - 1, want);
            assert_string_equal(p.source.sha256, want);
            assert_int_equal(p.source.parts, (300000 + size - 1) / size);
            for (uint64_t i = 0; i < p.source.parts; i++) {
                const uint64_t left = 300000 - i * size;
                digest_sha256_hex(text + i * size, left < size ? left : size, want);
                text_hex(p.source.part_sha256[i], 32, got);
                assert_string_equal(got, want);
            }
        }
    }
    assert_int_equal(open_it(&p, "big", NULL), ERR_OK);
    assert_int_equal(source_hash_begin(&p.source, 29, &p.err), ERR_LIMIT);
    place_release(&p);
}

static void check_parts(const struct source *s, const char *text, size_t n, uint64_t part)
{
    char want[DIGEST_SHA256_HEX], got[DIGEST_SHA256_HEX];

    digest_sha256_hex(text, n, want);
    assert_string_equal(s->sha256, want);
    for (uint64_t i = 0; i < s->parts; i++) {
        const uint64_t left = n - i * part;
        digest_sha256_hex(text + i * part, left < part ? left : part, want);
        text_hex(s->part_sha256[i], 32, got);
        assert_string_equal(got, want);
    }
}

static void finish(struct source *s)
{
    bool done = false;

    assert_int_equal(source_hash_step(s, UINT64_MAX, &done, NULL), ERR_OK);
    assert_true(done);
    assert_true(s->matches);
}

/* Two files of other sizes and parts, side by side as far as that goes, then one after the other. */
static void test_source_two_hashed_at_once_equal_independent_hashing(void **state)
{
    static char text[300001], less[200043];
    const uint64_t slices[] = {64, 1000, 131072, UINT64_MAX};
    struct source other;
    struct place p;
    char sha1[41] = "";
    unsigned char raw[DIGEST_MAX];
    struct digest d;
    (void)state;

    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < sizeof less - 1; i++)
        text[i] = less[i] = (char)('a' + i * 7 % 23);
    text[5] = '!';
    assert_int_equal(digest_init(&d, DIGEST_SHA1, NULL), ERR_OK);
    digest_update(&d, text, sizeof text - 1);
    digest_final(&d, raw);
    digest_release(&d);
    text_hex(raw, 20, sha1);
    place_init(&p);
    scratch_write(&p.folder, "more", text);
    scratch_write(&p.folder, "less", less);
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        assert_int_equal(open_it(&p, "more", sha1), ERR_OK);
        assert_int_equal(source_open(&other, &p.root, "less", NULL, &p.err), ERR_OK);
        assert_int_equal(source_hash_begin(&p.source, 65536, &p.err), ERR_OK);
        assert_int_equal(source_hash_begin(&other, 64000, &p.err), ERR_OK);
        const bool can = p.source.twin != NULL;
        uint64_t took = 0, sum = 0;
        do {
            took = source_hash_two(&p.source, &other, slices[i]);
            sum += took;
        } while (took > 0);
        assert_int_equal(sum, can ? 200042 - 200042 % 64 : 0);
        assert_int_equal(p.source.hashed, sum);
        assert_int_equal(other.hashed, sum);
        finish(&p.source);
        finish(&other);
        check_parts(&p.source, text, sizeof text - 1, 65536);
        check_parts(&other, less, sizeof less - 1, 64000);
        source_close(&other);
    }
    place_release(&p);
}

/* Whichever of the two it is: the one that ends early says so, the other one is hashed all the same. */
static void test_source_truncated_while_two_are_hashed_is_changed(void **state)
{
    static char text[200001];
    struct source other;
    struct place p;
    bool done = false;
    (void)state;

    memset(text, 'x', sizeof text - 1);
    place_init(&p);
    for (int i = 0; i < 2; i++) {
        scratch_write(&p.folder, "short", text);
        scratch_write(&p.folder, "whole", text);
        assert_int_equal(open_it(&p, "short", NULL), ERR_OK);
        assert_int_equal(source_open(&other, &p.root, "whole", NULL, &p.err), ERR_OK);
        assert_int_equal(source_hash_begin(&p.source, 65536, &p.err), ERR_OK);
        assert_int_equal(source_hash_begin(&other, 65536, &p.err), ERR_OK);
        assert_int_equal(truncate(scratch_path(&p.folder, "short"), 70000), 0);
        (void)(i == 0 ? source_hash_two(&p.source, &other, UINT64_MAX)
                      : source_hash_two(&other, &p.source, UINT64_MAX));
        assert_int_equal(p.source.hashed, other.hashed);
        assert_int_equal(source_hash_step(&p.source, UINT64_MAX, &done, &p.err), ERR_FILE_CHANGED);
        assert_false(done);
        finish(&other);
        check_parts(&other, text, sizeof text - 1, 65536);
        source_close(&other);
    }
    place_release(&p);
}

static void test_source_hash_works_in_slices(void **state)
{
    struct place p;
    bool done = true;
    (void)state;

    place_init(&p);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    assert_int_equal(source_hash_begin(&p.source, 0, &p.err), ERR_OK);
    assert_int_equal(source_hash_step(&p.source, 4, &done, &p.err), ERR_OK);
    assert_false(done);
    assert_int_equal(p.source.hashed, 4);
    assert_int_equal(source_hash_step(&p.source, 100, &done, &p.err), ERR_OK);
    assert_true(done);
    assert_int_equal(source_hash_step(&p.source, 100, &done, &p.err), ERR_OK); /* harmless */
    assert_true(done);
    assert_string_equal(p.source.sha256, HELLO_SHA256);
    place_release(&p);
}

static void test_source_truncated_while_reading_is_changed(void **state)
{
    struct place p;
    bool done;
    (void)state;

    place_init(&p);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    assert_int_equal(source_hash_begin(&p.source, 0, &p.err), ERR_OK);
    assert_int_equal(source_hash_step(&p.source, 4, &done, &p.err), ERR_OK);
    assert_int_equal(truncate(scratch_path(&p.folder, "a.txt"), 6), 0);
    assert_int_equal(source_hash_step(&p.source, 100, &done, &p.err), ERR_FILE_CHANGED);
    assert_true(p.err.retryable);
    assert_non_null(strstr(p.err.message, "shorter"));
    assert_int_equal(unchanged(&p), ERR_FILE_CHANGED);
    assert_int_equal(source_load(&p.source, 100, &p.err), ERR_FILE_CHANGED);
    place_release(&p);
}

static void test_source_grown_while_reading_is_changed(void **state)
{
    struct place p;
    (void)state;

    place_init(&p);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    scratch_write(&p.folder, "a.txt", HELLO "!");
    assert_int_equal(hash_all(&p, 0, 100), ERR_FILE_CHANGED);
    assert_non_null(strstr(p.err.message, "longer"));
    assert_int_equal(source_load(&p.source, 100, &p.err), ERR_FILE_CHANGED);
    assert_int_equal(unchanged(&p), ERR_FILE_CHANGED);
    place_release(&p);
}

static void test_source_replaced_by_rename_is_changed(void **state)
{
    struct place p;
    char to[1024];
    (void)state;

    place_init(&p);
    scratch_write(&p.folder, "b.txt", HELLO);
    snprintf(to, sizeof to, "%s", scratch_path(&p.folder, "a.txt"));
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    assert_int_equal(rename(scratch_path(&p.folder, "b.txt"), to), 0);
    assert_int_equal(source_load(&p.source, 100, &p.err), ERR_OK); /* the old one is still open */
    assert_int_equal(unchanged(&p), ERR_FILE_CHANGED);
    place_release(&p);
}

static void test_source_vanished_is_changed(void **state)
{
    struct place p;
    (void)state;

    place_init(&p);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    assert_int_equal(unlink(scratch_path(&p.folder, "a.txt")), 0);
    assert_int_equal(unchanged(&p), ERR_FILE_CHANGED);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_FILE_MISSING);
    place_release(&p);
}

/* Rewritten in place with size and mtime put back: ctime cannot be. */
static void test_source_same_size_and_mtime_but_other_ctime_is_changed(void **state)
{
    struct place p;
    struct stat before, after;
    const char *path;
    (void)state;

    place_init(&p);
    path = scratch_path(&p.folder, "a.txt");
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_OK);
    do { /* clocks of file systems tick in milliseconds */
        const int fd = open(path, O_WRONLY);
        const struct timespec times[2] = {before.st_atim, before.st_mtim};
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "HELLO", 5), 5);
        assert_int_equal(futimens(fd, times), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(stat(path, &after), 0);
    } while (after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    assert_int_equal(unchanged(&p), ERR_FILE_CHANGED);
    place_release(&p);
}

static void test_source_refuses_what_is_no_regular_file(void **state)
{
    struct place p;
    char path[1024];
    (void)state;

    place_init(&p);
    assert_int_equal(mkfifo(scratch_path(&p.folder, "fifo"), 0600), 0);
    assert_int_equal(mkdir(scratch_path(&p.folder, "dir"), 0700), 0);
    assert_int_equal(symlink("a.txt", scratch_path(&p.folder, "link")), 0);
    assert_int_equal(symlink(".", scratch_path(&p.folder, "here")), 0);
    assert_int_equal(open_it(&p, "fifo", NULL), ERR_FILE_TYPE); /* and does not wait for a writer */
    assert_int_equal(open_it(&p, "dir", NULL), ERR_FILE_TYPE);
    assert_int_equal(open_it(&p, "link", NULL), ERR_FILE_TYPE);
    assert_int_equal(open_it(&p, "here/a.txt", NULL), ERR_FILE_TYPE);
    assert_int_equal(open_it(&p, "nothing", NULL), ERR_FILE_MISSING);
    assert_int_equal(open_it(&p, "", NULL), ERR_FILE_MISSING);
    assert_int_equal(open_it(&p, NULL, NULL), ERR_FILE_MISSING);
    assert_int_equal(open_it(&p, "../a.txt", NULL), ERR_FILE_OUTSIDE);
    assert_int_equal(open_it(&p, "/etc/passwd", NULL), ERR_FILE_OUTSIDE);
    snprintf(path, sizeof path, "%s/a.txt", p.folder.dir);
    assert_int_equal(open_it(&p, path, NULL), ERR_OK);
    place_release(&p);
}

static void test_source_unreadable_is_denied(void **state)
{
    struct place p;
    (void)state;

    if (geteuid() == 0)
        skip();
    place_init(&p);
    assert_int_equal(chmod(scratch_path(&p.folder, "a.txt"), 0), 0);
    assert_int_equal(open_it(&p, "a.txt", NULL), ERR_FILE_DENIED);
    place_release(&p);
}

static void test_source_without_a_root_takes_absolute_paths_only(void **state)
{
    struct place p;
    struct source_root root;
    char path[1024];
    (void)state;

    place_init(&p);
    assert_int_equal(source_root_open(&root, NULL, &p.err), ERR_OK);
    assert_string_equal(root.path, "/");
    snprintf(path, sizeof path, "%s", scratch_path(&p.folder, "a.txt"));
    assert_int_equal(source_open(&p.source, &root, path, NULL, &p.err), ERR_OK);
    assert_int_equal(source_unchanged(&p.source, &root, path, &p.err), ERR_OK);
    source_close(&p.source);
    assert_int_equal(source_open(&p.source, &root, path + 1, NULL, &p.err), ERR_FILE_OUTSIDE);
    assert_non_null(strstr(p.err.hint, "--source-root"));
    source_root_close(&root);
    place_release(&p);
}

/* The operator's own symlink as root: absolute paths may name either. */
static void test_source_root_may_be_a_symlink(void **state)
{
    struct place p;
    struct source_root root;
    char link[512], path[1024];
    (void)state;

    place_init(&p);
    snprintf(link, sizeof link, "%s/link", p.folder.dir);
    assert_int_equal(symlink(p.folder.dir, link), 0);
    assert_int_equal(source_root_open(&root, link, &p.err), ERR_OK);
    assert_string_equal(root.path, p.root.path);
    snprintf(path, sizeof path, "%s/a.txt", link);
    assert_int_equal(source_open(&p.source, &root, path, NULL, &p.err), ERR_OK);
    source_close(&p.source);
    snprintf(path, sizeof path, "%s/a.txt", p.folder.dir);
    assert_int_equal(source_open(&p.source, &root, path, NULL, &p.err), ERR_OK);
    source_close(&p.source);
    source_root_close(&root);
    assert_int_equal(source_root_open(&root, "/nonexistent/root", &p.err), ERR_FILE_MISSING);
    assert_int_equal(root.fd, -1);
    place_release(&p);
}

static enum err_code prove(struct place *p, const char *path, const char *sha, int64_t size)
{
    return source_prove(&p->root, path, sha, size, &p->err);
}

static void test_source_prove_compares_with_the_record(void **state)
{
    struct place p;
    (void)state;

    place_init(&p);
    assert_int_equal(prove(&p, "a.txt", HELLO_SHA256, 11), ERR_OK);
    assert_int_equal(prove(&p, "a.txt", HELLO_SHA256, -1), ERR_OK);
    assert_int_equal(prove(&p, "a.txt", HELLO_MD5_B64, -1), ERR_OK);
    assert_int_equal(prove(&p, "a.txt", HELLO_SHA256, 12), ERR_FILE_CHANGED);
    assert_int_equal(prove(&p, "a.txt", EMPTY_SHA256, 11), ERR_FILE_CHANGED);
    assert_int_equal(prove(&p, "a.txt", NULL, 11), ERR_REFUSED);
    assert_int_equal(prove(&p, "a.txt", "", 11), ERR_REFUSED);
    assert_int_equal(prove(&p, "gone", HELLO_SHA256, 11), ERR_FILE_MISSING);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_load_reads_and_hashes),
        cmocka_unit_test(test_source_empty_file_hashes),
        cmocka_unit_test(test_source_compares_with_any_form_of_checksum),
        cmocka_unit_test(test_source_part_hashes_equal_independent_hashing),
        cmocka_unit_test(test_source_hash_works_in_slices),
        cmocka_unit_test(test_source_two_hashed_at_once_equal_independent_hashing),
        cmocka_unit_test(test_source_truncated_while_two_are_hashed_is_changed),
        cmocka_unit_test(test_source_truncated_while_reading_is_changed),
        cmocka_unit_test(test_source_grown_while_reading_is_changed),
        cmocka_unit_test(test_source_replaced_by_rename_is_changed),
        cmocka_unit_test(test_source_vanished_is_changed),
        cmocka_unit_test(test_source_same_size_and_mtime_but_other_ctime_is_changed),
        cmocka_unit_test(test_source_refuses_what_is_no_regular_file),
        cmocka_unit_test(test_source_unreadable_is_denied),
        cmocka_unit_test(test_source_without_a_root_takes_absolute_paths_only),
        cmocka_unit_test(test_source_root_may_be_a_symlink),
        cmocka_unit_test(test_source_prove_compares_with_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
