/* sigv4: what the vectors do not say: caching, order, refusals, secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "signing.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TOKEN  "session-token/with+odd=characters"
#define DAY_MS INT64_C(86400000)
#define NOON   INT64_C(1795262400000) /* 2026-11-21T12:00:00Z */

static const struct sigv4_pair host_only[] = {{"host", "acc.r2.cloudflarestorage.com"}};

static struct sigv4_request plain_request(void)
{
    return (struct sigv4_request){.method = "PUT",
                                  .path = "/bkt/a%20b",
                                  .headers = host_only,
                                  .header_count = 1,
                                  .payload_sha256 = SIGV4_UNSIGNED_PAYLOAD,
                                  .time_ms = NOON};
}

static void make_signer(struct sigv4_signer *s, const char *token)
{
    signing_signer(s, "AKIDEXAMPLE", SECRET, token, "auto", "s3");
}

/* Owned by the caller. */
static char *authorization(struct sigv4_signer *s, const struct sigv4_request *r)
{
    struct buf out;
    struct err e;

    err_init(&e);
    buf_init(&out, 1 << 16);
    assert_int_equal(sigv4_sign(s, r, &out, &e), ERR_OK);
    return buf_steal(&out);
}

static void assert_canonical(const struct sigv4_request *r, const char *expected)
{
    struct buf out;
    struct err e;

    err_init(&e);
    buf_init(&out, 1 << 16);
    assert_int_equal(sigv4_canonical_request(r, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), expected);
    buf_release(&out);
}

static void test_sigv4_header_form(void **state)
{
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;

    (void)state;
    make_signer(&s, NULL);
    char *text = authorization(&s, &r);
    const char *start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/auto/s3/aws4_request, "
                        "SignedHeaders=host, Signature=";
    assert_memory_equal(text, start, strlen(start));
    assert_int_equal(strlen(text), strlen(start) + 64);
    free(text);
    sigv4_release(&s);
}

static void test_sigv4_appends_to_what_is_there(void **state)
{
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;
    struct buf out;
    struct err e;

    (void)state;
    err_init(&e);
    make_signer(&s, NULL);
    char *text = authorization(&s, &r);
    buf_init(&out, 1 << 16);
    buf_str(&out, "Authorization: ");
    assert_int_equal(sigv4_sign(&s, &r, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out) + strlen("Authorization: "), text);
    buf_release(&out);
    free(text);
    sigv4_release(&s);
}

/* One signer over midnight and back gives what fresh ones give. */
static void test_sigv4_day_key_follows_the_day(void **state)
{
    static const int64_t times[] = {NOON,
                                    NOON + DAY_MS,
                                    NOON + DAY_MS - 1,
                                    NOON,
                                    NOON + 43199999,
                                    NOON + 43200000,
                                    NOON - 400 * DAY_MS,
                                    0};
    struct sigv4_signer cached;

    (void)state;
    make_signer(&cached, NULL);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct sigv4_request r = plain_request();
        struct sigv4_signer fresh;
        r.time_ms = times[i];
        make_signer(&fresh, NULL);
        char *expected = authorization(&fresh, &r);
        char *text = authorization(&cached, &r);
        assert_string_equal(text, expected);
        free(text);
        free(expected);
        sigv4_release(&fresh);
    }
    assert_string_equal(cached.day, "19700101");
    sigv4_release(&cached);
}

static void test_sigv4_order_and_case_of_headers_do_not_matter(void **state)
{
    static const struct sigv4_pair one[] = {
        {"host", "h"}, {"x-amz-date", "d"}, {"content-type", "text/plain"}};
    static const struct sigv4_pair two[] = {
        {"X-Amz-Date", "  d "}, {"Content-Type", "\ttext/plain\t"}, {"HOST", "h"}};
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;

    (void)state;
    make_signer(&s, NULL);
    r.headers = one;
    r.header_count = 3;
    char *first = authorization(&s, &r);
    r.headers = two;
    char *second = authorization(&s, &r);
    assert_string_equal(first, second);
    free(first);
    free(second);
    sigv4_release(&s);
}

static void test_sigv4_repeated_headers_keep_their_order(void **state)
{
    static const struct sigv4_pair headers[] = {{"host", "h"},  {"x-a", "3"},    {"X-A", "1"},
                                                {"x-ab", "q"},  {"x-A", "2  b"}, {"x-a", ""},
                                                {"x-a-b", "w"}, {"x", "only"}};
    struct sigv4_request r = plain_request();

    (void)state;
    r.headers = headers;
    r.header_count = 8;
    assert_canonical(&r, "PUT\n/bkt/a%20b\n\nhost:h\nx:only\nx-a:3,1,2 b,\nx-a-b:w\nx-ab:q\n\n"
                         "host;x;x-a;x-a-b;x-ab\nUNSIGNED-PAYLOAD");
}

