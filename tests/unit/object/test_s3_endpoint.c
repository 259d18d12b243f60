/* s3_endpoint: what is signed as host and path is what curl sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "object/s3_endpoint.h"

#include <stdio.h>
#include <string.h>

static void test_s3_endpoint_hosts_and_ports(void **state)
{
    static const struct {
        const char *url, *origin, *host;
    } known[] = {
        {"https://acc.r2.cloudflarestorage.com", "https://acc.r2.cloudflarestorage.com",
         "acc.r2.cloudflarestorage.com"},
        {"https://ACC.Example.COM///", "https://acc.example.com", "acc.example.com"},
        {"HTTPS://host:443", "https://host", "host"},
        {"http://host:80/", "http://host", "host"},
        {"http://host:443", "http://host:443", "host:443"},
        {"https://host:80", "https://host:80", "host:80"},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1:9000"},
        {"http://[::1]", "http://[::1]", "[::1]"},
        {"http://[2001:DB8::1]:7480/", "http://[2001:db8::1]:7480", "[2001:db8::1]:7480"},
        {"http://under_score.local:08080", "http://under_score.local:8080",
         "under_score.local:8080"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct s3_endpoint at;
        struct err e;
        if (s3_endpoint_init(&at,
                             &(struct s3_endpoint_options){.url = known[i].url, .bucket = "bkt"},
                             &e) != ERR_OK)
            fail_msg("%s: %s", known[i].url, e.message);
        assert_string_equal(at.origin, known[i].origin);
        assert_string_equal(at.host, known[i].host);
        assert_string_equal(at.bucket_path, "/bkt");
    }
}

static void test_s3_endpoint_refuses_urls(void **state)
{
    static const char *const bad[] = {
        "host",           "ftp://host",       "https://",          "https:///",
        "http://a b",     "http://host:",     "http://host:0",     "http://host:65536",
        "http://host:8x", "http://host/path", "http://host/?q=1",  "http://host?q",
        "http://host#f",  "http://-host",     "http://.host",      "http://[::1",
        "http://::1",     "http://h\xc3\xa9", "http://host%41",    "http://[fe80::1%25eth0]",
        "http://h\"ost",  "https://host:-1",  "http://host\n.com", "http://[]",
        "http://host\\x", "http://host:1:2",
    };
    struct s3_endpoint at;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_init(&e);
        if (s3_endpoint_init(&at, &(struct s3_endpoint_options){.url = bad[i], .bucket = "bkt"},
                             &e) != ERR_CONFIG)
            fail_msg("'%s' was taken: %s", bad[i], at.origin);
        assert_string_not_equal(e.hint, "");
    }
    /* the usual mistake, and what to do instead */
    s3_endpoint_init(&at,
                     &(struct s3_endpoint_options){
                         .url = "https://acc.r2.cloudflarestorage.com/bkt", .bucket = "bkt"},
                     &e);
    assert_non_null(strstr(e.hint, "--target"));
    /* P8: a password is not repeated */
    assert_int_equal(s3_endpoint_init(&at,
                                      &(struct s3_endpoint_options){
                                          .url = "https://user:hunter22@host", .bucket = "bkt"},
                                      &e),
                     ERR_CONFIG);
    assert_null(strstr(e.message, "hunter22"));
}

static void test_s3_endpoint_refuses_buckets(void **state)
{
    static const char *const bad[] = {"",           "ab",    "a/b",   "a b", ".bkt",
                                      "b\xc3\xa9t", "bkt?x", "b%41t", "-bkt"};
    struct s3_endpoint at;
    struct err e;
    char long_name[65];

    (void)state;
    memset(long_name, 'b', 64);
    long_name[64] = '\0';
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            s3_endpoint_init(
                &at, &(struct s3_endpoint_options){.url = "http://h", .bucket = bad[i]}, &e),
            ERR_CONFIG);
    assert_int_equal(
        s3_endpoint_init(&at, &(struct s3_endpoint_options){.url = "http://h", .bucket = long_name},
                         &e),
        ERR_CONFIG);
    assert_int_equal(
        s3_endpoint_init(
            &at, &(struct s3_endpoint_options){.url = "http://h", .bucket = long_name + 1}, &e),
        ERR_OK);
}

static void expect_path(const struct s3_endpoint *at, const char *key, const char *wanted)
{
    struct buf b;

    buf_init(&b, 8192);
    assert_true(s3_endpoint_path(at, key, &b));
    assert_string_equal(buf_cstr(&b), wanted);
    buf_release(&b);
}

