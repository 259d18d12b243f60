/* http: what goes out on the wire, and what never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "talk.h"

static void test_http_answers_with_status_headers_and_body(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_status(t.s, 200, "ETag: \"abc\"\r\n", "hello");
    const struct answer *a = talk_do(&t, (struct http_request){.method = "GET"});
    assert_int_equal(a->fault, HTTP_FINE);
    assert_string_equal(a->text, "");
    assert_int_equal(a->status, 200);
    assert_string_equal(a->body, "hello");
    assert_string_equal(a->etag, "\"abc\"");
    assert_int_equal(a->received, 5);
    assert_int_equal(a->sent, 0);
    assert_false(a->truncated);
    assert_true(a->elapsed_us > 0);
    talk_close(&t);
}

/* The whole header block, so that nothing can creep in unseen: no Expect, no Accept-Encoding, no Content-Type that nobody
 * asked for, no Authorization, no Cookie. */
static void expect_block(struct talk *t, const struct http_request *q, const char *expected)
{
    char full[1024];
    const size_t before = scripted_count(t->s);

    scripted_add_text(t->s, OK_REPLY);
    assert_int_equal(talk_do(t, *q)->fault, HTTP_FINE);
    const struct scripted_request *seen = scripted_request_at(t->s, before);
    assert_non_null(seen);
    (void)snprintf(full, sizeof full,
                   "%s /bkt/key HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: blobferry/%s\r\n"
                   "Accept: */*\r\n%s\r\n",
                   q->method, scripted_port(t->s), BLOBFERRY_VERSION, expected);
    assert_string_equal(seen->header_block, full);
}

static void test_http_sends_no_header_of_its_own_invention(void **state)
{
    static char big[2 << 20];
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    expect_block(&t, &(struct http_request){.method = "GET"}, "");
    expect_block(&t, &(struct http_request){.method = "HEAD"}, "");
    expect_block(&t, &(struct http_request){.method = "DELETE"}, "");
    expect_block(&t, &(struct http_request){.method = "PUT"}, "Content-Length: 0\r\n");
    expect_block(&t, &(struct http_request){.method = "POST"}, "Content-Length: 0\r\n");
    expect_block(&t, &(struct http_request){.method = "PUT", .body = "x", .length = 1},
                 "Content-Length: 1\r\n");
    expect_block(&t, &(struct http_request){.method = "POST", .body = big, .length = sizeof big},
                 "Content-Length: 2097152\r\n");
    const int fd = talk_file(2 << 20);
    expect_block(
        &t, &(struct http_request){.method = "PUT", .fd = fd, .has_fd = true, .length = 2 << 20},
        "Content-Length: 2097152\r\n");
    expect_block(&t, &(struct http_request){.method = "PUT", .fd = fd, .has_fd = true},
                 "Content-Length: 0\r\n");
    assert_int_equal(scripted_connections(t.s), 1);
    (void)close(fd);
    talk_close(&t);
}

static void test_http_sends_the_callers_headers_as_they_are(void **state)
{
    static const struct http_header headers[] = {
        {"x-amz-meta-name", "a  b;c: d"}, {"Content-Type", "image/png"},
        {"Content-Length", "99"}, /* ours counts */
        {"x-amz-meta-empty", ""},         {"x-amz-meta-blank", "  "},
        {"Accept-Encoding", "identity"},  {"User-Agent", "mine"},
        {"Host", "bucket.example:81"},    {"x-amz-meta-u", "\xc3\xa9"},
    };
    char value[64];
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_text(t.s, OK_REPLY);
    talk_do(&t, (struct http_request){.method = "PUT",
                                      .headers = headers,
                                      .header_count = sizeof headers / sizeof headers[0],
                                      .body = "xyz",
                                      .length = 3});
    const struct scripted_request *seen = scripted_request_at(t.s, 0);
    assert_true(scripted_header(seen, "x-amz-meta-name", value, sizeof value));
    assert_string_equal(value, "a  b;c: d");
    assert_true(scripted_header(seen, "content-type", value, sizeof value));
    assert_string_equal(value, "image/png");
    assert_true(scripted_header(seen, "content-length", value, sizeof value));
    assert_string_equal(value, "3");
    assert_null(strstr(seen->header_block, "99"));
    assert_true(scripted_header(seen, "x-amz-meta-empty", value, sizeof value));
    assert_string_equal(value, "");
    assert_true(scripted_header(seen, "x-amz-meta-blank", value, sizeof value));
    assert_true(scripted_header(seen, "accept-encoding", value, sizeof value));
    assert_string_equal(value, "identity");
    assert_true(scripted_header(seen, "user-agent", value, sizeof value));
    assert_string_equal(value, "mine");
    assert_true(scripted_header(seen, "host", value, sizeof value));
    assert_string_equal(value, "bucket.example:81");
    assert_null(strstr(seen->header_block, "127.0.0.1"));
    assert_true(scripted_header(seen, "x-amz-meta-u", value, sizeof value));
    assert_string_equal(value, "\xc3\xa9");
    talk_close(&t);
}

