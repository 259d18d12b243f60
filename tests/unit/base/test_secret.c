#include "blobferry/base/secret.h"
#include "unit/base/scratch.h"

#include <pthread.h>

static void set(struct secret *s, const char *text)
{
    secret_init(s);
    assert_int_equal(secret_set(s, text, strlen(text), NULL), ERR_OK);
}

static void redacts_to(const char *text, const char *expected)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    assert_int_equal(secret_within(copy, strlen(copy)), strcmp(text, expected) != 0);
    secret_redact(copy, strlen(copy));
    assert_string_equal(copy, expected);
}

static void test_secret_set_peek_release(void **state)
{
    (void)state;
    struct secret s;
    secret_init(&s);
    assert_false(secret_is_set(&s));
    assert_string_equal(secret_peek(&s), "");
    set(&s, "hunter2");
    assert_true(secret_is_set(&s));
    assert_string_equal(secret_peek(&s), "hunter2");
    assert_int_equal(secret_set(&s, "other-one", 9, NULL), ERR_OK);
    assert_string_equal(secret_peek(&s), "other-one");
    redacts_to("hunter2 other-one", "hunter2 *********");
    assert_int_equal(secret_set(&s, NULL, 0, NULL), ERR_OK);
    assert_false(secret_is_set(&s));
    secret_release(&s);
    secret_release(&s);
}

static void test_secret_set_from_its_own_bytes(void **state)
{
    (void)state;
    struct secret s;
    set(&s, "abcdefgh");
    assert_int_equal(secret_set(&s, s.bytes + 2, 6, NULL), ERR_OK);
    assert_string_equal(secret_peek(&s), "cdefgh");
    assert_int_equal(secret_copy(&s, &s, NULL), ERR_OK);
    assert_string_equal(secret_peek(&s), "cdefgh");
    secret_release(&s);
    redacts_to("cdefgh", "cdefgh");
}

static void test_secret_with_nul_is_refused_and_kept_out(void **state)
{
    (void)state;
    struct secret s;
    struct err e;
    set(&s, "old-value");
    err_init(&e);
    assert_int_equal(secret_set(&s, "abc\0def", 7, &e), ERR_CONFIG);
    assert_string_equal(secret_peek(&s), "old-value");
    assert_null(strstr(e.message, "abc"));
    secret_release(&s);
}

static void test_secret_copy_is_independent(void **state)
{
    (void)state;
    struct secret a;
    struct secret b;
    set(&a, "sentinel-1");
    secret_init(&b);
    assert_int_equal(secret_copy(&b, &a, NULL), ERR_OK);
    assert_ptr_not_equal(a.bytes, b.bytes);
    secret_release(&a);
    assert_string_equal(secret_peek(&b), "sentinel-1");
    redacts_to("sentinel-1", "**********");
    assert_int_equal(secret_copy(&b, &a, NULL), ERR_OK);
    assert_false(secret_is_set(&b));
    redacts_to("sentinel-1", "sentinel-1");
}

static void test_secret_redact_replaces_every_occurrence(void **state)
{
    (void)state;
    struct secret s;
    redacts_to("nothing registered", "nothing registered");
    set(&s, "s3cr3t");
    redacts_to("s3cr3t", "******");
    redacts_to("a s3cr3ts3cr3t b s3cr3", "a ************ b s3cr3");
    redacts_to("", "");
    char binary[] = "x\0s3cr3t\0y";
    secret_redact(binary, sizeof binary - 1);
    assert_memory_equal(binary, "x\0******\0y", sizeof binary);
    char cut[] = "s3cr3t";
    secret_redact(cut, 5); /* only what was asked for is touched */
    assert_string_equal(cut, "s3cr3t");
    secret_release(&s);
}

static void test_secret_redact_leaves_short_ones(void **state)
{
    (void)state;
    struct secret s;
    set(&s, "abcde");
    redacts_to("abcde", "abcde");
    secret_release(&s);
}

static void test_secret_redact_covers_overlaps(void **state)
{
    (void)state;
    struct secret a;
    struct secret b;
    struct secret c;
    set(&a, "abcdef"); /* the beginning of c, overlapping b by its end */
    set(&b, "defghi");
    set(&c, "abcdefXYZ");
    redacts_to("abcdefghi", "*********");
    redacts_to("abcdefXYZ", "*********");
    secret_release(&a);
    set(&a, "aaaaaa");
    redacts_to("aaaaaaaaab", "*********b");
    secret_release(&a);
    secret_release(&b);
    secret_release(&c);
}

static void test_secret_many_at_once(void **state)
{
    (void)state;
    struct secret s[200];
    char text[32];
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "secret-%03d", i);
        set(&s[i], text);
    }
    redacts_to("secret-000 secret-199 secret-200", "********** ********** secret-200");
    for (int i = 0; i < 199; i++)
        secret_release(&s[i]);
    redacts_to("secret-000 secret-199", "secret-000 **********");
    secret_release(&s[199]);
}

static void test_secret_equal_compares_whole(void **state)
{
    (void)state;
    struct secret s;
    set(&s, "token-abc");
    assert_true(secret_equal(&s, "token-abc", 9));
    assert_false(secret_equal(&s, "token-ab", 8));
    assert_false(secret_equal(&s, "token-abcd", 10));
    assert_false(secret_equal(&s, "Token-abc", 9));
    assert_false(secret_equal(&s, "token-abc\0", 10));
    assert_false(secret_equal(&s, "", 0));
    assert_false(secret_equal(&s, NULL, 0));
    secret_release(&s);
    assert_false(secret_equal(&s, "", 0));
    assert_false(secret_equal(&s, NULL, 0));
}

