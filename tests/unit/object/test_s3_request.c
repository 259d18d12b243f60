/* s3_request, s3: what goes out with each request, what never does, and when it goes out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/codec/timefmt.h"

#include "unit/object/s3_talk.h"

static void signed_headers(struct talk *t, size_t i, char *dst, size_t size)
{
    char authorization[1024];
    const char *from;

    assert_true(scripted_header(scripted_request_at(t->s, i), "Authorization", authorization,
                                sizeof authorization));
    from = strstr(authorization, "SignedHeaders=");
    assert_non_null(from);
    from += strlen("SignedHeaders=");
    (void)snprintf(dst, size, "%.*s", (int)strcspn(from, ","), from);
}

static void test_s3_request_signs_what_matters(void **state)
{
    char names[512], value[200];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .token = true});
    script(&t, "PUT", OK_PUT);
    script(&t, "DELETE", NO_BODY);
    const struct objstore_result put = talk_put_hello(&t);
    expect_outcome(&put, OBJSTORE_DONE);
    signed_headers(&t, 0, names, sizeof names);
    assert_string_equal(names, "content-type;host;if-none-match;x-amz-content-sha256;x-amz-date;"
                               "x-amz-meta-blobferry-batch;x-amz-meta-blobferry-id;"
                               "x-amz-meta-blobferry-name;x-amz-meta-blobferry-sha256;"
                               "x-amz-security-token");
    expect_header(&t, 0, "x-amz-security-token", TALK_TOKEN);
    expect_header(&t, 0, "accept-encoding", "identity");
    (void)snprintf(value, sizeof value, "127.0.0.1:%d", scripted_port(t.s));
    expect_header(&t, 0, "host", value);
    const struct objstore_result removed = talk_remove(&t, NULL);
    expect_outcome(&removed, OBJSTORE_DONE);
    signed_headers(&t, 1, names, sizeof names); /* R2: nothing of a body on DELETE */
    assert_string_equal(names, "host;x-amz-content-sha256;x-amz-date;x-amz-security-token");
    expect_header(&t, 1, "content-type", NULL);
    expect_header(&t, 1, "content-length", NULL);
    talk_close(&t);
}

/* E1, E2: the key goes out as it was signed, encoded once, unsquashed. */
static void test_s3_request_encodes_keys_once(void **state)
{
    static const struct {
        const char *key, *target;
    } keys[] = {{"a b+c%41", "/bkt/a%20b%2Bc%2541"},
                {"x/..y/...z", "/bkt/x/..y/...z"},
                {"q?r#s&t=u", "/bkt/q%3Fr%23s%26t%3Du"},
                {"\xc3\xa9'\"<>", "/bkt/%C3%A9%27%22%3C%3E"},
                {"-._~!*()", "/bkt/-._~%21%2A%28%29"}};
    struct objstore_result r;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        script(&t, "DELETE", NO_BODY);
        assert_int_equal(objstore_remove_wait(t.store, keys[i].key, NULL, &r, &t.err), ERR_OK);
        assert_string_equal(scripted_request_at(t.s, i)->target, keys[i].target);
    }
    talk_close(&t);
}

static void test_s3_request_backs_off_and_gives_up(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .max_retries = 2});
    for (int i = 0; i < 3; i++)
        script(&t, "HEAD", BUSY);
    r = talk_stat(&t);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_int_equal(r.attempts, 3);
    assert_int_equal(r.status, 503);
    assert_true(r.err.retryable);
    expect_methods(&t, "HEAD HEAD HEAD");
    script(&t, "HEAD", BUSY);
    script(&t, "HEAD", NOT_FOUND);
    r = talk_stat(&t);
    expect_outcome(&r, OBJSTORE_ABSENT);
    assert_int_equal(r.attempts, 2);
    talk_close(&t);
}

static void test_s3_request_to_nobody_is_unavailable(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD,
                                         .max_retries = 1,
                                         .endpoint = "http://127.0.0.1:1"});
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE);
    assert_int_equal(r.attempts, 2);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err.hint, "check --endpoint-url and the network");
    talk_close(&t);
}