static void test_http_sends_the_url_as_it_is(void **state)
{
    static const char *const targets[] = {"/",
                                          "/b/a/../b",
                                          "/b/./a",
                                          "/b/..",
                                          "/../x",
                                          "//b//a//",
                                          "/b/%2e%2E/%2f%7e~",
                                          "/b/a%20b+c?x=%20+y&z&list-type=2&prefix=%2F..%2F",
                                          "/b/k?uploads",
                                          "/b/k?uploads=",
                                          "/b/!$&'()*,;=:@[]",
                                          "/b/back%5Cslash%0A",
                                          "/b?",
                                          "/b/%25%2525"};
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        char url[512];
        (void)snprintf(url, sizeof url, "%s%s", scripted_url(t.s), targets[i]);
        scripted_add_text(t.s, OK_REPLY);
        assert_int_equal(talk_do(&t, (struct http_request){.method = "DELETE", .url = url})->status,
                         200);
        assert_string_equal(scripted_request_at(t.s, i)->target, targets[i]);
    }
    talk_close(&t);
}

static void test_http_follows_no_redirect(void **state)
{
    static const int statuses[] = {301, 302, 303, 307, 308};
    struct talk t, other;
    char header[128];

    (void)state;
    talk_open(&t, NULL);
    talk_open(&other, NULL);
    (void)snprintf(header, sizeof header, "Location: %s/stolen\r\n", scripted_url(other.s));
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        scripted_add_status(t.s, statuses[i], header, "moved");
        const struct answer *a =
            talk_do(&t, (struct http_request){.method = "PUT", .body = "x", .length = 1});
        assert_int_equal(a->fault, HTTP_FINE);
        assert_int_equal(a->status, statuses[i]);
        assert_string_equal(a->body, "moved");
    }
    assert_int_equal(scripted_connections(other.s), 0);
    assert_int_equal(scripted_count(t.s), 5);
    talk_close(&other);
    talk_close(&t);
}