static void test_sigv4_query_is_sorted_by_its_encoded_form(void **state)
{
    static const struct sigv4_pair query[] = {
        {"prefix", "a b/c+d"}, {"uploads", NULL}, {"A", "2"}, {"A", "1"}, {"a", ""},
        {"\xc3\xa9", "x"},     {"A-", "z"},       {"~", "~"}, {"A", "10"}};
    struct sigv4_request r = plain_request();

    (void)state;
    r.query = query;
    r.query_count = 9;
    assert_canonical(&r,
                     "PUT\n/bkt/a%20b\n%C3%A9=x&A=1&A=10&A=2&A-=z&a=&prefix=a%20b%2Fc%2Bd&"
                     "uploads=&~=~\nhost:acc.r2.cloudflarestorage.com\n\nhost\nUNSIGNED-PAYLOAD");
}

static void test_sigv4_path_is_never_normalised(void **state)
{
    static const char *const paths[] = {"/",      "//",           "/b/../a", "/b/./a",
                                        "/b//a/", "/b/%2F%2e%2E", "/b/..."};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct sigv4_request r = plain_request();
        char expected[256];
        r.path = paths[i];
        (void)snprintf(expected, sizeof expected,
                       "PUT\n%s\n\nhost:acc.r2.cloudflarestorage.com\n\nhost\nUNSIGNED-PAYLOAD",
                       paths[i]);
        assert_canonical(&r, expected);
    }
}

static void assert_refused(const struct sigv4_request *r)
{
    struct sigv4_signer s;
    struct buf out;
    struct err e;

    buf_init(&out, 1 << 16);
    make_signer(&s, NULL);
    err_init(&e);
    assert_int_equal(sigv4_sign(&s, r, &out, &e), ERR_GENERAL);
    assert_true(e.message[0] != '\0');
    err_init(&e);
    assert_int_equal(sigv4_presign(&s, r, 60, &out, &e), ERR_GENERAL);
    assert_true(e.message[0] != '\0');
    sigv4_release(&s);
    buf_release(&out);
}

static void test_sigv4_refuses_malformed_requests(void **state)
{
    static const char *const paths[] = {NULL,   "",     "b/a",       "/a b",  "/a\nb",
                                        "/a?b", "/a#b", "/\xc3\xa9", "/a\x7f"};
    static const struct sigv4_pair bad[][2] = {
        {{"host", "h"}, {"", "x"}},     {{"host", "h"}, {NULL, "x"}},
        {{"host", "h"}, {"a b", "x"}},  {{"host", "h"}, {"a:b", "x"}},
        {{"host", "h"}, {"a;b", "x"}},  {{"host", "h"}, {"a\nb", "x"}},
        {{"host", "h"}, {"x-a", NULL}}, {{"host", "h"}, {"\xc3\xa9", "x"}}};
    static const struct sigv4_pair nameless[] = {{NULL, "x"}};
    struct sigv4_request r;

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        r = plain_request();
        r.path = paths[i];
        assert_refused(&r);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        r = plain_request();
        r.headers = bad[i];
        r.header_count = 2;
        assert_refused(&r);
    }
    r = plain_request();
    r.header_count = 0;
    assert_refused(&r);
    r = plain_request();
    r.method = "";
    assert_refused(&r);
    r = plain_request();
    r.payload_sha256 = NULL;
    assert_refused(&r);
    r = plain_request();
    r.query = nameless;
    r.query_count = 1;
    assert_refused(&r);
}

static enum err_code init_with(const char *access, const char *secret, const char *region,
                               const char *service)
{
    struct sigv4_signer s;
    struct secret key;
    struct err e;

    err_init(&e);
    secret_init(&key);
    assert_int_equal(secret_set(&key, secret, strlen(secret), &e), ERR_OK);
    const enum err_code code = sigv4_init(
        &s, &(struct sigv4_keys){.access_key = access, .secret = &key}, region, service, &e);
    assert_null(strstr(e.message, SECRET));
    if (code == ERR_OK)
        sigv4_release(&s);
    secret_release(&key);
    return code;
}