static void test_s3_endpoint_virtual_hosts(void **state)
{
    struct s3_endpoint at;
    struct err e;

    (void)state;
    assert_int_equal(
        s3_endpoint_init(&at,
                         &(struct s3_endpoint_options){.url = "https://Example.com:8443",
                                                       .bucket = "my-bkt",
                                                       .virtual_host = true},
                         &e),
        ERR_OK);
    assert_string_equal(at.host, "my-bkt.example.com:8443");
    assert_string_equal(at.origin, "https://my-bkt.example.com:8443");
    expect_path(&at, "a b/c", "/a%20b/c");
    expect_path(&at, NULL, "/");
    assert_int_equal(s3_endpoint_init(&at,
                                      &(struct s3_endpoint_options){.url = "http://127.0.0.1:9000",
                                                                    .bucket = "bkt",
                                                                    .virtual_host = true},
                                      &e),
                     ERR_CONFIG);
    assert_int_equal(s3_endpoint_init(&at,
                                      &(struct s3_endpoint_options){.url = "http://[::1]:9000",
                                                                    .bucket = "bkt",
                                                                    .virtual_host = true},
                                      &e),
                     ERR_CONFIG);
    assert_int_equal(s3_endpoint_init(&at,
                                      &(struct s3_endpoint_options){.url = "https://example.com",
                                                                    .bucket = "my.bkt",
                                                                    .virtual_host = true},
                                      &e),
                     ERR_CONFIG); /* fits no certificate */
    assert_int_equal(s3_endpoint_init(&at,
                                      &(struct s3_endpoint_options){.url = "http://example.com",
                                                                    .bucket = "Bkt",
                                                                    .virtual_host = true},
                                      &e),
                     ERR_CONFIG);
}

static void test_s3_endpoint_paths(void **state)
{
    struct s3_endpoint at;

    (void)state;
    assert_int_equal(
        s3_endpoint_init(&at, &(struct s3_endpoint_options){.url = "http://h", .bucket = "bkt"},
                         NULL),
        ERR_OK);
    expect_path(&at, NULL, "/bkt");
    expect_path(&at, "k", "/bkt/k");
    expect_path(&at, "a/b c+%", "/bkt/a/b%20c%2B%25");
}

static void test_s3_endpoint_defaults(void **state)
{
    struct s3_endpoint at;
    struct err e;

    (void)state;
    assert_int_equal(s3_endpoint_init(&at, &(struct s3_endpoint_options){.bucket = "bkt"}, &e),
                     ERR_OK);
    assert_string_equal(at.origin, "https://s3.us-east-1.amazonaws.com");
    assert_int_equal(
        s3_endpoint_init(&at, &(struct s3_endpoint_options){.bucket = "bkt", .region = "eu-west-1"},
                         &e),
        ERR_OK);
    assert_string_equal(at.origin, "https://s3.eu-west-1.amazonaws.com");
    assert_int_equal(
        s3_endpoint_init(&at, &(struct s3_endpoint_options){.bucket = "bkt", .region = "auto"}, &e),
        ERR_CONFIG);
}

static void test_s3_endpoint_profiles(void **state)
{
    (void)state;
    assert_int_equal(s3_endpoint_profile("s3.amazonaws.com"), OBJSTORE_AWS);
    assert_int_equal(s3_endpoint_profile("bkt.s3.eu-west-1.amazonaws.com:8443"), OBJSTORE_AWS);
    assert_int_equal(s3_endpoint_profile("s3.cn-north-1.amazonaws.com.cn"), OBJSTORE_AWS);
    assert_int_equal(s3_endpoint_profile("acc.r2.cloudflarestorage.com"), OBJSTORE_R2);
    assert_int_equal(s3_endpoint_profile("acc.fedramp.r2.cloudflarestorage.com"), OBJSTORE_R2);
    assert_int_equal(s3_endpoint_profile("evilamazonaws.com"), OBJSTORE_OTHER);
    assert_int_equal(s3_endpoint_profile("amazonaws.com.evil.org"), OBJSTORE_OTHER);
    assert_int_equal(s3_endpoint_profile("127.0.0.1:7480"), OBJSTORE_OTHER);
    assert_int_equal(s3_endpoint_profile(""), OBJSTORE_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_endpoint_hosts_and_ports),
        cmocka_unit_test(test_s3_endpoint_refuses_urls),
        cmocka_unit_test(test_s3_endpoint_refuses_buckets),
        cmocka_unit_test(test_s3_endpoint_virtual_hosts),
        cmocka_unit_test(test_s3_endpoint_paths),
        cmocka_unit_test(test_s3_endpoint_defaults),
        cmocka_unit_test(test_s3_endpoint_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