static void test_secret_from_file_takes_the_first_line(void **state)
{
    (void)state;
    static const char *const texts[] = {"s3cr3t-value", "s3cr3t-value\n", "s3cr3t-value\r\n",
                                        "s3cr3t-value\nsecond line\n"};
    struct scratch dir;
    struct secret s;
    scratch_init(&dir);
    secret_init(&s);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        scratch_write(&dir, "token", texts[i]);
        assert_int_equal(secret_from_file(&s, scratch_path(&dir, "token"), NULL), ERR_OK);
        assert_string_equal(secret_peek(&s), "s3cr3t-value");
    }
    secret_release(&s);
    scratch_release(&dir);
}

static void test_secret_from_file_follows_a_link(void **state)
{
    (void)state;
    struct scratch dir;
    struct secret s;
    char link[1100];
    scratch_init(&dir);
    scratch_write(&dir, "token", "mounted-secret\n");
    snprintf(link, sizeof link, "%s/link", dir.dir);
    assert_int_equal(symlink("token", link), 0); /* as Kubernetes mounts them */
    secret_init(&s);
    assert_int_equal(secret_from_file(&s, link, NULL), ERR_OK);
    assert_string_equal(secret_peek(&s), "mounted-secret");
    secret_release(&s);
    scratch_release(&dir);
}

static void test_secret_from_file_refuses_bad_files(void **state)
{
    (void)state;
    struct scratch dir;
    struct secret s;
    struct err e;
    scratch_init(&dir);
    set(&s, "kept-as-it-was");
    err_init(&e);
    assert_int_equal(secret_from_file(&s, scratch_path(&dir, "absent"), &e), ERR_FILE_MISSING);
    assert_int_equal(secret_from_file(&s, dir.dir, &e), ERR_FILE_TYPE);
    assert_int_equal(mkfifo(scratch_path(&dir, "fifo"), 0600), 0);
    assert_int_equal(secret_from_file(&s, dir.path, &e), ERR_FILE_TYPE); /* and does not hang */
    scratch_write(&dir, "empty", "");
    assert_int_equal(secret_from_file(&s, dir.path, &e), ERR_CONFIG);
    scratch_write(&dir, "blank", "\nsecond");
    assert_int_equal(secret_from_file(&s, dir.path, &e), ERR_CONFIG);
    scratch_write(&dir, "open", "p4ssw0rd\n");
    assert_int_equal(chmod(dir.path, 0666), 0);
    assert_int_equal(secret_from_file(&s, dir.path, &e), ERR_CONFIG);
    assert_non_null(strstr(e.message, "written by others"));
    assert_null(strstr(e.message, "p4ssw0rd"));
    assert_int_equal(chmod(dir.path, 0620), 0);
    assert_int_equal(secret_from_file(&s, dir.path, NULL), ERR_CONFIG);
    assert_int_equal(chmod(dir.path, 0444), 0);
    assert_string_equal(secret_peek(&s), "kept-as-it-was");
    assert_int_equal(secret_from_file(&s, dir.path, &e), ERR_OK);
    secret_release(&s);
    scratch_release(&dir);
}

static void test_secret_from_file_is_bounded(void **state)
{
    (void)state;
    enum { LIMIT = 64 * 1024 };
    struct scratch dir;
    struct secret s;
    char *text = malloc(LIMIT + 2);
    assert_non_null(text);
    scratch_init(&dir);
    secret_init(&s);
    memset(text, 'k', LIMIT + 1);
    text[LIMIT + 1] = '\0';
    scratch_write(&dir, "long", text);
    assert_int_equal(secret_from_file(&s, dir.path, NULL), ERR_CONFIG);
    text[LIMIT] = '\0';
    scratch_write(&dir, "long", text);
    assert_int_equal(secret_from_file(&s, dir.path, NULL), ERR_OK);
    assert_int_equal(s.len, LIMIT);
    secret_release(&s);
    free(text);
    scratch_release(&dir);
}

static void *churn(void *unused)
{
    (void)unused;
    struct secret s;
    for (int i = 0; i < 500; i++) {
        secret_init(&s);
        if (secret_set(&s, "thread-secret", 13, NULL) != ERR_OK)
            return (void *)1;
        char text[] = "a thread-secret b";
        secret_redact(text, sizeof text - 1);
        const bool hidden = strcmp(text, "a ************* b") == 0;
        secret_release(&s);
        if (!hidden)
            return (void *)1;
    }
    return NULL;
}

static void test_secret_registry_is_safe_among_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    void *failed;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    redacts_to("thread-secret", "thread-secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_set_peek_release),
        cmocka_unit_test(test_secret_set_from_its_own_bytes),
        cmocka_unit_test(test_secret_with_nul_is_refused_and_kept_out),
        cmocka_unit_test(test_secret_copy_is_independent),
        cmocka_unit_test(test_secret_redact_replaces_every_occurrence),
        cmocka_unit_test(test_secret_redact_leaves_short_ones),
        cmocka_unit_test(test_secret_redact_covers_overlaps),
        cmocka_unit_test(test_secret_many_at_once),
        cmocka_unit_test(test_secret_equal_compares_whole),
        cmocka_unit_test(test_secret_from_file_takes_the_first_line),
        cmocka_unit_test(test_secret_from_file_follows_a_link),
        cmocka_unit_test(test_secret_from_file_refuses_bad_files),
        cmocka_unit_test(test_secret_from_file_is_bounded),
        cmocka_unit_test(test_secret_registry_is_safe_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