static void test_sigv4_init_refuses_malformed_keys(void **state)
{
    char long_text[300];

    (void)state;
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(init_with("AKID", SECRET, "auto", "s3"), ERR_OK);
    assert_int_equal(init_with("AKID", "", "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("", SECRET, "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with(NULL, SECRET, "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AK ID", SECRET, "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AK/ID", SECRET, "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AKID\r\nX: y", SECRET, "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with(long_text, SECRET, "auto", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AKID", SECRET, "", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AKID", SECRET, "us/east", "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AKID", SECRET, long_text, "s3"), ERR_CONFIG);
    assert_int_equal(init_with("AKID", SECRET, "auto", NULL), ERR_CONFIG);
    assert_int_equal(init_with("AKID", SECRET, "auto", long_text), ERR_CONFIG);
}

static void test_sigv4_presign_limits_the_expiry(void **state)
{
    static const struct {
        int64_t seconds;
        enum err_code code;
    } table[] = {{1, ERR_OK},     {604800, ERR_OK},    {0, ERR_USAGE},
                 {-1, ERR_USAGE}, {604801, ERR_USAGE}, {INT64_MAX, ERR_USAGE}};
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;

    (void)state;
    make_signer(&s, NULL);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf out;
        struct err e;
        err_init(&e);
        buf_init(&out, 1 << 16);
        assert_int_equal(sigv4_presign(&s, &r, table[i].seconds, &out, &e), table[i].code);
        assert_int_equal(out.len > 0, table[i].code == ERR_OK);
        buf_release(&out);
    }
    sigv4_release(&s);
}

static void test_sigv4_presign_carries_query_and_token(void **state)
{
    static const struct sigv4_pair query[] = {{"versionId", "a/b"}, {"Alpha", "1"}};
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;
    struct buf out;
    struct err e;

    (void)state;
    err_init(&e);
    buf_init(&out, 1 << 16);
    make_signer(&s, TOKEN);
    r.query = query;
    r.query_count = 2;
    assert_int_equal(sigv4_presign(&s, &r, 60, &out, &e), ERR_OK);
    const char *start = "Alpha=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F"
                        "20261121%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=20261121T120000Z&X-Amz-"
                        "Expires=60&X-Amz-Security-Token=session-token%2Fwith%2Bodd%3Dcharacters&"
                        "X-Amz-SignedHeaders=host&versionId=a%2Fb&X-Amz-Signature=";
    assert_memory_equal(out.data, start, strlen(start));
    buf_release(&out);
    sigv4_release(&s);
}

static void test_sigv4_output_too_small_is_an_error(void **state)
{
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;

    (void)state;
    make_signer(&s, NULL);
    for (size_t max = 0; max < 150; max += 10) {
        struct buf out;
        struct err e;
        err_init(&e);
        buf_init(&out, max);
        assert_int_equal(sigv4_sign(&s, &r, &out, &e), ERR_LIMIT);
        buf_reset(&out);
        assert_int_equal(sigv4_presign(&s, &r, 60, &out, &e), ERR_LIMIT);
        buf_reset(&out);
        if (max < 70)
            assert_int_equal(sigv4_canonical_request(&r, &out, &e), ERR_LIMIT);
        buf_release(&out);
    }
    sigv4_release(&s);
}

/* P8: neither outputs nor messages show the secret, and release leaves nothing of the keys. */
static void test_sigv4_secrets_stay_secret(void **state)
{
    static const unsigned char zero[sizeof(struct sigv4_signer)];
    struct sigv4_request r = plain_request();
    struct sigv4_signer s;

    (void)state;
    make_signer(&s, TOKEN);
    char *text = authorization(&s, &r);
    assert_null(strstr(text, SECRET));
    assert_null(strstr(text, TOKEN));
    assert_memory_not_equal(s.day_key, zero, sizeof s.day_key);
    sigv4_release(&s);
    assert_memory_equal(&s, zero, sizeof s);
    sigv4_release(&s); /* harmless */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigv4_header_form),
        cmocka_unit_test(test_sigv4_appends_to_what_is_there),
        cmocka_unit_test(test_sigv4_day_key_follows_the_day),
        cmocka_unit_test(test_sigv4_order_and_case_of_headers_do_not_matter),
        cmocka_unit_test(test_sigv4_repeated_headers_keep_their_order),
        cmocka_unit_test(test_sigv4_query_is_sorted_by_its_encoded_form),
        cmocka_unit_test(test_sigv4_path_is_never_normalised),
        cmocka_unit_test(test_sigv4_refuses_malformed_requests),
        cmocka_unit_test(test_sigv4_init_refuses_malformed_keys),
        cmocka_unit_test(test_sigv4_presign_limits_the_expiry),
        cmocka_unit_test(test_sigv4_presign_carries_query_and_token),
        cmocka_unit_test(test_sigv4_output_too_small_is_an_error),
        cmocka_unit_test(test_sigv4_secrets_stay_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