static void test_http_ignores_proxy_variables(void **state)
{
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
    struct talk t, proxy;

    (void)state;
    talk_open(&proxy, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(setenv(names[i], scripted_url(proxy.s), 1), 0);
    talk_open(&t, NULL);
    scripted_add_status(t.s, 200, NULL, "direct");
    assert_string_equal(talk_do(&t, (struct http_request){.method = "GET"})->body, "direct");
    assert_int_equal(scripted_connections(proxy.s), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(unsetenv(names[i]), 0);
    talk_close(&t);
    talk_close(&proxy);
}

/* FAILURES D16: neither .netrc nor cookies. */
static void test_http_reads_no_netrc_and_keeps_no_cookie(void **state)
{
    char folder[] = "/tmp/blobferry-netrc-XXXXXX";
    char path[64];
    struct talk t;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/.netrc", folder);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "default login u password p\n", 27), 27);
    (void)close(fd);
    char *home = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;
    assert_int_equal(setenv("HOME", folder, 1), 0);
    talk_open(&t, NULL);
    scripted_add_status(t.s, 401, "WWW-Authenticate: Basic realm=\"x\"\r\nSet-Cookie: a=b\r\n", "");
    scripted_add_text(t.s, OK_REPLY);
    assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 401);
    assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
    for (size_t i = 0; i < 2; i++) {
        assert_null(strcasestr(scripted_request_at(t.s, i)->header_block, "authorization"));
        assert_null(strcasestr(scripted_request_at(t.s, i)->header_block, "cookie"));
    }
    talk_close(&t);
    assert_int_equal(home != NULL ? setenv("HOME", home, 1) : unsetenv("HOME"), 0);
    free(home);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void refuse(struct http *h, const struct http_request *q)
{
    struct answer a = {0};
    struct err e;

    err_init(&e);
    assert_int_equal(http_submit(h, q, answer_take, &a, &e), ERR_GENERAL);
    assert_true(e.message[0] != '\0');
    assert_int_equal(http_active(h), 0);
    assert_int_equal(a.calls, 0);
}

static void test_http_submit_refuses_malformed_requests(void **state)
{
    static const char *const urls[] = {NULL,
                                       "",
                                       "ftp://127.0.0.1/x",
                                       "file:///etc/passwd",
                                       "127.0.0.1/x",
                                       "http://127.0.0.1/a b",
                                       "http://127.0.0.1/a\r\nX: y",
                                       "http://127.0.0.1/a#b",
                                       "http://127.0.0.1/\xc3\xa9"};
    static const char *const methods[] = {NULL, "", "get", "PATCH", "GET /x HTTP/1.1\r\n"};
    static const struct http_header bad[] = {{"", "x"},
                                             {NULL, "x"},
                                             {"a b", "x"},
                                             {"a:b", "x"},
                                             {"a\r\nb", "x"},
                                             {"a", NULL},
                                             {"a", "b\r\nc:d"},
                                             {"a", "b\nc"},
                                             {"a", "\x7f"},
                                             {"a", "\x01"},
                                             {"Expect", "100-continue"},
                                             {"transfer-encoding", "chunked"},
                                             {"Connection", "close"}};
    struct http *h = talk_loop(&(struct http_options){0});

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        refuse(h, &(struct http_request){.method = "GET", .url = urls[i]});
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        refuse(h, &(struct http_request){.method = methods[i], .url = "http://127.0.0.1/"});
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse(h, &(struct http_request){.method = "GET",
                                         .url = "http://127.0.0.1/",
                                         .headers = &bad[i],
                                         .header_count = 1});
    refuse(h, &(struct http_request){.method = "PUT", .url = "http://127.0.0.1/", .length = 1});
    refuse(h, &(struct http_request){
                  .method = "PUT", .url = "http://127.0.0.1/", .body = "", .length = UINT64_MAX});
    refuse(h, &(struct http_request){.method = "PUT",
                                     .url = "http://127.0.0.1/",
                                     .has_fd = true,
                                     .offset = INT64_MAX,
                                     .length = 1});
    http_free(h);
}

/* A user name in the URL would become an Authorization header. */
static void test_http_refuses_credentials_in_the_url(void **state)
{
    struct talk t;
    char url[256];

    (void)state;
    talk_open(&t, NULL);
    (void)snprintf(url, sizeof url, "http://user:word@127.0.0.1:%d/", scripted_port(t.s));
    const struct answer *a = talk_do(&t, (struct http_request){.method = "GET", .url = url});
    assert_int_equal(a->fault, HTTP_LOCAL);
    assert_null(strstr(a->text, "word"));
    assert_int_equal(scripted_connections(t.s), 0);
    talk_close(&t);
}

static void test_http_header_lookup_is_exact(void **state)
{
    struct http_response r = {0};
    static const char block[] = "ETag: \"1\"\0X-Empty: \0ETagging: no\0etag: \"2\"\0";

    (void)state;
    assert_null(http_response_header(&r, "etag"));
    buf_init(&r.header_block, 256);
    assert_true(buf_append(&r.header_block, block, sizeof block - 1));
    assert_string_equal(http_response_header(&r, "ETAG"), "\"1\"");
    assert_string_equal(http_response_header(&r, "x-empty"), "");
    assert_string_equal(http_response_header(&r, "etagging"), "no");
    assert_null(http_response_header(&r, "eta"));
    assert_null(http_response_header(&r, "etaggings"));
    assert_null(http_response_header(&r, ""));
    buf_release(&r.header_block);
}

static void test_http_new_refuses_an_unreadable_ca_file(void **state)
{
    struct http *h = NULL;
    struct err e;

    (void)state;
    err_init(&e);
    assert_int_equal(http_new(&h, &(struct http_options){.ca_file = "/nonexistent/ca.pem"}, &e),
                     ERR_CONFIG);
    assert_null(h);
    assert_non_null(strstr(e.message, "/nonexistent/ca.pem"));
    http_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_answers_with_status_headers_and_body),
        cmocka_unit_test(test_http_sends_no_header_of_its_own_invention),
        cmocka_unit_test(test_http_sends_the_callers_headers_as_they_are),
        cmocka_unit_test(test_http_sends_the_url_as_it_is),
        cmocka_unit_test(test_http_follows_no_redirect),
        cmocka_unit_test(test_http_ignores_proxy_variables),
        cmocka_unit_test(test_http_reads_no_netrc_and_keeps_no_cookie),
        cmocka_unit_test(test_http_submit_refuses_malformed_requests),
        cmocka_unit_test(test_http_refuses_credentials_in_the_url),
        cmocka_unit_test(test_http_header_lookup_is_exact),
        cmocka_unit_test(test_http_new_refuses_an_unreadable_ca_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