/* D1: refusals of the credentials are not repeated, and say what to do. */
static void test_s3_request_refusals_have_hints(void **state)
{
    static const struct {
        int status;
        const char *code, *hint;
    } known[] = {
        {403, "InvalidAccessKeyId", "does not know this access key: check the environment"},
        {403, "SignatureDoesNotMatch", "the secret access key is wrong"},
        {403, "AccessDenied", "the environment may not do this in bucket 'bkt'"},
        {404, "NoSuchBucket", "check the bucket's name 'bkt'"},
        {400, "ExpiredToken", "renew the environment"},
        {301, "PermanentRedirect", "redirects elsewhere, which is never followed"}};
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        script_error(&t, "PUT", known[i].status, known[i].code);
        const struct objstore_result r = talk_put_hello(&t);
        expect_outcome(&r, OBJSTORE_DENIED);
        assert_int_equal(r.err.code, ERR_STORE_DENIED);
        assert_int_equal(r.attempts, 1);
        assert_non_null(strstr(r.err.message, known[i].code));
        assert_non_null(strstr(r.err.message, "PutObject of 'k'"));
        assert_non_null(strstr(r.err.message, "said so"));
        if (strstr(r.err.hint, known[i].hint) == NULL)
            fail_msg("%s: '%s'", known[i].code, r.err.hint);
    }
    script(&t, "PUT",
           "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nx-amz-bucket-region: "
           "eu-west-1\r\nContent-Length: 0\r\n\r\n");
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_non_null(strstr(r.err.hint, "is in region 'eu-west-1'"));
    talk_close(&t);
}

/* P8: what a server echoes never comes out. */
static void test_s3_request_never_tells_secrets(void **state)
{
    struct talk t;
    char body[512], text[1024];

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .token = true});
    const int n =
        snprintf(body, sizeof body,
                 "<Error><Code>ExpiredToken</Code><Message>the token %s and the key %s\x1b[2J\n"
                 "have expired</Message><Token-0>%s</Token-0></Error>",
                 TALK_TOKEN, TALK_SECRET, TALK_TOKEN);
    (void)snprintf(text, sizeof text, "HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s", n, body);
    script(&t, "PUT", text);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_null(strstr(r.err.message, TALK_TOKEN));
    assert_null(strstr(r.err.message, TALK_SECRET));
    assert_null(strchr(r.err.message, '\x1b'));
    assert_null(strchr(r.err.message, '\n'));
    assert_non_null(strstr(r.err.message, "have expired"));
    talk_close(&t);
}

/* ---- the clock (D11) ------------------------------------------------------------------------------------ */

static void script_skewed(struct talk *t, int64_t server_ms)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char iso[TIMEFMT_SIZE], text[512];

    timefmt_iso(server_ms, iso); /* 2026-11-21T12:00:00.000Z */
    iso[4] = iso[7] = iso[10] = iso[19] = '\0';
    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 403 Forbidden\r\nDate: %s, %s %s %s %s GMT\r\nContent-Length: "
                   "54\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code></Error>      ",
                   days[server_ms / 86400000 % 7], iso + 8, months[atoi(iso + 5) - 1], iso,
                   iso + 11);
    script(t, NULL, text);
}

static void test_s3_request_adopts_the_servers_clock_once(void **state)
{
    const int64_t ours = clock_wall_ms();
    struct talk t;
    struct objstore_result r;
    char date[100];

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_skewed(&t, ours + 3600 * 1000);
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    expect_methods(&t, "PUT PUT");
    assert_true(llabs(objstore_skew_ms(t.store) - 3600 * 1000) < 5000);
    assert_true(scripted_header(scripted_request_at(t.s, 1), "x-amz-date", date, sizeof date));
    char expected[TIMEFMT_SIZE];
    timefmt_amz(ours + 3600 * 1000, expected);
    assert_memory_equal(date, expected, 11); /* to the hour: 20261121T12 */
    script_skewed(&t, ours - 3600 * 1000);   /* a second time it is not believed */
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_non_null(strstr(r.err.hint, "clock"));
    expect_methods(&t, "PUT PUT PUT");
    talk_close(&t);
}

static void test_s3_request_wrong_clock_of_the_server_stops(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    script_skewed(&t, clock_wall_ms() + 7200 * 1000);
    script_skewed(&t, clock_wall_ms() + 7200 * 1000);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DENIED);
    expect_methods(&t, "PUT PUT");
    talk_close(&t);
}

/* ---- the store ------------------------------------------------------------------------------------------- */

static enum err_code open_with(struct objstore_options *o, struct err *e)
{
    struct objstore_credentials c = {.access_key = "AKID"};
    struct objstore *s = NULL;
    enum err_code code;

    secret_init(&c.secret);
    secret_init(&c.session_token);
    assert_int_equal(secret_set(&c.secret, TALK_SECRET, strlen(TALK_SECRET), NULL), ERR_OK);
    if (o->credentials == NULL)
        o->credentials = &c;
    code = objstore_open(&s, o, e);
    assert_int_equal(s == NULL, code != ERR_OK);
    objstore_close(s);
    secret_release(&c.secret);
    return code;
}

static void test_s3_open_refuses_what_cannot_work(void **state)
{
    static const struct objstore_credentials none;
    struct err e;

    (void)state;
    err_init(&e);
    assert_int_equal(open_with(&(struct objstore_options){.target = "s3://"}, &e), ERR_CONFIG);
    assert_int_equal(open_with(&(struct objstore_options){.target = "s3:///key"}, &e), ERR_CONFIG);
    assert_int_equal(open_with(&(struct objstore_options){.target = "s3://b"}, &e), ERR_CONFIG);
    assert_int_equal(open_with(&(struct objstore_options){.target = "ftp://bucket"}, &e),
                     ERR_CONFIG);
    assert_int_equal(open_with(&(struct objstore_options){.target = NULL}, &e), ERR_CONFIG);
    assert_int_equal(
        open_with(&(struct objstore_options){.target = "s3://bucket", .credentials = &none}, &e),
        ERR_CONFIG);
    assert_non_null(strstr(e.hint, "AWS_ACCESS_KEY_ID"));
    assert_int_equal(
        open_with(&(struct objstore_options){.target = "s3://bucket", .profile = OBJSTORE_R2}, &e),
        ERR_CONFIG);
    assert_non_null(strstr(e.hint, "r2.cloudflarestorage.com"));
    assert_int_equal(open_with(&(struct objstore_options){.target = "s3://bucket"}, &e), ERR_OK);
}

static void test_s3_open_derives_profile_region_and_prefix(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.target = "s3://bkt/some/prefix/",
                                         .endpoint = "https://acc.eu.r2.cloudflarestorage.com/"});
    assert_int_equal(objstore_kind(t.store), OBJSTORE_R2);
    assert_string_equal(objstore_prefix(t.store), "some/prefix/");
    assert_string_equal(objstore_name(t.store), "s3://bkt at acc.eu.r2.cloudflarestorage.com");
    assert_string_equal(((struct s3_store *)t.store)->region, "auto");
    assert_false(objstore_needs_probe(t.store));
    talk_close(&t);
    talk_open(&t, &(struct talk_options){.profile = OBJSTORE_MINIO});
    assert_int_equal(objstore_kind(t.store), OBJSTORE_MINIO);
    assert_string_equal(objstore_prefix(t.store), "");
    assert_string_equal(((struct s3_store *)t.store)->region, "us-east-1");
    assert_false(objstore_needs_probe(t.store)); /* talk_open has set the features */
    ((struct s3_store *)t.store)->base.probed = false;
    assert_true(objstore_needs_probe(t.store));
    talk_close(&t);
}

static void test_s3_ping_judges_rights(void **state)
{
    struct talk t;
    struct objstore_result r;

    (void)state;
    talk_open(&t, &(struct talk_options){
                      .features = FEATURES_GOOD, .target = "s3://bkt/pre fix", .unproven = true});
    script_body(&t, "GET", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    assert_int_equal(objstore_ping_wait(t.store, &r, &t.err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.err.code, ERR_OK);
    assert_string_equal(scripted_request_at(t.s, 0)->target,
                        "/bkt?encoding-type=url&list-type=2&max-keys=1&prefix=pre%20fix");
    assert_true(((struct s3_store *)t.store)->bucket_seen);
    script_error(&t, "GET", 403, "AccessDenied"); /* may not list, may perhaps put: a warning */
    assert_int_equal(objstore_ping_wait(t.store, &r, &t.err), ERR_OK);
    assert_int_equal(r.outcome, OBJSTORE_DONE);
    assert_int_equal(r.err.code, ERR_STORE_DENIED);
    script_error(&t, "GET", 403, "SignatureDoesNotMatch");
    assert_int_equal(objstore_ping_wait(t.store, &r, &t.err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DENIED);
    talk_close(&t);
}

static void test_s3_counts_requests(void **state)
{
    struct talk t;
    struct objstore_requests n;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = OBJSTORE_CHECKS_PAYLOAD});
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "PUT", OK_PUT);
    script(&t, "DELETE", NO_BODY);
    (void)talk_put_hello(&t);
    (void)talk_remove(&t, NULL);
    objstore_requests(t.store, &n);
    assert_int_equal(n.head, 1);
    assert_int_equal(n.put, 1);
    assert_int_equal(n.delete_, 1);
    assert_int_equal(n.get + n.post, 0);
    assert_true(n.bytes_sent >= 5);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_request_signs_what_matters),
        cmocka_unit_test(test_s3_request_encodes_keys_once),
        cmocka_unit_test(test_s3_request_backs_off_and_gives_up),
        cmocka_unit_test(test_s3_request_to_nobody_is_unavailable),
        cmocka_unit_test(test_s3_request_refusals_have_hints),
        cmocka_unit_test(test_s3_request_never_tells_secrets),
        cmocka_unit_test(test_s3_request_adopts_the_servers_clock_once),
        cmocka_unit_test(test_s3_request_wrong_clock_of_the_server_stops),
        cmocka_unit_test(test_s3_open_refuses_what_cannot_work),
        cmocka_unit_test(test_s3_open_derives_profile_region_and_prefix),
        cmocka_unit_test(test_s3_ping_judges_rights),
        cmocka_unit_test(test_s3_counts_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
